"""Rondo's modules where a model has torch's, and torch's back.

In goes a model, out comes the same model whose `torch.nn.RNN`, `LSTM` and `GRU` are now of Rondo's
classes, and a word about every recurrent module for which that cannot be.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Literal, TypeVar, overload

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from rondo.compiler import EngineWarning
from rondo.layers.recurrent import Recurrent
from rondo.layers.torch_compat import REPLACEMENTS

M = TypeVar("M", bound=nn.Module)

ORIGINALS = {ours: theirs for theirs, ours in REPLACEMENTS.items()}
"""The drop-ins and what they stand for."""

CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
NAMES = {cls.__name__ for cls in (*REPLACEMENTS, *CELLS)}
"""What recurrent modules are called where their class does not tell: scripted and quantized."""


@dataclass(frozen=True)
class Part:
    """A recurrent module of a model.

    Args:
        path: Where it is in the model, as in its `state_dict`; "" for the model itself.
        kind: Its class.
        reason: Why it was left as it was, and what to do instead; None where it was not.
    """

    path: str
    kind: str
    reason: str | None = None

    def __str__(self) -> str:
        line = f"{self.path or 'the model itself'} ({self.kind})"
        return line if self.reason is None else f"{line}: {self.reason}"


@dataclass(frozen=True)
class Acceleration:
    """What :func:`accelerate` did to a model; printed, it is a list.

    Args:
        replaced: The modules that Rondo runs from now on.
        left: The recurrent modules that torch still runs, and why.
    """

    replaced: tuple[Part, ...]
    left: tuple[Part, ...]

    def __str__(self) -> str:
        return f"run by Rondo:\n{_lines(self.replaced)}\nleft to torch:\n{_lines(self.left)}"


@overload
def accelerate(model: M, *, report: Literal[False] = False) -> M: ...
@overload
def accelerate(model: M, *, report: Literal[True]) -> tuple[M, Acceleration]: ...
def accelerate(model: M, *, report: bool = False) -> M | tuple[M, Acceleration]:
    """Have Rondo run every `torch.nn.RNN`, `LSTM` and `GRU` in a model.

    The modules are changed in place; parameters, `state_dict`, hooks and references to them stay.
    Recurrent modules for which that cannot be are left to torch: subclasses, modules with a
    `forward` of their own, single cells in loops of Python, scripted and quantized modules. One
    warning names each of them, why, and what to do instead. What a :class:`Recurrent` runs is
    run by Rondo already. :func:`restore` takes all back.

    Args:
        model: The model.
        report: Whether to return what was done, rather than to warn.

    Returns:
        The model itself; with `report` also an :class:`Acceleration`.

    Example:
        >>> import torch, rondo
        >>> model = torch.nn.Sequential(torch.nn.GRU(3, 5))
        >>> rondo.accelerate(model)
        Sequential(
          (0): GRU(3, 5)
        )
        >>> type(model[0]) is rondo.GRU
        True
        >>> mixed = torch.nn.ModuleDict({"a": torch.nn.GRU(3, 5), "b": torch.nn.GRUCell(3, 5)})
        >>> print(rondo.accelerate(mixed, report=True)[1])
        run by Rondo:
          a (GRU)
        left to torch:
          b (GRUCell): Python runs its loop; write one step as a module with forward(x, state) and \
