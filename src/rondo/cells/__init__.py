"""One time step: the cells."""

from rondo.cells.cell import Cell, initial_state
from rondo.cells.elman import ElmanCell
from rondo.cells.gru import GRUCell
from rondo.cells.lstm import LSTMCell

__all__ = ["Cell", "ElmanCell", "GRUCell", "LSTMCell", "initial_state"]
