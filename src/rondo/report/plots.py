"""The figures of a report, as SVG and PNG that stand inside an HTML page.

Text and axes take the colour of the page, so a figure is as readable on a dark page as on a light
one; the colours of the data have enough contrast on both.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from rondo.measures.intervals import Share

PAGE_COLOUR = "#010203"
"""Stands for the colour of the page's text until the SVG is written."""

COLOURS = {"train": "#8a8f98", "val": "#c98500", "test": "#2a7de1", "cross": "#d1495b"}
"""A colour for each split."""

OTHER_COLOUR = "#2c9c69"
"""The colour of any other split."""

SMALLEST = 0.85
"""To which share of its size a figure may shrink, for letters of 9 points or more."""

STANDALONE_STYLE = (
    "<style>svg { color: #1d2330; } "
    "@media (prefers-color-scheme: dark) { svg { color: #e6e9ef; } }</style>"
)
"""What gives a figure that is a file of its own the colour of the page that shows it."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": PAGE_COLOUR,
    "text.parse_math": False,  # names of classes and groups may hold a $
    "axes.edgecolor": PAGE_COLOUR,
    "axes.labelcolor": PAGE_COLOUR,
    "xtick.color": PAGE_COLOUR,
    "ytick.color": PAGE_COLOUR,
    "grid.color": PAGE_COLOUR,
    "grid.alpha": 0.15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}
"""How all figures look."""


def curves(records: list[dict[str, Any]], name: str, label: str) -> str:
    """Returns the curves of one number over the epochs, one for each split."""
    percent = 100 if name == "right" else 1
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure, axes = new_figure(5.2, 3.4)
        for split in dict.fromkeys(record["split"] for record in records):
            of_split = [record for record in records if record["split"] == split]
            colour = COLOURS.get(split, OTHER_COLOUR)
            found = [(record["epoch"], record.get(name)) for record in of_split]
            shown = [(epoch, percent * value) for epoch, value in found if value is not None]
            if shown:
                axes.plot(*zip(*shown, strict=True), color=colour, label=split, marker="o", ms=3)
            if name == "loss":
                _mark_lost(axes, [epoch for epoch, value in found if value is None], split, colour)
            if name == "right" and "baseline" in of_split[0]:
                majority = 100 * of_split[0]["baseline"]
                axes.axhline(majority, color=colour, linestyle=":", linewidth=1)
        if not any(record.get(name) is not None for record in records):
            axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        add_legend(axes)
        return to_svg(figure, f"{label} over the epochs")


def add_legend(axes: Axes, ncols: int = 4) -> Legend | None:
    """Names what is drawn, above the plot; nothing where nothing has a name."""
    if not axes.get_legend_handles_labels()[1]:
        return None
    return axes.legend(ncols=ncols, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _mark_lost(axes: Axes, epochs: list[int], split: str, colour: str) -> None:
    """Marks the epochs whose loss is not finite at the upper edge, where it would be."""
    if epochs:
        axes.plot(
            epochs, [0.96] * len(epochs), "x", color=colour, label=f"{split}: not finite",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def accuracy_bars(shares: dict[str, Share], majority_rate: float, title: str) -> str:
    """Returns accuracies as dots with their 95 % intervals, one row for each key."""
    names = list(reversed(shares))
    values = [100 * shares[name].value for name in names]
    low = [100 * (shares[name].value - shares[name].low) for name in names]
    high = [100 * (shares[name].high - shares[name].value) for name in names]
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure, axes = new_figure(5.2, 1.0 + 0.34 * len(names))
        rows = np.arange(len(names))
        axes.errorbar(
            values, rows, xerr=[low, high], fmt="o", color=COLOURS["test"], elinewidth=2, capsize=3
        )
        axes.axvline(100 * majority_rate, color=PAGE_COLOUR, linestyle=":", linewidth=1)
        axes.set_yticks(rows, [f"{name}  (n={shares[name].num_photos})" for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        least = min(share.low for share in shares.values())
        axes.set_xlim(100 * min(least, majority_rate) - 4, 101.5)
        axes.set_xlabel("accuracy in %; dotted: majority class of all")
        return to_svg(figure, f"accuracy by {title}")


def standalone(svg: str) -> str:
    """Returns a figure as a file of its own, of its own size, readable on light and dark pages."""
    start = svg.index(">") + 1
    width, height = _size(svg)
    sized = svg[:start].replace("<svg ", f'<svg width="{width:g}pt" height="{height:g}pt" ', 1)
    return sized + STANDALONE_STYLE + svg[start:]


def _size(svg: str) -> tuple[float, float]:
    """The width and height of a figure in points."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found is not None
    return float(found[1]), float(found[2])


