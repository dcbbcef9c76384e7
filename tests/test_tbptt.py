"""Truncated backpropagation through time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from cases import CELLS, VARIANTS, make_cell
from rondo.training import Objective, detached, tbptt

LENGTHS = torch.tensor([7, 3, 0, 5])


class TwoLayers(nn.Module):
    """A stack whose state is a pair of states, with a layer above."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = rondo.Recurrent(rondo.LSTMCell(3, 4), engine="reference")
        self.upper = rondo.Recurrent(rondo.GRUCell(4, 5), engine="reference")
        self.V = nn.Linear(5, 2)

    def forward(self, x: Tensor, state: Any = None, **given: Any) -> tuple[Tensor, Any]:
        below, above = (None, None) if state is None else state
        y, below = self.lower(x, below, **given)
        y, above = self.upper(y, above, **given)
        return self.V(y), (below, above)


def layer_of(name: str) -> rondo.Recurrent:
    return rondo.Recurrent(make_cell(name, 3, 4, torch.float64), engine="reference")


def gradients(model: nn.Module, J: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(J, list(model.parameters()), materialize_grads=True))


def batch(mode: str) -> tuple[Tensor, dict[str, Tensor]]:
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    given = {}
    if "ragged" in mode:
        given["lengths"] = LENGTHS
        x = x.masked_fill(torch.arange(7)[None, :, None] >= LENGTHS[:, None, None], torch.nan)
    if "resets" in mode:
        given["resets"] = torch.rand(4, 7) < 0.4
    return x, given


MODES = ["dense", "ragged", "resets", "ragged-resets"]


@pytest.mark.parametrize(
    "name", [*CELLS, *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS)]
)
def test_one_window_is_full_backpropagation_bit_for_bit(name: str) -> None:
    layer = layer_of(name)
    for mode in MODES if name in CELLS else ["ragged-resets"]:
        check_one_window(layer, *batch(mode))


