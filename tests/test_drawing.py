"""Drawings: what they show, where it lies, and the forms in which they are written."""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell
from rondo.drawing import Arrow, Drawing, Mark, Picture
from rondo.layers import output_to_state, state_to_final_output, state_to_state

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def many_loops() -> rondo.GraphCell:
    """Loops through one, two and three nodes, with delays of 1, 2 and 3."""
    return rondo.GraphCell(
        nodes={name: rondo.Node(3, torch.tanh) for name in "abc"},
        edges={
            "U": rondo.Edge("x", "a", nn.Linear(2, 3)),
            "A": rondo.Edge("a", "b", nn.Linear(3, 3)),
            "B": rondo.Edge("b", "c", nn.Linear(3, 3)),
            "own": rondo.Edge("a", "a", nn.Linear(3, 3), delay=1),
            "near": rondo.Edge("b", "a", nn.Linear(3, 3), delay=1),
            "far": rondo.Edge("c", "a", nn.Linear(3, 3), delay=3),
            "again": rondo.Edge("c", "c", nn.Linear(3, 3), delay=2),
            "up": rondo.Edge("a", "c", delay=2),
            "late": rondo.Edge("x", "b", nn.Linear(2, 3), delay=2),
        },
        output="c",
        input_size=2,
    )


def make_elman() -> rondo.ElmanCell:
    return rondo.ElmanCell(3, 4)


def spatial() -> rondo.SpatialRNN:
    return rondo.SpatialRNN((2, 3), rondo.LSTMCell, input_channels=3, hidden_size=4)


def drawn() -> dict[str, Any]:
    """What is drawn folded and unrolled."""
    cells = {name: rondo.Recurrent(make_cell(name, 3, 4, torch.float32)) for name in CELLS}
    return {
        **cells,
        "state-to-state": state_to_state(3, 4, 2),
        "output-to-state": output_to_state(3, 4, 2),
        "state-to-final-output": state_to_final_output(3, 4, 2),
        "final-lstm": rondo.FinalOutput(rondo.LSTMCell(3, 4), nn.Linear(4, 2)),
        "many-loops": many_loops(),
        "many-loops-operations": rondo.Recurrent(many_loops()).graph,
        "reversed": rondo.Recurrent(rondo.ElmanCell(3, 4), reverse=True),
        "bidirectional": rondo.Bidirectional(rondo.LSTMCell(3, 4), rondo.GRUCell(3, 4)),
        "bidirectional-sum": rondo.Bidirectional(make_elman(), make_elman(), merge="sum"),
        "one-layer": nn.RNN(3, 4),
        "three-layers": nn.LSTM(3, 4, num_layers=3, bidirectional=True),
        "projected": rondo.LSTM(3, 4, num_layers=2, proj_size=2, dropout=0.5, bidirectional=True),
        "spatial": nn.Sequential(nn.Conv2d(3, 3, 1), spatial()),
        "stack": nn.Sequential(
            nn.Linear(3, 4), rondo.Recurrent(rondo.GRUCell(4, 4)), nn.GRU(4, 4), nn.Tanh()
        ),
    }


DRAWN = drawn()


FORMS: dict[str, Callable[[Any], Drawing]] = {
    "folded": rondo.draw,
    "1-step": lambda thing: rondo.draw(thing, steps=1),
    "4-steps": lambda thing: rondo.draw(thing, steps=4),
    "plan": lambda thing: thing.plan.draw(),
    "backward": lambda thing: thing.backward_plan.draw(),
}

KINDS = [
    (name, form)
    for name in DRAWN
    for form in FORMS
    if name in CELLS or form not in ("plan", "backward")
]


@functools.cache
def drawing_of(name: str, form: str) -> Drawing:
    return FORMS[form](DRAWN[name])


@pytest.fixture(params=KINDS, ids="-".join, scope="module")
def drawing(request: pytest.FixtureRequest) -> Drawing:
    return drawing_of(*request.param)


# ---- where everything lies ----


