"""`Forecaster`: the next steps of series, with quantiles, from the steps before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells.named import NAMED_CELLS
from rondo.layers import Recurrent, VariationalDropout
from rondo.models.series_steps import Standardise

STEP_SIZE = 8
"""The width of what tells the decoder which step it is at."""


class Forecaster(nn.Module):
    """A loop over the past, a loop over the horizon that goes on from its state, and lines beside.

    Of the context of each window come the mean and deviation of every target, μ and σ, and
    z = (y - μ) / σ. A base b(h) is the value of the season before or the last one, whichever was
    better for the target. Then

        y(h, q) = b(h) + σ (A_h z + B_h k(h) + c_(h, q) + V d(h)_q)

    with k(h) the columns known ahead at step h and where the base is from, and d(h) the state of
    the decoder, which reads k(h), (b(h) - μ) / σ and which step it is at. The lines A, B and c are
    fitted by ridge regression before the training (:meth:`take_lines`), and V starts at zeros; so
    the network starts as that regression, and learns what lines cannot say. Quantiles are sorted.

    Lines beside loops follow Lai et al., "Modeling long- and short-term temporal patterns with deep
    neural networks", 2018, and the figures of each window Salinas et al., "DeepAR", 2020.

    Args:
        cell: The name of the cell in `rondo.cells.named.NAMED_CELLS`.
        columns: The names of the C columns: targets first, those known ahead last.
        num_targets: The number O of targets.
        num_known: The number K of columns known ahead.
        context: The steps L before the horizon.
        horizon: The steps H to forecast.
        quantiles: The quantiles to give, such as (0.1, 0.5, 0.9), in order.
        hidden_size: The hidden size of every cell.
        num_layers: The number of layers of encoder and decoder.
        dropout: The probability of a dropped unit.
        season: The steps of a season; 1 for none.
        told: What else belongs to the weights, such as the names of the columns of id and time.

    Shape:
        x (B, L + H, C): NaN where a value is missing, before the first step of a short series, and
        in the horizon of the columns that are not known ahead; y (B, H, O, Q).

    Example:
        >>> import torch
        >>> from rondo.models.series_forecaster import Forecaster
        >>> model = Forecaster("gru", columns=["sales", "price"], num_targets=1, num_known=1,
        ...                    context=24, horizon=6, quantiles=(0.1, 0.5, 0.9), hidden_size=8)
        >>> y, state = model(torch.randn(3, 30, 2))
        >>> y.shape
        torch.Size([3, 6, 1, 3])
    """

    is_seasonal: Tensor
    least_scale: Tensor

    def __init__(
        self,
        cell: str,
        *,
        columns: Sequence[str],
        num_targets: int,
        num_known: int,
        context: int,
        horizon: int,
        quantiles: Sequence[float],
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        season: int = 1,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.columns, self.told = tuple(columns), dict(told or {})
        self.num_targets, self.num_known = num_targets, num_known
        self.context, self.horizon, self.season = context, horizon, season
        self.quantiles = tuple(quantiles)
        self.standardise = Standardise(len(columns) - num_targets)
        self.step = nn.Parameter(0.1 * torch.randn(horizon, STEP_SIZE))
        read = 2 * num_targets + len(columns) - num_targets
        told_ahead = num_targets + 2 * num_known + STEP_SIZE
        self.encoder, _ = _loops(cell, read, hidden_size, num_layers)
        self.decoder, width = _loops(cell, told_ahead, hidden_size, num_layers)
        self.between, self.dropout = VariationalDropout(dropout), nn.Dropout(dropout)
        self.output = nn.Linear(width, num_targets * len(quantiles))
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.lags = nn.Parameter(torch.zeros(num_targets, horizon, context))
        self.ahead = nn.Parameter(torch.zeros(num_targets, horizon, 2 * num_known))
        self.spread = nn.Parameter(torch.zeros(num_targets, horizon, len(quantiles)))
        self.register_buffer("is_seasonal", torch.full((num_targets,), season > 1))
        self.register_buffer("least_scale", torch.full((num_targets,), 1e-6))

    def forward(
        self, x: Tensor, state: None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """The quantiles of each step of the horizon; there is no state to go on from.

        Args:
            x: Windows (B, L + H, C).
            state: None.
            lengths: None: all windows are as long.
        """
        level, scale = self.level(x)
        z, base, ahead = self.seen(x, level, scale)
        shape = (len(x), self.horizon, self.num_targets, len(self.quantiles))
        found = self._decoded(x, z, base, ahead).view(shape)
        lines = torch.einsum("blo,ohl->bho", z, self.lags)
        lines = lines + torch.einsum("bhk,ohk->bho", ahead, self.ahead)
        found = found + (lines + base)[..., None] + self.spread.transpose(0, 1)
        found = found * scale[..., None] + level[..., None]
        return found.sort(-1).values, None

    def level(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and σ of each target in the context of windows: twice (B, 1, O)."""
        return level_and_scale(x[:, : self.context, : self.num_targets], self.least_scale)

    def seen(self, x: Tensor, level: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Z (B, L, O), the base (B, H, O) in its units, and the columns known ahead (B, H, 2K).

        These are known at the step, and known at the step that the base is from.
        """
        z = (x[:, : self.context, : self.num_targets] - level) / scale
        last, before = self.bases(z)
        base = torch.where(self.is_seasonal, before, last)
        others = self.standardise(x[..., self.num_targets :])
        known = others[..., others.shape[2] - self.num_known :]
        ahead = torch.cat([known[:, self.context :], known[:, self.base_rows()]], -1)
        return z.nan_to_num(0.0), base, ahead

    def bases(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The last value and that of the season before, of z (B, L, O): twice (B, H, O)."""
        last = _last_held(z)[:, -1:].expand(-1, self.horizon, -1).nan_to_num(0.0)
        before = z[:, self.base_rows()]
        return last, torch.where(before.isfinite(), before, last)

    def base_rows(self) -> Tensor:
        """Which steps of the context are a season before those of the horizon (H,)."""
        steps = torch.arange(self.horizon, device=self.step.device)
        return (self.context - self.season + steps % self.season).clamp_min(0)

    @torch.no_grad()
    def take_lines(self, lags: Tensor, ahead: Tensor, spread: Tensor, is_seasonal: Tensor) -> None:
        """Takes A (O, H, L), B (O, H, 2K), c (O, H, Q), and whether b is the season before (O,)."""
        self.lags.copy_(lags)
        self.ahead.copy_(ahead)
        self.spread.copy_(spread)
        self.is_seasonal.copy_(is_seasonal)

    def _decoded(self, x: Tensor, z: Tensor, base: Tensor, ahead: Tensor) -> Tensor:
        """What the loops say of each step of the horizon (B, H, O * Q), in units of σ."""
        past = x[:, : self.context]
        is_there = past[..., : self.num_targets].isfinite().to(z)
        h = torch.cat([z, is_there, self.standardise(past[..., self.num_targets :])], -1)
        states = []
        for layer in self.encoder:
            h, after = layer(h)
            h = self.between(h)
            states.append(after)
        h = torch.cat([base, ahead, self.step.expand(len(x), -1, -1)], -1)
        for layer, before in zip(self.decoder, states, strict=True):
            h, _ = layer(h, before)
            h = self.between(h)
        return self.output(self.dropout(h))


def level_and_scale(y: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean and deviation (B, 1, O) over the steps of y (B, L, O), without NaN.

    The deviation is at least a hundredth of the mean, and not below `least` (O,).
    """
    mean = y.nanmean(1, keepdim=True).nan_to_num(0.0)
    variance = (y - mean).square().nanmean(1, keepdim=True).nan_to_num(0.0)
    return mean, (variance + (0.01 * mean).square() + least.square()).sqrt()


def _last_held(z: Tensor) -> Tensor:
    """Z (B, L, O) with the value before in place of a missing one."""
    places = torch.arange(z.shape[1], device=z.device)[None, :, None]
    last = torch.where(z.isfinite(), places, 0).cummax(1).values
    return z.gather(1, last)


def _loops(cell: str, size: int, hidden_size: int, number: int) -> tuple[nn.ModuleList, int]:
    """Layers of one cell on top of each other, and the width of what the last gives."""
    layers = nn.ModuleList()
    for _ in range(number):
        made = NAMED_CELLS[cell](size, hidden_size)
        layers.append(Recurrent(made))
        size = int(made.output_size)  # type: ignore[arg-type]
    return layers, size
