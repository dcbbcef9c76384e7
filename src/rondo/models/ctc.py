"""Connectionist temporal classification: sequences of steps read as shorter sequences of symbols.

A network gives, at every step t, probabilities of K symbols (numbers 1 to K) and of a blank
(number 0). A path names one of them a step; it *reads* as the text that is left where repeats are
merged and blanks then dropped: a a - a b b reads a a b. The probability of a text is the sum over
all paths that read as it. Decoding looks for the likeliest text: `greedy` takes the likeliest
path, `beam_search` sums over paths of the likeliest beginnings, `best_of` compares given texts.

Graves, Fernandez, Gomez & Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", 2006. Known limits: texts are compared
by their probability alone; there is no language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

BLANK = 0
"""The number of the blank."""

Symbols = tuple[int, ...]
"""A text as numbers from 1 on."""

SCORED_TOGETHER = 512
"""Texts whose probability is computed at a time."""


def steps_needed(symbols: Sequence[int]) -> int:
    """Returns the least steps in which a text can be read: one each, and a blank between equals.

    Example:
        >>> from rondo.models.ctc import steps_needed
        >>> steps_needed([1, 2, 2, 3])
        5
    """
    return len(symbols) + sum(a == b for a, b in pairwise(symbols))


def ctc_distances(logits: Tensor, targets: Tensor, steps: Tensor | None = None) -> Tensor:
    """Returns -log P(text) of every row, in nats; it is infinite where there are too few steps.

    Args:
        logits: (B, T, K + 1), of which number 0 is the blank.
        targets: (B, L) numbers from 1 to K, zeros after the end of each text.
        steps: (B,) the steps of each row. Default T.

    Returns:
        (B,)

    Raises:
        ValueError: Where shapes or numbers do not fit.

    Example:
        >>> import torch
        >>> from rondo.models.ctc import ctc_distances
        >>> even = torch.zeros(1, 2, 2)  # of four paths --, -a, a-, aa three read "a"
        >>> (-ctc_distances(even, torch.tensor([[1]]))).exp()
        tensor([0.7500])
    """
    _check_logits(logits)
    num_rows, num_steps, num_classes = logits.shape
    if targets.ndim != 2 or len(targets) != num_rows:
        raise ValueError(
            f"targets must be (B, L) with the B = {num_rows} of the logits, got "
            f"{tuple(targets.shape)}"
        )
    if bool(((targets < 0) | (targets >= num_classes)).any()):
        raise ValueError(
            f"targets must be numbers from 1 to {num_classes - 1}, and zeros after the end, got "
            f"{int(targets.min())} to {int(targets.max())}"
        )
    if targets.shape[1] == 0:  # all texts are empty
        targets = targets.new_zeros(num_rows, 1)
    is_symbol = targets != BLANK
    lengths = is_symbol.sum(1)
    places = torch.arange(targets.shape[1], device=targets.device)
    if bool((is_symbol != (places < lengths[:, None])).any()):
        raise ValueError("targets must hold zeros, the blank, after the end of a text only")
    if steps is None:
        steps = torch.full((num_rows,), num_steps)
    return ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1), targets, steps, lengths, BLANK, "none"
    )


def merged(path: Sequence[int]) -> Symbols:
    """Returns what a path reads: repeats merged, then blanks dropped.

    Example:
        >>> from rondo.models.ctc import merged
        >>> merged([1, 1, 0, 1, 2, 2])
        (1, 1, 2)
    """
    kept = [*path[:1], *(b for a, b in pairwise(path) if a != b)]
    return tuple(symbol for symbol in kept if symbol != BLANK)


def greedy(logits: Tensor, steps: Tensor | None = None) -> list[Symbols]:
    """Returns what the likeliest path of every row reads; arguments as for `ctc_distances`.

    Example:
        >>> import torch
        >>> from rondo.models.ctc import greedy
        >>> greedy(torch.eye(3)[[1, 1, 0, 1, 2]][None])
        [(1, 1, 2)]
    """
    _check_logits(logits)
    paths = logits.argmax(-1).tolist()
    counts = [len(path) for path in paths] if steps is None else steps.tolist()
    return [merged(path[:count]) for path, count in zip(paths, counts, strict=True)]


def beam_search(logits: Tensor, width: int = 10) -> list[tuple[Symbols, float]]:
    """Returns the likeliest texts of one row with the logarithms of their probabilities.

    Step by step it keeps the `width` likeliest beginnings; that of a beginning is the sum over the
    paths so far that read as it. With enough width it finds the likeliest text of all; the
    probabilities then are exact, otherwise they may lack paths that were given up.

    Graves & Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", 2014,
    Algorithm 1 without a language model.

    Args:
        logits: (T, K + 1) of one row.
        width: Beginnings that are kept.

    Raises:
        ValueError: Where there is no such width, or the logits are others.

    Example:
        >>> import torch
        >>> from rondo.models.ctc import beam_search, greedy
        >>> logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
        >>> greedy(logits[None])  # the path -- has 0.36 alone, but 0.64 read "a"
        [()]
        >>> [(symbols, round(math.exp(log), 2)) for symbols, log in beam_search(logits)]
        [((1,), 0.64), ((), 0.36)]
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must be (T, K + 1), those of one row, got {tuple(logits.shape)}")
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    beams: dict[Symbols, tuple[float, float]] = {(): (0.0, -math.inf)}
    for row in logits.double().log_softmax(-1).tolist():
        beams = _kept(_extended(beams, row), width)
    found = [(symbols, _log_sum(*ends)) for symbols, ends in beams.items()]
    return sorted(found, key=lambda item: -item[1])


