"""Whether each row of a batch depends on itself alone: tried, where it cannot be told.

A row is set to other numbers, and to NaN: no bit of any other row may change, neither of what the
step gives nor of the gradients of x and the state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler.changes import unchanged
from rondo.compiler.going_back import gradients
from rondo.compiler.intercept import StandIns
from rondo.compiler.record_step import apart_from_the_caller, has_gradient
from rondo.compiler.signals import pass_on
from rondo.compiler.state import Form, flatten
from rondo.compiler.trace import call_step, given_rows, random_rows

NUMBERS_OF_ROWS = (4, 6)


@dataclass(frozen=True)
class Trial:
    """A cell that is tried on the side.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        tensors: Its tensors by name.
        x: An example input (B, ...).
        state: An example state.
        instead: What stands for some tensors, by name.
    """

    cell: nn.Module
    tensors: Mapping[str, Tensor]
    x: Tensor
    state: Any
    instead: Mapping[str, Tensor] = field(default_factory=dict)

    def rows_are_apart(self, *, grad: bool = True) -> bool:
        """Whether no row of a step, nor with `grad` of its gradient, depends on another one."""
        leaves, form = flatten(self.state)
        with apart_from_the_caller(self.x.device, grad=grad), StandIns(self._copies()):
            tried = partial(_is_apart, self.cell, self.x, leaves, form, grad)
            try:
                return all(map(tried, NUMBERS_OF_ROWS))
            except Exception as error:  # it runs with no other number of rows than its own
                pass_on(error)
                return self._num_rows < 2 or tried(self._num_rows, given=True)

    def changes_itself(self) -> bool:
        """Whether a step changes what its cell holds, so that it may not be run twice."""
        leaves, form = flatten(self.state)
        stand_ins = {id(self.tensors[name]): tensor for name, tensor in self.instead.items()}
        before = [(t, t._version, t.detach().clone()) for t in self.tensors.values()]
        rows = [given_rows(value, max(1, self._num_rows), False) for value in (self.x, *leaves)]
        with apart_from_the_caller(self.x.device, grad=False), unchanged(self.cell) as changes:
            with StandIns(stand_ins):
                self.cell(rows[0], form.unflatten(rows[1:]))
            written = [(tensor, old) for tensor, count, old in before if tensor._version != count]
            for tensor, old in written:
                tensor.copy_(old)
        return bool(written or changes.found)

    def remembers_rows(self, *, own: bool) -> bool:
        """Whether a step reads what an earlier one left of its rows, outside of the state.

        Args:
            own: Whether what a row left for itself counts too, rather than for others alone.
        """
        tries = (NUMBERS_OF_ROWS[0], random_rows), (self._num_rows, given_rows)
        with apart_from_the_caller(self.x.device, grad=False):
            for num_rows, rows_of in tries:
                with contextlib.suppress(Exception):  # it may not run with other rows than its own
                    return self._remembers(num_rows, rows_of, own)
        return False  # where it fails, it will say so itself

    def _remembers(self, num_rows: int, rows_of: Callable[..., Tensor], own: bool) -> bool:
        leaves, form = flatten(self.state)
        first, second = (
            [rows_of(value, num_rows, False) for value in (self.x, *leaves)] for _ in range(2)
        )
        right = self._second_step(first, second, form)
        got = self._second_step([_with_row(v, 0, "scaled") for v in first], second, form)
        rows = slice(0 if own else 1, None)
        return not all(_same_bits(a[rows], b[rows]) for a, b in zip(right, got, strict=True))

    def _second_step(
        self, first: Sequence[Tensor], second: Sequence[Tensor], form: Form
    ) -> list[Tensor]:
        """What the second of two steps gives."""
        torch.manual_seed(0)
        with unchanged(self.cell), StandIns(self._copies()):
            call_step(self.cell, first[0], first[1:], form)
            return call_step(self.cell, second[0], second[1:], form)[0]

    def _copies(self) -> dict[int, Tensor]:
        """What stands for the cell's tensors: another thread may train them meanwhile."""
        used = {**self.tensors, **self.instead}
        with torch.no_grad():
            return {id(self.tensors[n]): tensor.detach().clone() for n, tensor in used.items()}

    @property
    def _num_rows(self) -> int:
        leaves, _ = flatten(self.state)
        return len(leaves[0]) if leaves else len(self.x)


def _is_apart(
    cell: nn.Module,
    x: Tensor,
    leaves: Sequence[Tensor],
    form: Form,
    grad: bool,
    num_rows: int,
    given: bool = False,
) -> bool:
    """Whether no bit of any row but the changed one is another, in a batch of so many rows."""
    rows_of = given_rows if given else random_rows
    values = [rows_of(value, num_rows, False) for value in (x, *leaves)]
    right = _results(cell, values, form, grad)
    tried = 0
    for row in (0, num_rows - 1):
        others = torch.arange(num_rows, device=x.device) != row
        for change in CHANGES:
            changed = [_with_row(value, row, change) for value in values]
            try:
                got = _results(cell, changed, form, grad)
            except Exception as error:  # a cell may refuse such numbers, NaN above all
                pass_on(error)
                continue
            tried += 1
            for a, b in zip(right, got, strict=True):
                if not _same_bits(a[others], b[others]):
                    return False
    return tried > 0


CHANGES = ("scaled", "another row", "nan")
"""What a row is set to: numbers of another size, another one of the rows, NaN."""


def _with_row(value: Tensor, row: int, change: str) -> Tensor:
    """A value with another row."""
    value = value.clone()
    if change == "another row" or not has_gradient(value):
        value[row] = value[row - 1]
    else:
        value[row] = value[row] * 3 + 3 if change == "scaled" else torch.nan
    return value


def _results(cell: nn.Module, values: Sequence[Tensor], form: Form, grad: bool) -> list[Tensor]:
    """What a step gives of some rows, and the gradients of these rows."""
    torch.manual_seed(0)
    moving = [value.detach().requires_grad_(grad and has_gradient(value)) for value in values]
    wanted = [value for value in moving if value.requires_grad]
    with unchanged(cell):  # every trial begins with the cell as it is
        ends, _ = call_step(cell, moving[0], moving[1:], form)
        found = gradients(ends, [torch.ones_like(end) for end in ends], wanted)
    return [end.detach() for end in (*ends, *found) if end is not None]


def _same_bits(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())
