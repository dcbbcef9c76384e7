"""Layers made of several loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rondo.cells.cell import check_choice
from rondo.layers.drawn import draw_layer, layer_as_svg
from rondo.layers.recurrent import Recurrent

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: torch.cat([a, b], -1),
    "sum": torch.add,
    "mean": lambda a, b: (a + b) / 2,
    "product": torch.mul,
}
"""How the outputs of two directions become one."""


class Bidirectional(nn.Module):
    """Two loops over the same sequences, one from each end, their outputs merged.

    y(t) = [y→(t), y←(t)], or the sum, mean or product of the two. Each direction has a cell of its
    own; nothing is shared. A ragged row runs backward from its own last step.

    Schuster & Paliwal, "Bidirectional recurrent neural networks", 1997.

    Args:
        forward_cell: The cell that runs from the first step to the last.
        backward_cell: The cell that runs from the last step to the first.
        merge: "concat", side by side; "sum"; "mean"; or "product", element by element.
        batch_first: Whether sequences are (B, T, ...), rather than (T, B, ...).
        checkpoint_every: Of which steps to keep the state alone; see :class:`Recurrent`.

    Shape:
        x (B, T, ...); y (B, T, forward output + backward output), or (B, T, output) where they are
        not side by side; state a pair of states.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Bidirectional(rondo.ElmanCell(3, 5), rondo.ElmanCell(3, 5))
        >>> y, (h_forward, h_backward) = layer(torch.randn(2, 7, 3))
        >>> y.shape, bool((y[:, 0, 5:] == h_backward).all())
        (torch.Size([2, 7, 10]), True)
    """

    def __init__(
        self,
        forward_cell: nn.Module,
        backward_cell: nn.Module,
        *,
        merge: str = "concat",
        batch_first: bool = True,
        checkpoint_every: int | Literal["auto"] | None = None,
    ) -> None:
        super().__init__()
        if forward_cell is backward_cell:
            raise ValueError("the two directions need a cell each, got the same cell twice")
        check_choice("merge", merge, MERGES)
        self.merge = merge
        self.forward_layer = Recurrent(
            forward_cell, batch_first=batch_first, checkpoint_every=checkpoint_every
        )
        self.backward_layer = Recurrent(
            backward_cell,
            batch_first=batch_first,
            reverse=True,
            checkpoint_every=checkpoint_every,
        )

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: tuple[Any, Any] | None = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
        return_states: bool = False,
    ) -> tuple[Any, ...]:
        """Run both directions; as for :class:`Recurrent`, but every state is a pair."""
        before_first, after_last = (None, None) if state is None else state
        how: dict[str, Any] = {
            "lengths": lengths,
            "resets": resets,
            "return_states": return_states,
        }
        forward, *of_forward = self.forward_layer(x, before_first, **how)
        backward, *of_backward = self.backward_layer(x, after_last, **how)
        return self._merged(forward, backward), *zip(of_forward, of_backward, strict=True)

    draw = draw_layer
    _repr_svg_ = layer_as_svg

    def extra_repr(self) -> str:
        """What differs from the defaults, as torch prints it."""
        return "" if self.merge == "concat" else f"merge={self.merge!r}"

    def _merged(self, a: Any, b: Any) -> Any:
        if isinstance(a, PackedSequence):
            return a._replace(data=self._merged(a.data, b.data))
        if self.merge != "concat" and a.shape[-1] != b.shape[-1]:
            raise ValueError(
                f"merge={self.merge!r} needs two outputs of one width, got {a.shape[-1]} forward "
                f"and {b.shape[-1]} backward"
            )
        return MERGES[self.merge](a, b)
