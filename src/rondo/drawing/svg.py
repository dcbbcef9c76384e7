"""A layout as SVG text, without any program or library."""

from __future__ import annotations

from xml.sax.saxutils import escape

from rondo.drawing.curves import Box, Curve
from rondo.drawing.labels import Label
from rondo.drawing.maps import TITLE, inside
from rondo.drawing.picture import Arrow, Mark
from rondo.drawing.placed import Layout, Square
from rondo.drawing.sizes import LABEL_SIZE, LINE, MARGIN, SMALL_SIZE, is_layer, text_width

FONT = "'Latin Modern Roman','STIX Two Text','Libertinus Serif','Times New Roman',Times,serif"
INK = "#1a1a1a"
FILLS = {
    "constants": "#e9e9e9",
    "before": "#d6e6f7",
    "loop": "#fbd9cd",
    "after": "#d9efd9",
    "backward": "#ebebeb",
}
INKS = {
    "constants": "#6b6b6b",
    "before": "#1f5f9e",
    "loop": "#b3411d",
    "after": "#2c7a37",
    "backward": INK,
}
CORNERS = {"parameter": 3, "sum": 3, "block": 0}  # of boxes; of others 9
HEAD_LENGTH, HEAD_HALF = 8.0, 3.4
LEGEND_LINE = 20.0


def to_svg(layout: Layout, legend: tuple[tuple[str, str], ...] = ()) -> str:
    """Write a layout as an SVG document."""
    left, top, right, bottom = _bounds(layout)
    for _, words in legend:
        right = max(right, left + 24 + text_width(words, SMALL_SIZE + 1))
    width = right - left + 2 * MARGIN
    height = bottom - top + 2 * MARGIN + (LEGEND_LINE * len(legend) + 12 if legend else 0)
    x, y = left - MARGIN, top - MARGIN
    body = [_edge(*edge) for edge in layout.edges]
    body += [
        f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="2.6" fill="{INK}"/>' for cx, cy in layout.dots
    ]
    body += [_node(*node) for node in layout.nodes]
    body += [_square(square) for square in layout.squares]
    body += [_label(label) for label in layout.labels]
    body += _legend(legend, left, bottom + 12)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.1f}" height="{height:.1f}" '
            f'viewBox="{x:.1f} {y:.1f} {width:.1f} {height:.1f}" font-family="{FONT}">',
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            'fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _bounds(layout: Layout) -> tuple[float, float, float, float]:
    xs, ys = [], []
    for box in layout.boxes + [label.box for label in layout.labels]:
        xs += [box.x - box.half_width, box.x + box.half_width]
        ys += [box.y - box.half_height, box.y + box.half_height]
    for _, curve, _ in layout.edges:
        points = curve.points
        xs += [px for px, _ in points]
        ys += [py for _, py in points]
    return min(xs, default=0.0), min(ys, default=0.0), max(xs, default=0.0), max(ys, default=0.0)


def _ink(stage: str | None) -> str:
    return INK if stage is None else INKS[stage]


def _edge(arrow: Arrow, curve: Curve, has_head: bool) -> str:
    ink = _ink(arrow.stage)
    if not has_head:
        return f'<path d="{curve.path}" fill="none" stroke="{ink}" stroke-width="1.3"/>'
    (x, y), (u, v) = curve.end
    base = (x - HEAD_LENGTH * u, y - HEAD_LENGTH * v)
    a, b, c, _ = curve.pieces[-1]
    near = (c[0] - 0.7 * HEAD_LENGTH * u, c[1] - 0.7 * HEAD_LENGTH * v)
    inner = (x - 0.75 * HEAD_LENGTH * u, y - 0.75 * HEAD_LENGTH * v)
    line = Curve((*curve.pieces[:-1], (a, b, near, inner)))
    corners = [
        (x, y),
        (base[0] - HEAD_HALF * v, base[1] + HEAD_HALF * u),
        inner,
        (base[0] + HEAD_HALF * v, base[1] - HEAD_HALF * u),
    ]
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in corners)
    return (
        f'<path d="{line.path}" fill="none" stroke="{ink}" stroke-width="1.3"/>'
        f'<polygon points="{points}" fill="{ink}"/>'
    )


