"""A run of a kernel within a chain: what it is told, and where all that it reads and writes lies.

In go a kernel, the network that it is of and the places of values by name; out comes the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from rondo.compiler.call import Call, Slot
from rondo.compiler.chain import Copy, KernelRun, Place
from rondo.compiler.covered import require
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.in_place import pays_for_run, read_in_place
from rondo.compiler.kernel import Buffer
from rondo.compiler.reference import Steps
from rondo.compiler.run import strides_of

if TYPE_CHECKING:
    from rondo.compiler.network import Network, Unit

aten = torch.ops.aten

RENAMES = (aten.view, aten._unsafe_view, aten.reshape)
"""What gives the same numbers in the same order, under another shape."""


@dataclass(frozen=True)
class KernelRuns:
    """What a kernel of a unit is told."""

    network: Network
    unit: Unit
    loop: CompiledLoop
    places: Mapping[str, Place]
    dtypes: Mapping[str, torch.dtype]
    starts: Mapping[str, Place] = field(default_factory=dict)

    def run(
        self,
        steps: Steps,
        states: Sequence[Place],
        *,
        previous_reverse: bool = False,
        state_unread: bool = False,
        alone: bool = False,
    ) -> KernelRun:
        """A run over all steps, perhaps by a thread alone."""
        loop, kernel = self.loop, self.loop.kernel
        named = self._weights()
        matrices = [named[matrix.tensor] for matrix in kernel.matrices]
        tensors = [
            self.network.weights[place.base - self.network.first_weight] for place in matrices
        ]
        now = iter(states)
        places = [
            next(now) if slot.buffer.place == "state" else self._place(slot, named)
            for slot in loop.slots
        ]
        sizes = loop.sizes_of(steps, self.network.num_rows, 1 if alone else None)
        call = Call.from_buffer_copy(sizes.call)
        call.num_steps, call.begins, call.ends = len(steps.batch_sizes), 1, 1
        call.state_unread = state_unread
        call.reverse, call.previous_reverse = steps.reverse, previous_reverse
        if pays_for_run(loop, tensors, steps.num_rows):
            read_in_place(call, loop, steps.num_rows)
        strides = [
            stride
            for tensor, matrix in zip(tensors, kernel.matrices, strict=True)
            for stride in strides_of(tensor, matrix.transposed)
        ]
        starts = [self.starts[slot.buffer.name] for slot in loop.slots if is_previous(slot)]
        return KernelRun(
            loop.binary.rondo_run,
            call,
            sizes,
            tuple(strides),
            (*places, *states, *matrices),
            tuple(place for place in starts for _ in range(2)),
        )

    def _weights(self) -> dict[str, Place]:
        """Where the weights of the unit lie, by name."""
        first, step = self.network.first_weight, self.loop.plan.step
        pairs = zip(step.parameters, self.unit.weights, strict=True)
        return {value.name: Place(first + number) for value, number in pairs}

    def _place(self, slot: Slot, weights: Mapping[str, Place]) -> Place:
        buffer = slot.buffer
        if buffer.place == "shared":
            require(buffer.name in weights, "a value that is computed once")
            tensor = self.network.weights[weights[buffer.name].base - self.network.first_weight]
            require(tensor.is_contiguous() and tensor.dtype == buffer.dtype, "a weight in pieces")
            return weights[buffer.name]
        name = buffer.name if slot.output is None else slot.output
        require(name in self.places and not slot.dim, f"{name}, which lies elsewhere")
        require(is_previous(slot) or name not in self.starts, "a state of another type")
        require(self.dtypes.get(name, buffer.dtype) == buffer.dtype, "a value of another type")
        return self.places[name]


def turned_copies(to: Place, source: Place, total: Buffer) -> list[Copy]:
    """Copies of the columns of a matrix, which are rows elsewhere."""
    height, width = total.sizes
    size = total.dtype.itemsize
    return [
        Copy(
            to._replace(offset=to.offset + row * size),
            source._replace(offset=source.offset + row * width * size),
            size,
            width,
            height * size,
            size,
        )
        for row in range(height)
    ]


def total_of(loop: CompiledLoop, name: str) -> Buffer:
    """The buffer of a kernel in which a sum lies that a plan gives."""
    totals = {buffer.name: buffer for buffer in loop.kernel.at("total")}
    nodes = {node.name: node for node in loop.kernel.totals}
    while name not in totals:
        node = nodes.get(name)
        require(node is not None and node.packet in RENAMES, "a sum of which torch makes another")
        assert node is not None
        name = node.reads[0]
    return totals[name]


def is_previous(slot: Slot) -> bool:
    """Whether the states that steps begin with are found there."""
    return slot.buffer.place == "previous"
