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
    """`add.Tensor` for `add_.Tensor`, `pow.Tensor_Scalar` for `pow_.Scalar`."""
    if op in INSTEAD:
        return INSTEAD[op]
    name = op._schema.name.partition("::")[2]
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return None if packet is None else _overload(packet, op._schema.arguments)


def _without_out(op: Any, out: str) -> Any:
    """`add.Tensor` for `add.out`."""
    return _overload(op.overloadpacket, [a for a in op._schema.arguments if a.name != out])


def _overload(packet: Any, arguments: Sequence[Any]) -> Any:
    """The overload that takes arguments of these names and types, or at least of these types."""
    overloads = [getattr(packet, name) for name in packet.overloads()]
    for told in (_names_and_types, _types):
        for op in overloads:
            if told(op._schema.arguments) == told(arguments):
                return op
    return None


def _names_and_types(arguments: Sequence[Any]) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in arguments]


def _types(arguments: Sequence[Any]) -> list[tuple[str, bool]]:
    return [(str(argument.type), argument.kwarg_only) for argument in arguments]
