"""Rondo: recurrent neural networks as computational graphs with loops.

Write one time step as an ordinary PyTorch module; :class:`Recurrent` finds its loops, plans what
must run step by step and what need not, and runs and trains it over sequences.

The names below are imported when they are first used, so that `rondo --help` need not wait for
torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rondo import cells, compiler, drawing, layers, models
    from rondo.api import TrainedRun, load, train
    from rondo.cells import (
        Cell,
        ConvGRUCell,
        DeepCell,
        Edge,
        ElmanCell,
        GraphCell,
        GRUCell,
        IndRNNCell,
        JordanCell,
        LayerNormElmanCell,
        LayerNormGRUCell,
        LayerNormLSTMCell,
        LRUCell,
        LSTM1997Cell,
        LSTMCell,
        LSTMVariantCell,
        MGUCell,
        MinGRUCell,
        MinLSTMCell,
        Node,
        SLSTMCell,
        StackedCell,
        VariationalCell,
        ZoneoutCell,
    )
    from rondo.compiler import EngineWarning, Newton
    from rondo.layers import (
        GRU,
        LSTM,
        RNN,
        Acceleration,
        Bidirectional,
        DropConnect,
        FinalOutput,
        Recurrent,
        SpatialRNN,
        Stream,
        VariationalDropout,
        accelerate,
        clear_cache,
        draw,
        restore,
    )

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Acceleration",
    "Bidirectional",
    "Cell",
    "ConvGRUCell",
    "DeepCell",
    "DropConnect",
    "Edge",
    "ElmanCell",
    "EngineWarning",
    "FinalOutput",
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
    "MismatchError",
    "Newton",
    "Node",
    "Recurrent",
    "Report",
    "SLSTMCell",
    "SpatialRNN",
    "StackedCell",
    "Stream",
    "TrainedRun",
    "VariationalCell",
    "VariationalDropout",
    "ZoneoutCell",
    "accelerate",
    "cells",
    "check",
    "checking",
    "clear_cache",
    "compiler",
    "draw",
    "drawing",
    "layers",
    "load",
    "models",
    "restore",
    "train",
]

_OF_RUNS = ("TrainedRun", "load", "train")
_STAGES = ("drawing", "cells", "compiler", "layers", "models")


def __getattr__(name: str) -> Any:
    if name in _OF_RUNS:
        return getattr(importlib.import_module("rondo.api"), name)
    if name in _STAGES:
        return importlib.import_module(f"rondo.{name}")
    for stage in ("cells", "layers", "compiler") if name in __all__ else ():
        module = importlib.import_module(f"rondo.{stage}")
        if name in module.__all__:
            return getattr(module, name)
    raise AttributeError(f"module 'rondo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
