"""`SeriesModel`: one answer for a whole series: the class that it is of, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d

from rondo.cells.named import NAMED_CELLS
from rondo.layers import Bidirectional, Recurrent, VariationalDropout
from rondo.models.series_steps import Standardise, both_views, real_steps

FIRST_KERNELS = (5, 11, 23, 39)
"""The steps that the kernels of the first convolutions see, side by side."""

NEXT_KERNELS = (5, 3)
"""The steps that the convolutions after them see."""


class SeriesModel(nn.Module):
    """Convolutions over the steps, recurrent layers on them, and a linear output of both.

    Each column is seen twice: by the figures of the training series, z = (x - μ) / σ, a missing
    value as 0, and brought to mean 0 and deviation 1 within each series. g_1 are convolutions of
    several sizes side by side, g_2 and g_3 one each, all with batch normalisation and a ReLU; after
    g_1 the mean of `stride` steps becomes one, so that loops need not run over thousands.
    h_l = layer_l(h_(l-1)) over h_0 = g_3. The answer is linear in the means and largest values over
    the steps of g_1, g_2, g_3 and h_L; numbers are scaled as in training. With dropout h_l loses
    the same units at all steps of a series, and the output loses some of what it reads.

    Convolutions beside loops follow Karim et al., "LSTM fully convolutional networks for time
    series classification", 2018, and sizes side by side Ismail Fawaz et al., "InceptionTime", 2020;
    here the loops run over what the convolutions find, and both ways.

    Args:
        cell: The name of the cell in `rondo.cells.named.NAMED_CELLS`.
        columns: The names of the C columns that it reads.
        output_size: The number of classes, or of numbers to predict.
        hidden_size: The hidden size of every cell.
        num_layers: The number of recurrent layers.
        channels: The channels of the convolutions.
        dropout: The probability of a dropped unit.
        stride: The steps that become one after the first convolution.
        bidirectional: Whether each layer also runs from the last step to the first.
        told: What else belongs to the weights, such as the names of the columns of id and time.

    Shape:
        x (B, T, C), NaN for a missing value; y (B, output_size).

    Example:
        >>> import torch
        >>> from rondo.models.series_model import SeriesModel
        >>> model = SeriesModel("gru", columns=["ax", "ay"], output_size=3, hidden_size=8)
        >>> y, state = model(torch.randn(4, 20, 2), lengths=torch.tensor([20, 3, 1, 7]))
        >>> y.shape
        torch.Size([4, 3])
    """

    output_mean: Tensor
    output_scale: Tensor

    def __init__(
        self,
        cell: str,
        *,
        columns: Sequence[str],
        output_size: int,
        hidden_size: int,
        num_layers: int = 1,
        channels: int = 64,
        dropout: float = 0.0,
        stride: int = 1,
        bidirectional: bool = True,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.columns, self.told = tuple(columns), dict(told or {})
        self.stride = stride
        self.standardise = Standardise(len(columns))
        self.convolutions = nn.ModuleList(
            [StepsConvolution(2 * len(columns), channels, FIRST_KERNELS)]
        )
        for kernel in NEXT_KERNELS:
            self.convolutions.append(StepsConvolution(channels, channels, (kernel,)))
        size = channels
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            cells: list[Any] = [
                NAMED_CELLS[cell](size, hidden_size) for _ in range(1 + bidirectional)
            ]
            self.layers.append(Bidirectional(*cells) if bidirectional else Recurrent(*cells))
            size = len(cells) * cells[0].output_size
        self.between = VariationalDropout(dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * (len(self.convolutions) * channels + size), output_size)
        self.register_buffer("output_mean", torch.zeros(output_size))
        self.register_buffer("output_scale", torch.ones(output_size))

    def forward(
        self, x: Tensor, state: None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """The answer for each series; there is no state to go on from.

        Args:
            x: Series (B, T, C).
            state: None.
            lengths: (B,) the steps of each row; default T for all.
        """
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1])
        g, found = both_views(self.standardise(x), lengths), list[Tensor]()
        for number, convolution in enumerate(self.convolutions):
            g = convolution(g, lengths)
            found += _pooled(g, lengths)
            if number == 0 and self.stride > 1:
                g, lengths = _shortened(g, lengths, self.stride)
        h = g
        for layer in self.layers:
            h, _ = layer(h, None, lengths=lengths)
            h = self.between(h)
        features = torch.cat([*found, *_pooled(h, lengths)], -1)
        return self.output(self.dropout(features)) * self.output_scale + self.output_mean, None

    @torch.no_grad()
    def fit_input(self, steps: Tensor) -> None:
        """Takes mean and deviation of the columns from steps (N, C) of training series."""
        self.standardise.fit(steps)

    @torch.no_grad()
    def fit_output(self, targets: Tensor) -> None:
        """Takes mean and deviation of the numbers to predict from those (N, K) of training."""
        self.output_mean.copy_(targets.mean(0))
        deviation = targets.std(0, correction=0)
        self.output_scale.copy_(torch.where(deviation > 0, deviation, 1.0))


class StepsConvolution(nn.Module):
    """Convolutions over steps side by side, batch normalisation over the real ones, and a ReLU.

    Args:
        input_size: The width of a step.
        channels: That of the output.
        kernels: The steps that the convolutions see, odd numbers; each makes a share of
            the channels.

    Shape:
        x (B, T, input); y (B, T, channels), zeros in the padding.
    """

    def __init__(self, input_size: int, channels: int, kernels: Sequence[int]) -> None:
        super().__init__()
        parts = [channels // len(kernels)] * len(kernels)
        parts[0] += channels - sum(parts)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(input_size, part, kernel, padding=kernel // 2, bias=False)
            for part, kernel in zip(parts, kernels, strict=True)
        )
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The features of the steps."""
        is_real = real_steps(x, lengths)
        x = (x * is_real[..., None]).transpose(1, 2)
        y = torch.cat([one(x) for one in self.convolutions], 1).transpose(1, 2)
        found = y.new_zeros(y.shape)
        steps = y[is_real]
        found[is_real] = self.norm(steps).relu() if len(steps) > 1 or not self.training else steps
        return found


def _shortened(x: Tensor, lengths: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The means of every `stride` steps, the last perhaps of fewer, and the new lengths."""
    is_real = real_steps(x, lengths).to(x)[:, None]
    sums = avg_pool1d(x.transpose(1, 2), stride, ceil_mode=True, count_include_pad=False)
    share = avg_pool1d(is_real, stride, ceil_mode=True, count_include_pad=False)
    means = sums / share.clamp_min(1e-6)
    return means.transpose(1, 2), (lengths + stride - 1) // stride


def _pooled(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the largest value of each channel over the real steps."""
    is_real = real_steps(x, lengths)[..., None]
    count = lengths.to(x)[:, None].clamp_min(1)
    largest = x.masked_fill(~is_real, -torch.inf).amax(1)
    mean = x.masked_fill(~is_real, 0).sum(1) / count
    return mean, largest.masked_fill(~largest.isfinite(), 0)
