"""The programs of a layer: a cell is compiled at the first call for each kind of input."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler import CompiledLoop, EngineName, EngineWarning, Program, TraceError
from rondo.compiler.attributes import surroundings
from rondo.compiler.check import (
    NUMBERS_OF_ROWS,
    Comparison,
    Subject,
    compare,
    is_checking,
)
from rondo.compiler.intercept import StandIns
from rondo.compiler.lines import stack_level_of_user
from rondo.compiler.operators import (
    Again,
    Given,
    Registered,
    is_observed,
    is_transformed,
    recurrence,
    register,
    run_registered,
)
from rondo.compiler.plain import PlainLoop, PlainResult
from rondo.compiler.probe import changes_itself, rows_are_apart
from rondo.compiler.program import apart, compile_step
from rondo.compiler.reference import Steps
from rondo.compiler.state import Form, flatten
from rondo.compiler.stepping import Stepper
from rondo.compiler.trace import named_tensors
from rondo.layers.sequence import Packing

MAX_NUMBERS_OF_ROWS = 256
"""Numbers of rows that are remembered, for steps that ask for theirs."""

MAX_PROGRAMS = 64
"""Programs that a layer keeps; beyond, the oldest is compiled again when it is wanted."""


class MismatchError(ValueError):
    """A program that does not give what the plain loop over its cell gives."""


@dataclass
class Fallback:
    """Why a cell runs in the plain loop.

    Args:
        reason: The reason.
        is_told: Whether it was told.
    """

    reason: TraceError | MismatchError
    is_told: bool = False


@dataclass(frozen=True)
class Held:
    """What a cell is run on: its tensors, and what they stand for.

    Args:
        key: What the step depends on beside its tensors.
        own: The tensors that the cell's code reads, by name.
        given: What is used for them, by name.
    """

    key: Any
    own: Mapping[str, Tensor]
    given: dict[str, Tensor]

    @property
    def instead(self) -> dict[str, Tensor]:
        """The tensors that are used in place of the cell's own, by name."""
        own = self.own
        return {name: tensor for name, tensor in self.given.items() if tensor is not own[name]}


@dataclass(frozen=True)
class Call:
    """One call of a layer, as packed rows.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        held: What it is run on.
        rows: The input of all steps, packed (N, ...).
        leaves: The tensors of the state before the first step, (B, ...), in the order of the batch.
        form: Its form.
        packing: Where the steps of the batch lie.
        engine: What runs the loop; see :class:`rondo.Recurrent`.
        resets: (N,) bool, packed, or None.
        reverse: Whether to run from the last step to the first.
        checkpoint_every: Of which steps to keep the state alone.
        return_states: Whether the states of all steps are wanted.
    """

    cell: nn.Module
    held: Held
    rows: Tensor
    leaves: list[Tensor]
    form: Form
    packing: Packing
    engine: EngineName
    resets: Tensor | None
    reverse: bool
    checkpoint_every: int | None
    return_states: bool

    def cast(self) -> Call:
        """The same call in the type of autocast, where that is on."""
        rows, leaves, given = cast_all(self.rows, self.leaves, [*self.held.given.values()])
        if not torch.is_autocast_enabled(rows.device.type):
            return self
        named = dict(zip(self.held.given, given, strict=True))
        return replace(self, rows=rows, leaves=leaves, held=replace(self.held, given=named))

    def real(self) -> Call:
        """The same call on tensors that have numbers, where torch makes a graph with others."""
        rows, *leaves = (_example_like(t, (1, *t.shape[1:])) for t in (self.rows, *self.leaves))
        given = {name: _example_like(t, tuple(t.shape)) for name, t in self.held.given.items()}
        return replace(self, rows=rows, leaves=leaves, held=replace(self.held, given=given))

    @property
    def is_ragged(self) -> bool:
        """Whether rows end at different steps."""
        return self.packing.index is not None or self.packing.order is not None

    @property
    def wanted(self) -> tuple[bool, ...]:
        """For each tensor of the cell, whether its gradient is wanted."""
        grad = torch.is_grad_enabled()
        return tuple(grad and tensor.requires_grad for tensor in self.held.given.values())

    @property
    def kind(self) -> tuple[Any, ...]:
        """All that a program depends on."""
        return (
            self.held.key,
            self.form,
            self.wanted,
            self.rows.requires_grad,
            torch.is_grad_enabled(),
            self.engine,
            self.return_states,
            *map(_kind_of_tensor, self.held.given.values()),
            *map(_kind, (self.rows, *self.leaves)),
        )

    @property
    def num_rows(self) -> int:
        """The number of rows of the batch."""
        if self.leaves:
            return len(self.leaves[0])
        if self.packing.order is not None:
            return len(self.packing.order)
        return max(self.packing.batch_sizes.tolist(), default=0)

    def plain_loop(self) -> PlainLoop:
        """The plain loop of this call."""
        return PlainLoop(
            self.cell,
            Steps.of(self.packing.batch_sizes, self.reverse),
            self.packing.order,
            self.resets,
            self.num_rows,
            self.return_states,
            None if is_transformed() else self.checkpoint_every,
        )


