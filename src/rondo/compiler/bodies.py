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
from rondo.compiler.memory import BEFORE, Memory, Position
from rondo.compiler.region import CONSTANTS
from rondo.compiler.schedule import Draft, Statement
from rondo.compiler.views import Index, Place

aten = torch.ops.aten

MAX_ROW_NUMBERS = 4096
"""What lies on the stack of a thread must be no larger than this."""


def loop_of(memory: Memory, position: Position, draft: Draft) -> Loop:
    """What a draft of a loop does, element by element."""
    body = _Body(memory, position)
    for statement in draft.statements:
        body.write(statement)
    return Loop(draft.sizes, draft.num_reduced, tuple(body.items))


class _Body:
    """What is done to an element of a row, in the making.

    What this loop stores it has at hand: it never reads it back from memory, where it lies only at
    the end of a turn. Everything else that lies in memory is read there, if it is complete before
    the loop begins.
    """

    def __init__(self, memory: Memory, position: Position) -> None:
        self.memory = memory
        self.position = position
        self.items: list[Load | Compute | Store | Reduce] = []
        self.names: dict[tuple[str, Place], str] = {}
        self.stored: dict[tuple[str, Index], str] = {}

    def write(self, statement: Statement) -> None:
        """Write down a statement and all that it needs."""
        value = self._value(statement.value, statement.place)
        buffer, index = statement.buffer, statement.index
        if statement.kind == "store":
            self.items.append(Store(buffer, index, value))
            if self.memory.buffers[buffer].place != "state":  # which is read as the step began
                self.stored[buffer, index] = value
        else:
            self.items.append(Reduce(buffer, index, value, statement.kind))

    def _value(self, name: str, place: Place) -> str:
        """Write down how an element is computed, unless it is already; return its name.

        What waits is a stack of our own: steps have chains of thousands of operations.
        """
        waiting = [(name, place)]
        while waiting:
            key = waiting[-1]
            found = self.names.get(key) or self._at_hand(*key)
            if found is None:
                operands = self.memory.operands(*key)
                missing = [operand for operand in operands if operand not in self.names]
                if missing:
                    waiting += reversed(missing)
                    continue
                found = self._computed(*key)
            self.names[key] = found
            waiting.pop()
        return self.names[name, place]

    def _at_hand(self, name: str, place: Place) -> str | None:
        """An element that lies in memory or was stored in this turn; None where it is computed."""
        lying = self.memory.lying(name, place)
        if lying is None or lying in self.stored:
            return None if lying is None else self.stored[lying]
        buffer, index = lying
        if self.memory.done.get(buffer, BEFORE) >= self.position:
            return None
        new = f"v{len(self.names)}"
        is_truth = self.memory.values[name].dtype == torch.bool
        dtype = torch.bool if is_truth else self.memory.buffers[buffer].dtype
        self.items.append(Load(new, buffer, index, dtype))
        return new

    def _computed(self, name: str, place: Place) -> str:
        """An element that is computed of elements of other values, which have names."""
        node = self.memory.nodes[name]
        operands = {
            operand: self.names[operand, at] for operand, at in self.memory.operands(name, place)
        }
        if len(operands) == 1 and not self.memory.is_arithmetic(node):
            return next(iter(operands.values()))
        new = f"v{len(self.names)}"
        dtype = self.memory.covered_dtype(name, node.dtype or self.memory.stored)
        numbers = (place[-1],) if node.packet is aten.arange else _numbers(node, operands)
        self.items.append(Compute(new, node, numbers, dtype))
        return new


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
