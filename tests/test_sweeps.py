"""What the loops of a spatial layer answer, beside loops that are run step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.looks.sweeps import DIRECTIONS, sweeps


def blocks_of(x: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) to (N, I, J, block), block by block."""
    rows = [
        torch.stack([block.flatten(1) for block in row.split(width, dim=3)], dim=1)
        for row in x.split(height, dim=2)
    ]
    return torch.stack(rows, dim=1)


def run_along(cell: nn.Module, line: Tensor, backward: bool) -> Tensor:
    """The outputs (N, steps, U) of a cell that is called step by step."""
    h = torch.zeros(len(line), cell.state_size)
    outputs = {}
    steps = range(line.shape[1])
    for step in reversed(steps) if backward else steps:
        outputs[step], h = cell(line[:, step], h)
    return torch.stack([outputs[step] for step in steps], dim=1)


def directly(layer: rondo.SpatialRNN, x: Tensor) -> dict[str, Tensor]:
    """The outputs (N, I, J, U) of the four loops."""
    blocks = blocks_of(x, *layer.block_size)
    down, up = (
        torch.stack([run_along(loop.cell, column, back) for column in blocks.unbind(2)], dim=2)
        for loop, back in (
            (layer.vertical.forward_layer, False),
            (layer.vertical.backward_layer, True),
        )
    )
    right, left = (
        torch.stack(
            [run_along(loop.cell, row, back) for row in torch.cat([down, up], -1).unbind(1)], dim=1
        )
        for loop, back in (
            (layer.horizontal.forward_layer, False),
            (layer.horizontal.backward_layer, True),
        )
    )
    return dict(zip(DIRECTIONS, (down, up, right, left), strict=True))


@pytest.mark.parametrize("cell", [rondo.ElmanCell, rondo.GRUCell])
@pytest.mark.parametrize("block", [(2, 3), (1, 1)])
def test_sweeps_are_those_of_loops_run_step_by_step(
    cell: type[nn.Module], block: tuple[int, int]
) -> None:
    layer = rondo.SpatialRNN(block, cell, input_channels=3, hidden_size=5)
    x = torch.rand(2, 3, 6, 12)
    found = {sweep.direction: sweep.strength for sweep in sweeps(layer, x)}
    for direction, outputs in directly(layer, x).items():
        expected = outputs.abs().mean(-1)
        assert found[direction].shape == (2, 6 // block[0], 12 // block[1])
        torch.testing.assert_close(found[direction], expected.detach())


def test_every_spatial_layer_is_named_in_the_order_of_the_runs() -> None:
    def layer(channels: int) -> rondo.SpatialRNN:
        return rondo.SpatialRNN(2, rondo.ElmanCell, input_channels=channels, hidden_size=4)

    model = nn.Sequential(layer(3), nn.ReLU(), layer(8)).train()
    found = sweeps(model, torch.randint(0, 255, (1, 3, 8, 8), dtype=torch.uint8))
    assert [sweep.layer for sweep in found] == ["0"] * 4 + ["2"] * 4
    assert [sweep.direction for sweep in found] == 2 * list(DIRECTIONS)
    assert [tuple(sweep.strength.shape) for sweep in found] == [(1, 4, 4)] * 4 + [(1, 2, 2)] * 4
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_without_spatial_layers_has_none() -> None:
    assert sweeps(nn.Conv2d(3, 2, 1), torch.zeros(1, 3, 4, 4)) == []
