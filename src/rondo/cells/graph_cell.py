"""A graph with loops, written as nodes and edges, as a cell."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rondo.drawing import Arrow, Drawing, Mark, Picture

INPUT = "x"


@dataclass(frozen=True)
class Node:
    """A variable: a function of what its edges bring.

    Args:
        size: Its width.
        function: A function or module; None for the sum itself.
        takes: "sum": the function gets the sum of what the edges bring; "each": it gets one
            argument for each edge, in the order of the edges.
    """

    size: int
    function: Callable[..., Tensor] | None = None
    takes: str = "sum"

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(
                f"the size of a node must be a whole number of at least 1, got {self.size!r}"
            )
        if self.takes not in ("sum", "each"):
            raise ValueError(f"takes must be 'sum' or 'each', got {self.takes!r}")
        if self.takes == "each" and self.function is None:
            raise ValueError("a node that takes each edge on its own needs a function")


@dataclass(frozen=True)
class Edge:
    """What brings the value of one node to another, perhaps some steps later.

    Args:
        source: The node where it starts, or "x" for the input.
        target: The node where it ends.
        function: What it does to the value: a module such as `nn.Linear`, a function, or None.
        delay: The number of steps it takes: 0, the same step, or more.
    """

    source: str
    target: str
    function: Callable[[Tensor], Tensor] | None = None
    delay: int = 0

    def __post_init__(self) -> None:
        is_number = isinstance(self.delay, int) and not isinstance(self.delay, bool)
        if not is_number or self.delay < 0:
            raise ValueError(
                f"delay must be a whole number of steps, 0 or more, got {self.delay!r}"
            )


class GraphCell(nn.Module):
    """A cell that is written as a graph: nodes, and edges of which some have a delay.

    Every node is a function of what its edges bring; an edge with a delay of k brings the value
    of k steps before, from the state. The state is a dict with a tensor for each node and delay:
    `h` for h(t-1), `h_2` for h(t-2). The input x may be read with a delay too.

    Args:
        nodes: The nodes by name.
        edges: The edges by name; the modules of both become attributes of the cell by these names.
        output: The node whose value comes out.
        input_size: The width of the input x; 0 for a system without input.

    Shape:
        x (B, I), state a dict of (B, size); output (B, size of the output node).

    Raises:
        ValueError: Where an edge leads nowhere, or edges without a delay form a cycle.

    Example:
        >>> import torch, rondo
        >>> from torch import nn
        >>> cell = rondo.GraphCell(
        ...     nodes={"h": rondo.Node(5, torch.tanh), "y": rondo.Node(2)},
        ...     edges={
        ...         "U": rondo.Edge("x", "h", nn.Linear(3, 5)),
        ...         "W": rondo.Edge("h", "h", nn.Linear(5, 5, bias=False), delay=1),
        ...         "V": rondo.Edge("h", "y", nn.Linear(5, 2)),
        ...     },
        ...     output="y",
        ...     input_size=3,
        ... )
        >>> y, state = rondo.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> y.shape, state["h"].shape, cell.W.weight.shape
        (torch.Size([2, 7, 2]), torch.Size([2, 5]), torch.Size([5, 5]))

        A cycle needs a delay somewhere:

        >>> rondo.GraphCell(  # doctest: +ELLIPSIS
        ...     nodes={"a": rondo.Node(2), "b": rondo.Node(2)},
        ...     edges={"f": rondo.Edge("a", "b"), "g": rondo.Edge("b", "a")},
        ...     output="a",
        ...     input_size=2,
        ... )
        Traceback (most recent call last):
        ...
        ValueError: a cycle needs a delay: a --f--> b --g--> a; give one of these edges delay=1 ...
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        edges: Mapping[str, Edge],
        *,
        output: str,
        input_size: int,
    ) -> None:
        sizes = {INPUT: input_size, **{name: node.size for name, node in nodes.items()}}
        _check_names(nodes, edges, output)
        delays = _delays(edges.values())
        state_size = {
            state_key(name, delay): sizes[name]
            for name, most in delays.items()
            for delay in range(1, most + 1)
        }
        super().__init__()
        if not isinstance(input_size, int) or input_size < 0:
            raise ValueError(f"input_size must be a whole number, 0 or more, got {input_size!r}")
        self.input_size = input_size
        self.hidden_size = self.output_size = sizes[output]
        self.state_size = state_size
        self.output = output
        self.nodes, self.edges = dict(nodes), dict(edges)
        self.order = _order(self.nodes, self.edges)
        self.delays = delays
        self._add_modules()

    def _add_modules(self) -> None:
        """Every module becomes an attribute by the name of its node or edge."""
        parts: list[tuple[str, Node | Edge]] = [*self.nodes.items(), *self.edges.items()]
        for name, part in parts:
            if hasattr(self, name) or (name in self.nodes and name in self.edges):
                raise ValueError(
                    f"the name {name!r} is taken; names of nodes and edges become attributes of "
                    "the cell, so choose another one"
                )
            if isinstance(part.function, nn.Module):
                self.add_module(name, part.function)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """One step: the output and the new state."""
        values = {INPUT: x}
        for name in self.order:
            brought = [
                self._bring(edge_name, edge, values, state)
                for edge_name, edge in self.edges.items()
                if edge.target == name
            ]
            values[name] = self._value(name, brought)
        new_state = {
            state_key(name, delay): values[name]
            if delay == 1
            else state[state_key(name, delay - 1)]
            for name, most in self.delays.items()
            for delay in range(1, most + 1)
        }
        return values[self.output], new_state

    def _bring(
        self, name: str, edge: Edge, values: dict[str, Tensor], state: dict[str, Tensor]
    ) -> Tensor:
        value = state[state_key(edge.source, edge.delay)] if edge.delay else values[edge.source]
        return self._call(name, edge.function, value)

    def _value(self, name: str, brought: list[Tensor]) -> Tensor:
        node = self.nodes[name]
        if node.takes == "each":
            value = self._call(name, node.function, *brought)
        else:
            total = brought[0]
            for term in brought[1:]:
                total = total + term
            value = self._call(name, node.function, total)
        if value.shape[-1] != node.size:
            raise ValueError(
                f"node {name!r} is {node.size} wide, but its value has shape {tuple(value.shape)}; "
                "change its size, or the function of the node or of an edge into it"
            )
        return value

    def _call(self, name: str, function: Callable[..., Tensor] | None, *values: Tensor) -> Tensor:
        if isinstance(function, nn.Module):
            return getattr(self, name)(*values)
        return values[0] if function is None else function(*values)

    @property
    def picture(self) -> Picture:
        """The graph as it is drawn: variables, with the names of the edges."""
        marks = [Mark(name, name, is_timed=True) for name in self.nodes if name != self.output]
        marks.append(Mark(self.output, self.output, "output", is_timed=True))
        if self.input_size:
            marks.insert(0, Mark(INPUT, INPUT, "input", is_timed=True))
        known = {mark.id for mark in marks}
        return Picture(
            tuple(marks),
            tuple(
                Arrow(edge.source, edge.target, self._edge_label(name, edge), edge.delay)
                for name, edge in self.edges.items()
                if edge.source in known
            ),
        ).check()

    def _edge_label(self, name: str, edge: Edge) -> str:
        return name if edge.function is not None else ""

    def draw(self, path: str | None = None, *, steps: int | None = None) -> Drawing:
        """Draw the graph, folded or unrolled for some steps; see :func:`rondo.draw`."""
        drawing = Drawing(self.picture, steps)
        return drawing if path is None else drawing.save(path)

    def _repr_svg_(self) -> str:
        return self.draw().svg

    def extra_repr(self) -> str:
        """The edges, as one writes them."""
        lines = []
        for name, edge in self.edges.items():
            delay = f" (delay {edge.delay})" if edge.delay else ""
            lines.append(f"{edge.source} --{name}--> {edge.target}{delay}")
        return "\n".join(lines)


