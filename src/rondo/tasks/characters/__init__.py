"""Text, character by character: the task, and text that a trained network writes."""
