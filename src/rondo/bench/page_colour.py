"""Figures whose words take the colour of the page that shows them, light or dark.

In goes a figure of Matplotlib, drawn with `PAGE_STYLE`, out comes SVG.
"""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

from rondo.bench.plot import STYLE

PAGE_COLOUR = "#010203"
"""Stands for the colour of the page's words until the SVG is written."""

BY_THEME = (
    "<style>svg { color: #1d2330; } "
    "@media (prefers-color-scheme: dark) { svg { color: #e6e9ef; } }</style>"
)
PAGE_STYLE: dict[Any, Any] = {**STYLE, **dict.fromkeys(
    ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor",
     "xtick.labelcolor", "ytick.labelcolor"), PAGE_COLOUR)}  # fmt: skip


def page_svg(figure: Figure, ink: str | None = None) -> str:
    """Returns a figure as SVG.

    Args:
        figure: What is drawn; its own background is left out.
        ink: The colour of its words; None is that of the theme of who looks at it.
    """
    figure.patch.set_alpha(0)
    for axis in figure.axes:
        axis.patch.set_alpha(0)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue().replace(PAGE_COLOUR, ink or "currentColor")
    end_of_tag = text.index(">", text.index("<svg")) + 1
    return text[:end_of_tag] + ("" if ink else BY_THEME) + text[end_of_tag:]
