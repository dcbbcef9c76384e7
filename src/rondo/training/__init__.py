"""Training: what a run is made of, its folder, its report, and the tools to train a network.

Reads a `RunConfig`, leaves a `RunFolder`. Nothing here is imported by `import rondo`; the names
below need torch alone.
"""

from rondo.data.buckets import LengthBuckets, pad_batch
from rondo.looks.flow import GradientFlow, gradient_flow
from rondo.moved import find_former_places
from rondo.training.objective import Objective
from rondo.training.truncated import Window, detached, tbptt

find_former_places()

__all__ = [
    "GradientFlow",
    "LengthBuckets",
    "Objective",
    "Window",
    "detached",
    "gradient_flow",
    "pad_batch",
    "tbptt",
]
