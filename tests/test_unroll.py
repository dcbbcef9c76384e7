"""Graphs without loops: the same results as the layer, step after step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils import _pytree as pytree

import rondo
from cases import CELLS, make_cell
from rondo.cells import initial_state
from rondo.compiler import differentiate, trace, unroll
from rondo.compiler.trace import named_tensors


def leaves_of(cell: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    state = initial_state(cell, x[:, 0])
    return [torch.randn_like(leaf) for leaf in pytree.tree_leaves(state)]


def assert_all_close(found: object, expected: object) -> None:
    assert pytree.tree_structure(found) == pytree.tree_structure(expected)
    for a, b in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_the_unrolled_graph_gives_what_the_layer_gives(name: str, reverse: bool) -> None:
    cell = make_cell(name, 3, 4, torch.float64)
    layer = rondo.Recurrent(cell, engine="reference", reverse=reverse)
    for batch_size, num_steps in [(2, 5), (4, 1), (1, 3)]:
        x = torch.randn(batch_size, num_steps, 3, dtype=torch.float64)
        leaves = leaves_of(cell, x)
        form = pytree.tree_structure(initial_state(cell, x[:, 0]))
        expected = layer(x, pytree.tree_unflatten(leaves, form))
        assert_all_close(layer.unroll(num_steps)(x, *leaves), expected)


@pytest.mark.parametrize("name", ["lstm", "normalised-weight"])
def test_parameters_may_be_arguments_and_gradients_flow(name: str) -> None:
    cell = make_cell(name, 3, 4, torch.float64)
    layer = rondo.Recurrent(cell, engine="reference")
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    y, _ = layer(x)
    expected = torch.autograd.grad(y.square().sum(), list(cell.parameters()))
    zeros = [torch.zeros_like(leaf) for leaf in leaves_of(cell, x)]
    names = [value.name for value in layer.graph.step.parameters]
    arguments = dict(zip(names, named_tensors(cell).values(), strict=True))
    unrolled = layer.graph.unroll(4)
    y, _ = unrolled(x, *zeros, **arguments)
    found = torch.autograd.grad(y.square().sum(), list(cell.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_what_depends_on_parameters_only_is_there_once() -> None:
    graph = rondo.Recurrent(make_cell("normalised-weight", 3, 4, torch.float32)).graph.unroll(5)
    names = [node.name for node in graph.graph.nodes]
    assert names.count("div") == 1
    assert {f"tanh_{t}" for t in range(1, 6)} <= set(names)


def test_an_unrolled_layer_holds_the_parameters_of_the_cell() -> None:
    layer = rondo.Recurrent(rondo.ElmanCell(3, 4))
    parameters = dict(layer.unroll(2).named_parameters())
    assert parameters["weight_hh"] is layer.cell.weight_hh


def test_an_unrolled_graph_is_a_graph_for_tools_of_torch() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    unrolled = layer.unroll(3)
    x, h = torch.randn(2, 3, 3), torch.zeros(2, 4)
    unrolled.graph.lint()
    program = torch.export.export(unrolled, (x, h))
    torch.testing.assert_close(program.module()(x, h)[0], layer(x)[0])


def test_the_backward_graph_unrolls_to_the_gradients() -> None:
    """Its steps run from the last to the first; its sums are the gradients of the weights."""
    cell = make_cell("lstm", 3, 4, torch.float64)
    layer = rondo.Recurrent(cell, engine="reference")
    names = [value.name for value in layer.graph.step.parameters]
    traced = trace(
        cell,
        dict(cell.named_parameters()),
        torch.randn(2, 3, dtype=torch.float64),
        initial_state(cell, torch.zeros(2, 3, dtype=torch.float64)),
        wanted=[True] * len(names),
        input_wanted=True,
    )
    gradient = differentiate(traced)
    assert gradient is not None
    weights = dict(zip(names, cell.parameters(), strict=True))
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(2, 4, dtype=torch.float64)
    *outputs, _ = unroll(gradient.forward, 4, parameters=weights)(x, zero, zero)
    kept = dict(zip(gradient.forward.step.outputs, outputs, strict=True))
    states = [kept[name] for name in gradient.forward.step.next_state]
    previous = [torch.cat([zero[:, None], state[:, :-1]], 1) for state in states]
    grad = torch.randn(2, 4, 4, dtype=torch.float64)
    sources = {"input": {"x": x}, "previous": previous, "saved": kept, "gradient": [grad]}
    reads = [sources[kind][key] for kind, key in gradient.reads]  # type: ignore[index]
    backward = unroll(gradient.backward, 4, parameters=weights, reverse=True)
    grad_x, _, *grads = backward(*reads, zero, zero)
    y, _ = layer(x)
    expected = torch.autograd.grad(y, [x, *cell.parameters()], grad)
    for a, b in zip([grad_x, *grads], expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_final_output_unrolls_with_its_layer() -> None:
    layer = rondo.FinalOutput(rondo.LSTMCell(3, 4), torch.nn.Linear(4, 2)).double()
    x, zero = torch.randn(2, 5, 3).double(), torch.zeros(2, 4).double()
    unrolled = layer.unroll(5)
    assert_all_close(unrolled(x, zero, zero), layer(x))
    assert unrolled.draw().svg == layer.draw(steps=5).svg
    assert not any(node.target is torch.stack for node in unrolled.graph.nodes)


def test_states_that_were_wanted_do_not_change_the_unrolled_layer() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 4))
    x, zero = torch.randn(2, 3, 3), torch.zeros(2, 4)
    y, last, _ = layer(x, return_states=True)
    found = layer.unroll(3)(x, zero, zero)
    torch.testing.assert_close(found, (y, last))
    labels = [mark.label for mark in layer.draw().picture.marks if mark.kind == "output"]
    assert labels == ["y", "c"]


def test_a_copy_of_an_unrolled_graph_is_drawn_as_well() -> None:
    unrolled = rondo.Recurrent(rondo.ElmanCell(3, 4), reverse=True).unroll(2)
    assert copy.deepcopy(unrolled).draw().svg == unrolled.draw().svg
