"""Layers that run staggered over time.

In go the kernels of a stack of layers and the sizes of a batch, out comes how the layers are
staggered, or None where they should run one after the other. The steps are cut into spans. While a
layer runs over one, the layer before it may run over the next, on another thread (see
`c/wavefront.c`). So threads have work where the steps of one layer leave them none: each step waits
for the one before it, and one row is done by one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from rondo.compiler.call import Span
from rondo.compiler.cpu import CHUNK_ROWS, MIN_WORK_PER_THREAD, CompiledLoop
from rondo.compiler.reference import Steps
from rondo.compiler.sharing import WAIT_CYCLES, cycles_by_rows
from rondo.system.cgroup import most_threads_at_once

NUM_SPANS = 12
"""The most spans of a chunk: with more, nearly nothing is won at the ends, where few layers run."""

MIN_SPAN_STEPS = 8
"""The least steps of a span, whose begin takes as long as a step of a small layer."""

STEP_CYCLES = 1_000
"""What a step takes beside its products, of a small layer."""


@dataclass(frozen=True)
class Stagger:
    """How layers are staggered.

    Args:
        spans: The spans, in the order in which they run.
        num_threads: The threads that may be at work.
    """

    spans: tuple[Span, ...]
    num_threads: int

    def num_kept(self, num_layers: int) -> int:
        """The first layers, of which each thread does one from the first to the last step."""
        rest = num_layers % self.num_threads
        return num_layers - rest - self.num_threads if rest else num_layers

    def cycles(self, of_layers: float, num_layers: int, num_steps: int) -> float:
        """Cycles of a step of all layers, which take so many one after the other."""
        num_pieces = num_layers * len(self.spans)
        share = 1 / self.num_threads + (self.num_threads - 1) / num_pieces  # few run at the ends
        return share * (of_layers + num_pieces * WAIT_CYCLES / num_steps)


def spans_of(
    num_steps: int, num_rows: int, span_steps: int, *, reverse: bool, has_sums: bool
) -> list[Span]:
    """Cut the chunks of a kernel into spans of at most so many steps, as even as may be.

    Behind those of a chunk comes one for its sums, if there are any: no other layer waits for them.
    """
    chunk_steps = max(1, CHUNK_ROWS // num_rows)
    spans = []
    for begin in range(0, num_steps, chunk_steps):
        end = min(begin + chunk_steps, num_steps)
        number = -(-(end - begin) // span_steps)
        cuts = [begin + n * (end - begin) // number for n in range(number + 1)]
        for first, last in [*pairwise(cuts), *([(end, end)] if has_sums else [])]:
            step = num_steps - last if reverse else first
            goes_on = last < end or (has_sums and last > first)
            ends = last == num_steps and not goes_on
            chunk_row = (first - begin) * num_rows
            spans.append(Span(step, last - first, first == 0, ends, chunk_row, goes_on))
    return spans


def stagger_of(
    loops: Sequence[CompiledLoop], num_steps: int, num_rows: int, *, reverse: bool
) -> Stagger | None:
    """How layers are staggered; None where they should run one after the other.

    Where threads share the rows, or each step by columns, they have work one layer after the other,
    and each reads fewer weights; so then it is never done.

    Args:
        loops: What runs the layers, in the order in which they read each other's results.
        num_steps: The steps.
        num_rows: The rows of a step.
        reverse: Whether they run from the last step to the first.
    """
    work = sum(loop.work for loop in loops) * num_steps * num_rows
    most = torch.get_num_threads(), most_threads_at_once(), len(loops), work // MIN_WORK_PER_THREAD
    span_steps = max(MIN_SPAN_STEPS, -(-num_steps // NUM_SPANS))
    has_sums = any(loop.kernel.sums for loop in loops)
    spans = spans_of(num_steps, num_rows, span_steps, reverse=reverse, has_sums=has_sums)
    stagger = Stagger(tuple(spans), min(most))
    steps = Steps((num_rows,) * num_steps, reverse)
    calls = [loop.sizes_of(steps, num_rows).call for loop in loops]
    if stagger.num_threads < 2 or any(call.num_parts > 1 or call.shares_steps for call in calls):
        return None
    one_by_one = sum(STEP_CYCLES + cycles_by_rows(loop.kernel, num_rows) for loop in loops)
    staggered = stagger.cycles(one_by_one, len(loops), num_steps)
    return stagger if staggered < one_by_one else None
