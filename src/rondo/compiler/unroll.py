"""A graph with loops as one without: every node once for each step.

In goes a recurrent graph, out comes a `torch.fx.GraphModule` that does all steps of a sequence,
with the same results as the layer. What depends on parameters only is there once. It is made to be
read, drawn, and handed to tools that know no loops; it is as long as the sequence.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rondo.compiler.graph import (
    Node,
    RecurrentGraph,
    Ref,
    Rows,
    StepGraph,
    draws_random,
    map_argument,
)
from rondo.compiler.readable import picture_of
from rondo.drawing import Drawing, check_num_steps

FxNodes = dict[str, torch.fx.Node]


class UnrolledGraph(torch.fx.GraphModule):
    """A recurrent graph unrolled for a number of steps, as an executable graph.

    It takes the inputs (B, T, ...), then each state (B, ...), then the parameters that were not
    bound, all of which may be given by name; it returns the outputs (B, T, ...) and the last state.
    """

    def draw(self, path: str | Path | None = None) -> Drawing:
        """Draw the graph, time running to the right; save it where a path is given."""
        drawing = self.meta["drawing"]()
        return drawing if path is None else drawing.save(path)

    def _repr_svg_(self) -> str:
        return self.draw().svg


def unroll(
    graph: RecurrentGraph,
    num_steps: int,
    *,
    parameters: Mapping[str, torch.Tensor] | None = None,
    form: Any = None,
    reverse: bool = False,
) -> UnrolledGraph:
    """Unroll a graph for a number of steps.

    Args:
        graph: A graph with loops.
        num_steps: T, at least 1.
        parameters: Tensors by the names of the graph's parameters, to be bound; those left out
            become arguments of the module.
        form: The form of the state that is returned; default one tensor, or a tuple.
        reverse: Whether the first step is the last of the sequence.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Recurrent(rondo.ElmanCell(3, 5))
        >>> unrolled = layer.graph.unroll(4)
        >>> x, h = torch.randn(2, 4, 3), torch.zeros(2, 5)
        >>> y, h_n = unrolled(x, h, **dict(layer.cell.named_parameters()))
        >>> torch.allclose(y, layer(x)[0], atol=1e-6)
        True
    """
    check_num_steps(num_steps)
    writer = _Writer(graph.step, dict(parameters or {}))
    times = range(num_steps)
    writer.write([*reversed(times)] if reverse else [*times], form)
    unrolled = UnrolledGraph(writer.root, writer.graph, "UnrolledGraph")
    unrolled.meta["drawing"] = partial(_drawing, graph, num_steps, reverse)
    return unrolled


def _drawing(graph: RecurrentGraph, num_steps: int, reverse: bool) -> Drawing:
    picture = picture_of(graph)
    return Drawing(picture.reversed() if reverse else picture, num_steps)


class _Writer:
    """Writes the steps into an fx graph, one after the other."""

    def __init__(self, step: StepGraph, bound: dict[str, torch.Tensor]) -> None:
        self.step, self.bound = step, bound
        self.graph = torch.fx.Graph()
        self.root = torch.nn.Module()
        self.shared: FxNodes = {}
        self.sequences: FxNodes = {}

    def write(self, times: list[int], form: Any) -> None:
        step = self.step
        self.sequences = {v.name: self.graph.placeholder(v.name) for v in step.inputs}
        state = {v.name: self.graph.placeholder(v.name) for v in step.state}
        for value in step.parameters:
            self.shared[value.name] = self._parameter(value.name)
        first = next(iter((self.sequences | state).values()))
        self.num_rows = self.graph.call_function(torch.ops.aten.sym_size.int, (first, 0))
        outputs: list[dict[int, torch.fx.Node]] = [{} for _ in step.outputs]
        sums: list[list[torch.fx.Node]] = [[] for _ in step.sums]
        for time in times:
            values = self._one_step(time, state)
            state = {
                v.name: values[name] for v, name in zip(step.state, step.next_state, strict=True)
            }
            for found, name in zip(outputs, step.outputs, strict=True):
                found[time] = values[name]
            for terms, name in zip(sums, step.sums, strict=True):
                terms.append(values[name])
        stacked = [
            self.graph.call_function(torch.stack, ([found[t] for t in sorted(found)], 1))
            for found in outputs
        ]
        self.graph.output((*stacked, _formed([*state.values()], form), *map(self._total, sums)))
        self.graph.eliminate_dead_code()

    def _parameter(self, name: str) -> torch.fx.Node:
        if name not in self.bound:
            return self.graph.placeholder(name)
        tensor = self.bound[name]
        if isinstance(tensor, torch.nn.Parameter):
            self.root.register_parameter(name, tensor)
        else:
            self.root.register_buffer(name, tensor)
        return self.graph.get_attr(name)

    def _one_step(self, time: int, state: FxNodes) -> FxNodes:
        values = {**self.shared, **state}
        for name, sequence in self.sequences.items():
            values[name] = self.graph.call_function(torch.select, (sequence, 1, time))
        for node in self.step.nodes:
            if node.name in values:
                continue
            is_shared = all(name in self.shared for name in node.reads)
            is_shared = is_shared and not draws_random(node) and not _has_rows(node)
            suffix = "" if is_shared else f"_{time + 1}"
            values[node.name] = self._write_node(node, values, suffix)
            if is_shared:
                self.shared[node.name] = values[node.name]
        return values

    def _write_node(self, node: Node, values: FxNodes, suffix: str) -> torch.fx.Node:
        def leaf(argument: Any) -> Any:
            if isinstance(argument, Ref):
                return values[argument.name]
            if not isinstance(argument, Rows):
                return argument
            if argument.factor == 1:
                return self.num_rows
            return self.graph.call_function(operator.mul, (self.num_rows, argument.factor))

        arguments = tuple(map_argument(leaf, argument) for argument in node.args)
        keywords = {key: map_argument(leaf, argument) for key, argument in node.kwargs}
        return self.graph.create_node(
            "call_function", node.op, arguments, keywords, name=f"{node.name}{suffix}"
        )

    def _total(self, terms: list[torch.fx.Node]) -> torch.fx.Node:
        total = terms[0]
        for term in terms[1:]:
            total = self.graph.call_function(torch.add, (total, term))
        return total


def _has_rows(node: Node) -> bool:
    return any(isinstance(size, Rows) for size in node.shape or ())


def _formed(leaves: list[torch.fx.Node], form: Any) -> Any:
    if form is not None:
        return form.unflatten(leaves)
    return leaves[0] if len(leaves) == 1 else tuple(leaves)
