"""A picture as DOT, for Graphviz, and as Mermaid, for pages that draw it."""

from __future__ import annotations

import json

from rondo.drawing.picture import Mark, Picture
from rondo.drawing.sizes import is_layer
from rondo.drawing.svg import FILLS, INKS

DOT_SHAPES = {"operation": "circle", "parameter": "box", "sum": "box"}
MERMAID_SHAPES = {"operation": ("((", "))"), "parameter": ("[", "]"), "sum": ("[[", "]]")}


def to_dot(picture: Picture) -> str:
    """Write a picture as a DOT graph; a delayed edge is dashed and says its delay."""
    lines = ["digraph {", "  rankdir=BT", '  node [shape=ellipse, fontname="Times"]']
    for mark in picture.marks:
        parts = [f"label={json.dumps(_node_text(mark), ensure_ascii=False)}"]
        if mark.kind in DOT_SHAPES:
            parts.append(f"shape={DOT_SHAPES[mark.kind]}")
        if mark.stage is not None:
            fill, ink = FILLS[mark.stage], INKS[mark.stage]
            parts.append(f'style=filled, fillcolor="{fill}", color="{ink}"')
        lines.append(f"  {_quoted(mark.id)} [{', '.join(parts)}]")
    for arrow in picture.arrows:
        text = _edge_text(arrow.label, arrow.delay)
        parts = [f"label={json.dumps(text, ensure_ascii=False)}"] if text else []
        parts += ["style=dashed", "constraint=false"] if arrow.delay else []
        parts += [f'color="{INKS[arrow.stage]}"'] if arrow.stage is not None else []
        options = f" [{', '.join(parts)}]" if parts else ""
        lines.append(f"  {_quoted(arrow.source)} -> {_quoted(arrow.target)}{options}")
    return "\n".join([*lines, "}\n"])


def to_mermaid(picture: Picture) -> str:
    """Write a picture as a Mermaid flow chart; a delayed edge is dotted and says its delay."""
    names = {mark.id: f"n{number}" for number, mark in enumerate(picture.marks)}
    lines = ["flowchart BT"]
    for mark in picture.marks:
        opening, closing = MERMAID_SHAPES.get(mark.kind, ("([", "])"))
        text = _node_text(mark).replace('"', "#quot;")
        style = f":::{mark.stage}" if mark.stage is not None else ""
        lines.append(f'  {names[mark.id]}{opening}"{text}"{closing}{style}')
    for arrow in picture.arrows:
        text = _edge_text(arrow.label, arrow.delay).replace('"', "#quot;")
        line = "-.->" if arrow.delay else "-->"
        label = f'|"{text}"|' if text else ""
        lines.append(f"  {names[arrow.source]} {line}{label} {names[arrow.target]}")
    for stage in dict.fromkeys(mark.stage for mark in picture.marks if mark.stage is not None):
        lines.append(f"  classDef {stage} fill:{FILLS[stage]},stroke:{INKS[stage]}")
    return "\n".join(lines) + "\n"


def _node_text(mark: Mark) -> str:
    joint = ", " if is_layer(mark) else " = "
    return joint.join(text for text in (mark.label, mark.caption) if text)


def _edge_text(label: str, delay: int) -> str:
    steps = f"delay {delay}" if delay else ""
    return ", ".join(part for part in (label, steps) if part)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
