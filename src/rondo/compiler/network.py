"""Programs that run one after the other, layer by layer, as two chains of kernels.

In go the programs of the layers and directions of a network and the sizes of a batch, out come a
chain for the forward pass and one for the backward pass. Between the passes lie all values that the
backward pass reads, in one block of memory. A chain is made only where kernels do all of a
network: nothing is left to torch, and all numbers are of one type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor

from rondo.compiler.cached import cached_property
from rondo.compiler.chain import WORKSPACE, Action, Chain, Copy, KernelRun, Place
from rondo.compiler.covered import check_program
from rondo.compiler.network_passes import BLOCK, Backward, Forward, Room, in_lines
from rondo.compiler.program import Program
from rondo.compiler.views import row_sizes

MOST_KEPT_BYTES = 4 << 20
"""What layers give each other may take so much of a workspace that is kept for the next run."""


@dataclass(frozen=True)
class Unit:
    """One direction of one layer.

    Args:
        program: What runs it.
        weights: Which of the network's weights are its program's parameters, in order.
        reverse: Whether it runs from the last step to the first.
    """

    program: Program
    weights: tuple[int, ...]
    reverse: bool = False


@dataclass(frozen=True)
class Network:
    """Layers of one or two directions on a batch of sequences of one length.

    Args:
        layers: The directions of each layer; a layer reads the outputs of all directions of the one
            before it, side by side.
        weights: Tensors like those that it will be run with.
        state_sizes: The size of a row of each tensor of the state.
        num_steps: The number of steps.
        num_rows: The number of rows.
        input_size: The size of a row of the input.
        dtype: The type of the input and the state.
        has_gradient: Whether a backward pass is to follow.
        wants_input: Whether that gives the gradient of the input.
        wants_state: Whether that gives the gradient of the initial state.
        workspaces: Workspaces of runs that ended.
    """

    layers: tuple[tuple[Unit, ...], ...]
    weights: tuple[Tensor, ...]
    state_sizes: tuple[int, ...]
    num_steps: int
    num_rows: int
    input_size: int
    dtype: torch.dtype
    has_gradient: bool
    wants_input: bool
    wants_state: bool
    workspaces: list[Tensor] = field(repr=False)

    @property
    def num_packed(self) -> int:
        """The rows of all steps."""
        return self.num_steps * self.num_rows

    @property
    def units(self) -> list[Unit]:
        """All directions of all layers, as their states lie."""
        return [unit for layer in self.layers for unit in layer]

    @property
    def output_row(self) -> tuple[int, ...]:
        """The shape of a row of what a direction puts out."""
        step = self.layers[0][0].program.graph.step
        return row_sizes(step.by_name[step.outputs[0]].shape or ())

    @property
    def output_size(self) -> int:
        """The size of a row of what a direction puts out."""
        return prod(self.output_row)

    @property
    def initial(self) -> int:
        """The base of the first initial state."""
        return BLOCK + 1

    @property
    def last(self) -> int:
        """The base of the first state at the end; in the backward pass, of its gradient."""
        return self.initial + len(self.state_sizes)

    @property
    def first_weight(self) -> int:
        """The base of the first weight."""
        return self.last + len(self.state_sizes)

    @property
    def gradient(self) -> int:
        """The base of the gradient of the output; those of the input and the weights follow."""
        return self.first_weight + len(self.weights)

    def states_at(self, base: int, unit: int) -> list[Place]:
        """Where the states of a unit lie, which are those of all units one after the other."""
        row_bytes = [self.num_rows * size * self.dtype.itemsize for size in self.state_sizes]
        return [Place(base + number, unit * size) for number, size in enumerate(row_bytes)]

    def make(self) -> None:
        """Make what runs the passes.

        Raises:
            NotChainedError: Where kernels do not do all of it.
        """
        for unit in self.units:
            check_program(unit.program)
        assert self.forward
        assert not self.has_gradient or self.backward

    @cached_property
    def forward(self) -> Chain:
        """The forward pass; its bases are the input, ..., the weights."""
        passed = Forward(self)
        return self._chain(passed.actions, self.gradient, passed.room)

    @cached_property
    def backward(self) -> Chain:
        """The backward pass; its bases are those of the forward pass, then the gradients."""
        passed = Backward(self)
        return self._chain(passed.actions, self.gradient + 2 + len(self.weights), passed.sums)

    @cached_property
    def block_bytes(self) -> int:
        """The memory that is kept between the passes."""
        return Forward(self).room.size if self.has_gradient else 0

    def _chain(self, actions: Sequence[Action], num_bases: int, room: Room) -> Chain:
        """A chain; what kernels take for themselves lies behind what they give each other."""
        begin = room.size if room.base == WORKSPACE else 0
        moved, ends = zip(*(_moved(action, begin) for action in actions), strict=True)
        keeps = begin <= MOST_KEPT_BYTES
        return Chain(moved, num_bases, max(ends), self.workspaces, keeps=keeps)


def _moved(action: Action, begin: int) -> tuple[Action, int]:
    """An action whose kernels take their memory in a workspace from there on, and where it ends."""
    if isinstance(action, Copy):
        return action, begin
    if isinstance(action, KernelRun):
        end = begin + in_lines(action.sizes.workspace_bytes)
        return replace(action, workspace=Place(WORKSPACE, begin)), end
    runs = []
    for run in action.runs:
        runs.append(replace(run, workspace=Place(WORKSPACE, begin)))
        begin += in_lines(run.sizes.workspace_bytes)
    return replace(action, runs=tuple(runs)), begin
