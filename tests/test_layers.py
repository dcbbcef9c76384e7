"""Recurrent, Bidirectional and SpatialRNN at the public door."""

from __future__ import annotations

import copy
import io
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

import rondo
from rondo.layers.sequence import ragged


def test_a_changed_attribute_of_the_cell_is_noticed() -> None:
    cell = rondo.ElmanCell(2, 3)
    layer = rondo.Recurrent(cell)
    x = torch.randn(2, 4, 2)
    first, _ = layer(x)
    cell.nonlinearity = "relu"
    second, _ = layer(x)
    assert (second >= 0).all()
    assert not torch.equal(first, second)


def test_a_new_batch_size_compiles_nothing_new() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(2, 3))
    layer(torch.randn(2, 4, 2))
    layer(torch.randn(5, 9, 2))
    torch.func.functional_call(
        layer,
        {k: v.clone().requires_grad_() for k, v in layer.named_parameters()},
        (torch.randn(1, 1, 2),),
    )
    assert len(layer._programs.by_kind) == 1


def test_copies_and_saved_layers_work() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(2, 3))
    x = torch.randn(2, 4, 2)
    y, _ = layer(x)
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(layer), torch.load(buffer, weights_only=False)):
        assert torch.equal(other(x)[0], y)


@pytest.mark.parametrize("name", ["elman", "lstm"])
def test_bfloat16_autocast(name: str) -> None:
    cell = rondo.ElmanCell(3, 4) if name == "elman" else rondo.LSTMCell(3, 4)
    layer = rondo.Recurrent(cell)
    x = torch.randn(2, 5, 3)
    exact, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, rtol=0.05, atol=0.05)
    y.float().sum().backward()
    assert cell.weight_hh.grad is not None
    assert cell.weight_hh.grad.dtype == torch.float32


