"""One time step: the cells."""

from rondo.cells.cell import Cell, initial_state
from rondo.cells.elman import ElmanCell
from rondo.cells.graph_cell import Edge, GraphCell, Node
from rondo.cells.gru import GRUCell
from rondo.cells.lstm import LSTMCell

__all__ = [
    "Cell",
    "Edge",
    "ElmanCell",
    "GRUCell",
    "GraphCell",
    "LSTMCell",
    "Node",
    "initial_state",
]
