"""The likeliest sequences of symbols of a network that gives the next one, by beam search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Next = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""From the last symbols (N,) and the state before them to the logits (N, K) of the next and the
state after them."""


@dataclass(frozen=True)
class Found:
    """A sequence that was found.

    Args:
        symbols: Its symbols, without the end.
        log_probability: ln of its probability, that of the end included.
        score: What it was ranked by.
    """

    symbols: tuple[int, ...]
    log_probability: float
    score: float


@torch.no_grad()
def beam_search(
    step: Next,
    *,
    end: int,
    width: int = 5,
    most_symbols: int = 30,
    length_power: float = 0.7,
    never: Sequence[int] = (),
) -> list[Found]:
    """Returns the best complete sequences, the best first.

    From step to step the `width` likeliest continuations of all beginnings are kept; one that is
    the end completes its sequence. With a width of 1 that is greedy decoding. A complete sequence
    of n symbols and the end is ranked by ln p / (n + 1)^power: with power 0 by its probability,
    which favours short ones. The search ends when no beginning can become better than those found,
    or after so many symbols.

    Wu et al., "Google's neural machine translation system", 2016, rank by a power of the length.

    Args:
        step: The network; it begins with the symbol `end` and the state None.
        end: The symbol that begins and ends sequences.
        width: Beginnings that are kept.
        most_symbols: No sequence has more.
        length_power: The power, 0 to 1.
        never: Symbols that no sequence has; the probabilities of the others stay as they are.

    Raises:
        ValueError: Where the width or the number of symbols is below 1, or the power is none.

    Example:
        >>> import torch
        >>> table = torch.tensor([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
        >>> def step(symbols, state):
        ...     return table[symbols].log(), state
        >>> [found.symbols for found in beam_search(step, end=0, width=3, length_power=0)][:2]
        [(2,), (1,)]
        >>> [found.symbols for found in beam_search(step, end=0, width=1)]
        [(1,)]
    """
    if width < 1 or most_symbols < 1 or not 0 <= length_power <= 1:
        raise ValueError(
            "width and most_symbols must be at least 1 and length_power 0 to 1, got "
            f"{width}, {most_symbols} and {length_power}"
        )
    logits, state = step(torch.tensor([end]), None)
    begun: list[tuple[int, ...]] = [()]
    sums = torch.zeros(1, dtype=torch.float64)
    complete: list[Found] = []
    for number in range(most_symbols + 1):
        log_p = sums[:, None] + logits.double().log_softmax(-1)
        others = [symbol for symbol in range(log_p.shape[1]) if symbol != end]
        log_p[:, others if number == most_symbols else list(never)] = -torch.inf
        sums, rows, chosen = _best(log_p, width)
        for row, value in zip(
            rows[chosen == end].tolist(), sums[chosen == end].tolist(), strict=True
        ):
            score = value / (len(begun[row]) + 1) ** length_power
            complete.append(Found(begun[row], value, score))
        complete = sorted(complete, key=lambda found: -found.score)[:width]
        goes_on = chosen != end
        sums, rows, chosen = sums[goes_on], rows[goes_on], chosen[goes_on]
        if _is_over(complete, width, sums, most_symbols, length_power):
            break
        pairs = zip(rows.tolist(), chosen.tolist(), strict=True)
        begun = [(*begun[row], symbol) for row, symbol in pairs]
        state = pytree.tree_map_only(Tensor, partial(_rows, rows=rows), state)
        logits, state = step(chosen, state)
    return complete


def _best(log_p: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest continuations: ln p, the beginning of each and its next symbol."""
    values, places = log_p.flatten().topk(min(width, log_p.numel()))
    places = places[values > -torch.inf]
    return values[values > -torch.inf], places // log_p.shape[1], places % log_p.shape[1]


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    return tensor[rows]


def _is_over(
    complete: list[Found], width: int, sums: Tensor, most_symbols: int, length_power: float
) -> bool:
    """Whether no beginning is left that can become better than the complete sequences."""
    if len(sums) == 0:
        return True
    possible = float(sums.max()) / (most_symbols + 1) ** length_power
    return len(complete) == width and possible <= complete[-1].score
