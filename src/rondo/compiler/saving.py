"""What the backward pass reads of the forward pass: which values are kept, which are made again.

In go a step with its gradient and the names of the values that depend on a gradient, out come the
names of the values to keep. What the backward pass reads must be kept, or follow from what is kept
by operations that cost less than a row of memory. Of all such choices the one with the fewest bytes
is taken, and of several equal ones that which makes the least again: it is a minimum cut between
what cannot be made again and what is read (`cut.py`), as in "Rematerialization with min-cut
partitioning" of PyTorch's AOTAutograd. What is kept anyway is free: inputs, parameters, the outputs
of the cell and the states that the backward pass reads of each step.

Known limit: what is made again costs no more than one function such as `tanh` for each function
that follows another, however many arguments these have.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, prod

import torch

from rondo.compiler.cached import cached_property
from rondo.compiler.cut import Cut
from rondo.compiler.graph import Node, Rows, StepGraph, Value, counts_truths
from rondo.compiler.layouts import SHARED
from rondo.compiler.record import TraceError
from rondo.compiler.rows import row_layouts

aten = torch.ops.aten

CHEAP = {
    *(aten.add, aten.sub, aten.mul, aten.neg, aten.rsub, aten._to_copy, aten.div, aten.reciprocal),
    *(aten.square, aten.abs, aten.sign, aten.relu, aten.clamp, aten.clamp_min, aten.clamp_max),
    *(aten.maximum, aten.minimum, aten.lerp, aten.addcmul, aten.where, aten.masked_fill),
    *(aten.eq, aten.ne, aten.lt, aten.le, aten.gt, aten.ge, aten.logical_not),
    *(aten.logical_and, aten.logical_or, aten.bitwise_not, aten.bitwise_and, aten.bitwise_or),
    *(aten.t, aten.transpose, aten.permute, aten.view, aten._unsafe_view, aten.expand),
    *(aten.unsqueeze, aten.squeeze, aten.slice, aten.select, aten.detach),
    *(aten.split, aten.split_with_sizes, aten.unbind, operator.getitem),
    *(aten.zeros_like, aten.ones_like, aten.full_like, aten.full, aten.zeros, aten.ones),
}
"""Operations that are cheaper to do again than to keep the result of for every step."""

COSTLY = {
    aten.tanh,
    aten.sigmoid,
    aten.exp,
    aten.log,
    aten.sqrt,
    aten.rsqrt,
    aten.silu,
    aten.softplus,
}
"""Those that are so if none of their arguments was made again by such an operation."""


def saved_values(joint: StepGraph, step: StepGraph, gradient_side: set[str]) -> list[str]:
    """The values to keep: those that the backward graph gets, rather than making them again.

    Args:
        joint: The step with its gradient.
        step: The step.
        gradient_side: The values that depend on a gradient.

    Raises:
        TraceError: Where the backward pass reads a value that cannot be kept for all steps.
    """
    first = _Choice(joint, step, gradient_side)
    then = _Choice(joint, step, gradient_side, frozenset(first.least()))
    kept = then.free | then.least()
    return [node.name for node in first.nodes if node.name in kept]


@dataclass(frozen=True)
class _Choice:
    """What can be kept, and what can be made again.

    Args:
        joint, step, gradient_side: As above.
        chosen: What is kept because it was chosen before: more may follow from it now.
    """

    joint: StepGraph
    step: StepGraph
    gradient_side: set[str]
    chosen: frozenset[str] = frozenset()

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the forward pass."""
        return tuple(n for n in self.joint.nodes if n.name not in self.gradient_side)

    @cached_property
    def read(self) -> set[str]:
        """The values of the forward pass that the backward pass reads itself."""
        behind = (node for node in self.joint.nodes if node.name in self.gradient_side)
        return {name for node in behind for name in node.reads} - self.gradient_side

    @cached_property
    def states(self) -> Mapping[str, str]:
        """The states, each with its next value."""
        first = len(self.step.outputs)
        names = self.joint.outputs[first : first + len(self.step.state)]
        return dict(zip((value.name for value in self.step.state), names, strict=True))

    @cached_property
    def shared(self) -> set[str]:
        """What is the same for all rows, and made once."""
        layouts = row_layouts(self.joint)
        return {name for name, layout in layouts.items() if layout == SHARED}

    @cached_property
    def free(self) -> set[str]:
        """What is kept of each step, whatever is chosen."""
        free = {*self.chosen, *(value.name for value in self.step.inputs)}
        free.update(self.joint.outputs[: len(self.step.outputs)])
        for state, new in self.states.items():
            if state in self.read or new in free:
                free |= {state, new}
        return free

    def least(self) -> set[str]:
        """The values with the fewest bytes from which follows what is read."""
        cut, again = Cut(), self._again()
        at_hand = self.free | self.shared
        for name in self.read - at_hand:
            cut.need(name)
        for state in self.step.state:
            if state.name not in self.free:
                cut.offer(state.name, _bytes(state), None)
        for node in self.nodes:
            if node.name not in at_hand:
                operands = set(node.reads) - at_hand if node.name in again else None
                cut.offer(node.name, _bytes(node), operands)
        found = cut.least()
        if isinstance(found, str):
            wanted = self.joint.by_name[found]
            assert isinstance(wanted, Node)
            raise TraceError(
                f"has a gradient that reads what {wanted.op_name} gives, which has no row of its "
                "own for each row of the batch",
                line=wanted.line,
            )
        return found

    def _again(self) -> set[str]:
        """What may be made again from its arguments."""
        again: set[str] = set()
        costly: set[str] = set()  # what is made by a costly operation from what is not made again
        known = self.joint.by_name
        for node in self.nodes:
            is_costly = node.packet in COSTLY
            if not is_costly and node.packet not in CHEAP and not counts_truths(node, known):
                continue
            behind = not costly.isdisjoint(node.reads)
            if is_costly and behind:
                continue
            again.add(node.name)
            if (is_costly or behind) and node.name not in self.free:
                costly.add(node.name)
        return again


def _bytes(value: Value | Node) -> float:
    """What keeping a value takes for each row of the batch; infinite where it cannot be kept."""
    if value.shape is None or value.dtype is None or value.shape.count(Rows()) != 1:
        return inf
    numbers = [size for size in value.shape if isinstance(size, int)]
    return prod(numbers) * value.dtype.itemsize
