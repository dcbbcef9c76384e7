"""Series that the program draws, the same at every call: noisy waves, and sales of shops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rondo.data.seeds import generator_for
from rondo.data.splits import MAIN_SPLITS
from rondo.tasks.series.form import Found, Roles, Series

DRAWN = "drawn"
"""The word that stands for series that the program draws."""

NUM_DRAWN = {"train": 160, "val": 40, "test": 80}
"""How many waves each split has."""

NUM_SHOPS, NUM_MONTHS = 12, 108
"""How many shops are drawn, and for how many months."""

SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sine": lambda phase: np.sin(2 * np.pi * phase),
    "square": lambda phase: np.sign(np.sin(2 * np.pi * phase)),
    "triangle": lambda phase: 4 * np.abs(phase % 1 - 0.5) - 1,
    "sawtooth": lambda phase: 2 * (phase % 1) - 1,
}
"""Waves of period 1 and height 1."""


def drawn_series(kind: str, purpose: str = "series") -> Found:
    """Returns drawn series: waves with their shape or their period, or monthly sales of shops.

    Args:
        kind: "classify", "regress" or "forecast".
        purpose: Other words draw other series.
    """
    path = Path(DRAWN)
    if kind == "forecast":
        roles = Roles(id="shop", time="month", target=("sales",), known=("promotion",))
        return Found(path, ("sales", "promotion"), _shops(purpose), roles, frequency="monthly")
    names = list(SHAPES)
    series = []
    for split in MAIN_SPLITS:
        for number in range(NUM_DRAWN[split]):
            draws = _draws(f"{purpose} {split}", number)
            shape = names[number % len(names)]
            values, period = _wave(shape, draws)
            label = shape if kind == "classify" else (period,)
            name = f"{split}-{number}"
            series.append(Series(name, f"{DRAWN}#{name}", values, None, label, split))
    labels = "words" if kind == "classify" else "numbers"
    roles = Roles(target=("shape" if kind == "classify" else "period",))
    return Found(path, ("x", "y"), tuple(series), roles, labels)


def _draws(purpose: str, number: int) -> np.random.Generator:
    return np.random.default_rng(generator_for(purpose, number).initial_seed())


def _wave(shape: str, draws: np.random.Generator) -> tuple[np.ndarray, float]:
    """A noisy wave of 40 to 80 steps (T, 2), the second column a quarter behind, and its period."""
    num_steps, period = int(draws.integers(40, 81)), float(draws.uniform(8, 24))
    phase = draws.uniform() + np.arange(num_steps) / period
    waves = np.stack([SHAPES[shape](phase), SHAPES[shape](phase - 0.25)], 1)
    return draws.uniform(0.5, 2) * waves + draws.normal(0, 0.3, waves.shape), period


def _shops(purpose: str) -> tuple[Series, ...]:
    months = np.datetime64("2015-01", "M") + np.arange(NUM_MONTHS)
    return tuple(
        Series(
            f"shop-{number}",
            f"{DRAWN}#shop-{number}",
            _sales(_draws(f"{purpose} shops", number)),
            months.astype("datetime64[s]"),
        )
        for number in range(NUM_SHOPS)
    )


def _sales(draws: np.random.Generator) -> np.ndarray:
    """Monthly sales with trend, season and noise, and whether a promotion raised them (T, 2)."""
    steps = np.arange(NUM_MONTHS)
    level, growth = draws.uniform(50, 500), draws.uniform(-0.002, 0.006)
    season = 1 + draws.uniform(0.1, 0.3) * np.cos(2 * np.pi * (steps - draws.integers(0, 3)) / 12)
    promotion = draws.uniform(size=NUM_MONTHS) < 0.2
    noise = np.exp(draws.normal(0, 0.04, NUM_MONTHS))
    sales = level * (1 + growth) ** steps * season * (1 + 0.3 * promotion) * noise
    return np.stack([sales.round(1), promotion.astype(np.float64)], 1)
