"""`FinalOutput`: one output for a whole sequence."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rondo.compiler import UnrolledGraph
from rondo.layers.drawn import draw_layer, layer_as_svg
from rondo.layers.recurrent import Recurrent


class FinalOutput(nn.Module):
    """A loop with one output, after the last step of each row.

    y = output(h(T)), where h is the first tensor of the cell's state. Of a ragged batch T is each
    row's own length; a row of no steps gives output(h(0)).

    Args:
        cell: Any cell.
        output: What makes the output of the last state, such as `nn.Linear`.
        batch_first: Whether sequences are (B, T, ...), rather than (T, B, ...).

    Shape:
        x (B, T, ...); y (B, ...) as `output` gives it.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.FinalOutput(rondo.GRUCell(3, 5), torch.nn.Linear(5, 2))
        >>> y, h = layer(torch.randn(4, 7, 3), lengths=torch.tensor([7, 5, 1, 0]))
        >>> y.shape
        torch.Size([4, 2])
    """

    def __init__(self, cell: nn.Module, output: nn.Module, *, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.layer = Recurrent(cell, batch_first=batch_first)
        self.output = output

    def forward(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Run all steps; arguments as for :class:`Recurrent`; the one output and the last state."""
        _, state = self.layer(x, state, lengths=lengths, resets=resets)
        return self.output(pytree.tree_leaves(state)[0]), state

    def unroll(self, num_steps: int) -> UnrolledGraph:
        """The layer without its loop, as an executable graph of T steps; see :class:`Recurrent`.

        Example:
            >>> import torch, rondo
            >>> layer = rondo.FinalOutput(rondo.ElmanCell(3, 5), torch.nn.Linear(5, 2))
            >>> x = torch.randn(2, 4, 3)
            >>> y, h = layer.unroll(4)(x, torch.zeros(2, 5))
            >>> torch.allclose(y, layer(x)[0], atol=1e-6)
            True
        """
        unrolled = self.layer.unroll(num_steps)
        unrolled.add_module("output", self.output)
        end = unrolled.graph.output_node()
        _, state = cast(tuple[Any, Any], end.args[0])
        with unrolled.graph.inserting_before(end):
            y = unrolled.graph.call_module("output", (pytree.tree_leaves(state)[0],))
        end.args = ((y, state),)
        unrolled.graph.eliminate_dead_code()
        unrolled.recompile()
        unrolled.meta["drawing"] = partial(self.draw, steps=num_steps)
        return unrolled

    draw = draw_layer
    _repr_svg_ = layer_as_svg
