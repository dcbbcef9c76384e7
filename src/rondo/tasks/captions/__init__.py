"""What a picture shows, in words.

Files of photos with captions, shapes that are drawn, the words, the task.
"""

from rondo.moved import attributes_of

__getattr__ = attributes_of("rondo.tasks.captions.task")
