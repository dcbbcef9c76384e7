"""The words in pictures.

Labelled pictures, words that are drawn, distortions, the task.
"""

from rondo.moved import attributes_of

__getattr__ = attributes_of("rondo.tasks.text.task")
