"""Recurrent cells that people published, as data: how each is made, and what it runs over."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import published_dynamics as dynamics
import published_gated as gated
import published_memory as memory
import published_spiking as spiking
from plain_loop import Sequences, default_dtype, moved_state
from rondo.data.seeds import seed_layers


def values(batch_size: int, num_steps: int, *sizes: int) -> Tensor:
    return torch.randn(batch_size, num_steps, *sizes)


def large_values(batch_size: int, num_steps: int, input_size: int) -> Tensor:
    return 8 * values(batch_size, num_steps, input_size)


def values_and_times(batch_size: int, num_steps: int, input_size: int) -> Tensor:
    times = torch.rand(batch_size, num_steps, 1).cumsum(1)
    return torch.cat([values(batch_size, num_steps, input_size - 1), times], -1)


def values_masks_and_gaps(batch_size: int, num_steps: int, input_size: int) -> Tensor:
    value = values(batch_size, num_steps, input_size // 3)
    return torch.cat([value, (value > -0.5).to(value.dtype), torch.rand_like(value)], -1)


def values_of_nodes(batch_size: int, num_steps: int, input_size: int) -> Tensor:
    return values(batch_size, num_steps, 3, input_size)


def pictures(batch_size: int, num_steps: int, input_size: int) -> Tensor:
    return values(batch_size, num_steps, input_size, 3, 2)


@dataclass(frozen=True)
class Published:
    """One cell.

    Args:
        kind: Its class.
        sizes: The sizes of its input and its state where it is tested.
        large: Those where it is timed.
        draw_x: Inputs of B, T and the input's size.
        mixes_rows: Whether what a row gives depends on the others: such a cell has no ragged form.
        is_random: Whether it draws random numbers.
        attends: The shape (S, M) of a memory for each row that the cell holds.
    """

    kind: Callable[..., nn.Module]
    sizes: tuple[int, int] = (4, 6)
    large: tuple[int, int] = (32, 64)
    draw_x: Callable[[int, int, int], Tensor] = values
    mixes_rows: bool = False
    is_random: bool = False
    attends: tuple[int, int] | None = None


PUBLISHED = {
    "lstm": Published(gated.WrappedLSTM),
    "gru": Published(gated.WrappedGRU),
    "sru": Published(gated.SRU),
    "qrnn": Published(gated.QRNN),
    "gru-d": Published(gated.GRUD, (6, 6), (30, 64), values_masks_and_gaps),
    "phased-lstm": Published(gated.PhasedLSTM, draw_x=values_and_times),
    "clockwork": Published(gated.Clockwork),
    "mogrifier-lstm": Published(gated.MogrifierLSTM),
    "hyper-lstm": Published(gated.HyperLSTM),
    "fast-grnn": Published(gated.FastGRNN),
    "weight-norm-gru": Published(gated.WeightNormGRU),
    "batch-norm-lstm": Published(gated.BatchNormLSTM, mixes_rows=True),
    "zoneout-lstm": Published(gated.ZoneoutLSTM, is_random=True),
    "ntm": Published(memory.NTM),
    "delta-net": Published(memory.DeltaNet, (4, 3), (32, 16)),
    "mlstm": Published(memory.MLSTM, (4, 3), (32, 16)),
    "relational-memory": Published(memory.RelationalMemory, (4, 4), (32, 32)),
    "rim": Published(memory.RIM, (4, 3), (32, 32)),
    "attention-decoder": Published(memory.AttentionDecoder, attends=(5, 3)),
    "graph-gru": Published(memory.GraphGRU, (2, 3), (8, 32), values_of_nodes),
    "conv-lstm": Published(memory.ConvLSTM, (2, 2), (4, 16), pictures),
    "ode-rnn": Published(dynamics.ODERNN, draw_x=values_and_times),
    "co-rnn": Published(dynamics.CoRNN),
    "ind-rnn": Published(dynamics.IndRNN),
    "lmu": Published(dynamics.LMU),
    "echo-state": Published(dynamics.EchoState),
    "unitary-complex": Published(dynamics.UnitaryRNN),
    "unitary-rotations": Published(dynamics.RotationRNN),
    "orthogonal": Published(dynamics.OrthogonalRNN),
    "tensor-train": Published(dynamics.TensorTrainRNN),
    "lif": Published(spiking.LIF, draw_x=large_values),
    "adaptive-lif": Published(spiking.AdaptiveLIF, draw_x=large_values),
    "binary-weights": Published(spiking.BinaryWeights),
    "quantised-gru": Published(spiking.QuantisedGRU),
}


def make_cell(name: str, dtype: torch.dtype = torch.float64, *, large: bool = False) -> nn.Module:
    """A published cell, with the same numbers at every call."""
    published = PUBLISHED[name]
    seed_layers(3)
    with default_dtype(dtype):
        return published.kind(*(published.large if large else published.sizes))


def make_sequences(
    name: str,
    cell: nn.Module,
    batch_size: int,
    num_steps: int,
    dtype: torch.dtype = torch.float64,
    *,
    large: bool = False,
) -> Sequences:
    """Inputs, a state that is not the cell's own and, where it attends, a memory."""
    published = PUBLISHED[name]
    input_size, _ = published.large if large else published.sizes
    seed_layers(4)
    with default_dtype(dtype):
        x = published.draw_x(batch_size, num_steps, input_size).requires_grad_()
        state = moved_state(cell, x)
        if published.attends is None:
            return Sequences(x, state)
        held = torch.randn(batch_size, *published.attends, requires_grad=True)
    attending: Any = cell
    attending.attend(held)
    return Sequences(x, state, outside={"memory": held})


def as_float64(cell: nn.Module, given: Sequences) -> tuple[nn.Module, Sequences]:
    """The same cell and the same inputs in float64."""

    def exact(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(torch.complex128)
        return tensor.double() if tensor.is_floating_point() else tensor

    def again(tensor: Tensor) -> Tensor:
        return exact(tensor.detach()).requires_grad_(tensor.requires_grad)

    other: Any = deepcopy(cell)._apply(exact)
    outside = {name: again(tensor) for name, tensor in (given.outside or {}).items()}
    if outside:
        other.attend(outside["memory"])
    x, state = again(given.x), pytree.tree_map(again, given.state)
    return other, replace(given, x=x, state=state, outside=outside)
