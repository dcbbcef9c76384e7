"""What is said of a cell: its class, its line, the tensor as the user spells it, what to write."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.layers.making import failure

H = 4


class Steps(nn.Module):
    """An Elman cell whose step does something more."""

    input_size, state_size = 3, H

    def __init__(self, more: Callable[[Any, Tensor, Tensor], Any] | None = None) -> None:
        super().__init__()
        self.more = more
        self.U, self.inner = nn.Linear(3, H), nn.Sequential(nn.Linear(H, H))
        self.register_buffer("seen", torch.zeros(H))
        self.last: Any = None

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.U(x) + self.inner(h))
        if self.more is not None:
            changed = self.more(self, x, h)
            h = changed if isinstance(changed, Tensor) else h
        return h, h


OUTSIDE = torch.zeros(H)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (lambda cell, x, h: cell.seen.add_(1) * h, "the buffer seen in place, by add_"),
        (
            lambda cell, x, h: cell.inner[0].weight.data.mul_(0.9).sum() * 0 + h,
            r"the parameter inner\.0\.weight in place, by mul_",
        ),
        (lambda cell, x, h: x[:, :1].mul_(2) * h, "its input in place, by mul_"),
        (
            lambda cell, x, h: OUTSIDE.add_(1) * h,
            "the tensor OUTSIDE in place, by add_",
        ),
    ],
)
def test_what_is_changed_in_place_is_named(more: Any, what: str) -> None:
    layer = rondo.Recurrent(Steps(more), engine="cpu")
    message = rf"engine='cpu' cannot run Steps: the step changes {what} \(test_messages\.py:\d+\)"
    with pytest.raises(ValueError, match=message), torch.no_grad():
        layer(torch.randn(2, 3, 3))


def test_a_check_of_a_cell_that_fails_by_itself_raises_its_own_error() -> None:
    def changes_one_of_several_views(cell: Any, x: Tensor, h: Tensor) -> None:
        first, _ = (h * 1).chunk(2, 1)
        first.mul_(2)

    with pytest.raises(RuntimeError, match="Output 0 of Split"):
        rondo.check(Steps(changes_one_of_several_views), torch.randn(2, 3, 3))


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
def test_numbers_that_another_library_draws_are_not_frozen(draw: Callable[[], float]) -> None:
    """Two recordings, and the steps of the comparison, may well take the same way by chance."""
    layer = rondo.Recurrent(Steps(lambda cell, x, h: h if draw() < 1e-6 else None))
    with pytest.warns(rondo.EngineWarning, match="draws random numbers with Python's random or"):
        layer(torch.randn(2, 3, 3))


def test_a_tensor_with_rows_of_its_own() -> None:
    rows = torch.randn(2, H)
    report = rondo.check(Steps(lambda cell, x, h: h * rows), torch.randn(2, 3, 3))
    assert report
    assert report.engine == "plain"
    assert report.reason is not None
    assert "fails with a batch of" in report.reason
    assert "a tensor with rows of its own belongs into the state or the input" in report.reason


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (lambda cell, x, h: h.sort(-1).values, r"sort is an operation that no kernel does"),
        (
            lambda cell, x, h: (h.double() @ cell.inner[0].weight.double()).to(h.dtype),
            "float64 in a step of float32",
        ),
        (
            lambda cell, x, h: (
                h * torch.zeros(len(h), 1, dtype=torch.int64).add(h.argmax(-1, True))
            ),
            r"zeros gives whole numbers \(int64\), which may be too large for a kernel",
        ),
    ],
)
def test_why_there_is_no_kernel_in_words_of_the_user(more: Any, says: str) -> None:
    x = torch.randn(2, 3, 3)
    report = rondo.check(Steps(more), x)
    assert report.reason is not None
    assert report.reason.count("(test_messages.py:") == 1
    with pytest.raises(ValueError, match=f"engine='cpu' cannot run Steps: .*{says}.*"):
        rondo.Recurrent(Steps(more), engine="cpu")(x)


def test_a_warning_that_newton_found_nothing_points_at_the_users_line() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 6), engine=rondo.Newton(max_iterations=1))
    x = torch.randn(2, 30, 3)
    with torch.no_grad(), pytest.warns(rondo.EngineWarning, match="found no solution") as told:
        layer(x)  # this line
    (warning,) = (one for one in told if issubclass(one.category, rondo.EngineWarning))
    line = Path(__file__).read_text().splitlines()[warning.lineno - 1]
    assert (Path(warning.filename), line.strip()) == (Path(__file__), "layer(x)  # this line")


# ---- what a step leaves for a later one ----


def keeps_its_rows(cell: Any, x: Tensor, h: Tensor) -> Tensor:
    if cell.last is not None and cell.last.shape == h.shape:
        h = h + 0.1 * cell.last
    cell.last = h.detach()
    return h


def keeps_a_mean_of_all_rows(cell: Any, x: Tensor, h: Tensor) -> Tensor:
    h = h - 0.1 * cell.seen
    cell.seen.copy_(h.detach().mean(0))
    return h


def notes_its_last_output(cell: Any, x: Tensor, h: Tensor) -> None:
    cell.last = h


KEEPS = "Steps (keeps what it has computed of them outside of its state|mixes them)"


@pytest.mark.parametrize(
    ("more", "reverse", "refused"),
    [
        (keeps_its_rows, False, False),
        (keeps_its_rows, True, True),  # a row would begin with what it left where it has no step
        (keeps_a_mean_of_all_rows, False, True),
        (keeps_a_mean_of_all_rows, True, True),
        (notes_its_last_output, False, False),
        (notes_its_last_output, True, False),
    ],
)
def test_rows_that_a_cell_keeps_outside_of_its_state(
    more: Any, reverse: bool, refused: bool
) -> None:
    x, lengths = torch.randn(2, 4, 3), torch.tensor([4, 1])
    layer = rondo.Recurrent(Steps(more), reverse=reverse)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rondo.EngineWarning)
        layer(x)  # of one length each cell runs
        layer.cell.last = None
        layer.cell.seen.zero_()
        if refused:
            with pytest.raises(ValueError, match=KEEPS):
                layer(x, lengths=lengths)
            return
        y, _ = layer(x, lengths=lengths)
    layer.cell.last = None
    own, _ = rondo.Recurrent(layer.cell, engine="plain", reverse=reverse)(x[1:, :1])
    torch.testing.assert_close(y[1:, :1], own)


def test_modules_nested_too_deeply_to_be_traced() -> None:
    """A step just runs by itself; what records it, with other numbers of rows, needs more stack."""

    def deep(cell: Steps, x: Tensor, h: Tensor) -> Tensor:
        def nested(depth: int) -> Tensor:
            return nested(depth - 1) if depth else cell.inner(h)

        return nested(0 if len(x) == 2 else sys.getrecursionlimit())

    layer, x = rondo.Recurrent(Steps(deep)), torch.randn(2, 4, 3)
    message = (
        r"nested deeper than Python's limit of [\d,]+ .*less deeply, or call sys\.setrecursion"
    )
    with pytest.warns(rondo.EngineWarning, match=message):
        y, _ = layer(x)
    expected, _ = rondo.Recurrent(layer.cell, engine="plain")(x)
    torch.testing.assert_close(y, expected)


def test_a_lack_of_memory_is_no_fault_of_rondo() -> None:
    cell = Steps()
    said = str(failure(cell, ImportError("a.so: failed to map segment from shared object")))
    assert said.startswith("Steps could not be compiled, for there is not enough memory (ImportErr")
    said = str(failure(cell, KeyError("h")))
    assert said.startswith(
        "Steps could not be compiled, through a fault of Rondo's (KeyError: 'h')"
    )
