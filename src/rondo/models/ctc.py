"""Connectionist temporal classification: sequences of steps read as shorter sequences of symbols.

A network gives, at every step t, probabilities of K symbols (numbers 1 to K) and of a blank
(number 0). A path names one of them a step; it *reads* as the text that is left where repeats are
merged and blanks then dropped: a a - a b b reads a a b. The probability of a text is the sum over
all paths that read as it. Decoding looks for the likeliest text: `greedy` takes the likeliest
path, `beam_search` sums over paths of the likeliest beginnings, `best_of` compares given texts.
The first two read all rows of a batch together.

Graves, Fernandez, Gomez & Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", 2006. Known limits: texts are compared
by their probability alone; there is no language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from rondo.models import ctc_kernels
from rondo.models.ctc_kernels import Symbols
from rondo.models.prefix_beams import Beams

BLANK = 0
"""The number of the blank."""

SCORED_TOGETHER = 512
"""Texts whose probability is computed at a time."""

MOST_CANDIDATES = 2**20
"""Beginnings that beam search looks at together: what it needs of memory grows with them."""


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


def greedy(logits: Tensor, steps: Tensor | None = None) -> list[Symbols]:
    """Returns what the likeliest path of every row reads.

    Of equally likely symbols of a step it takes the one with the lowest number; NaN counts as the
    likeliest.

    Args:
        logits: (B, T, K + 1), of which number 0 is the blank.
        steps: (B,) the steps of each row. Default T.

    Raises:
        ValueError: Where shapes or numbers of steps do not fit.

    Example:
        >>> import torch
        >>> from rondo.models.ctc import greedy
        >>> greedy(torch.eye(3)[[1, 1, 0, 1, 2]][None])
        [(1, 1, 2)]
    """
    _check_logits(logits)
    steps = _checked_steps(logits, steps)
    library = ctc_kernels.library()
    if library is not None and logits.dtype == torch.float32:
        return ctc_kernels.read_paths(library, logits, steps)
    paths = logits.max(-1).indices
    starts = (paths != BLANK) & ~_beyond(logits, steps)
    starts[:, 1:] &= paths[:, 1:] != paths[:, :-1]
    symbols = iter(paths[starts].tolist())
    return [tuple(islice(symbols, count)) for count in starts.sum(1).tolist()]


@torch.no_grad()
def beam_search(
    logits: Tensor, steps: Tensor | None = None, *, width: int = 10
) -> list[list[tuple[Symbols, float]]]:
    """Returns the likeliest texts of every row with the logarithms of their probabilities.

    Step by step it keeps the `width` likeliest beginnings of each row; that of a beginning is the
    sum over the paths so far that read as it. With enough width it finds the likeliest text of all;
    the probabilities then are exact, otherwise they may lack paths that were given up. Texts that
    no path can read, as where logits are -inf, are left out. It runs in C (`ctc_kernels`); where
    there is no compiler, all rows take a step together in torch (`prefix_beams`).

    Graves & Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", 2014,
    Algorithm 1 without a language model.

    Args:
        logits: (B, T, K + 1), of which number 0 is the blank; what lies beyond the steps of a row
            is not read.
        steps: (B,) the steps of each row. Default T.
        width: Beginnings that are kept.

    Returns:
        The texts of each row, the likeliest first; of equally likely ones first that whose
        beginning was the likelier, then that with the lower number of its last symbol.

    Raises:
        ValueError: Where there is no such width, shapes or numbers of steps do not fit, or a step
            has no probabilities: a logit of it is NaN or inf, or all are -inf.
        MemoryError: Where there is too little for so many beginnings and steps.

    Example:
        >>> import torch
        >>> from rondo.models.ctc import beam_search, greedy
        >>> logits = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
        >>> greedy(logits)  # the path -- has 0.36 alone, but 0.64 read "a"
        [()]
        >>> [(symbols, round(math.exp(log), 2)) for symbols, log in beam_search(logits)[0]]
        [((1,), 0.64), ((), 0.36)]
    """
    _check_logits(logits)
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    steps = _checked_steps(logits, steps)
    logs = logits.double().log_softmax(-1)
    beyond = _beyond(logits, steps)
    _check_probabilities(logits, logs.isnan().any(-1) & ~beyond)
    library = ctc_kernels.library()
    if library is not None:
        rows = zip(logs, steps.tolist(), strict=True)
        return [ctc_kernels.search(library, row[:count], width) for row, count in rows]
    logs[beyond] = logs.new_full((logs.shape[2],), -math.inf)
    logs[..., BLANK][beyond] = 0.0  # a blank that is certain changes nothing
    found = []
    for some in logs.split(max(1, MOST_CANDIDATES // (width * logs.shape[2]))):
        beams = Beams.of(len(some), width, logs.device)
        for step in some.unbind(1):
            beams = beams.after(step)
        found += beams.texts()
    return found


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
        logs.append(-ctc_distances(logits.expand(len(some), -1, -1), padded(some)))
    return torch.cat(logs) if logs else torch.zeros(0)


def padded(texts: Sequence[Symbols]) -> Tensor:
    """Returns texts as `ctc_distances` takes them, (B, L).

    Example:
        >>> from rondo.models.ctc import padded
        >>> padded([(1, 2), (), (3,)])
        tensor([[1, 2],
                [0, 0],
                [3, 0]])
    """
    longest = max(map(len, texts), default=0)
    rows = [[*symbols, *[BLANK] * (longest - len(symbols))] for symbols in texts]
    return torch.tensor(rows, dtype=torch.long).view(len(texts), longest)


def _check_logits(logits: Tensor) -> None:
    if logits.ndim != 3 or logits.shape[2] < 2:
        raise ValueError(
            f"logits must be (B, T, K + 1) with the blank and a symbol at least, got "
            f"{tuple(logits.shape)}"
        )


def _checked_steps(logits: Tensor, steps: Tensor | None) -> Tensor:
    """The steps of each row (B,), T where they are not told."""
    num_rows, num_steps, _ = logits.shape
    if steps is None:
        return torch.full((num_rows,), num_steps, device=logits.device)
    if steps.shape != (num_rows,):
        raise ValueError(
            f"steps must be (B,) with the B = {num_rows} of the logits, got {tuple(steps.shape)}"
        )
    if bool(((steps < 0) | (steps > num_steps)).any()):
        raise ValueError(
            f"steps must be from 0 to the T = {num_steps} of the logits, got {int(steps.min())} to "
            f"{int(steps.max())}"
        )
    return steps.to(logits.device)


def _beyond(logits: Tensor, steps: Tensor) -> Tensor:
    """Whether a step belongs to its row no more (B, T)."""
    return torch.arange(logits.shape[1], device=logits.device) >= steps[:, None]


def _check_probabilities(logits: Tensor, is_wrong: Tensor) -> None:
    """Raises where a step (B, T) that is read has no probabilities."""
    wrong = is_wrong.nonzero()
    if len(wrong):
        row, step = wrong[0].tolist()
        raise ValueError(
            "logits of a step must be numbers below inf, not all of them -inf, got "
            f"{logits[row, step].min():g} to {logits[row, step].max():g} at step {step} of row "
            f"{row}; look for what made them so in the network or its input"
        )
