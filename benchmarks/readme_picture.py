"""Draws the picture of the README: a cell folded and unrolled, its C code, and its speed.

The graphs and the code are those of the first example of the README, as Rondo draws and generates
them now. The times are read from results of `rondo bench`, recurrent_speed.json and
recurrent_speed.md in benchmarks/results; nothing is measured here.

    python benchmarks/readme_picture.py [--output docs/images]
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import torch

import rondo
from rondo import Cell
from rondo.bench.options import LAYER_SIZES, OURS, PEERS
from rondo.drawing import Drawing
from rondo.drawing.svg import FILLS, INK, INKS

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
RESULTS = ROOT / "benchmarks" / "results"
SIZES = LAYER_SIZES[0]
LOOP = "plain loop"
OWN_CELL = "LSTM with layer norm and peepholes"
WIDTH, HEIGHT, GAP = 838, 926, 14
"""Pixels; 838 is the width that GitHub gives to a picture of a README, so nothing is shrunk."""

FOLDED, GRAPHS, CODE = 216, 516, 500
"""The width of the folded graph, the height of both graphs and the width of the code."""

CODE_SIZE, CODE_LINE = 12.5, 19
SANS = "system-ui,-apple-system,'Segoe UI','Liberation Sans',Helvetica,Arial,sans-serif"
MONO = "ui-monospace,'SFMono-Regular','DejaVu Sans Mono',Menlo,Consolas,monospace"


@dataclass(frozen=True)
class Theme:
    """The colours of one variant, and those that replace the colours of a drawing."""

    page: str
    border: str
    ink: str
    faint: str
    ours: str
    others: str
    graph: dict[str, str]


STAGES = ("constants", "before", "loop", "after", "backward")
LIGHT = Theme(
    page="#ffffff",
    border="#d0d7de",
    ink=INK,
    faint="#57606a",
    ours=INKS["loop"],
    others="#8c959f",
    graph={"white": "#ffffff"},
)
DARK_FILLS = dict(zip(STAGES, ("#30363d", "#12304d", "#54200f", "#16381d", "#30363d"), strict=True))
DARK_INKS = dict(zip(STAGES, ("#adb5bd", "#79b8ff", "#ff9d80", "#7ee08f", "#e6edf3"), strict=True))
DARK = Theme(
    page="#0d1117",
    border="#30363d",
    ink="#e6edf3",
    faint="#9ea7b3",
    ours="#ff9d80",
    others="#6e7681",
    graph={"white": "#0d1117", INK: "#e6edf3"}
    | {FILLS[stage]: DARK_FILLS[stage] for stage in STAGES}
    | {INKS[stage]: DARK_INKS[stage] for stage in STAGES if stage != "backward"},
)
THEMES = {"overview.svg": LIGHT, "overview_dark.svg": DARK}


@dataclass(frozen=True)
class Bar:
    """The time of one side, in milliseconds."""

    name: str
    time_ms: float

    @property
    def is_ours(self) -> bool:
        """Whether it is Rondo's."""
        return self.name == OURS


def overview(layer: rondo.Recurrent, theme: Theme) -> str:
    """The whole picture as SVG.

    Args:
        layer: The layer of the README; it has run once, so that its kernel is there.
        theme: The colours.
    """
    unrolled, bars = WIDTH - GAP - FOLDED, WIDTH - GAP - CODE
    top, lower = GRAPHS + GAP, HEIGHT - GAP - GRAPHS
    panels = [
        _panel(0, 0, FOLDED, GRAPHS, "One step, with its loop", theme),
        _graph(layer.plan.draw(), 0, 38, FOLDED, theme),
        _legend(16, GRAPHS - 50, theme),
        _panel(FOLDED + GAP, 0, unrolled, GRAPHS, "The same, unrolled over time", theme),
        _graph(layer.draw(steps=3), FOLDED + GAP, 38, unrolled, theme),
        _panel(0, top, CODE, lower, "From the generated C: the end of a step", theme),
        _code(excerpt(layer.source), 16, top + 56, theme),
        _panel(CODE + GAP, top, bars, lower, "Forward and backward, ms", theme),
        _charts(CODE + GAP + 16, top + 44, bars - 32, theme),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{SANS}">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{theme.page}"/>',
            *panels,
            "</svg>\n",
        ]
    )


def excerpt(source: str) -> list[str]:
    """The lines of a kernel that end a step: the product with the state, and the last loop."""
    body = source[source.index("static void step_part_0(") :]
    lines = body[: body.index("#define NUM_STEP_PARTS")].splitlines()
    product = max(i for i, line in enumerate(lines) if "c->products->" in line)
    loop = max(i for i, line in enumerate(lines) if "#pragma omp simd" in line)
    end = next(i for i in range(loop, len(lines)) if lines[i] == "        }")
    call = textwrap.wrap(lines[product].strip(), 62, subsequent_indent="    ")
    return [*call, "...", *textwrap.dedent("\n".join(lines[loop : end + 1])).splitlines()]