def state_key(name: str, delay: int) -> str:
    """The key of a delayed value in the state: h, h_2, h_3."""
    return name if delay == 1 else f"{name}_{delay}"


# ---- checks ----


def _check_names(nodes: Mapping[str, Node], edges: Mapping[str, Edge], output: str) -> None:
    if INPUT in nodes:
        raise ValueError("the name 'x' stands for the input; call the node otherwise")
    for name in (*nodes, *edges):
        if not name.isidentifier():
            raise ValueError(f"a name must be a word such as h or W_2, got {name!r}")
    for name, edge in edges.items():
        _check_known(f"edge {name!r} starts at", edge.source, [INPUT, *nodes])
        if edge.target == INPUT:
            raise ValueError(f"edge {name!r} leads to the input x, which is given from outside")
        _check_known(f"edge {name!r} leads to", edge.target, nodes)
    _check_known("the output is", output, nodes)
    for name in nodes:
        if not any(edge.target == name for edge in edges.values()):
            raise ValueError(f"no edge leads to node {name!r}; give it one, or leave it out")


def _check_known(what: str, name: Any, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        raise ValueError(f"{what} {name!r}, which is no node; {hint}")


def _delays(edges: Iterable[Edge]) -> dict[str, int]:
    """The longest delay with which each node is read."""
    delays: dict[str, int] = {}
    for edge in edges:
        if edge.delay:
            delays[edge.source] = max(edge.delay, delays.get(edge.source, 0))
    return delays


def _order(nodes: Mapping[str, Node], edges: Mapping[str, Edge]) -> list[str]:
    """The nodes, each after those that it reads in the same step."""
    order: list[str] = []
    on_the_way: list[str] = []

    def visit(name: str) -> None:
        if name in order or name == INPUT:
            return
        if name in on_the_way:
            raise ValueError(
                f"a cycle needs a delay: {_cycle(on_the_way[on_the_way.index(name) :], edges)}; "
                "give one of these edges delay=1 or more"
            )
        on_the_way.append(name)
        for edge in edges.values():
            if edge.target == name and not edge.delay:
                visit(edge.source)
        on_the_way.pop()
        order.append(name)

    for name in nodes:
        visit(name)
    return order


def _cycle(found: list[str], edges: Mapping[str, Edge]) -> str:
    """A cycle as text, in the direction of its edges; `found` goes against it."""
    nodes = [found[0], *reversed(found)]
    text = nodes[0]
    for source, target in itertools.pairwise(nodes):
        name = next(
            name
            for name, edge in edges.items()
            if (edge.source, edge.target, edge.delay) == (source, target, 0)
        )
        text += f" --{name}--> {target}"
    return text
