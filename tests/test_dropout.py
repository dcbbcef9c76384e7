"""Dropout in a loop and around it: the same masks as in a plain loop, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree as pytree

import rondo
from rondo.compiler import cpu

I, H = 3, 5  # noqa: E741


def results(y: Tensor, state: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Output, last state and every gradient."""
    leaves = pytree.tree_leaves(state)
    loss = y.square().sum() + sum((leaf * leaf.cos()).sum() for leaf in leaves)
    return [y, *leaves, *torch.autograd.grad(loss, inputs, allow_unused=True)]


def assert_same(got: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


# ---- zoneout ----


def zoned_plainly(cell: nn.Module, x: Tensor, drawn: Tensor, p: tuple[float, float]) -> Any:
    """Krueger et al., step by step, with the numbers that were drawn (T, B, 2H)."""
    h = c = x.new_zeros(x.shape[0], H)
    outputs = []
    for t in range(x.shape[1]):
        _, (h_new, c_new) = cell(x[:, t], (h, c))
        h = torch.where(drawn[t, :, :H] < p[0], h, h_new)
        c = torch.where(drawn[t, :, H:] < p[1], c, c_new)
        outputs.append(h)
    return torch.stack(outputs, 1), (h, c)


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_zoneout_keeps_units_at_random(engine: str) -> None:
    p = (0.3, 0.6)
    cell = rondo.LSTMCell(I, H).double()
    x = torch.randn(2, 6, I, dtype=torch.float64, requires_grad=True)
    inputs = [x, *cell.parameters()]
    torch.manual_seed(5)
    drawn = torch.rand(6 * 2, 2 * H, dtype=torch.float64).view(6, 2, 2 * H)
    expected = results(*zoned_plainly(cell, x, drawn, p), inputs)
    layer = rondo.Recurrent(rondo.ZoneoutCell(cell, p), engine=engine)
    torch.manual_seed(5)
    assert_same(results(*layer(x), inputs), expected)


def test_zoneout_draws_before_the_loop() -> None:
    layer = rondo.Recurrent(rondo.ZoneoutCell(rondo.GRUCell(I, H)))
    placed = {planned.node.op_name: planned for planned in layer.plan.nodes}
    assert placed["rand"].stage == "before"
    assert placed["rand"].reason == "depends on nothing, but has rows of its own at every step"


@pytest.mark.parametrize("lengths", [None, [30, 0, 7, 19]])
def test_zoneout_in_chunks_draws_the_same(
    lengths: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One seed gives one result, in whole on the reference engine and in parts on the other."""
    monkeypatch.setattr(cpu, "CHUNK_BYTES", 200)
    cell = rondo.ZoneoutCell(rondo.LSTMCell(I, H), 0.4).double()
    x = torch.randn(4, 30, I, dtype=torch.float64, requires_grad=True)
    found = []
    for engine in ("reference", "cpu"):
        torch.manual_seed(2)
        layer = rondo.Recurrent(cell, engine=engine)
        y, state = layer(x, lengths=None if lengths is None else torch.tensor(lengths))
        found.append(results(y, state, [x, *cell.parameters()]))
    assert layer._program().run_forward.chunk_rows < 30
    assert_same(found[1], found[0])


def test_zoneout_at_rest_is_the_mean() -> None:
    cell = rondo.GRUCell(I, H)
    x, h = torch.randn(2, I), torch.randn(2, H)
    y, new = rondo.ZoneoutCell(cell, 0.3).eval()(x, h)
    torch.testing.assert_close(new, 0.3 * h + 0.7 * cell(x, h)[1])
    assert y is new


def test_zoneout_leaves_an_output_that_is_no_state_alone() -> None:
    cell = rondo.DeepCell(I, H, output_sizes=(2,))
    x, h = torch.randn(2, I), torch.randn(2, H)
    y, new = rondo.ZoneoutCell(cell, 0.5)(x, h)
    expected, moved = cell(x, h)
    assert torch.equal(y, expected)
    assert bool(((new == h) | (new == moved)).all())


def test_zoneout_with_checkpoints_draws_the_same_again() -> None:
    cell, x = rondo.ZoneoutCell(rondo.GRUCell(I, H)), torch.randn(2, 5, I)
    found = []
    torch.manual_seed(1)
    with pytest.warns(rondo.EngineWarning, match="a checkpoint runs it again: rand draws random"):
        found.append(rondo.Recurrent(cell, checkpoint_every=2)(x)[0])
    torch.manual_seed(1)
    found.append(rondo.Recurrent(cell, engine="plain")(x)[0])
    first, second = (torch.autograd.grad(y.square().sum(), list(cell.parameters())) for y in found)
    torch.testing.assert_close(first, second)
    with pytest.raises(ValueError, match="'cpu' cannot run ZoneoutCell: the step does not give"):
        rondo.Recurrent(cell, checkpoint_every=2, engine="cpu")(x)


# ---- dropout in the step of any cell ----


class DroppingCell(rondo.ElmanCell):
    """An Elman cell with dropout, new at every step, on its input, its state or its output."""

    def __init__(self, where: str) -> None:
        super().__init__(I, H)
        self.where = where

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, h = (self._drop(name, value) for name, value in (("x", x), ("h", h)))
        y, h = super().forward(x, h)
        return self._drop("y", y), h

    def _drop(self, name: str, value: Tensor) -> Tensor:
        return dropout(value, 0.5, self.training) if name == self.where else value


@pytest.mark.parametrize("where", ["x", "h", "y"])
def test_dropout_in_a_step_is_drawn_outside_the_loop(where: str) -> None:
    cell = DroppingCell(where).double()
    x = torch.randn(3, 6, I, dtype=torch.float64, requires_grad=True)
    found = []
    for engine in ("reference", "cpu"):
        torch.manual_seed(2)
        layer = rondo.Recurrent(cell, engine=engine)
        y, state = layer(x, lengths=torch.tensor([4, 6, 1]))
        found.append(results(y, state, [x, *cell.parameters()]))
    assert "bernoulli" not in {node.op_name for node in layer.plan.loop}
    assert_same(found[1], found[0])
    y, _ = layer(torch.ones(1, 400, I, dtype=torch.float64))
    if where == "y":
        share = (y[0] == 0).double().mean(0)
        assert ((share > 0.35) & (share < 0.65)).all()
    assert not torch.equal(y[:, -1], y[:, -2])
    cell.eval()
    plain = rondo.ElmanCell(I, H).double()
    plain.load_state_dict(cell.state_dict())
    torch.testing.assert_close(layer(x)[0], rondo.Recurrent(plain)(x)[0])


# ---- variational ----


def masked_plainly(cell: nn.Module, x: Tensor, state: Any, mask: Tensor) -> Any:
    """Gal & Ghahramani by hand: columns of the recurrent matrix of each row are scaled."""
    outputs = []
    for t in range(x.shape[1]):
        rows = []
        for b in range(x.shape[0]):
            weights = dict(cell.named_parameters())
            weights["weight_hh"] = weights["weight_hh"] * mask[b]
            one = pytree.tree_map(lambda leaf, b=b: leaf[b : b + 1], state)
            rows.append(torch.func.functional_call(cell, weights, (x[b : b + 1, t], one)))
        y, state = pytree.tree_map(lambda *parts: torch.cat(parts), *rows)
        outputs.append(y)
    return torch.stack(outputs, 1), state


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize(
    "cell",
    [
        rondo.ElmanCell(I, H),
        rondo.LSTMCell(I, H),
        rondo.LSTMCell(I, H, proj_size=4),
        rondo.GRUCell(I, H),
        rondo.GRUCell(I, H, reset="before", update="new"),
    ],
    ids=str,
)
def test_a_variational_mask_scales_what_enters_the_product(cell: rondo.Cell, engine: str) -> None:
    cell = cell.double()
    around = rondo.VariationalCell(cell, 0.4)
    x = torch.randn(3, 4, I, dtype=torch.float64, requires_grad=True)
    state, mask = around.initial_state(3)
    assert set(mask.flatten().tolist()) == {0.0, 1 / 0.6}
    inputs = [x, *cell.parameters()]
    expected = results(*masked_plainly(cell, x, state, mask), inputs)
    y, (last, kept) = rondo.Recurrent(around, engine=engine)(x, (state, mask))
    assert torch.equal(kept, mask)
    assert_same(results(y, last, inputs), expected)


def test_variational_masks_are_drawn_for_each_call_and_not_at_rest() -> None:
    layer = rondo.Recurrent(rondo.VariationalCell(rondo.GRUCell(I, H), 0.5))
    x = torch.randn(8, 4, I)
    first, second = layer(x)[1][1], layer(x)[1][1]
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    layer.eval()
    y, (_, mask) = layer(x)
    assert (mask == 1).all()
    torch.testing.assert_close(y, rondo.Recurrent(layer.cell.cell)(x)[0])


def test_a_reset_row_keeps_its_mask() -> None:
    layer = rondo.Recurrent(rondo.VariationalCell(rondo.LSTMCell(I, H), 0.5))
    x, resets = torch.randn(4, 6, I), torch.zeros(4, 6, dtype=torch.bool)
    resets[:, 3] = True
    state = layer.cell.initial_state(4)
    y, (_, mask) = layer(x, state, resets=resets)
    assert torch.equal(mask, state[1])
    torch.testing.assert_close(y[:, 3:], layer(x[:, 3:], state)[0])


@pytest.mark.parametrize("batch_first", [True, False])
def test_variational_dropout_is_the_same_at_every_step(batch_first: bool) -> None:
    drop = rondo.VariationalDropout(0.4, batch_first=batch_first)
    x = torch.ones(4, 6, 50)
    y = drop(x) if batch_first else drop(x).transpose(0, 1)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])
    assert set(y.flatten().tolist()) == {0.0, y.max().item()}
    torch.testing.assert_close(y.max(), torch.tensor(1 / 0.6))
    assert drop.eval()(x) is x


def test_variational_dropout_of_packed_sequences() -> None:
    packed = pack_padded_sequence(
        torch.ones(3, 5, 40), torch.tensor([2, 5, 3]), batch_first=True, enforce_sorted=False
    )
    y, lengths = pad_packed_sequence(rondo.VariationalDropout(0.5)(packed), batch_first=True)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(y[row, :length], y[row, :1].expand(length, -1))
        assert set(y[row, :length].flatten().tolist()) == {0.0, 2.0}
    assert not torch.equal(y[0, 0], y[1, 0])


# ---- DropConnect ----


@pytest.mark.parametrize(
    "make", [rondo.Recurrent, lambda cell: rondo.Recurrent(cell, engine="cpu")]
)
def test_dropconnect_drops_weights_for_a_whole_call(make: Callable[[Any], nn.Module]) -> None:
    cell = rondo.LSTMCell(I, H).double()
    layer = rondo.DropConnect(make(cell), 0.5)
    x = torch.randn(2, 6, I, dtype=torch.float64)
    torch.manual_seed(4)
    weight = dropout(cell.weight_hh, 0.5)
    plain = rondo.LSTMCell(I, H).double()
    plain.load_state_dict({**cell.state_dict(), "weight_hh": weight.detach()})
    y_plain, _ = rondo.Recurrent(plain, engine="reference")(x)
    y_plain.square().sum().backward()
    torch.manual_seed(4)
    y, _ = layer(x)
    y.square().sum().backward()
    torch.testing.assert_close(y, y_plain)
    kept = (weight != 0) * 2.0
    torch.testing.assert_close(cell.weight_hh.grad, plain.weight_hh.grad * kept)
    torch.testing.assert_close(cell.weight_ih.grad, plain.weight_ih.grad)
    layer.eval()
    torch.testing.assert_close(layer(x)[0], rondo.Recurrent(cell)(x)[0])


def test_dropconnect_takes_layers_of_two_directions_and_of_torch() -> None:
    x = torch.randn(2, 6, I)
    two = rondo.Bidirectional(rondo.GRUCell(I, H), rondo.GRUCell(I, H))
    assert rondo.DropConnect(two)(x)[0].shape == (2, 6, 2 * H)
    theirs = rondo.LSTM(I, H, batch_first=True)
    layer = rondo.DropConnect(theirs, names=("weight_hh_l0",))
    assert not torch.equal(layer(x)[0], layer(x)[0])
    assert torch.equal(layer.eval()(x)[0], theirs(x)[0])


# ---- in general ----

RANDOM_LAYERS: dict[str, Callable[[], nn.Module]] = {
    "zoneout": lambda: rondo.Recurrent(rondo.ZoneoutCell(rondo.LSTMCell(I, H), 0.5), engine="cpu"),
    "variational": lambda: rondo.Recurrent(
        rondo.VariationalCell(rondo.LSTMCell(I, H)), engine="cpu"
    ),
    "dropconnect": lambda: rondo.DropConnect(rondo.Recurrent(rondo.LSTMCell(I, H), engine="cpu")),
}


@pytest.mark.parametrize("name", RANDOM_LAYERS)
def test_one_seed_gives_one_result_on_the_cpu_engine(name: str) -> None:
    layer, x = RANDOM_LAYERS[name](), torch.randn(3, 5, I)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(layer(x)[0])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("name", RANDOM_LAYERS)
def test_dropout_in_a_graph_of_torch(name: str) -> None:
    torch._dynamo.reset()
    layer, x = RANDOM_LAYERS[name](), torch.randn(3, 5, I, requires_grad=True)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    inputs = [x, *layer.parameters()]
    found = []
    for run in (layer, compiled):
        torch.manual_seed(1)
        y, _ = run(x)
        found.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    torch._dynamo.reset()


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a cell without a mask": (
        lambda: rondo.VariationalCell(rondo.MGUCell(I, H)),  # type: ignore[arg-type]
        r"take a mask in forward\(x, state, mask\), which MGUCell does not",
    ),
    "p of a cell": (lambda: rondo.VariationalCell(rondo.GRUCell(I, H), 1.0), "p must .* got 1.0"),
    "p of zoneout": (lambda: rondo.ZoneoutCell(rondo.GRUCell(I, H), -0.1), "p must .* got -0.1"),
    "too many p": (
        lambda: rondo.ZoneoutCell(rondo.GRUCell(I, H), (0.1, 0.2)),
        r"one for each of the 1 tensors of the state, got \(0.1, 0.2\)",
    ),
    "p of a layer": (lambda: rondo.VariationalDropout(2), "a probability, 0 to 1, got 2"),
    "names": (
        lambda: rondo.DropConnect(rondo.Recurrent(rondo.ElmanCell(I, H)), names=("weight",)),
        "parameters of the layer, weight_ih, weight_hh, bias_ih; got 'weight'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_dropout_is_refused(case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_draw_that_the_batch_shares_is_made_at_every_step() -> None:
    class Shared(rondo.Cell):
        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = h + x * torch.rand(self.hidden_size)
            return h, h

    x = torch.ones(3, 6, 4)
    torch.manual_seed(1)
    with pytest.warns(rondo.EngineWarning, match="rand draws random numbers that the whole batch"):
        y, _ = rondo.Recurrent(Shared(4, 4))(x)
    torch.manual_seed(1)
    steps = torch.stack([torch.rand(4) for _ in range(6)])
    torch.testing.assert_close(y, steps.cumsum(0).expand(3, 6, 4))
