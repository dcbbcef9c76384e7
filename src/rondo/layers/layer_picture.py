"""Layers as a picture: one node for each loop, and one where two directions meet.

Weights are written on the edges by the names of the parameters; biases are left out. Unrolled, a
loop over time is repeated by the drawing, as any loop is; a sweep over a map is a map of its own,
with the state going from block to block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from rondo.cells.cell import state_of_rows
from rondo.compiler.state import flatten
from rondo.drawing import Arrow, Drawing, Grid, Mark, Picture
from rondo.layers.recurrent import Recurrent
from rondo.layers.spatial import SpatialRNN
from rondo.layers.stack import Bidirectional
from rondo.layers.undrawable import LAYERS, refusal

MERGED = {"concat": "concat", "sum": "+", "mean": "mean", "product": "×"}
"""What is written where the two directions of a `Bidirectional` meet, by its `merge`."""
SWEPT = {"→": "right", "←": "left", "↓": "down", "↑": "up"}


def draw_layers(module: nn.Module, steps: int | None = None) -> Drawing:
    """Draw a layer, or an `nn.Sequential` of layers: a node for each loop, from the input upward.

    Args:
        module: What to draw.
        steps: For how many steps to unroll it; where it sweeps over maps, of how many rows and
            columns of blocks they are; None for its loops.
    """
    sweeps = any(isinstance(part, SpatialRNN) for part in module.modules())
    writer = _Writer(steps if sweeps else None)
    writer.marks.append(Mark("x", "x", "input", is_timed=not sweeps))
    end = writer.add(module, "layer", "x")
    writer.marks.append(Mark("y", "y", "output", is_timed=not sweeps))
    writer.arrows.append(Arrow(end, "y"))
    picture = Picture(tuple(writer.marks), tuple(writer.arrows))
    return Drawing(picture, None if sweeps else steps)


@dataclass(frozen=True)
class _Loop:
    """What is written about one loop; a weight that it has not is an empty text."""

    kind: str
    state: str
    weight_ih: str
    weight_hh: str
    weight_hr: str


def _loop_of_cell(cell: nn.Module) -> _Loop:
    names = flatten(state_of_rows(cell, 1))[1].names()
    kind = type(cell).__name__.removesuffix("Cell")
    return _Loop(kind, ", ".join(names) if len(names) < 3 else "state", *_weights(cell, ""))


def _loop_of_torch(module: nn.RNNBase, suffix: str) -> _Loop:
    kind = module.mode.removesuffix("_TANH").removesuffix("_RELU")
    return _Loop(kind, "h, c" if kind == "LSTM" else "h", *_weights(module, suffix))


def _weights(owner: nn.Module, suffix: str) -> list[str]:
    names = [f"{name}{suffix}" for name in ("weight_ih", "weight_hh", "weight_hr")]
    return [name if isinstance(getattr(owner, name, None), Tensor) else "" for name in names]


class _Writer:
    """Adds layers from the input upward; each reads from one node, and ends in one."""

    def __init__(self, num_blocks: int | None) -> None:
        self.num_blocks = num_blocks
        self.marks: list[Mark] = []
        self.arrows: list[Arrow] = []

    def add(self, module: nn.Module, name: str, source: str) -> str:
        """Add a layer that reads from a node; return the node that its output comes from."""
        if isinstance(module, nn.Sequential):
            for child, part in module.named_children():
                source = self.add(part, f"{name}.{child}", source)
            return source
        if isinstance(module, SpatialRNN):
            return self._add_sweeps(module, name, source)
        if isinstance(module, LAYERS) and self.num_blocks is not None:
            raise ValueError(
                f"a SpatialRNN is unrolled over blocks, a {type(module).__name__} over time; draw "
                "one after the other, or leave out steps"
            )
        if isinstance(module, Recurrent):
            loop, way = _loop_of_cell(module.cell), "←" if module.reverse else ""
            return self._add_loop(name, loop, way, source)
        if isinstance(module, Bidirectional):
            return self._add_bidirectional(module, name, "→←", source)
        if isinstance(module, nn.RNNBase):
            return self._add_torch(module, name, source)
        if any(isinstance(part, LAYERS) for part in module.modules()):
            raise refusal(module)
        return self._add(Mark(name, type(module).__name__, "layer"), source)

    def _add_torch(self, module: nn.RNNBase, name: str, source: str) -> str:
        for number in range(module.num_layers):
            layer, suffix = f"{name}.{number}", f"_l{number}"
            if number and module.dropout:
                source = self._add(Mark(f"{layer}.dropout", "dropout", "operation"), source)
            loop = _loop_of_torch(module, suffix)
            if module.bidirectional:
                loops = loop, _loop_of_torch(module, f"{suffix}_reverse")
                source = self._add_directions(layer, loops, "→←", "concat", source)
            else:
                source = self._add_loop(layer, loop, "", source)
        return source

    def _add_sweeps(self, module: SpatialRNN, name: str, source: str) -> str:
        height, width = module.block_size
        blocks = self._mark(f"{name}.blocks", f"{height}×{width} blocks", "operation")
        source = self._add(blocks, source)
        source = self._add_bidirectional(module.vertical, f"{name}.vertical", "↓↑", source)
        return self._add_bidirectional(module.horizontal, f"{name}.horizontal", "→←", source)

    def _add_bidirectional(self, module: Bidirectional, name: str, ways: str, source: str) -> str:
        layers = module.forward_layer, module.backward_layer
        loops = [_loop_of_cell(layer.cell) for layer in layers]
        return self._add_directions(name, loops, ways, module.merge, source)

    def _add_directions(
        self, name: str, loops: Sequence[_Loop], ways: str, merge: str, source: str
    ) -> str:
        """Add two loops that read the same, and the node where they meet."""
        names = f"{name}.forward", f"{name}.backward"
        ends = map(self._add_loop, names, loops, ways, (source, source))
        return self._add(Mark(f"{name}.merged", MERGED[merge], "operation"), *ends)

    def _add_loop(self, id: str, loop: _Loop, way: str, source: str) -> str:
        is_backward = way in ("←", "↑")
        stage = "backward" if is_backward else None
        mark = self._mark(id, f"{loop.kind} {way}".strip(), "layer", SWEPT.get(way, ""))
        words = [loop.weight_hr] if mark.grid is None else [loop.weight_hh, loop.weight_hr]
        mark = replace(mark, stage=stage, caption=", ".join(filter(None, words)))
        self._add(mark, source, weight=loop.weight_ih)
        if mark.grid is None:
            delay = -1 if is_backward else 1
            self.arrows.append(Arrow(id, id, loop.weight_hh, delay, loop.state))
        return id

    def _mark(self, id: str, label: str, kind: str, sweep: str = "") -> Mark:
        """A node, or a map in its place."""
        if self.num_blocks is None:
            return Mark(id, label, kind)
        return Mark(id, label, "map", grid=Grid(self.num_blocks, self.num_blocks, sweep))

    def _add(self, mark: Mark, *sources: str, weight: str = "") -> str:
        self.marks.append(mark)
        self.arrows += [Arrow(source, mark.id, weight) for source in sources]
        return mark.id
