"""m-RNN: the next word of a caption, from the words so far and a picture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells.named import NAMED_CELLS
from rondo.layers import Recurrent

FRONT_CHANNELS = (16, 32, 48, 64)
"""The channels of the convolutions that look at a picture, each of which halves it."""

FRONT_GRID = 4
"""The places of the last map, in either direction, that are told apart."""


class MultimodalRNN(nn.Module):
    """Two embedding layers, a recurrent layer, and a layer in which words meet the picture.

    For symbols x(t) and the features I of a picture:
    w(t) = ReLU(E_2 E_1 x(t) + e);  r(t) = cell(w(t), r(t-1));
    m(t) = g(V_w w(t) + V_r r(t) + V_I I + v),  g(a) = 1.7159 tanh(2 a / 3);
    y(t) = U m(t) + u, the logits of the next symbol.

    Mao et al., "Deep captioning with multimodal recurrent neural networks (m-RNN)", 2015 (arXiv
    1412.6632). There r(t) = ReLU(U_r r(t-1) + w(t)) with 256 units, and I is a layer of a network
    trained on ImageNet; here the cell is any, and I is what is given: features, or the pixels of a
    picture, of which four convolutions make features that are learnt too.

    Args:
        num_symbols: The number of symbols.
        picture_shape: (F,) for features, (3, S, S) for pictures, S a multiple of 16 of at least 64.
        cell: The name of the cell in `rondo.cells.named.NAMED_CELLS`.
        hidden_size: The width of the recurrent layer.
        num_layers: Recurrent layers on top of each other.
        embedding_size: The width of w; E_1 is half as wide.
        multimodal_size: The width of m.
        dropout: The share of units dropped in w, r, m and I in training.

    Shape:
        Symbols (B, T), pictures (B, F) or (B, 3, S, S); logits (B, T, symbols).

    Raises:
        ValueError: Where a size is none, or the pictures have another shape; `KeyError` where there
            is no such cell.

    Example:
        >>> import torch
        >>> from rondo.models.multimodal_rnn import MultimodalRNN
        >>> model = MultimodalRNN(50, (300,), hidden_size=16, embedding_size=8, multimodal_size=32)
        >>> words, features = torch.zeros(2, 7, dtype=torch.long), torch.randn(2, 300)
        >>> model(words, pictures=features)[0].shape
        torch.Size([2, 7, 50])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        num_symbols: int,
        picture_shape: tuple[int, ...] | list[int],
        *,
        cell: str = "gru",
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_size: int = 128,
        multimodal_size: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, size, least in (
            ("num_symbols", num_symbols, 2),
            ("hidden_size", hidden_size, 1),
            ("num_layers", num_layers, 1),
            ("embedding_size", embedding_size, 1),
            ("multimodal_size", multimodal_size, 1),
        ):
            if size < least:
                raise ValueError(f"{name} must be at least {least}, got {size}")
        self.picture_shape = tuple(picture_shape)
        inner_size = (embedding_size + 1) // 2
        self.embed = nn.Embedding(num_symbols, inner_size)
        self.to_words = nn.Linear(inner_size, embedding_size)
        layers, before = [], embedding_size
        for _ in range(num_layers):
            made = NAMED_CELLS[cell](before, hidden_size)
            layers.append(Recurrent(made))
            before = int(made.output_size)  # type: ignore[arg-type]
        self.layers = nn.ModuleList(layers)
        self.look, num_features = _front(self.picture_shape)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.from_words = nn.Linear(embedding_size, multimodal_size)
        self.from_state = nn.Linear(before, multimodal_size, bias=False)
        self.from_picture = nn.Linear(num_features, multimodal_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(multimodal_size, num_symbols)

    def fit_features(self, features: Tensor) -> None:
        """Brings features to mean 0 and deviation 1 from now on, by those of training pictures."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(1e-6))

    def forward(
        self,
        words: Tensor,
        state: tuple[Any, ...] | None = None,
        *,
        pictures: Tensor,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """The logits of the next symbol after every step, and the state of each layer.

        Args:
            words: The symbols so far (B, T).
            state: The state of each layer before the first of them, or None.
            pictures: What is told of: (B, F) or (B, 3, S, S).
            lengths: (B,) the symbols of each row, or None where all have T.
        """
        return self.next_words(words, state, seen=self.seen(pictures), lengths=lengths)

    def seen(self, pictures: Tensor) -> Tensor:
        """What the words meet of pictures (B, F) or (B, 3, S, S), V_I I: (B, multimodal_size)."""
        if pictures.shape[1:] != self.picture_shape:
            raise ValueError(
                f"pictures must be (B, {', '.join(map(str, self.picture_shape))}), got "
                f"{tuple(pictures.shape)}"
            )
        features = (self.look(pictures.float()) - self.mean) / self.deviation
        of_picture: Tensor = self.from_picture(self.dropout(features))
        return of_picture

    def next_words(
        self,
        words: Tensor,
        state: tuple[Any, ...] | None = None,
        *,
        seen: Tensor,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """What `forward` returns, from what was `seen` of the pictures before."""
        w = self.dropout(self.to_words(self.embed(words)).relu())
        r, states = w, []
        for number, layer in enumerate(self.layers):
            before = None if state is None else state[number]
            r, after = layer(r, before, lengths=lengths)
            r = self.dropout(r)
            states.append(after)
        m = self.from_words(w) + self.from_state(r) + seen[:, None]
        m = 1.7159 * torch.tanh(m * (2 / 3))
        logits: Tensor = self.output(self.dropout(m))
        return logits, tuple(states)


def _front(shape: tuple[int, ...]) -> tuple[nn.Module, int]:
    """What makes features of what is given, and how many."""
    if len(shape) == 1 and shape[0] > 0:
        return nn.Identity(), shape[0]
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or shape[1] % 16 or shape[1] < 64:
        raise ValueError(
            "picture_shape must be (F,), or (3, S, S) with S a multiple of 16 of at least 64, got "
            f"{shape}"
        )
    steps: list[nn.Module] = [nn.BatchNorm2d(3)]
    before = 3
    for channels in FRONT_CHANNELS:
        steps += [
            nn.Conv2d(before, channels, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        before = channels
    steps += [nn.AdaptiveAvgPool2d(FRONT_GRID), nn.Flatten()]
    return nn.Sequential(*steps), before * FRONT_GRID**2
