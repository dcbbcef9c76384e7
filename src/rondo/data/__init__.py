"""Examples as tensors: read from files or drawn, put in order, made into batches.

In go paths and seeds, out come :class:`rondo.data.batch.Batch` es. Nothing here knows a task.
"""