def test_no_two_nodes_overlap(drawing: Drawing) -> None:
    boxes = drawing.layout.boxes
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert not box.overlaps(other, gap=2)


def test_no_edge_crosses_a_node(drawing: Drawing) -> None:
    """But for its own ends, which it touches, and the delay mark on a loop at a node's side."""
    for arrow, curve, _ in drawing.layout.edges:
        if drawing.num_steps is None and arrow.source == arrow.target:
            continue
        ends = {curve.points[0], curve.points[-1]}
        for box in drawing.layout.boxes:
            if any(box.x - box.half_width - 1 <= x <= box.x + box.half_width + 1
                   and box.y - box.half_height - 1 <= y <= box.y + box.half_height + 1
                   for x, y in ends):  # fmt: skip
                continue
            inside = [
                (x, y)
                for x, y in curve.points
                if abs(x - box.x) < box.half_width and abs(y - box.y) < box.half_height
            ]
            assert not inside, arrow


def test_texts_lie_in_the_view_box_and_on_no_node(drawing: Drawing) -> None:
    left, top, width, height = map(
        float, ElementTree.fromstring(drawing.svg).attrib["viewBox"].split()
    )
    for label in drawing.layout.labels:
        box = label.box
        assert left <= box.x - box.half_width
        assert box.x + box.half_width <= left + width
        assert top <= box.y - box.half_height
        assert box.y + box.half_height <= top + height
        assert not any(box.overlaps(node) for node in drawing.layout.boxes), label.text


def test_no_two_texts_overlap(drawing: Drawing) -> None:
    boxes = [(label.text, label.box) for label in drawing.layout.labels]
    for number, (text, box) in enumerate(boxes):
        for other, beside in boxes[number + 1 :]:
            assert not box.overlaps(beside), (text, other)


def test_the_svg_is_xml_with_every_label(drawing: Drawing) -> None:
    root = ElementTree.fromstring(drawing.svg)
    assert root.tag == f"{SVG}svg"
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for mark, _ in drawing.layout.nodes:
        assert mark.label in texts
    for _, words in drawing.picture.legend:
        assert words in texts


def test_a_drawing_is_the_same_every_time() -> None:
    first, second = (rondo.draw(rondo.LSTMCell(3, 4), steps=3).svg for _ in range(2))
    assert first == second


def test_time_runs_to_the_right() -> None:
    places = {
        mark.label: box for mark, box in rondo.draw(state_to_state(3, 4, 2), steps=3).layout.nodes
    }
    for name in "xhy":
        row = [places[f"{name}({t})"] for t in (1, 2, 3)]
        assert row[0].x < row[1].x < row[2].x
        assert len({box.y for box in row}) == 1
    assert places["x(1)"].y > places["h(1)"].y > places["y(1)"].y
    assert places["h(0)"].x < places["h(1)"].x


def test_a_backward_layer_starts_at_the_right() -> None:
    layer = rondo.Recurrent(rondo.ElmanCell(3, 4), reverse=True)
    places = {mark.label: box for mark, box in layer.draw(steps=3).layout.nodes}
    assert places["h(4)"].x > places["x(3)"].x


# ---- what is shown ----


def labels(drawing: Drawing) -> list[str]:
    return [mark.label for mark in drawing.picture.marks]


def test_an_lstm_is_read_as_people_draw_it() -> None:
    drawing = rondo.draw(rondo.LSTMCell(3, 4))
    assert sorted(labels(drawing)) == sorted([*"xyΣσσσ×××+", "tanh", "tanh"])
    on_edges = {arrow.label for arrow in drawing.picture.arrows}
    assert {"i", "f", "g", "o", "weight_hh", "weight_ih, bias_ih"} <= on_edges
    assert {arrow.carries for arrow in drawing.picture.arrows if arrow.delay} == {"h", "c"}
    assert len(drawing.layout.squares) == 2


