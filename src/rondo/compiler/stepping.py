"""One step of a compiled loop at a time, from any state on.

In go a compiled loop and an example of its tensors, out comes a function of one step. What does not
change from step to step is set up once: the memory, what the kernel is told, the packed weights if
weights are packed. Weights may be written at any time and by anybody (a fused optimiser, numpy,
another process), of which torch's version numbers do not tell. So for few rows the kernel reads the
weights where they lie, and for many a step takes a fingerprint of what was packed, and packs again
where it is another.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.guarded import Guarded
from rondo.compiler.in_place import pays_for_steps, read_in_place
from rondo.compiler.kernel import Buffer
from rondo.compiler.reference import Steps


@dataclass(frozen=True)
class Places:
    """Which of the addresses that a kernel is told are those of a step.

    Args:
        x: That of the input; None where a step reads none.
        outputs: Those of the outputs.
        states: Those of the tensors of the state.
        output: Which of the outputs is the step's.
    """

    x: int | None
    outputs: tuple[int, ...]
    states: tuple[int, ...]
    output: int

    @classmethod
    def of(cls, loop: CompiledLoop) -> Places:
        """Those of a loop."""
        places = [slot.buffer.place for slot in loop.slots]
        outputs, states = (
            tuple(number for number, place in enumerate(places) if place == wanted)
            for wanted in ("output", "state")
        )
        names = [loop.slots[number].output for number in outputs]
        x = places.index("input") if "input" in places else None
        return cls(x, outputs, states, names.index(loop.plan.step.outputs[0]))


class Packed:
    """A kernel that was told where parameters lie, whose weights are packed if that pays.

    Args:
        loop: The compiled plan of a cell, without what only training needs.
        parameters: The cell's parameters, buffers and constants.
        example: An input (B, ...).
        state: A state.
    """

    def __init__(
        self,
        loop: CompiledLoop,
        parameters: Sequence[Tensor],
        example: Tensor,
        state: Sequence[Tensor],
    ) -> None:
        self.parameters = parameters
        with torch.inference_mode(False), torch.no_grad():  # what is kept serves all later calls
            self.aliases = [parameter.detach() for parameter in parameters]
            self.pointers = [*map(Tensor.data_ptr, parameters)]
            run = loop.start(self.aliases, [example], state, Steps((len(example),)))
            self.is_in_place = pays_for_steps(loop, run.matrices, run.num_all_rows)
            if self.is_in_place:
                read_in_place(run.call, loop, run.num_all_rows)
            guarded = _packed_from(loop, self.aliases, with_matrices=not self.is_in_place)
            self.guarded = Guarded(guarded, loop.binary.rondo_run, run.call)
            run.all_chunks()
        run.call.begins = 0
        self.run, self.addresses = run, run.addresses
        places = Places.of(loop)
        self.like = [run.whole[str(loop.slots[number].output)] for number in places.outputs]

    def is_current(self) -> bool:
        """Whether all parameters lie where they lay; `share_memory` moves those of aliases too."""
        is_same = all(map(Tensor.is_set_to, self.parameters, self.aliases))
        return is_same and [*map(Tensor.data_ptr, self.parameters)] == self.pointers


class Stepper:
    """Runs single steps with weights that stay packed until they change.

    Args:
        loop: The compiled plan of a cell, without what only training needs.
        parameters: The cell's parameters, buffers and constants.
        x: An example of the input (B, ...).
        state: One of the state.
    """

    def __init__(
        self,
        loop: CompiledLoop,
        parameters: Sequence[Tensor],
        x: Tensor,
        state: Sequence[Tensor],
    ) -> None:
        self.loop, self.parameters, self.places = loop, list(parameters), Places.of(loop)
        self.busy = threading.Lock()
        with torch.inference_mode(False), torch.no_grad():
            self.example = torch.zeros_like(x)
            self.examples = [torch.zeros_like(value) for value in state]
        self._pack()

    @staticmethod
    def covers(loop: CompiledLoop) -> bool:
        """Whether a loop does all of a step itself, on memory that it is given."""
        is_alone = not (loop.kernel.before or loop.kernel.after or loop.copied)
        return is_alone and loop.kernel.stored == loop.kernel.dtype

    def __call__(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output and the new state; x and the state are contiguous and like the examples."""
        new = [value.clone() for value in state]
        outputs = [torch.empty_like(value) for value in self.packed.like]
        with self.busy:
            self._point_to(x, outputs, new)
            if not self.packed.guarded.run_unless_changed():
                self._pack()
                self._point_to(x, outputs, new)
                self.loop.binary.rondo_run(ctypes.byref(self.packed.run.call))
        return outputs[self.places.output], new

    def is_current(self) -> bool:
        """Whether all parameters lie where they lay when their memory was looked up."""
        return self.packed.is_current()

    def _pack(self) -> None:
        """Look up where the parameters lie, and pack the weights as they are now."""
        self.packed = Packed(self.loop, self.parameters, self.example, self.examples)

    def _point_to(self, x: Tensor, outputs: Sequence[Tensor], state: Sequence[Tensor]) -> None:
        """Have the kernel read the input and read and write the state and the outputs."""
        places, addresses = self.places, self.packed.addresses
        if places.x is not None:
            addresses[places.x] = x.data_ptr()
        numbers = *places.outputs, *places.states
        for number, value in zip(numbers, (*outputs, *state), strict=True):
            addresses[number] = value.data_ptr()


def _packed_from(
    loop: CompiledLoop, parameters: Sequence[Tensor], *, with_matrices: bool
) -> list[Tensor]:
    """Those of the parameters of which the kernel reads something that was made of them."""
    kernel = loop.kernel
    given = dict(zip((value.name for value in loop.plan.step.parameters), parameters, strict=True))
    read = {
        buffer.name
        for buffer in kernel.at("shared")
        if buffer.name in given and not _is_read_as_it_is(given[buffer.name], buffer)
    }
    read.update(matrix.tensor for matrix in kernel.matrices if with_matrices)
    read.update(name for node in loop.constants for name in node.reads)
    return [tensor for name, tensor in given.items() if name in read]


def _is_read_as_it_is(tensor: Tensor, buffer: Buffer) -> bool:
    return tensor.dtype == buffer.dtype and tensor.is_contiguous() and not tensor.is_neg()
