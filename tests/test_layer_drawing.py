"""Drawings of layers: a box for each loop, the names of the weights, where directions meet."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.drawing import Drawing
from rondo.drawing.maps import inside
from rondo.drawing.picture import SWEEPS
from rondo.layers import state_to_final_output

SVG = "{http://www.w3.org/2000/svg}"


def labels(drawing: Drawing) -> list[str]:
    return [mark.label for mark in drawing.picture.marks]


def on_edges(drawing: Drawing) -> set[str]:
    return {arrow.label for arrow in drawing.picture.arrows if arrow.label}


def gru() -> rondo.GRUCell:
    return rondo.GRUCell(3, 4)


def spatial() -> rondo.SpatialRNN:
    return rondo.SpatialRNN((2, 3), rondo.GRUCell, input_channels=3, hidden_size=4)


# ---- RNN, LSTM and GRU ----


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU, rondo.RNN, rondo.LSTM, rondo.GRU])
def test_every_loop_is_a_box_with_a_loop(
    kind: type[nn.RNNBase], directions: int, num_layers: int
) -> None:
    module = kind(3, 4, num_layers=num_layers, bidirectional=directions == 2)
    drawing = rondo.draw(module)
    ways = [""] if directions == 1 else [" →", " ←"]
    boxes = [f"{kind.__name__}{way}" for _ in range(num_layers) for way in ways]
    merged = ["concat"] * num_layers if directions == 2 else []
    assert sorted(labels(drawing)) == sorted(["x", "y", *boxes, *merged])
    loops = [arrow for arrow in drawing.picture.arrows if arrow.delay]
    assert [loop.delay for loop in loops] == [1, -1][:directions] * num_layers
    assert len(drawing.layout.squares) == len(loops)
    assert on_edges(drawing) == {name for name, _ in module.named_parameters() if "weight" in name}


def test_every_layer_reads_what_the_layer_below_gives() -> None:
    picture = rondo.draw(nn.GRU(3, 4, num_layers=2, bidirectional=True)).picture
    edges = [(a.source, a.target) for a in picture.arrows if not a.delay]
    below, above = "layer.0", "layer.1"
    assert set(edges) == {
        ("x", f"{below}.forward"),
        ("x", f"{below}.backward"),
        (f"{below}.forward", f"{below}.merged"),
        (f"{below}.backward", f"{below}.merged"),
        (f"{below}.merged", f"{above}.forward"),
        (f"{below}.merged", f"{above}.backward"),
        (f"{above}.forward", f"{above}.merged"),
        (f"{above}.backward", f"{above}.merged"),
        (f"{above}.merged", "y"),
    }
    assert len(edges) == 9


def test_a_projection_stands_in_the_box_of_its_layer() -> None:
    drawing = rondo.draw(nn.LSTM(3, 4, proj_size=2, bidirectional=True))
    captions = {mark.label: mark.caption for mark in drawing.picture.marks if mark.caption}
    assert captions == {"LSTM →": "weight_hr_l0", "LSTM ←": "weight_hr_l0_reverse"}
    texts = [text.text for text in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    assert set(captions.values()) <= set(texts)
    assert 'label="LSTM →, weight_hr_l0"' in drawing.dot


def test_dropout_lies_between_layers() -> None:
    assert labels(rondo.draw(nn.GRU(3, 4, num_layers=3, dropout=0.5))).count("dropout") == 2


# ---- two directions ----


def test_directions_lie_side_by_side_with_their_loops_outside() -> None:
    drawing = rondo.draw(rondo.Bidirectional(gru(), gru()))
    boxes = {mark.label: box for mark, box in drawing.layout.nodes}
    forward, backward = boxes["GRU →"], boxes["GRU ←"]
    left, right = sorted(square.box.x for square in drawing.layout.squares)
    assert forward.y == backward.y
    assert left < forward.x < backward.x < right
    assert boxes["x"].x == pytest.approx(boxes["concat"].x, abs=25)


def test_what_runs_backward_is_grey_and_starts_at_the_right() -> None:
    drawing = rondo.draw(rondo.Bidirectional(rondo.LSTMCell(3, 4), gru()), steps=4)
    stages = {mark.label: mark.stage for mark in drawing.picture.marks}
    assert (stages["LSTM →"], stages["GRU ←"]) == (None, "backward")
    places = {mark.label: box.x for mark, box in drawing.layout.nodes}
    assert places["h(0), c(0)"] < places["x(1)"] < places["x(4)"] < places["h(5)"]


@pytest.mark.parametrize(
    ("merge", "word"), [("concat", "concat"), ("sum", "+"), ("mean", "mean"), ("product", "×")]
)
def test_the_node_where_directions_meet_says_how(merge: str, word: str) -> None:
    layer = rondo.Bidirectional(gru(), gru(), merge=merge)
    assert word in labels(layer.draw())


def test_a_stack_of_bidirectional_layers() -> None:
    layers = [rondo.Bidirectional(gru(), gru()), nn.Dropout(), rondo.Bidirectional(gru(), gru())]
    drawing = rondo.draw(nn.Sequential(*layers))
    assert sorted(labels(drawing)) == sorted(
        ["x", "y", "Dropout", *2 * ["GRU →", "GRU ←", "concat"]]
    )


class ThreeStates(rondo.Cell):
    """A cell whose parameters have names of their own, and whose state has three parts."""

    def __init__(self) -> None:
        super().__init__(3, 4, state_size=(4, 4, 4))
        self.U = nn.Linear(3, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        a, b, c = state
        return a, (b, c, self.U(x) + a)


def test_a_cell_of_your_own_has_no_names_to_write() -> None:
    drawing = rondo.draw(rondo.Bidirectional(ThreeStates(), gru()), steps=2)
    assert "ThreeStates →" in labels(drawing)
    assert on_edges(drawing) == {"weight_ih", "weight_hh"}
    assert "state(0)" in [mark.label for mark, _ in drawing.layout.nodes]


# ---- maps ----


def test_a_spatial_layer_has_four_loops() -> None:
    drawing = spatial().draw()
    sweeps = ["GRU ↓", "GRU ↑", "GRU →", "GRU ←"]
    assert sorted(labels(drawing)) == sorted(["x", "y", "2×3 blocks", *sweeps, *2 * ["concat"]])
    assert [arrow.delay for arrow in drawing.picture.arrows if arrow.delay] == [1, -1, 1, -1]
    assert len(drawing.layout.squares) == 4


@pytest.mark.parametrize("steps", [1, 3])
def test_unrolled_its_states_go_from_block_to_block(steps: int) -> None:
    drawing = spatial().draw(steps=steps)
    sweeps = {mark.label: mark.grid.sweep for mark in drawing.picture.marks if mark.grid}
    assert sweeps == {
        "2×3 blocks": "",
        "GRU ↓": "down",
        "GRU ↑": "up",
        "GRU →": "right",
        "GRU ←": "left",
    }
    root = ElementTree.fromstring(drawing.svg)
    heads = len(list(root.iter(f"{SVG}polygon")))
    circles = list(root.iter(f"{SVG}circle"))
    dashed = [circle for circle in circles if "stroke-dasharray" in circle.attrib]
    assert heads == 4 * steps**2 + len(drawing.picture.arrows)
    assert len(dashed) == 4 * steps
    assert len(circles) == 4 * steps * (steps + 1) + 2  # and x and y


def test_what_is_in_a_map_lies_in_its_box_and_apart() -> None:
    for mark, box in spatial().draw(steps=3).layout.nodes:
        nodes, edges = inside(mark, box)
        for number, (_, small) in enumerate(nodes):
            assert abs(small.x - box.x) + small.half_width < box.half_width
            assert abs(small.y - box.y) + small.half_height < box.half_height
            assert not any(small.overlaps(other, -1e-6) for _, other in nodes[number + 1 :])
        for _, curve in edges:
            (start, *_), ((x, y), way) = curve.pieces[0], curve.end
            assert mark.grid is not None
            assert way == pytest.approx(SWEEPS[mark.grid.sweep])
            assert (x - start[0], y - start[1]) != (0, 0)


def test_convolutions_and_spatial_layers_are_one_stack() -> None:
    stack = nn.Sequential(nn.Conv2d(3, 3, 1), spatial(), nn.ReLU())
    assert {"Conv2d", "ReLU", "GRU ↓"} <= set(labels(rondo.draw(stack, steps=2)))


# ---- layers draw themselves ----


@pytest.mark.parametrize(
    "layer",
    [
        rondo.Bidirectional(gru(), gru()),
        rondo.RNN(3, 4),
        rondo.LSTM(3, 4),
        rondo.GRU(3, 4, num_layers=2),
        spatial(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_draws_itself(layer: Any, tmp_path: Any) -> None:
    assert layer._repr_svg_() == rondo.draw(layer).svg
    path = tmp_path / "layer.svg"
    drawing = layer.draw(path, steps=2)
    assert path.read_text(encoding="utf-8") == drawing.svg == rondo.draw(layer, steps=2).svg


def test_an_accelerated_module_draws_itself() -> None:
    model = rondo.accelerate(nn.Sequential(nn.GRU(3, 4)))
    assert labels(model[0].draw()) == ["x", "GRU", "y"]


def test_drawing_changes_no_layer() -> None:
    torch.manual_seed(0)
    layer = rondo.Bidirectional(rondo.LSTMCell(3, 4), gru())
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.draw(steps=2)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


# ---- wrong use ----


class Joined(nn.Module):
    """Parts that are joined in a way that nobody can see."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.part = nn.Linear(3, 3), nn.GRU(3, 4)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (nn.Linear(3, 4), r"draw takes a cell, a layer .*, got a torch\.nn\.Linear; a cell is a"),
        (rondo.LSTMCell, r"got the class LSTMCell; make one of it first"),
        (nn.GRU, r"got the class torch\.nn\.GRU; make one of it first"),
        (nn.RNNCell(3, 4), r"got a torch\.nn\.RNNCell; draw a rondo\.ElmanCell, which computes"),
        (nn.LSTMCell(3, 4), r"got a torch\.nn\.LSTMCell; draw a rondo\.LSTMCell, which computes"),
        (Joined(), r"got a Joined; how its parts are joined .*; draw a part, such as its part$"),
        (nn.Sequential(Joined()), r"got a Joined; .*, such as its part$"),
        (nn.Sequential(state_to_final_output(3, 4, 2)), r"got a FinalOutput; .* on its own"),
        (3, r"got an int; a cell is a module that has a state_size"),
        (None, r"got a NoneType"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_said(thing: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        rondo.draw(thing)


def test_time_and_space_are_not_unrolled_at_once() -> None:
    stack = nn.Sequential(spatial(), nn.GRU(8, 4))
    assert len(rondo.draw(stack).layout.squares) == 5
    with pytest.raises(
        ValueError, match=r"SpatialRNN is unrolled over blocks, a GRU over time; draw one after"
    ):
        rondo.draw(stack, steps=2)


@pytest.mark.parametrize("layer", [rondo.GRU(3, 4), spatial()], ids=["gru", "spatial"])
def test_a_layer_has_at_least_one_step(layer: Any) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0"):
        layer.draw(steps=0)
