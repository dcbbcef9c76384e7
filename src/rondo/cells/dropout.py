"""Dropout within a loop, as cells around a cell.

Every one of them leaves the loop to the fast engines, because none draws within it:

- a mask that is the same at every step is a part of the state that does not change, drawn by
  `initial_state` (:class:`VariationalCell`). So it follows the rows of the batch, stays when the
  state is carried from one call to the next, and is there to see and to set;
- a mask that is new at every step depends on nothing, so the plan draws it before the loop, for all
  steps at once (:class:`ZoneoutCell`);
- a mask on weights is drawn before the run and multiplied with them there (`rondo.DropConnect`).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.utils import _pytree as pytree

from rondo.cells.cell import State, check_share, state_of_rows


class VariationalCell(nn.Module):
    """Dropout on what enters the recurrent product, the same at every step of a sequence.

    (y(t), s(t)) = cell(x(t), s(t-1)) with m h(t-1) in the place of h(t-1) in its products; m is 0
    with probability p and otherwise 1 / (1 - p), one number for each row and unit. In `eval` mode m
    is left out.

    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", 2016, with one mask for all gates. What the cell carries on past its products, as a
    GRU does with z h(t-1), is not masked. For x and y use :class:`rondo.VariationalDropout`.

    The mask is the second part of the state, drawn by `initial_state` and carried on unchanged; a
    row that is reset keeps its mask.

    Args:
        cell: An `ElmanCell`, `LSTMCell`, `GRUCell`, or any whose `forward(x, state, mask)`
            multiplies h by the mask where it enters a product.
        p: The probability of a zero, at least 0 and less than 1.

    Shape:
        As for the cell, but the state (state of the cell, mask (B, H)).

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Recurrent(rondo.VariationalCell(rondo.GRUCell(3, 5), 0.5))
        >>> y, (h, mask) = layer(torch.randn(2, 7, 3))
        >>> mask.shape, set(mask.flatten().tolist()) <= {0.0, 2.0}
        (torch.Size([2, 5]), True)
    """

    def __init__(self, cell: nn.Module, p: float = 0.5) -> None:
        super().__init__()
        if "mask" not in inspect.signature(cell.forward).parameters:
            raise ValueError(
                "the cell must take a mask in forward(x, state, mask), which "
                f"{type(cell).__name__} does not"
            )
        check_share("p", p)
        self.cell, self.p = cell, p
        self.input_size = getattr(cell, "input_size", None)
        self.output_size = getattr(cell, "output_size", None)

    def initial_state(self, batch_size: int) -> tuple[State, Tensor]:
        """The initial state of the cell, and new masks."""
        state = state_of_rows(self.cell, batch_size)
        ones = torch.ones_like(pytree.tree_leaves(state)[0])
        return state, dropout(ones, self.p, self.training)

    def forward(self, x: Tensor, state: tuple[State, Tensor]) -> tuple[Tensor, Any]:
        """One step: the output of the cell, its new state and the same mask."""
        inner, mask = state
        y, inner = self.cell(x, inner, mask if self.training else None)
        return y, (inner, mask)

    def extra_repr(self) -> str:
        """The probability, as torch prints it."""
        return f"p={self.p}"


class ZoneoutCell(nn.Module):
    """Some units keep their state for a step, each drawn anew at every step.

    s(t) = d s(t-1) + (1 - d) s'(t), where (y(t), s'(t)) = cell(x(t), s(t-1)) and d is 1 with
    probability p, else 0. In `eval` mode d is p. The output is that of the cell; where that is a
    part of its new state, it is that part of s(t).

    Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", 2017,
    who take p = 0.05 for h and 0.5 for c in LSTMs of characters.

    Args:
        cell: Any cell.
        p: The probability that a unit keeps its state, at least 0 and less than 1; or one for each
            tensor of the state, such as `(0.05, 0.5)` for h and c.

    Shape:
        As for the cell.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Recurrent(rondo.ZoneoutCell(rondo.LSTMCell(3, 5), (0.05, 0.5)))
        >>> y, (h, c) = layer(torch.randn(2, 7, 3))
        >>> bool((y[:, -1] == h).all())
        True
    """

    def __init__(self, cell: nn.Module, p: float | Sequence[float] = 0.1) -> None:
        super().__init__()
        self.cell, self.p = cell, p
        count = len(pytree.tree_leaves(state_of_rows(cell, 1)))
        self.probabilities = tuple(p) if isinstance(p, Sequence) else (p,) * count
        for probability in self.probabilities:
            check_share("p", probability)
        if len(self.probabilities) != count:
            raise ValueError(
                f"p must be one number or one for each of the {count} tensors of the state, "
                f"got {p!r}"
            )
        self.input_size = getattr(cell, "input_size", None)
        self.output_size = getattr(cell, "output_size", None)

    def initial_state(self, batch_size: int) -> State:
        """The initial state of the cell."""
        return state_of_rows(self.cell, batch_size)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: the output and the new state of the cell."""
        y, new = self.cell(x, state)
        old_leaves = pytree.tree_leaves(state)
        new_leaves, form = pytree.tree_flatten(new)
        leaves = self._zoned(old_leaves, new_leaves)
        zoned = zip(new_leaves, leaves, strict=True)
        y = next((after for before, after in zoned if y is before), y)
        return y, pytree.tree_unflatten(leaves, form)

    def _zoned(self, old: list[Tensor], new: list[Tensor]) -> list[Tensor]:
        three = list(zip(old, new, self.probabilities, strict=True))
        if not self.training:
            return [p * a + (1 - p) * b for a, b, p in three]
        widths = [a.shape[1:].numel() for a in old]
        # One draw for all, and of given sizes: `rand_like(a)` would read the state.
        drawn = torch.rand(old[0].shape[0], sum(widths), dtype=old[0].dtype, device=old[0].device)
        parts = drawn.split(widths, 1)
        return [
            torch.where(part.view(a.shape) < p, a, b)
            for part, (a, b, p) in zip(parts, three, strict=True)
        ]

    def extra_repr(self) -> str:
        """The probabilities, as torch prints them."""
        return f"p={self.p}"
