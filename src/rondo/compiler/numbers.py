"""Numbers of a cell that change from call to call become arguments of its kernel.

In go recordings of the same step with other numbers on its cell (a temperature that is annealed),
out come programs of which as few as possible are compiled. A step is recorded anew for each number,
which is what makes its program right; but where two recordings differ only in numbers that the step
computes with, these become tensors without dimensions that the program is given, as constants of
the step are. A number that decides what the step does, or stands where an operation takes no
tensor, stays a part of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.engines import Reference
from rondo.compiler.graph import Node, Ref, StepGraph, Value
from rondo.compiler.merge import Traced
from rondo.compiler.program import Program
from rondo.compiler.record import fresh_name

aten = torch.ops.aten

Build = Callable[[Traced], Program]
Place = tuple[str, int]
"""Where a number stands: the name of a node, and which of its arguments."""

NUM_CHECKED = 2
"""Programs with the same kernels that are compared with the plain loop; later ones are not."""

MAX_VARIANTS = 4
"""Programs that are kept of one step with other numbers; beyond, the oldest goes."""


@dataclass(frozen=True)
class Variant:
    """A program, and the recording that it was made of.

    Args:
        traced: The recording.
        program: Its program, in which the numbers at `places` are given.
        places: Where numbers stand that the program is given.
    """

    traced: Traced
    program: Program
    places: tuple[Place, ...] = ()

    def with_numbers_of(self, traced: Traced) -> Program:
        """The program with the numbers and constants of another recording."""
        given = with_arguments(traced, self.places, self.program.device)
        assert given is not None, "what was given once can be given again"
        return self.program.with_captured(given.captured)


@dataclass
class Variants:
    """The programs of one step with other numbers on its cell.

    Args:
        known: The programs.
        num_compiled: How many were compiled.
        num_checked: How many programs with the same kernels were compared with the plain loop.
    """

    known: list[Variant] = field(default_factory=list)
    num_compiled: int = 0
    num_checked: dict[str, int] = field(default_factory=dict)

    def is_to_be_checked(self, program: Program) -> bool:
        """Whether a program is still to be compared with the plain loop."""
        return self.num_checked.get(program.key, 0) < NUM_CHECKED

    def note_checked(self, program: Program) -> None:
        """Tell that a program gives what the plain loop gives."""
        self.num_checked[program.key] = self.num_checked.get(program.key, 0) + 1

    def program_for(self, traced: Traced, build: Build) -> Program:
        """The program of a recording: one that there is, with other numbers, or a new one.

        Args:
            traced: The recording.
            build: Makes a program of a recording.
        """
        for variant in reversed(self.known):
            places = places_of_change(variant.traced, traced)
            if places is None:
                continue
            if set(places) <= set(variant.places):
                return variant.with_numbers_of(traced)
            lifted = self._lifted(variant, places, traced, build)
            if lifted is not None:
                return lifted.program
        new = Variant(traced, build(traced))
        self._add(new)
        return new.program

    def _lifted(
        self, variant: Variant, more: tuple[Place, ...], traced: Traced, build: Build
    ) -> Variant | None:
        """A variant whose program is given more numbers; None where no kernel takes them."""
        places = tuple(dict.fromkeys((*variant.places, *more)))
        given = with_arguments(traced, places, variant.program.device)
        if given is None:
            return None
        program = build(given)
        if _is_by_kernels(variant.program) and not _is_by_kernels(program):
            return None
        lifted = Variant(traced, program, places)
        self.known.remove(variant)  # whatever it was right for, this one is right for too
        self._add(lifted)
        return lifted

    def _add(self, variant: Variant) -> None:
        self.num_compiled += 1
        self.known.append(variant)
        del self.known[:-MAX_VARIANTS]


def _is_by_kernels(program: Program) -> bool:
    """Whether no engine of a program stands in for a faster one."""
    try:
        engines = (
            (program.run,)
            if program.gradient is None
            else (program.run_forward, program.run_backward)
        )
    except ValueError:  # an engine was asked for by name
        return False
    return not any(isinstance(engine, Reference) and engine.reason for engine in engines)


# ---- where two recordings differ ----


def places_of_change(one: Traced, two: Traced) -> tuple[Place, ...] | None:
    """Where two recordings have other numbers; None where they differ in more."""
    found: dict[Place, None] = {}
    pairs = [(one.graph, two.graph)]
    if (one.joint is None) != (two.joint is None):
        return None
    if one.joint is not None and two.joint is not None:
        pairs.append((one.joint, two.joint))
    rest = [(t.ends, t.guards, t.asks_rows, t.own_gradient) for t in (one, two)]
    if rest[0] != rest[1] or not _are_alike(one.captured, two.captured):
        return None
    for first, second in pairs:
        if _frame_of(first) != _frame_of(second) or len(first.nodes) != len(second.nodes):
            return None
        for a, b in zip(first.nodes, second.nodes, strict=True):
            numbers = _other_numbers(a, b)
            if numbers is None:
                return None
            found.update(dict.fromkeys((a.name, number) for number in numbers))
    return tuple(found)


def _are_alike(one: tuple[Tensor, ...], two: tuple[Tensor, ...]) -> bool:
    """Whether constants may stand for each other."""

    def kinds(tensors: tuple[Tensor, ...]) -> list[Any]:
        return [(t.shape, t.dtype, t.device, t.requires_grad) for t in tensors]

    return kinds(one) == kinds(two)


def _frame_of(graph: StepGraph) -> tuple[Any, ...]:
    """All of a graph but its nodes."""
    return (*graph.arguments(), graph.outputs, graph.next_state, graph.sums)


def _other_numbers(a: Node, b: Node) -> list[int] | None:
    """Which arguments are other numbers; None where the nodes differ in more."""
    alike = (a.name, a.op, a.kwargs, a.shape, a.dtype) == (b.name, b.op, b.kwargs, b.shape, b.dtype)
    if not alike or len(a.args) != len(b.args):
        return None
    found = []
    for number, (x, y) in enumerate(zip(a.args, b.args, strict=True)):
        if type(x) is type(y) and (x == y or (x != x and y != y)):
            continue
        if not (_is_number(x) and _is_number(y)):
            return None
        found.append(number)
    return found


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


# ---- numbers that are given ----


def with_arguments(traced: Traced, places: Sequence[Place], device: torch.device) -> Traced | None:
    """A recording in which the numbers at some places are tensors that it is given.

    Returns:
        The recording; None where an operation takes no tensor in place of its number.
    """
    if not places:
        return traced
    graphs = [graph for graph in (traced.graph, traced.joint) if graph is not None]
    taken = {name for graph in graphs for name in graph.by_name}
    values: dict[Place, Value] = {}
    tensors: list[Tensor] = []
    for place in places:
        number, dtype = _number_at(graphs, place)
        if dtype is None:
            return None
        values[place] = Value(fresh_name("number", taken), (), dtype)
        tensors.append(torch.tensor(number, dtype=dtype, device=device))
    given = [_with_values(graph, values) for graph in graphs]
    if None in given:
        return None
    graph, joint = given[0], None if traced.joint is None else given[1]
    assert graph is not None
    return replace(traced, graph=graph, joint=joint, captured=(*traced.captured, *tensors))


def _number_at(graphs: Sequence[StepGraph], place: Place) -> tuple[Any, torch.dtype | None]:
    """A number, and the type of a tensor that may stand for it, or None."""
    name, index = place
    graph = next(graph for graph in graphs if name in graph.by_name)
    node = graph.by_name[name]
    assert isinstance(node, Node)
    return node.args[index], _dtype_for(node, index, graph.by_name)


def _dtype_for(node: Node, index: int, values: Mapping[str, Value | Node]) -> torch.dtype | None:
    """The type of a tensor that changes nothing about the type of an operation's result."""
    read = [values[name] for name in node.reads]
    dtypes = {value.dtype for value in read} or {node.dtype}
    dtype = dtypes.pop()
    if dtypes or dtype is None or dtype == torch.bool:
        return None
    if not dtype.is_floating_point:
        return dtype if type(node.args[index]) is int else None
    if dtype.itemsize >= torch.float32.itemsize:
        return dtype
    has_dimensions = any(value.shape for value in read)
    return torch.float32 if has_dimensions else None  # numbers have more digits than the rest


