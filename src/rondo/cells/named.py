"""The cells by name, for the command line and for tables of results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from rondo.cells.deep import DeepCell, StackedCell
from rondo.cells.dropout import VariationalCell, ZoneoutCell
from rondo.cells.elman import ElmanCell, IndRNNCell, JordanCell
from rondo.cells.gru import GRUCell, MGUCell
from rondo.cells.linear import LRUCell, MinGRUCell, MinLSTMCell
from rondo.cells.lstm import LSTMCell
from rondo.cells.lstm_variants import GATES, LSTM1997Cell, LSTMVariantCell, SLSTMCell
from rondo.cells.norm import LayerNormElmanCell, LayerNormGRUCell, LayerNormLSTMCell

CellFactory = Callable[[int, int], nn.Module]
"""Makes a cell from the width of its input and its hidden size."""

GREFF_VARIANTS: dict[str, CellFactory] = {
    f"lstm-{name.lower()}": partial(LSTMVariantCell, variant=name) for name in GATES
}
"""The LSTM with peepholes and the eight variations on it of Greff et al., 2017."""


NAMED_CELLS: dict[str, CellFactory] = {
    "tanh": ElmanCell,
    "relu": partial(ElmanCell, nonlinearity="relu"),
    "jordan": JordanCell,
    "ind-rnn": IndRNNCell,
    "dt-rnn": lambda i, h: DeepCell(i, h, transition_sizes=(h,)),
    "dts-rnn": lambda i, h: DeepCell(i, h, transition_sizes=(h,), shortcut=True),
    "do-rnn": lambda i, h: DeepCell(i, h, output_sizes=(h, h)),
    "dot-rnn": lambda i, h: DeepCell(i, h, transition_sizes=(h,), output_sizes=(h, h)),
    "dots-rnn": lambda i, h: DeepCell(
        i, h, transition_sizes=(h,), shortcut=True, output_sizes=(h, h)
    ),
    "stacked-gru": lambda i, h: StackedCell(GRUCell(i, h), GRUCell(h, h)),
    "stacked-gru-shortcuts": lambda i, h: StackedCell(
        GRUCell(i, h), GRUCell(i + h, h), shortcuts=True
    ),
    "gru": GRUCell,
    "gru-reset-before": partial(GRUCell, reset="before"),
    "mgu": MGUCell,
    "lstm": LSTMCell,
    "lstm-forget-bias-1": partial(LSTMCell, forget_bias=1.0),
    "lstm-forget-bias-3": partial(LSTMCell, forget_bias=3.0),
    "lstm-projection": lambda i, h: LSTMCell(i, h, proj_size=max(1, h // 2)),
    "lstm-peepholes": partial(LSTMCell, peepholes=True),
    "lstm-1997": LSTM1997Cell,
    "lstm-1997-truncated": partial(LSTM1997Cell, truncate=True),
    **GREFF_VARIANTS,
    "slstm": SLSTMCell,
    "min-gru": MinGRUCell,
    "min-lstm": MinLSTMCell,
    "lru": LRUCell,
    "layer-norm-tanh": LayerNormElmanCell,
    "layer-norm-gru": LayerNormGRUCell,
    "layer-norm-lstm": LayerNormLSTMCell,
    "variational-gru": lambda i, h: VariationalCell(GRUCell(i, h)),
    "zoneout-lstm": lambda i, h: ZoneoutCell(LSTMCell(i, h)),
}
"""What makes a cell of a name from `input_size` and `hidden_size`; docs/cells.md tells of each."""

_ALIASES = {"elman": "tanh", "rnn": "tanh", "layernormelman": "layernormtanh"}


def named_cell(word: str) -> str:
    """The name in `NAMED_CELLS` that a word means: the name, or that of the class.

    Letters may be small or large; dashes and the ending "Cell" may be left out.

    Raises:
        KeyError: Where there is no such cell.

    Example:
        >>> from rondo.cells.named import named_cell
        >>> named_cell("LSTM1997Cell"), named_cell("ElmanCell"), named_cell("GRU")
        ('lstm-1997', 'tanh', 'gru')
    """
    key = _key(word)
    return _NAMES[_ALIASES.get(key, key)]


def num_parameters(cell: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(parameter.numel() for parameter in cell.parameters())


def hidden_size_for(name: str, input_size: int, wanted: int) -> int:
    """The hidden size that gives a cell of a name the nearest number of parameters.

    Args:
        name: A name in `NAMED_CELLS`.
        input_size: The width of the input.
        wanted: The number of parameters, biases included, that is aimed at.

    Example:
        >>> from rondo.cells.named import hidden_size_for
        >>> hidden_size_for("gru", 100, 20_200)  # 46 units in Chung et al., with one bias
        46
    """

    def distance(hidden_size: int) -> int:
        return abs(num_parameters(NAMED_CELLS[name](input_size, hidden_size)) - wanted)

    size = 1
    while distance(size + 1) <= distance(size):
        size += 1
    return size


def _key(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "").removesuffix("cell")


_NAMES = {_key(name): name for name in NAMED_CELLS}
