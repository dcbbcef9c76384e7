"""Weights of other libraries, into cells and out of them.

A library writes the gates of a cell in its own order, its matrices lying or standing, with one bias
vector or two. Each pair of functions here knows one library; what they share is a `Layout`, the
order of the gates and what z multiplies. They convert :class:`rondo.ElmanCell`,
:class:`rondo.LSTMCell` without peepholes and :class:`rondo.GRUCell`.

| library | matrices        | LSTM       | GRU     | reset gate            | z multiplies  |
|---------|-----------------|------------|---------|-----------------------|---------------|
| torch   | (gates, inputs) | i, f, g, o | r, z, n | after the product     | the old state |
| Keras   | (inputs, gates) | i, f, c, o | z, r, h | `reset_after` says so | the old state |
| neon    | in one buffer   | i, f, o, g | r, z, h | before the product    | the new state |

Example:
    >>> import torch, rondo
    >>> from rondo.cells import convert
    >>> cell = convert.load_torch(rondo.LSTMCell(3, 5), torch.nn.LSTMCell(3, 5))
    >>> [tuple(weights.shape) for weights in convert.to_keras(cell)]
    [(3, 20), (5, 20), (20,)]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from rondo.cells.cell import Cell, check_choice
from rondo.cells.elman import ElmanCell
from rondo.cells.gru import UPDATES, GRUCell
from rondo.cells.lstm import LSTMCell

C = TypeVar("C", ElmanCell, LSTMCell, GRUCell)

OWN_ORDER = {ElmanCell: "h", LSTMCell: "ifgo", GRUCell: "rzn"}


@dataclass(frozen=True)
class Layout:
    """How a library writes the gates down: their order in each cell, and what z multiplies."""

    order: dict[type[Cell], str]
    update: str


TORCH = Layout(OWN_ORDER, "old")
KERAS = Layout({ElmanCell: "h", LSTMCell: "ifgo", GRUCell: "zrn"}, "old")
NEON = Layout({ElmanCell: "h", LSTMCell: "ifog", GRUCell: "rzn"}, "new")


@dataclass(frozen=True)
class Weights:
    """The weights of a cell, gates one after the other in the rows of all."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None = None


# ---- torch ----


def load_torch(cell: C, module: nn.Module, *, layer: int = 0, reverse: bool = False) -> C:
    """Give a cell the weights of a cell of torch's, or of one layer and direction of a network.

    Args:
        cell: The cell that gets them.
        module: A `torch.nn.RNNCell`, `LSTMCell`, `GRUCell`, `RNN`, `LSTM` or `GRU`.
        layer: The layer of a network, from 0.
        reverse: Whether to take its backward direction.

    Returns:
        The cell.

    Raises:
        ValueError: Where the cell is of another kind, form or size.
    """
    suffix = f"_l{layer}" + ("_reverse" if reverse else "")
    suffix = "" if isinstance(module, nn.RNNCellBase) else suffix
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    tensors = [getattr(module, name + suffix, None) for name in names]
    if tensors[0] is None or tensors[1] is None:
        raise ValueError(f"{type(module).__name__} has no weight_ih{suffix}")
    theirs, own = (getattr(part, "nonlinearity", None) for part in (module, cell))
    if theirs != own:
        raise ValueError(f"{type(module).__name__} has nonlinearity {theirs!r}, the cell {own!r}")
    _check_reset(cell, "after")
    _load(cell, TORCH, Weights(tensors[0], tensors[1], *tensors[2:]))
    projection = getattr(module, "weight_hr" + suffix, None)
    if isinstance(cell, LSTMCell) and cell.weight_hr is not None and projection is not None:
        _copy("weight_hr", cell.weight_hr, projection)
    return cell


def to_torch(cell: ElmanCell | LSTMCell | GRUCell) -> dict[str, Tensor]:
    """The `state_dict` of the cell of torch's that computes the same."""
    _check_reset(cell, "after")
    weights = _take(cell, TORCH)
    named = {"weight_ih": weights.weight_ih, "weight_hh": weights.weight_hh}
    if weights.bias_ih is None:
        return named
    second = torch.zeros_like(weights.bias_ih) if weights.bias_hh is None else weights.bias_hh
    return {**named, "bias_ih": weights.bias_ih, "bias_hh": second}


