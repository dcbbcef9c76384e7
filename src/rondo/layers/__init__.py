"""Loops over sequences and maps."""

from rondo.layers.dropout import DropConnect, VariationalDropout
from rondo.layers.recurrent import Recurrent
from rondo.layers.spatial import SpatialRNN
from rondo.layers.stack import Bidirectional
from rondo.layers.torch_compat import GRU, LSTM, RNN, accelerate

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "DropConnect",
    "Recurrent",
    "SpatialRNN",
    "VariationalDropout",
    "accelerate",
]
