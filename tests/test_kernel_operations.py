"""Operations that kernels take apart give what torch gives: numbers, gradients, NaN, infinity."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from operation_cases import GROUPS, OF_ONE, OF_TWO, ON_CPU, SIZE, SPECIAL, Function
from test_conformance import run_layer, run_plain


class Applies(rondo.Cell):
    """h' = tanh(U x + the sum of W h + x passed through functions, each with weights)."""

    def __init__(self, functions: list[Function]) -> None:
        super().__init__(SIZE, SIZE)
        self.functions = functions
        self.U, self.W = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.share = nn.Parameter(torch.randn(len(functions), SIZE) / 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a = 2 * self.W(h) + x
        parts = [share * f(a) for f, share in zip(self.functions, self.share, strict=True)]
        h = torch.tanh(self.U(x) + sum(parts))
        return h, h


def results(
    group: str, engine: str, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What an engine gives, ragged and with resets, and what the plain loop gives."""
    cell = Applies((GROUPS | ON_CPU)[group]).to(dtype)
    x = torch.randn(3, 4, SIZE, dtype=dtype, requires_grad=True)
    state = torch.randn(3, SIZE, dtype=dtype, requires_grad=True)
    lengths, resets = torch.tensor([4, 0, 2]), torch.rand(3, 4) < 0.3
    case: dict[str, Any] = {"cell": cell, "x": x, "state": state}
    case |= {"lengths": lengths, "resets": resets}
    got = run_layer(rondo.Recurrent(cell, engine=engine), case, "ragged-resets")
    return got, run_plain(case, False)


@pytest.mark.parametrize("group", [*GROUPS, *ON_CPU])
def test_kernels_take_operations_apart(group: str) -> None:
    got, expected = results(group, "cpu", torch.float64)
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=1e-9, atol=1e-10, msg=key)


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
@pytest.mark.parametrize("group", GROUPS)
def test_kernels_for_gpus_take_operations_apart(group: str) -> None:
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("the functions make their numbers on the CPU")
    got, expected = results(group, "cuda", torch.float32)
    for key, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(got[key], value, rtol=0, atol=2e-4 * scale, msg=key)


class Special(rondo.Cell):
    """Functions of the input; the state, which is 0, keeps them in the loop."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a = torch.where(h == 0, x, 1.0)
        return torch.stack([function(a) for function in OF_ONE.values()], 1), h


@torch.no_grad()
def test_special_numbers_become_what_torch_makes_of_them() -> None:
    cell = Special(len(SPECIAL), len(SPECIAL))
    x = SPECIAL[None, None].expand(2, 3, -1)
    got, _ = rondo.Recurrent(cell, engine="cpu")(x, torch.zeros(2, len(SPECIAL)).double())
    for number, (name, function) in enumerate(OF_ONE.items()):
        value = got[1, 2, number]
        torch.testing.assert_close(value, function(SPECIAL), equal_nan=True, msg=name)


class Pairs(rondo.Cell):
    """Functions of the two halves of the input."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a, b = torch.where(torch.cat([h, h], -1) == 0, x, 1.0).chunk(2, -1)
        return torch.stack([function(a, b) for function in OF_TWO.values()], 1), h


@torch.no_grad()
def test_special_pairs_become_what_torch_makes_of_them() -> None:
    a, b = torch.cartesian_prod(SPECIAL, SPECIAL).unbind(1)
    x = torch.cat([a, b])[None, None].expand(2, 3, -1)
    cell = Pairs(2 * len(a), len(a))
    got, _ = rondo.Recurrent(cell, engine="cpu")(x, torch.zeros(2, len(a)).double())
    for number, (name, function) in enumerate(OF_TWO.items()):
        value, expected = got[1, 2, number], function(a, b)
        torch.testing.assert_close(
            value, expected, equal_nan=True, msg=lambda m, n=name: f"{n} {m}"
        )
