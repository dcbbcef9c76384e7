"""What the studies measure, as data; a study is a `rondo bench NAME`. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from rondo.bench.options import MODULES, Sizes

PASSES = ("forward", "training")
NEIGHBOURS = (0, 1, 2, 3, 4)
LIMITS = (0.5, 1.0, 1.5)
MOST_FLOPS = 1e10
"""Operations of a forward pass for each gate beyond which a shape is left out of the map."""


@dataclass(frozen=True)
class StudyOptions:
    """What all studies take.

    Args:
        kinds: Which drop-ins, of `MODULES`.
        passes: Forward alone, or training: forward and backward.
        budget_s: About how long it measures, in seconds.
        is_quick: Whether it is too small and too short to say how fast anything is.
    """

    kinds: tuple[str, ...] = MODULES
    passes: tuple[str, ...] = PASSES
    budget_s: float = 600.0
    is_quick: bool = False


@dataclass(frozen=True)
class MapOptions(StudyOptions):
    """The map: every T by every B by every H, where I = H."""

    num_steps: tuple[int, ...] = (1, 4, 16, 64, 256)
    batch_sizes: tuple[int, ...] = (1, 4, 16, 64)
    hidden_sizes: tuple[int, ...] = (32, 128, 256, 512)

    @property
    def shapes(self) -> list[Sizes]:
        """The sizes that are measured: all but those of too much work."""
        sizes = product(self.num_steps, self.batch_sizes, self.hidden_sizes)
        shapes = [Sizes(steps, rows, size, size) for steps, rows, size in sizes]
        return [shape for shape in shapes if shape.flops(1, training=False) <= MOST_FLOPS]


@dataclass(frozen=True)
class Condition:
    """Under what a side runs.

    Args:
        neighbours: How many busy processes are beside it.
        limit: How many cores its control group lets it use; None is no limit.
        num_threads: What it asks for; None is as many as torch takes.
    """

    neighbours: int = 0
    limit: float | None = None
    num_threads: int | None = None


@dataclass(frozen=True)
class BusyOptions(StudyOptions):
    """Beside busy processes, within control groups, and with many threads; I = H = `size`.

    Args:
        neighbours: Numbers of busy processes.
        limits: Cores that a control group lets each side use.
        many_threads: How many threads are asked for once more; None is not.
        num_threads: Threads in all other conditions; None is as many as torch takes.
        batch_sizes, num_steps, size: B, T, and I = H.
    """

    neighbours: tuple[int, ...] = NEIGHBOURS
    limits: tuple[float, ...] = LIMITS
    many_threads: int | None = 64
    num_threads: int | None = None
    batch_sizes: tuple[int, ...] = (1, 4, 16, 64)
    num_steps: int = 50
    size: int = 128

    @property
    def conditions(self) -> list[Condition]:
        """What is measured, one after the other."""
        threads, many = self.num_threads, self.many_threads
        return [
            *(Condition(number, None, threads) for number in self.neighbours),
            *(Condition(0, limit, threads) for limit in self.limits),
            *([] if many is None else [Condition(0, None, many)]),
        ]


@dataclass(frozen=True)
class Bf16Options(StudyOptions):
    """In bfloat16, at shapes whose products take most of the time."""

    shapes: tuple[Sizes, ...] = (
        Sizes(100, 32, 128, 128),
        Sizes(100, 64, 256, 256),
        Sizes(50, 64, 512, 512),
        Sizes(35, 20, 650, 650),
    )


@dataclass(frozen=True)
class CallOptions(StudyOptions):
    """Calls of one or a few steps, where I = H."""

    budget_s: float = 60.0
    num_rounds: int = 9
    num_steps: tuple[int, ...] = (1, 2, 4)
    batch_sizes: tuple[int, ...] = (1, 4, 8)
    hidden_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)

    @property
    def num_rows(self) -> int:
        """The calls that are measured."""
        sizes = len(self.num_steps) * len(self.batch_sizes) * len(self.passes) + 1
        return len(self.kinds) * (len(self.hidden_sizes) * sizes + 1)


@dataclass(frozen=True)
class TokenOptions(StudyOptions):
    """The time of a token by the size of the batch, where I = H = `size`; peers of `PEERS`."""

    kinds: tuple[str, ...] = ("LSTM", "GRU")
    passes: tuple[str, ...] = ("forward",)
    budget_s: float = 120.0
    peers: tuple[str, ...] = ("nn", "onnx", "jax")
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    num_steps: int = 100
    size: int = 128


STUDIES: dict[str, StudyOptions] = {
    "map": MapOptions(),
    "busy": BusyOptions(),
    "bf16": Bf16Options(),
    "call": CallOptions(),
    "token": TokenOptions(),
}
"""The options of each study where nothing else is asked for, by its name."""

QUICK_FIELDS: dict[str, dict[str, Any]] = {
    "map": {"num_steps": (1, 4), "batch_sizes": (1, 4), "hidden_sizes": (32,)},
    "busy": {
        "neighbours": (0, 1),
        "limits": (),
        "many_threads": None,
        "batch_sizes": (4,),
        "num_steps": 7,
        "size": 8,
    },
    "bf16": {"shapes": (Sizes(7, 4, 16, 16),)},
    "call": {"num_steps": (1, 4), "batch_sizes": (1, 8), "hidden_sizes": (32,), "num_rounds": 3},
    "token": {"batch_sizes": (1, 4), "num_steps": 7, "size": 8},
}
"""What is smaller of each study with --quick."""


def quick(name: str) -> StudyOptions:
    """Returns the options of a study that only shows that it works, in seconds."""
    common: dict[str, Any] = {"kinds": ("GRU",), "budget_s": 1.0, "is_quick": True}
    return replace(STUDIES[name], **common, **QUICK_FIELDS[name])
