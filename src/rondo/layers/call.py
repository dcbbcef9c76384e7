"""One call of a layer: a cell, what it is run on, and how.

In go the arguments of a layer as packed rows, out comes a :class:`Call`, of which programs are made
and which the plain loop runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler import EngineName
from rondo.compiler.attributes import Surroundings, surroundings
from rondo.compiler.operators import (
    is_observed,
    is_transformed,
)
from rondo.compiler.plain import PlainLoop
from rondo.compiler.probe import Trial
from rondo.compiler.reference import Steps
from rondo.compiler.state import Form
from rondo.compiler.trace import named_tensors
from rondo.layers.sequence import Packing


@dataclass(frozen=True)
class Held:
    """What a cell is run on: its tensors, and what they stand for.

    Args:
        key: What the step depends on beside its tensors.
        own: The tensors that the cell's code reads, by name.
        given: What is used for them, by name.
    """

    key: Any
    own: Mapping[str, Tensor]
    given: dict[str, Tensor]

    @property
    def instead(self) -> dict[str, Tensor]:
        """The tensors that are used in place of the cell's own, by name."""
        own = self.own
        return {name: tensor for name, tensor in self.given.items() if tensor is not own[name]}


@dataclass(frozen=True)
class Call:
    """One call of a layer, as packed rows.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        held: What it is run on.
        rows: The input of all steps, packed (N, ...).
        leaves: The tensors of the state before the first step, (B, ...), in the order of the batch.
        form: Its form.
        packing: Where the steps of the batch lie.
        engine: What runs the loop; see :class:`rondo.Recurrent`.
        resets: (N,) bool, packed, or None.
        reverse: Whether to run from the last step to the first.
        checkpoint_every: Of which steps to keep the state alone.
        return_states: Whether the states of all steps are wanted.
    """

    cell: nn.Module
    held: Held
    rows: Tensor
    leaves: list[Tensor]
    form: Form
    packing: Packing
    engine: EngineName
    resets: Tensor | None
    reverse: bool
    checkpoint_every: int | None
    return_states: bool

    def cast(self) -> Call:
        """The same call in the type of autocast, where that is on."""
        rows, leaves, given = cast_all(self.rows, self.leaves, [*self.held.given.values()])
        if not torch.is_autocast_enabled(rows.device.type):
            return self
        named = dict(zip(self.held.given, given, strict=True))
        return replace(self, rows=rows, leaves=leaves, held=replace(self.held, given=named))

    def real(self) -> Call:
        """The same call on tensors that have numbers, where torch makes a graph with others."""
        rows, *leaves = (example_like(t, (1, *t.shape[1:])) for t in (self.rows, *self.leaves))
        given = {name: example_like(t, tuple(t.shape)) for name, t in self.held.given.items()}
        return replace(self, rows=rows, leaves=leaves, held=replace(self.held, given=given))

    @property
    def is_ragged(self) -> bool:
        """Whether rows end at different steps."""
        return self.packing.index is not None or self.packing.order is not None

    @property
    def wanted(self) -> tuple[bool, ...]:
        """For each tensor of the cell, whether its gradient is wanted."""
        grad = torch.is_grad_enabled()
        return tuple(grad and tensor.requires_grad for tensor in self.held.given.values())

    @property
    def kind(self) -> tuple[Any, ...]:
        """All that a program depends on."""
        return (
            self.held.key,
            self.form,
            self.wanted,
            self.rows.requires_grad,
            torch.is_grad_enabled(),
            self.engine,
            self.return_states,
            *map(kind_of_tensor, self.held.given.values()),
            *map(kind_of_rows, (self.rows, *self.leaves)),
        )

    @property
    def num_rows(self) -> int:
        """The number of rows of the batch."""
        if self.leaves:
            return len(self.leaves[0])
        if self.packing.order is not None:
            return len(self.packing.order)
        return max(self.packing.batch_sizes.tolist(), default=0)

    def trial(self) -> Trial:
        """The cell of this call, to be tried on the side."""
        held, state = self.held, self.form.unflatten(self.leaves)
        return Trial(self.cell, held.own, self.rows, state, held.instead)

    def plain_loop(self) -> PlainLoop:
        """The plain loop of this call."""
        return PlainLoop(
            self.cell,
            Steps.of(self.packing.batch_sizes, self.reverse),
            self.packing.order,
            self.resets,
            self.num_rows,
            self.return_states,
            None if is_transformed() else self.checkpoint_every,
        )


