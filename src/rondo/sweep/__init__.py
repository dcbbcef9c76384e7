"""Many trainings of a task: which values of its settings are best on the validation data.

In goes what is swept over, out comes a folder with a run of each combination that was tried, a
table, a picture and a page. A trial is a process of its own: `rondo train` with some values.
"""
