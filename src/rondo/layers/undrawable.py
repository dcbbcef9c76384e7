"""What is said where a thing cannot be drawn."""

from __future__ import annotations

from typing import Any

from torch import nn

from rondo.layers.final import FinalOutput
from rondo.layers.recurrent import Recurrent
from rondo.layers.spatial import SpatialRNN
from rondo.layers.stack import Bidirectional

DRAWN = (
    "a cell, a layer such as Recurrent, Bidirectional, SpatialRNN or torch.nn.LSTM, an "
    "nn.Sequential of them, a graph or a plan"
)
LAYERS = (Recurrent, Bidirectional, SpatialRNN, nn.RNNBase)
OWN_CELLS = {nn.RNNCell: "ElmanCell", nn.LSTMCell: "LSTMCell", nn.GRUCell: "GRUCell"}
"""Which cell of this package can be drawn in place of a cell of torch's."""


def refusal(thing: Any) -> TypeError:
    """The error that says what was got in place of what is drawn, and what to do."""
    return TypeError(f"draw takes {DRAWN}, got {_description(thing)}; {_advice(thing)}")


def _description(thing: Any) -> str:
    if isinstance(thing, type):
        return f"the class {_name(thing)}"
    name = _name(type(thing))
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"


def _name(kind: type) -> str:
    return f"torch.nn.{kind.__name__}" if kind.__module__.startswith("torch.nn") else kind.__name__


def _advice(thing: Any) -> str:
    if isinstance(thing, type):
        return "make one of it first"
    if isinstance(thing, FinalOutput):
        return "within nn.Sequential it cannot be drawn, so draw it on its own"
    if type(thing) in OWN_CELLS:
        return f"draw a rondo.{OWN_CELLS[type(thing)]}, which computes the same"
    if isinstance(thing, nn.Module):
        parts = [name for name, part in thing.named_modules() if isinstance(part, LAYERS)]
        if parts:
            return f"how its parts are joined cannot be seen; draw a part, such as its {parts[0]}"
    return (
        "a cell is a module that has a state_size and whose forward(x, state) returns an output "
        "and the new state"
    )
