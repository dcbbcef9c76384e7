"""The programs of a layer: a cell is compiled at the first call for each kind of input."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler import EngineName, Program, TraceError
from rondo.compiler.attributes import Surroundings, surroundings
from rondo.compiler.changes import numbers_of
from rondo.compiler.check import (
    is_checking,
)
from rondo.compiler.intercept import StandIns
from rondo.compiler.numbers import Variants
from rondo.compiler.operators import (
    Again,
    Given,
    Registered,
    is_transformed,
    recurrence,
    register,
    run_registered,
)
from rondo.compiler.plain import PlainResult
from rondo.compiler.program import apart
from rondo.compiler.reference import warn
from rondo.compiler.signals import pass_on
from rondo.compiler.state import flatten
from rondo.compiler.stepping import Stepper
from rondo.compiler.trace import named_tensors
from rondo.layers.call import (
    Call,
    Held,
    Results,
    describe,
    example,
    held_by,
    is_fake,
    runs_plain,
)
from rondo.layers.making import (
    Fallback,
    MismatchError,
    Numbers,
    check_graph,
    check_program,
    compile_call,
    failure,
    not_covered,
    refusal,
    tell_of_engine,
    tell_of_numbers,
)
from rondo.layers.remembered import Memory
from rondo.layers.sequence import Packing

MAX_NUMBERS_OF_ROWS = 256
"""Numbers of rows that are remembered, for steps that ask for theirs."""


MANY_COMPILED = 5
"""Compilations for nothing but another number after which this is told."""

ALL: weakref.WeakSet[Programs] = weakref.WeakSet()
"""The programs of all layers that there are."""

MAX_PROGRAMS = 64
"""Programs that a layer keeps; beyond, the oldest is compiled again when it is wanted."""


class Programs:
    """Runs cells over packed rows; keeps what they were compiled to, but for copies and pickles.

    Args:
        cell_stays: Whether nothing of the cell but its tensors changes between runs.
    """

    def __init__(self, *, cell_stays: bool = False) -> None:
        self.cell_stays = cell_stays
        self.by_kind: dict[Any, Program | Fallback] = {}
        self.checked: set[Any] = set()
        self.by_rows: dict[Any, MismatchError | None] = {}
        self.not_ragged: dict[Any, str | None] = {}
        self.stepping: tuple[list[Any], Stepper | None] = [], None  # see `single_steps.py`
        self.is_told = False
        self.reason: str | None = None  # why no kernel runs
        self.variants: dict[Any, Variants] = {}
        self.numbers: Numbers = {}  # what the cell held when it was last compiled
        self.is_told_of_numbers = False
        self.memory = Memory()
        ALL.add(self)
        self.lock = os.getpid(), threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {"cell_stays": self.cell_stays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def clear(self) -> None:
        """Let go of all programs; they are made again when they are wanted."""
        self.__init__(cell_stays=self.cell_stays)  # type: ignore[misc]

    def run(
        self,
        cell: nn.Module,
        rows: Tensor,
        state: Any,
        packing: Packing,
        *,
        tensors: Mapping[str, Tensor] | None = None,
        engine: EngineName = "auto",
        resets: Tensor | None = None,
        reverse: bool = False,
        checkpoint_every: int | None = None,
        return_states: bool = False,
        known: Surroundings | None = None,
    ) -> tuple[Tensor, Any, Any]:
        """Run the cell over all steps.

        Args:
            cell: A module whose `forward(x, state)` returns `(output, new_state)`.
            rows: The input of all steps, packed (N, ...).
            state: The state before the first step, (B, ...), in the order of the batch.
            packing: Where the steps of the batch lie.
            tensors: What to use for the cell's tensors, by name; default these.
            engine: What runs the loop; see :class:`rondo.Recurrent`.
            resets: (N,) bool, packed, or None.
            reverse: Whether to run from the last step to the first.
            checkpoint_every: Of which steps to keep the state alone; see :class:`rondo.Recurrent`.
            return_states: Whether the states of all steps are wanted.
            known: What the cell holds, where that is known.

        Returns:
            The output of all steps, packed; the state at the end; the states of all steps, packed,
            or None.
        """
        leaves, form = flatten(state)
        how = engine, resets, reverse, checkpoint_every, return_states
        held = held_by(cell, tensors, stays=self.cell_stays, known=known)
        call = Call(cell, held, rows, leaves, form, packing, *how)
        if runs_plain(engine, rows):
            results = self._plain(call)
        elif torch.compiler.is_dynamo_compiling():
            results = self._in_graph(call.cast())
        else:
            results = self._run(call.cast(), call)
        output, states, last, form = results
        return output, form.unflatten(last), form.unflatten(states) if return_states else None

    # ---- compiled ----

    def _run(self, call: Call, uncast: Call) -> Results:
        """Run a program, or the plain loop where there is none for this call."""
        is_run = not torch.compiler.is_compiling() and len(call.rows) > 0
        program = self.program(call, checked=is_run)
        if torch.compiler.is_compiling():
            check_graph(call, program)
        if isinstance(program, Fallback):
            return self._instead(program, call, uncast)
        reason = not_covered(program, call) or self._wrong_for_rows(program, call)
        if reason is not None:
            return self._instead(Fallback(reason), call, uncast)
        self._tell(call.cell)
        outputs, last = recurrence(
            program,
            _read(program, call.held.given.values()),
            call.rows,
            [call.packing.sort(leaf) for leaf in call.leaves],
            call.packing.batch_sizes,
            resets=call.resets,
            reverse=call.reverse,
            checkpoint_every=call.checkpoint_every,
            again=None if program.own_gradient is None else _again(call, program.places),
        )
        last = [call.packing.unsort(leaf) for leaf in last]
        return outputs[0], outputs[1:], last, program.form if is_run else call.form

    def _wrong_for_rows(self, program: Program, call: Call) -> MismatchError | None:
        """Why a step that asks for the number of rows is not right for that of a call, or None."""
        if not program.asks_rows or not is_checking() or torch.compiler.is_compiling():
            return None
        key = call.kind, call.num_rows
        if key not in self.by_rows:
            if len(self.by_rows) >= MAX_NUMBERS_OF_ROWS:
                self.by_rows.clear()
            try:
                if call.num_rows and len(call.rows):
                    check_program(call, program, [call.num_rows])
                self.by_rows[key] = None
            except MismatchError as reason:
                self.by_rows[key] = reason
        return self.by_rows[key]

    def _instead(self, fallback: Fallback, call: Call, uncast: Call) -> Results:
        """Run the plain loop in place of a program, and say why.

        Where the step failed while it was recorded, it may fail in the plain loop too, with an
        error of its own, which says more.
        """
        reason = fallback.reason
        if call.engine != "auto" and reason.__cause__ is None:
            raise refusal(call, reason)
        try:
            results = self._plain(uncast)
        except Exception as error:
            if reason.__cause__ is None:
                error.add_note(f"{type(call.cell).__name__}: {reason}")
            raise
        if call.engine != "auto":
            raise refusal(call, reason)
        if not fallback.is_told:
            fallback.is_told = True
            name = type(call.cell).__name__
            warn(f"{name} runs in a plain loop, without a kernel: {reason}")
        return results

    def _in_graph(self, call: Call) -> Results:
        """Run a program within a graph that `torch.compile` or `torch.export` makes."""
        from rondo.layers.constant import constant

        held, packing = call.held, call.packing
        numbers = call.form.unflatten(list(range(len(call.leaves))))
        described = [
            [describe(tensor, tuple(tensor.shape)) for tensor in held.given.values()],
            [describe(tensor, (1, *tensor.shape[1:])) for tensor in (call.rows, *call.leaves)],
        ]
        options = call.engine, call.return_states
        registered = constant(
            _registered, self, call.cell, tuple(held.given), described, numbers, options
        )
        outputs, last = run_registered(
            registered,
            [*held.given.values()],
            call.rows,
            [packing.sort(leaf) for leaf in call.leaves],
            packing.batch_sizes,
            call.resets,
            call.reverse,
            call.checkpoint_every,
        )
        last = [packing.unsort(leaf) for leaf in last]
        return outputs[0], outputs[1:], last, call.form

    # ---- plain ----

    def _plain(self, call: Call) -> Results:
        """Run the plain loop."""
        reason = self._why_not_ragged(call) if call.is_ragged else None
        if reason is not None:
            raise ValueError(
                "a batch of ragged sequences needs a cell that treats every row on its own, but "
                f"{type(call.cell).__name__} {reason}"
            )
        loop = call.plain_loop()
        if loop.checkpoint_every is not None and apart(call.trial().changes_itself):
            loop = replace(loop, checkpoint_every=None)  # nothing is run again: all is kept
        with StandIns({id(call.held.own[n]): t for n, t in call.held.instead.items()}):
            try:
                result: PlainResult = loop(call.rows, call.leaves, call.form)
            except TraceError as error:
                raise error.about(call.cell) from None
        return result.output, result.states or [], result.last, result.form

    def _why_not_ragged(self, call: Call) -> str | None:
        """What a cell does with its rows that sequences of several lengths cannot have, or None."""
        if is_transformed() or is_fake(call.rows):
            return None  # nothing can be tried here
        key = call.kind, call.reverse
        if key not in self.not_ragged:
            if len(self.not_ragged) >= MAX_PROGRAMS:
                self.not_ragged.clear()
            self.not_ragged[key] = apart(lambda: _tried_rows(call))
        return self.not_ragged[key]

    # ---- programs ----

    def program(self, call: Call, *, checked: bool = True) -> Program | Fallback:
        """What the cell is compiled to for one kind of input; compiled at the first call.

        Args:
            call: The call.
            checked: Whether it is to be compared with the plain loop, unless it has been.
        """
        key = call.kind
        found = self.by_kind.get(key)
        if found is None or (checked and key not in self.checked):
            with self._alone():
                found = self._made(call, key, checked=checked)
        return found

    def _alone(self) -> threading.RLock:
        """Held while a program is made: not by two threads. A forked process has one of its own."""
        process = os.getpid()
        if self.lock[0] != process:
            self.lock = process, threading.RLock()
        return self.lock[1]

    def _made(self, call: Call, key: Any, *, checked: bool) -> Program | Fallback:
        if key not in self.by_kind:
            if len(self.by_kind) >= MAX_PROGRAMS:
                oldest = next(iter(self.by_kind))
                self.checked.discard(oldest)
                del self.by_kind[oldest]
            self.by_kind[key] = self._compile(call)
        found = self.by_kind[key]
        if not checked or key in self.checked or isinstance(found, Fallback):
            return found
        self.by_kind[key] = found = self._checked(call, found) if is_checking() else found
        self.checked.add(key)
        return found

    def _checked(self, call: Call, program: Program) -> Program | Fallback:
        """The program, unless it differs from the plain loop; one that is like many, as it is."""
        variants = self._variants_of(call)
        if not variants.is_to_be_checked(program):
            return program
        found = self._check(call, program)
        if found is program:
            variants.note_checked(program)
        return found

    def _note(self, reason: str) -> None:
        """Keep why no kernel runs, to be told."""
        self.reason = reason if self.reason is None else self.reason

    def _compile(self, call: Call) -> Program | Fallback:
        try:
            return self._compiled(call)
        except TraceError as reason:
            return Fallback(reason)
        except (ValueError, Warning):
            raise
        except Exception as error:
            pass_on(error)
            return Fallback(failure(call.cell, error))

    def _compiled(self, call: Call) -> Program:
        """A program of a call; says so where many are made for nothing but another number."""
        variants = self._variants_of(call)
        before = variants.num_compiled
        program = compile_call(call, self._note, variants)
        if variants.num_compiled > before:
            numbers = numbers_of(call.cell)
            if variants.num_compiled >= MANY_COMPILED and not self.is_told_of_numbers:
                self.is_told_of_numbers = True
                tell_of_numbers(call.cell, variants, self.numbers, numbers)
            self.numbers = numbers
        return program

    def _variants_of(self, call: Call) -> Variants:
        """The programs of the same step with other numbers on the cell."""
        key, *rest = call.kind
        numbers_aside = None if key is None else tuple(map(_aside, key))
        kind = numbers_aside, *rest
        if kind not in self.variants and len(self.variants) >= MAX_PROGRAMS:
            del self.variants[next(iter(self.variants))]
        return self.variants.setdefault(kind, Variants())

    def _check(self, call: Call, program: Program) -> Program | Fallback:
        try:
            check_program(call, program)
        except (TraceError, MismatchError) as reason:
            return Fallback(reason)
        except (ValueError, Warning):
            raise
        except Exception as error:
            pass_on(error)
            return Fallback(failure(call.cell, error))
        return program

    def _tell(self, cell: nn.Module) -> None:
        """Say once that no kernel runs, and why."""
        if self.reason is not None and not self.is_told:
            self.is_told = True
            tell_of_engine(cell, self.reason)


def _aside(part: Any) -> Any:
    """A part of a key; of a number its type alone."""
    return type(part) if type(part) in (bool, int, float) else part


def _read(program: Program, tensors: Iterable[Tensor]) -> list[Tensor]:
    """The tensors of a cell, without a way back to those that its step does not read.

    A weight that is made anew at each step may be left over from an earlier call, and its graph be
    freed.
    """
    return [
        tensor if is_read or tensor.is_leaf else tensor.detach()
        for tensor, is_read in zip(tensors, program.read, strict=False)
    ]


def _tried_rows(call: Call) -> str | None:
    """What a cell does with rows that it should treat on their own; None: nothing."""
    trial = call.trial()
    if not trial.rows_are_apart():
        return (
            "mixes them: what one row gives depends on the others; give sequences of one length, "
            "or reduce over features (dim=-1) instead of rows"
        )
    # a reversed row begins where others are under way: what it left there is of no step of its own
    if trial.changes_itself() and trial.remembers_rows(own=call.reverse):
        return (
            "keeps what it has computed of them outside of its state, also where a row has no "
            "step; give sequences of one length, or return it as a part of the state"
        )
    return None


def _again(call: Call, places: Sequence[int]) -> Again:
    """Runs a call in the plain loop, on other tensors."""

    def again(given: Given) -> tuple[list[Tensor], list[Tensor]]:
        packing, form = call.packing, call.form
        own = zip(call.held.own.values(), given.parameters, strict=False)
        with StandIns({id(tensor): used for tensor, used in own}):
            leaves = [packing.unsort(leaf) for leaf in given.state]
            result = call.plain_loop()(given.x, leaves, form)
        order = form.order_in(result.form)
        states = [result.states[place] for place in order] if result.states else []
        outputs: dict[int, Tensor] = {}
        for place, value in zip(places, (result.output, *states), strict=True):
            outputs.setdefault(place, value)
        last = [packing.sort(result.last[place]) for place in order]
        return [outputs[place] for place in sorted(outputs)], last

    return again


def _registered(
    programs: Programs,
    cell: nn.Module,
    names: tuple[str, ...],
    described: list[list[tuple[Any, ...]]],
    numbers: Any,
    options: tuple[EngineName, bool],
) -> Registered:
    """What a cell is compiled to; it sees no tensor, only what a program depends on."""
    given, (rows, *leaves) = [[example(*one) for one in some] for some in described]
    _, form = flatten(numbers)
    engine, return_states = options
    key = None if programs.cell_stays else tuple(surroundings(cell).key)
    held = Held(key, named_tensors(cell), dict(zip(names, given, strict=True)))
    packing = Packing(torch.ones(1, dtype=torch.int64))
    call = Call(cell, held, rows, leaves, form, packing, engine, None, False, None, return_states)
    program = programs.program(call, checked=False)
    check_graph(call, program)
    assert isinstance(program, Program)
    return register(program)
