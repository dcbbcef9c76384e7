"""What answers are worth: intervals, calibration, answers where it is sure, inputs made bad.

In go probabilities and labels, out come figures with their intervals. Nothing here knows a task.
"""
