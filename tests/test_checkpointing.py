"""`checkpoint_every`: what it leaves as it is, what it saves, what it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell, relative_error
from test_conformance import MODES, all_results, make_case


def run(
    case: dict[str, Any],
    mode: str,
    settings: Sequence[int | None],
    *,
    reverse: bool = False,
    engine: str = "auto",
) -> list[dict[str, Tensor]]:
    """The results of one layer, compiled once, with each setting of `checkpoint_every`."""
    layer = rondo.Recurrent(case["cell"], reverse=reverse, engine=engine)
    keywords = {"lengths": case["lengths"]} if "ragged" in mode else {}
    keywords |= {"resets": case["resets"]} if "resets" in mode else {}
    found = []
    for every in settings:
        layer.checkpoint_every = every
        found.append(all_results(*layer(case["x"], case["state"], **keywords), case))
    return found


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.usefixtures("compared_by_the_test")
def test_it_changes_no_result(name: str, engine: str, mode: str, reverse: bool) -> None:
    case = make_case(name, (5, 7, 3, 17), mode, torch.float64)
    expected, *checkpointed = run(case, mode, (None, 1, 4, 30), reverse=reverse, engine=engine)
    for got in checkpointed:
        for key, value in expected.items():
            torch.testing.assert_close(got[key], value, rtol=1e-11, atol=1e-12, msg=key)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "one-product"])
def test_on_the_cpu_engine_only_the_sums_over_the_steps_differ_in_rounding(
    name: str, mode: str, reverse: bool
) -> None:
    case = make_case(name, (5, 23, 3, 17), mode, torch.float32)
    expected, got = run(case, mode, (None, 4), reverse=reverse, engine="cpu")
    for key, value in expected.items():
        if key.startswith(("output", "final", "grad x", "grad state")):
            assert torch.equal(got[key], value), key
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("mode", ["ragged", "ragged-resets"])
@pytest.mark.parametrize("name", ["elman", "lstm"])
def test_under_bfloat16_autocast_no_segment_rounds_the_state(name: str, mode: str) -> None:
    """Torch does the products with x: those before the loop are exact here, in whatever order."""
    case = make_case(name, (4, 40, 3, 17), mode, torch.float32)
    with torch.no_grad():
        for value in (case["x"], case["cell"].weight_ih, case["cell"].bias_ih):
            value.copy_((8 * value).round() / 8)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = run(case, mode, (None, 3), engine="cpu")
    for key, value in expected.items():
        if key.startswith(("output", "final", "grad state")):
            assert torch.equal(got[key], value), key
        exact = value.double()
        assert relative_error(got[key], exact) < torch.finfo(torch.bfloat16).eps, key


@pytest.mark.parametrize(("batch_size", "num_steps"), [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_no_rows_or_no_steps(engine: str, batch_size: int, num_steps: int) -> None:
    case = make_case("lstm", (batch_size or 1, num_steps or 1, 3, 17), "dense", torch.float64)
    case["x"] = torch.zeros(batch_size, num_steps, 3, dtype=torch.float64, requires_grad=True)
    case["state"] = tuple(s.detach()[:batch_size].requires_grad_() for s in case["state"])
    expected, got = run(case, "dense", (None, 2), engine=engine)
    for key, value in expected.items():
        assert torch.equal(got[key], value), key


def test_gradients_to_the_second_order() -> None:
    layer = rondo.Recurrent(make_cell("lstm", 2, 3, torch.float64), checkpoint_every=2)
    lengths = torch.tensor([3, 2])

    def outputs(x: Tensor) -> Tensor:
        y, _ = layer(x, lengths=lengths)
        return y

    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (x,))
    assert torch.autograd.gradgradcheck(outputs, (x,))


def saved_bytes(layer: nn.Module, x: Tensor) -> int:
    """What the autograd graph keeps, beside its inputs."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    layer(x)  # compiled now: torch cannot trace a gradient under such hooks
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layer(x)
    for given in (x, *layer.parameters()):
        sizes.pop(given.untyped_storage().data_ptr(), None)
    return sum(sizes.values())


