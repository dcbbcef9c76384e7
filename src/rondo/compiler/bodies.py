"""From drafts of loops to loops: what is loaded, computed and stored for each element of a row.

In go the drafts of a schedule and the memory that they refer to, out come the loops of a kernel,
and the place of each buffer once it is known who uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from rondo.compiler.graph import Node, Ref, map_argument
from rondo.compiler.kernel import Buffer, Compute, Level, Load, Loop, Reduce, Store, Sum
from rondo.compiler.memory import Memory, Position
from rondo.compiler.region import CONSTANTS
from rondo.compiler.schedule import Draft
from rondo.compiler.views import RESHAPES, Place

aten = torch.ops.aten

MAX_ROW_NUMBERS = 4096
"""What lies on the stack of a thread must be no larger than this."""


def loop_of(memory: Memory, position: Position, draft: Draft) -> Loop:
    """What a draft of a loop does, element by element."""
    body: list[Load | Compute | Store | Reduce] = []
    names: dict[tuple[str, Place], str] = {}
    for statement in draft.statements:
        value = _value(memory, body, names, statement.value, statement.place, position)
        if statement.kind == "store":
            body.append(Store(statement.buffer, statement.index, value))
        else:
            body.append(Reduce(statement.buffer, statement.index, value, statement.kind))
    return Loop(draft.sizes, draft.num_reduced, tuple(body))


def _value(
    memory: Memory,
    body: list[Load | Compute | Store | Reduce],
    names: dict[tuple[str, Place], str],
    name: str,
    place: Place,
    position: Position,
) -> str:
    """Write down how an element is computed, unless it is already; return its name."""
    key = (name, place)
    if key in names:
        return names[key]
    lying = None
    if (
        memory.done.get(name, (-1, -1)) < position
        or name not in memory.nodes
        or memory.nodes[name].packet in RESHAPES
    ):
        lying = memory.lying(name, place)
    if lying is not None:
        names[key] = f"v{len(names)}"
        body.append(Load(names[key], *lying, memory.buffers[lying[0]].dtype))
        return names[key]
    node = memory.nodes[name]
    operands = {
        operand: _value(memory, body, names, operand, at, position)
        for operand, at in memory.operands(name, place)
    }
    if len(operands) == 1 and not memory.is_arithmetic(node):
        names[key] = next(iter(operands.values()))
        return names[key]
    names[key] = f"v{len(names)}"
    dtype = memory.covered_dtype(name, node.dtype or memory.stored)
    body.append(Compute(names[key], node, _numbers(node, operands), dtype))
    return names[key]


def _numbers(node: Node, operands: dict[str, str]) -> tuple[Any, ...]:
    if node.packet in CONSTANTS:
        value = CONSTANTS[node.packet]
        if value is None:
            value = node.args[0] if node.packet is aten.scalar_tensor else node.args[1]
        if node.packet is aten.new_full:
            value = node.args[2]
        return (value,)

    def leaf(argument: Any) -> Any:
        return Ref(operands[argument.name]) if isinstance(argument, Ref) else argument

    return tuple(map_argument(leaf, argument) for argument in node.args)


def placed_buffers(
    buffers: dict[str, Buffer],
    stages: Iterable[tuple[Level, ...]],
    sums: Iterable[Sum],
    commits: Iterable[tuple[str, str]],
) -> dict[str, Buffer]:
    """The buffers, those that only the loops of one level use being of one row."""
    users: dict[str | None, set[tuple[int, int]]] = {}
    elsewhere = {(-1, -1), (-1, -2)}
    for stage, levels in enumerate(stages):
        for number, level in enumerate(levels):
            for loop in level.loops:
                for item in loop.body:
                    if not isinstance(item, Compute):
                        users.setdefault(item.buffer, set()).add((stage, number))
            for product in level.products:
                users.setdefault(product.left, set()).update(elsewhere)
                users.setdefault(product.result, set()).update(elsewhere)
    for total in sums:
        users.setdefault(total.left, set()).update(elsewhere)
        users.setdefault(total.right, set()).update(elsewhere)
    for _, target in commits:
        users.setdefault(target, set()).update(elsewhere)
    return {
        name: replace(buffer, place="row")
        if buffer.place in ("local", "chunk")
        and buffer.size <= MAX_ROW_NUMBERS
        and len(users.get(name, set())) < 2
        else buffer
        for name, buffer in buffers.items()
    }
