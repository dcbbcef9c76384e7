"""Which nodes of a plan a kernel does, and in which of its stages.

In goes a plan, out comes a region: the loop; the arithmetic around it that only passes values into
the loop or out of it, which is done in the loop, where its arguments are at hand; and, for some
steps together, what comes before the loop (`opening`), after it (`closing`) and the sums over the
steps (`sums`). What no kernel does is left to torch, before, after, or once on the sums.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rondo.compiler.graph import Node, Rows, Value, counts_truths, draws_random, is_getitem
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.layouts import SHARED, SUMMED, Along, Mixed
from rondo.compiler.plan import Plan
from rondo.compiler.primitive_numbers import NUMBERS
from rondo.compiler.primitive_places import PLACES
from rondo.compiler.primitive_rows import ROWS
from rondo.compiler.rows import ZEROS
from rondo.compiler.views import RESHAPES, VIEWS

aten = torch.ops.aten

SPLITS: set[Any] = {aten.split, aten.split_with_sizes, aten.unbind}
"""Operations with several results, each a slice of the argument."""

CONSTANTS: dict[Any, float | None] = {
    **dict.fromkeys([*ZEROS, aten.empty, aten.empty_strided, aten.empty_like], 0.0),
    **dict.fromkeys([aten.ones, aten.ones_like, aten.new_ones], 1.0),
    **dict.fromkeys([aten.full, aten.full_like, aten.new_full, aten.fill], None),
    aten.scalar_tensor: None,
}
"""Operations that make one number, which is the value here or, for None, an argument."""

PRODUCTS: set[Any] = {aten.mm, aten.bmm}
REDUCTIONS: dict[Any, str] = {
    aten.sum: "sum",
    aten.prod: "product",
    aten.amax: "max",
    aten.amin: "min",
}
JOINS: set[Any] = {aten.cat, aten.slice_scatter}

COSTLY: set[Any] = {
    *(aten.exp, aten.log, aten.log1p, aten.expm1, aten.tanh, aten.sigmoid, aten.gelu, aten.silu),
    *(aten.softplus, aten.erf, aten.pow, aten.sin, aten.cos, aten.div, aten.sqrt, aten.rsqrt),
}
"""Elementwise operations that are not done again for each loop that reads them."""

STRUCTURE: set[Any] = {
    *(*VIEWS, *RESHAPES, *SPLITS, *CONSTANTS, *PRODUCTS, *REDUCTIONS, *JOINS, operator.getitem),
    aten.arange,  # the number of an element
}
"""What a kernel does beside elementwise operations."""


@dataclass(frozen=True)
class Region:
    """The nodes of a plan by who runs them, each in order.

    Args:
        before: Torch, before the kernel.
        opening: The kernel, for the rows of some steps together, before these steps.
        loop: The kernel, step by step.
        closing: The kernel, for the rows of some steps together, after these steps.
        sums: The kernel: sums over the rows of all steps.
        after: Torch, after the kernel.
        totals: Torch, once, of sums over all steps.
    """

    before: tuple[Node, ...]
    opening: tuple[Node, ...]
    loop: tuple[Node, ...]
    closing: tuple[Node, ...]
    sums: tuple[Node, ...]
    after: tuple[Node, ...]
    totals: tuple[Node, ...]

    @property
    def names(self) -> frozenset[str]:
        """The values that the kernel computes row by row."""
        return frozenset(n.name for n in (*self.opening, *self.loop, *self.closing))


def region_of(
    plan: Plan, elementwise: Collection[Any], *, opening: bool = True, closing: bool = True
) -> Region:
    """Who runs which node.

    Args:
        plan: The plan.
        elementwise: The elementwise operations that a kernel does.
        opening: Whether the kernel may do what comes before the loop.
        closing: Whether the kernel may do what comes after the loop, and sums over the steps.
    """
    return _Division(plan, elementwise).region(opening, closing)


class _Division:
    """Divides the nodes of a plan."""

    def __init__(self, plan: Plan, elementwise: Collection[Any]) -> None:
        self.plan = plan
        self.elementwise = {*elementwise, *NUMBERS}
        self.cheap = {*self.elementwise, *VIEWS, *CONSTANTS, *SPLITS, operator.getitem}
        self.users = _users(plan)
        self.is_half = any(value.dtype == torch.bfloat16 for value in plan.step.state)
        late: dict[str, Node] = {}  # sums over rows, and what is made of them or like them
        for node in plan.before:
            if plan.layouts[node.name] == SUMMED or not late.keys().isdisjoint(node.reads):
                late[node.name] = node
        self.before = [node for node in plan.before if node.name not in late]
        self.after = [*late.values(), *plan.after]

    def region(self, with_opening: bool, with_closing: bool) -> Region:
        plan = self.plan
        left = self._left_before(with_opening and not self.is_half)
        inside = {node.name for node in plan.loop} | self._leading_in(left)
        known = {value.name for value in (*plan.step.inputs, *plan.step.parameters)}
        known |= {node.name for node in (*plan.constants, *self.before)}
        known |= {*inside, *(value.name for value in plan.step.state)}
        following = self._following(known)
        closing: list[Node] = []
        sums: list[Node] = []
        if with_closing and not self.is_half:
            closing = self._closing(known | following, following)
            along = known | following | {node.name for node in closing}
            sums = [node for node in self.after if self._is_sum(node, along)]
        loop = [
            node
            for node in (*self.before, *plan.loop, *self.after)
            if node.name in inside or node.name in following
        ]
        taken = {node.name for node in (*loop, *closing, *sums)}
        rest = [node for node in self.after if node.name not in taken]
        totals = self._of_totals(rest)
        ends = [name for node in totals for name in node.reads]
        ends += [*plan.step.outputs, *plan.step.sums, *plan.step.next_state]
        after = _needed([node for node in rest if node not in totals], ends)
        ends += [name for node in (*loop, *closing, *after) for name in node.reads]
        ends += [name for node in sums for name in sum_factors(node, plan.step.by_name) or ()]
        early = [node for node in self.before if node.name not in inside]
        early = _needed(early, ends)
        return Region(
            tuple(node for node in early if node.name in left),
            tuple(node for node in early if node.name not in left),
            tuple(loop),
            tuple(closing),
            tuple(sums),
            tuple(after),
            tuple(totals),
        )

    # ---- before the loop ----

    def _left_before(self, with_opening: bool) -> set[str]:
        """What torch runs before the loop."""
        before = self.before
        names = {node.name for node in before}
        if not with_opening:
            return names - self._leading_in(set())
        left = {node.name for node in before if not self._is_covered(node)}
        for node in reversed(before):
            if node.name in left:
                left.update(name for name in node.reads if name in names)
        for node in before:  # all parts of what torch takes apart
            if is_getitem(node) and node.args[0].name in left:
                left.add(node.name)
        return left

    def _leading_in(self, left: set[str]) -> set[str]:
        """Arithmetic before the loop that only the loop reads."""
        inside = {node.name for node in self.plan.loop}
        found: set[str] = set()
        for node in reversed(self.before):
            readers = self.users.get(node.name, set())
            fits = node.packet in self.cheap or counts_truths(node, self.plan.step.by_name)
            if fits and readers and readers <= inside and node.name not in left:
                inside.add(node.name)
                found.add(node.name)
        return found - {  # a part of what was taken apart elsewhere is given as it is
            node.name for node in self.before if is_getitem(node) and node.args[0].name not in found
        }

    # ---- after the loop ----

    def _following(self, known: set[str]) -> set[str]:
        """Arithmetic after the loop whose arguments are at hand there."""
        following: set[str] = set()
        for node in self.after:
            at_hand = all(name in known or name in following for name in node.reads)
            has_rows = node.shape is None or Rows() in node.shape
            if at_hand and has_rows and node.packet in {*self.cheap, aten.cat}:
                following.add(node.name)
        working = {
            node.name
            for node in self.after
            if node.name in following and node.packet in {*self.elementwise, aten.cat}
        }
        for node in reversed(self.after):  # views only where arithmetic in the loop reads them
            if node.name in following and node.name not in working:
                if self.users.get(node.name, set()) & working:
                    working.add(node.name)
                else:
                    following.discard(node.name)
        return following | _parts_of(following, self.after)

    def _closing(self, known: set[str], taken: set[str]) -> list[Node]:
        """What the kernel can do after the loop, for the rows of some steps together."""
        found: list[Node] = []
        known = set(known)
        for node in self.after:
            if node.name in taken or not known.issuperset(node.reads):
                continue
            if self._is_covered(node):
                found.append(node)
                known.add(node.name)
        working: set[str] = set()
        for node in reversed(found):  # not views that only torch reads
            readers = self.users.get(node.name, set())
            is_view = node.packet in {*VIEWS, *SPLITS, *RESHAPES, operator.getitem}
            if not is_view or readers & working:
                working.add(node.name)
        working |= _parts_of(working, found)
        return [node for node in found if node.name in working]

    def _is_sum(self, node: Node, along: set[str]) -> bool:
        """Whether a node is a sum over rows of products of values with rows, or of one value."""
        if self.plan.layouts[node.name] != SUMMED or node.dtype != self.plan.step.state[0].dtype:
            return False
        factors = sum_factors(node, self.plan.step.by_name)
        return factors is not None and all(
            name in along
            and self.plan.layouts[name] == Along(0)
            and self.plan.step.by_name[name].dtype == node.dtype
            and len(self.plan.step.by_name[name].shape or ()) == 2
            for name in factors
        )

    def _of_totals(self, rest: Sequence[Node]) -> list[Node]:
        """What depends on sums over rows alone: sums over steps pass through it unchanged.

        What the rows read too is no such thing.
        """
        layouts, without_rows = self.plan.layouts, (SUMMED, SHARED)
        found: list[Node] = []
        read: set[str] = set()
        for node in reversed(rest):
            is_total = all(layouts[name] in without_rows for name in (node.name, *node.reads))
            if is_total and node.name not in read:
                found.append(node)
            else:
                read.update(node.reads)
        return found[::-1]

    # ---- what a kernel can do ----

    def _is_covered(self, node: Node) -> bool:
        """Whether a kernel can do a node for the rows of some steps together."""
        layout = self.plan.layouts[node.name]
        if not isinstance(layout, Along) or draws_random(node):
            return False
        if node.packet in (aten.addmm, aten.mm):
            return layout == Along(0) and self._has_shared_matrix(node)
        if node.packet in REDUCTIONS and node.dtype != self.plan.step.state[0].dtype:
            return counts_truths(node, self.plan.step.by_name)
        return node.packet in {*self.elementwise, *STRUCTURE, *ROWS, *PLACES}

    def _has_shared_matrix(self, node: Node) -> bool:
        left, matrix = (ref.name for ref in node.args[-2:])
        layouts = self.plan.layouts
        return layouts[left] == Along(0) and layouts[matrix] == SHARED


def _parts_of(names: Collection[str], nodes: Iterable[Node]) -> set[str]:
    """The nodes that take a part of what several results some named nodes have."""
    return {node.name for node in nodes if is_getitem(node) and node.args[0].name in names}


def _needed(nodes: list[Node], ends: Iterable[str]) -> list[Node]:
    """The nodes that any of the ends depends on, in order."""
    names, found = set(ends), []
    for node in reversed(nodes):
        if node.name in names:
            names.update(node.reads)
            found.append(node)
    return found[::-1]


def sum_factors(node: Node, values: Mapping[str, Value | Node]) -> tuple[str, ...] | None:
    """The values of which a node sums products, or the value that it sums, over the rows."""
    if node.packet is aten.sum:
        return (node.args[0].name,) if tuple(node.argument(1) or ()) == (0,) else None
    if node.packet is not aten.mm:
        return None
    left, right = (values[ref.name] for ref in node.args)
    if isinstance(left, Node) and left.packet in (aten.t, aten.transpose):
        return left.args[0].name, right.name
    return None


def _users(plan: Plan) -> dict[str, set[str]]:
    """For each value, who reads it; "" stands for the world outside."""
    users: dict[str, set[str]] = {}
    for node in plan.step.nodes:
        for name in node.reads:
            users.setdefault(name, set()).add(node.name)
    for name in (*plan.step.outputs, *plan.step.sums):
        users.setdefault(name, set()).add("")
    for name in plan.step.next_state:
        if plan.stage_of(name) == "before":
            users.setdefault(name, set()).add("")
    return users


def check_covered(plan: Plan, region: Region) -> None:
    """Fail where a kernel cannot do these nodes, whatever they compute."""
    if plan.mixes_rows is not None:
        raise NotCoveredError(plan.mixes_rows)
    for node in region.loop:
        layout = plan.layouts[node.name]
        if isinstance(layout, Mixed):
            raise NotCoveredError(layout.reason)
        if draws_random(node):
            raise NotCoveredError(f"{node.op_name} draws random numbers at each step")
        if layout == SUMMED:
            raise NotCoveredError(f"{node.op_name} is a sum over the rows that each step needs")
    for name in plan.step.sums:
        if plan.stage_of(name) == "loop":
            raise NotCoveredError(f"each step adds to {name} what the others do not know of")
