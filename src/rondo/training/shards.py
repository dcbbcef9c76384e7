"""Virtual shards: a step as a fold over fixed parts of its batch, whoever computes them.

In goes the batch of a step, out come its parts; in goes what the parts gave, out comes their sum.
The batch is cut into S contiguous parts, S a power of two. Each part gives a sum of losses and a
gradient, and these are added in a fixed binary tree, so the bits of the result depend on S and not
on who computed which part. One process alone computes all parts one after another, which is
gradient accumulation: it takes the memory of B / S examples. Several share them (`ranks.py`).

What a part draws, such as dropout, depends on the step and the part; batch normalisation has the
statistics of the part, and its running figures take a step for each part, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Sums:
    """What a part of a batch gives, or what several parts give together.

    Args:
        loss: The sum of the losses of its examples.
        num_right: The answers that were right, where they are counted.
        gradient: Its gradient by each parameter; None for one that it does not use.
    """

    loss: Tensor
    num_right: float
    gradient: list[Tensor | None]

    @staticmethod
    def taken(loss: Tensor, num_right: float, parameters: Sequence[nn.Parameter]) -> Sums:
        """The gradient that a backward pass left with the parameters; it is taken from them."""
        gradient = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        return Sums(loss, num_right, gradient)

    def plus(self, other: Sums) -> Sums:
        """The sum with what a later part gives; the gradient is added in place."""
        pairs = list(zip(self.gradient, other.gradient, strict=True))
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        if both:
            torch._foreach_add_([a for a, _ in both], [b for _, b in both])
        gradient = [b if a is None else a for a, b in pairs]
        return Sums(self.loss + other.loss, self.num_right + other.num_right, gradient)

    def give(self, parameters: Sequence[nn.Parameter]) -> None:
        """Leaves the gradient with the parameters."""
        for parameter, gradient in zip(parameters, self.gradient, strict=True):
            parameter.grad = gradient


@dataclass(frozen=True)
class Shards:
    """The parts of every batch, and those of them that this process computes.

    Args:
        number: S, a power of two.
        ranks: Who computes them.

    Example:
        >>> import torch
        >>> from rondo.data.batch import Batch
        >>> from rondo.training.shards import Shards
        >>> shards, batch = Shards(4), Batch(torch.zeros(6, 2), torch.arange(6))
        >>> [shards.part(batch, shard).targets.tolist() for shard in shards.mine]
        [[0], [1, 2], [3], [4, 5]]
    """

    number: int
    ranks: Ranks = ALONE

    @property
    def mine(self) -> range:
        """The shards that this process computes, a subtree."""
        return self.ranks.mine(self.number)

    def part(self, batch: Batch, shard: int) -> Batch:
        """The rows of a batch that belong to a shard; parts differ by one row at most."""
        if self.number == 1:
            return batch
        num_rows = len(batch.inputs)
        return batch.rows(shard * num_rows // self.number, (shard + 1) * num_rows // self.number)


def folded(shards: range, sums_of: Callable[[int], Sums | None]) -> Sums | None:
    """Returns ((0 + 1) + (2 + 3)) + ... of what some shards give, a subtree of all.

    A shard that gives None leaves its place empty, and the others keep theirs. As many sums are
    held at a time as the tree is high.

    Args:
        shards: A power of two of them, from a multiple of their number on.
        sums_of: What a shard gives; it is called in the order of the shards.
    """
    if len(shards) == 1:
        return sums_of(shards[0])
    middle = len(shards) // 2
    first, second = folded(shards[:middle], sums_of), folded(shards[middle:], sums_of)
    if first is None or second is None:
        return second if first is None else first
    return first.plus(second)