def check_one_window(layer: nn.Module, x: Tensor, given: dict[str, Tensor]) -> None:
    torch.manual_seed(3)  # the masks of variational cells
    (window,) = tbptt(layer, x, 9, **given)
    torch.manual_seed(3)
    y, state = layer(x, **given)
    assert (window.start, window.end, window.num_steps) == (0, 7, 7)
    assert torch.equal(window.outputs, y)
    for mine, full in zip(pytree.tree_leaves(window.state), pytree.tree_leaves(state), strict=True):
        assert torch.equal(mine, full)
    mine, full = (gradients(layer, v.square().sum()) for v in (window.outputs, y))
    for one, other in zip(mine, full, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", CELLS)
def test_windows_give_the_outputs_and_the_state_of_the_whole(name: str) -> None:
    layer = layer_of(name)
    for mode in MODES:
        check_all_windows(layer, *batch(mode))


def check_all_windows(layer: nn.Module, x: Tensor, given: dict[str, Tensor]) -> None:
    windows = list(tbptt(layer, x, 3, **given))
    y, state = layer(x, **given)
    assert [(window.start, window.end) for window in windows] == [(0, 3), (3, 6), (6, 7)]
    together = torch.cat([window.outputs for window in windows], 1)
    torch.testing.assert_close(together, y, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(windows[-1].state, state, rtol=1e-12, atol=1e-13)
    assert torch.equal(torch.cat([window.cut(x) for window in windows], 1).isnan(), x.isnan())
    if "lengths" in given:
        assert [window.lengths.tolist() for window in windows] == [
            [3, 3, 0, 3],
            [3, 0, 0, 2],
            [1, 0, 0, 0],
        ]


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_of_a_window_is_that_of_the_layer_from_the_detached_state(name: str) -> None:
    layer = layer_of(name)
    for mode in ("dense", "ragged"):
        check_second_window(layer, *batch(mode))


def check_second_window(layer: nn.Module, x: Tensor, given: dict[str, Tensor]) -> None:
    targets = torch.randn_like(layer(x, **given)[0])
    objective = Objective("euclidean")
    first, second, _ = windows = list(tbptt(layer, x, 3, **given))
    lengths = (LENGTHS - 3).clamp(0, 3) if given else None
    y, _ = layer(x[:, 3:6], detached(first.state), lengths=lengths)
    expected = gradients(layer, objective(y, targets[:, 3:6], lengths))
    J = objective(second.outputs, second.cut(targets), second.lengths)
    for mine, other in zip(gradients(layer, J), expected, strict=True):
        assert torch.equal(mine, other)
    losses = [objective(w.outputs, w.cut(targets), w.lengths).detach() for w in windows]
    whole = objective(layer(x, **given)[0], targets, given.get("lengths"))
    torch.testing.assert_close(sum(losses), whole.detach())


def test_the_gradient_ends_where_rows_begin_anew() -> None:
    """Of resets in a later window: as in the whole sequence, cut at the start of the window."""
    layer = layer_of("lstm")
    x = torch.randn(3, 6, 3, dtype=torch.float64)
    resets = torch.zeros(3, 6, dtype=torch.bool)
    resets[0, 4] = resets[1, 3] = resets[1, 5] = True
    first, second = tbptt(layer, x, 3, resets=resets)
    rows = [
        layer(x[:1, 3:4], pytree.tree_map(lambda s: s[:1].detach(), first.state))[0],
        layer(x[:1, 4:])[0],
        layer(x[1:2, 3:5])[0],
        layer(x[1:2, 5:])[0],
        layer(x[2:, 3:], pytree.tree_map(lambda s: s[2:].detach(), first.state))[0],
    ]
    expected = gradients(layer, sum(row.square().sum() for row in rows))
    mine = gradients(layer, second.outputs.square().sum())
    torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-14)


def test_resets_go_back_to_a_given_state() -> None:
    layer = layer_of("gru")
    x, h = torch.randn(2, 6, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    resets = torch.rand(2, 6) < 0.5
    together = torch.cat([w.outputs for w in tbptt(layer, x, 2, h, resets=resets)], 1)
    torch.testing.assert_close(together, layer(x, h, resets=resets)[0])


def test_a_given_state_gets_its_gradient_from_the_first_window_alone() -> None:
    layer = layer_of("elman")
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    h = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for window in tbptt(layer, x, 3, h):
        (grad,) = torch.autograd.grad(window.outputs.sum(), h, allow_unused=True)
        found.append(grad)
    assert found[0].abs().sum() > 0
    assert found[1] is None


def make_torch_lstm() -> nn.Module:
    return nn.LSTM(3, 4, num_layers=2)


def make_rondo_lstm() -> nn.Module:
    return rondo.LSTM(3, 4, num_layers=2)


def make_time_first() -> nn.Module:
    return rondo.Recurrent(rondo.LSTMCell(3, 4), batch_first=False, engine="reference")


@pytest.mark.parametrize("make", [make_torch_lstm, make_rondo_lstm, make_time_first])
def test_time_first(make: Callable[[], nn.Module]) -> None:
    layer, x = make(), torch.randn(7, 2, 3)
    windows = list(tbptt(layer, x, 3))
    assert [len(window.outputs) for window in windows] == [3, 3, 1]
    torch.testing.assert_close(torch.cat([w.outputs for w in windows]), layer(x)[0])
    assert torch.equal(windows[1].cut(x), x[3:6])


def test_a_stack_with_a_nested_state() -> None:
    model = TwoLayers().double()
    for mode in MODES:
        x, given = batch(mode)
        windows = list(tbptt(model, x, 2, **given))
        y, state = model(x, **given)
        torch.testing.assert_close(torch.cat([w.outputs for w in windows], 1), y)
        torch.testing.assert_close(windows[-1].state, state)


def test_parameters_may_change_between_windows_and_learn() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(1, 8))
    V = nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *V.parameters()], lr=0.02)
    objective = Objective("euclidean", per_step_mean=True)
    x = torch.randn(4, 400, 1)
    targets = x.roll(2, 1)
    losses = []
    for _ in range(4):
        for window in tbptt(layer, x, 20):
            optimizer.zero_grad()
            J = objective(V(window.outputs), window.cut(targets))
            J.backward()
            optimizer.step()
            losses.append(J.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_there_is_no_window_after_the_last_sequence_or_of_nothing() -> None:
    layer = layer_of("gru")
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    assert [w.end for w in tbptt(layer, x, 2, lengths=torch.tensor([3, 1]))] == [2, 4]
    assert not list(tbptt(layer, x, 2, lengths=torch.tensor([0, 0])))
    assert not list(tbptt(layer, x[:, :0], 2))
    assert not list(tbptt(layer, x[:0], 2, lengths=torch.zeros(0, dtype=torch.int64)))
    assert [w.outputs.shape for w in tbptt(layer, x[:0], 5)] == [(0, 5, 4), (0, 4, 4)]


def test_detached_keeps_the_form_of_a_state() -> None:
    h = torch.ones(2, 3, requires_grad=True) * 2
    state = {"a": (h, [h]), "b": None}
    found = detached(state)
    assert torch.equal(found["a"][1][0], h)
    assert not any(leaf.requires_grad for leaf in pytree.tree_leaves(found) if leaf is not None)
    assert detached(None) is None


X = torch.zeros(2, 5, 3)
GRU = rondo.Recurrent(rondo.GRUCell(3, 4), engine="reference")
BOTH_WAYS = rondo.Bidirectional(rondo.GRUCell(3, 4), rondo.GRUCell(3, 4))
BACKWARD = rondo.Recurrent(rondo.GRUCell(3, 4), reverse=True)


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (GRU, {"window_size": 0}, "a whole number of steps, 1 or more, got 0"),
        (GRU, {"window_size": 2.0}, "1 or more, got 2.0"),
        (BOTH_WAYS, {}, "Bidirectional runs from the last step to the first"),
        (BACKWARD, {}, "Recurrent runs from the last step to the first"),
        (nn.LSTM(3, 4, bidirectional=True), {}, "LSTM runs from the last step to the first"),
        (GRU, {"lengths": torch.tensor([6, 1])}, "between 0 and T = 5, got 6"),
        (GRU, {"resets": torch.zeros(2, 4, dtype=torch.bool)}, "(2, 5), got (2, 4)"),
    ],
)
def test_refuses_at_the_call(layer: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        tbptt(layer, X, **{"window_size": 2, **options})


def test_refuses_what_it_cannot_take() -> None:
    packed = nn.utils.rnn.pack_sequence([X[0]])
    with pytest.raises(TypeError, match=r"padded sequences \(B, T, ...\), .* got PackedSequence"):
        tbptt(GRU, packed, 2)
    with pytest.raises(TypeError, match=r"got \(5,\)"):
        tbptt(GRU, X[0, :, 0], 2)
    with pytest.raises(TypeError, match=r"\(outputs, state\), got Tensor"):
        list(tbptt(lambda x, state: x, X, 2))
    window = next(tbptt(GRU, X, 2))
    with pytest.raises(ValueError, match=r"must have T = 5 steps in dimension 1, got \(2, 4, 1\)"):
        window.cut(torch.zeros(2, 4, 1))
