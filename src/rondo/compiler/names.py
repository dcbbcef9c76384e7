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
from functools import cached_property
from types import FrameType
from typing import Any

import torch
from torch.utils import _pytree as pytree

from rondo.compiler.graph import Node, StepGraph
from rondo.compiler.spelling import op_label
from rondo.compiler.trace import named_tensors, trace_function


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
    x: torch.Tensor,
    state: Any,
    tensors: Mapping[str, torch.Tensor] | None = None,
    state_names: Sequence[str] | None = None,
) -> dict[str, str]:
    """The names of local variables by the nodes of the step whose values they hold.

    A state that the step returns as it came is named too.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        x: An example input (B, ...).
        state: An example state.
        tensors: The parameters and buffers by name; default the cell's own.
        state_names: What the step calls its states; default numbered.

    Example:
        >>> import torch, rondo
        >>> h = c = torch.zeros(1, 5)
        >>> names = variable_names(rondo.LSTMCell(3, 5), torch.zeros(1, 3), (h, c))
        >>> sorted(names.values())
        ['c', 'f', 'g', 'gates', 'h', 'i', 'o']
    """
    leaves, form = pytree.tree_flatten(state)
    tensors = named_tensors(cell) if tensors is None else tensors
    state_names = state_names or [f"state_{i}" for i in range(len(leaves))]
    variables: list[str] = []

    def step(
        parameters: Sequence[torch.Tensor], x: torch.Tensor, leaves: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        named = dict(zip(tensors, parameters, strict=True))
        frames: list[dict[str, torch.Tensor]] = []
        with _watching(cell, frames):
            returned = torch.func.functional_call(
                cell, named, (x, pytree.tree_unflatten(list(leaves), form))
            )
        held = [pair for frame in reversed(frames) for pair in frame.items()]
        variables[:] = [name for name, _ in held]
        return [*(value for _, value in held), *pytree.tree_leaves(returned[1])]

    names = [name.replace(".", "_") for name in tensors]
    examples = [("x", x)], list(zip(state_names, leaves, strict=True))
    num_variables = _count(step, list(tensors.values()), x, leaves)
    traced = trace_function(
        step,
        list(zip(names, tensors.values(), strict=True)),
        *examples,
        num_outputs=num_variables,
    )
    given = {value.name for value in traced.graph.arguments()}
    kept = {value.name for value in traced.graph.state}.intersection(traced.graph.next_state)
    found: dict[str, str] = {}
    for node, name in zip(traced.graph.outputs, variables, strict=True):
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


def _count(step: Any, parameters: list[torch.Tensor], x: torch.Tensor, leaves: list[Any]) -> int:
    """How many variables there are."""
    with torch.no_grad(), torch.random.fork_rng():
        return len(step(parameters, x, leaves)) - len(leaves)


@contextmanager
def _watching(cell: torch.nn.Module, frames: list[dict[str, torch.Tensor]]) -> Iterator[None]:
    """Note what the variables of each `forward` of a cell hold when it returns."""
    cells = [cell, *(part for part in cell.modules() if _is_cell(part))]
    codes = {getattr(type(part).forward, "__code__", None) for part in cells}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "return":
            held: dict[str, torch.Tensor] = {}
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
    return isinstance(variable[1], torch.Tensor)


def _tensors(name: str, value: Any) -> dict[str, torch.Tensor]:
    """A variable, or the tensors in a tuple, list or dict."""
    if isinstance(value, torch.Tensor):
        return {name: value} if value.ndim else {}
    if isinstance(value, list | tuple):
        items = enumerate(value)
        return {f"{name}[{i}]": v for i, v in items if isinstance(v, torch.Tensor)}
    if isinstance(value, Mapping):
        return {str(k): v for k, v in value.items() if isinstance(v, torch.Tensor)}
    return {}
