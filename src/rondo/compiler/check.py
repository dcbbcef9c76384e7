"""The comparison with the plain loop, when a program is used for the first time.

In go a program and its cell, out come the differences: numbers of rows that the recording did not
use, some steps, random input and state; outputs, last state, and the gradients of x, the state, the
cell's tensors and those from outside, each beside what the eager cell gives in a Python loop. Both
get the same random numbers. So what the recorder, the planner or a kernel gets wrong about a cell
shows before anybody trusts it.

`RONDO_CHECK=0` in the environment, or :func:`checking`, switches it off.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rondo.compiler.c_compiler import given_up_on_error
from rondo.compiler.changes import unchanged
from rondo.compiler.engines import is_parallel
from rondo.compiler.going_back import gradients
from rondo.compiler.graph import draws_random
from rondo.compiler.intercept import StandIns
from rondo.compiler.operators import OWN_MODES, recurrence
from rondo.compiler.plain import PlainLoop
from rondo.compiler.program import Program
from rondo.compiler.record import TraceError
from rondo.compiler.record_step import apart_from_the_caller, has_gradient
from rondo.compiler.reference import Steps
from rondo.compiler.signals import pass_on
from rondo.compiler.state import Form
from rondo.compiler.trace import given_rows, random_rows
from rondo.system.beside import Beside

NUMBERS_OF_ROWS = (2, 9)
NUM_STEPS = 3

TOLERANCES = {
    torch.float64: 1e-7,
    torch.float32: 1e-3,
    torch.bfloat16: 6e-2,
    torch.float16: 1e-2,
}
"""The difference that rounding may make, relative to the largest number of a value."""

MORE_THAN_ROUNDING = 8
"""How many times the difference may be beyond that what it makes in the plain loop to round
everything that it is given once more."""

_switch: ContextVar[bool | None] = ContextVar("rondo_check", default=None)


def is_checking() -> bool:
    """Whether programs are compared with the plain loop when they are first used."""
    chosen = _switch.get()
    return os.environ.get("RONDO_CHECK", "1") != "0" if chosen is None else chosen


@contextlib.contextmanager
def checking(on: bool) -> Iterator[None]:
    """Within it, programs are compared with the plain loop at their first use, or not.

    Example:
        >>> import torch, rondo
        >>> with rondo.checking(False):
        ...     y, h = rondo.Recurrent(rondo.GRUCell(3, 5))(torch.zeros(2, 7, 3))
    """
    token = _switch.set(on)
    try:
        yield
    finally:
        _switch.reset(token)


@dataclass(frozen=True)
class Difference:
    """A value that is not what the plain loop gives.

    Args:
        name: Which: "the output", "the gradient of weight_hh".
        largest: The largest difference, relative to the largest number of the value.
        num_rows: The number of rows for which it was seen.
    """

    name: str
    largest: float
    num_rows: int

    def __str__(self) -> str:
        return f"{self.name} is off by {self.largest:.1e}, for {self.num_rows} rows"


@dataclass(frozen=True)
class Comparison:
    """What a comparison with the plain loop found.

    Args:
        differences: What differs beyond rounding.
        largest: The largest relative difference of all values.
        skipped: Why nothing was compared, or None.
    """

    differences: tuple[Difference, ...] = ()
    largest: float = 0.0
    skipped: str | None = None


@dataclass(frozen=True)
class Subject:
    """What is compared: a program, and what it was made of.

    Args:
        program: The program.
        cell: The cell.
        own: The cell's tensors by name.
        given: What the program is given for them, in order.
        x: An example input (B, ...).
        leaves: The tensors of an example state (B, ...).
        form: The form of the state.
        numbers_of_rows: For which numbers of rows they are compared.
    """

    program: Program
    cell: nn.Module
    own: Mapping[str, Tensor]
    given: Sequence[Tensor]
    x: Tensor
    leaves: Sequence[Tensor]
    form: Form
    numbers_of_rows: Sequence[int] = NUMBERS_OF_ROWS


def compare(subject: Subject) -> Comparison:
    """Compare a program with the plain loop over its cell; a difference must show twice."""
    program, device = subject.program, subject.x.device
    grad = program.gradient is not None
    _make_engines(program)
    with apart_from_the_caller(device, grad=grad), unchanged(subject.cell):
        try:
            first = _compare(subject)
            return _compare(subject) if first.differences else first
        except _NotComparableError as reason:
            return Comparison(skipped=str(reason))


def _make_engines(program: Program) -> None:
    """Compile both directions at once."""
    if program.gradient is None:
        _ = program.run
        return
    if is_parallel(program.engine):  # made by forward-mode AD, of which there is one at a time
        _ = program.run_forward, program.run_backward
        return
    backward = None
    try:
        with given_up_on_error():
            backward = Beside(partial(copy_context().run, lambda: program.run_backward))
            _ = program.run_forward
            backward.result()
    finally:
        if backward is not None:
            backward.wait()


class _NotComparableError(Exception):
    """The plain loop does not run on the numbers of a comparison, and why."""


def _compare(subject: Subject) -> Comparison:
    differences: list[Difference] = []
    largest = 0.0
    numbers = [
        number
        for number in subject.numbers_of_rows
        if all(guard.holds(number) for guard in subject.program.guards)
    ]
    if not numbers:
        raise _NotComparableError("the step does something else for the numbers of rows to compare")
    for num_rows in numbers:
        case, right = _plain_case(subject, num_rows)
        off = _off(case.program(), right)
        largest = max(largest, *off.values())
        beyond = [name for name in off if not off[name] <= _allowed(right[name])]
        if beyond:
            by_rounding = _off(case.rounded().plain(), right)
            differences += [
                Difference(name, off[name], num_rows)
                for name in beyond
                if not off[name] <= _allowed(right[name]) + MORE_THAN_ROUNDING * by_rounding[name]
            ]
    return Comparison(tuple(differences), largest)


def _off(got: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each value is off."""
    return {name: _relative(got[name], value) for name, value in right.items()}