def test_the_words_of_a_cell_are_its_own() -> None:
    drawing = rondo.draw(make_cell("peephole-norm-lstm", 3, 4, torch.float32))
    assert "layer norm" in labels(drawing)
    on_edges = {arrow.label for arrow in drawing.picture.arrows}
    assert {"from_x", "from_h", "⊙ peephole", "out_0", "out_2"} <= on_edges


def carried(drawing: Drawing) -> set[str]:
    return {arrow.carries for arrow in drawing.picture.arrows if arrow.delay}


def captions(drawing: Drawing) -> set[str]:
    return {mark.caption for mark in drawing.picture.marks}


def test_states_are_called_what_comes_back_as_them() -> None:
    assert carried(rondo.draw(rondo.SLSTMCell(3, 4))) == {"h", "c", "n", "m"}
    full = rondo.draw(rondo.LSTMVariantCell(3, 4, variant="FGR"))
    assert carried(full) == {"h", "c", "i", "f", "o"}
    assert carried(rondo.draw(rondo.LRUCell(3, 4))) == {"new_real", "new_imaginary"}
    deep = rondo.draw(rondo.DeepCell(3, 4, transition_sizes=(4,)))
    assert carried(deep) == {"h"}  # which the cell calls y in the end, as the output is
    assert "y" not in captions(deep)


def test_a_cell_within_a_cell_has_its_own_words() -> None:
    drawing = rondo.draw(rondo.VariationalCell(rondo.GRUCell(3, 4)))
    assert captions(drawing) >= {"r", "z", "n", "h"}
    assert carried(drawing) == {"h", "mask"}
    stack = rondo.draw(rondo.StackedCell(rondo.GRUCell(3, 4), rondo.GRUCell(4, 4)))
    assert carried(stack) == {"h"}
    assert "cells_1_weight_hh, bias_hh" in {arrow.label for arrow in stack.picture.arrows}


def test_a_part_without_a_name_is_called_after_what_is_made_of_it() -> None:
    for cell in (rondo.GRUCell(3, 4), rondo.GRUCell(3, 4, reset="before")):
        on_edges = Counter(arrow.label for arrow in rondo.draw(cell).picture.arrows)
        assert on_edges["r"] == on_edges["z"] == 2
        assert on_edges["n"] >= 1
        assert not any(label.startswith("[") for label in on_edges)


class Halves(rondo.Cell):
    """Parts that go into several values, into another function, and into a value with a name."""

    def __init__(self) -> None:
        super().__init__(4, 4)
        self.U = nn.Linear(4, 12)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.U(x).chunk(3, -1)
        gate = torch.sigmoid(parts[0] + h)
        h = gate * h + parts[1] * parts[1].exp() + parts[2].exp().sin()
        return h, h


def test_only_what_is_made_of_one_part_gives_it_a_name() -> None:
    on_edges = {arrow.label for arrow in rondo.draw(Halves()).picture.arrows}
    assert {"gate", "[1]", "[2]"} <= on_edges
    assert "[0]" not in on_edges


def test_a_part_of_a_weight_says_which() -> None:
    picture = rondo.draw(rondo.LSTMCell(3, 4, peepholes=True)).picture
    on_edges = {arrow.label for arrow in picture.arrows}
    assert {"⊙ weight_ch[0]", "⊙ weight_ch[1]", "⊙ weight_ch[2]"} <= on_edges


