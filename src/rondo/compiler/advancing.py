"""The steps of a stream: a compiled loop that keeps its state from step to step.

In go a compiled loop and an example of its tensors, out comes a function of one input. `quick`
makes a faster one for inputs like the last, which does nothing but look whether everything else is
as it was, by as few calls as that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem, is_
from typing import Any

import torch
from torch import Tensor
from torch._C._dynamo import guards
from torch.autograd import forward_ad

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.guarded import guards_of
from rondo.compiler.stepping import Packed, Places

Held = tuple[dict[Any, Any], Any, Any]
"""Who holds something, under which name, and what it is."""


@dataclass(frozen=True)
class Parts:
    """What the modules of a cell hold.

    Args:
        tensors: The tensors that a kernel reads, in its order.
        others: What else there is: modules, and what was registered as None.
    """

    tensors: tuple[Held, ...] = ()
    others: tuple[Held, ...] = ()

    @classmethod
    def of(cls, owners: Sequence[dict[Any, Any]], tensors: Sequence[Tensor]) -> Parts:
        """Sorts what is held; tensors that no owner has, such as of a closure, stay as they are."""
        found: list[Held] = [({0: tensor}, 0, tensor) for tensor in tensors]
        numbers = {id(tensor): number for number, tensor in enumerate(tensors)}
        others = []
        for owner in owners:
            for name, value in owner.items():
                number = numbers.pop(id(value), None)
                if number is None:
                    others.append((owner, name, value))
                else:
                    found[number] = owner, name, value
        return cls(tuple(found), tuple(others))

    def are_there(self) -> bool:
        """Whether all is held that was."""
        missing = object()
        held = *self.tensors, *self.others
        return all(owner.get(name, missing) is value for owner, name, value in held)


def columns(held: Sequence[Held]) -> tuple[Sequence[dict[Any, Any]], Sequence[Any], Sequence[Any]]:
    """All owners, all names, and all that is held."""
    owners, names, values = ([row[number] for row in held] for number in range(3))
    return owners, names, values


empty: Callable[..., Tensor] = guards._empty_strided_cpu  # type: ignore[attr-defined]


class Advancer:
    """Runs steps, each from the state that the last one has left.

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
        self.loop, self.parameters = loop, list(parameters)
        with torch.inference_mode(False), torch.no_grad():  # what is kept serves all later steps
            self.state = [torch.empty_like(given).copy_(given) for given in state]
            self.example = torch.zeros_like(x)
        self._pack()

    def __call__(self, x: Tensor) -> Tensor:
        """The output of the next step; x is contiguous and like the example."""
        y = torch.empty_like(self.like)
        told = self.packed.guarded
        if not told.library.rondo_step_unless_changed(told.argument, x.data_ptr(), y.data_ptr()):
            self._pack()
            told = self.packed.guarded
            told.library.rondo_step(told.argument, x.data_ptr(), y.data_ptr())
        return y

    def is_current(self) -> bool:
        """Whether all parameters lie where they lay when their memory was looked up."""
        return self.packed.is_current()

    def quick(self, x: Tensor, parts: Parts) -> Callable[[Tensor], Tensor | None]:
        """A function as this one, whose result is None where something is not as it is now."""
        packed, like = self.packed, self.like
        step, argument = packed.guarded.library.rondo_step_unless_changed, packed.guarded.argument
        shape, strides, dtype = tuple(like.shape), like.stride(), like.dtype
        owners, names = columns(parts.tensors)[:2]
        other_owners, other_names, others = columns(parts.others)
        check = guards_of((x, *self.parameters)).check
        pointers, pointer = packed.pointers, Tensor.data_ptr

        def again(x: Tensor) -> Tensor | None:
            try:
                tensors = [*map(getitem, owners, names)]
                if others and not all(map(is_, map(getitem, other_owners, other_names), others)):
                    return None
            except KeyError:
                return None
            if (
                not check(x, *tensors)
                or [*map(pointer, tensors)] != pointers
                or forward_ad._current_level >= 0
            ):
                return None
            y: Tensor = empty(shape, strides, dtype)
            return y if step(argument, x.data_ptr(), y.data_ptr()) else None

        return again

    def _pack(self) -> None:
        """Look up where the parameters lie, and pack the weights as they are now."""
        self.packed = packed = Packed(self.loop, self.parameters, self.example, self.state)
        places, addresses = Places.of(self.loop), packed.addresses
        self.like = packed.like[places.output]
        self.unread = packed.like  # outputs that are nobody's
        for number, value in zip(places.outputs, self.unread, strict=True):
            addresses[number] = value.data_ptr()
        for number, value in zip(places.states, self.state, strict=True):
            addresses[number] = value.data_ptr()
        packed.guarded.steps(addresses, places.x, places.outputs[places.output])
