"""See the values of each step of a loop while a model runs, with their gradients.

In goes a model, out come the states and gates of every run of its loops. Within :func:`watching`
each loop runs the graph of its step with torch operations, as the reference engine does, but leaves
all nodes in the loop: so what it keeps of a step are the very tensors that all later ones read, and
`torch.autograd.grad` with respect to them gives total derivatives. It is slow, and made to look at.
Single steps, `layer.step(x)`, are not watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler import StepGraph, TraceError, apart, trace
from rondo.compiler.attributes import surroundings
from rondo.compiler.gates import gates
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.merge import Traced
from rondo.compiler.names import variable_names
from rondo.compiler.passes import resets_of
from rondo.compiler.reference import Steps, named, nothing, replace_rows
from rondo.compiler.state import flatten, map_state
from rondo.layers.call import cast_all
from rondo.layers.compiled import Programs
from rondo.layers.recurrent import Recurrent
from rondo.layers.remembered import NoMemory
from rondo.layers.sequence import Packing
from rondo.layers.torch_compat import GRU, LSTM, RNN, cell_and_programs


@dataclass(frozen=True)
class WatchedRun:
    """What one run of a loop did, in the order in which its steps ran.

    Args:
        name: The name of the layer in the model; "" for the model itself.
        states: For each state, what it was before the first step (B, ...) and made by each of the
            T steps (b, ...), for the b rows that have the step. A state that no step changes is
            left out.
        gates: For each gate, what it was at each of the T steps (b, H).
    """

    name: str
    states: dict[str, list[Tensor]] = field(default_factory=dict)
    gates: dict[str, list[Tensor]] = field(default_factory=dict)


@contextmanager
def watching(model: nn.Module) -> Iterator[list[WatchedRun]]:
    """Within it, every run of a loop of the model adds to the list what it did.

    Example:
        >>> import torch, rondo
        >>> from rondo.layers.watch import watching
        >>> model = rondo.Bidirectional(rondo.LSTMCell(3, 5), rondo.GRUCell(3, 5))
        >>> with watching(model) as runs:
        ...     y, state = model(torch.randn(2, 7, 3))
        >>> for run in runs:
        ...     print(run.name, list(run.states), list(run.gates))
        forward_layer ['h', 'c'] ['σ(f)', 'σ(i)', 'σ(o)']
        backward_layer ['h'] ['r', 'z']
    """
    runs: list[WatchedRun] = []
    before = []
    for name, module in model.named_modules():
        if isinstance(module, Recurrent):
            watcher = _Watcher(name, runs, module._programs)
            replaced: dict[str, Any] = {"_programs": watcher}
        elif isinstance(module, RNN | LSTM | GRU):
            cell, programs = cell_and_programs(module)
            replaced = {"_rondo": (cell, _Watcher(name, runs, programs))}
        else:
            continue
        before.append((module, {key: module.__dict__[key] for key in replaced}))
        module.__dict__.update(replaced)
    try:
        yield runs
    finally:
        for module, own in before:
            module.__dict__.update(own)


class _Watcher:
    """Runs a cell as `Programs` does, one step after the other, and keeps what it did."""

    def __init__(self, name: str, runs: list[WatchedRun], programs: Programs) -> None:
        self.name, self.runs, self.programs = name, runs, programs
        self.memory = NoMemory()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.programs, name)

    def run(
        self,
        cell: nn.Module,
        rows: Tensor,
        state: Any,
        packing: Packing,
        *,
        tensors: Mapping[str, Tensor] | None = None,
        resets: Tensor | None = None,
        reverse: bool = False,
        return_states: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Any, Any]:
        """Run the cell over all steps; see :meth:`rondo.layers.compiled.Programs.run`."""
        leaves, form = flatten(state)
        own = surroundings(cell).tensors
        used = own if tensors is None else tensors
        rows, leaves, given = cast_all(rows, leaves, list(used.values()))
        leaves = [packing.sort(_with_gradient(leaf)) for leaf in leaves]
        used = dict(zip(used, given, strict=True))
        loop = _Loop(cell, own, used, rows, form.unflatten(leaves))
        steps = Steps.of(packing.batch_sizes, reverse)
        outputs, made, leaves = loop.run(rows, leaves, steps, resets)
        self.runs.append(WatchedRun(self.name, loop.states, loop.gates))
        last = form.unflatten([packing.unsort(leaf) for leaf in leaves])
        return outputs, last, form.unflatten(made) if return_states else None


class _Loop:
    """The step of a cell, run one after the other; keeps its states and gates."""

    def __init__(
        self,
        cell: nn.Module,
        own: Mapping[str, Tensor],
        used: dict[str, Tensor],
        rows: Tensor,
        state: Any,
    ) -> None:
        x, one = map_state(lambda t: t.detach().new_zeros(1, *t.shape[1:]), (rows, state))
        instead = {name: tensor for name, tensor in used.items() if tensor is not own[name]}
        wanted = [tensor.requires_grad for tensor in used.values()]
        traced = _traced(cell, own, x, one, instead, wanted)
        labels = apart(lambda: variable_names(cell, x, one, used))
        self.step: StepGraph = traced.graph
        self.shared = named(self.step.parameters, [*used.values(), *traced.captured])
        self.gate_nodes = gates(self.step, labels)
        self.gates: dict[str, list[Tensor]] = {label: [] for label in self.gate_nodes}
        self.states: dict[str, list[Tensor]] = {}

    def run(
        self, rows: Tensor, state: list[Tensor], steps: Steps, resets: Tensor | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The output and the states of all steps, packed, and the last state."""
        anew = resets_of(resets, state)
        outputs: list[Tensor] = []
        made: list[list[Tensor]] = [[leaf] for leaf in state]
        for first, size in steps:
            now = [leaf[:size] for leaf in state]
            now = now if anew is None else anew.before_step(first, now)
            values = self._values(rows.narrow(0, first, size), now)
            new = self._new_state(values)
            state = [replace_rows(old, part, size) for old, part in zip(state, new, strict=True)]
            outputs.append(values[self.step.outputs[0]])
            for pieces, piece in zip(made, new, strict=True):
                pieces.append(piece)
            for label, node in self.gate_nodes.items():
                self.gates[label].append(values[node])
        self._keep(made)
        if not outputs:
            return nothing(self.step, state).outputs[0], [leaf[:0] for leaf in state], state
        order = -1 if steps.reverse else 1
        packed = [torch.cat(pieces[1:][::order]) for pieces in made]
        return torch.cat(outputs[::order]), packed, state

    def _values(self, x: Tensor, state: list[Tensor]) -> Environment:
        values = {**self.shared, **named(self.step.inputs, [x]), **named(self.step.state, state)}
        return evaluate(self.step.nodes, values, x.shape[0])

    def _new_state(self, values: Environment) -> list[Tensor]:
        """The state after a step; one that is an old one delayed is a tensor of its own."""
        old = {value.name for value in self.step.state}
        return [
            values[name].view_as(values[name]) if name in old else values[name]
            for name in self.step.next_state
        ]

    def _keep(self, made: list[list[Tensor]]) -> None:
        loops = zip(self.step.state, self.step.next_state, made, strict=True)
        self.states = {value.name: pieces for value, end, pieces in loops if end != value.name}


def _traced(
    cell: nn.Module,
    own: Mapping[str, Tensor],
    x: Tensor,
    state: Any,
    instead: Mapping[str, Tensor],
    wanted: list[bool],
) -> Traced:
    """The step of a cell, whose derivative torch is to find itself.

    Raises:
        ValueError: Where that is not the derivative of the cell.
    """
    try:
        traced = apart(lambda: trace(cell, own, x, state, instead=instead, wanted=wanted))
    except TraceError as error:
        raise (
            error.__cause__ or error.about(cell)
        ) from None  # what the cell itself says of wrong input
    if traced.own_gradient is not None:
        raise ValueError(
            f"the steps of {type(cell).__name__} cannot be watched, since its step "
            f"{traced.own_gradient}: its gradient is not the derivative of its operations"
        )
    return traced


def _with_gradient(state: Tensor) -> Tensor:
    """A state that a gradient can be taken of."""
    if state.requires_grad or not state.is_floating_point():
        return state
    return state.detach().requires_grad_()
