"""What the machine can do at most: products, and reading from its caches and its memory.

In goes a number of threads, out comes a :class:`Peak`, and from that the least time that a layer
can take. A small C program (`peak.c`), compiled as kernels are and at their vector width, is run on
each thread at once; the best of many short rounds counts. Where there is no compiler there is no
peak.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from rondo.bench.options import Work
from rondo.compiler.runtime import load
from rondo.system.processor import caches
from rondo.system.threads import most_threads

ROUND_S = 0.002
"""About how long a thread is timed in each round, in seconds."""

MEMORY_BYTES = 64 << 20
"""What is read from memory at least, by all threads: a multiple of what the caches hold."""

BLOCK_BYTES = 8 * 64
"""What is read comes in such blocks: eight of the widest vectors."""

Span = ctypes.Array[ctypes.c_double]
Job = Callable[[int, Span], None]
"""What a thread does; it gets its number, and writes when it began and ended."""


@dataclass(frozen=True)
class Level:
    """From where weights are read.

    Args:
        name: What it is called.
        size_bytes: What it holds for all threads that compute; infinite for memory.
        bytes_per_s: How much they read from it in a second, together.
    """

    name: str
    size_bytes: float
    bytes_per_s: float

    def __str__(self) -> str:
        return f"{self.name} {self.bytes_per_s / 1e9:.0f} GB/s"


@dataclass(frozen=True)
class Peak:
    """The best rates on this machine, now.

    Args:
        num_threads: How many threads reached them.
        vector_bytes: The width of the vectors.
        flops_per_s: Multiplications and additions of float32 in a second, of all threads.
        flops_per_s_of_one: Those of one thread alone.
        first_bytes: What the first-level caches hold; reading from them is no bound. It is
            infinite where the system does not tell of its caches.
        levels: The caches beyond them and the memory, the nearest first.
    """

    num_threads: int
    vector_bytes: int
    flops_per_s: float
    flops_per_s_of_one: float
    first_bytes: float
    levels: tuple[Level, ...]

    def __str__(self) -> str:
        of_one = f"{self.flops_per_s_of_one / 1e9:.0f} GFLOP/s on 1 thread"
        of_all = f", {self.flops_per_s / 1e9:.0f} on {self.num_threads}"
        reading = "; ".join(map(str, self.levels))
        reading += (
            ""
            if self.first_bytes < math.inf
            else ("; the system tells of no caches, so reading bounds nothing")
        )
        return (
            f"{of_one}{of_all if self.num_threads > 1 else ''} (multiply-add of "
            f"{8 * self.vector_bytes}-bit vectors); read by {_threads(self.num_threads)}: {reading}"
        )

    def to_values(self) -> dict[str, Any]:
        """The peak as JSON has it."""
        values = asdict(self)
        del values["first_bytes"]
        values["levels"] = {level.name: level.bytes_per_s for level in self.levels}
        return values

    def bound_s(self, work: Work) -> float:
        """The least time that some work can take, in seconds: its products, or its weights."""
        reading = sum(size * times / self._bytes_per_s(size) for size, times in work.reads)
        return max(work.flops / self.flops_per_s, reading)

    def _bytes_per_s(self, size: int) -> float:
        """How fast so many bytes are read again and again."""
        if size <= self.first_bytes:
            return math.inf
        return next(level.bytes_per_s for level in self.levels if size <= level.size_bytes)


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def measure_peak(num_rounds: int = 40) -> Peak:
    """Returns what as many threads reach as torch may use, or as there are cores.

    Args:
        num_rounds: How often each rate is measured.

    Raises:
        NoCompilerError: Where there is no compiler.
    """
    program = _Program(num_rounds)
    num_threads = min(torch.get_num_threads(), most_threads())
    sizes = {cache.level: cache.size_bytes * _num_used(cache.num_cores, num_threads)
             for cache in caches()}  # fmt: skip
    beyond = max([MEMORY_BYTES, *(4 * size for size in sizes.values())])
    levels = [Level("memory", math.inf, program.bytes_per_s(beyond, num_threads))]
    for level in sorted(sizes.keys() - {1}, reverse=True):
        rate = program.bytes_per_s(sizes[level] // 2, num_threads)
        rate = max(rate, levels[0].bytes_per_s)  # what is nearer is no slower
        levels.insert(0, Level(f"cache {level}", sizes[level], rate))
    of_one = program.flops_per_s(1)
    of_all = max(of_one, program.flops_per_s(num_threads))
    first = sizes.get(1, math.inf)
    return Peak(num_threads, program.vector_bytes, of_all, of_one, first, tuple(levels))


def _num_used(num_cores: int, num_threads: int) -> int:
    """How many caches the threads have that so many cores share each."""
    return math.ceil(num_threads / num_cores)


class _Program:
    """The compiled program: each method measures a rate some times, and returns the best."""

    def __init__(self, num_rounds: int) -> None:
        panels = files("rondo.compiler").joinpath("c", "panels.c")
        texts = (panels, files("rondo.bench").joinpath("peak.c"))
        source = "\n".join(text.read_text(encoding="utf-8") for text in texts)
        self.library = load(f"#include <stdint.h>\ntypedef float real;\n{source}")
        self.num_rounds = num_rounds
        self.vector_bytes = self.library.rondo_vector_bytes()
        self.kept = torch.empty(most_threads(), BLOCK_BYTES // 4)  # where threads leave results

    def flops_per_s(self, num_threads: int) -> float:
        """The rate of multiplications and additions of so many threads."""

        def job(repeats: int) -> Job:
            return lambda thread, span: self.library.rondo_multiply_add(
                ctypes.c_int64(repeats),
                ctypes.c_float(0.5),
                ctypes.c_float(0.5),
                ctypes.c_void_p(self.kept[thread].data_ptr()),
                span,
            )

        return self.library.rondo_flops_of_round() * num_threads * self._best(job, num_threads)

    def bytes_per_s(self, size: int, num_threads: int) -> float:
        """The rate at which so many threads read so many bytes, each its own part of them."""
        blocks = max(1, size // num_threads // BLOCK_BYTES)
        numbers = [torch.ones(blocks * BLOCK_BYTES // 4) for _ in range(num_threads)]

        def job(repeats: int) -> Job:
            return lambda thread, span: self._read(repeats, numbers[thread], thread, span)

        return blocks * BLOCK_BYTES * num_threads * self._best(job, num_threads)

    def _read(self, repeats: int, numbers: Tensor, thread: int, span: Span) -> None:
        self.library.rondo_read(
            ctypes.c_int64(repeats),
            ctypes.c_int64(numbers.numel()),
            ctypes.c_void_p(numbers.data_ptr()),
            ctypes.c_void_p(self.kept[thread].data_ptr()),
            span,
        )

    def _best(self, job: Callable[[int], Job], num_threads: int) -> float:
        """How often all threads do a job in a second, at best."""
        repeats, duration = 1, _duration(job(1), 1)
        while duration < ROUND_S / 4:
            repeats = math.ceil(repeats * min(64, ROUND_S / max(duration, ROUND_S / 64)))
            duration = _duration(job(repeats), 1)
        found = (_duration(job(repeats), num_threads) for _ in range(self.num_rounds))
        return repeats / min(duration, *found) if num_threads == 1 else repeats / min(found)


def _duration(job: Job, num_threads: int) -> float:
    """The time from when the first thread begins until the last one ends, in seconds."""
    spans: Sequence[Span] = [(ctypes.c_double * 2)() for _ in range(num_threads)]
    barrier = threading.Barrier(num_threads)

    def run(thread: int) -> None:
        barrier.wait()
        job(thread, spans[thread])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, num_threads)]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    return max(span[1] for span in spans) - min(span[0] for span in spans)