def test_what_is_kept_grows_as_the_square_root_of_the_steps() -> None:
    cell = rondo.LSTMCell(2, 8)
    state_bytes = 2 * 3 * 8 * 4  # two states of B = 3 rows
    for num_steps in (100, 400):
        x = torch.randn(num_steps, 3, 2)
        layer = rondo.Recurrent(cell, batch_first=False, checkpoint_every="auto")
        beside = state_bytes + 8 * num_steps  # the initial state; the size of every step
        num_kept = num_steps**0.5 / 2  # the state of every 2 sqrt(T)-th step
        assert saved_bytes(layer, x) == num_kept * state_bytes + beside
        everything = saved_bytes(rondo.Recurrent(cell, batch_first=False), x)
        assert everything > 5 * num_steps * 3 * 8 * 4


def test_a_bidirectional_layer_passes_it_on() -> None:
    cells = rondo.GRUCell(3, 5), rondo.GRUCell(3, 5)
    x, lengths = torch.randn(2, 7, 3), torch.tensor([7, 4])
    y, _ = rondo.Bidirectional(*cells)(x, lengths=lengths)
    layer = rondo.Bidirectional(*cells, checkpoint_every=3)
    assert torch.equal(layer(x, lengths=lengths)[0], y)
    assert layer.forward_layer.checkpoint_every == layer.backward_layer.checkpoint_every == 3


@pytest.mark.parametrize("every", [0, -1, 2.5, "often", True])
def test_what_is_no_number_of_steps_is_refused(every: object) -> None:
    with pytest.raises(
        ValueError, match=re.escape('1 or more, "auto" (twice the square root of T) or None')
    ) as raised:
        rondo.Recurrent(rondo.GRUCell(2, 3), checkpoint_every=every)  # type: ignore[arg-type]
    assert str(raised.value).endswith(f"got {every!r}")


class NoisyCell(rondo.Cell):
    """Draws dropout in its step."""

    def __init__(self) -> None:
        super().__init__(2, 3)
        self.inner = rondo.ElmanCell(2, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.inner(x, h)
        return nn.functional.dropout(y, 0.5, self.training), h


class MixingCell(rondo.Cell):
    """Subtracts the mean over the batch."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + h - h.mean(0))
        return h, h


@pytest.mark.parametrize(
    ("cell", "why"), [(NoisyCell(), "draws random numbers"), (MixingCell(), "mean")]
)
def test_steps_that_cannot_be_run_again_are_refused(cell: nn.Module, why: str) -> None:
    layer = rondo.Recurrent(cell, engine="reference", checkpoint_every=2)
    x = torch.randn(3, 4, 2, requires_grad=True)
    with pytest.raises(
        ValueError, match=f"engine='reference' cannot run {type(cell).__name__}: .*{why}"
    ):
        layer(x)


@pytest.mark.parametrize("cell", [NoisyCell(), MixingCell()], ids=["noisy", "mixing"])
def test_the_plain_loop_runs_any_step_again(cell: nn.Module) -> None:
    """With the same random numbers, and with what it keeps of the batch."""
    x = torch.randn(3, 5, 2, requires_grad=True)
    found = []
    for every in (None, 2):
        torch.manual_seed(3)
        y, h = rondo.Recurrent(cell, engine="plain", checkpoint_every=every)(x)
        found.append([y, h, *torch.autograd.grad(y.square().sum() + h.sum(), x)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("every", [4, "auto"])
def test_drop_ins_keep_less_where_they_are_told(every: Any) -> None:
    torch.manual_seed(0)
    layer = rondo.LSTM(3, 17, num_layers=2, bidirectional=True)
    x = torch.randn(23, 5, 3)
    everything, found = saved_bytes(layer, x), []
    for layer.checkpoint_every in (None, every):
        layer.zero_grad()
        y, _ = layer(x)
        y.square().sum().backward()
        found.append([y, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(*found)
    assert torch.equal(found[0][0], found[1][0])
    assert saved_bytes(layer, x) < everything / 2


def test_a_drop_in_refuses_what_is_no_number_of_steps() -> None:
    layer = rondo.GRU(3, 4)
    with pytest.raises(ValueError, match="checkpoint_every must be a number of steps, 1 or more"):
        layer.checkpoint_every = 0
