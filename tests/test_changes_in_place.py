"""Steps that change what they made in place: kernels run them as the plain loop does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import rondo
from plain_loop import Sequences, check_equal, engine_of, run_layer, run_plain
from rondo.compiler.graph import draws_random
from rondo.compiler.writes import writing_of

H = 8
aten = torch.ops.aten


class Changing(nn.Module):
    """y = 1.5 tanh(U x + W h), changed in place; h' = tanh(y)."""

    input_size, state_size = 3, H

    def __init__(self, change: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.change = change
        self.U, self.W = nn.Linear(3, H), nn.Linear(H, H)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.tanh(self.U(x) + self.W(h))
        y = z * 1.5
        changed = self.change(y, z)
        y = changed if isinstance(changed, Tensor) else y
        return y, torch.tanh(y)


def scales_a_slice(y: Tensor, z: Tensor) -> None:
    y[:, :1] *= 0.5


def adds_to_a_column(y: Tensor, z: Tensor) -> None:
    y[:, 0] += z[:, 1]


def takes_from_the_last_column(y: Tensor, z: Tensor) -> None:
    y[..., -1] -= 1


def scales_every_other_column(y: Tensor, z: Tensor) -> None:
    y[:, ::2] *= z[:, ::2]


def changes_a_slice_of_a_slice(y: Tensor, z: Tensor) -> None:
    y[:, 2:6][:, 1:3] *= 2
    y[:, 2:6][:, 1] += z[:, 0]


def changes_a_part_of_three_dimensions(y: Tensor, z: Tensor) -> None:
    y.view(-1, 2, 4)[:, 0] *= 0.5
    y.view(-1, 2, 4)[:, :, 1] += z[:, :2]
    y.view(-1, 2, 4)[:, 1, 2:] += z[:, :2]


def changes_a_transposed_part(y: Tensor, z: Tensor) -> None:
    turned = y.view(-1, 2, 4).transpose(1, 2)
    turned[:, 1] *= z[:, :2]


def changes_what_was_turned(y: Tensor, z: Tensor) -> Tensor:
    turned = y.view(-1, 2, 4).mT * 2
    turned[:, :1] *= 0.5
    turned[:, :, 1] += 2
    return turned.flatten(1)


def changes_columns_by_a_list(y: Tensor, z: Tensor) -> None:
    pairs = y.view(-1, 4, 2)
    pairs[:, [0, 2]] += 0.3
    pairs[:, 1:3, :1] += 0.3


def changes_through_another_dimension(y: Tensor, z: Tensor) -> None:
    y.unsqueeze(1)[:, 0, :3] *= 0.5
    y.view(-1, 1, H)[:, 0] *= 0.5
    y.unsqueeze(-1)[:, :3].mul_(0.5)


def changes_rows_of_the_transposed(y: Tensor, z: Tensor) -> None:
    y.t()[1:3].mul_(0.5)


def changes_diagonals(y: Tensor, z: Tensor) -> None:
    y.view(-1, 2, 2, 2).diagonal(dim1=1, dim2=2).mul_(0.5)
    y.view(-1, 2, 2, 2).diagonal(dim1=3, dim2=1).mul_(z[:, :4].view(-1, 2, 2))


def reads_a_diagonal(y: Tensor, z: Tensor) -> Tensor:
    return torch.cat([y.view(-1, 2, 2, 2).diagonal(dim1=1, dim2=2).flatten(1), z[:, :4]], 1)


def fills_something_empty(y: Tensor, z: Tensor) -> Tensor:
    out, like = z.new_empty(len(z), H), torch.empty_like(z)
    out[:, :4], out[:, 4:] = z[:, 4:], z[:, :4]
    like[:, ::2], like[:, 1::2] = z[:, 1::2], z[:, ::2]
    return y + out * like


def multiplies_by_a_mask_of_its_own(y: Tensor, z: Tensor) -> Tensor:
    mask, share = torch.ones_like(z), z.new_full((len(z), 1), 0.3)
    mask[:, ::2] = 0
    return y * mask + z.new_zeros(H) + z.new_zeros(z.shape).fill_(0.5) * share


def takes_powers(y: Tensor, z: Tensor) -> None:
    y.pow_(2).pow_(z.abs() + 1)


def takes_more_of_what_is_spelled_otherwise(y: Tensor, z: Tensor) -> Tensor:
    y.remainder_(0.8).clamp_(min=z).lerp_(z, 0.3).addcmul_(z, z, value=0.5)
    more = (y * 1).hypot_(z) + (y * 1).xlogy_(z.abs() + 1) + (y * 1).zero_() + z.sin().copysign_(y)
    return F.mish(F.hardsigmoid(y + more, inplace=True), inplace=True)


def turns_itself(y: Tensor, z: Tensor) -> Tensor:
    turned = y.reshape(-1, 2, 4)
    turned.transpose_(1, 2)
    return turned.reshape(-1, H)


CHANGES = [
    scales_a_slice,
    adds_to_a_column,
    takes_from_the_last_column,
    scales_every_other_column,
    changes_a_slice_of_a_slice,
    changes_a_part_of_three_dimensions,
    changes_a_transposed_part,
    changes_what_was_turned,
    changes_columns_by_a_list,
    changes_through_another_dimension,
    changes_rows_of_the_transposed,
    changes_diagonals,
    reads_a_diagonal,
    fills_something_empty,
    multiplies_by_a_mask_of_its_own,
    takes_powers,
    takes_more_of_what_is_spelled_otherwise,
    turns_itself,
]


def ragged(dtype: torch.dtype = torch.float64) -> Sequences:
    """Three sequences of other lengths, of which one begins anew on its way."""
    x = torch.randn(3, 4, 3, dtype=dtype, requires_grad=True)
    state = torch.randn(3, H, dtype=dtype, requires_grad=True)
    resets = torch.zeros(3, 4, dtype=torch.bool)
    resets[0, 2] = True
    return Sequences(x, state, torch.tensor([4, 1, 3]), resets).filled(0)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_kernels_run_changes_in_place(change: Callable[[Tensor, Tensor], Any]) -> None:
    cell, given = Changing(change).double(), ragged()
    layer = rondo.Recurrent(cell, engine="cpu")
    with rondo.checking(False):
        got = run_layer(layer, given)
    check_equal(got, run_plain(cell, given))
    assert set(engine_of(layer)) == {"kernel"}


def test_a_sum_of_two_parameters_is_added_once() -> None:
    """Where rows are folded into another dimension, the steps add up the gradients themselves."""

    def folds(y: Tensor, z: Tensor) -> None:
        y.view(-1)[:] *= 0.5

    cell, given = Changing(folds).double(), ragged()
    with rondo.checking(False):
        got = run_layer(rondo.Recurrent(cell, engine="reference"), given)
    check_equal(got, run_plain(cell, given))


def test_a_slice_that_is_put_back_is_no_further_change() -> None:
    nodes = rondo.Recurrent(Changing(scales_a_slice)).plan.step.nodes
    assert [node.op_name for node in nodes].count("slice_scatter") == 1


@pytest.mark.parametrize(
    ("change", "instead"),
    [
        (aten.pow_.Scalar, aten.pow.Tensor_Scalar),
        (aten.pow_.Tensor, aten.pow.Tensor_Tensor),
        (aten.float_power_.Scalar, aten.float_power.Tensor_Scalar),
        (aten.floor_divide_.Tensor, aten.floor_divide.default),
        (aten.add_.Tensor, aten.add.Tensor),
        (aten.transpose_.default, aten.transpose.int),
        (aten.bernoulli_.float, aten.bernoulli.p),
        (aten.add.out, aten.add.Tensor),
    ],
)
def test_a_change_has_an_operation_of_the_same_arguments(change: Any, instead: Any) -> None:
    writing = writing_of(change)
    assert writing is not None
    assert writing.pure is instead


def test_constants_of_the_step_read_nothing() -> None:
    def makes(y: Tensor, z: Tensor) -> Tensor:
        made = (
            y.new_zeros(H),
            y.new_ones(len(y), 1),
            y.new_full((H,), 2.0),
            y.new_empty(H).zero_(),
        )
        like = (torch.zeros_like(y), torch.ones_like(y), torch.full_like(y, 3.0))
        return y + sum(made) + sum(like)

    with torch.no_grad():
        plan = rondo.Recurrent(Changing(makes)).plan
    names = ("zeros", "ones", "full", "empty", "new_", "_like")
    constants = [node for node in plan.step.nodes if any(part in node.op_name for part in names)]
    assert constants
    assert [str(node) for node in constants if node.reads] == []


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_attention_draws_only_where_it_drops_something(p: float) -> None:
    def attends(y: Tensor, z: Tensor) -> Tensor:
        heads = z.view(-1, 1, 2, 4)
        return y + F.scaled_dot_product_attention(heads, heads, heads, dropout_p=p).flatten(1)

    nodes = rondo.Recurrent(Changing(attends)).plan.step.nodes
    assert any(map(draws_random, nodes)) == (p > 0)
