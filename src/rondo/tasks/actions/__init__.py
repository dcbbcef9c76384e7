"""What a person does, from poses, signals of motion or a video.

Clips, their files and changes, stick figures that are drawn, the task.
"""