# ---- Keras ----


def load_keras(cell: C, weights: Sequence[Tensor]) -> C:
    """Give a cell what `get_weights()` of Keras' `SimpleRNN`, `LSTM` or `GRU` returns, as tensors.

    They are kernel (I, gates), recurrent kernel (H, gates) and bias (gates); of a GRU with
    `reset_after=True`, Keras' default, bias (2, gates). Without a bias nothing says where the reset
    gate of a GRU was: then it is taken to be where the cell has it.

    Raises:
        ValueError: Where the cell is of another kind, form or size.
    """
    if len(weights) not in (2, 3):
        raise ValueError(f"Keras has a kernel, a recurrent kernel and a bias, got {len(weights)}")
    kernel, recurrent, *rest = weights
    bias = rest[0] if rest else None
    if bias is None:
        first, second = None, None
    elif bias.ndim == 2:
        first, second = bias.unbind()
    else:
        first, second = bias, None
    if bias is not None:
        _check_reset(cell, "after" if bias.ndim == 2 else "before")
    _load(cell, KERAS, Weights(kernel.T, recurrent.T, first, second))
    return cell


def to_keras(cell: ElmanCell | LSTMCell | GRUCell) -> list[Tensor]:
    """What `set_weights()` of Keras' layer takes; of a GRU `reset_after` is `reset == "after"`."""
    if cell.output_size != cell.hidden_size:
        raise ValueError("Keras has no projection, and this LSTMCell has one")
    weights = _take(cell, KERAS)
    named = [weights.weight_ih.T, weights.weight_hh.T]
    if weights.bias_ih is None:
        return named
    if weights.bias_hh is None:
        return [*named, weights.bias_ih]
    if isinstance(cell, GRUCell):
        return [*named, torch.stack([weights.bias_ih, weights.bias_hh])]
    return [*named, weights.bias_ih + weights.bias_hh]


# ---- neon ----


def load_neon(cell: C, buffer: Tensor) -> C:
    """Give a cell the buffer W of Intel neon's `Recurrent`, `LSTM` or `GRU`.

    W (I + H + 1, gates) holds the matrices (gates, I) and (gates, H) and the bias (gates) one after
    the other; they are read from it, not transposed.

    Raises:
        ValueError: Where the cell is of another kind, form or size.
    """
    rows = _num_gates(cell) * cell.hidden_size
    sizes = [rows * cell.input_size, rows * cell.hidden_size, rows]
    expected = (cell.input_size + cell.hidden_size + 1, rows)
    if tuple(buffer.shape) != expected:
        raise ValueError(
            f"neon's buffer for this cell must be (I + H + 1, gates) = {expected}, got "
            f"{tuple(buffer.shape)}"
        )
    from_x, from_h, bias = buffer.reshape(-1).split(sizes)
    _check_reset(cell, "before")
    _load(cell, NEON, Weights(from_x.view(rows, -1), from_h.view(rows, -1), bias))
    return cell


def to_neon(cell: ElmanCell | LSTMCell | GRUCell) -> Tensor:
    """The buffer W of neon's layer that computes the same."""
    if cell.output_size != cell.hidden_size:
        raise ValueError("neon has no projection, and this LSTMCell has one")
    _check_reset(cell, "before")
    weights = _take(cell, NEON)
    rows = weights.weight_ih.shape[0]
    bias = weights.weight_ih.new_zeros(rows) if weights.bias_ih is None else weights.bias_ih
    bias = bias if weights.bias_hh is None else bias + weights.bias_hh
    parts = [weights.weight_ih.reshape(-1), weights.weight_hh.reshape(-1), bias]
    return torch.cat(parts).view(-1, rows)


# ---- the two forms of a GRU ----


