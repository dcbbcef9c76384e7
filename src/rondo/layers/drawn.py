"""What every layer that can be drawn has: `draw`, and a picture of itself in notebooks."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from rondo.drawing import Drawing


def draw_layer(
    self: nn.Module, path: str | Path | None = None, *, steps: int | None = None
) -> Drawing:
    """Draw the layer; see :func:`rondo.draw`."""
    from rondo.layers.draw import draw  # which knows all layers

    return draw(self, path, steps=steps)


def layer_as_svg(self: nn.Module) -> str:
    """The drawing of a layer, for notebooks."""
    return draw_layer(self).svg