WRONG_CALLS = {
    "no tensor": (lambda layer, x: layer([1, 2]), "x must be sequences .* got list"),
    "no steps": (lambda layer, x: layer(x[0, 0]), r"x must be sequences .* got \(2,\)"),
    "lengths of another size": (
        lambda layer, x: layer(x, lengths=torch.tensor([1, 2])),
        r"one entry for each row, \(3,\), got \(2,\)",
    ),
    "lengths beyond T": (
        lambda layer, x: layer(x, lengths=torch.tensor([1, 2, 6])),
        "between 0 and T = 5, got 6",
    ),
    "negative lengths": (
        lambda layer, x: layer(x, lengths=torch.tensor([1, -2, 6])),
        "between 0 and T = 5, got -2",
    ),
    "lengths with fractions": (
        lambda layer, x: layer(x, lengths=torch.rand(3)),
        "whole numbers, got torch.float32",
    ),
    "resets of another size": (
        lambda layer, x: layer(x, resets=torch.zeros(3, 4, dtype=torch.bool)),
        r"must be \(B, T\) = \(3, 5\), got \(3, 4\)",
    ),
    "resets that are numbers": (
        lambda layer, x: layer(x, resets=torch.zeros(3, 5)),
        "tensor of bool, got torch.float32",
    ),
    "a state of another batch": (
        lambda layer, x: layer(x, torch.zeros(2, 4)),
        r"one row for each of the 3 sequences, \(3, ...\), got \(2, 4\)",
    ),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_wrong_calls_say_what_was_got(case: str) -> None:
    call, message = WRONG_CALLS[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call(rondo.Recurrent(rondo.ElmanCell(2, 4)), torch.zeros(3, 5, 2))


def test_wrong_cells_are_refused() -> None:
    with pytest.raises(TypeError, match="give an instance, not a class"):
        rondo.Recurrent(rondo.ElmanCell)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"hidden_size must be .* at least 1, got 0"):
        rondo.GRUCell(3, 0)
    with pytest.raises(ValueError, match="nonlinearity must be 'tanh' or 'relu', got 'tahn'"):
        rondo.ElmanCell(3, 4, nonlinearity="tahn")
    with pytest.raises(TypeError, match="Linear has no initial state: give it a state_size"):
        rondo.Recurrent(nn.Linear(2, 2))(torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="the graph is known after the first call"):
        _ = rondo.Recurrent(nn.Identity()).plan
    cell = rondo.ElmanCell(2, 3)
    with pytest.raises(ValueError, match="need a cell each, got the same cell twice"):
        rondo.Bidirectional(cell, cell)


# ---- SpatialRNN ----


def loop_by_hand(layer: rondo.SpatialRNN, image: Tensor) -> Tensor:
    """The equations of the facts, written with indices: one photo (C, H, W)."""
    bh, bw = layer.block_size
    rows, columns = image.shape[1] // bh, image.shape[2] // bw
    down, up = layer.vertical.forward_layer.cell, layer.vertical.backward_layer.cell
    right, left = layer.horizontal.forward_layer.cell, layer.horizontal.backward_layer.cell

    def tanh_step(cell: nn.Module, block: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(cell.weight_ih @ block + cell.weight_hh @ z + cell.bias_ih)

    vertical: dict[tuple[int, int], Tensor] = {}
    for j in range(columns):
        z_down = z_up = torch.zeros(down.hidden_size, dtype=image.dtype)
        ups, downs = {}, {}
        for i in range(rows):
            block = image[:, i * bh : (i + 1) * bh, j * bw : (j + 1) * bw].flatten()
            z_down = downs[i] = tanh_step(down, block, z_down)
        for i in reversed(range(rows)):
            block = image[:, i * bh : (i + 1) * bh, j * bw : (j + 1) * bw].flatten()
            z_up = ups[i] = tanh_step(up, block, z_up)
        vertical |= {(i, j): torch.cat([downs[i], ups[i]]) for i in range(rows)}
    out = torch.zeros(2 * right.hidden_size, rows, columns, dtype=image.dtype)
    for i in range(rows):
        z_right = z_left = torch.zeros(right.hidden_size, dtype=image.dtype)
        for j in range(columns):
            z_right = tanh_step(right, vertical[i, j], z_right)
            out[: right.hidden_size, i, j] = z_right
        for j in reversed(range(columns)):
            z_left = tanh_step(left, vertical[i, j], z_left)
            out[right.hidden_size :, i, j] = z_left
    return out


@pytest.mark.parametrize(
    ("block_size", "size"), [((2, 2), (4, 6)), ((1, 1), (3, 1)), ((3, 1), (6, 5)), ((1, 4), (2, 8))]
)
def test_spatial_rnn_equals_the_equations(
    block_size: tuple[int, int], size: tuple[int, int]
) -> None:
    layer = rondo.SpatialRNN(block_size, rondo.ElmanCell, input_channels=3, hidden_size=4).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    expected = torch.stack([loop_by_hand(layer, image) for image in x])
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    inputs = [x, *layer.parameters()]
    weight = torch.randn(y.shape, dtype=y.dtype)
    torch.testing.assert_close(
        torch.autograd.grad((y * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        rtol=1e-10,
        atol=1e-12,
    )


@pytest.mark.parametrize("cell", [rondo.ElmanCell, rondo.GRUCell, rondo.LSTMCell])
def test_spatial_rnn_takes_any_cell(cell: type[rondo.Cell]) -> None:
    layer = rondo.SpatialRNN(2, cell, input_channels=3, hidden_size=5)
    assert layer(torch.randn(2, 3, 4, 8)).shape == (2, 10, 2, 4)


def test_the_input_product_of_the_blocks_is_a_strided_convolution_before_the_loop() -> None:
    layer = rondo.SpatialRNN((2, 3), rondo.ElmanCell, input_channels=4, hidden_size=5)
    x = torch.randn(2, 4, 6, 9)
    layer(x)
    down = layer.vertical.forward_layer
    (product,) = [node for node in down.plan.before if node.op_name == "addmm"]
    assert "weight_ih" in {name for node in down.plan.constants for name in node.reads}
    assert [node.op_name for node in down.plan.loop].count("mm") == 1
    cell = down.cell
    convolved = conv2d(x, cell.weight_ih.view(5, 4, 2, 3), cell.bias_ih, stride=(2, 3))
    before = nn.functional.linear(layer._blocks(x), cell.weight_ih, cell.bias_ih)
    torch.testing.assert_close(before.permute(2, 3, 0, 1), convolved, rtol=1e-4, atol=1e-5)
    assert product.shape is not None


def test_a_map_that_does_not_divide_is_refused() -> None:
    layer = rondo.SpatialRNN((2, 3), rondo.ElmanCell, input_channels=1, hidden_size=2)
    with pytest.raises(
        ValueError, match=re.escape("a map of 4x7 does not divide into blocks of 2x3")
    ):
        layer(torch.zeros(1, 1, 4, 7))
    with pytest.raises(ValueError, match=re.escape("x must be (N, 1, H, W), got (1, 2, 4, 6)")):
        layer(torch.zeros(1, 2, 4, 6))
    with pytest.raises(ValueError, match="one or two positive whole numbers, got 0"):
        rondo.SpatialRNN(0, rondo.ElmanCell, input_channels=1, hidden_size=2)


MERGES = {
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "product": lambda a, b: a * b,
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("merge", MERGES)
def test_two_directions_merged(merge: str, packed: bool) -> None:
    cells = rondo.ElmanCell(3, 4), rondo.ElmanCell(3, 4)
    lengths = torch.tensor([2, 5, 4])
    x: Any = torch.randn(3, 5, 3)
    given = {} if packed else {"lengths": lengths}
    if packed:
        x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, states = rondo.Bidirectional(*cells, merge=merge)(x, **given)
    both, expected_states = rondo.Bidirectional(*cells)(x, **given)
    found, halves = (y.data, both.data) if packed else (y, both)
    torch.testing.assert_close(found, MERGES[merge](*halves.split(4, -1)))
    torch.testing.assert_close(states, expected_states)


def test_wrong_merges_are_refused() -> None:
    cells = rondo.ElmanCell(3, 4), rondo.ElmanCell(3, 5)
    with pytest.raises(ValueError, match=r"merge must be 'concat' or .* got 'max'"):
        rondo.Bidirectional(*cells, merge="max")
    with pytest.raises(ValueError, match="two outputs of one width, got 4 forward and 5 backward"):
        rondo.Bidirectional(*cells, merge="sum")(torch.zeros(1, 2, 3))


@pytest.mark.parametrize("lengths", [[4, 3, 1], [4, 2, 0], [1, 4, 4], [0, 0, 0], [3]])
def test_ragged_rows_are_packed_as_torch_packs_them(lengths: list[int]) -> None:
    """Also where they need no sorting, and for lengths that were seen before."""
    x = torch.randn(len(lengths), 4, 2)
    for _ in range(2):
        packing = ragged(torch.tensor(lengths), 4)
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        steps = [[x[row, t] for row in order if t < lengths[row]] for t in range(max(lengths))]
        rows = [row for step in steps for row in step]
        assert torch.equal(packing.pack(x), torch.stack(rows) if rows else x.new_zeros(0, 2))
        assert packing.batch_sizes.tolist() == [len(step) for step in steps]
        assert torch.equal(packing.unsort(packing.sort(x)), x)
        needs_none = order == sorted(order) and min(lengths) > 0
        assert (packing.order is None) == needs_none
