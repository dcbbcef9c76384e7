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
from rondo.layers.recurrent import Recurrent
from rondo.layers.stack import Bidirectional

DRAWN = (
    "a cell, a layer such as Recurrent, Bidirectional or torch.nn.LSTM, an nn.Sequential of them, "
    "a graph or a plan"
)


def draw(thing: Any, path: str | Path | None = None, *, steps: int | None = None) -> Drawing:
    """Draw a cell, a layer, a stack of layers, a graph or a plan.

    One cell is drawn as its operations, a :class:`GraphCell` as its variables, several layers as
    layers. Data runs upward; a black square is a delay of one step.

    Args:
        thing: What to draw.
        path: Where to save it: a file that ends in .svg, .dot, .gv or .mmd (Mermaid); default
            nowhere.
        steps: For how many steps to unroll it, time running to the right; default not at all.

    Returns:
        A drawing, which a notebook shows; its `svg`, `dot` and `mermaid` are texts.

    Raises:
        TypeError: Where the thing is none of these.

    Example:
        >>> import torch, rondo
        >>> rondo.draw(rondo.GRUCell(3, 5), steps=3)
        Drawing(12 nodes, 18 edges, 3 steps)
        >>> rondo.draw(torch.nn.LSTM(3, 5, num_layers=3, bidirectional=True))
        Drawing(8 nodes, 18 edges)
    """
    check_num_steps(steps)
    if isinstance(thing, Plan | UnrolledGraph):
        if steps is not None:
            raise ValueError(f"a {type(thing).__name__} is drawn as it is; leave out steps")
        drawing = thing.draw()
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
    if isinstance(thing, Bidirectional | nn.RNNBase | nn.Sequential):
        return _layers_picture(thing)
    if isinstance(thing, nn.Module) and (
        hasattr(thing, "state_size") or hasattr(thing, "initial_state")
    ):
        return _picture(Recurrent(thing, engine="reference"))  # no kernel is needed
    raise TypeError(f"draw takes {DRAWN}, got {_description(thing)}")


def _description(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


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


# ---- layers ----


def _layers_picture(module: nn.Module) -> Picture:
    """One node for each layer and direction."""
    writer = _Layers()
    ends = writer.add(module, "layer", ["x"])
    marks = [Mark("x", "x", "input", is_timed=True), *writer.marks]
    marks.append(Mark("y", "y", "output", is_timed=True))
    arrows = writer.arrows + [Arrow(end, "y") for end in ends]
    return Picture(tuple(marks), tuple(arrows)).check()


class _Layers:
    """Adds layers from the input upward."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.arrows: list[Arrow] = []

    def add(self, module: nn.Module, name: str, sources: list[str]) -> list[str]:
        """Add a layer that reads from some nodes; return the nodes that its output comes from."""
        if isinstance(module, nn.Sequential):
            for child, part in module.named_children():
                sources = self.add(part, f"{name}.{child}", sources)
            return sources
        if isinstance(module, Bidirectional):
            forward = self.add(module.forward_layer, f"{name}.forward", sources)
            return forward + self.add(module.backward_layer, f"{name}.backward", sources)
        if isinstance(module, nn.RNNBase):
            return self._add_torch(module, name, sources)
        if isinstance(module, FinalOutput):
            raise TypeError(
                "a FinalOutput within nn.Sequential cannot be drawn; draw it on its own"
            )
        if isinstance(module, Recurrent):
            kind = type(module.cell).__name__.removesuffix("Cell")
            return self._add_loop(name, kind, sources, module.reverse)
        if any(isinstance(part, Recurrent | nn.RNNBase) for part in module.modules()):
            raise TypeError(
                f"draw does not know how the parts of {type(module).__name__} are joined; it takes "
                f"{DRAWN}"
            )
        return self._add(name, type(module).__name__, sources)

    def _add_torch(self, module: nn.RNNBase, name: str, sources: list[str]) -> list[str]:
        kind = module.mode.removesuffix("_TANH").removesuffix("_RELU")
        for number in range(module.num_layers):
            ends = self._add_loop(f"{name}.{number}", kind, sources, False)
            if module.bidirectional:
                ends += self._add_loop(f"{name}.{number}.back", kind, sources, True)
            sources = ends
        return sources

    def _add(self, id: str, label: str, sources: list[str]) -> list[str]:
        self.marks.append(Mark(id, label))
        self.arrows += [Arrow(source, id) for source in sources]
        return [id]

    def _add_loop(self, id: str, kind: str, sources: list[str], reverse: bool) -> list[str]:
        self._add(id, f"{kind} {'←' if reverse else '→'}", sources)
        self.arrows.append(Arrow(id, id, delay=-1 if reverse else 1, carries="h"))
        return [id]
