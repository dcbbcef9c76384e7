"""`SequenceModel`: loops over sequences with an output at every step, or one at the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells.named import NAMED_CELLS
from rondo.layers import Recurrent


class SequenceModel(nn.Module):
    """Recurrent layers on top of each other, then a linear output.

    h_l = layer_l(h_(l-1)) with h_0 = x, or E[x] where x are symbols; y(t) = V h_L(t) + c at every
    step, or y = V h_L(T) + c after the last step alone. With dropout every h_l(t) loses each unit
    with probability p before it enters the next layer or the output.

    Args:
        cell: The name of the cell in `rondo.cells.named.NAMED_CELLS`.
        input_size: The width of x, or the number of symbols where there is an embedding.
        hidden_size: The hidden size of every cell.
        output_size: The width of y.
        num_layers: The number of layers.
        final: Whether there is one y, after the last step of each row.
        embedding_size: The width of E[x] of symbols x, or None for x that are vectors.
        dropout: p.

    Shape:
        x (B, T, I), or whole numbers (B, T); y (B, T, O), or (B, O) with `final`; state a tuple of
        the layers' states.

    Example:
        >>> import torch
        >>> from rondo.models.sequence_model import SequenceModel
        >>> model = SequenceModel("gru", input_size=3, hidden_size=5, output_size=2, final=True)
        >>> y, state = model(torch.randn(4, 7, 3), lengths=torch.tensor([7, 5, 1, 2]))
        >>> y.shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        cell: str,
        *,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        final: bool = False,
        embedding_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.final = final
        self.embedding: nn.Embedding | None = None
        if embedding_size is not None:
            self.embedding = nn.Embedding(input_size, embedding_size)
            input_size = embedding_size
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            made = NAMED_CELLS[cell](input_size, hidden_size)
            self.layers.append(Recurrent(made))
            input_size = int(made.output_size)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(input_size, output_size)

    def forward(
        self, x: Tensor, state: tuple[Any, ...] | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """The outputs, and the states of the layers after the last step of each row."""
        h = x if self.embedding is None else self.embedding(x)
        states = []
        for number, layer in enumerate(self.layers):
            before = None if state is None else state[number]
            h, after = layer(h, before, lengths=lengths)
            h = self.dropout(h)
            states.append(after)
        if self.final:
            h = h[:, -1] if lengths is None else h[torch.arange(len(h)), lengths - 1]
        return self.output(h), tuple(states)
