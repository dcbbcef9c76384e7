"""Record one step of a cell, and its gradient as autograd computes it.

In goes an :class:`Example`, a cell with an input and a state of some rows; out comes a
:class:`StepRecording`: what the step does, and what autograd does on its way back through the
step. The cell runs as it is, on its own tensors, under ordinary autograd.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler.aliases import place_of
from rondo.compiler.changes import Change, line_that_sets, unchanged
from rondo.compiler.counting import Guard
from rondo.compiler.forks import given_back_in_children
from rondo.compiler.going_back import gradients
from rondo.compiler.intercept import Watch
from rondo.compiler.record import Recorder, Recording, TraceError, fresh_name

Call = Callable[[Tensor, Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Example:
    """What a step is recorded on.

    Args:
        cell: The cell.
        own: The tensors of the cell by name.
        instead: What stands for some of them, by name: of another type, or of real memory.
        x: The input, with rows.
        state: The tensors of the state by name, with rows.
        call: Runs the step on x and these tensors; returns the output, then each new state.
        states_are_outputs: Whether the new states are outputs too.
        spelled: What the user calls x, the states and the tensors of the cell, by their names.
    """

    cell: nn.Module
    own: Mapping[str, Tensor]
    instead: Mapping[str, Tensor]
    x: Tensor
    state: Mapping[str, Tensor]
    call: Call
    states_are_outputs: bool = False
    spelled: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepRecording:
    """What one step did.

    Args:
        recording: The operations.
        outputs: The names of the outputs; what is an output twice is there once.
        places: Where the output is among the outputs, then each state where states are outputs.
        next_state: The names of the next states.
        cotangents: The names of the gradients of outputs, by their number.
        grad_next: The names of the gradients of next states, by their number.
        gradients: The names of the gradients of x, states and tensors of the cell, by their names.
        differentiable: For each output, then each next state, whether it has a gradient.
        guards: What was taken for granted about the number of rows.
        asks_rows: Whether the step got a number that follows the rows.
        own_gradient: What the step says about gradients beside its operations, or None.
    """

    recording: Recording
    outputs: tuple[str, ...]
    places: tuple[int, ...]
    next_state: tuple[str, ...]
    cotangents: dict[int, str]
    grad_next: dict[int, str]
    gradients: dict[str, str]
    differentiable: tuple[bool, ...]
    guards: tuple[Guard, ...]
    asks_rows: bool
    own_gradient: str | None


def record_step(example: Example, *, backward: bool) -> StepRecording:
    """Record a step; with `backward` its gradient too, of all that requires one.

    To be called within :func:`apart_from_the_caller`.

    Raises:
        TraceError: Where it is not one graph for all inputs.
    """
    return _StepRecorder(example).run_recorded(backward)


def has_gradient(tensor: Tensor) -> bool:
    """Whether numbers of this type have gradients."""
    return tensor.is_floating_point() or tensor.is_complex()


@contextlib.contextmanager
def apart_from_the_caller(device: torch.device, *, grad: bool) -> Iterator[None]:
    """Run something on the side: no random number is used up, no mode of the caller's acts."""
    numbers, numpy = random.getstate(), sys.modules.get("numpy")
    of_numpy = None if numpy is None else numpy.random.get_state()
    of_torch = torch.get_rng_state()
    devices = [device] if device.type == "cuda" else []

    def give_back() -> None:
        random.setstate(numbers)
        if numpy is not None:
            numpy.random.set_state(of_numpy)

    def give_back_all() -> None:
        torch.set_rng_state(of_torch)
        give_back()

    with contextlib.ExitStack() as stack:
        stack.enter_context(given_back_in_children(give_back_all))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.set_grad_enabled(grad))
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            yield
        finally:
            give_back()


