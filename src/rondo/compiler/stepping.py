"""One step of a compiled loop at a time, for streams.

In go a compiled loop and an example of its tensors, out comes a function of one step. What does not
change from step to step is set up once: the packed weights, the memory, what the kernel is told.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.reference import Steps


class Stepper:
    """Runs single steps with weights that stay as they are.

    Args:
        loop: The compiled plan of a cell, without what only training needs.
        parameters: The cell's parameters, buffers and constants.
        x: An example of the input (B, ...).
        state: An example of the state.
    """

    def __init__(
        self,
        loop: CompiledLoop,
        parameters: Sequence[Tensor],
        x: Tensor,
        state: Sequence[Tensor],
    ) -> None:
        steps = Steps((x.shape[0],))
        self.run = loop.start(parameters, [x], state, steps)
        self.run.all_chunks()  # packs the weights
        self.run.call.begins = 0
        self.state = self.run.state
        for kept, given in zip(self.state, state, strict=True):
            kept.copy_(given)
        self.addresses = self.run.addresses
        self.function = loop.binary.rondo_run
        self.argument = ctypes.byref(self.run.call)
        places = [slot.buffer.place for slot in loop.slots]
        self.of_x = places.index("input") if "input" in places else None
        of_outputs = [number for number, place in enumerate(places) if place == "output"]
        of_state = [number for number, place in enumerate(places) if place == "state"]
        self.of_rest = [*of_outputs, *of_state]
        outputs = loop.plan.step.outputs
        names = [loop.slots[number].output for number in of_outputs]
        self.output = names.index(outputs[0])
        self.like = [self.run.whole[name] for name in names if name is not None]
        self.busy = threading.Lock()

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
        """The output of a step from `self.state` on, which becomes the new state."""
        return self._run(x, self.state)

    def _run(self, x: Tensor, state: Sequence[Tensor]) -> Tensor:
        """The output of a step; the state is replaced."""
        outputs = [torch.empty_like(value) for value in self.like]
        with self.busy:
            addresses = self.addresses
            if self.of_x is not None:
                addresses[self.of_x] = x.data_ptr()
            for number, value in zip(self.of_rest, (*outputs, *state), strict=True):
                addresses[number] = value.data_ptr()
            self.function(self.argument)
        return outputs[self.output]
