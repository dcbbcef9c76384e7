"""What processor this is, and which vector instructions it has."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

VECTOR_SETS = {
    "sse4_2": "SSE4.2",
    "avx": "AVX",
    "fma": "FMA",
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 bf16",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "sve": "SVE",
    "sve2": "SVE2",
    "bf16": "bf16",
}
"""The vector instructions that matter here, by the word of `/proc/cpuinfo`."""

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def cpuinfo() -> list[str]:
    """Returns the lines of `/proc/cpuinfo`; none where there is no such file."""
    try:
        return CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def processor_names() -> list[str]:
    """Returns the name of each core."""
    return _values("model name") or [platform.processor() or platform.machine()]


def vector_sets() -> tuple[str, ...]:
    """Returns the names of the vector instructions; none where the system does not tell."""
    flags = {flag for line in _values("flags") + _values("Features") for flag in line.split()}
    return tuple(name for flag, name in VECTOR_SETS.items() if flag in flags)


def _values(key: str) -> list[str]:
    """What `/proc/cpuinfo` says under a key, for each core."""
    pairs = [line.partition(":") for line in cpuinfo()]
    return [value.strip() for name, _, value in pairs if name.strip() == key]


@dataclass(frozen=True)
class Cache:
    """A cache for data.

    Args:
        level: Its number: 1 is the nearest.
        size_bytes: How much it holds.
        num_cores: How many cores share it.
    """

    level: int
    size_bytes: int
    num_cores: int


def caches(folder: Path = CACHES) -> list[Cache]:
    """Returns the caches of the first core, the nearest first; none where the system does not tell.

    Args:
        folder: Where the system describes them.
    """
    found = []
    for place in folder.glob("index*"):
        try:
            kind, level, size, cores = (
                (place / name).read_text(encoding="ascii").strip()
                for name in ("type", "level", "size", "shared_cpu_list")
            )
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            found.append(Cache(int(level), int(size[:-1]) << 10, _num_listed(cores)))
    return sorted(found, key=lambda cache: cache.level)


def _num_listed(cores: str) -> int:
    """How many numbers a list such as `0-3,8` has."""
    ends = (part.partition("-") for part in cores.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
