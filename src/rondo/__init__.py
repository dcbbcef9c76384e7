"""Rondo: recurrent neural networks as computational graphs with loops.

Write one time step as an ordinary PyTorch module; :class:`Recurrent` finds its loops, plans what
must run step by step and what need not, and runs and trains it over sequences.
"""

from rondo.cells import GRU, LSTM, Cell, Elman
from rondo.layers import Bidirectional, Recurrent, SpatialRNN

__version__ = "0.1.0"

__all__ = ["GRU", "LSTM", "Bidirectional", "Cell", "Elman", "Recurrent", "SpatialRNN"]
