"""One step of a compiled loop at a time, for streams.

In go a compiled loop and an example of its tensors, out comes a function of one step. What does not
change from step to step is set up once: the packed weights, the memory, what the kernel is told.
Weights may be written at any time and by anybody (a fused optimiser, numpy, another process), of
which torch's version numbers do not tell. So a step takes a fingerprint of all that was packed, and
packs again where it is another; where weights are many and rows are few it packs nothing.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.guarded import Guarded, guards_of
from rondo.compiler.in_place import pays_for_steps, read_in_place
from rondo.compiler.reference import Steps


class Stepper:
    """Runs single steps with weights that stay packed until they change.

    Args:
        loop: The compiled plan of a cell, without what only training needs.
        parameters: The cell's parameters, buffers and constants.
        x: An example of the input (B, ...).
        state: The state to begin with.
    """

    def __init__(
        self,
        loop: CompiledLoop,
        parameters: Sequence[Tensor],
        x: Tensor,
        state: Sequence[Tensor],
    ) -> None:
        self.loop = loop
        self.parameters = list(parameters)
        places = [slot.buffer.place for slot in loop.slots]
        self.of_x = places.index("input") if "input" in places else None
        of_outputs = [number for number, place in enumerate(places) if place == "output"]
        of_state = [number for number, place in enumerate(places) if place == "state"]
        self.of_rest = [*of_outputs, *of_state]
        outputs = loop.plan.step.outputs
        names = [loop.slots[number].output for number in of_outputs]
        self.output = names.index(outputs[0])
        self.busy = threading.Lock()
        self.guards: Any = None  # tensors like those of the last call of `advance`
        self.pointers: list[int] = []  # where the parameters lay then
        self.points_to_own = False  # whether the kernel was told last of `self.state`
        with torch.inference_mode(False), torch.no_grad():  # what is kept serves all later calls
            self.state = [torch.empty_like(given).copy_(given) for given in state]
            self.example = torch.zeros_like(x)
            self._pack()
        self.like = [self.run.whole[name] for name in names if name is not None]

    @staticmethod
    def covers(loop: CompiledLoop) -> bool:
        """Whether a loop does all of a step itself, on memory that it is given."""
        is_alone = not (loop.kernel.before or loop.kernel.after or loop.copied)
        return is_alone and loop.kernel.stored == loop.kernel.dtype

    def __call__(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output and the new state; x and the state are contiguous and like the examples."""
        new = [value.clone() for value in state]
        return self._run(x, new), new

    def advance(self, x: Tensor) -> Tensor:
        """The output of a step from `self.state` on, which becomes the new state.

        x is contiguous and like the example, and so will be what `advance_again` takes.
        """
        output = self._run(x, self.state)
        self.guards = guards_of((x, *self.parameters))
        self.pointers = [*map(Tensor.data_ptr, self.parameters)]
        return output

    def advance_again(self, x: Tensor) -> Tensor | None:
        """As `advance`; None where something is not as it was when that was called."""
        guards, parameters = self.guards, self.parameters
        if guards is None or not guards.check(x, *parameters):
            return None
        if [*map(Tensor.data_ptr, parameters)] != self.pointers:
            return None
        outputs = [*map(torch.empty_like, self.like)]
        with self.busy:
            addresses = self.addresses
            addresses[self.of_rest[0]] = outputs[0].data_ptr()
            if self.of_x is not None:
                addresses[self.of_x] = x.data_ptr()
            if not self.points_to_own:
                self._point_to(x, outputs, self.state)
                self.points_to_own = len(outputs) == 1
            if self.guarded.function(self.guarded.argument):
                return outputs[self.output]
        return self._run(x, self.state)

    def is_in_place(self) -> bool:
        """Whether all parameters lie where they lay when their memory was looked up."""
        return all(map(Tensor.is_set_to, self.parameters, self.aliases))

    def _pack(self) -> None:
        """Look up where the parameters lie, and pack the weights as they are now."""
        loop = self.loop
        self.aliases = [parameter.detach() for parameter in self.parameters]
        steps = Steps((len(self.example),))
        run = self.run = loop.start(self.aliases, [self.example], self.state, steps)
        is_in_place = pays_for_steps(loop, run.matrices, run.num_all_rows)
        if is_in_place:
            read_in_place(run.call, loop, run.num_all_rows)
        packed_from = _packed_from(loop, self.aliases, with_matrices=not is_in_place)
        self.guarded = Guarded(packed_from, loop.binary.rondo_run, run.call)
        run.all_chunks()
        run.call.begins = 0
        self.addresses = run.addresses

    def _run(self, x: Tensor, state: Sequence[Tensor]) -> Tensor:
        """The output of a step; the state is replaced."""
        outputs = [torch.empty_like(value) for value in self.like]
        with self.busy:
            self._point_to(x, outputs, state)
            if not self.guarded.run_unless_changed():
                with torch.inference_mode(False):
                    self._pack()
                self._point_to(x, outputs, state)
                self.loop.binary.rondo_run(ctypes.byref(self.run.call))
        return outputs[self.output]

    def _point_to(self, x: Tensor, outputs: Sequence[Tensor], state: Sequence[Tensor]) -> None:
        """Have the kernel read the input and read and write the state and the outputs."""
        addresses, self.points_to_own = self.addresses, False
        if self.of_x is not None:
            addresses[self.of_x] = x.data_ptr()
        for number, value in zip(self.of_rest, (*outputs, *state), strict=True):
            addresses[number] = value.data_ptr()


def _packed_from(
    loop: CompiledLoop, parameters: Sequence[Tensor], *, with_matrices: bool
) -> list[Tensor]:
    """Those of the parameters of which the kernel reads something that was made of them."""
    kernel = loop.kernel
    read = {buffer.name for buffer in kernel.at("shared")}
    read.update(matrix.tensor for matrix in kernel.matrices if with_matrices)
    read.update(name for node in loop.constants for name in node.reads)
    pairs = zip(loop.plan.step.parameters, parameters, strict=True)
    return [tensor for value, tensor in pairs if value.name in read]
