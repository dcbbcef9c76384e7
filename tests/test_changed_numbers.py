"""Numbers on a cell that change from call to call, and what the cell is compiled to then."""

from __future__ import annotations

import copy
import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.compiler import cpu
from rondo.compiler.changes import numbers_of

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))


class Annealed(nn.Module):
    """A cell with numbers of several kinds."""

    state_size = 5

    def __init__(self) -> None:
        super().__init__()
        self.U, self.W = nn.Linear(4, 5), nn.Linear(5, 5)
        self.temperature, self.step_number, self.is_sharp = 1.5, 3, False
        self.settings = SimpleNamespace(floor=[0.25], power=2.5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        rate = math.exp(-0.1 * self.step_number)
        new = torch.tanh((self.U(x) + self.W(h)) / self.temperature)
        new = new.clamp(min=-self.settings.floor[0] - 0.5)
        new = (1 - rate) * h + rate * new + 0.01 * (h * h + 0.1) ** self.settings.power
        h = torch.sign(new) * new.abs().sqrt() if self.is_sharp else new
        return h, h


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources of the kernels that are made."""
    sources: list[str] = []
    load = cpu.load

    def noted(source: str, *level: str) -> Any:
        sources.append(source)
        return load(source, *level)

    monkeypatch.setattr(cpu, "load", noted)
    return sources


def results(layer: nn.Module, **how: Any) -> list[Tensor]:
    x = X.clone().requires_grad_()
    y, h = layer(x, **how)
    loss = y.square().sum() + h.sum()
    return [y, h, *torch.autograd.grad(loss, [x, *layer.parameters()])]


def plain(layer: rondo.Recurrent, **how: Any) -> list[Tensor]:
    return results(rondo.Recurrent(layer.cell, engine="plain"), **how)


CHANGES = {
    "temperature": lambda cell, value: setattr(cell, "temperature", 1 + 0.1 * value),
    "counter": lambda cell, value: setattr(cell, "step_number", value),
    "in a list": lambda cell, value: cell.settings.floor.__setitem__(0, 0.1 * value),
    "power": lambda cell, value: setattr(cell.settings, "power", 2.1 + 0.1 * value),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_number_that_changes_becomes_an_argument(name: str, compiled: list[str]) -> None:
    layer = rondo.Recurrent(Annealed())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results(layer)
        for value in range(1, 9):
            CHANGES[name](layer.cell, value)
            for a, b in zip(results(layer), plain(layer), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
            if value == 2:
                enough = len(compiled)
    assert len(compiled) == enough


def test_several_numbers_at_once_and_one_after_the_other(compiled: list[str]) -> None:
    layer = rondo.Recurrent(Annealed())
    results(layer)
    for value in range(1, 7):
        for name in list(CHANGES)[: 1 + value % 3]:
            CHANGES[name](layer.cell, value)
        for a, b in zip(results(layer), plain(layer), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        if value == 3:
            enough = len(compiled)
    assert len(compiled) == enough


def test_a_number_that_the_step_does_not_read_compiles_nothing(compiled: list[str]) -> None:
    layer = rondo.Recurrent(Annealed())
    layer.cell.num_calls = 0
    results(layer)
    enough = len(compiled)
    for value in range(1, 5):
        layer.cell.num_calls = value
        results(layer)
    assert len(compiled) == enough


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_keeps_all_digits_and_whatever_else_a_call_asks_for(dtype: torch.dtype) -> None:
    layer = rondo.Recurrent(Annealed()).to(dtype)
    x = X.to(dtype)
    lengths, resets = torch.tensor([6, 2, 0]), torch.rand(3, 6) < 0.3
    for value in range(1, 5):
        CHANGES["temperature"](layer.cell, value)
        for how in ({"lengths": lengths}, {"resets": resets}):
            y, _ = layer(x, **how)
            right, _ = rondo.Recurrent(layer.cell, engine="plain")(x, **how)
            digits = 1e-12 if dtype == torch.float64 else 1e-5
            torch.testing.assert_close(y, right, rtol=digits, atol=digits)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_engines_by_name(engine: str) -> None:
    layer = rondo.Recurrent(Annealed(), engine=engine)
    for value in range(1, 5):
        CHANGES["power"](layer.cell, value)
        for a, b in zip(results(layer), plain(layer), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_steps_and_streams_follow() -> None:
    layer = rondo.Recurrent(Annealed())
    with torch.no_grad():
        for value in range(1, 6):
            CHANGES["temperature"](layer.cell, value)
            h = torch.zeros(3, 5)
            torch.testing.assert_close(layer.step(X[:, 0], h), layer.cell(X[:, 0], h))


def test_two_programs_run_backward_each_with_its_own_number() -> None:
    layer = rondo.Recurrent(Annealed())
    right, losses = [], []
    for value in range(1, 6):
        CHANGES["temperature"](layer.cell, value)
        right.append(plain(layer)[3])
        x = X.clone().requires_grad_()
        y, h = layer(x)
        losses.append((y.square().sum() + h.sum(), next(iter(layer.parameters()))))
    for (loss, weight), expected in zip(losses, right, strict=True):
        (found,) = torch.autograd.grad(loss, weight)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_number_that_decides_what_is_done_is_told_once_with_what_to_write() -> None:
    class Counting(nn.Module):
        state_size = 4

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.times = 1

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            for _ in range(self.times):
                h = torch.tanh(self.inner(h) + x)
            return h, h

    layer = rondo.Recurrent(Counting())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for number in range(1, 9):
            layer.cell.times = number
            layer(X)
    (warning,) = seen
    text = str(warning.message)
    assert warning.category is rondo.EngineWarning
    assert "Counting was compiled 5 times" in text
    assert "times (now 5)" in text
    assert 'self.register_buffer("times", torch.tensor(...))' in text


def test_what_it_advises_compiles_once(compiled: list[str]) -> None:
    class Buffered(Annealed):
        def __init__(self) -> None:
            super().__init__()
            del self.temperature
            self.register_buffer("temperature", torch.tensor(1.5))

    layer = rondo.Recurrent(Buffered())
    results(layer)
    enough = len(compiled)
    for value in range(4):
        layer.cell.temperature.fill_(1 + 0.1 * value)
        torch.testing.assert_close(results(layer)[0], plain(layer)[0], rtol=1e-4, atol=1e-5)
    assert len(compiled) == enough


def test_a_number_that_is_no_argument_of_an_operation_stays_right() -> None:
    class Dropped(nn.Module):
        state_size = 5

        def __init__(self) -> None:
            super().__init__()
            self.U, self.slope, self.num = nn.Linear(4, 5), 0.1, 2

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = nn.functional.leaky_relu(self.U(x) + h, self.slope)
            return h[:, : self.num], nn.functional.softplus(h, self.slope + 1) / 2

    layer = rondo.Recurrent(Dropped())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1, 5):
            layer.cell.slope = 0.1 * number
            layer.cell.num = number
            torch.testing.assert_close(layer(X), rondo.Recurrent(layer.cell, engine="plain")(X))


def test_copies_begin_anew() -> None:
    layer = rondo.Recurrent(Annealed())
    for value in range(1, 4):
        CHANGES["temperature"](layer.cell, value)
        results(layer)
    other = copy.deepcopy(layer)
    other.cell.temperature = 7.0
    for a, b in zip(results(other), plain(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_numbers_of_a_cell_have_names() -> None:
    numbers = numbers_of(Annealed())
    assert numbers["temperature"] == 1.5
    assert numbers["settings.floor.0"] == 0.25
    assert numbers["is_sharp"] is False
