"""How the next state moves when the state moves: the Jacobian of the loop, for many rows at once.

In goes a plan, out comes a :class:`Tangent`: a graph, traced by `torch.func.jvp`, that takes what
the loop reads, a state and its direction, and gives the direction of the next state. Run on all
rows of all steps it gives their Jacobians: whole, column by column, or only how each number of a
state depends on the numbers in its own place, for which products with weights are replaced by
their diagonals.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.cached import cached_property
from rondo.compiler.graph import Node, draws_random, live_nodes
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.layouts import SHARED, Along
from rondo.compiler.plan import Plan
from rondo.compiler.trace import example_of, trace_function
from rondo.compiler.views import RESHAPES

aten = torch.ops.aten

LINEAR = {
    *(aten.add.Tensor, aten.sub.Tensor, aten.rsub.Scalar, aten.neg.default),
    *(aten.add.Scalar, aten.sub.Scalar, aten.mul.Tensor, aten.mul.Scalar),
    *(aten.div.Tensor, aten.div.Scalar, aten.clone.default),
}
"""Operations that are linear in one of what they read, number by number; none that rounds."""

KEEPS_PLACES = {*RESHAPES, aten.slice, aten.select, aten.cat, aten.zeros_like, operator.getitem}
"""Operations beside those on numbers that leave a number of the state over its own place."""


@dataclass(frozen=True)
class Tangent:
    """The direction of the next state, as a graph.

    Args:
        plan: The plan of the loop.
        nodes: Operations that give the directions.
        captured: What they read beside the values of the loop, by name.
        ends: The direction of each next state.
    """

    plan: Plan
    nodes: tuple[Node, ...]
    captured: dict[str, Tensor]
    ends: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, device: torch.device) -> Tangent:
        """Trace it.

        Raises:
            NotCoveredError: Where the loop cannot be run on the rows of all steps together.
        """
        check_rows(plan)
        step, names = plan.step, [value.name for value in plan.step.state]
        known = step.by_name
        reads = _reads(plan)
        shared = [name for name in reads if plan.layouts[name] == SHARED]
        rows = [name for name in reads if name not in shared]

        def directions(weights: Sequence[Tensor], *rest: Any) -> Sequence[Tensor]:
            fixed = dict(zip((*shared, *rows), (*weights, *rest), strict=False))
            state = rest[len(rows) : len(rows) + len(names)]
            moves = rest[len(rows) + len(names) :]

            def next_state(*now: Tensor) -> tuple[Tensor, ...]:
                values = {**fixed, **dict(zip(names, now, strict=True))}
                evaluate(plan.loop, values, now[0].shape[0])
                return tuple(values[name] for name in step.next_state)

            found = torch.func.jvp(next_state, state, moves)
            return list(found[1])

        def examples(chosen: Sequence[str]) -> list[tuple[str, Tensor]]:
            return [(name, example_of(known[name], device)) for name in chosen]

        moves = [(_move(value.name), example_of(value, device)) for value in step.state]
        traced = trace_function(
            directions,
            examples(shared),
            [*examples(rows), *examples(names), *moves],
        )
        captured = [value.name for value in traced.graph.parameters[len(shared) :]]
        tensors = dict(zip(captured, traced.captured, strict=True))
        return cls(plan, traced.graph.nodes, tensors, traced.graph.outputs)

    def along(self, moves: Sequence[Tensor], values: Environment) -> list[Tensor]:
        """The direction of each next state (N, ...), given the directions of the states."""
        return self._run(self.nodes, moves, values)

    def along_places(self, moves: Sequence[Tensor], values: Environment) -> list[Tensor]:
        """The same where a number of a state moves what lies in its own place alone."""
        return self._run(self._in_place, moves, values)

    @cached_property
    def _in_place(self) -> tuple[Node, ...]:
        moving = {_move(value.name) for value in self.plan.step.state}
        nodes = []
        for node in self.nodes:
            if not moving.isdisjoint(node.reads):
                moving.add(node.name)
                node = _in_place(node, moving)
            nodes.append(node)
        return tuple(nodes)

    def _run(
        self, nodes: tuple[Node, ...], moves: Sequence[Tensor], values: Environment
    ) -> list[Tensor]:
        named = {
            _move(value.name): move for value, move in zip(self.plan.step.state, moves, strict=True)
        }
        found = evaluate(nodes, {**values, **self.captured, **named}, moves[0].shape[0])
        return [found[end] for end in self.ends]


def check_rows(plan: Plan) -> None:
    """Fail where the loop cannot be run on the rows of all steps together."""
    if plan.mixes_rows is not None:
        raise NotCoveredError(plan.mixes_rows)
    for node in plan.loop:
        if draws_random(node):
            raise NotCoveredError(f"{node.op_name} draws random numbers at each step", node.name)
        if not isinstance(plan.layouts[node.name], Along):
            raise NotCoveredError(
                f"{node.op_name} gives something without the rows of the batch", node.name
            )
    for name in _reads(plan):
        layout = plan.layouts[name]
        if layout != SHARED and layout != Along(0):
            raise NotCoveredError("the rows of the batch are not the first dimension", name)


def is_linear(plan: Plan) -> bool:
    """Whether the next state is linear in the state, number by number, besides what is added."""
    moving = {value.name for value in plan.step.state}
    places = {value.shape[1:] for value in plan.step.state}
    for node in live_nodes(plan.loop, plan.step.next_state):
        moved = [name for name in node.reads if name in moving]
        if not moved:
            continue
        if node.op not in LINEAR or node.shape is None or node.shape[1:] not in places:
            return False
        if node.packet is aten.mul and len(moved) > 1:
            return False
        if node.packet is aten.div and (len(moved) > 1 or node.reads[0] not in moving):
            return False
        moving.add(node.name)
    return len(places) == 1


def _reads(plan: Plan) -> list[str]:
    """What the loop or the next step reads that is neither the loop's own nor a state."""
    own = {node.name for node in plan.loop} | {value.name for value in plan.step.state}
    reads = dict.fromkeys(name for node in plan.loop for name in node.reads)
    return [name for name in {**reads, **dict.fromkeys(plan.step.next_state)} if name not in own]


def _move(state: str) -> str:
    return f"move_of_{state}"


def _in_place(node: Node, moving: set[str]) -> Node:
    """An operation on directions that are told place by place."""
    is_pointwise = torch.Tag.pointwise in getattr(node.op, "tags", ())
    if is_pointwise or node.packet in KEEPS_PLACES or node.shape is None:
        return node
    if node.packet is aten.mm and node.reads[1] not in moving:
        return replace(node, op=_product_with_diagonals)
    return replace(node, op=_nothing, args=(node.args[0], node.shape), kwargs=())


def _product_with_diagonals(moves: Tensor, weights: Tensor) -> Tensor:
    """(N, H) with weights (H, k H) as if each of their k square blocks were diagonal; (N, k H)."""
    size = moves.shape[1]
    num_blocks, rest = divmod(weights.shape[1], size)
    if rest:
        return moves.new_zeros(len(moves), weights.shape[1])
    diagonals = weights.reshape(size, num_blocks, size).diagonal(dim1=0, dim2=2)
    return (moves[:, None] * diagonals).flatten(1)


def _nothing(moves: Tensor, sizes: list[int]) -> Tensor:
    return moves.new_zeros(sizes)
