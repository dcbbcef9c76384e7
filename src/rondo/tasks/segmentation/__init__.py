"""The class of every pixel of a picture or a video.

Scenes, their files and changes, streets that are drawn, the task.
"""

from rondo.moved import attributes_of

__getattr__ = attributes_of("rondo.tasks.segmentation.task")