def held_by(
    cell: nn.Module,
    tensors: Mapping[str, Tensor] | None = None,
    *,
    stays: bool = False,
    known: Surroundings | None = None,
) -> Held:
    """What a cell is run on.

    Args:
        cell: The cell.
        tensors: What to use for its tensors, by name; default these.
        stays: Whether nothing of the cell but these changes.
        known: What the cell holds, where that is known.
    """
    if torch.compiler.is_dynamo_compiling() or stays:
        own = named_tensors(cell)
        given = own if tensors is None else tensors
        return Held(None, {name: own[name] for name in given}, dict(given))
    found = surroundings(cell) if known is None else known
    return Held(tuple(found.key), found.tensors, dict(found.tensors))


Results = tuple[Tensor, list[Tensor], list[Tensor], Form]
"""The output, the states of all steps where they are wanted, the last state and its form."""


def runs_plain(engine: EngineName, rows: Tensor) -> bool:
    """Whether the plain loop runs whatever the cell is: it was asked for, or nothing else can."""
    if torch.compiler.is_dynamo_compiling():
        return False
    is_traced = torch._C._is_tracing()  # by torch.jit.trace, which knows torch's own operations
    return engine == "plain" or is_traced or is_transformed() or is_fake(rows)


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor has no numbers, only sizes."""
    if torch.compiler.is_compiling():
        return False
    return tensor.is_meta or type(tensor).__name__ == "FakeTensor"


def leaves_of(state: Any) -> tuple[Tensor, ...] | None:
    """The tensors of a state that is one, or a tuple of them; None for any other."""
    if type(state) is Tensor:
        return (state,)
    if type(state) is tuple and all(type(leaf) is Tensor for leaf in state):
        return state
    return None


def is_plain(x: Tensor, leaves: Sequence[Tensor] = ()) -> bool:
    """Whether tensors are rows in memory that a kernel may read, and nothing of torch looks on."""
    if torch.is_autocast_enabled("cpu") or is_observed(x) or is_transformed():
        return False
    if x.ndim == 0 or x.numel() == 0:
        return False
    num_rows = x.shape[0]
    return all(
        tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and tensor.ndim > 0
        and tensor.shape[0] == num_rows
        for tensor in (x, *leaves)
    )


def cast_all(
    rows: Tensor, leaves: list[Tensor], tensors: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Under autocast, everything of floating point in its dtype."""
    device = rows.device.type
    if not torch.is_autocast_enabled(device):
        return rows, leaves, tensors
    dtype = torch.get_autocast_dtype(device)

    def cast_one(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return cast_one(rows), [*map(cast_one, leaves)], [*map(cast_one, tensors)]


def kind_of_rows(tensor: Tensor) -> tuple[Any, ...]:
    """What a program depends on of a tensor with rows."""
    return tensor.dtype, tensor.device, tuple(tensor.shape[1:])


def kind_of_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """What a program depends on of a tensor of the cell."""
    return tensor.dtype, tensor.device, tuple(tensor.shape)


def describe(tensor: Tensor, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """What a program depends on of a tensor that stands for one of the given shape."""
    return shape, tensor.dtype, tensor.device, tensor.requires_grad


def example(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, grad: bool) -> Tensor:
    """A tensor of zeros that stands for another one."""
    return torch.zeros(shape, dtype=dtype, device=device, requires_grad=grad)


def example_like(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros in place of a tensor, of another shape."""
    return example(*describe(tensor, shape))
