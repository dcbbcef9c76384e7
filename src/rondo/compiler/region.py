"""Which nodes of a plan a kernel does: the loop, and the arithmetic that leads into it and out.

In goes a plan, out come the names of the nodes. Arithmetic that the plan puts before or after the
loop, and that only passes values into the loop or out of it, is done in the kernel, where its
arguments are at hand. Products stay outside, for all steps together, unless they are narrow.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch

from rondo.compiler.graph import Node, Rows, counts_truths, is_getitem
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.plan import Plan
from rondo.compiler.rows import SUMMED, ZEROS, Mixed, draws_random
from rondo.compiler.views import VIEWS

aten = torch.ops.aten

SPLITS: set[Any] = {aten.split, aten.split_with_sizes, aten.unbind}
"""Operations with several results, each a slice of the argument."""

CONSTANTS: dict[Any, float | None] = {
    **dict.fromkeys([*ZEROS, aten.empty_like], 0.0),
    **dict.fromkeys([aten.ones, aten.ones_like, aten.new_ones], 1.0),
    **dict.fromkeys([aten.full, aten.full_like, aten.new_full, aten.fill], None),
    aten.scalar_tensor: None,
}
"""Operations that make one number, which is the value here or, for None, an argument."""


NARROW = 17
"""Inputs of fewer numbers than this go through their product within the kernel."""


def region_of(plan: Plan, elementwise: Collection[Any]) -> frozenset[str]:
    """The loop, and the arithmetic that leads into it or out of it."""
    cheap = {*elementwise, *VIEWS, *CONSTANTS, *SPLITS, operator.getitem}
    inside = {node.name for node in plan.loop}
    users = _users(plan)
    for node in reversed(plan.before):
        readers = users.get(node.name, set())
        fits = node.packet in cheap or _is_narrow_product(plan, node)
        fits = fits or counts_truths(node, plan.step.by_name)
        if fits and readers and readers <= inside:
            inside.add(node.name)
    inside -= {  # a part of what was taken apart outside is given to the kernel as it is
        node.name for node in plan.before if is_getitem(node) and node.args[0].name not in inside
    }
    loop = {*inside, *(value.name for value in plan.step.state)}
    given = {value.name for value in (*plan.step.inputs, *plan.step.parameters)}
    given |= {node.name for node in (*plan.constants, *plan.before)}
    following: set[str] = set()
    for node in plan.after:
        known = all(name in loop or name in following or name in given for name in node.reads)
        has_rows = node.shape is None or Rows() in node.shape
        if known and has_rows and node.packet in {*cheap, aten.cat}:
            following.add(node.name)
    working = {
        node.name
        for node in plan.after
        if node.name in following and node.packet in {*elementwise, aten.cat}
    }
    for node in reversed(plan.after):  # views only where arithmetic in the kernel reads them
        if node.name in following and node.name not in working:
            if not users.get(node.name, set()) & working:
                following.discard(node.name)
            else:
                working.add(node.name)
    return frozenset(inside | following)


def _is_narrow_product(plan: Plan, node: Node) -> bool:
    """Whether a product is so little work that its result costs more to write and read again."""
    if node.packet not in (aten.mm, aten.addmm) or node.dtype == torch.bfloat16:
        return False
    left = node.args[0 if node.packet is aten.mm else 1].name
    shape = plan.step.by_name[left].shape or ()
    is_given = left in {value.name for value in plan.step.inputs}
    return is_given and shape[0] == Rows() and shape[1:] < (NARROW,)


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


def check_covered(plan: Plan, region: frozenset[str]) -> None:
    """Fail where a kernel cannot do these nodes, whatever they compute."""
    if plan.mixes_rows is not None:
        raise NotCoveredError(plan.mixes_rows)
    for name in plan.step.sums:
        if plan.stage_of(name) == "loop":
            raise NotCoveredError(f"{name} is summed within the loop")
    for node in plan.step.nodes:
        layout = plan.layouts[node.name]
        if node.name in region and isinstance(layout, Mixed):
            raise NotCoveredError(layout.reason)
        if node.name in region and (layout == SUMMED or draws_random(node)):
            raise NotCoveredError(
                f"{node.op_name} in the loop draws random numbers or sums over rows"
            )
