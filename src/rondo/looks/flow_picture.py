"""Gradient flows as a figure: norms over time, and gates as heat maps below them."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from rondo.looks.flow import GradientFlow
from rondo.system.files import write_bytes

COLOURS = ("#2a7de1", "#d1495b", "#2c9c69", "#c98500", "#7b5cc4")
"""A colour for each state."""

GATE_COLOURS = "Blues"
"""From a gate that is closed, 0, to one that is open, 1."""

INK = "#1a1a1a"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradient flow",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "legend.frameon": False,
}
PANEL_WIDTH, NORM_HEIGHT, GATE_HEIGHT = 2.7, 2.4, 0.85  # inches
WIDTH = 8.5
"""The most that a picture is wide, in inches, so that a page does not shrink its letters."""

TITLE_LENGTH = 19
"""The letters in a line of a title."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NO_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What is left out of a picture, by its form, so that the same flow makes the same file."""

LEAST = 1e-30
"""Norms below it are not drawn."""


def draw_flows(flows: Mapping[str, GradientFlow], path: str | Path | None = None) -> Figure:
    """Draw gradient flows side by side, time running to the right.

    Above the norms of ∂J/∂s(t) on one logarithmic scale; below, over the same steps, a heat map for
    each gate: one line for each unit, those with the lowest mean at the bottom.

    Args:
        flows: What to draw, by the title that it gets.
        path: Where to save it: a file that ends in .svg, .pdf or .png; default nowhere.

    Example:
        >>> import torch, rondo
        >>> from rondo.training import gradient_flow
        >>> from rondo.looks.flow_picture import draw_flows
        >>> cells = {"Elman": rondo.ElmanCell(3, 8), "GRU": rondo.GRUCell(3, 8)}
        >>> x = torch.randn(2, 30, 3)
        >>> figure = draw_flows(
        ...     {name: gradient_flow(rondo.Recurrent(cell), x) for name, cell in cells.items()}
        ... )
        >>> len(figure.axes)  # two panels of norms, two gates, a scale of colours
        5
    """
    if not flows:
        raise ValueError("draw_flows draws one gradient flow or more, got none")
    num_gates = max(len(flow.gates) for flow in flows.values())
    size = (min(WIDTH, 0.9 + PANEL_WIDTH * len(flows)), 0.9 + NORM_HEIGHT + GATE_HEIGHT * num_gates)
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.07)  # inches
        figure = Figure(figsize=size, layout=layout, facecolor="white")
        heights = [NORM_HEIGHT, *[GATE_HEIGHT] * num_gates]
        grid = figure.add_gridspec(1 + num_gates, len(flows), height_ratios=heights)
        norms: Axes | None = None
        heat_maps: list[Axes] = []
        for column, (title, flow) in enumerate(flows.items()):
            axes = figure.add_subplot(grid[0, column], sharey=norms)
            norms = norms or axes
            _draw_norms(axes, flow, title, is_first=column == 0)
            for row, (name, values) in enumerate(flow.gates.items()):
                if values.numel() == 0:
                    continue
                gate = figure.add_subplot(grid[1 + row, column], sharex=axes)
                _draw_gate(gate, name, values.numpy())
                heat_maps.append(gate)
        if heat_maps:
            scale = ScalarMappable(matplotlib.colors.Normalize(0, 1), GATE_COLOURS)
            bar = figure.colorbar(scale, ax=heat_maps, label="gate", ticks=[0, 0.5, 1], pad=0.01)
            bar.outline.set_visible(False)
        if path is not None:
            _save(figure, Path(path))
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Writes a figure in the form that the ending of the file names."""
    form = path.suffix.removeprefix(".").lower()
    picture = io.BytesIO()
    figure.savefig(picture, format=form, metadata=NO_DATES.get(form))
    write_bytes(path, picture.getvalue())


def _draw_norms(axes: Axes, flow: GradientFlow, title: str, *, is_first: bool) -> None:
    for (name, norms), colour in zip(flow.norms.items(), cycle(COLOURS), strict=False):
        values = norms.numpy()
        shown = np.where(values >= LEAST, values, np.nan)
        axes.plot(np.arange(len(values)), shown, color=colour, label=name, linewidth=1.6)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(_power))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_title(textwrap.fill(title, TITLE_LENGTH), fontsize=11)
    axes.set_xlim(0, max(1, *(len(norms) - 1 for norms in flow.norms.values())))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("step t")
    axes.legend(loc="best", handlelength=1.2)
    if is_first:
        axes.set_ylabel("‖∂J / ∂s(t)‖")
    else:
        axes.tick_params(labelleft=False)


def _power(value: float, _position: int | None = None) -> str:
    """A power of ten with an exponent in letters of the same font size."""
    return "10" + str(round(math.log10(value))).translate(SUPERSCRIPTS)


def _draw_gate(axes: Axes, name: str, values: np.ndarray) -> None:
    """A gate (T, H): time to the right, a line for each unit."""
    num_steps, num_units = values.shape
    axes.imshow(
        values[:, np.argsort(values.mean(0))].T,
        cmap=GATE_COLOURS,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, num_steps + 0.5, 0, num_units),
    )
    axes.set_yticks([])
    axes.tick_params(labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    axes.set_ylabel(name, rotation=0, ha="right", va="center")
