"""What a picture shows, in words.

Files of photos with captions, shapes that are drawn, the words, the task.
"""