class Products(rondo.Cell):
    """Products of many kinds: a weight at the left, added to a value, of two values, scaled."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.left, self.right = nn.Parameter(torch.eye(3)), nn.Parameter(torch.eye(3))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        from_left = (self.left @ x.T).T
        added = torch.addmm(from_left.exp(), h, self.right)
        scaled = torch.addmm(added, h, self.right, beta=0.5).tanh()
        outer = torch.bmm((scaled + x).unsqueeze(2), x.unsqueeze(1)).sum(2)
        return outer, torch.add(scaled, h, alpha=2)


def test_products_of_every_kind_lose_nothing() -> None:
    picture = rondo.draw(Products()).picture
    arrows = {(a.source, a.target, a.label, a.delay) for a in picture.arrows}
    assert ("op exp", "meet addmm", "", 0) in arrows
    assert ("op add_1", "meet addmm", "right", 1) in arrows
    assert ("x", "op exp", "left", 0) in arrows
    assert {("meet addmm", "op addmm_1", "", 0), ("op add_1", "op addmm_1", "", 1)} <= arrows
    assert {("op tanh", "meet add", "", 0), ("x", "meet add", "", 0)} <= arrows
    assert {("meet add", "op bmm", "", 0), ("x", "op bmm", "", 0)} <= arrows
    assert {("op tanh", "op add_1", "", 0), ("op add_1", "op add_1", "", 1)} <= arrows
    assert ("parameter right", "op addmm_1", "", 0) in arrows
    assert {mark.label for mark in picture.marks} >= {"product", "+ 2 ×"}


def test_a_plan_has_four_colours() -> None:
    picture = DRAWN["normalised-weight"].plan.draw().picture
    stages = {mark.label: mark.stage for mark in picture.marks}
    assert (stages["norm"], stages["Σ"], stages["softmax"]) == ("constants", "loop", "loop")
    assert {"constants", "before", "loop", "after"} <= {mark.stage for mark in picture.marks}
    assert picture.legend[1] == ("before", "before: 1 operation, once, for all steps together")


def test_a_backward_plan_shows_the_gradients_of_the_weights() -> None:
    picture = DRAWN["lstm"].backward_plan.draw().picture
    marks = {mark.label: mark for mark in picture.marks}
    assert {"grad_x", "grad_weight_ih", "σ(f)", "tanh(g)", "h(t-1)"} <= set(marks)
    assert marks["grad_weight_ih"].kind == "sum"


def test_loops_that_keep_or_chain_their_state_are_drawn() -> None:
    kept = rondo.draw(make_cell("memoryless", 3, 4, torch.float32)).picture
    assert [(a.source, a.target) for a in kept.arrows if a.delay] == [("kept h", "kept h")]
    chained = rondo.Recurrent(many_loops()).graph.draw().picture
    assert sorted(arrow.delay for arrow in chained.arrows if arrow.delay) == [1, 1, 2, 2, 2, 3]


def test_a_final_output_is_there_once() -> None:
    drawing = state_to_final_output(3, 4, 2).draw(steps=3)
    assert [mark.label for mark, _ in drawing.layout.nodes].count("y") == 1
    assert drawing.dot.count('label="y"') == 1


# ---- forms ----

ELMAN = Picture(
    (
        Mark("x", "x", "input", is_timed=True),
        Mark("h", "h", is_timed=True),
        Mark("y", 'the "y"', "output", stage="after"),
    ),
    (Arrow("x", "h", "U"), Arrow("h", "h", "W", delay=1), Arrow("h", "y", "V", stage="after")),
)

DOT = """\
digraph {
  rankdir=BT
  node [shape=ellipse, fontname="Times"]
  "x" [label="x"]
  "h" [label="h"]
  "y" [label="the \\"y\\"", style=filled, fillcolor="#d9efd9", color="#2c7a37"]
  "x" -> "h" [label="U"]
  "h" -> "h" [label="W, delay 1", style=dashed, constraint=false]
  "h" -> "y" [label="V", color="#2c7a37"]
}
"""

MERMAID = """\
flowchart BT
  n0(["x"])
  n1(["h"])
  n2(["the #quot;y#quot;"]):::after
  n0 -->|"U"| n1
  n1 -.->|"W, delay 1"| n1
  n1 -->|"V"| n2
  classDef after fill:#d9efd9,stroke:#2c7a37
