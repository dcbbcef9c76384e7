"""Take the operations of a step apart into products, arithmetic and sums within a row.

In go the nodes of a step, out come nodes that say the same with fewer kinds of operations: a
product with an addend becomes a product and an addition, a softmax becomes maximum, exponential,
sum and quotient, a layer norm becomes means and arithmetic. A kernel needs to know no more than
what is left.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from rondo.compiler.elementwise import IGNORED
from rondo.compiler.expansion import Expansion, Term, Values
from rondo.compiler.graph import Node, Ref, Value, is_getitem, map_argument
from rondo.compiler.primitive_indices import BY_NUMBER
from rondo.compiler.primitive_numbers import NUMBERS
from rondo.compiler.primitive_places import PLACES
from rondo.compiler.primitive_rows import ROWS

aten = torch.ops.aten

RULES: dict[Any, Callable[..., Any]] = {**NUMBERS, **ROWS, **PLACES, **BY_NUMBER}
"""How compound operations are taken apart: for the terms and numbers that one is given, its result
or results, or `NotImplemented` where it stays as it is."""


def expand(
    nodes: Iterable[Node], values: dict[str, Value | Node], expansion: Expansion
) -> tuple[Node, ...]:
    """Return the nodes with all compound operations taken apart.

    Args:
        nodes: Nodes of a step, each after those it reads.
        values: What they read, by name; what they give is added.
        expansion: What was written down of earlier nodes; what these become is added.
    """
    start = done = len(expansion.nodes)
    for old in nodes:
        node = renamed(old, expansion.names)
        if is_getitem(node) and node.args[0].name in expansion.results:
            expansion.names[node.name] = expansion.results[node.args[0].name][node.args[1]]
            continue
        result = _result(expansion, node, values)
        if result is NotImplemented:
            del expansion.nodes[done:]
            expansion.nodes.append(node)
        else:
            expansion.stand_in(node, result, done)
        values.update((new.name, new) for new in expansion.nodes[done:])
        done = len(expansion.nodes)
    return tuple(expansion.nodes[start:])


def _result(expansion: Expansion, node: Node, values: Values) -> Any:
    """What stands for the result of a node, as terms; `NotImplemented`: the node itself."""
    rule = RULES.get(node.packet)
    if rule is None:
        return NotImplemented
    arguments: tuple[Any, ...] = expansion.term(node, node.args, values)
    options = {key: value for key, value in node.kwargs if key not in IGNORED}
    given = next((leaf for leaf in arguments if isinstance(leaf, Term)), None)
    if given is not None and not given.dtype.is_floating_point and node.packet in NUMERICAL:
        return NotImplemented
    return rule(*arguments, **options) if _fits(rule, arguments, options) else NotImplemented


def _fits(rule: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a rule knows all that an operation is told."""
    try:
        inspect.signature(rule).bind(*arguments, **options)
    except TypeError:
        return False
    return True


NUMERICAL = {*NUMBERS, *ROWS, *BY_NUMBER} - {aten.any, aten.all}
"""Operations whose formulas are for numbers, not for truth values and integers."""


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The node, reading other values in place of those that are named."""

    def leaf(argument: Any) -> Any:
        return (
            Ref(names.get(argument.name, argument.name)) if isinstance(argument, Ref) else argument
        )

    return replace(node, args=map_argument(leaf, node.args), kwargs=map_argument(leaf, node.kwargs))
