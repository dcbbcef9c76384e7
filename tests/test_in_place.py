"""Weights that a run over few rows reads where they lie."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.compiler import in_place
from rondo.compiler.network import Network

NEVER, ALWAYS = (0, 0), (10**6, 10**6)


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The results and all gradients of the third call, by the short way where there is one."""
    for _ in range(3):
        leaf = x.detach().clone().requires_grad_()
        output, last = layer(leaf)
        loss = (output * torch.linspace(-1, 2, output.numel()).view(output.shape)).sum()
        found = [output, last, *torch.autograd.grad(loss, [leaf, *layer.parameters()])]
    return found


def like(layer: nn.Module) -> rondo.GRU:
    """A layer of ours with the weights of another."""
    ours = rondo.GRU(layer.input_size, layer.hidden_size).to(layer.weight_hh_l0.dtype)
    ours.load_state_dict(layer.state_dict())
    return ours


@pytest.mark.parametrize(
    ("input_size", "hidden_size", "dtype"),
    [(19, 3, torch.float32), (33, 40, torch.float32), (5, 17, torch.float64)],
)
def test_it_gives_what_packed_weights_give(
    input_size: int, hidden_size: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = nn.GRU(input_size, hidden_size).to(dtype)
    for sizes in ((1, 1), (1, 2), (1, 3), (2, 4), (3, 5), (1, 9), (40, 1)):
        x = torch.randn(*sizes, input_size, dtype=dtype)
        found = []
        for limits in (ALWAYS, NEVER):
            monkeypatch.setattr(in_place, "FEW_ROWS_OF_A_RUN", limits)
            found.append(results(like(plain), x))
        for a, b, exact in zip(*found, results(plain, x), strict=True):
            torch.testing.assert_close(a, b)
            torch.testing.assert_close(a, exact)


def test_threads_share_a_large_product_and_change_nothing() -> None:
    layer, x = rondo.GRU(250, 330), torch.randn(3, 1, 250)
    threads = torch.get_num_threads()
    found = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            found.append(results(layer, x))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    ("size", "sizes", "expected"),
    [(8, (2, 4), True), (8, (3, 4), False), (260, (4, 8), True), (260, (4, 9), False)],
)
def test_it_is_chosen_by_rows_and_weights(
    size: int, sizes: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        "rondo.compiler.kernel_runs.read_in_place", lambda *args: seen.append(args[2])
    )
    layer, x = rondo.RNN(size, size), torch.randn(*sizes, size)
    with torch.no_grad():
        for _ in range(2):
            layer(x)
    assert bool(seen) is expected


def test_a_state_that_nobody_reads_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step, the gradient of the initial state is the only use of the recurrent weights."""
    told: list[bool] = []
    before = Network.make

    def make(network: Network) -> None:
        told.append(network.wants_state)
        before(network)

    monkeypatch.setattr(Network, "make", make)
    plain, x = nn.GRU(3, 5), torch.randn(1, 2, 3)
    layer, state = like(plain), torch.randn(1, 2, 5)
    for wants in (False, True):
        given = state.clone().requires_grad_(wants)
        wanted = [*([given] if wants else []), *layer.parameters()]
        expected_of = [*([given] if wants else []), *plain.parameters()]
        for _ in range(3):
            found = torch.autograd.grad(layer(x, given)[0].square().sum(), wanted)
        expected = torch.autograd.grad(plain(x, given)[0].square().sum(), expected_of)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
    assert told == [False, True]