class _StepRecorder:
    def __init__(self, example: Example) -> None:
        self.example = example
        self.recorder = Recorder({"x": example.x, **example.state, **example.own})
        self.recorder.spelled = example.spelled
        instead: dict[int, Tensor] = {}
        self.leaves = {"x": [example.x], **{name: [leaf] for name, leaf in example.state.items()}}
        for name, tensor in example.own.items():
            used = example.instead.get(name, tensor)
            stand_in = used.detach().requires_grad_() if used.requires_grad else used
            self.recorder.give(stand_in, name)
            instead[id(tensor)] = stand_in
            self.leaves[name] = [stand_in] if stand_in is tensor else [stand_in, tensor]
        self.watch = Watch(self.recorder, instead, len(example.x), example.state)

    def run_recorded(self, backward: bool) -> StepRecording:
        """Run the step, and back through it. The name bounds the search for the user's line."""
        generators = _generators()
        with unchanged(self.example.cell) as changes:
            found = self._run(backward)
        if _generators() != generators:
            raise TraceError(
                "draws random numbers with Python's random or numpy, of which a graph would hold "
                "one for all steps",
                "draw them with torch, or give the layer engine='plain'",
            )
        for change in changes.found:
            self._check_change(change)
        return found

    def _check_change(self, change: Change) -> None:
        """Fail where a step changes its cell, but for what it makes anew of parameters alone."""
        new, old = change.new, change.old
        if isinstance(new, Tensor) and self.recorder.knows(new):
            carried = {"x", *self.example.state}
            if isinstance(old, Tensor) and self.recorder.knows(old):
                carried.add(self.recorder.name_of(old))
            if self.recorder.is_made_without(carried, self.recorder.name_of(new)):
                return
        raise TraceError(
            f"changes {change.name}, which its cell holds",
            "what is carried from step to step belongs into the state",
            line_that_sets(self.example.cell, change.name),
        )

    def _run(self, backward: bool) -> StepRecording:
        example, recorder = self.example, self.recorder
        with recorder, self.watch, _views_as_they_were_made():
            results = example.call(example.x, [*example.state.values()])
        self.watch.is_forward = False
        with recorder:
            output, *new = results = _apart(results)
        ends = results if example.states_are_outputs else [output]
        names = [recorder.name_of(end) for end in ends]
        next_state = tuple(map(recorder.name_of, new))
        tensors = dict(zip(reversed(names), reversed(ends), strict=True))
        outputs = dict.fromkeys(names)
        of_outputs = dict(enumerate(tensors[name] for name in outputs))
        of_states = {
            number: state
            for number, (state, old) in enumerate(zip(new, example.state.values(), strict=True))
            if has_gradient(old)
        }
        cotangents: dict[int, str] = {}
        grad_next: dict[int, str] = {}
        found: dict[str, str] = {}
        if backward:
            numbered = ["output", *(f"of_output_{number}" for number in [*of_outputs][1:])]
            roots = [
                *self._seeds(of_outputs, numbered, cotangents),
                *self._seeds(of_states, list(example.state), grad_next),
            ]
            found = self._gradients(roots)
        return StepRecording(
            recorder.recording(()),
            tuple(outputs),
            tuple(list(outputs).index(name) for name in names),
            next_state,
            cotangents,
            grad_next,
            found,
            tuple(end.requires_grad for end in (*of_outputs.values(), *new)),
            tuple(self.watch.questions.asked),
            self.watch.questions.any_number,
            self.watch.own_gradient or _python_function(results),
        )

    def _seeds(
        self, ends: Mapping[int, Tensor], names: Sequence[str], given: dict[int, str]
    ) -> list[tuple[Tensor, Tensor]]:
        """Give each end a gradient, by name; return those from which autograd can go back."""
        seeds = []
        for number, end in ends.items():
            if not has_gradient(end):
                continue
            with torch.no_grad():
                seed = torch.ones_like(end)
            given[number] = fresh_name(f"grad_{names[number]}", self.recorder.taken)
            self.recorder.give(seed, given[number])
            if end.requires_grad:
                seeds.append((end, seed))
        return seeds

    def _gradients(self, roots: Sequence[tuple[Tensor, Tensor]]) -> dict[str, str]:
        """Go back from the roots; the names of all gradients that there are, and of zeros."""
        leaves = self._all_leaves()
        pairs = [(name, leaf) for name, some in leaves.items() for leaf in some]
        found: dict[str, Tensor] = {}
        with self.recorder, self.watch:
            ends, seeds = zip(*roots, strict=True) if roots else ((), ())
            made = gradients(ends, seeds, [leaf for _, leaf in pairs])
            for (name, _), gradient in zip(pairs, made, strict=True):
                if gradient is not None:
                    found[name] = found[name] + gradient if name in found else gradient
            for name, leaf in self.example.state.items():
                if name not in found and has_gradient(leaf):
                    found[name] = torch.zeros_like(leaf)
        return {name: self.recorder.name_of(gradient) for name, gradient in found.items()}

    def _all_leaves(self) -> dict[str, list[Tensor]]:
        """What has a gradient, by name: what was given, and what was met from outside."""
        leaves = {name: [*some] for name, some in self.leaves.items()}
        for name, tensor in self.recorder.captured.items():
            leaves[name] = [tensor]
        for tensor, stand_in in self.watch.met:
            leaves[self.recorder.name_of(tensor)].append(stand_in)
        return {
            name: [leaf for leaf in some if leaf.requires_grad] for name, some in leaves.items()
        }


def _generators() -> tuple[Any, ...]:
    """The states of the generators of random numbers that are not torch's."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return (random.getstate(),)
    kind, keys, *rest = numpy.random.get_state()
    return random.getstate(), kind, keys.tobytes(), *rest


def _views_as_they_were_made() -> contextlib.AbstractContextManager[None]:
    """Within it, autograd makes a view that was changed anew by the operations that made it.

    Otherwise it takes it by numbers of elements from the memory of the whole, rows and all.
    """
    return torch.autograd.grad_mode._force_original_view_tracking(True)


def _apart(results: list[Tensor]) -> list[Tensor]:
    """The results, where one is another one without its gradient a value of its own."""
    with_gradient = {place_of(result) for result in results if result.requires_grad}
    return [
        result.clone() if not result.requires_grad and place_of(result) in with_gradient else result
        for result in results
    ]


def _python_function(results: Sequence[Tensor]) -> str | None:
    """A function of the user's own on autograd's way back from some results."""
    waiting = [result.grad_fn for result in results]
    seen = set()
    while waiting:
        function = waiting.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        if isinstance(function, torch.autograd.function.BackwardCFunction):
            return f"uses {type(function).__name__.removesuffix('Backward')}"
        waiting += [following for following, _ in function.next_functions]
    return None
