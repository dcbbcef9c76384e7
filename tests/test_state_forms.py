"""The last state has the form in which the cell returns it, whatever runs the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import rondo

H = 4


class Pair(NamedTuple):
    h: Tensor
    c: Tensor


@dataclass
class Held:
    h: Tensor
    c: Tensor


class Returns(nn.Module):
    """Two states, returned in a form of its own."""

    input_size, state_size = 3, (H, H)

    def __init__(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.form = form
        self.U, self.W = nn.Linear(3, H), nn.Linear(H, H)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        h, c = (state.h, state.c) if isinstance(state, Held) else state
        h = torch.tanh(self.U(x) + self.W(h))
        return h, self.form(h, 0.5 * c + h)


FORMS = {
    "tuple": lambda h, c: (h, c),
    "list": lambda h, c: [h, c],
    "named tuple": Pair,
}
"""What may stand for each other: they have the same parts in the same order."""


@pytest.mark.parametrize("engine", ["cpu", "reference", "plain"])
@pytest.mark.parametrize("returned", FORMS)
@pytest.mark.parametrize("given", FORMS)
def test_the_last_state_has_the_form_of_the_cell(given: str, returned: str, engine: str) -> None:
    layer = rondo.Recurrent(Returns(FORMS[returned]), engine=engine)
    x, start = torch.randn(2, 3, 3), (torch.zeros(2, H), torch.ones(2, H))
    _, last = layer(x, FORMS[given](*start))
    assert type(last) is type(FORMS[returned](*start))
    with torch.no_grad():
        _, last = layer.step(x[:, 0], FORMS[given](*start))
        assert type(last) is type(FORMS[returned](*start))
        stream = layer.stream(FORMS[given](*start))
        stream(x[:, 0])
        stream(x[:, 1])
        assert type(stream.state) is type(FORMS[returned](*start))


@pytest.mark.parametrize("engine", ["cpu", "plain"])
def test_without_steps_the_state_is_as_it_was_given(engine: str) -> None:
    layer = rondo.Recurrent(Returns(FORMS["list"]), engine=engine)
    _, last = layer(torch.randn(2, 0, 3), Pair(torch.zeros(2, H), torch.ones(2, H)))
    assert type(last) is Pair


def test_a_graph_of_torch_keeps_the_form_or_refuses() -> None:
    layer = rondo.Recurrent(Returns(FORMS["list"]))
    x, start = torch.randn(2, 3, 3), (torch.zeros(2, H), torch.ones(2, H))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    _, last = compiled(x, [*start])
    assert type(last) is list
    with pytest.raises(Exception, match=r"returns it as .*; begin with a state in the form"):
        compiled(x, start)


def test_a_cell_that_treats_forms_in_other_ways_runs_as_it_is() -> None:
    class Looks(Returns):
        def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
            y, (h, c) = super().forward(x, state)
            return (y, [h, c]) if isinstance(state, tuple) else (2 * y, [h, c])

    layer = rondo.Recurrent(Looks(FORMS["tuple"]))
    x, start = torch.randn(2, 3, 3), (torch.zeros(2, H), torch.ones(2, H))
    with pytest.warns(rondo.EngineWarning, match=r"with a state \[.*\] than with a state \("):
        y, _ = layer(x, start)
    expected, _ = rondo.Recurrent(layer.cell, engine="plain")(x, start)
    assert torch.equal(y, expected)
