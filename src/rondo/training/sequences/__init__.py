"""Training on sequences: settings, loop and folder of a run; one trainer for all such tasks."""
