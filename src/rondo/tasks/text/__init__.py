"""The words in pictures.

Labelled pictures, words that are drawn, distortions, the task.
"""
