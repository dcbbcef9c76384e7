"""What is written of a run when it has ended: the page, its figures, the model card, tables.

In go a run and what it gives on each split, out come HTML, Markdown and text.
"""
