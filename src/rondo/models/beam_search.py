"""The likeliest sequences of symbols of a network that gives the next one, by beam search.

A function that takes a step of the network goes in, and the best sequences of every item of a batch
come out, such as the captions of pictures. In a step the network runs once for the beginnings of
all items; what has ended takes no part any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rondo.models.likeliest import likeliest

Next = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""From the last symbols (N,) of N beginnings and the state before them to the logits (N, K) of the
next ones and the state after them. The rows of all tensors of a state are the beginnings; what
belongs to an item, such as a picture, is part of it."""


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


@dataclass(frozen=True)
class Begun:
    """The N beginnings of all items, those of an item after each other, the likeliest first.

    Args:
        symbols: (N, symbols so far).
        sums: ln of their probabilities (N,).
        items: (N,) the item of each.
        ranks: (N,) which one of its item it is, from 0 on.
    """

    symbols: Tensor
    sums: Tensor
    items: Tensor
    ranks: Tensor


@torch.no_grad()
def beam_search(
    step: Next,
    batch_size: int,
    *,
    end: int,
    width: int = 5,
    most_symbols: int = 30,
    length_power: float = 0.7,
    never: Sequence[int] = (),
) -> list[list[Found]]:
    """Returns the best complete sequences of each item, the best first.

    From step to step the `width` likeliest continuations of all beginnings of an item are kept; one
    that is the end completes its sequence. With a width of 1 that is greedy decoding. A complete
    sequence of n symbols and the end is ranked by ln p / (n + 1)^power: with power 0 by its
    probability, which favours short ones. The search ends when no beginning can become better than
    those found, or after so many symbols. Of equally likely continuations those of the likelier
    beginning are kept, and of one beginning the lower symbols; of equally good sequences the
    shorter is the better.

    Wu et al., "Google's neural machine translation system", 2016, rank by a power of the length.

    Args:
        step: The network; it begins with the symbol `end` for each item and the state None.
        batch_size: The number of items.
        end: The symbol that begins and ends sequences.
        width: Beginnings of an item that are kept.
        most_symbols: No sequence has more.
        length_power: The power, 0 to 1.
        never: Symbols that no sequence has; the probabilities of the others stay as they are.

    Returns:
        For each item up to `width` sequences; none where the end never has any probability.

    Raises:
        ValueError: Where the width or the number of symbols is below 1, the power is none, or the
            network gives no probabilities: a logit is NaN or inf, or all are -inf.

    Example:
        >>> import torch
        >>> table = torch.tensor([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
        >>> def step(symbols, state):
        ...     return table[symbols].log(), state
        >>> [found.symbols for found in beam_search(step, 1, end=0, width=3, length_power=0)[0]][:2]
        [(2,), (1,)]
        >>> [[found.symbols for found in item] for item in beam_search(step, 2, end=0, width=1)]
        [[(1,)], [(1,)]]
    """
    if width < 1 or most_symbols < 1 or not 0 <= length_power <= 1:
        raise ValueError(
            "width and most_symbols must be at least 1 and length_power 0 to 1, got "
            f"{width}, {most_symbols} and {length_power}"
        )
    complete: list[list[Found]] = [[] for _ in range(batch_size)]
    none, every = torch.zeros(batch_size, 0, dtype=torch.long), torch.arange(batch_size)
    begun = Begun(
        none, torch.zeros(batch_size, dtype=torch.float64), every, torch.zeros_like(every)
    )
    last, state = torch.full((batch_size,), end), None
    for number in range(most_symbols + 1):
        if len(last) == 0:
            break
        logits, state = step(last, state)
        logs, symbols = _next_symbols(logits, begun, width, never, end, number == most_symbols)
        sums, rows, chosen = _best(begun, logs, symbols, batch_size, width)
        is_end = (sums > -torch.inf) & (chosen == end)
        _complete(complete, begun.symbols[rows[is_end]], sums, is_end, width, length_power)
        sums = torch.where(is_end, -torch.inf, sums)
        goes_on = _going_on(complete, sums, width, most_symbols, length_power)
        last, rows = chosen[goes_on], rows[goes_on]
        begun = Begun(
            torch.cat([begun.symbols[rows], last[:, None]], 1),
            sums[goes_on],
            begun.items[rows],
            (goes_on.cumsum(1) - 1)[goes_on],
        )
        state = pytree.tree_map_only(Tensor, partial(_rows, rows=rows), state)
    return complete


def _next_symbols(
    logits: Tensor, begun: Begun, width: int, never: Sequence[int], end: int, ends: bool
) -> tuple[Tensor, Tensor]:
    """The likeliest next symbols of each beginning with the logarithms of their probabilities."""
    top = logits.amax(1, keepdim=True)
    whole = (logits - top).exp().sum(1, keepdim=True)
    _check_probabilities(logits, whole, begun)
    if ends:
        values, symbols = logits[:, end : end + 1], torch.full((len(logits), 1), end)
    else:
        values, symbols = likeliest(
            logits.index_fill(1, torch.tensor(never, dtype=torch.long), -torch.inf), width
        )
    return (values.double() - top.double()) - whole.double().log(), symbols


def _check_probabilities(logits: Tensor, whole: Tensor, begun: Begun) -> None:
    """Raises where a beginning has no probabilities of what follows."""
    if bool(whole.isfinite().all()):
        return
    row = int((~whole.isfinite()).nonzero()[0, 0])
    raise ValueError(
        "logits of the next symbol must be numbers below inf, not all of them -inf, got "
        f"{logits[row].min():g} to {logits[row].max():g} for item {int(begun.items[row])} after "
        f"{begun.symbols.shape[1]} symbols; look for what made them so in the network or its input"
    )


def _best(
    begun: Begun, logs: Tensor, symbols: Tensor, batch_size: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest continuations of each item: ln p, the beginning of each, its next symbol."""
    totals = logs.new_full((batch_size, width, logs.shape[1]), -torch.inf)
    totals[begun.items, begun.ranks] = begun.sums[:, None] + logs
    rows = torch.zeros(batch_size, width, dtype=torch.long)
    rows[begun.items, begun.ranks] = torch.arange(len(logs))
    sums, places = likeliest(totals.flatten(1), width)
    rows = rows.gather(1, places // logs.shape[1])
    return sums, rows, symbols[rows, places % logs.shape[1]]


def _complete(
    complete: list[list[Found]],
    symbols: Tensor,
    sums: Tensor,
    is_end: Tensor,
    width: int,
    length_power: float,
) -> None:
    """Adds the sequences that end now, and keeps the best ones of their items."""
    items = is_end.nonzero()[:, 0].tolist()
    for item, found, value in zip(items, symbols.tolist(), sums[is_end].tolist(), strict=True):
        score = value / (len(found) + 1) ** length_power
        complete[item].append(Found(tuple(found), value, score))
    for item in set(items):
        complete[item] = sorted(complete[item], key=lambda found: -found.score)[:width]


def _going_on(
    complete: Sequence[Sequence[Found]],
    sums: Tensor,
    width: int,
    most_symbols: int,
    length_power: float,
) -> Tensor:
    """Which beginnings (B, W) go on: those that can become better than what is complete.

    One that cannot has a smaller sum than all that can, so it keeps no place from them.
    """
    possible = sums / (most_symbols + 1) ** length_power
    least = [found[-1].score if len(found) == width else -torch.inf for found in complete]
    return possible > torch.tensor(least, dtype=torch.float64)[:, None]


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    return tensor.index_select(0, rows)
