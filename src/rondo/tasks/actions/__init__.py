"""What a person does, from poses, signals of motion or a video.

Clips, their files and changes, stick figures that are drawn, the task.
"""

from rondo.moved import attributes_of

__getattr__ = attributes_of("rondo.tasks.actions.task")
