"""Steps that fold a row, take it apart and put it together again, as data."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

import rondo

SIZE = 8
F = nn.functional

View = Callable[[Tensor], Tensor]

VIEWS: dict[str, View] = {
    "itself": lambda a: a.view(a.shape),
    "rest": lambda a: a.reshape(a.shape[0], -1),
    "rows": lambda a: a.view(-1, SIZE),
    "grouped": lambda a: a.unflatten(-1, (2, 4)).flatten(1),
    "grouped twice": lambda a: a.view(-1, 2, 4).view(-1, 4, 2).view(-1, 2, 2, 2).reshape(-1, SIZE),
    "squeezed": lambda a: a.unsqueeze(1).squeeze(1),
    "singles": lambda a: a.view(-1, 1, SIZE, 1).squeeze(3).squeeze(1),
    "transposed": lambda a: a.view(-1, 2, 4).transpose(1, 2).reshape(-1, SIZE),
    "transposed and back": lambda a: a.view(-1, 2, 4).mT.contiguous().mT.flatten(1),
    "permuted": lambda a: a.view(-1, 2, 2, 2).permute(0, 3, 1, 2).flatten(1),
    "rows inside": lambda a: a.view(-1, 2, 4).transpose(0, 1).tanh().transpose(0, 1).flatten(1),
    "selected": lambda a: torch.stack([a.view(-1, 2, 4)[:, i] for i in (-1, 0)], 2).flatten(1),
    "sliced": lambda a: torch.cat([a[:, ::2], a[:, 1::2]], 1),
    "sliced twice": lambda a: torch.cat([a[:, 1:][:, ::3], a[:, 3:]], 1),
    "every other": lambda a: a[:, ::2].reshape(-1, 4).repeat(1, 2),
    "joined": lambda a: torch.cat(a.chunk(4, -1)[::-1], -1),
    "joined in groups": lambda a: torch.cat(a.view(-1, 4, 2).unbind(1)[::-1], -1),
    "expanded": lambda a: a[:, :2].unsqueeze(2).expand(-1, 2, 4).reshape(-1, SIZE),
    "expanded in front": lambda a: a[:, :2].unsqueeze(1).expand(-1, 4, 2).flatten(1),
    "one for all": lambda a: a[:, 3:4].expand(-1, SIZE),
    "moved": lambda a: a.view(-1, 2, 4).movedim(2, 1).flatten(1),
    "of sums": lambda a: a.view(-1, 2, 4).sum(1).view(-1, 2, 2).repeat(1, 1, 2).flatten(1),
    "less the largest": lambda a: (a.view(-1, 2, 4) - a.view(-1, 2, 4).amax(2, True)).flatten(1),
    "normalised": lambda a: torch.softmax(a.view(-1, 4, 2), 1).view(a.shape),
    "layer norm": lambda a: F.layer_norm(a.view(-1, 2, 4), (4,)).view(-1, SIZE),
}  # fmt: skip
"""What is done to a row of `SIZE` numbers; out come as many."""


class Viewed(rondo.Cell):
    """Two states; the values of the step that are named in `of` are seen through a view."""

    def __init__(self, view: View, of: Collection[str]) -> None:
        super().__init__(SIZE, SIZE, (SIZE, SIZE))
        self.view, self.of = view, frozenset(of)
        self.U, self.W = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.V = nn.Parameter(torch.randn(SIZE, SIZE) / 2)

    def seen(self, of: str, value: Tensor) -> Tensor:
        return self.view(value) if of in self.of else value

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        product = self.seen("product", self.W(self.seen("factor", h * 1.5)))
        arithmetic = self.seen("arithmetic", torch.tanh(h - 0.3 * c))
        new = torch.tanh(self.seen("x", x) + self.U(x) + product + self.seen("state", c))
        new = new * self.seen("arithmetic of x", x.sigmoid() * 2) + arithmetic
        c = 0.5 * c + self.seen("two values", new) * self.seen("two values", h)
        output = self.seen("output", new * 2) + self.seen("factor of the output", new) @ self.V
        return output, (self.seen("next state", new), c)


PLACES = [
    *("x", "state", "factor", "product", "arithmetic", "arithmetic of x", "two values"),
    *("output", "factor of the output", "next state"),
]
"""Values of the step that may be seen through a view."""
