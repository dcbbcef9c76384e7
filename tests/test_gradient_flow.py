"""How far gradients reach back, against plain PyTorch that keeps every state."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from cases import CELLS, VARIANTS, make_cell
from rondo.cells import initial_state
from rondo.compiler.gates import gates
from rondo.layers.watch import watching
from rondo.looks.flow_picture import draw_flows
from rondo.training import GradientFlow, gradient_flow

ROOT = Path(__file__).parents[1]
NUM_STEPS = 6
DETERMINED = [name for name in VARIANTS if "variational" not in name]


def layer_of(name: str, **options: Any) -> rondo.Recurrent:
    return rondo.Recurrent(make_cell(name, 3, 4, torch.float64), engine="reference", **options)


def states_of_plain_steps(cell: nn.Module, x: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """The output and the state of each step of x (B, T, ...), by the cell itself."""
    state = pytree.tree_map(lambda s: s.clone().requires_grad_(), initial_state(cell, x[:, 0]))
    yield x, pytree.tree_leaves(state)
    for t in range(x.shape[1]):
        y, state = cell(x[:, t], state)
        yield y, pytree.tree_leaves(state)


def plain_norms(cell: nn.Module, x: Tensor, num_given: int) -> Tensor:
    """‖∂J/∂s(t)‖ (states, T + 1), J the squares of the outputs of the first steps."""
    outputs, states = zip(*states_of_plain_steps(cell, x), strict=True)
    J = sum(y.square().sum() for y in outputs[1 : num_given + 1])
    grads = torch.autograd.grad(J, [s for state in states for s in state], materialize_grads=True)
    return torch.stack([grad.norm() for grad in grads]).view(len(states), -1).T


@pytest.mark.parametrize(
    "name", [*CELLS, *(pytest.param(n, marks=pytest.mark.slow) for n in DETERMINED)]
)
def test_norms_are_those_of_the_states_that_the_cell_makes(name: str) -> None:
    layer, x = layer_of(name), torch.randn(2, NUM_STEPS, 3, dtype=torch.float64)
    flow = gradient_flow(layer, x, lambda y: y[:, :4].square().sum())
    expected = plain_norms(layer.cell, x, 4)
    if name == "memoryless":
        assert not flow.norms
        return
    assert len(flow.norms) == len(expected)
    for norms, other in zip(flow.norms.values(), expected, strict=True):
        assert norms.shape == (NUM_STEPS + 1,)
        torch.testing.assert_close(norms, other, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", [*CELLS, "stack", "variational-gru", "jordan-forced"])
def test_watching_changes_no_result(name: str, reverse: bool) -> None:
    layer = layer_of(name, reverse=reverse)
    x = torch.randn(3, NUM_STEPS, 3, dtype=torch.float64, requires_grad=True)
    given = {"lengths": torch.tensor([4, 0, 6]), "resets": torch.rand(3, NUM_STEPS) < 0.3}

    def results() -> list[Tensor]:
        torch.manual_seed(3)  # the masks of variational cells
        values = pytree.tree_leaves(layer(x, **given, return_states=True))
        J = sum(value.square().sum() for value in values)
        own = [x, *layer.parameters()]
        return [*values, *torch.autograd.grad(J, own, materialize_grads=True)]

    expected = results()
    with watching(layer):
        found = results()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_rows_of_a_ragged_batch_flow_each_on_its_own() -> None:
    layer = layer_of("lstm")
    x, lengths = torch.randn(3, NUM_STEPS, 3, dtype=torch.float64), torch.tensor([2, 6, 4])
    x[0, 2:] = torch.nan
    flow = gradient_flow(layer, x, lambda y: y.square().sum(), lengths=lengths)
    alone = [
        gradient_flow(layer, x[n : n + 1, :length], lambda y: y.square().sum())
        for n, length in enumerate(lengths.tolist())
    ]
    for state in ("h", "c"):
        squares = torch.zeros(NUM_STEPS + 1, dtype=torch.float64)
        for one in alone:
            squares[: len(one.norms[state])] += one.norms[state].square()
        torch.testing.assert_close(flow.norms[state], squares.sqrt())
    torch.testing.assert_close(flow.gates["σ(f)"], alone[1].gates["σ(f)"])


def test_no_gradient_flows_past_a_reset() -> None:
    resets = torch.zeros(1, NUM_STEPS, dtype=torch.bool)
    resets[0, 3] = True
    flow = gradient_flow(
        layer_of("gru"), torch.randn(1, NUM_STEPS, 3, dtype=torch.float64), resets=resets
    )
    assert (flow.norms["h"][1:4] == 0).all()
    assert (flow.norms["h"][4:] > 0).all()
    assert flow.norms["h"][0] > 0  # the initial state, from which the row begins anew


def test_a_layer_in_reverse_counts_its_steps_as_it_runs_them() -> None:
    x = torch.randn(2, NUM_STEPS, 3, dtype=torch.float64)
    backward = gradient_flow(layer_of("gru", reverse=True), x.flip(1), lambda y: y[:, 0].sum())
    forward = gradient_flow(layer_of("gru"), x, lambda y: y[:, -1].sum())
    torch.testing.assert_close(backward.norms, forward.norms)
    torch.testing.assert_close(backward.gates, forward.gates)


def test_without_a_loss_the_gradient_starts_with_norm_1() -> None:
    x = torch.randn(5, NUM_STEPS, 3, dtype=torch.float64)
    expected = gradient_flow(layer_of("gru"), x).norms["h"]
    assert expected[-1] == pytest.approx(1, abs=1e-12)
    time_first = gradient_flow(layer_of("gru", batch_first=False), x.transpose(0, 1))
    torch.testing.assert_close(time_first.norms["h"], expected)
    lengths = torch.full((5,), NUM_STEPS)
    torch.testing.assert_close(
        gradient_flow(layer_of("gru"), x, lengths=lengths).norms["h"], expected
    )
    final = rondo.FinalOutput(layer_of("gru").cell, nn.Identity())
    torch.testing.assert_close(gradient_flow(final, x).norms["h"], expected)


def test_a_linear_loop_by_hand() -> None:
    class Decay(nn.Module):
        input_size, state_size = 1, 1

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = 0.5 * h + x
            return h, h

    flow = gradient_flow(rondo.Recurrent(Decay()), torch.randn(1, 4, 1))
    assert flow.norms["h"].tolist() == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert not flow.gates


def test_a_state_that_is_another_one_delayed_has_a_norm_of_its_own() -> None:
    cell = rondo.GraphCell(
        {"h": rondo.Node(1)},
        {
            "x": rondo.Edge("x", "h", nn.Identity()),
            "W": rondo.Edge("h", "h", lambda h: 2 * h, delay=2),
        },
        output="h",
        input_size=1,
    )
    flow = gradient_flow(rondo.Recurrent(cell, engine="reference"), torch.ones(1, 4, 1))
    now, delayed = flow.norms.values()
    assert now.tolist() == [4, 0, 2, 0, 1]
    assert delayed.tolist() == [0, 4, 0, 2, 0]


def test_the_gates_are_what_the_cell_says() -> None:
    layer, x = layer_of("lstm"), torch.randn(2, NUM_STEPS, 3, dtype=torch.float64)
    flow = gradient_flow(layer, x)
    _, _, (h, _) = layer(x[:1], return_states=True)
    before = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
    cell: Any = layer.cell
    i, f, _, o = (x[:1] @ cell.weight_ih.T + cell.bias_ih + before @ cell.weight_hh.T).chunk(4, -1)
    assert sorted(flow.gates) == ["σ(f)", "σ(i)", "σ(o)"]
    for name, value in {"σ(i)": i, "σ(f)": f, "σ(o)": o}.items():
        torch.testing.assert_close(flow.gates[name], value[0].sigmoid().detach())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gru", ["r", "z"]), ("one-product", ["r", "z"]), ("mgu", ["f"]), ("elman", [])],
)
def test_gates_by_the_words_of_the_cell(name: str, expected: list[str]) -> None:
    graph = layer_of(name).graph
    found = gates(graph.step, graph.labels)
    assert sorted(found) == expected
    assert all(graph.step.by_name[node].shape[1] == 4 for node in found.values())


def test_models_with_several_loops() -> None:
    x = torch.randn(2, NUM_STEPS, 3)
    both = gradient_flow(rondo.Bidirectional(rondo.GRUCell(3, 4), rondo.ElmanCell(3, 4)), x)
    assert list(both.norms) == ["forward_layer.h", "backward_layer.h"]
    assert list(both.gates) == ["forward_layer.r", "forward_layer.z"]
    layers = rondo.accelerate(nn.LSTM(3, 4, num_layers=2, batch_first=True))
    flow = gradient_flow(layers, x)
    assert list(flow.norms) == ["[0].h", "[0].c", "[1].h", "[1].c"]
    assert list(flow.gates)[:3] == ["[0].σ(f)", "[0].σ(i)", "[0].σ(o)"]
    torch.testing.assert_close(layers(x)[0], nn.LSTM.forward(layers, x)[0])  # as it was


def test_parameters_and_layers_stay_as_they_are() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4), engine="reference")
    own = layer._programs
    with torch.no_grad():
        gradient_flow(layer, torch.randn(2, 5, 3))
    assert layer._programs is own
    assert all(parameter.grad is None for parameter in layer.parameters())
    with pytest.raises(RuntimeError):
        gradient_flow(layer, torch.randn(2, 5, 4))
    assert layer._programs is own


def test_single_steps_go_on_as_ever() -> None:
    layer, x = rondo.Recurrent(rondo.GRUCell(3, 4)), torch.randn(2, 5, 3)
    with torch.no_grad(), watching(layer) as runs:
        y, _ = layer.step(x[:, 0])
        streamed = layer.stream()(x[:, 0])
    assert not runs
    torch.testing.assert_close(y, layer(x[:, :1])[0][:, 0])
    torch.testing.assert_close(streamed, y)


def test_elman_forgets_and_an_lstm_with_a_forget_bias_does_not() -> None:
    x = torch.randn(8, 60, 10)
    elman = gradient_flow(rondo.Recurrent(rondo.ElmanCell(10, 32)), x).norms["h"]
    lstm = gradient_flow(rondo.Recurrent(rondo.LSTMCell(10, 32, forget_bias=2.0)), x).norms["c"]
    assert elman[0] < 1e-10 * elman[-1]
    assert lstm[0] > 1e-3 * lstm[-1]
    steps = torch.arange(61.0, dtype=torch.float64)
    line = torch.corrcoef(torch.stack([steps, elman.log()]))[0, 1]
    assert line > 0.99  # exponential decay is a straight line


def test_prints_both_ends_of_the_norms_and_the_range_of_the_gates() -> None:
    flow = GradientFlow({"h": torch.tensor([0.25, 1.0])}, {"z": torch.tensor([[0.5, 1.0]])})
    assert str(flow).splitlines() == [
        "h: ‖∂J/∂h(t)‖ 0.25 at t = 0, 1 at t = 1",
        "z: mean 0.75, 0.5 to 1",
    ]


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3)])
def test_nothing_flows_through_nothing(shape: tuple[int, ...]) -> None:
    flow = gradient_flow(
        layer_of("lstm"),
        torch.zeros(shape, dtype=torch.float64, requires_grad=True),
        lambda y: y.sum() + torch.zeros((), requires_grad=True),
    )
    assert flow.norms["c"].tolist() == [0]
    assert flow.gates["σ(f)"].numel() == 0
    draw_flows({"nothing": flow})


def test_refuses_what_has_no_flow() -> None:
    x = torch.randn(2, 5, 3)
    with pytest.raises(ValueError, match=r"LSTM has run no loop of Rondo's; rondo.accelerate"):
        gradient_flow(nn.LSTM(3, 4), x)
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    with pytest.raises(ValueError, match=re.escape("one number that depends on the outputs")):
        gradient_flow(layer, x, lambda y: y)
    with pytest.raises(ValueError, match="got float"):
        gradient_flow(layer, x, lambda y: 1.0)
    with pytest.raises(ValueError, match="no steps have no last step to take J of; give a loss"):
        gradient_flow(layer, x[:, :0])
    packed = nn.utils.rnn.pack_sequence([x[0]])
    with pytest.raises(TypeError, match="no last step to take J of, got PackedSequence; give a"):
        gradient_flow(layer, packed)
    assert gradient_flow(layer, packed, lambda y: y.data.sum()).norms["h"].shape == (6,)
    with pytest.raises(ValueError, match="one gradient flow or more, got none"):
        draw_flows({})


def test_the_picture_shows_every_curve_and_every_gate(tmp_path: Path) -> None:
    x = torch.randn(2, 20, 3)
    flows = {
        name: gradient_flow(rondo.Recurrent(cell), x)
        for name, cell in {"Elman": rondo.ElmanCell(3, 4), "LSTM": rondo.LSTMCell(3, 4)}.items()
    }
    figure = draw_flows(flows, tmp_path / "flows.svg")
    elman, lstm, *maps, _ = figure.axes
    assert [axes.get_title() for axes in (elman, lstm)] == ["Elman", "LSTM"]
    assert [line.get_label() for line in lstm.get_lines()] == ["h", "c"]
    drawn = torch.tensor(elman.get_lines()[0].get_ydata())
    torch.testing.assert_close(drawn, flows["Elman"].norms["h"])
    assert lstm.get_yscale() == "log"
    assert [axes.get_ylabel() for axes in maps] == list(flows["LSTM"].gates)
    for axes, values in zip(maps, flows["LSTM"].gates.values(), strict=True):
        (image,) = axes.get_images()
        shown = torch.tensor(image.get_array())
        torch.testing.assert_close(shown, values[:, values.mean(0).argsort()].T)
        assert image.get_extent() == [0.5, 20.5, 0, 4]
    text = (tmp_path / "flows.svg").read_text()
    ElementTree.fromstring(text)
    draw_flows(flows, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == text


@pytest.mark.slow
def test_the_pictures_of_the_docs_are_what_their_script_draws(tmp_path: Path) -> None:
    script = ROOT / "examples" / "gradient_flow.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    for name, titles in {
        "at_start": ["Elman, tanh", "GRU", "LSTM, forget bias 0", "LSTM, forget bias 2"],
        "while_learning": ["forget bias 0, 300 updates", "forget bias 4, 300 updates"],
    }.items():
        for path in (tmp_path, ROOT / "docs" / "images" / "training"):
            root = ElementTree.parse(path / f"{name}.svg")
            words = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
            assert words >= {*titles, "step t", "σ(f)", "σ(i)", "σ(o)", "h", "c"}


def test_a_flow_draws_itself(tmp_path: Path) -> None:
    flow = gradient_flow(rondo.Recurrent(rondo.GRUCell(3, 4)), torch.randn(1, 5, 3))
    flow.draw(tmp_path / "flow.png")
    assert (tmp_path / "flow.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_the_picture_of_a_flow_holds_no_date(tmp_path: Path, form: str) -> None:
    flow = gradient_flow(rondo.Recurrent(rondo.GRUCell(3, 4)), torch.randn(1, 5, 3))
    flow.draw(tmp_path / f"flow.{form}")
    contents = (tmp_path / f"flow.{form}").read_bytes()
    assert b"Date" not in contents
    assert b"dc:date" not in contents


@pytest.mark.parametrize("kind", ["drop-in", "loop"])
def test_a_layer_whose_calls_are_remembered_is_watched_all_the_same(kind: str) -> None:
    layer = rondo.GRU(3, 4) if kind == "drop-in" else rondo.Recurrent(rondo.GRUCell(3, 4))
    x = torch.randn(2, 5, 3)
    for _ in range(4):
        layer(x)
    with watching(layer) as runs:
        for number in range(1, 5):
            layer(x)
            assert len(runs) == number
