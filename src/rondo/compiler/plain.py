"""The plain loop over the eager cell: what every engine must give.

In go a cell and packed rows, as for the other engines, out come the same results. The cell runs as
it is, step by step, so there is nothing that it may not do: branch on values, print, change itself.
Every step is given all B rows in the order of the batch. Rows that have no such step are given the
input of one that has it, and what comes out for them is left away: what the padding holds is never
read, and no gradient leads there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler.changes import unchanged
from rondo.compiler.record_step import apart_from_the_caller
from rondo.compiler.reference import Steps, column
from rondo.compiler.returned import taken_apart
from rondo.compiler.state import Form

State = list[Tensor]


@dataclass(frozen=True)
class PlainResult:
    """What a plain loop gives: packed values of all steps and the state at the end.

    Args:
        output: The output of all steps (N, ...).
        states: Each state after all steps (N, ...), where they were wanted.
        last: The state after the last step of each row.
        form: Its form.
    """

    output: Tensor
    states: list[Tensor] | None
    last: State
    form: Form


@dataclass(frozen=True)
class PlainLoop:
    """A cell that runs step by step over packed rows.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        steps: Where the rows of each step lie.
        order: The rows of the batch, longest first; None: they lie so.
        resets: (N,) bool, packed, or None.
        batch_size: The number of rows of the batch; default those of the first step.
        keep_states: Whether the states of all steps are wanted.
        checkpoint_every: How many steps are run again together in the backward pass, or None.
    """

    cell: nn.Module
    steps: Steps
    order: Tensor | None = None
    resets: Tensor | None = None
    batch_size: int | None = None
    keep_states: bool = False
    checkpoint_every: int | None = None

    def __call__(self, rows: Tensor, state: Sequence[Tensor], form: Form) -> PlainResult:
        """Run all steps from a state (B, ...) in the order of the batch."""
        spans = [*self.steps]
        now, pieces = (list(state), form), []
        every = self.checkpoint_every or max(1, len(spans))
        for start in range(0, len(spans), every):
            some = spans[start : start + every]
            made, now = self._maybe_again(partial(self._run, rows, state, some), now)
            pieces += made
        if not spans:
            pieces = [self._shapes(rows, state, form)]
        if self.steps.reverse:
            pieces.reverse()
        output, *states = (torch.cat(values) for values in zip(*pieces, strict=True))
        return PlainResult(output, states if self.keep_states else None, *now)

    def _run(
        self, rows: Tensor, start: Sequence[Tensor], spans: Sequence[Any], now: tuple[State, Form]
    ) -> tuple[list[list[Tensor]], tuple[State, Form]]:
        """Run some steps; the packed values of each, and the state after them."""
        pieces = []
        state, form = now
        num_rows = self.batch_size or max(self.steps.batch_sizes)
        for first, size in spans:
            whole = self.order is None and size == num_rows
            index = None if whole else self._index(first, size, num_rows, rows.device)
            x = rows.narrow(0, first, size) if index is None else rows.index_select(0, index)
            state = self._reset(first, size, index, start, state)
            output, new, new_form = self._step(x, state, form)
            state = self._rest(index, first, state, new)
            form = new_form
            values = [output, *state] if self.keep_states else [output]
            pieces.append([self._packed(value, size) for value in values])
        return pieces, (state, form)

    def _step(self, x: Tensor, state: State, form: Form) -> tuple[Tensor, State, Form]:
        return taken_apart(self.cell(x, form.unflatten(state)), len(x), form)

    def _index(self, first: int, size: int, num_rows: int, device: torch.device) -> Tensor:
        """For each row of the batch its packed row; that of the first where it has no such step."""
        index = torch.full((num_rows,), first, dtype=torch.int64, device=device)
        packed = torch.arange(first, first + size, device=device)
        if self.order is None:
            index[:size] = packed
        else:
            index[self.order[:size]] = packed
        return index

    def _reset(
        self, first: int, size: int, index: Tensor | None, start: Sequence[Tensor], state: State
    ) -> State:
        """The state with which a step begins: that of the start where sequences begin anew."""
        if self.resets is None:
            return state
        if index is None:
            flags = self.resets.narrow(0, first, size)
        else:
            flags = self.resets.index_select(0, index) & self._has_step(index, first)
        return [
            torch.where(column(flags, 0, now), begin, now)
            for begin, now in zip(start, state, strict=True)
        ]

    def _rest(self, index: Tensor | None, first: int, old: State, new: State) -> State:
        """The state after a step: the old one where a row has no such step."""
        if index is None:
            return new
        flags = self._has_step(index, first)
        if bool(flags.all()):
            return new
        return [
            torch.where(column(flags, 0, now), now, before)
            for before, now in zip(old, new, strict=True)
        ]

    def _has_step(self, index: Tensor, first: int) -> Tensor:
        """Which rows of the batch have the step: those that are not given the first's input."""
        flags = index != first
        flags[0 if self.order is None else self.order[0]] = True
        return flags

    def _packed(self, value: Tensor, size: int) -> Tensor:
        """The rows of the batch that have a step, longest first."""
        if self.order is not None:
            return value.index_select(0, self.order[:size])
        return value if len(value) == size else value[:size]

    def _maybe_again(
        self, run: Callable[[tuple[State, Form]], Any], now: tuple[State, Form]
    ) -> Any:
        """Run some steps, keeping nothing but their state where they are to run again."""
        if self.checkpoint_every is None or not torch.is_grad_enabled():
            return run(now)
        from torch.utils.checkpoint import checkpoint

        return checkpoint(run, now, use_reentrant=False)

    def _shapes(self, rows: Tensor, state: Sequence[Tensor], form: Form) -> list[Tensor]:
        """No rows of each value, of the sizes that a step would give."""
        with apart_from_the_caller(rows.device, grad=False), unchanged(self.cell):
            x = rows.new_zeros(1, *rows.shape[1:])
            one = [leaf.new_zeros(1, *leaf.shape[1:]) for leaf in state]
            output, new, _ = self._step(x, one, form)
        values = [output, *new] if self.keep_states else [output]
        return [value[:0] for value in values]
