"""Operations that kernels take apart give what torch gives: numbers, gradients, NaN, infinity."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import rondo
from cases import slow_beyond
from operation_cases import GROUPS, OF_ONE, OF_TWO, ON_CPU, SIZE, SPECIAL, Applies
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import Reference
from rondo.compiler.expansion import Expansion
from rondo.compiler.graph import Node, Ref, Rows, StepGraph, Value, close_loops
from rondo.compiler.plan import plan
from rondo.compiler.primitive import expand
from rondo.compiler.reference import Steps
from test_conformance import run_layer, run_plain

aten = torch.ops.aten


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
@pytest.mark.usefixtures("compared_by_the_test")
@pytest.mark.parametrize("group", slow_beyond(GROUPS, ["divisions"]))
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


# ---- single operations of torch in a loop ----

B = Rows()
X, TABLE = Ref("a"), Ref("numbers")
NODES: dict[str, tuple[Any, tuple[Any, ...], Any]] = {
    "columns": (aten.index.Tensor, (X, (None, TABLE)), (B, 4)),
    "columns of columns": (aten.index.Tensor, (X, (None, Ref("pairs"))), (B, 2, 2)),
    "added columns": (aten.index_put.default, (X, (None, TABLE), Ref("part"), True), (B, SIZE)),
    "new columns": (aten.index_put.default, (X, (None, TABLE), Ref("part")), (B, SIZE)),
    "one number in columns": (aten.index_put.default, (X, (None, TABLE), Ref("one")), (B, SIZE)),
    "scattered": (aten.scatter.src, (X, 1, Ref("own"), Ref("part")), (B, SIZE)),
    "added where it is scattered": (
        aten.scatter_add.default, (X, 1, Ref("own"), Ref("part")), (B, SIZE)
    ),
    "a number scattered": (aten.scatter.value, (X, 1, Ref("own"), 0.5), (B, SIZE)),
    "upper triangle": (aten.triu.default, (Ref("matrix"), -1), (B, 2, 5)),
    "windows": (aten.unfold.default, (X, 1, 4, 3), (B, 3, 4)),
    "diagonal": (aten.diagonal.default, (Ref("matrix"), 1, 1, 2), (B, 2)),
    "vector": (aten.addmv.default, (Ref("each"), X, Ref("weight")), (B,)),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_a_kernel_gives_what_a_node_means(name: str) -> None:
    op, args, shape = NODES[name]
    float64, int64 = torch.float64, torch.int64
    row = (B, math.prod(shape[1:]))
    given = (
        Value("numbers", (4,), int64),
        Value("pairs", (2, 2), int64),
        Value("one", (), float64),
        Value("weight", (SIZE,), float64),
    )
    nodes = (
        Node("a", aten.add.Tensor, (Ref("x"), Ref("h")), (), (B, SIZE), float64),
        Node("part", aten.slice.Tensor, (X, 1, 3, 7), (), (B, 4), float64),
        Node("matrix", aten.view.default, (X, (B, 2, 5)), (), (B, 2, 5), float64),
        Node("each", aten.select.int, (X, 1, 2), (), (B,), float64),
        Node("greatest", aten.argmax.default, (Ref("matrix"), 2), (), (B, 2), int64),
        Node("own", aten.cat.default, ((Ref("greatest"), Ref("greatest")), 1), (), (B, 4), int64),
        Node("result", op, args, (), shape, float64),
        Node("flat", aten.reshape.default, (Ref("result"), row), (), row, float64),
        Node("total", aten.sum.dim_IntList, (Ref("flat"), (1,), True), (), (B, 1), float64),
        Node("next", aten.mul.Tensor, (X, Ref("total")), (), (B, SIZE), float64),
    )
    sizes = (B, SIZE)
    x, h = Value("x", sizes, float64), Value("h", sizes, float64)
    step = StepGraph(given, (x,), (h,), nodes, ("result",), ("next",)).check()
    loop_plan = plan(close_loops(step))
    tensors = [
        torch.tensor([1, -1, 3, 1]),
        torch.tensor([[2, 0], [-2, 2]]),
        torch.tensor(0.3, dtype=float64),
        torch.randn(SIZE, dtype=float64),
    ]
    rows = torch.randn(6, SIZE, dtype=float64)
    state = [torch.randn(3, SIZE, dtype=float64)]
    how = (tensors, [rows], state, Steps((3, 2, 1)))
    got, expected = CompiledLoop(loop_plan)(*how), Reference(loop_plan)(*how)
    for a, b in zip((*got.outputs, *got.state), (*expected.outputs, *expected.state), strict=True):
        torch.testing.assert_close(a, b)


def test_what_a_rule_does_not_know_stays_as_it_is() -> None:
    kwargs = (("sparse_grad", True),)
    node = Node("a", aten.gather.default, (X, 1, TABLE), kwargs, (B, 4), torch.float32)
    values: dict[str, Any] = {
        "a": Value("a", (B, SIZE), torch.float32),
        "numbers": Value("numbers", (B, 4), torch.int64),
    }
    expansion = Expansion(set(values), torch.float32)
    assert expand([node], values, expansion) == (node,)


class Permuted(rondo.Cell):
    """All elements of the state in another order."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.register_buffer("order", torch.arange(size).flip(0))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + h.index_select(1, self.order))
        return h, h


def test_what_is_faster_in_torch_is_left_to_it() -> None:
    x = torch.randn(2, 3, 16)
    expected, _ = rondo.Recurrent(Permuted(16), engine="reference")(x)
    torch.testing.assert_close(rondo.Recurrent(Permuted(16), engine="cpu")(x)[0], expected)
    with pytest.raises(ValueError, match="index_select with so many numbers is faster in torch"):
        rondo.Recurrent(Permuted(512), engine="cpu")(torch.zeros(1, 1, 512))