def heat_png(values: Tensor, *, size: int = 320, limits: tuple[float, float] | None = None) -> str:
    """Returns a map (H, W) as a picture from dark to bright: from its least value to its most.

    Args:
        values: The map.
        size: A wider map is scaled to this width and height, in pixels.
        limits: What dark and bright stand for, if not for the least and most of this map.
    """
    low, high = limits or (float(values.min()), float(values.max()))
    scaled = (values - low) / max(high - low, 1e-30)
    return _png(_colour(scaled.clamp(0, 1).numpy(), "inferno"), size)


def photo_png(pixels: Tensor, *, size: int = 128) -> str:
    """Returns a picture (3, S, S) of uint8."""
    return _png(_height_width_channels(pixels), size)


def heat_over_photo_png(pixels: Tensor, values: Tensor, *, size: int = 128) -> str:
    """Returns a grey picture with a map laid over it that brightens where the network looked."""
    grey = _grey(pixels)
    strength = (values / values.max().clamp_min(1e-30)).sqrt().numpy()[..., None]
    colour = _colour(strength[..., 0], "inferno")
    return _png((grey * (1 - strength) + colour * strength).astype(np.uint8), size)


def evidence_over_photo_png(
    pixels: Tensor, values: Tensor, limit: float, *, size: int = 128
) -> str:
    """Returns a grey picture coloured by which class each place speaks for."""
    scaled = (values / limit).clamp(-1, 1).numpy()
    strength = 0.75 * np.abs(scaled)[..., None]
    colour = _colour(scaled / 2 + 0.5, "PuOr_r")
    return _png((_grey(pixels) * (1 - strength) + colour * strength).astype(np.uint8), size)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of some inches with one plot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def to_svg(figure: Figure, label: str) -> str:
    """Returns a figure as an SVG element in the colour of the page that grows with its column.

    In a column that is so narrow that letters would be hard to read it keeps its size; a `card`
    scrolls then.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():  # the reader's fonts have letters that matplotlib's have not
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue().replace(PAGE_COLOUR, "currentColor")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    least = f"min-width: {SMALLEST * _size(text)[0]:.0f}pt"
    attributes = rf'<svg role="img" aria-label="{escape(label)}" style="{least}" \1'
    return re.sub(r'<svg ([^>]*?)width="[^"]*pt"', attributes, text, count=1).replace(
        'height="', 'data-height="', 1
    )


def _png(values: np.ndarray, size: int) -> str:
    """Returns pixels (H, W, 3) of uint8 as the address of an embedded picture."""
    image = Image.fromarray(values)
    if image.width > size:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _colour(values: np.ndarray, name: str) -> np.ndarray:
    """Returns values 0..1 (H, W) as uint8 colours (H, W, 3)."""
    return (matplotlib.colormaps[name](values)[..., :3] * 255).astype(np.uint8)


def _grey(pixels: Tensor) -> np.ndarray:
    grey = _height_width_channels(pixels).mean(axis=2, keepdims=True)
    return np.repeat(grey, 3, axis=2)


def _height_width_channels(pixels: Tensor) -> np.ndarray:
    return pixels.permute(1, 2, 0).numpy()
