"""Graphs with loops that are written as nodes and edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo import Edge, GraphCell, Node
from rondo.layers import output_to_state, state_to_final_output, state_to_state


def cell(nodes: dict[str, Node], edges: dict[str, Edge], **changed: Any) -> GraphCell:
    return GraphCell(nodes, edges, **{"output": next(iter(nodes)), "input_size": 3, **changed})


def linear(source: int, target: int) -> nn.Linear:
    return nn.Linear(source, target, dtype=torch.float64)


def sequences(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# ---- what it computes ----


def test_a_system_without_input_repeats_its_function() -> None:
    system = cell(
        {"h": Node(2, lambda h: 3.7 * h * (1 - h))}, {"f": Edge("h", "h", delay=1)}, input_size=0
    )
    h = torch.tensor([[0.2, 0.5]], dtype=torch.float64)
    y, state = rondo.Recurrent(system)(sequences(1, 6, 0), {"h": h})
    for t in range(6):
        h = 3.7 * h * (1 - h)
        torch.testing.assert_close(y[:, t], h)
    torch.testing.assert_close(state["h"], h)


def test_a_system_that_is_driven_from_outside() -> None:
    system = cell(
        {"h": Node(3, lambda h, x: 0.5 * h + x.sin(), takes="each")},
        {"f": Edge("h", "h", delay=1), "g": Edge("x", "h")},
    )
    x = sequences(2, 5, 3)
    y, _ = rondo.Recurrent(system)(x)
    h = torch.zeros(2, 3, dtype=torch.float64)
    for t in range(5):
        h = 0.5 * h + x[:, t].sin()
        torch.testing.assert_close(y[:, t], h)


def test_delays_longer_than_one_are_chained_states() -> None:
    system = cell(
        {"h": Node(3)},
        {"now": Edge("x", "h"), "old": Edge("h", "h", delay=3), "input": Edge("x", "h", delay=2)},
    )
    assert system.state_size == {"h": 3, "h_2": 3, "h_3": 3, "x": 3, "x_2": 3}
    x = sequences(2, 7, 3)
    y, state = rondo.Recurrent(system)(x)
    for t in range(7):
        expected = x[:, t] + (y[:, t - 3] if t >= 3 else 0) + (x[:, t - 2] if t >= 2 else 0)
        torch.testing.assert_close(y[:, t], expected)
    torch.testing.assert_close(state["h_2"], y[:, -2])
    torch.testing.assert_close(state["x_2"], x[:, -2])


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_several_loops_through_several_layers(engine: str) -> None:
    """Two hidden layers, each with a loop, and loops from the upper to the lower and the output."""
    system = cell(
        {"y": Node(2), "a": Node(4, torch.tanh), "b": Node(5, nn.Sigmoid())},
        {
            "U": Edge("x", "a", linear(3, 4)),
            "A": Edge("a", "a", linear(4, 4), delay=1),
            "up": Edge("a", "b", linear(4, 5)),
            "B": Edge("b", "b", linear(5, 5), delay=2),
            "down": Edge("b", "a", linear(5, 4), delay=1),
            "back": Edge("y", "a", linear(2, 4), delay=1),
            "V": Edge("b", "y", linear(5, 2)),
        },
    )
    layer = rondo.Recurrent(system, engine=engine)
    x = sequences(2, 6, 3).requires_grad_()
    y, _ = layer(x)
    zero = [torch.zeros(2, n, dtype=torch.float64) for n in (4, 5, 5, 2)]
    a, b, b_2, out = zero
    expected = []
    for t in range(6):
        a = torch.tanh(system.U(x[:, t]) + system.A(a) + system.down(b) + system.back(out))
        b, b_2 = torch.sigmoid(system.up(a) + system.B(b_2)), b
        out = system.V(b)
        expected.append(out)
    reference = torch.stack(expected, 1)
    torch.testing.assert_close(y, reference, rtol=1e-9, atol=1e-9)
    parameters = [x, *system.parameters()]
    found = torch.autograd.grad(y.square().sum(), parameters)
    for one, other in zip(
        found, torch.autograd.grad(reference.square().sum(), parameters), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_a_written_graph_is_planned_like_any_other() -> None:
    layer = state_to_state(3, 4, 2)
    before = {node.op_name for node in layer.plan.before}
    after = {node.op_name for node in layer.plan.after}
    assert "addmm" in before
    assert "addmm" in after
    assert [str(loop) for loop in layer.graph.loops] == ["loop h(t+1) = tanh(t)"]
    y, _ = layer(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
    assert (y[1, 2:] == 0).all()
    torch.testing.assert_close(layer.unroll(5)(x := torch.randn(2, 5, 3), torch.zeros(2, 4))[0],
                               layer(x)[0])  # fmt: skip


def test_modules_are_attributes_and_edges_are_shown() -> None:
    system = state_to_state(3, 4, 2).cell
    assert [name for name, _ in system.named_parameters()] == [
        *("U.weight", "U.bias", "W.weight", "V.weight", "V.bias")
    ]
    assert "h --W--> h (delay 1)" in repr(system)


# ---- the three patterns ----


def test_state_to_state_and_output_to_state() -> None:
    for make, key in ((state_to_state, "h"), (output_to_state, "y")):
        layer = make(3, 4, 2, output_function=torch.sigmoid).double()
        x = sequences(2, 5, 3)
        y, state = layer(x)
        c, carried = layer.cell, torch.zeros(2, 4 if key == "h" else 2, dtype=torch.float64)
        for t in range(5):
            h = torch.tanh(c.U(x[:, t]) + c.W(carried))
            out = torch.sigmoid(c.V(h))
            carried = h if key == "h" else out
            torch.testing.assert_close(y[:, t], out)
        torch.testing.assert_close(state[key], carried)


def test_state_to_a_final_output_ends_with_each_row() -> None:
    layer = state_to_final_output(3, 4, 2).double()
    x, lengths = sequences(3, 5, 3), torch.tensor([5, 2, 0])
    y, state = layer(x, lengths=lengths)
    torch.testing.assert_close(y, layer.output(state["h"]))
    torch.testing.assert_close(y[1:2], layer(x[1:2, :2])[0])
    torch.testing.assert_close(y[2], layer.output.bias)


# ---- what is refused ----

TANH = torch.tanh
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a cycle of one": (
        lambda: cell({"h": Node(3)}, {"U": Edge("x", "h"), "W": Edge("h", "h")}),
        r"a cycle needs a delay: h --W--> h; give one of these edges delay=1 or more",
    ),
    "a cycle of three": (
        lambda: cell(
            {"a": Node(3), "b": Node(3), "c": Node(3), "d": Node(3)},
            {
                "in": Edge("x", "a"),
                "f": Edge("a", "b"),
                "g": Edge("b", "c"),
                "k": Edge("c", "a"),
                "late": Edge("c", "a", delay=1),
                "out": Edge("c", "d"),
            },
        ),
        r"a cycle needs a delay: a --f--> b --g--> c --k--> a; give",
    ),
    "an unknown source": (
        lambda: cell({"hidden": Node(3)}, {"U": Edge("hiden", "hidden")}),
        r"edge 'U' starts at 'hiden', which is no node; did you mean 'hidden'\?",
    ),
    "an unknown target": (
        lambda: cell({"h": Node(3)}, {"U": Edge("x", "q")}),
        r"edge 'U' leads to 'q', which is no node; there are: h",
    ),
    "an unknown output": (
        lambda: cell({"h": Node(3)}, {"U": Edge("x", "h")}, output="y"),
        r"the output is 'y', which is no node; there are: h",
    ),
    "an edge to the input": (
        lambda: cell({"h": Node(3)}, {"U": Edge("h", "x")}),
        r"edge 'U' leads to the input x, which is given from outside",
    ),
    "a node called x": (lambda: cell({"x": Node(3)}, {}), r"the name 'x' stands for the input"),
    "a node that nothing leads to": (
        lambda: cell({"h": Node(3), "k": Node(3)}, {"U": Edge("x", "h")}),
        r"no edge leads to node 'k'; give it one, or leave it out",
    ),
    "a name that is taken": (
        lambda: cell({"h": Node(3)}, {"forward": Edge("x", "h")}),
        r"the name 'forward' is taken; .* choose another one",
    ),
    "a name of a node and an edge": (
        lambda: cell({"h": Node(3)}, {"h": Edge("x", "h")}),
        r"the name 'h' is taken",
    ),
    "a name that is no word": (
        lambda: cell({"h 1": Node(3)}, {}),
        r"a name must be a word such as h or W_2, got 'h 1'",
    ),
    "a negative delay": (
        lambda: Edge("h", "h", delay=-1),
        r"delay must be a whole number of steps, 0 or more, got -1",
    ),
    "half a step": (lambda: Edge("h", "h", delay=0.5), r"delay must be .* got 0.5"),  # type: ignore[arg-type]
    "a size of none": (lambda: Node(0), r"size of a node must be a whole number .* got 0"),
    "another way of taking": (lambda: Node(3, TANH, "all"), r"must be 'sum' or 'each', got 'all'"),
    "each without a function": (lambda: Node(3, takes="each"), r"each edge .* needs a function"),
    "an input size of -1": (
        lambda: cell({"h": Node(3)}, {"U": Edge("x", "h")}, input_size=-1),
        r"input_size must be a whole number, 0 or more, got -1",
    ),
    "a value of another width": (
        lambda: rondo.Recurrent(cell({"h": Node(4)}, {"U": Edge("x", "h")}))(torch.zeros(2, 5, 3)),
        r"node 'h' is 4 wide, but its value has shape \(\d, 3\); change its size",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_graph_that_cannot_be_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make()
