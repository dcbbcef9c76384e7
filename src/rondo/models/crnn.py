"""CRNN: reads the word in a picture without cutting it into characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from rondo.cells.named import NAMED_CELLS
from rondo.layers import Bidirectional

PICTURE_HEIGHT = 32
"""The height of all pictures in pixels."""

PIXELS_PER_STEP = 4
"""Columns of a picture that become one step; widths are multiples of it."""

LEAST_WIDTH = 2 * PIXELS_PER_STEP
"""The least width of a picture in pixels."""

GROWTH = (1, 2, 4, 4, 8, 8, 8)
"""Channels of the seven convolutions, as multiples of those of the first."""

POOLS = {0: (2, 2), 1: (2, 2), 3: (2, 1), 5: (2, 1)}
"""Height and width of the maximum after a convolution, by its number from 0."""


def num_steps(widths: Tensor) -> Tensor:
    """Returns the steps that pictures of such widths, in pixels, become: W / 4 - 1."""
    return torch.div(widths, PIXELS_PER_STEP, rounding_mode="floor") - 1


class CRNN(nn.Module):
    """Convolutions, then recurrent layers in both directions over the columns of their map.

    Seven convolutions make of a picture of 32 x W pixels a map of 1 x T places, T = W/4 - 1, which
    is a sequence: x(t) holds the channels of place t. Over it run L recurrent layers,
    h_l(t) = A_l [h→_l(t), h←_l(t)] + a_l, the last of which gives the logits of K characters and
    the blank, number 0. `rondo.models.ctc` trains it
    and reads its logits.

    Shi, Bai & Yao, "An end-to-end trainable neural network for image-based sequence recognition",
    2015 (arXiv 1507.05717), whose sizes are `channels=64, hidden_size=256`. Here every convolution
    is normalised over the batch, where the paper normalises two of them; each picture is brought
    to mean 0 and deviation 1, where the paper takes (x - 128) / 128; and the cell is any.

    A picture's logits depend on no other one and not on padding in evaluation; in training the
    statistics of the normalisation are those of the whole padded batch.

    Args:
        num_classes: K + 1, the characters and the blank.
        cell: The name of the cell in `rondo.cells.named.NAMED_CELLS`.
        hidden_size: The hidden size of every cell.
        num_layers: L.
        channels: Channels of the first convolution; the others have 2, 4, 4, 8, 8 and 8 times
            as many.
        dropout: The share of units dropped before every recurrent layer and before the logits.

    Shape:
        Pictures (B, W, 32), grey values 0 to 255 column by column, W a multiple of 4 and at least
        8; logits (B, W/4 - 1, K + 1).

    Raises:
        ValueError: Where sizes or pictures are others; `KeyError` where there is no such cell.

    Example:
        >>> import torch
        >>> from rondo.models.crnn import CRNN
        >>> model = CRNN(37, channels=8, hidden_size=16)
        >>> logits, _ = model(torch.rand(2, 100, 32), lengths=torch.tensor([100, 60]))
        >>> logits.shape, model.num_steps(torch.tensor([100, 60]))
        (torch.Size([2, 24, 37]), tensor([24, 14]))
    """

    num_steps = staticmethod(num_steps)

    def __init__(
        self,
        num_classes: int,
        *,
        cell: str = "lstm",
        hidden_size: int = 256,
        num_layers: int = 2,
        channels: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes - 1, "hidden_size": hidden_size,
                 "num_layers": num_layers, "channels": channels}  # fmt: skip
        for name, size in sizes.items():
            if size < 1:
                least = 2 if name == "num_classes" else 1
                raise ValueError(f"{name} must be at least {least}, got {size + least - 1}")
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        before = 1
        for number, growth in enumerate(GROWTH):
            is_last = number == len(GROWTH) - 1
            kernel, padding = (2, 0) if is_last else (3, 1)
            after = growth * channels
            self.convolutions.append(nn.Conv2d(before, after, kernel, padding=padding, bias=False))
            self.norms.append(nn.BatchNorm2d(after))
            before = after
        self.dropout = nn.Dropout(dropout)
        self.layers, self.joins = nn.ModuleList(), nn.ModuleList()
        for number in range(num_layers):
            cells = [NAMED_CELLS[cell](before, hidden_size) for _ in range(2)]
            self.layers.append(Bidirectional(*cells))
            after = hidden_size if number < num_layers - 1 else num_classes
            width = sum(cast(int, one.output_size) for one in cells)
            self.joins.append(nn.Linear(width, after))
            before = after

    def forward(
        self,
        pictures: Tensor,
        state: tuple[Any, ...] | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """The logits, and an empty state: pictures do not go on.

        Args:
            pictures: (B, W, 32), grey values 0 to 255; what lies beyond the lengths is not read.
            state: None or empty.
            lengths: (B,) the width of each picture, a multiple of 4 of at least 8. Default W.
        """
        _check(pictures, lengths)
        if lengths is not None and bool((lengths == pictures.shape[1]).all()):
            lengths = None  # nothing is padded
        x = self.dropout(self.columns(pictures, lengths))
        steps = None if lengths is None else num_steps(lengths)
        for number, (layer, join) in enumerate(zip(self.layers, self.joins, strict=True)):
            x, _ = layer(self.dropout(x) if number else x, lengths=steps)
            x = join(self.dropout(x) if join is self.joins[-1] else x)
        return x, ()

    @torch.no_grad()
    def take_weights(self, other: CRNN, outputs: Mapping[int, int]) -> None:
        """Takes the weights of another network, and of its outputs those that are named.

        Args:
            other: A network of the same cell and sizes; its classes may be others.
            outputs: From the numbers of outputs here to those of the same characters there;
                outputs that are not named stay as they are.

        Raises:
            ValueError: Where a weight is missing there or has another shape.
        """
        mine, theirs = self.state_dict(), other.state_dict()
        last = f"joins.{len(self.joins) - 1}."
        kept = {name: value for name, value in mine.items() if not name.startswith(last)}
        for name, value in kept.items():
            if name not in theirs or theirs[name].shape != value.shape:
                there = tuple(theirs[name].shape) if name in theirs else "missing"
                raise ValueError(f"{name} must be {tuple(value.shape)}, but is {there} there")
        to, of = list(outputs), list(outputs.values())
        for name, value in mine.items():
            if name in kept:
                value.copy_(theirs[name])
            else:
                value[to] = theirs[name][of]

    def columns(self, pictures: Tensor, widths: Tensor | None) -> Tensor:
        """The sequences that the convolutions make of pictures (B, W, 32): (B, W/4 - 1, C).

        Without widths none is padded.
        """
        widths = None if widths is None else widths.to(pictures.device)
        x = _normalised(pictures.float(), widths).transpose(1, 2)[:, None]
        for number, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = norm(convolution(x)).relu()
            if number in POOLS:
                window = POOLS[number]
                x = nn.functional.max_pool2d(x, window)
                widths = None if widths is None else widths // window[1]
            if widths is not None and number < len(self.convolutions) - 1:
                x = x * _inside(widths, x.shape[3])[:, None, None]
        return x.squeeze(2).transpose(1, 2)


def _normalised(pictures: Tensor, widths: Tensor | None) -> Tensor:
    """Every picture with mean 0 and deviation 1 (a flat one stays 0), and zeros beyond it."""
    if widths is None:
        widths = torch.full((len(pictures),), pictures.shape[1], device=pictures.device)
    inside = _inside(widths, pictures.shape[1])[:, :, None]
    pictures = torch.where(inside, pictures, 0.0)
    counts = widths.to(pictures) * pictures.shape[2]
    mean = pictures.sum((1, 2)) / counts
    centred = torch.where(inside, pictures - mean[:, None, None], 0.0)
    deviation = (centred.square().sum((1, 2)) / counts).sqrt()
    return centred / (deviation[:, None, None] + 1.0)


def _inside(widths: Tensor, width: int) -> Tensor:
    """Whether a column belongs to the picture (B, W)."""
    return torch.arange(width, device=widths.device) < widths[:, None]


def _check(pictures: Tensor, widths: Tensor | None) -> None:
    if pictures.ndim != 3 or pictures.shape[2] != PICTURE_HEIGHT:
        raise ValueError(
            f"pictures must be (B, W, {PICTURE_HEIGHT}), columns of {PICTURE_HEIGHT} pixels, got "
            f"{tuple(pictures.shape)}"
        )
    given = torch.tensor([pictures.shape[1]]) if widths is None else widths
    if bool((given % PIXELS_PER_STEP != 0).any() or (given < LEAST_WIDTH).any()) or (
        bool((given > pictures.shape[1]).any())
    ):
        raise ValueError(
            f"widths must be multiples of {PIXELS_PER_STEP} from {LEAST_WIDTH} to the W of the "
            f"pictures, {pictures.shape[1]}, got {given.tolist()}"
        )
