"""Sequences on a user's own files: classes, numbers and forecasts.

Files become series (`files`, with a file for each format), series become examples with their splits
(`examples`, `windows`), a task is made of them (`task`), simple rules stand beside the network
(`baselines`), and a finished run answers for new files (`answers`).
"""