def held_by(
    cell: nn.Module, tensors: Mapping[str, Tensor] | None = None, *, stays: bool = False
) -> Held:
    """What a cell is run on.

    Args:
        cell: The cell.
        tensors: What to use for its tensors, by name; default these.
        stays: Whether nothing of the cell but these changes.
    """
    if torch.compiler.is_dynamo_compiling() or stays:
        own = named_tensors(cell)
        given = own if tensors is None else tensors
        return Held(None, {name: own[name] for name in given}, dict(given))
    found = surroundings(cell)
    return Held(tuple(found.key), found.tensors, dict(found.tensors))


Results = tuple[Tensor, list[Tensor], list[Tensor], Form]
"""The output, the states of all steps where they are wanted, the last state and its form."""


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
        self.rows_apart: dict[Any, bool] = {}
        self.stepping: tuple[list[Any], Stepper | None] = [], None
        self.is_told = False
        self.untold: list[str] = []  # why no kernel runs
        self.lock = os.getpid(), threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {"cell_stays": self.cell_stays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

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

        Returns:
            The output of all steps, packed; the state at the end; the states of all steps, packed,
            or None.
        """
        leaves, form = flatten(state)
        how = engine, resets, reverse, checkpoint_every, return_states
        held = held_by(cell, tensors, stays=self.cell_stays)
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
        reason = _not_covered(program, call) or self._wrong_for_rows(program, call)
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
        return outputs[0], outputs[1:], last, call.form

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
            _warn(f"{name} runs in a plain loop, without a kernel: {reason}")
        return results

    def _in_graph(self, call: Call) -> Results:
        """Run a program within a graph that `torch.compile` or `torch.export` makes."""
        from rondo.layers.constant import constant

        held, packing = call.held, call.packing
        numbers = call.form.unflatten(list(range(len(call.leaves))))
        described = [
            [_describe(tensor, tuple(tensor.shape)) for tensor in held.given.values()],
            [_describe(tensor, (1, *tensor.shape[1:])) for tensor in (call.rows, *call.leaves)],
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
        return outputs[0], outputs[1:], [packing.unsort(leaf) for leaf in last], call.form

    # ---- plain ----

    def _plain(self, call: Call) -> Results:
        """Run the plain loop."""
        if call.is_ragged and not self._rows_are_apart(call):
            raise ValueError(
                "a batch of ragged sequences needs a cell that treats every row on its own, but "
                f"{type(call.cell).__name__} mixes them: what one row gives depends on the others; "
                "give sequences of one length, or reduce over features (dim=-1) instead of rows"
            )
        loop = call.plain_loop()
        if loop.checkpoint_every is not None and self._changes_itself(call):
            loop = replace(loop, checkpoint_every=None)  # nothing is run again: all is kept
        with StandIns({id(call.held.own[n]): t for n, t in call.held.instead.items()}):
            try:
                result: PlainResult = loop(call.rows, call.leaves, call.form)
            except TraceError as error:
                raise error.about(call.cell) from None
        return result.output, result.states or [], result.last, result.form

    def _rows_are_apart(self, call: Call) -> bool:
        if is_transformed() or is_fake(call.rows):
            return True  # nothing can be tried here
        key = call.kind
        if key not in self.rows_apart:
            state = call.form.unflatten(call.leaves)
            self.rows_apart[key] = apart(
                lambda: rows_are_apart(
                    call.cell, call.held.own, call.rows, state, instead=call.held.instead
                )
            )
        return self.rows_apart[key]

    def _changes_itself(self, call: Call) -> bool:
        state = call.form.unflatten(call.leaves)
        return apart(
            lambda: changes_itself(
                call.cell, call.held.own, call.rows, state, instead=call.held.instead
            )
        )

    # ---- single steps ----

    def step(
        self, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
    ) -> tuple[Tensor, Any] | None:
        """One step by a kernel whose weights stay packed; None where the cell is to run itself."""
        leaves = _leaves_of(state)
        if leaves is None or torch.is_grad_enabled() or not is_plain(x, leaves):
            return None
        found = surroundings(cell)
        key = [*found.key, engine, type(state)]
        for tensor in (x, *leaves):
            key += (tensor.shape, tensor.dtype)
        for known in found.tensors.values():
            key.append(id(known))
        last_key, stepper = self.stepping  # both at once: another thread may change them
        if key != last_key or (stepper is not None and not stepper.is_in_place()):
            stepper = self.new_stepper(cell, x, state, engine)
            self.stepping = key, stepper
        if stepper is None:
            return None
        output, new = stepper(x, leaves)
        return output, new[0] if isinstance(state, Tensor) else tuple(new)

    def new_stepper(
        self, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
    ) -> Stepper | None:
        """A kernel for single steps from a state on; None where the cell is to run itself."""
        leaves, form = flatten(state)
        held = held_by(cell)
        one = Packing(torch.tensor([len(x)], device="cpu"))
        call = Call(cell, held, x, leaves, form, one, engine, None, False, None, False)
        program = self.program(call)
        if isinstance(program, Fallback) or not all(g.holds(len(x)) for g in program.guards):
            return None
        loop = program.run
        if not isinstance(loop, CompiledLoop) or not Stepper.covers(loop):
            return None
        return Stepper(loop, [*held.given.values(), *program.captured], x, leaves)

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
        self.by_kind[key] = found = self._check(call, found) if is_checking() else found
        self.checked.add(key)
        return found

    def _compile(self, call: Call) -> Program | Fallback:
        try:
            return compile_call(call, self.untold.append)
        except TraceError as reason:
            return Fallback(reason)
        except ValueError:
            raise
        except Exception as error:
            return Fallback(_failure(call.cell, error))

    def _check(self, call: Call, program: Program) -> Program | Fallback:
        try:
            check_program(call, program)
        except (TraceError, MismatchError) as reason:
            return Fallback(reason)
        except ValueError:
            raise
        except Exception as error:
            return Fallback(_failure(call.cell, error))
        return program

    def _tell(self, cell: nn.Module) -> None:
        """Say once that no kernel runs, and why."""
        if self.untold and not self.is_told:
            self.is_told = True
            reason = self.untold[0]
            _warn(f"{type(cell).__name__} runs on the slower reference engine: {reason}")


def compile_call(call: Call, tell: Callable[[str], None]) -> Program:
    """Compile the cell of a call.

    Raises:
        TraceError: Where its step is not one graph for all inputs, or mixes rows of the batch.
    """
    if torch.compiler.is_compiling():
        call = apart(call.real)
    return compile_step(
        call.cell,
        call.held.own,
        call.rows,
        call.form.unflatten(call.leaves),
        instead=call.held.instead,
        wanted=call.wanted,
        input_wanted=torch.is_grad_enabled() and call.rows.requires_grad,
        engine=call.engine,
        return_states=call.return_states,
        tell=tell,
    )


def compare_call(
    call: Call, program: Program, numbers_of_rows: Sequence[int] = NUMBERS_OF_ROWS
) -> Comparison:
    """Compare the program of a call with the plain loop, for some numbers of rows."""
    held, given = call.held, [*call.held.given.values()]
    subject = Subject(
        program, call.cell, held.own, given, call.rows, call.leaves, call.form, numbers_of_rows
    )
    return apart(lambda: compare(subject))


def check_program(
    call: Call, program: Program, numbers_of_rows: Sequence[int] = NUMBERS_OF_ROWS
) -> None:
    """Fail where a program does not give what the plain loop gives.

    Raises:
        MismatchError: With the value that differs, and by how much.
    """
    found = compare_call(call, program, numbers_of_rows)
    if not found.differences:
        return
    first, *rest = found.differences
    more = f" (and {len(rest)} more values differ)" if rest else ""
    raise MismatchError(
        f"the program that was compiled for {type(call.cell).__name__} does not give what a loop "
        f"over its steps gives: {first}{more}; please report it with the code of the cell, and "
        "give the layer engine='plain' meanwhile"
    )


def _failure(cell: nn.Module, error: Exception) -> MismatchError:
    """What is said where Rondo itself fails."""
    failed = MismatchError(
        f"{type(cell).__name__} could not be compiled, through a fault of Rondo's "
        f"({type(error).__name__}: {error}); please report it with the code of the cell"
    )
    failed.__cause__ = error
    return failed


def runs_plain(engine: EngineName, rows: Tensor) -> bool:
    """Whether the plain loop runs whatever the cell is: it was asked for, or nothing else can."""
    if torch.compiler.is_dynamo_compiling():
        return False
    return engine == "plain" or is_transformed() or is_fake(rows)


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor has no numbers, only sizes."""
    if torch.compiler.is_compiling():
        return False
    return tensor.is_meta or type(tensor).__name__ == "FakeTensor"


def check_graph(call: Call, program: Program | Fallback) -> None:
    """Fail where a graph of torch's cannot hold a cell.

    Raises:
        ValueError: With the reason.
    """
    reason = str(program.reason) if isinstance(program, Fallback) else None
    if isinstance(program, Program) and program.guards:
        reason = f"the step asks whether the number of rows is {program.guards[0].text}"
    if reason is not None:
        raise ValueError(
            f"torch.compile and torch.export cannot take {type(call.cell).__name__} into a graph: "
            f"{reason}; keep the layer out with torch.compiler.disable(layer)"
        )


def _read(program: Program, tensors: Iterable[Tensor]) -> list[Tensor]:
    """The tensors of a cell, without a way back to those that its step does not read.

    A weight that is made anew at each step may be left over from an earlier call, and its graph be
    freed.
    """
    return [
        tensor if is_read or tensor.is_leaf else tensor.detach()
        for tensor, is_read in zip(tensors, program.read, strict=False)
    ]


def _not_covered(program: Program, call: Call) -> TraceError | None:
    """Why a program is not right for the rows and the checkpoints of a call, or None."""
    num_rows = call.num_rows if program.guards else 0
    for guard in program.guards:
        if not guard.holds(num_rows):
            return TraceError(
                f"treats a batch of {num_rows} rows in another way than most: it asks whether "
                f"their number is {guard.text}",
                line=guard.line,
            )
    if call.checkpoint_every is None or not torch.is_grad_enabled() or program.runs_once is None:
        return None
    return TraceError(
        f"does not give the same when a checkpoint runs it again: {program.runs_once}",
        "leave out checkpoint_every for a kernel",
    )


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


def refusal(call: Call, reason: TraceError | MismatchError) -> ValueError:
    """The error where an engine was asked for by name that cannot run a cell."""
    if isinstance(reason, MismatchError):
        return reason
    name = type(call.cell).__name__
    error = ValueError(
        f"engine={call.engine!r} cannot run {name}: {reason}; engine='auto' or 'plain' can"
    )
    error.__cause__ = reason
    return error


def _warn(text: str) -> None:
    warnings.warn(text, EngineWarning, stacklevel=stack_level_of_user())


def _kind(tensor: Tensor) -> tuple[Any, ...]:
    """What a program depends on of a tensor with rows."""
    return tensor.dtype, tensor.device, tuple(tensor.shape[1:])


def _kind_of_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """What a program depends on of a tensor of the cell."""
    return tensor.dtype, tensor.device, tuple(tensor.shape)


def _describe(tensor: Tensor, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """What a program depends on of a tensor that stands for one of the given shape."""
    return shape, tensor.dtype, tensor.device, tensor.requires_grad


def _example(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, grad: bool
) -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=device, requires_grad=grad)


def _example_like(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    return _example(*_describe(tensor, shape))


def _registered(
    programs: Programs,
    cell: nn.Module,
    names: tuple[str, ...],
    described: list[list[tuple[Any, ...]]],
    numbers: Any,
    options: tuple[EngineName, bool],
) -> Registered:
    """What a cell is compiled to; it sees no tensor, only what a program depends on."""
    given, (rows, *leaves) = [[_example(*one) for one in some] for some in described]
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


def _leaves_of(state: Any) -> tuple[Tensor, ...] | None:
    """The tensors of a state that is one, or a tuple of them; None for any other."""
    if type(state) is Tensor:
        return (state,)
    if type(state) is tuple and all(type(leaf) is Tensor for leaf in state):
        return state
    return None


def is_plain(x: Tensor, leaves: Sequence[Tensor] = ()) -> bool:
    """Whether tensors are rows in memory that a kernel may read, and nothing of torch looks on."""
    if torch.is_autocast_enabled("cpu") or is_observed(x) or is_transformed():
        return False
    if x.ndim == 0 or x.numel() == 0:
        return False
    num_rows = x.shape[0]
    return all(
        tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and tensor.ndim > 0
        and tensor.shape[0] == num_rows
        for tensor in (x, *leaves)
    )


def cast_all(
    rows: Tensor, leaves: list[Tensor], tensors: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Under autocast, everything of floating point in its dtype."""
    device = rows.device.type
    if not torch.is_autocast_enabled(device):
        return rows, leaves, tensors
    dtype = torch.get_autocast_dtype(device)

    def cast_one(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return cast_one(rows), [*map(cast_one, leaves)], [*map(cast_one, tensors)]
