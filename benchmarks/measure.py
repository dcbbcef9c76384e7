"""What the benchmarks share: paired timing, and the machine it was measured on."""

from __future__ import annotations

import datetime
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import rondo


def machine() -> str:
    """Processor, threads, versions and date, as every result states them."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor()
    flags = "AVX-512 bf16" if torch.cpu._is_avx512_bf16_supported() else "no AVX-512 bf16"
    return (
        f"- machine: {processor}, {len(names)} cores, {flags}; torch uses "
        f"{torch.get_num_threads()} threads\n"
        f"- versions: Python {platform.python_version()}, torch {torch.__version__}, "
        f"rondo {rondo.__version__}\n"
        f"- date: {datetime.date.today().isoformat()}\n"
        f"- command: `python {' '.join([*sys.argv])}`\n"
    )


def paired_times(runs: dict[str, Callable[[], object]], num_rounds: int) -> dict[str, float]:
    """Median time of each in seconds; all take turns, so that a noisy machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(num_rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}