def _node(mark: Mark, box: Box) -> str:
    fill = "white" if mark.stage is None else FILLS[mark.stage]
    style = f'fill="{fill}" stroke="{_ink(mark.stage)}" stroke-width="1.4"'
    if mark.kind == "state":
        style += ' stroke-dasharray="4 2.5"'
    if box.is_round:
        shape = f'<circle cx="{box.x:.1f}" cy="{box.y:.1f}" r="{box.half_width:.1f}" {style}/>'
    else:
        shape = _rectangle(box, style, CORNERS.get(mark.kind, 9))
    return f"<g>{shape}{_inside(mark, box)}{_words(mark, box)}</g>"


def _inside(mark: Mark, box: Box) -> str:
    """What a map shows."""
    nodes, edges = inside(mark, box)
    return "".join(
        [_edge(arrow, curve, True) for arrow, curve in edges] + [_node(*n) for n in nodes]
    )


def _words(mark: Mark, box: Box) -> str:
    """The label of a node, and of a layer the caption below it."""
    if not mark.label:
        return ""
    italic = "" if mark.kind == "operation" else ' font-style="italic"'
    size = LABEL_SIZE + (3 if len(mark.label) == 1 and mark.kind == "operation" else 0)
    y = box.y if mark.grid is None else box.y - box.half_height + TITLE / 2
    lines = [(mark.label, size)]
    if mark.caption and is_layer(mark):
        lines.append((mark.caption, SMALL_SIZE))
        y -= 0 if mark.grid else LINE / 2
    return "".join(
        f'<text x="{box.x:.1f}" y="{y + number * LINE + 0.33 * size:.1f}" text-anchor="middle" '
        f'font-size="{size}"{italic} fill="{INK}">{escape(text)}</text>'
        for number, (text, size) in enumerate(lines)
    )


def _rectangle(box: Box, style: str, corner: float) -> str:
    x, y = box.x - box.half_width, box.y - box.half_height
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{2 * box.half_width:.1f}" '
        f'height="{2 * box.half_height:.1f}" rx="{corner}" {style}/>'
    )


def _square(square: Square) -> str:
    text = ""
    if abs(square.delay) > 1:
        text = (
            f'<text x="{square.box.x:.1f}" y="{square.box.y + 4:.1f}" text-anchor="middle" '
            f'font-size="{SMALL_SIZE}" fill="white">{abs(square.delay)}</text>'
        )
    return f'<g class="delay">{_rectangle(square.box, f"fill={INK!r}", 0)}{text}</g>'.replace(
        "'", '"'
    )


def _label(label: Label) -> str:
    """A text, above a white one that keeps lines away from it."""
    (x, y), ink = label.at, _ink(label.stage)
    text = (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{label.anchor}" font-size="{label.size}" '
        'font-style="italic" '
    )
    words = f">{escape(label.text)}</text>"
    halo = 'fill="white" stroke="white" stroke-width="3" stroke-linejoin="round"'
    return f'{text}{halo}{words}{text}fill="{ink}"{words}'


def _legend(legend: tuple[tuple[str, str], ...], left: float, top: float) -> list[str]:
    lines = []
    for number, (stage, words) in enumerate(legend):
        y = top + LEGEND_LINE * number
        style = f'fill="{FILLS[stage]}" stroke="{INKS[stage]}" stroke-width="1.2"'
        lines.append(
            f"{_rectangle(Box(left + 8, y + 8, 8, 6, False), style, 3)}"
            f'<text x="{left + 24:.1f}" y="{y + 12:.1f}" font-size="{SMALL_SIZE + 1}" '
            f'fill="{INK}">{escape(words)}</text>'
        )
    return lines
