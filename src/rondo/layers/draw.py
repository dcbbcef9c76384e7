"""`draw`: any cell, layer, stack of layers, graph or plan as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rondo.cells import GraphCell
from rondo.compiler import Plan, RecurrentGraph, UnrolledGraph
from rondo.compiler.readable import picture_of
from rondo.drawing import Arrow, Drawing, Mark, Picture, check_num_steps
from rondo.layers.final import FinalOutput
from rondo.layers.layer_picture import draw_layers
from rondo.layers.recurrent import Recurrent
from rondo.layers.spatial import SpatialRNN
from rondo.layers.stack import Bidirectional
from rondo.layers.undrawable import refusal


def draw(thing: Any, path: str | Path | None = None, *, steps: int | None = None) -> Drawing:
    """Draw a cell, a layer, a stack of layers, a graph or a plan.

    One cell is drawn as its operations, a :class:`GraphCell` as its variables. What has several
    loops is drawn with a box for each: :class:`Bidirectional`, RNN, LSTM and GRU of torch's and of
    this package, :class:`SpatialRNN`, and an `nn.Sequential` of layers. The names of the weights
    stand on the edges. Data runs upward; a black square is a delay of one step; what runs backward
    is grey.

    Args:
        thing: What to draw.
        path: Where to save it: a file that ends in .svg, .dot, .gv or .mmd (Mermaid); default
            nowhere.
        steps: For how many steps to unroll it, time running to the right; for layers that sweep
            over a map, how many rows and columns of blocks each shows; default not at all.

    Returns:
        A drawing, which a notebook shows; its `svg`, `dot` and `mermaid` are texts.

    Raises:
        TypeError: Where the thing is none of these.
        ValueError: Where it has no steps, or some of its loops run over time and some over a map.

    Example:
        >>> import torch, rondo
        >>> rondo.draw(rondo.GRUCell(3, 5), steps=3)
        Drawing(12 nodes, 18 edges, 3 steps)
        >>> rondo.draw(torch.nn.LSTM(3, 5, num_layers=3, bidirectional=True))
        Drawing(11 nodes, 19 edges)

        A layer draws itself as well; three rows and columns of blocks, and the four sweeps:

        >>> layer = rondo.SpatialRNN(2, rondo.GRUCell, input_channels=3, hidden_size=5)
        >>> layer.draw(steps=3)
        Drawing(9 nodes, 10 edges)
    """
    check_num_steps(steps)
    if isinstance(thing, Plan | UnrolledGraph):
        if steps is not None:
            raise ValueError(f"a {type(thing).__name__} is drawn as it is; leave out steps")
        drawing = thing.draw()
    elif isinstance(thing, Bidirectional | SpatialRNN | nn.RNNBase | nn.Sequential):
        drawing = draw_layers(thing, steps)
    else:
        drawing = Drawing(_picture(thing), steps)
    return drawing if path is None else drawing.save(path)


def _picture(thing: Any) -> Picture:
    if isinstance(thing, RecurrentGraph):
        return picture_of(thing)
    if isinstance(thing, GraphCell):
        return thing.picture
    if isinstance(thing, Recurrent):
        picture = _picture(thing.cell) if isinstance(thing.cell, GraphCell) else None
        picture = picture or picture_of(thing.graph)
        return picture.reversed() if thing.reverse else picture
    if isinstance(thing, FinalOutput):
        return _with_final_output(_picture(thing.layer), thing.output)
    if isinstance(thing, nn.Module) and (
        hasattr(thing, "state_size") or hasattr(thing, "initial_state")
    ):
        return _picture(Recurrent(thing, engine="reference"))  # no kernel is needed
    raise refusal(thing)


def _with_final_output(picture: Picture, output: nn.Module) -> Picture:
    """The output of the whole sequence, in place of those of each step."""
    ends = [mark for mark in picture.marks if mark.kind == "output"]
    sources = [arrow for arrow in picture.arrows if arrow.target == ends[0].id]
    is_end_alone = not any(arrow.source == ends[0].id for arrow in picture.arrows)
    if is_end_alone and len(sources) == 1:  # the output of each step is another name of the state
        ends, gone = [picture.by_id[sources[0].source]], ends[0].id
    else:
        gone = ""
    kept = tuple(mark for mark in picture.marks if mark.id != gone)
    arrows = tuple(arrow for arrow in picture.arrows if arrow.target != gone)
    name = "V" if isinstance(output, nn.Linear) else type(output).__name__
    final = Mark("final output", "y", "output", is_final=True)
    return Picture((*kept, final), (*arrows, Arrow(ends[0].id, final.id, name))).check()
