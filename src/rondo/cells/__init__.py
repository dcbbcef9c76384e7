"""One time step: the cells."""

from rondo.cells.cell import Cell, initial_state
from rondo.cells.conv_gru import ConvGRUCell
from rondo.cells.deep import DeepCell, StackedCell
from rondo.cells.dropout import VariationalCell, ZoneoutCell
from rondo.cells.elman import ElmanCell, IndRNNCell, JordanCell
from rondo.cells.graph_cell import Edge, GraphCell, Node
from rondo.cells.gru import GRUCell, MGUCell
from rondo.cells.linear import LRUCell, MinGRUCell, MinLSTMCell
from rondo.cells.lstm import LSTMCell
from rondo.cells.lstm_variants import LSTM1997Cell, LSTMVariantCell, SLSTMCell
from rondo.cells.norm import LayerNormElmanCell, LayerNormGRUCell, LayerNormLSTMCell

__all__ = [
    "Cell",
    "ConvGRUCell",
    "DeepCell",
    "Edge",
    "ElmanCell",
    "GRUCell",
    "GraphCell",
    "IndRNNCell",
    "JordanCell",
    "LRUCell",
    "LSTM1997Cell",
    "LSTMCell",
    "LSTMVariantCell",
    "LayerNormElmanCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "Node",
    "SLSTMCell",
    "StackedCell",
    "VariationalCell",
    "ZoneoutCell",
    "initial_state",
]