run it by rondo.Recurrent
    """
    parts = list(_recurrent_parts(model))
    for module, part in parts:
        if part.reason is None and type(module) in REPLACEMENTS:
            module.__class__ = REPLACEMENTS[type(module)]
    done = Acceleration(
        tuple(part for _, part in parts if part.reason is None),
        tuple(part for _, part in parts if part.reason is not None),
    )
    if report:
        return model, done
    if done.left:
        message = f"rondo.accelerate leaves to torch:\n{_lines(done.left)}"
        warnings.warn(message, EngineWarning, stacklevel=2)
    return model


def restore(model: M) -> M:
    """Have torch run every drop-in of Rondo's in a model: `accelerate`, taken back.

    The modules are changed in place; parameters, `state_dict`, hooks and references to them stay. A
    warning names the drop-ins for which that cannot be. What only knows torch's own classes, such
    as `torch.ao.quantization`, knows the model then.

    Returns:
        The model itself.

    Example:
        >>> import torch, rondo
        >>> model = torch.nn.Sequential(rondo.GRU(3, 5))
        >>> type(rondo.restore(model)[0]) is torch.nn.GRU
        True
    """
    left = []
    for path, module in model.named_modules():
        cls: type[nn.Module] = type(module)
        if cls in ORIGINALS and "forward" not in vars(module):
            vars(module).pop("_rondo", None)
            module.__class__ = ORIGINALS[cls]
        elif issubclass(cls, tuple(ORIGINALS)):
            left.append(Part(path, cls.__name__))
    if left:
        message = (
            "rondo.restore leaves as they are, since their class or their forward is not Rondo's "
            f"own:\n{_lines(left)}"
        )
        warnings.warn(message, EngineWarning, stacklevel=2)
    return model


def _lines(parts: tuple[Part, ...] | list[Part]) -> str:
    return "\n".join(f"  {part}" for part in parts) or "  nothing"


def _recurrent_parts(model: nn.Module) -> Iterator[tuple[nn.Module, Part]]:
    """The recurrent modules of a model, but for those within a loop of Rondo's."""
    within: tuple[str, ...] = ()
    kept = _kept_forwards(model)
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        if path.startswith(within):
            continue
        if isinstance(module, Recurrent):
            within += (prefix,)
        elif _is_recurrent(module):
            within += (prefix,)
            kind = getattr(module, "original_name", type(module).__name__)
            yield module, Part(path, kind, kept.get(module) or _why_left(module))


def _kept_forwards(model: nn.Module) -> dict[object, str]:
    """The modules of torch's whose method `forward` is an attribute of some module, and a word."""
    return {
        value.__self__: f"its forward is kept as {type(owner).__name__}.{name}; call "
        "rondo.accelerate before that is done"
        for owner in model.modules()
        for name, value in vars(owner).items()
        if isinstance(value, MethodType) and value.__name__ == "forward"
        if type(value.__self__) in REPLACEMENTS
    }


def _is_recurrent(module: nn.Module) -> bool:
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return True
    return _is_quantized(module) or _is_scripted(module)


def _is_scripted(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule) and module.original_name in NAMES


def _is_quantized(module: nn.Module) -> bool:
    cls = type(module)
    return cls.__module__.startswith("torch.ao.nn.") and cls.__name__ in NAMES


def _why_left(module: nn.Module) -> str | None:
    """Why a recurrent module cannot be one of Rondo's, and what to do; None where it can."""
    if _is_scripted(module):
        return (
            "it is scripted; call rondo.accelerate on the model that was scripted, and use "
            "torch.compile or torch.export in place of a script"
        )
    if _is_quantized(module):
        return "it is quantized; Rondo computes in floating point, so accelerate or quantize it"
    if isinstance(module, nn.RNNCellBase):
        return (
            "Python runs its loop; write one step as a module with forward(x, state) and run it by "
            "rondo.Recurrent"
        )
    if is_parametrized(module):
        return "its weights are parametrized; call rondo.accelerate before that is done"
    return _why_its_class_stays(type(module)) or _why_it_stays_itself(module)


def _why_its_class_stays(cls: type[nn.Module]) -> str | None:
    if cls in REPLACEMENTS or issubclass(cls, tuple(ORIGINALS)):
        return None
    base = next((ours for theirs, ours in REPLACEMENTS.items() if issubclass(cls, theirs)), None)
    if base is None:
        return "its class is none of torch.nn.RNN, LSTM and GRU; use rondo.RNN, LSTM or GRU"
    name = base.__name__
    return f"its class is derived from torch.nn.{name}; derive it from rondo.{name}"


def _why_it_stays_itself(module: nn.Module) -> str | None:
    if type(module) not in REPLACEMENTS:  # Rondo's already
        return None
    if "forward" in vars(module):
        return "a forward was set on the module itself; call rondo.accelerate before that is done"
    if getattr(module, "qconfig", None) is not None:
        return "it is prepared for quantization, which knows torch's own class alone"
    return None