def readme_cell() -> Cell:
    """The cell that the first example of the README defines."""
    example = re.search(r"```python\n(.*?)\nlayer =", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example is not None, "the README has no example in Python"
    names: dict[str, Any] = {}
    exec(compile(example[1], "README.md", "exec"), names)
    cell: Cell = names["MyCell"]()
    return cell


def own_cell_bars() -> list[Bar]:
    """The times of a cell that torch.nn does not have, from the tables of `rondo bench`."""
    start = f"| {OWN_CELL} | {SIZES} | forward and backward | "
    lines = (RESULTS / "recurrent_speed.md").read_text().splitlines()
    row = next(line.removeprefix(start) for line in lines if line.startswith(start))
    time_ms, _, ratio = (float(re.sub(r"[*%]| \(.*", "", part)) for part in row.split(" | ")[:3])
    return [Bar(OURS, time_ms), Bar(LOOP, time_ms * ratio)]


def module_bars(module: str, *peers: str) -> list[Bar]:
    """The times of a module and of its peers, from `rondo bench`."""
    for row in json.loads((RESULTS / "recurrent_speed.json").read_text())["rows"]:
        found = row["suite"], row["case"], row["run"], row["sizes"]
        if found == ("layers", module, "training", SIZES._asdict()):
            times = row["times_s"]
            medians = {name: 1e3 * times[name]["median"] for name in (OURS, *peers)}
            return [Bar(name.replace(PEERS["loop"], LOOP), medians[name]) for name in medians]
    raise ValueError(f"recurrent_speed.json has no {module} of T, B, I, H = {SIZES}")


def _panel(x: float, y: float, width: float, height: float, title: str, theme: Theme) -> str:
    return (
        f'<rect x="{x + 0.5}" y="{y + 0.5}" width="{width - 1}" height="{height - 1}" rx="8" '
        f'fill="{theme.page}" stroke="{theme.border}"/>'
        + _text(x + 16, y + 27, title, 15, theme.ink, 'font-weight="600"')
    )


def _graph(drawing: Drawing, x: float, y: float, width: float, theme: Theme) -> str:
    """A drawing in its own size and without its own legend, in the middle of a width."""
    svg = Drawing(replace(drawing.picture, legend=()), drawing.num_steps).svg
    head = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)" (viewBox="[^"]*")([^>]*)>', svg)
    assert head is not None, "a drawing has a size"
    body = svg[head.end() : svg.rindex("</svg>")]
    for old, new in theme.graph.items():
        body = body.replace(f'"{old}"', f'"{new}"')
    return (
        f'<svg x="{x + (width - float(head[1])) / 2:.1f}" y="{y}" width="{head[1]}" '
        f'height="{head[2]}" {head[3]}{head[4]}>{body}</svg>'
    )


def _legend(x: float, y: float, theme: Theme) -> str:
    """The two colours of the folded graph."""
    lines = (
        ("before", "once for all steps"),
        ("loop", "step by step"),
    )
    drawn = ""
    for number, (stage, words) in enumerate(lines):
        fill = theme.graph.get(FILLS[stage], FILLS[stage])
        ink = theme.graph.get(INKS[stage], INKS[stage])
        drawn += (
            f'<rect x="{x}" y="{y + 22 * number}" width="18" height="13" rx="3" fill="{fill}" '
            f'stroke="{ink}"/>'
        ) + _text(x + 27, y + 11 + 22 * number, words, 13, theme.ink)
    return drawn


def _code(lines: Sequence[str], x: float, y: float, theme: Theme) -> str:
    style = 'xml:space="preserve"'
    return "".join(
        _text(x, y + CODE_LINE * number, line, CODE_SIZE, theme.ink, style, MONO)
        for number, line in enumerate(lines)
    )


def _charts(x: float, y: float, width: float, theme: Theme) -> str:
    groups = {
        OWN_CELL: own_cell_bars(),
        "GRU": module_bars("GRU", PEERS["jax"], PEERS["nn"], PEERS["loop"]),
        "RNN": module_bars("RNN", PEERS["nn"]),
        "LSTM": module_bars("LSTM", PEERS["nn"]),
    }
    drawn = ""
    for title, bars in groups.items():
        drawn += _text(x, y + 12, title, 13, theme.ink, 'font-weight="600"')
        y += 19
        longest = max(bar.time_ms for bar in bars)
        for bar in bars:
            drawn += _bar(bar, longest, x, y, width, theme)
            y += 20
        y += 10
    note = f"T = {SIZES.num_steps}, B = {SIZES.batch_size}, H = {SIZES.hidden_size}, 2 CPU cores"
    return drawn + _text(x, y + 8, note, 12, theme.faint)


def _bar(bar: Bar, longest: float, x: float, y: float, width: float, theme: Theme) -> str:
    names, figure = 92, 44
    length = (width - names - figure) * bar.time_ms / longest
    ink = theme.ours if bar.is_ours else theme.others
    weight = 'font-weight="600"' if bar.is_ours else ""
    return (
        _text(x, y + 12, "Rondo" if bar.is_ours else bar.name, 13, theme.ink, weight)
        + f'<rect x="{x + names}" y="{y + 1}" width="{length:.1f}" height="14" rx="2" '
        f'fill="{ink}"/>'
        + _text(x + names + length + 6, y + 12, f"{bar.time_ms:.3g}", 13, theme.ink, weight)
    )


def _text(
    x: float, y: float, words: str, size: float, ink: str, style: str = "", font: str = SANS
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-family="{font}" fill="{ink}" '
        f"{style}>{escape(words)}</text>"
    )


def main() -> None:
    """Draw both variants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=IMAGES, help="the folder of the pictures")
    arguments = parser.parse_args()
    cell = readme_cell()
    layer = rondo.Recurrent(cell)
    layer(torch.zeros(SIZES.batch_size, SIZES.num_steps, cell.input_size))
    for name, theme in THEMES.items():
        (arguments.output / name).write_text(overview(layer, theme))


if __name__ == "__main__":
    main()
