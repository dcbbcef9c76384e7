"""Kernels in Triton's language: what programs share, how that is written down, and how it runs."""
