"""One file for each system of the lecture: its data, model, loss, metric and recipe."""
