"""The words of a cell for the values of its step: what its `forward` calls them.

In go a cell and examples, out come the names of its local variables by the names of the nodes that
compute them. The step is traced once more, with what the variables hold when `forward` returns as
further outputs; so a variable that was assigned twice names its last value alone. A cell within a
cell names what it computes itself. Pictures use this, nothing else does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.attributes import surroundings
from rondo.compiler.cached import cached_property
from rondo.compiler.changes import unchanged
from rondo.compiler.graph import Node, StepGraph, Value
from rondo.compiler.intercept import Watch
from rondo.compiler.record import Recorder
from rondo.compiler.record_step import apart_from_the_caller
from rondo.compiler.simplify import simplify
from rondo.compiler.spelling import op_label
from rondo.compiler.state import flatten
from rondo.compiler.trace import call_step, given_rows, graph_names, numbers_of_rows


class LazyNames(Mapping[str, str]):
    """Names that are found when somebody asks for one."""

    def __init__(self, find: Callable[[], Mapping[str, str]]) -> None:
        self._find = find

    @cached_property
    def _found(self) -> Mapping[str, str]:
        return self._find()

    def __getitem__(self, key: str) -> str:
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def variable_names(
    cell: torch.nn.Module,
    x: Tensor,
    state: Any,
    tensors: Mapping[str, Tensor] | None = None,
) -> dict[str, str]:
    """The names of local variables by the nodes of the step whose values they hold.

    A state that the step returns as it came is named too.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        x: An example input (B, ...).
        state: An example state.
        tensors: What stands for the cell's own tensors by name; default these.

    Example:
        >>> import torch, rondo
        >>> h = c = torch.zeros(1, 5)
        >>> names = variable_names(rondo.LSTMCell(3, 5), torch.zeros(1, 3), (h, c))
        >>> sorted(names.values())
        ['c', 'f', 'g', 'gates', 'h', 'i', 'o']
    """
    variables, step = _record(cell, x, state, tensors or {})
    given = {value.name for value in step.arguments()}
    kept = {value.name for value in step.state}.intersection(step.next_state)
    found: dict[str, str] = {}
    for node, name in zip(step.outputs, variables, strict=True):
        if not name.endswith("]"):
            if node not in given or node in kept:
                found[node] = name
        elif node not in given:  # a part of a variable; a name of its own is better
            found.setdefault(node, name)
    return found


def saved_names(step: StepGraph, names: Mapping[str, str], inputs: Sequence[str]) -> dict[str, str]:
    """What a backward graph reads of the forward graph, as short formulas such as σ(f).

    Args:
        step: The forward step.
        names: The names of its variables.
        inputs: The names of the inputs of the backward graph.
    """
    states = {value.name for value in step.state}
    found = {name: f"{name}(t-1)" for name in inputs if name in states}
    for name in inputs:
        node = step.by_name.get(name)
        if name in names and name not in states:
            found[name] = names[name]
        elif isinstance(node, Node) and len(node.reads) == 1:
            found[name] = f"{op_label(node)}({names.get(node.reads[0], '·')})"
    return found


def _record(
    cell: torch.nn.Module, x: Tensor, state: Any, tensors: Mapping[str, Tensor]
) -> tuple[list[str], StepGraph]:
    """The names of the variables, and the step with what they hold as its outputs."""
    leaves, form = flatten(state)
    own = surroundings(cell).tensors
    names, state_names = graph_names(own, form)
    num_rows = numbers_of_rows([size for t in (*own.values(), x, *leaves) for size in t.shape])[0]
    rows = [given_rows(value, num_rows, False) for value in (x, *leaves)]
    parameters = {names[name]: tensors.get(name, tensor) for name, tensor in own.items()}
    moving = dict(zip(["x", *state_names], rows, strict=True))
    recorder, frames = Recorder({**moving, **parameters}), list[dict[str, Tensor]]()
    instead = {id(own[name]): tensor for name, tensor in tensors.items() if name in own}
    with apart_from_the_caller(x.device, grad=torch.is_grad_enabled()), unchanged(cell):
        with recorder, Watch(recorder, instead, num_rows), _watching(cell, frames):
            (_, *new), _ = call_step(cell, rows[0], rows[1:], form)
        held = [pair for frame in reversed(frames) for pair in frame.items()]
        recording = recorder.recording([*(value for _, value in held), *new])

    def values(given: Mapping[str, Tensor]) -> tuple[Value, ...]:
        return tuple(Value(name, tuple(t.shape), t.dtype) for name, t in given.items())

    x_value, *states = values(moving)
    step = StepGraph(
        values({**parameters, **recording.captured}),
        (x_value,),
        tuple(states),
        recording.nodes,
        recording.ends[: len(held)],
        recording.ends[len(held) :],
    )
    return [name for name, _ in held], simplify(step.check())


@contextmanager
def _watching(cell: torch.nn.Module, frames: list[dict[str, Tensor]]) -> Iterator[None]:
    """Note what the variables of each `forward` of a cell hold when it returns."""
    cells = [cell, *(part for part in cell.modules() if _is_cell(part))]
    codes = {getattr(type(part).forward, "__code__", None) for part in cells}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "return":
            held: dict[str, Tensor] = {}
            for name, value in sorted(frame.f_locals.items(), key=_is_one_tensor):
                held |= _tensors(name, value)
            frames.append(held)
        return local

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        return local if frame.f_code in codes else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


def _is_cell(module: torch.nn.Module) -> bool:
    return hasattr(module, "state_size") or hasattr(module, "initial_state")


def _is_one_tensor(variable: tuple[str, Any]) -> bool:
    """Such variables come last: where a dict has the same name for something else, they win."""
    return isinstance(variable[1], Tensor)


def _tensors(name: str, value: Any) -> dict[str, Tensor]:
    """A variable, or the tensors in a tuple, list or dict."""
    if isinstance(value, Tensor):
        return {name: value} if value.ndim else {}
    if isinstance(value, list | tuple):
        items = enumerate(value)
        return {f"{name}[{i}]": v for i, v in items if isinstance(v, Tensor)}
    if isinstance(value, Mapping):
        return {str(k): v for k, v in value.items() if isinstance(v, Tensor)}
    return {}