"""


def test_dot_and_mermaid_of_a_small_graph() -> None:
    assert Drawing(ELMAN).dot == DOT
    assert Drawing(ELMAN).mermaid == MERMAID


def test_unrolled_text_has_no_loop() -> None:
    dot = Drawing(ELMAN, 2).dot
    assert '"h_0" -> "h_1" [label="W"]' in dot
    assert '"h_1" -> "h_2" [label="W"]' in dot
    assert "delay" not in dot


def test_a_drawing_saves_itself_as_its_ending_says(tmp_path: Path) -> None:
    drawing = Drawing(ELMAN)
    forms = {"a.svg": drawing.svg, "a.DOT": DOT, "a.gv": DOT, "a.mmd": MERMAID}
    for name, text in forms.items():
        assert drawing.save(tmp_path / name) is drawing
        assert (tmp_path / name).read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match=r"saved as .svg, .dot, .gv, .mmd, got .*a.png"):
        drawing.save(tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_notebooks_show_drawings() -> None:
    layer = DRAWN["elman"]
    for thing in (
        layer,
        layer.graph,
        layer.plan,
        layer.graph.unroll(2),
        layer.draw(),
        many_loops(),
    ):
        assert thing._repr_svg_().startswith("<svg")


def test_marks_of_text_are_escaped() -> None:
    picture = Picture((Mark("a", "<&>"), Mark("b", "b")), (Arrow("a", "b", 'W<"&'),))
    root = ElementTree.fromstring(Drawing(picture).svg)
    assert {"<&>", 'W<"&'} <= {text.text for text in root.iter(f"{SVG}text")}
    json.dumps(Drawing(picture).mermaid)


def test_the_gallery_is_what_its_script_draws(tmp_path: Path) -> None:
    """In its words; places may differ by rounding from machine to machine."""
    script, images = ROOT / "examples" / "gallery.py", ROOT / "docs" / "images"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    drawn, kept = (
        {
            path.relative_to(folder): [
                text.text for text in ElementTree.parse(path).iter(f"{SVG}text")
            ]
            for path in (*folder.glob("*.svg"), *folder.glob("cells/*.svg"))
            if not path.name.startswith(("overview", "token"))  # which others draw
        }
        for folder in (tmp_path, images)
    )
    assert drawn == kept


# ---- wrong use ----


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, "3"])
def test_a_number_of_steps_must_be_one(steps: Any) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got"):
        rondo.draw(rondo.ElmanCell(3, 4), steps=steps)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got"):
        DRAWN["elman"].graph.unroll(steps)


def test_a_plan_is_not_unrolled() -> None:
    with pytest.raises(ValueError, match="a Plan is drawn as it is; leave out steps"):
        rondo.draw(DRAWN["elman"].plan, steps=3)


# ---- any picture ----


def random_picture(seed: int) -> Picture:
    draw = random.Random(seed)
    ids = [f"n{number}" for number in range(draw.randint(1, 8))]
    words, names = ["σ", "layer norm", "tanh"], ["", "", "W", "weight_hh"]
    marks = [Mark("x", "x", "input", is_timed=True)]
    marks += [
        Mark(id, draw.choice([id, *words]), caption=draw.choice(["", "gates"]), is_timed=True)
        for id in ids
    ]
    arrows = []
    for number, id in enumerate(ids):
        earlier = ["x", *ids[:number]]
        for source in draw.sample(earlier, min(len(earlier), draw.randint(1, 3))):
            arrows.append(Arrow(source, id, draw.choice(names)))
        for source in draw.sample(ids, draw.randint(0, 1)):
            arrows.append(Arrow(source, id, draw.choice(names), delay=draw.choice([1, 1, 2])))
    return Picture(tuple(marks), tuple(arrows))


@pytest.mark.parametrize("steps", [None, 1, 3])
@pytest.mark.parametrize(
    "seeds", [range(12), pytest.param(range(12, 60), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_any_picture_is_laid_out_as_well(seeds: range, steps: int | None) -> None:
    for seed in seeds:
        found = Drawing(random_picture(seed), steps)
        test_no_two_nodes_overlap(found)
        test_no_edge_crosses_a_node(found)
        test_texts_lie_in_the_view_box_and_on_no_node(found)
        test_the_svg_is_xml_with_every_label(found)
