"""A loop as several loops, one after the other: compilers call it loop distribution.

In goes a plan, out come the plans of its parts. In a stack of cells the lower cell does not depend
on the upper one: its loop can run over all steps first, and the products of the upper cell with
what it gives are then no part of any loop. A part is a cycle of the graph: states that depend on
each other. It is given the values of earlier parts that it reads as inputs, the rows of all steps.

A loop is left whole where that takes no product out of it, or where parts would have to give each
other anything but rows. Prior art: Kennedy and McKinley, "Loop distribution with arbitrary control
flow", 1990.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import torch

from rondo.compiler.graph import (
    Node,
    StepGraph,
    Value,
    close_loops,
    draws_random,
    is_getitem,
    live_nodes,
    sizes_at,
)
from rondo.compiler.layouts import SHARED, Along
from rondo.compiler.plan import Plan, plan
from rondo.compiler.region import PRODUCTS, SPLITS
from rondo.compiler.views import RESHAPES, VIEWS

MAX_STATES = 64
"""States beyond which a loop is left whole."""

OF_PRODUCTS = {*PRODUCTS, torch.ops.aten.addmm, torch.ops.aten.baddbmm}

TAKES_APART = {*VIEWS, *RESHAPES, *SPLITS}
"""Operations that cost nothing where the value is that they are made of."""


@dataclass(frozen=True)
class Part:
    """A loop that is run on its own.

    Args:
        plan: Its plan; its inputs and outputs are named as the values of the whole step are.
        states: The numbers of its states among those of the whole step.
    """

    plan: Plan
    states: tuple[int, ...]


def distribute(whole: Plan) -> tuple[Part, ...]:
    """The parts of a plan in the order in which they run; none where it is to be left whole."""
    step = whole.step
    if not 2 <= len(step.state) <= MAX_STATES or whole.mixes_rows is not None:
        return ()
    if any(draws_random(node) for node in step.nodes):
        return ()
    depends = _states_read(step)
    cycles = _cycles([depends.get(name, frozenset()) for name in step.next_state])
    groups = _with_products(whole, depends, cycles)
    if len(groups) < 2:
        return ()
    places = _Places(whole, depends, groups)
    parts = tuple(places.part(number) for number in range(len(groups)))
    if None in parts:
        return ()
    found = tuple(part for part in parts if part is not None)
    num_in_loops = sum(_num_products(part.plan) for part in found)
    return found if num_in_loops < _num_products(whole) else ()


def _num_products(of: Plan) -> int:
    return sum(node.packet in OF_PRODUCTS for node in of.loop)


def _states_read(step: StepGraph) -> dict[str, frozenset[int]]:
    """For each value, the numbers of the states that it depends on."""
    found = {value.name: frozenset({number}) for number, value in enumerate(step.state)}
    for node in step.nodes:
        found[node.name] = frozenset().union(*(found.get(name, ()) for name in node.reads))
    return found


def _cycles(reads: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """States that depend on each other, each group after those that it depends on."""
    reached = [set(of_one) for of_one in reads]
    for _ in reads:
        for one in reached:
            one.update(*(reached[other] for other in tuple(one)))
    groups = {
        frozenset({n} | {m for m in reached[n] if n in reached[m]}) for n in range(len(reads))
    }

    def depth(group: frozenset[int]) -> tuple[int, int]:
        return len(set(group).union(*(reached[n] for n in group))), min(group)

    return sorted(groups, key=depth)


def _with_products(
    whole: Plan, depends: dict[str, frozenset[int]], cycles: list[frozenset[int]]
) -> list[frozenset[int]]:
    """The groups, those without a product on their cycle together with their neighbours."""
    loop = [node for node in whole.loop if node.packet in OF_PRODUCTS]
    found: list[frozenset[int]] = []
    pending: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()
    for group in cycles:
        seen |= group
        has_product = any(
            depends[node.name] & group and depends[node.name] <= seen for node in loop
        )
        if has_product:
            found.append(group | pending)
            pending = frozenset()
        elif found:
            found[-1] |= group
        else:
            pending |= group
    if pending:
        found.append(pending)
    return found


class _Places:
    """Which part has which node."""

    def __init__(
        self, whole: Plan, depends: dict[str, frozenset[int]], groups: list[frozenset[int]]
    ) -> None:
        self.whole, self.step, self.groups = whole, whole.step, groups
        self.part_of_state = {n: number for number, group in enumerate(groups) for n in group}
        self.earliest = {
            name: max((self.part_of_state[n] for n in states), default=0)
            for name, states in depends.items()
        }
        self.readers: dict[str, list[Node]] = {}
        for node in self.step.nodes:
            for name in node.reads:
                self.readers.setdefault(name, []).append(node)
        self.ends = {*self.step.outputs, *self.step.next_state, *self.step.sums}
        self.at = self._places()

    def _places(self) -> dict[str, int]:
        """The part of each node: the earliest, or that which reads it, where less is passed on."""
        at = dict(self.earliest)
        for node in reversed(self.step.nodes):
            readers = [at[reader.name] for reader in self.readers.get(node.name, ())]
            later = min(readers, default=at[node.name])
            if node.name in self.ends or later <= at[node.name] or not self._is_lighter(node):
                continue
            at[node.name] = later
        for node in self.step.nodes:  # what takes results apart is where these are
            if is_getitem(node):
                source = node.args[0].name
                at[node.name] = at.get(source, 0)
        return at

    def _is_lighter(self, node: Node) -> bool:
        """Whether to pass on what a node reads takes no more memory than its result."""
        if is_getitem(node) or node.packet in TAKES_APART:
            return True
        rows = [name for name in dict.fromkeys(node.reads) if self._has_rows(name)]
        by_name = self.step.by_name
        inputs = {value.name for value in self.step.inputs}
        given = sum(_width(by_name[name]) for name in rows if name not in inputs)
        return given <= _width(node)

    def _has_rows(self, name: str) -> bool:
        return isinstance(self.whole.layouts[name], Along)

    def _is_everywhere(self, node: Node) -> bool:
        """Whether every part makes a value for itself: it depends on parameters alone."""
        return self.whole.layouts[node.name] == SHARED or not node.reads

    def part(self, number: int) -> Part | None:
        """A part as a plan of its own; None where it reads what no part can give."""
        step = self.step
        own = [n for n in step.nodes if self.at[n.name] == number and not self._is_everywhere(n)]
        states = tuple(sorted(self.groups[number]))
        next_state = tuple(step.next_state[n] for n in states)
        made = {node.name for node in own}
        outputs = tuple(
            dict.fromkeys(
                name
                for name in (*step.outputs, *self._passed_on(number))
                if name in made or (number == 0 and name not in self.earliest)
            )
        )
        sums = tuple(name for name in step.sums if name in made)
        nodes = live_nodes(
            tuple(n for n in step.nodes if n.name in made or self._is_everywhere(n)),
            (*outputs, *sums, *next_state),
        )
        inside = {n.name for n in nodes} | {step.state[n].name for n in states}
        inside |= {value.name for value in step.parameters}
        read = dict.fromkeys([*(r for n in nodes for r in n.reads), *next_state, *outputs])
        values = [step.by_name[name] for name in read if name not in inside]
        if any(not self._can_be_given(value, number) for value in values):
            return None
        inputs = tuple(Value(v.name, v.shape or (), _dtype(v)) for v in values)
        of_part = tuple(step.state[n] for n in states)
        graph = StepGraph(step.parameters, inputs, of_part, nodes, outputs, next_state, sums)
        return Part(plan(close_loops(graph)), states)

    def _passed_on(self, number: int) -> Iterable[str]:
        """What later parts read of the nodes of a part."""
        for node in self.step.nodes:
            if self.at[node.name] == number and not self._is_everywhere(node):
                readers = self.readers.get(node.name, ())
                states = [self.part_of_state[n] for n, end in enumerate(self.step.next_state)
                          if end == node.name]  # fmt: skip
                if any(p > number for p in (*(self.at[r.name] for r in readers), *states)):
                    yield node.name

    def _can_be_given(self, value: Value | Node, number: int) -> bool:
        """Whether a part can be given a value: an input, or rows that an earlier part made."""
        if value in self.step.inputs:
            return True
        is_made = isinstance(value, Node) and value.shape is not None
        return (
            is_made and self.whole.layouts[value.name] == Along(0) and self.at[value.name] < number
        )


def _width(value: Value | Node) -> int:
    """The numbers of a row."""
    return prod(sizes_at(value.shape, 1))


def _dtype(value: Value | Node) -> torch.dtype:
    assert value.dtype is not None
    return value.dtype
