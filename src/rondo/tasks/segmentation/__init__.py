"""The class of every pixel of a picture or a video.

Scenes, their files and changes, streets that are drawn, the task.
"""
