"""Loops over sequences and maps."""

from rondo.layers.accelerate import Acceleration, accelerate, restore
from rondo.layers.caches import clear_cache
from rondo.layers.check import Report, check
from rondo.layers.draw import draw
from rondo.layers.dropout import DropConnect, VariationalDropout
from rondo.layers.final import FinalOutput
from rondo.layers.making import MismatchError
from rondo.layers.patterns import output_to_state, state_to_final_output, state_to_state
from rondo.layers.recurrent import Recurrent
from rondo.layers.spatial import SpatialRNN
from rondo.layers.stack import Bidirectional
from rondo.layers.stream import Stream
from rondo.layers.torch_compat import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Acceleration",
    "Bidirectional",
    "DropConnect",
    "FinalOutput",
    "MismatchError",
    "Recurrent",
    "Report",
    "SpatialRNN",
    "Stream",
    "VariationalDropout",
    "accelerate",
    "check",
    "clear_cache",
    "draw",
    "output_to_state",
    "restore",
    "state_to_final_output",
    "state_to_state",
]
