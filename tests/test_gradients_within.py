"""Steps that take a gradient, or run a function of torch.func, themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from plain_loop import Sequences, check_equal, engine_of, run_layer, run_plain

H = 4


class LearnsWhileItRuns(nn.Module):
    """The state is the weight of a map k -> v; each step goes down its own loss once."""

    input_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.k, self.v, self.q = (nn.Linear(3, H) for _ in range(3))
        self.rate = nn.Parameter(torch.tensor(0.1))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.k.weight.new_zeros(batch_size, H, H)

    def gradient(self, W: Tensor, k: Tensor, v: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
        W = W - self.rate * self.gradient(W, self.k(x), self.v(x))
        return torch.einsum("bij,bj->bi", W, self.q(x)), W


def loss(W: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((W @ k - v) ** 2).sum()


class ByTransforms(LearnsWhileItRuns):
    def gradient(self, W: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found: Tensor = torch.vmap(torch.func.grad(loss))(W, k, v)
        return found


class ByAutograd(LearnsWhileItRuns):
    def gradient(self, W: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weight = W + 0 * self.rate  # which has a gradient in the first step too
        total = ((weight @ k[..., None] - v[..., None]) ** 2).sum()
        (found,) = torch.autograd.grad(total, weight, create_graph=True)
        return found


class AsksItsState(LearnsWhileItRuns):
    """Goes through the gradient of a state that has one: not in the first step."""

    def gradient(self, W: Tensor, k: Tensor, v: Tensor) -> Tensor:
        has_gradient = (2 * W).requires_grad
        weight = W if has_gradient else W.detach().requires_grad_()
        total = ((weight @ k[..., None] - v[..., None]) ** 2).sum()
        (found,) = torch.autograd.grad(total, weight, create_graph=has_gradient)
        return found


class ByAnotherNet(nn.Module):
    """An inner net runs on parameters that are made anew at each step."""

    input_size, state_size = 3, H

    def __init__(self) -> None:
        super().__init__()
        self.net, self.W = (
            nn.Sequential(nn.Linear(3, H), nn.Tanh(), nn.Linear(H, H)),
            nn.Linear(H, H),
        )
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        scaled = {name: self.scale * value for name, value in self.net.named_parameters()}
        made = torch.func.functional_call(self.net, scaled, (x,))
        h = torch.vmap(torch.tanh)(made + self.W(h))
        return h, h


@pytest.mark.parametrize("kind", [ByTransforms, ByAutograd, ByAnotherNet])
def test_gradients_within_a_step(kind: Any) -> None:
    cell = kind().double()
    x = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(3, 4, dtype=torch.bool)
    resets[0, 2] = True
    given = Sequences(x, None, torch.tensor([4, 1, 3]), resets).filled(0)
    layer = rondo.Recurrent(cell, engine="cpu")
    check_equal(run_layer(layer, given), run_plain(cell, given))
    assert set(engine_of(layer)) == {"kernel"}


def test_a_step_that_asks_for_the_gradient_of_its_state_runs_as_it_is() -> None:
    cell = AsksItsState().double()
    given = Sequences(torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True))
    layer = rondo.Recurrent(cell)
    with pytest.warns(
        rondo.EngineWarning, match=r"asks whether its state has a gradient.*\.py:\d+"
    ):
        got = run_layer(layer, given)
    check_equal(got, run_plain(cell, given))
