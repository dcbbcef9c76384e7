"""The values of the compiler: one traced step, and the recurrent graph that it becomes.

In comes what the tracer saw; out go frozen values that print as readable text and check
themselves. A step is an acyclic graph of ATen operations. A recurrent graph is a step together
with its loops: the next state of one time step is the state of the following one, a delay of one
step. Whatever the number of rows of the batch enters, it is written `B` (:class:`Rows`), so that
the same graph runs for one step of B rows and for all T steps of T*B rows together.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rondo.compiler.cached import cached_property
from rondo.drawing import Drawing

if TYPE_CHECKING:
    from rondo.compiler.unroll import UnrolledGraph

Argument = Any  # a Ref, Rows, plain value, or a list or tuple of these


@dataclass(frozen=True)
class Rows:
    """The number of rows of the batch, times a factor: `B`, `2B`."""

    factor: int = 1

    def __repr__(self) -> str:
        return "B" if self.factor == 1 else f"{self.factor}B"


@dataclass(frozen=True)
class Ref:
    """The result of another node, or an input, by its name."""

    name: str

    def __repr__(self) -> str:
        return self.name


Size = int | Rows
Shape = tuple[Size, ...]


@dataclass(frozen=True)
class Value:
    """A named input of a step: its shape, with `B` for the rows, and its dtype."""

    name: str
    shape: Shape
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.name}: {_shape_text(self.shape, self.dtype)}"


@dataclass(frozen=True)
class Node:
    """One operation of a step.

    `shape` and `dtype` are None for an operation with several results, which `getitem` nodes
    take apart. `line` is where the cell says so, "cells.py:12", for messages.
    """

    name: str
    op: Callable[..., Any]
    args: tuple[Argument, ...]
    kwargs: tuple[tuple[str, Argument], ...] = ()
    shape: Shape | None = None
    dtype: torch.dtype | None = None
    line: str | None = field(default=None, compare=False, repr=False)

    @cached_property
    def packet(self) -> Callable[..., Any]:
        """The operation without its overload: `aten.sum` for `aten.sum.dim_IntList`."""
        return getattr(self.op, "overloadpacket", self.op)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The names of the values that this node reads, in order, each as often as it is read."""
        return tuple(ref.name for ref in _leaves((self.args, tuple(v for _, v in self.kwargs))))

    def argument(self, index: int, default: Any = None) -> Any:
        """A positional argument, or its default where it was left out."""
        return self.args[index] if index < len(self.args) else default

    @property
    def op_name(self) -> str:
        """The operation as one would write it, such as `mm` or `getitem`."""
        return str(getattr(self.packet, "__name__", self.packet))

    def __str__(self) -> str:
        arguments = [_argument_text(a) for a in self.args]
        arguments += [f"{k}={_argument_text(v)}" for k, v in self.kwargs]
        result = f": {_shape_text(self.shape, self.dtype)}" if self.shape is not None else ""
        return f"{self.name}{result} = {self.op_name}({', '.join(arguments)})"


@dataclass(frozen=True)
class StepGraph:
    """One time step as an acyclic graph.

    Args:
        parameters: What is the same at every step: weights, buffers, captured constants.
        inputs: What is given anew at every step, with rows: `x`.
        state: What the previous step left, with rows.
        nodes: The operations, each after those it reads.
        outputs: The values that come out at every step.
        next_state: The values that become the state of the next step, one for each state.
        sums: The values that are summed over all steps (the gradients of the parameters).
    """

    parameters: tuple[Value, ...]
    inputs: tuple[Value, ...]
    state: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    next_state: tuple[str, ...]
    sums: tuple[str, ...] = ()

    def check(self) -> StepGraph:
        """Return the graph itself; fail where a node reads what does not come before it."""
        seen: set[str] = set()
        everything: tuple[Value | Node, ...] = (*self.arguments(), *self.nodes)
        for value in everything:
            reads = value.reads if isinstance(value, Node) else ()
            missing = [name for name in reads if name not in seen]
            assert not missing, f"{value} reads {missing}, which no earlier node gives"
            assert value.name not in seen, f"two values are named {value.name}"
            seen.add(value.name)
        ends = (*self.outputs, *self.next_state, *self.sums)
        assert seen.issuperset(ends), f"no node gives {sorted(set(ends) - seen)}"
        assert len(self.next_state) == len(self.state), "every state needs its next state"
        return self

    def arguments(self) -> tuple[Value, ...]:
        """All inputs of the step: parameters, inputs, state."""
        return (*self.parameters, *self.inputs, *self.state)

    @cached_property
    def read(self) -> frozenset[str]:
        """The names of all that its nodes and its ends read."""
        ends = {*self.outputs, *self.next_state, *self.sums}
        return frozenset(ends.union(*(node.reads for node in self.nodes)))

    @cached_property
    def by_name(self) -> dict[str, Value | Node]:
        """Every input and node by its name; not to be changed."""
        everything: tuple[Value | Node, ...] = (*self.arguments(), *self.nodes)
        return {value.name: value for value in everything}

    def __str__(self) -> str:
        lines = [f"{kind} {value}" for kind, values in self._headed() for value in values]
        lines += [f"  {node}" for node in self.nodes]
        lines.append(f"output {', '.join(self.outputs)}")
        if self.sums:
            lines.append(f"summed over steps {', '.join(self.sums)}")
        return "\n".join(lines)

    def _headed(self) -> tuple[tuple[str, tuple[Value, ...]], ...]:
        return ("parameter", self.parameters), ("input", self.inputs), ("state", self.state)