def best_of(logits: Tensor, texts: Sequence[Symbols]) -> tuple[int, float]:
    """Returns which of some texts is the likeliest in one row, and the log of its probability.

    It is -1 where no text has any probability, as where all are too long for the steps.

    Args:
        logits: (T, K + 1) of one row.
        texts: The texts, such as the words of a lexicon.

    Example:
        >>> import torch
        >>> from rondo.models.ctc import best_of
        >>> best_of(torch.eye(4)[[1, 0, 2, 3]] * 5, [(1, 2), (1, 2, 3), (3,)])[0]
        1
    """
    logs = log_probabilities(logits, texts)
    best = int(logs.argmax()) if len(texts) else -1
    return (-1, -math.inf) if best < 0 or logs[best] == -math.inf else (best, float(logs[best]))


@torch.no_grad()
def log_probabilities(logits: Tensor, texts: Sequence[Symbols]) -> Tensor:
    """Returns log P(text) of each of some texts in one row (T, K + 1): (number of texts,)."""
    logs = []
    for first in range(0, len(texts), SCORED_TOGETHER):
        some = texts[first : first + SCORED_TOGETHER]
        targets = torch.zeros(len(some), max(1, *map(len, some)), dtype=torch.long)
        for row, symbols in zip(targets, some, strict=True):
            row[: len(symbols)] = torch.tensor(symbols, dtype=torch.long)
        logs.append(-ctc_distances(logits.expand(len(some), -1, -1), targets))
    return torch.cat(logs) if logs else torch.zeros(0)


def _extended(
    beams: dict[Symbols, tuple[float, float]], row: Sequence[float]
) -> dict[Symbols, tuple[float, float]]:
    """One step further: logs of the paths that end in a blank, and of those that do not."""
    new: dict[Symbols, tuple[float, float]] = {}

    def add(symbols: Symbols, blank: float, other: float) -> None:
        before = new.get(symbols, (-math.inf, -math.inf))
        new[symbols] = _log_sum(before[0], blank), _log_sum(before[1], other)

    for symbols, (in_blank, in_other) in beams.items():
        both = _log_sum(in_blank, in_other)
        last = symbols[-1] if symbols else BLANK
        add(symbols, both + row[BLANK], in_other + row[last] if symbols else -math.inf)
        for symbol in range(1, len(row)):
            before = in_blank if symbol == last else both
            if before > -math.inf:
                add((*symbols, symbol), -math.inf, before + row[symbol])
    return new


def _kept(
    beams: dict[Symbols, tuple[float, float]], width: int
) -> dict[Symbols, tuple[float, float]]:
    best = sorted(beams, key=lambda symbols: -_log_sum(*beams[symbols]))[:width]
    return {symbols: beams[symbols] for symbols in best}


def _log_sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _check_logits(logits: Tensor) -> None:
    if logits.ndim != 3 or logits.shape[2] < 2:
        raise ValueError(
            f"logits must be (B, T, K + 1) with the blank and a symbol at least, got "
            f"{tuple(logits.shape)}"
        )
