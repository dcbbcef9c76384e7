"""The class of a photo: a person's sex, or any other.

Labelled photos and drawn portraits, the networks of the lecture's table and ours, the task.
"""

from rondo.moved import attributes_of

__getattr__ = attributes_of("rondo.tasks.photo.task")