def _allowed(value: Tensor) -> float:
    return TOLERANCES.get(value.dtype, 0.0)


def _plain_case(subject: Subject, num_rows: int) -> tuple[_Case, dict[str, Tensor]]:
    """Numbers on which the plain loop runs, random ones if it does, and what it gives of them."""
    reason: Exception | None = None
    for rows_of in (random_rows, given_rows):
        case = _Case.of(subject, num_rows, rows_of)
        try:
            right = case.plain()
        except _NotComparableError:
            raise
        except Exception as error:
            pass_on(error)
            reason = error
            continue
        if rows_of is given_rows or all(_is_finite(value) for value in right.values()):
            return case, right
    raise TraceError(
        f"cannot be compared with a plain loop, since it fails on {num_rows} rows: {reason}"
    )


@dataclass(frozen=True)
class _Case:
    """Input, state and stand-ins for all tensors, for one comparison."""

    subject: Subject
    x: Tensor
    state: list[Tensor]
    stand_ins: list[Tensor]

    @classmethod
    def of(cls, subject: Subject, num_rows: int, rows_of: Any) -> _Case:
        grad = torch.is_grad_enabled()
        tensors = [*subject.given, *subject.program.captured]
        moving = [copy_of(tensor, grad) for tensor in tensors]
        wanted = grad and subject.program.input_asked
        x = rows_of(subject.x, NUM_STEPS * num_rows, wanted)
        return cls(subject, x, [rows_of(s, num_rows, grad) for s in subject.leaves], moving)

    def same_draws(self) -> contextlib.AbstractContextManager[None]:
        """Gives both sides the same random numbers, where the step draws any."""
        nodes = self.subject.program.graph.step.nodes
        return _same_draws() if any(map(draws_random, nodes)) else contextlib.nullcontext()

    def rounded(self) -> _Case:
        """The same numbers, each off by a rounding."""
        return _Case(
            self.subject,
            _rounded(self.x),
            [*map(_rounded, self.state)],
            [*map(_rounded, self.stand_ins)],
        )

    def plain(self) -> dict[str, Tensor]:
        """What the plain loop gives."""
        subject, steps = self.subject, Steps((len(self.x) // NUM_STEPS,) * NUM_STEPS)
        keeps = len(subject.program.places) > 1
        own = [*subject.own.values(), *subject.program.captured]
        instead = {id(a): b for a, b in zip(own, self.stand_ins, strict=True) if a is not b}
        with self.same_draws(), StandIns(instead):
            result = PlainLoop(subject.cell, steps, keep_states=keeps)(
                self.x, self.state, subject.form
            )
        order = subject.form.order_in(result.form)
        last = [result.last[place] for place in order]
        states = [result.states[place] for place in order] if result.states else []
        return self._named([result.output, *states], last, raw=own)

    def program(self) -> dict[str, Tensor]:
        """What the program gives."""
        subject, captured = self.subject, len(self.subject.program.captured)
        own = self.stand_ins[: len(self.stand_ins) - captured]
        sizes = torch.full((NUM_STEPS,), len(self.x) // NUM_STEPS, dtype=torch.int64, device="cpu")
        program = subject.program.with_captured(self.stand_ins[len(own) :])
        with self.same_draws():
            outputs, last = recurrence(program, own, self.x, self.state, sizes)
            return self._named(outputs, last)

    def _named(
        self, outputs: list[Tensor], last: list[Tensor], raw: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Results and gradients by name."""
        subject = self.subject
        step = subject.program.graph.step
        names = [value.name for value in step.state]
        results = {"the output": outputs[0]}
        results |= {f"all of {n}": s for n, s in zip(names, outputs[1:], strict=False)}
        results |= {f"the last {n}": s for n, s in zip(names, last, strict=True)}
        if not torch.is_grad_enabled():
            return results
        ends = [value for value in results.values() if has_gradient(value)]
        leaves = dict(zip(("x", *names), (self.x, *self.state), strict=True))
        leaves |= dict(zip((v.name for v in step.parameters), self.stand_ins, strict=True))
        moving = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
        further = {
            value.name: tensor
            for value, tensor in zip(step.parameters, raw, strict=False)
            if tensor.requires_grad and tensor is not leaves[value.name]
        }
        found = gradients(ends, list(map(_pattern, ends)), [*moving.values(), *further.values()])
        total = {name: torch.zeros_like(leaf) for name, leaf in moving.items()}
        for name, gradient in zip((*moving, *further), found, strict=True):
            if gradient is not None:
                total[name] = total[name] + gradient
        return results | {f"the gradient of {name}": value for name, value in total.items()}


def copy_of(tensor: Tensor, grad: bool) -> Tensor:
    """A copy: another thread may train the cell meanwhile."""
    return tensor.detach().clone().requires_grad_(grad and tensor.requires_grad)


def _rounded(value: Tensor) -> Tensor:
    """Numbers that are each off by a unit in the last place, upward and downward in turn."""
    if not has_gradient(value):
        return value
    size = torch.finfo(value.dtype).eps
    signs = 1 - 2 * (torch.arange(value.numel(), device=value.device) % 2).view(value.shape)
    with torch.no_grad():
        off = value + value.abs() * signs.to(value.dtype) * size
    return off.requires_grad_(value.requires_grad)


def _pattern(like: Tensor) -> Tensor:
    """Numbers that are all different, as the gradient of a result."""
    numbers = torch.linspace(0.5, 1.5, like.numel(), dtype=torch.float64, device=like.device)
    return numbers.to(like.dtype).view(like.shape)


def _is_finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _relative(got: Tensor, right: Tensor) -> float:
    """The largest difference, relative to one and the largest number."""
    if got.shape != right.shape or got.dtype != right.dtype:
        return float("inf")
    a, b = got.detach(), right.detach()
    if not b.numel():
        return 0.0
    if not has_gradient(b):
        return float((a != b).any())
    off = float((a - b).abs().max() / (1 + b.abs().max()))
    return off if math.isfinite(off) else _relative_to_finite(a, b)


def _relative_to_finite(a: Tensor, b: Tensor) -> float:
    """The same, where both have the same NaN and infinite numbers at the same places."""
    same = (a == b) | ((a != a) & (b != b))
    off = torch.where(same, 0, (a - b).abs())
    size = torch.where(torch.isfinite(b.abs()), b.abs(), 0)
    return float(off.max() / (1 + size.max()))


@contextlib.contextmanager
def _same_draws() -> Iterator[None]:
    """Within it, every random operation gives the same numbers in every row and at every step."""
    token = OWN_MODES.set(OWN_MODES.get() + 1)
    try:
        with SameDraws():
            yield
    finally:
        OWN_MODES.reset(token)


class SameDraws(TorchDispatchMode):
    """Has every random operation give the same numbers in every row and at every step."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation; a random one is run and its numbers are replaced."""
        result = op(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in op.tags:
            return result
        return _same_numbers(op, args, result)


def _same_numbers(op: Any, args: Sequence[Any], result: Any) -> Any:
    """The result of a random operation with numbers that depend on the place in a row alone."""
    name = op.overloadpacket.__name__
    if name == "native_dropout":
        x, share, training = args
        keep = (_numbers(x) >= share) if training else torch.ones_like(x, dtype=torch.bool)
        return x * keep / (1 - share if share < 1 else 1), keep
    if not isinstance(result, Tensor):
        raise _NotComparableError(f"{name} draws random numbers in a way that is not known")
    numbers = _numbers(result)
    if name.startswith("bernoulli"):
        share = args[1] if len(args) > 1 else 0.5 if name.endswith("_") else args[0]
        numbers = (numbers < share).to(result.dtype)
    elif not has_gradient(result):
        raise _NotComparableError(f"{name} draws random numbers in a way that is not known")
    return result.copy_(numbers)


def _numbers(like: Tensor) -> Tensor:
    """Numbers between 0 and 1, the same in each row."""
    size = like[:1].numel() if like.ndim else 1
    numbers = torch.frac(0.5 + 0.6180339887 * torch.arange(size, device=like.device))
    return numbers.view(1, *like.shape[1:]).expand(like.shape).to(torch.float32)
