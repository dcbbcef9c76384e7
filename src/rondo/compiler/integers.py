"""Which whole numbers a kernel may compute with.

A kernel computes with numbers of the type of its loop, which hold whole ones exactly up to some
size. Counts, and the numbers of elements, are small; what somebody gives need not be. So given
integers are read where torch itself turns them into such numbers, or as the numbers of elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from rondo.compiler.graph import Node, Value, counts_truths, is_getitem
from rondo.compiler.kernel import NotCoveredError, short
from rondo.compiler.views import RESHAPES, VIEWS

aten = torch.ops.aten

MAKES = {aten.argmax, aten.argmin}
"""Operations whose result is the number of an element."""

WITH_NUMBERS = {aten.max, aten.min}
"""Operations that have such numbers among their results."""

KEEPS = {*VIEWS, *RESHAPES, aten.where, aten.add, aten.sub, aten.cat, aten.stack}
"""Operations whose result is small if what they read is."""


def check_integers(nodes: Iterable[Node], values: Mapping[str, Value | Node]) -> None:
    """Fail where nodes compute with whole numbers that might be large."""
    small: set[str] = set()
    for node in nodes:
        read = {name for name in node.reads if _is_integer(values[name].dtype)}
        if node.packet in {*VIEWS, *RESHAPES} and not read <= small:
            continue  # what is given, seen in another way
        if _is_integer(node.dtype):
            if not _is_small(node, values, small, read):
                whole = values[node.args[0].name] if is_getitem(node) else node
                op_name = whole.op_name if isinstance(whole, Node) else node.op_name
                raise NotCoveredError(
                    f"{op_name} gives whole numbers ({short(node.dtype)}), which may be too "
                    "large for a kernel",
                    node.name,
                )
            small.add(node.name)
        elif read - small and node.dtype == torch.bool:
            raise NotCoveredError(
                f"{node.op_name} reads whole numbers, which may be too large for a kernel",
                node.name,
            )


def _is_small(
    node: Node, values: Mapping[str, Value | Node], small: set[str], read: set[str]
) -> bool:
    if is_getitem(node):
        whole = values[node.args[0].name]
        return isinstance(whole, Node) and whole.packet in WITH_NUMBERS
    if node.packet is aten._to_copy:
        return read <= small and (bool(read) or values[node.reads[0]].dtype == torch.bool)
    is_kept = node.packet in KEEPS and read <= small
    return node.packet in MAKES or counts_truths(node, values) or is_kept


def _is_integer(dtype: torch.dtype | None) -> bool:
    return dtype is not None and not (
        dtype.is_floating_point or dtype.is_complex or dtype == torch.bool
    )
