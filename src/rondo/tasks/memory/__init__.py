"""Tasks that ask for memory: what is shown early decides the answer late.

Each file is a task whose sequences are drawn.
"""