def with_update(cell: GRUCell, update: str) -> GRUCell:
    """A GRU that computes the same, with z on the "old" state or on the "new" one.

    σ(-a) = 1 - σ(a): the weights of z change their sign. There is no such way from one place of the
    reset gate to the other.
    """
    check_choice("update", update, UPDATES)
    like = cell.weight_ih
    other = GRUCell(
        cell.input_size,
        cell.hidden_size,
        bias=cell.bias_ih is not None,
        reset=cell.reset,
        update=update,
    ).to(like.device, like.dtype)
    _load(other, TORCH, _take(cell, TORCH))
    return other


# ---- what they share ----


def _num_gates(cell: Cell) -> int:
    return len(_order(cell, TORCH))


def _order(cell: Cell, layout: Layout) -> str:
    if type(cell) not in layout.order:
        raise ValueError(
            "only ElmanCell, LSTMCell and GRUCell have such weights in other libraries, got "
            f"{type(cell).__name__}"
        )
    if getattr(cell, "weight_ch", None) is not None:
        raise ValueError("other libraries have no peepholes, and this LSTMCell has")
    return layout.order[type(cell)]


def _check_reset(cell: Cell, reset: str) -> None:
    if isinstance(cell, GRUCell) and cell.reset != reset:
        raise ValueError(
            f"these weights have the reset gate {reset} the product, the cell {cell.reset} it: "
            f"they are different networks; make the cell with reset={reset!r}"
        )


def _reordered(tensor: Tensor | None, order: str, new_order: str, flips: bool) -> Tensor | None:
    """The rows in another order of the gates; with `flips` those of z with the other sign."""
    if tensor is None:
        return None
    if tensor.shape[0] % len(order):
        raise ValueError(f"{tensor.shape[0]} rows are not {len(order)} gates of one size")
    rows = dict(zip(order, tensor.chunk(len(order)), strict=True))
    return torch.cat([-rows[gate] if flips and gate == "z" else rows[gate] for gate in new_order])


def _convert(weights: Weights, order: str, new_order: str, flips: bool) -> Weights:
    parts = (weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh)
    return Weights(*(_reordered(part, order, new_order, flips) for part in parts))  # type: ignore[arg-type]


def _flips(cell: Cell, layout: Layout) -> bool:
    return isinstance(cell, GRUCell) and cell.update != layout.update


@torch.no_grad()
def _take(cell: Cell, layout: Layout) -> Weights:
    """The weights of a cell as a library writes them."""
    order = _order(cell, layout)
    own = Weights(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    return _convert(own, OWN_ORDER[type(cell)], order, _flips(cell, layout))


@torch.no_grad()
def _load(cell: Cell, layout: Layout, weights: Weights) -> None:
    """Give a cell weights that a library wrote; two biases that are only added become one."""
    order = _order(cell, layout)
    new = _convert(weights, order, OWN_ORDER[type(cell)], _flips(cell, layout))
    _copy("weight_ih", cell.weight_ih, new.weight_ih)
    _copy("weight_hh", cell.weight_hh, new.weight_hh)
    if cell.bias_ih is None:
        if any(bias is not None and bias.any() for bias in (new.bias_ih, new.bias_hh)):
            raise ValueError(
                "the weights have a bias, and the cell has none; make it with bias=True"
            )
        return
    zero = torch.zeros_like(cell.bias_ih)
    first = zero if new.bias_ih is None else new.bias_ih
    second = zero if new.bias_hh is None else new.bias_hh
    if cell.bias_hh is None:
        _copy("bias_ih", cell.bias_ih, first + second)
    else:
        _copy("bias_ih", cell.bias_ih, first)
        _copy("bias_hh", cell.bias_hh, second)


@torch.no_grad()
def _copy(name: str, parameter: Tensor, value: Tensor) -> None:
    if parameter.shape != value.shape:
        raise ValueError(
            f"{name} of the cell is {tuple(parameter.shape)}, the weights give {tuple(value.shape)}"
        )
    parameter.copy_(value)
