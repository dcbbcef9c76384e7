"""What is to be drawn, before anybody knows where: nodes, and edges that may carry a delay.

A picture knows nothing of tensors, so graphs of variables, of operations and of layers are drawn
in the same way. An edge with a delay of k leads to the step k later; a negative delay leads to an
earlier one, as in a layer that runs backward in time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

KINDS = (
    *("input", "output", "variable", "operation", "parameter", "state", "sum"),
    *("layer", "map", "block"),
)
SWEEPS = {"down": (0, 1), "up": (0, -1), "right": (1, 0), "left": (-1, 0)}


@dataclass(frozen=True)
class Grid:
    """What the inside of a map shows: its blocks, or a state that sweeps over them.

    Args:
        rows: The number of rows of blocks.
        columns: The number of blocks in a row.
        sweep: The direction in which the state goes, one of `SWEEPS`; "" for blocks alone.
    """

    rows: int
    columns: int
    sweep: str = ""


@dataclass(frozen=True)
class Mark:
    """A node of a picture.

    Args:
        id: Its name within the picture.
        label: What is written in it.
        kind: One of `KINDS`; it decides the shape.
        caption: What is written beside it, or in the box of a layer.
        stage: The stage of a plan, or "backward" for what runs backward in time, which decides
            the colour; None for black and white.
        is_timed: Whether the label stands for another value at each step: x becomes x(t).
        is_final: Whether it is there after the last step only.
        grid: What the inside of a map shows.
    """

    id: str
    label: str
    kind: str = "variable"
    caption: str = ""
    stage: str | None = None
    is_timed: bool = False
    is_final: bool = False
    grid: Grid | None = None


@dataclass(frozen=True)
class Arrow:
    """An edge of a picture, from a node of one step to a node of the step `delay` later.

    Args:
        source: The id of the node where it starts.
        target: The id of the node where it ends.
        label: What is written on it, such as the name of a weight.
        delay: The number of steps that it takes.
        carries: The name of the state that a delayed edge carries.
        stage: The stage of a plan, which decides the colour.
    """

    source: str
    target: str
    label: str = ""
    delay: int = 0
    carries: str = ""
    stage: str | None = None


@dataclass(frozen=True)
class Picture:
    """Nodes and edges, with a legend where the colours mean something.

    Args:
        marks: The nodes.
        arrows: The edges; those without a delay form no cycle.
        legend: What each stage stands for, as (stage, words).
    """

    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    legend: tuple[tuple[str, str], ...] = ()

    def check(self) -> Picture:
        """Return the picture itself; fail where an edge leads nowhere or an id is there twice."""
        twice = [id for id, count in Counter(mark.id for mark in self.marks).items() if count > 1]
        assert not twice, f"two nodes are called {twice[0]}"
        known = {mark.id for mark in self.marks}
        for arrow in self.arrows:
            assert {arrow.source, arrow.target} <= known, f"{arrow} leads nowhere"
        for mark in self.marks:
            assert mark.kind in KINDS, f"{mark} is of no known kind"
            assert (mark.kind == "map") == (mark.grid is not None), f"{mark} is half a map"
        return self

    def reversed(self) -> Picture:
        """The same picture with time running backward."""
        arrows = tuple(replace(arrow, delay=-arrow.delay) for arrow in self.arrows)
        return replace(self, arrows=arrows)

    @property
    def by_id(self) -> dict[str, Mark]:
        """Every node by its id."""
        return {mark.id: mark for mark in self.marks}


def timed(label: str, step: int) -> str:
    """A label at one step: x(3), and h(3), c(3) of several names."""
    return ", ".join(f"{name}({step})" for name in label.split(", "))


def at_step(mark: Mark, step: int) -> Mark:
    """A node at one step of an unrolled picture."""
    label = timed(mark.label, step) if mark.is_timed and not mark.is_final else mark.label
    return replace(mark, id=f"{mark.id}_{step}", label=label, is_timed=False)


def unrolled(picture: Picture, num_steps: int) -> Picture:
    """The picture without loops: every node once for each step, delayed edges between steps.

    The states before the first step (and, in a layer that runs backward, after the last) become
    nodes of their own.
    """
    steps = range(1, num_steps + 1)
    marks = {
        f"{mark.id}_{t}": at_step(mark, t)
        for t in steps
        for mark in picture.marks
        if t == num_steps or not mark.is_final
    }
    arrows = []
    for t in steps:
        for arrow in picture.arrows:
            if f"{arrow.target}_{t}" not in marks:
                continue
            start = t - arrow.delay
            source = f"{arrow.source}_{start}"
            if source not in marks:
                label = timed(state_name(picture, arrow), start)
                source = f"{arrow.source}_{start}".replace("-", "minus_")
                marks.setdefault(source, Mark(source, label, "state"))
            arrows.append(replace(arrow, source=source, target=f"{arrow.target}_{t}", delay=0))
    return Picture(tuple(marks.values()), tuple(arrows), picture.legend).check()


def state_name(picture: Picture, arrow: Arrow) -> str:
    """What a delayed edge carries, in words of the picture."""
    source = picture.by_id[arrow.source]
    return arrow.carries or source.caption or source.label
