"""Take out of a step what says the same twice.

In goes a traced step, out comes one with the same results: of nodes that do the same to the same
values only the first is left, a rearrangement that undoes another one gives the value itself, and
so does what is brought to the size or the type that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from rondo.compiler.graph import (
    Node,
    Ref,
    Shape,
    StepGraph,
    Value,
    draws_random,
    live_nodes,
    map_argument,
)
from rondo.compiler.views import RESHAPES

aten = torch.ops.aten


def simplify(step: StepGraph) -> StepGraph:
    """Merge equal nodes; leave out what undoes what was done before, and what changes nothing."""
    names: dict[str, str] = {}
    first: dict[Any, Node] = {}
    known: dict[str, Value | Node] = {value.name: value for value in step.arguments()}

    def renamed(leaf: Any) -> Any:
        return Ref(names.get(leaf.name, leaf.name)) if isinstance(leaf, Ref) else leaf

    nodes = []
    for old in step.nodes:
        node = replace(
            old, args=map_argument(renamed, old.args), kwargs=map_argument(renamed, old.kwargs)
        )
        source = _undone(node, known) or _unchanged(node, known)
        key = (node.op, repr(node.args), repr(node.kwargs))
        if source is not None:
            names[node.name] = source
        elif key in first and not draws_random(node):
            names[node.name] = first[key].name
        else:
            first[key] = known[node.name] = node
            nodes.append(node)

    def ends(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in values)

    outputs, next_state, sums = ends(step.outputs), ends(step.next_state), ends(step.sums)
    live = live_nodes(tuple(nodes), (*outputs, *next_state, *sums))
    return replace(step, nodes=live, outputs=outputs, next_state=next_state, sums=sums).check()


def _undone(node: Node, known: Mapping[str, Value | Node]) -> str | None:
    """The value that two rearrangements give back, of which the second undoes the first."""
    rule = UNDOES.get(node.packet)
    inner = None if rule is None else known[node.args[0].name]
    if rule is None or not isinstance(inner, Node) or UNDOES.get(inner.packet) is not rule:
        return None
    source: str = inner.args[0].name
    return source if rule(inner, node, known[source].shape) else None


def _exchanges_again(inner: Node, node: Node, shape: Shape | None) -> bool:
    """`x.t().t()`, `x.transpose(0, 1).transpose(1, 0)`."""
    ndim = max(len(shape or ()), 1)
    first, second = ({dim % ndim for dim in one.args[1:] or (0, 1)} for one in (inner, node))
    return first == second


def _orders_again(inner: Node, node: Node, shape: Shape | None) -> bool:
    """`x.permute(1, 2, 0).permute(2, 0, 1)`."""
    ndim = max(len(shape or ()), 1)
    first, second = ([dim % ndim for dim in one.args[1]] for one in (inner, node))
    return [first[dim] for dim in second] == list(range(len(first)))


def _folds_back(inner: Node, node: Node, shape: Shape | None) -> bool:
    """`x.view(-1, 2, 4).view(-1, 8)`."""
    return shape == node.shape


UNDOES: dict[Any, Callable[[Node, Node, Shape | None], bool]] = {
    **dict.fromkeys([aten.t, aten.transpose], _exchanges_again),
    aten.permute: _orders_again,
    **dict.fromkeys(RESHAPES, _folds_back),
}
"""For a rearrangement, whether it undoes one that was done before it, by the same rule."""


def _unchanged(node: Node, known: Mapping[str, Value | Node]) -> str | None:
    """The value that an operation gives back as it is."""
    lays_out_anew = dict(node.kwargs).get("memory_format") is not None
    if node.packet not in (aten.expand, aten._to_copy) or lays_out_anew:
        return None
    given = known.get(node.args[0].name)
    same = given is not None and (given.shape, given.dtype) == (node.shape, node.dtype)
    return node.args[0].name if same else None


def rename(step: StepGraph, names: dict[str, str]) -> StepGraph:
    """The same step with other names for some nodes; inputs and taken names stay as they are."""
    taken, nodes = set(step.by_name), {node.name for node in step.nodes}
    new = {old: name for old, name in names.items() if name not in taken and old in nodes}

    def renamed(leaf: Any) -> Any:
        return Ref(new.get(leaf.name, leaf.name)) if isinstance(leaf, Ref) else leaf

    def ends(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new.get(name, name) for name in values)

    renamed_nodes = tuple(
        replace(
            node,
            name=new.get(node.name, node.name),
            args=map_argument(renamed, node.args),
            kwargs=map_argument(renamed, node.kwargs),
        )
        for node in step.nodes
    )
    return replace(
        step,
        nodes=renamed_nodes,
        outputs=ends(step.outputs),
        next_state=ends(step.next_state),
        sums=ends(step.sums),
    ).check()
