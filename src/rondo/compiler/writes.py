"""Operations that change a tensor, and the ones that give the new value instead."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

INSTEAD = {
    aten.bernoulli_.float: aten.bernoulli.p,
    aten.zero_.default: aten.zeros_like.default,
    aten.fill_.Scalar: aten.full_like.default,
    aten.normal_.default: aten.normal_functional.default,
}
"""Where the operation without an effect is not called like the one with it."""


@dataclass(frozen=True)
class Writing:
    """What an operation changes.

    Args:
        pure: The operation that gives the new value instead; None where there is none.
        argument: The number or the name of the argument that is changed; None where there are
            several.
    """

    pure: Any
    argument: int | str | None

    def written(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The tensors that a call changes."""
        if isinstance(self.argument, int):
            return [args[self.argument]]
        if self.argument is not None:
            return [kwargs[self.argument]]
        flat = [*args, *kwargs.values()]
        several = [item for leaf in flat if isinstance(leaf, list | tuple) for item in leaf]
        return [item for item in (*flat, *several) if isinstance(item, Tensor)]


@functools.cache
def writing_of(op: Any) -> Writing | None:
    """What an operation changes; None where it changes nothing."""
    arguments = op._schema.arguments
    changed = [a for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    if not changed:
        return None
    if len(changed) > 1:
        return Writing(None, None)
    if changed[0].kwarg_only:
        return Writing(_without_out(op, changed[0].name), changed[0].name)
    if changed[0] is not arguments[0] and changed[0].name != arguments[0].name:
        return Writing(None, None)
    return Writing(_pure(op), 0)


def _pure(op: Any) -> Any:
    """`add.Tensor` for `add_.Tensor`."""
    if op in INSTEAD:
        return INSTEAD[op]
    name = op._schema.name.partition("::")[2]
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return None if packet is None else getattr(packet, op._overloadname, None)


def _without_out(op: Any, out: str) -> Any:
    """`add.Tensor` for `add.out`."""
    packet = op.overloadpacket
    wanted = [(a.name, str(a.type)) for a in op._schema.arguments if a.name != out]
    for name in packet.overloads():
        other = getattr(packet, name)
        if [(a.name, str(a.type)) for a in other._schema.arguments] == wanted:
            return other
    return None
