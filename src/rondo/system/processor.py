"""What processor this is, and which vector instructions it has."""

from __future__ import annotations

import platform
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
