"""All steps of a packed batch as a grid (T, B): time first, in the order in which the steps run.

Rows of a ragged batch begin or end between the first and the last step; where a row has no step,
its place in the grid waits, and keeps its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from rondo.compiler.cached import cached_property
from rondo.compiler.reference import Steps


@dataclass(frozen=True)
class Trajectory:
    """Where the packed rows of a batch lie in the grid.

    Args:
        steps: The steps.
        batch_size: The rows B of a state, also those without any step.
        device: Where the tensors are.
    """

    steps: Steps
    batch_size: int
    device: torch.device

    @cached_property
    def row_of_batch(self) -> Tensor:
        """(N,) the row of the batch of each packed row."""
        pieces = [torch.arange(size, device="cpu") for size in self.steps.batch_sizes]
        return torch.cat(pieces).to(self.device)

    @cached_property
    def place(self) -> Tensor:
        """(N,) where each packed row lies in the grid, counted row by row."""
        sizes = torch.tensor(self.steps.batch_sizes, device="cpu")
        numbers = torch.arange(len(sizes), device="cpu")
        if self.steps.reverse:
            numbers = numbers.flip(0)
        time = numbers.repeat_interleave(sizes).to(self.device)
        return time * self.batch_size + self.row_of_batch

    @cached_property
    def last_rows(self) -> Tensor:
        """The packed row of the last step to run of each row of the batch that has a step."""
        if self.steps.reverse:
            return torch.arange(self.steps.batch_sizes[0], device=self.device)
        last = torch.zeros(self.steps.batch_sizes[0], dtype=torch.long, device=self.device)
        numbers = torch.arange(self.steps.num_rows, device=self.device)
        return last.scatter_reduce(0, self.row_of_batch, numbers, "amax")

    def spread(self, rows: Tensor, waiting: Tensor) -> Tensor:
        """Packed rows (N, ...) as a grid (T, B, ...), with some value in the places that wait."""
        num_steps = len(self.steps.batch_sizes)
        if self.steps.num_rows == num_steps * self.batch_size and not self.steps.reverse:
            return rows.view(num_steps, self.batch_size, *rows.shape[1:])
        grid = waiting.expand(num_steps * self.batch_size, *rows.shape[1:]).clone()
        grid[self.place] = rows
        return grid.view(num_steps, self.batch_size, *rows.shape[1:])

    def gather(self, grid: Tensor) -> Tensor:
        """The packed rows (N, ...) of a grid (T, B, ...)."""
        return grid.flatten(0, 1)[self.place]


@dataclass(frozen=True)
class Vectors:
    """The state of a row as vectors: one of all its numbers, or one for each place.

    Args:
        sizes: The sizes of each tensor of the state, without the rows.
        whole: Whether all numbers are one vector (N, 1, D). Otherwise the tensors have equal sizes,
            and the numbers in the same place of each of them are a vector, (N, places, tensors).
    """

    sizes: tuple[tuple[int, ...], ...]
    whole: bool

    @property
    def length(self) -> int:
        """The numbers in a vector."""
        return sum(map(prod, self.sizes)) if self.whole else len(self.sizes)

    def join(self, state: Sequence[Tensor]) -> Tensor:
        """The vectors of a state (N, ...)."""
        flat = [value.reshape(len(value), -1) for value in state]
        return torch.cat(flat, 1)[:, None] if self.whole else torch.stack(flat, -1)

    def split(self, vectors: Tensor) -> list[Tensor]:
        """The state of vectors, laid out as the steps of a loop leave it."""
        if self.whole:
            flat = vectors.squeeze(1).split([prod(sizes) for sizes in self.sizes], 1)
        else:
            flat = vectors.unbind(-1)
        return [
            value.reshape(len(value), *sizes).contiguous()
            for value, sizes in zip(flat, self.sizes, strict=True)
        ]
