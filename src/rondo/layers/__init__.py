"""Loops over sequences and maps."""

from rondo.layers.recurrent import Recurrent
from rondo.layers.spatial import SpatialRNN
from rondo.layers.stack import Bidirectional

__all__ = ["Bidirectional", "Recurrent", "SpatialRNN"]
