"""Cells that people published, as they write them, against the plain loop, whatever engine runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils import _pytree as pytree

import rondo
from plain_loop import (
    SLOWER_MAY_RUN,
    Sequences,
    check_equal,
    check_in_budget,
    is_refusal,
    plain_loop,
    run_layer,
    run_plain,
    without_rows,
)
from published_cells import PUBLISHED, as_float64, make_cell, make_sequences

pytestmark = SLOWER_MAY_RUN

BATCH_SIZE, NUM_STEPS = 3, 4
LENGTHS = torch.tensor([2, 4, 0])
RESETS = torch.tensor([[True, False, True, True], [False, False, True, False], [False] * 4])
GIVEN = {
    "dense": {"state": None},
    "ragged-resets": {"lengths": LENGTHS, "resets": RESETS},
    "ragged": {"lengths": LENGTHS},
    "resets": {"resets": RESETS},
    "reverse": {},
    "ragged-reverse": {"lengths": LENGTHS},
    "checkpoints": {},
}
"""What each way of calling a layer takes beside x; the first two run in `make test`."""

FAST = ("dense", "ragged-resets")
QUICK = ("lstm", "ntm", "sru")
FIXED = [name for name, published in PUBLISHED.items() if not published.is_random]
ALONE = [name for name in FIXED if not PUBLISHED[name].mixes_rows]


def options_of(mode: str) -> dict[str, object]:
    return {"reverse": "reverse" in mode, "checkpoint_every": 2 if mode == "checkpoints" else None}


def sequences_of(name: str, mode: str, cell: torch.nn.Module) -> Sequences:
    return replace(make_sequences(name, cell, BATCH_SIZE, NUM_STEPS), **GIVEN[mode])


@pytest.mark.parametrize(
    "mode", [mode if mode in FAST else pytest.param(mode, marks=pytest.mark.slow) for mode in GIVEN]
)
@pytest.mark.parametrize("name", ALONE)
def test_equals_the_plain_loop(name: str, mode: str) -> None:
    cell, own = make_cell(name), make_cell(name)
    layer = rondo.Recurrent(own, **options_of(mode))
    got = run_layer(layer, sequences_of(name, mode, own))
    given = sequences_of(name, mode, cell)
    by_rows = PUBLISHED[name].attends is None
    check_equal(got, run_plain(cell, given, reverse=layer.reverse, by_rows=by_rows))


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_float32_stays_within_the_error_budget(name: str) -> None:
    cell, own = (make_cell(name, torch.float32) for _ in range(2))
    given = make_sequences(name, cell, BATCH_SIZE, NUM_STEPS, torch.float32)
    exact = run_plain(*as_float64(cell, given))
    plain = run_plain(cell, given)
    got = run_layer(
        rondo.Recurrent(own), make_sequences(name, own, BATCH_SIZE, NUM_STEPS, torch.float32)
    )
    check_in_budget(got, plain, exact, least=2**-20)


@pytest.mark.parametrize("name", [name for name in FIXED if PUBLISHED[name].mixes_rows])
def test_cells_that_mix_rows_run_dense_and_refuse_ragged(name: str) -> None:
    cell, own = make_cell(name), make_cell(name)
    got = run_layer(rondo.Recurrent(own), sequences_of(name, "dense", own))
    check_equal(got, run_plain(cell, sequences_of(name, "dense", cell)))
    with pytest.raises(ValueError, match=type(own).__name__) as refused:
        run_layer(rondo.Recurrent(own), sequences_of(name, "ragged", own))
    assert is_refusal(refused.value)


@pytest.mark.parametrize("name", [name for name, cell in PUBLISHED.items() if cell.is_random])
def test_cells_that_draw_random_numbers(name: str) -> None:
    cell = make_cell(name)
    layer = rondo.Recurrent(cell)
    given = sequences_of(name, "ragged", cell)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(run_layer(layer, given))
    first, again, other = runs
    check_equal(again, first)
    assert not torch.equal(first["output"], other["output"])
    assert all(value.isfinite().all() for value in first.values())
    cell.eval()
    check_equal(run_layer(layer, given), run_plain(cell, given))


@pytest.mark.parametrize("name", FIXED)
def test_step_by_step_equals_the_plain_loop(name: str) -> None:
    cell = make_cell(name)
    given = sequences_of(name, "reverse", cell)
    layer = rondo.Recurrent(make_cell(name))
    if given.outside:
        layer.cell.attend(given.outside["memory"])
    with torch.no_grad():
        y, last = plain_loop(cell, given)
        now = given.state
        for t in range(NUM_STEPS):
            y_t, now = layer.step(given.x[:, t], now)
            torch.testing.assert_close(y_t, y[:, t], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(pytree.tree_leaves(now), pytree.tree_leaves(last))


@pytest.mark.parametrize("num_steps", [0, 3])
@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in ALONE
        if PUBLISHED[name].attends is None
    ],
)
def test_no_rows_or_no_steps(name: str, num_steps: int) -> None:
    cell, own = make_cell(name), make_cell(name)
    layer = rondo.Recurrent(own)
    expected = run_plain(cell, make_sequences(name, cell, 2, num_steps))
    if num_steps == 0:
        check_equal(run_layer(layer, make_sequences(name, own, 2, 0)), expected)
    got = run_layer(layer, make_sequences(name, own, 0, num_steps))
    check_equal(got, without_rows(expected))
