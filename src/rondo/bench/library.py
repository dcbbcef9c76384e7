"""The cells of the library, with their options, as docs/cells.md lists them."""

from __future__ import annotations

from torch import nn

import rondo.cells
from rondo.cells.lstm_variants import GATES

LSTM_VARIANTS = tuple(f'LSTMVariantCell(I, H, variant="{name}")' for name in GATES)

LIBRARY = (
    "ElmanCell(I, H)",
    "JordanCell(I, H)",
    "IndRNNCell(I, H)",
    "DeepCell(I, H, transition_sizes=(H,))",
    "DeepCell(I, H, transition_sizes=(H,), shortcut=True)",
    "DeepCell(I, H, output_sizes=(H, H))",
    "DeepCell(I, H, transition_sizes=(H,), output_sizes=(H, H))",
    "DeepCell(I, H, transition_sizes=(H,), shortcut=True, output_sizes=(H, H))",
    "StackedCell(GRUCell(I, H), GRUCell(H, H))",
    "StackedCell(GRUCell(I, H), GRUCell(I + H, H), shortcuts=True)",
    "LSTMCell(I, H)",
    "LSTMCell(I, H, proj_size=H // 2)",
    "LSTMCell(I, H, peepholes=True)",
    "LSTM1997Cell(I, H)",
    *LSTM_VARIANTS,
    "SLSTMCell(I, H)",
    "GRUCell(I, H)",
    'GRUCell(I, H, reset="before", update="new")',
    "MGUCell(I, H)",
    "MinGRUCell(I, H)",
    "MinLSTMCell(I, H)",
    "LRUCell(I, H)",
    "LayerNormElmanCell(I, H)",
    "LayerNormLSTMCell(I, H)",
    "LayerNormGRUCell(I, H)",
    "VariationalCell(GRUCell(I, H))",
    "ZoneoutCell(LSTMCell(I, H))",
)
"""How to make each, in Python, from the sizes I and H."""


def cell_of(expression: str, input_size: int, hidden_size: int) -> nn.Module:
    """Returns the cell that an expression of `LIBRARY` makes."""
    names = {**vars(rondo.cells), "I": input_size, "H": hidden_size}
    cell: nn.Module = eval(expression, names)
    return cell


def width_of(cell: nn.Module) -> int:
    """Returns the width of the output of a cell of `LIBRARY`."""
    width = cell.output_size
    assert isinstance(width, int)
    return width
