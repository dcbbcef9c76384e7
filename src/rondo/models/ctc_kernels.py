"""Decoding of CTC in C: `ctc.c`, compiled once and kept as all kernels are.

Logits or their logarithms go in, texts come out. It runs on one thread: a row of a batch is too
little work to share. Where there is no compiler, `ctc.py` does the same with torch.
"""

from __future__ import annotations

import ctypes
import functools
import os
from importlib.resources import files
from itertools import pairwise

import torch
from torch import Tensor

from rondo.compiler.c_compiler import NoCompilerError
from rondo.compiler.runtime import load

Symbols = tuple[int, ...]
"""A text as numbers from 1 on."""

MOST_TEXTS = 2**31 - 1
"""Texts that a search can tell apart, by the type of their numbers in C."""


def library() -> ctypes.CDLL | None:
    """Returns the compiled functions, or None where there is no compiler."""
    return _library(*(os.environ.get(name) for name in ("CC", "PATH", "RONDO_CACHE")))


@functools.lru_cache(maxsize=4)
def _library(*_environment: str | None) -> ctypes.CDLL | None:
    source = files("rondo.models").joinpath("ctc.c").read_text(encoding="utf-8")
    try:
        found = load(source)
    except NoCompilerError:
        return None
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    found.rondo_beam_search.argtypes = [number] * 3 + [pointer] * 4
    found.rondo_beam_search.restype = number
    found.rondo_greedy.argtypes = [number] * 3 + [pointer] * 4
    found.rondo_greedy.restype = None
    return found


def read_paths(found: ctypes.CDLL, logits: Tensor, steps: Tensor) -> list[Symbols]:
    """Returns what the likeliest path of every row reads.

    Args:
        found: The `library`.
        logits: (B, T, K + 1) of float32.
        steps: (B,) the steps of each row.
    """
    num_rows, num_steps, size = logits.shape
    logits, steps = logits.detach().cpu().contiguous(), steps.to("cpu", torch.long).contiguous()
    symbols = torch.empty(num_rows * num_steps, dtype=torch.int32)
    counts = torch.empty(num_rows, dtype=torch.long)
    memory = [values.data_ptr() for values in (steps, logits, symbols, counts)]
    found.rondo_greedy(num_rows, num_steps, size, *memory)
    ends = counts.cumsum(0).tolist()
    read = symbols[: sum(ends[-1:])].tolist()
    return [tuple(read[start:end]) for start, end in pairwise([0, *ends])]


def search(found: ctypes.CDLL, logs: Tensor, width: int) -> list[tuple[Symbols, float]]:
    """Returns the likeliest texts of a row with the logarithms of their probabilities.

    Args:
        found: The `library`.
        logs: (T, K + 1) of float64, ln of the probabilities of the blank and of the symbols.
        width: Beginnings that are kept.

    Raises:
        MemoryError: Where there is too little for so many beginnings and steps.
    """
    logs = logs.cpu().contiguous()
    num_steps, size = logs.shape
    count = -1
    if width * num_steps < MOST_TEXTS:
        symbols = torch.empty(width, num_steps, dtype=torch.int32)
        lengths = torch.empty(width, dtype=torch.long)
        totals = torch.empty(width, dtype=torch.float64)
        memory = [values.data_ptr() for values in (logs, symbols, lengths, totals)]
        count = found.rondo_beam_search(num_steps, size, width, *memory)
    if count < 0:
        raise MemoryError(
            f"there is no room to search {num_steps} steps with a width of {width}; take a smaller "
            "width"
        )
    texts = zip(symbols[:count], lengths.tolist(), totals.tolist(), strict=False)
    return [(tuple(text[:length].tolist()), total) for text, length, total in texts]
