"""Take out of a step what says the same twice.

In goes a traced step, out comes one with the same results: of nodes that do the same to the same
values only the first is left, a transposition of a transposition is the value itself, and so is
what is brought to the size or the type that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from rondo.compiler.graph import Node, Ref, StepGraph, Value, draws_random, live_nodes, map_argument

aten = torch.ops.aten


def simplify(step: StepGraph) -> StepGraph:
    """Merge equal nodes; leave out double transpositions and what changes nothing."""
    names: dict[str, str] = {}
    first: dict[Any, Node] = {}
    by_name: dict[str, Node] = {}
    arguments = {value.name: value for value in step.arguments()}

    def renamed(leaf: Any) -> Any:
        return Ref(names.get(leaf.name, leaf.name)) if isinstance(leaf, Ref) else leaf

    nodes = []
    for old in step.nodes:
        node = replace(
            old, args=map_argument(renamed, old.args), kwargs=map_argument(renamed, old.kwargs)
        )
        source = _untransposed(node, by_name) or _unchanged(node, {**arguments, **by_name})
        key = (node.op, repr(node.args), repr(node.kwargs))
        if source is not None:
            names[node.name] = source
        elif key in first and not draws_random(node):
            names[node.name] = first[key].name
        else:
            first[key] = by_name[node.name] = node
            nodes.append(node)

    def ends(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in values)

    outputs, next_state, sums = ends(step.outputs), ends(step.next_state), ends(step.sums)
    live = live_nodes(tuple(nodes), (*outputs, *next_state, *sums))
    return replace(step, nodes=live, outputs=outputs, next_state=next_state, sums=sums).check()


def _untransposed(node: Node, by_name: dict[str, Node]) -> str | None:
    """The value that a transposition of a transposition gives back."""
    if node.packet is not aten.t:
        return None
    inner = by_name.get(node.args[0].name)
    return inner.args[0].name if inner is not None and inner.packet is aten.t else None


def _unchanged(node: Node, by_name: Mapping[str, Value | Node]) -> str | None:
    """The value that an operation gives back as it is."""
    lays_out_anew = dict(node.kwargs).get("memory_format") is not None
    if node.packet not in (aten.expand, aten._to_copy) or lays_out_anew:
        return None
    given = by_name.get(node.args[0].name)
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