@dataclass(frozen=True)
class Loop:
    """An edge that closes a loop: `source` of one step is `target` of the next."""

    source: str
    target: str
    delay: int = 1

    def __str__(self) -> str:
        return f"loop {self.target}(t+{self.delay}) = {self.source}(t)"


@dataclass(frozen=True)
class RecurrentGraph:
    """A step whose loops are closed: a computational graph with cycles, each with a delay.

    `labels` are the words of the cell for some of its values, for pictures; they change nothing.
    """

    step: StepGraph
    loops: tuple[Loop, ...]
    labels: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(str(self).encode()).hexdigest()[:16])

    def __str__(self) -> str:
        return "\n".join([str(self.step), *map(str, self.loops)])

    def unroll(
        self, num_steps: int, parameters: Mapping[str, torch.Tensor] | None = None
    ) -> UnrolledGraph:
        """The graph without loops, for a number of steps; see :func:`rondo.compiler.unroll`."""
        from rondo.compiler.unroll import unroll

        return unroll(self, num_steps, parameters=parameters)

    def draw(self, path: str | Path | None = None, *, steps: int | None = None) -> Drawing:
        """Draw the operations of a step with their loops, or unrolled for some steps.

        A notebook shows the drawing; it is saved where a path is given, as the ending says.

        Example:
            >>> import torch, rondo
            >>> graph = rondo.Recurrent(rondo.LSTMCell(3, 5)).graph
            >>> graph.draw()
            Drawing(12 nodes, 16 edges)
        """
        from rondo.compiler.readable import picture_of

        drawing = Drawing(picture_of(self), steps)
        return drawing if path is None else drawing.save(path)

    def _repr_svg_(self) -> str:
        return self.draw().svg


def close_loops(step: StepGraph) -> RecurrentGraph:
    """Close the loops of a step: each next state is the state of the following time step."""
    step.check()
    return RecurrentGraph(
        step,
        tuple(
            Loop(source, target.name)
            for source, target in zip(step.next_state, step.state, strict=True)
        ),
    )


def map_argument(function: Callable[[Any], Any], argument: Argument) -> Argument:
    """Apply a function to every leaf of an argument, keeping its lists and tuples."""
    if isinstance(argument, list | tuple):
        return tuple(map_argument(function, item) for item in argument)
    return function(argument)


def sizes_at(shape: Shape | None, num_rows: int) -> list[int]:
    """The sizes of a shape when `B` stands for a number of rows."""
    return [size.factor * num_rows if isinstance(size, Rows) else size for size in shape or ()]


def live_nodes(nodes: tuple[Node, ...], ends: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes that some of the named ends depends on, in their order."""
    wanted = set(ends)
    kept = []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.reads)
            kept.append(node)
    return tuple(reversed(kept))


def counts_truths(node: Value | Node, values: Mapping[str, Value | Node]) -> bool:
    """Whether a node counts truth values: a whole number, but kernels compute it as any other."""
    if not isinstance(node, Node) or node.packet is not torch.ops.aten.sum:
        return False
    return values[node.args[0].name].dtype == torch.bool


def draws_random(node: Node) -> bool:
    """Whether a node draws random numbers, so that running it again gives others."""
    tags = getattr(node.op, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags and not _drops_nothing(node)


def _drops_nothing(node: Node) -> bool:
    """Whether a node is told to draw nothing: attention without dropout, dropout in prediction."""
    schema = node.op._schema.arguments  # type: ignore[attr-defined]
    given = {a.name: node.argument(i, a.default_value) for i, a in enumerate(schema)}
    given |= dict(node.kwargs)
    return given.get("dropout_p") == 0 or False in (given.get("train"), given.get("training"))


def is_getitem(node: Node) -> bool:
    """Whether a node takes one result out of several."""
    return node.op is operator.getitem


def _leaves(argument: Argument) -> Iterator[Ref]:
    if isinstance(argument, Ref):
        yield argument
    elif isinstance(argument, list | tuple):
        for item in argument:
            yield from _leaves(item)


def _argument_text(argument: Argument) -> str:
    if isinstance(argument, list | tuple):
        return f"[{', '.join(map(_argument_text, argument))}]"
    return str(argument) if isinstance(argument, torch.dtype | torch.device) else repr(argument)


def _shape_text(shape: Shape | None, dtype: torch.dtype | None) -> str:
    sizes = ", ".join(map(repr, shape or ()))
    return f"{str(dtype).removeprefix('torch.')}[{sizes}]"
