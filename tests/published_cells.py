"""Recurrent cells that people published, as data: how each is made, and what it runs over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import published_dynamics as dynamics
import published_gated as gated
import published_memory as memory
import published_spiking as spiking
from plain_loop import Sequences, default_dtype, moved_state

INPUT_SIZE, HIDDEN_SIZE = 4, 6


def values(batch_size: int, num_steps: int, *shape: int) -> Tensor:
    return torch.randn(batch_size, num_steps, *(shape or (INPUT_SIZE,)))


def values_and_times(batch_size: int, num_steps: int) -> Tensor:
    x = values(batch_size, num_steps)
    x[..., -1] = torch.rand(batch_size, num_steps).cumsum(1)
    return x


def values_masks_and_gaps(batch_size: int, num_steps: int) -> Tensor:
    value, gap = torch.randn(batch_size, num_steps, 2), torch.rand(batch_size, num_steps, 2)
    return torch.cat([value, (value > -0.5).to(value.dtype), gap], -1)


@dataclass(frozen=True)
class Published:
    """One cell.

    Args:
        kind: Its class.
        sizes: With what it is made.
        draw_x: Inputs (B, T, ...).
        mixes_rows: Whether what a row gives depends on the others: such a cell has no ragged form.
        is_random: Whether it draws random numbers.
        attends: The shape (S, M) of a memory for each row that the cell holds.
    """

    kind: Callable[..., nn.Module]
    sizes: tuple[int, ...] = (INPUT_SIZE, HIDDEN_SIZE)
    draw_x: Callable[[int, int], Tensor] = values
    mixes_rows: bool = False
    is_random: bool = False
    attends: tuple[int, int] | None = None


PUBLISHED = {
    "lstm": Published(gated.WrappedLSTM),
    "gru": Published(gated.WrappedGRU),
    "sru": Published(gated.SRU),
    "qrnn": Published(gated.QRNN),
    "gru-d": Published(gated.GRUD, (6, HIDDEN_SIZE), values_masks_and_gaps),
    "phased-lstm": Published(gated.PhasedLSTM, draw_x=values_and_times),
    "clockwork": Published(gated.Clockwork),
    "mogrifier-lstm": Published(gated.MogrifierLSTM),
    "hyper-lstm": Published(gated.HyperLSTM),
    "fast-grnn": Published(gated.FastGRNN),
    "weight-norm-gru": Published(gated.WeightNormGRU),
    "batch-norm-lstm": Published(gated.BatchNormLSTM, mixes_rows=True),
    "zoneout-lstm": Published(gated.ZoneoutLSTM, is_random=True),
    "ntm": Published(memory.NTM),
    "delta-net": Published(memory.DeltaNet, (INPUT_SIZE, 3)),
    "mlstm": Published(memory.MLSTM, (INPUT_SIZE, 3)),
    "relational-memory": Published(memory.RelationalMemory, (INPUT_SIZE, 4)),
    "rim": Published(memory.RIM, (INPUT_SIZE, 3)),
    "attention-decoder": Published(memory.AttentionDecoder, attends=(5, 3)),
    "graph-gru": Published(memory.GraphGRU, (2, 3), lambda b, t: values(b, t, 3, 2)),
    "conv-lstm": Published(memory.ConvLSTM, (2, 2), lambda b, t: values(b, t, 2, 3, 2)),
    "ode-rnn": Published(dynamics.ODERNN, draw_x=values_and_times),
    "co-rnn": Published(dynamics.CoRNN),
    "ind-rnn": Published(dynamics.IndRNN),
    "lmu": Published(dynamics.LMU),
    "echo-state": Published(dynamics.EchoState),
    "unitary-complex": Published(dynamics.UnitaryRNN),
    "unitary-rotations": Published(dynamics.RotationRNN),
    "orthogonal": Published(dynamics.OrthogonalRNN),
    "tensor-train": Published(dynamics.TensorTrainRNN),
    "lif": Published(spiking.LIF, draw_x=lambda b, t: 8 * values(b, t)),
    "adaptive-lif": Published(spiking.AdaptiveLIF, draw_x=lambda b, t: 3 * values(b, t)),
    "binary-weights": Published(spiking.BinaryWeights),
    "quantised-gru": Published(spiking.QuantisedGRU),
}


def make_cell(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A published cell, with the same numbers at every call."""
    published = PUBLISHED[name]
    torch.manual_seed(3)
    with default_dtype(dtype):
        return published.kind(*published.sizes)


def make_sequences(
    name: str, cell: nn.Module, batch_size: int, num_steps: int, dtype: torch.dtype = torch.float64
) -> Sequences:
    """Inputs, a state that is not the cell's own and, where it attends, a memory."""
    published = PUBLISHED[name]
    torch.manual_seed(4)
    with default_dtype(dtype):
        x = published.draw_x(batch_size, num_steps).requires_grad_()
        state = moved_state(cell, x)
        if published.attends is None:
            return Sequences(x, state)
        held = torch.randn(batch_size, *published.attends, requires_grad=True)
    attending: Any = cell
    attending.attend(held)
    return Sequences(x, state, outside={"memory": held})
