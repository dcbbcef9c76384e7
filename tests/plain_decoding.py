"""What decoding means, one item and one beginning at a time, in plain Python.

The searches of `rondo.models` for whole batches must give the same; `benchmarks/decoding.py` times
them beside these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rondo.models.beam_search import Found, Next

Symbols = tuple[int, ...]
Ends = dict[Symbols, tuple[float, float]]
"""Of each beginning, ln of the paths that end in a blank, and of those that do not."""


def merged(path: Sequence[int]) -> Symbols:
    """What a path reads, by the definition: repeats merged, then blanks dropped."""
    return tuple(symbol for symbol, _ in groupby(path) if symbol != 0)


def greedy(logits: Tensor) -> Symbols:
    """What the likeliest path of one row (T, K + 1) reads."""
    return merged(logits.argmax(-1).tolist())


def ctc_beam_search(logits: Tensor, width: int) -> list[tuple[Symbols, float]]:
    """The likeliest texts of one row (T, K + 1) by prefix beam search over a dict."""
    beams: Ends = {(): (0.0, -math.inf)}
    for row in logits.double().log_softmax(-1).tolist():
        new = extended(beams, row)
        best = sorted(new, key=lambda symbols: -log_sum(*new[symbols]))[:width]
        beams = {symbols: new[symbols] for symbols in best}
    found = [(symbols, log_sum(*ends)) for symbols, ends in beams.items()]
    return [(symbols, log) for symbols, log in found if log > -math.inf]


def extended(beams: Ends, row: Sequence[float]) -> Ends:
    """One step further."""
    new: Ends = {}

    def add(symbols: Symbols, blank: float, other: float) -> None:
        before = new.get(symbols, (-math.inf, -math.inf))
        new[symbols] = log_sum(before[0], blank), log_sum(before[1], other)

    for symbols, (in_blank, in_other) in beams.items():
        both = log_sum(in_blank, in_other)
        last = symbols[-1] if symbols else 0
        add(symbols, both + row[0], in_other + row[last] if symbols else -math.inf)
        for symbol in range(1, len(row)):
            before = in_blank if symbol == last else both
            if before > -math.inf:
                add((*symbols, symbol), -math.inf, before + row[symbol])
    return new


def log_sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


@torch.no_grad()
def beam_search(
    step: Next,
    *,
    end: int,
    width: int,
    most_symbols: int,
    length_power: float = 0.7,
    never: Sequence[int] = (),
) -> list[Found]:
    """The best complete sequences of one item; of equal ones the first in a stable order."""
    logits, state = step(torch.tensor([end]), None)
    begun: list[Symbols] = [()]
    sums = torch.zeros(1, dtype=torch.float64)
    complete: list[Found] = []
    for number in range(most_symbols + 1):
        log_p = sums[:, None] + logits.double().log_softmax(-1)
        others = [symbol for symbol in range(log_p.shape[1]) if symbol != end]
        log_p[:, others if number == most_symbols else list(never)] = -torch.inf
        values, places = log_p.flatten().sort(descending=True, stable=True)
        places = places[:width][values[:width] > -torch.inf]
        sums, rows = log_p.flatten()[places], places // log_p.shape[1]
        chosen = places % log_p.shape[1]
        for row, value in zip(rows[chosen == end].tolist(), sums[chosen == end], strict=True):
            score = float(value) / (len(begun[row]) + 1) ** length_power
            complete.append(Found(begun[row], float(value), score))
        complete = sorted(complete, key=lambda found: -found.score)[:width]
        goes_on = chosen != end
        sums, rows, chosen = sums[goes_on], rows[goes_on], chosen[goes_on]
        if is_over(complete, width, sums, most_symbols, length_power):
            break
        pairs = zip(rows.tolist(), chosen.tolist(), strict=True)
        begun = [(*begun[row], symbol) for row, symbol in pairs]
        state = pytree.tree_map_only(Tensor, partial(rows_of, rows=rows), state)
        logits, state = step(chosen, state)
    return complete


def rows_of(tensor: Tensor, rows: Tensor) -> Any:
    """Some rows of a tensor of a state."""
    return tensor[rows]


def is_over(
    complete: list[Found], width: int, sums: Tensor, most_symbols: int, length_power: float
) -> bool:
    """Whether no beginning is left that can become better than the complete sequences."""
    if len(sums) == 0:
        return True
    possible = float(sums.max()) / (most_symbols + 1) ** length_power
    return len(complete) == width and possible <= complete[-1].score