def _with_values(graph: StepGraph, values: Mapping[Place, Value]) -> StepGraph | None:
    """A graph in which values stand for the numbers at some places; None where that is no graph."""
    refs: dict[str, dict[int, Ref]] = {}
    for (name, index), value in values.items():
        refs.setdefault(name, {})[index] = Ref(value.name)
    nodes = [_given(node, refs[node.name]) if node.name in refs else node for node in graph.nodes]
    kept = [node for node in nodes if node is not None]
    if len(kept) < len(nodes):
        return None
    parameters = (*graph.parameters, *values.values())
    return replace(graph, parameters=parameters, nodes=tuple(kept)).check()


def _given(node: Node, refs: Mapping[int, Ref]) -> Node | None:
    """A node that reads values in place of some of its numbers; None where it cannot."""
    args = tuple(refs.get(number, arg) for number, arg in enumerate(node.args))
    if node.op is aten.full.default:
        return replace(node, op=aten.expand.default, args=(args[1], args[0]), kwargs=())
    op = next((op for op in _overloads(node) if _takes(op, node, refs)), None)
    return None if op is None else replace(node, op=op, args=args)


def _overloads(node: Node) -> Iterator[Any]:
    """The operation of a node, then others of its name."""
    packet: Any = node.packet
    yield node.op
    if isinstance(packet, torch._ops.OpOverloadPacket):
        yield from (getattr(packet, name) for name in packet.overloads())


def _takes(op: Any, node: Node, refs: Mapping[int, Ref]) -> bool:
    """Whether an operation takes the arguments of a node, with tensors for some numbers."""
    own, schema = getattr(node.op, "_schema", None), getattr(op, "_schema", None)
    if own is None or schema is None or len(schema.arguments) < len(node.args):
        return False
    if any(argument.is_out for argument in schema.arguments):
        return False
    names = {argument.name for argument in schema.arguments}
    kinds = [str(argument.real_type) for argument in schema.arguments]
    before = [str(argument.real_type) for argument in own.arguments]
    fits = [
        "Tensor" in kinds[number] if number in refs else kinds[number] == before[number]
        for number in range(len(node.args))
    ]
    return all(fits) and names.issuperset(name for name, _ in node.kwargs)
