"""What layers check at the door."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

from torch import Tensor

from rondo.compiler import ENGINES, Newton


def check_engine(engine: object) -> None:
    """Fail where there is no such engine."""
    if not isinstance(engine, Newton) and engine not in ENGINES:
        raise ValueError(
            f"engine must be one of {', '.join(ENGINES)}, or rondo.Newton(...), got {engine!r}"
        )


def check_checkpoint_every(every: object) -> None:
    """Fail where that is no number of steps."""
    is_number = isinstance(every, int) and not isinstance(every, bool)
    if every is None or every == "auto" or (is_number and cast(int, every) >= 1):
        return
    raise ValueError(
        'checkpoint_every must be a number of steps, 1 or more, "auto" (twice the square root of '
        f"T) or None (keep everything), got {every!r}"
    )


def steps_between(every: int | Literal["auto"] | None, num_steps: int) -> int | None:
    """The number of steps from checkpoint to checkpoint, or None."""
    return max(1, math.ceil(2 * math.sqrt(num_steps))) if every == "auto" else every


def check_state(leaves: list[Any], batch_size: int) -> None:
    """Fail where a state does not have the rows of the batch."""
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or leaf.ndim < 1 or leaf.shape[0] != batch_size:
            got = tuple(leaf.shape) if isinstance(leaf, Tensor) else type(leaf).__name__
            raise ValueError(
                f"the state must have one row for each of the {batch_size} sequences, "
                f"({batch_size}, ...), got {got}"
            )
