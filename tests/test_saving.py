"""What is kept for the backward pass: the fewest bytes from which the rest follows."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.cells.cell import initial_state
from rondo.compiler.cut import Cut
from rondo.compiler.gradient import differentiate
from rondo.compiler.trace import trace


def kept(cell: nn.Module, size: int) -> dict[str, int]:
    """The values of H numbers that are kept beside the output, with how many such they hold."""
    x = torch.randn(3, size)
    tensors = dict(cell.named_parameters())
    state = initial_state(cell, x)
    traced = trace(cell, tensors, x, state, wanted=[True] * len(tensors))
    gradient = differentiate(traced)
    assert gradient is not None
    step, num_outputs = gradient.forward.step, len(traced.graph.outputs)
    return {
        name: torch.Size(step.by_name[name].shape[1:]).numel() // size
        for name in step.outputs[num_outputs:]
    }


class Step(rondo.Cell):
    """A step of two products, whose gradient reads what a test says."""

    def __init__(self, function: object) -> None:
        super().__init__(4, 4, 4)
        self.function, self.U, self.W = function, nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        new = self.function(self.U(x), self.W(h))
        return new.sum(-1, keepdim=True), new


def test_an_lstm_keeps_its_gates_and_c() -> None:
    """Not tanh(c), which follows from c."""
    assert sorted(kept(rondo.LSTMCell(8, 8), 8).values()) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("function", "most"),
    [
        (lambda a, b: torch.tanh(a + b), 1),  # the new state
        (lambda a, b: torch.tanh(a + b) * torch.sigmoid(a + b), 2),  # a + b, the new state
        (lambda a, b: torch.nn.functional.silu(a + b), 2),
        (lambda a, b: torch.tanh(torch.sigmoid(torch.tanh(a + b))), 3),  # one function, not two
        (lambda a, b: (a[:, :, None] * b[:, None]).tanh().sum(-1), 3),  # a and b, not a times b
    ],
)
def test_two_functions_of_a_value_are_made_again_from_it(function: object, most: int) -> None:
    assert sum(kept(Step(function), 4).values()) == most


def test_the_cheapest_cut_of_random_networks() -> None:
    """As a search through all choices finds it."""
    draw = random.Random(0)
    for _ in range(200):
        prices = [draw.choice([1, 2, 3, 5]) for _ in range(7)]
        operands = [
            None if number < 2 or draw.random() < 0.3 else draw.sample(range(number), 2)
            for number in range(7)
        ]
        needed = draw.sample(range(7), 3)
        cut = Cut()
        for number in range(7):
            behind = operands[number]
            names = None if behind is None else [str(other) for other in behind]
            cut.offer(str(number), prices[number], names)
        for number in needed:
            cut.need(str(number))
        found = {int(name) for name in cut.least()}
        assert follows(found, operands, needed)
        choices = itertools.chain.from_iterable(
            itertools.combinations(range(7), count) for count in range(8)
        )
        cheapest = min(
            sum(prices[number] for number in choice)
            for choice in choices
            if follows(set(choice), operands, needed)
        )
        assert sum(prices[number] for number in found) == cheapest


def follows(bought: set[int], operands: list[list[int] | None], needed: list[int]) -> bool:
    """Whether what is needed follows from what was bought."""
    had: set[int] = set()
    for number, behind in enumerate(operands):
        if number in bought or (behind is not None and had.issuperset(behind)):
            had.add(number)
    return had.issuperset(needed)


def test_what_is_needed_and_has_no_price_is_named() -> None:
    cut = Cut()
    cut.offer("a", float("inf"), None)
    cut.offer("b", float("inf"), ["a"])
    cut.need("b")
    assert cut.least() == "b"


def test_of_equal_cuts_the_one_that_makes_least_again() -> None:
    cut = Cut()
    cut.offer("before", 4, None)
    cut.offer("gates", 4, ["before"])
    cut.need("gates")
    assert cut.least() == {"gates"}
