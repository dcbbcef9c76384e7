"""One time step: the cells."""

from rondo.cells.cell import Cell, initial_state
from rondo.cells.elman import Elman
from rondo.cells.gru import GRU
from rondo.cells.lstm import LSTM

__all__ = ["GRU", "LSTM", "Cell", "Elman", "initial_state"]
