"""The processes that train a network together: what they give each other.

Each process is a rank, from 0 to one less than their number. Every one holds the whole network, and
does a contiguous part of the shards of each batch (`rondo.training.shards`). What a rank has found
goes to all others here, and nowhere else. A process that trains alone is the only rank, and gives
nothing to anybody.

What is exchanged are numbers of the same bits for all, in the order of the ranks. So all ranks take
the same next step, and none needs to be told the weights.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from rondo.errors import RunError

Value = TypeVar("Value")


class RankLostError(RunError):
    """Another rank ended or hangs, so this one cannot go on."""


@dataclass(frozen=True)
class Ranks:
    """All processes of a training, and which of them this is.

    Args:
        number: How many there are.
        rank: The number of this one.
        timeout_s: Seconds after which a rank that does not answer counts as lost.
    """

    number: int = 1
    rank: int = 0
    timeout_s: float = 600.0

    @property
    def is_first(self) -> bool:
        """Whether this is the one that reads and writes the run folder and speaks to the user."""
        return self.rank == 0

    def mine(self, number: int) -> range:
        """Which of so many shards this rank does: a contiguous part."""
        return range(self.rank * number // self.number, (self.rank + 1) * number // self.number)

    def gathered(self, value: Value) -> list[Value]:
        """What each rank gives, in the order of the ranks; the values are plain or tensors."""
        if self.number == 1:
            return [value]
        found: list[Any] = [None] * self.number
        self._exchange(lambda: _distributed().all_gather_object(found, value))
        return found

    def of_first(self, value: Value | None) -> Value:
        """What the first rank gives; what others give is not looked at."""
        if self.number == 1:
            assert value is not None
            return value
        found: list[Any] = [value]
        self._exchange(lambda: _distributed().broadcast_object_list(found, src=0))
        return found[0]

    def gathered_tensor(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of each rank, in their order; all have one shape and type."""
        if self.number == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.number)]
        self._exchange(lambda: _distributed().all_gather(found, tensor.contiguous()))
        return found

    def any(self, flag: bool) -> bool:
        """Whether any rank says so; all get the same answer."""
        return any(bool(one) for one in self.gathered_tensor(torch.tensor(flag)))

    def _exchange(self, function: Callable[[], object]) -> None:
        """Exchanges something.

        Raises:
            RankLostError: Where another rank is gone or does not answer in time.
        """
        try:
            function()
        except RuntimeError as error:
            raise RankLostError(
                f"rank {self.rank} of {self.number} cannot go on, for another one ended or did not "
                f"answer within {self.timeout_s:g} s ({_first_line(error)}); see what that one "
                "wrote, and go on with --resume"
            ) from error


ALONE = Ranks()
"""A process that trains alone."""


def check_ranks(ranks: Ranks, num_shards: int, device: torch.device) -> None:
    """Raises `RunError` where so many processes cannot share the shards, or not on a device."""
    if ranks.number > 1 and device.type != "cpu":
        raise RunError(
            f"{ranks.number} processes train on the CPU alone, and this would be trained on "
            f"{device}; give --device cpu, or leave out --devices and --nodes"
        )
    if num_shards % ranks.number:
        raise RunError(
            f"the {num_shards} shards of a batch cannot be dealt out evenly to {ranks.number} "
            "processes: their number must divide recipe.num_shards, a power of two; give for "
            f"example --set recipe.num_shards={max(8, 1 << (ranks.number - 1).bit_length())}"
        )


def _distributed() -> Any:
    """Torch's functions for several processes; loading them takes time."""
    import torch.distributed

    return torch.distributed


def timeout_of(seconds: float) -> datetime.timedelta:
    """Seconds as torch wants them."""
    return datetime.timedelta(seconds=seconds)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
