"""The range test for the learning rate."""

from __future__ import annotations

import copy

import pytest
import torch

from engine_cases import CASES, drawn_case, final_case
from rondo.errors import RunError
from rondo.training.rate_finder import RateSearch, find_learning_rate


@pytest.mark.parametrize("name", CASES)
def test_a_search_leaves_the_engine_as_it_was(name: str) -> None:
    case = CASES[name]()
    changes = {"averaging_decay": 0.9, "optimizer": "adam"}
    searched, plain = case.engine(**changes), case.engine(**changes)
    before, draws = copy.deepcopy(searched.state()), torch.get_rng_state()
    found = find_learning_rate(searched, num_steps=8, lowest=1e-3, highest=1.0)
    assert len(found.rates) == len(found.losses) <= 8
    torch.testing.assert_close(searched.state(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), draws)
    for engine in (searched, plain):
        for _ in range(2):
            engine.train_step()
    assert searched.last_loss == plain.last_loss
    for one, other in zip(searched.parameters, plain.parameters, strict=True):
        assert torch.equal(one, other)


def test_a_rate_is_found_at_which_the_loss_falls() -> None:
    engine = drawn_case().engine(batch_size=32)
    found = find_learning_rate(engine, num_steps=60, lowest=1e-5, highest=1e3)
    assert found.suggestion is not None
    least = found.losses.index(min(found.losses))
    assert found.rates[0] < found.suggestion < found.rates[least]
    assert len(found.rates) < 60, "it ends where the loss has risen far"
    assert found.losses[-1] > 4 * min(found.losses)
    growth = [second / first for first, second in zip(found.rates, found.rates[1:], strict=False)]
    assert growth == pytest.approx([growth[0]] * len(growth))
    text = str(found)
    assert 10 <= len(text.splitlines()) <= 22
    assert f"fastest at {found.suggestion:.1e}: try --learning-rate" in text


def test_losses_are_smoothed_means_of_those_of_the_steps() -> None:
    engine = final_case().engine()
    found = find_learning_rate(engine, num_steps=3, lowest=1e-30, highest=1e-29)
    losses = []
    for _ in range(3):
        engine.train_step(1e-30)
        losses.append(engine.last_loss)
    first, second, third = losses
    assert found.losses[0] == pytest.approx(first)
    assert found.losses[1] == pytest.approx((0.9 * first + second) / 1.9)
    assert found.losses[2] == pytest.approx((0.81 * first + 0.9 * second + third) / 2.71)


def test_a_loss_that_never_falls_gives_no_suggestion() -> None:
    found = find_learning_rate(final_case().engine(), num_steps=40, lowest=1e-30, highest=1e-20)
    assert min(found.losses) < found.losses[0], "batches differ"
    assert found.suggestion is None
    assert str(found).endswith("or the task's own rate")


def test_a_loss_that_is_not_finite_ends_the_search() -> None:
    found = find_learning_rate(drawn_case().engine(), num_steps=5, lowest=1e-3, highest=1e39)
    assert 1 <= len(found.rates) < 5


def test_a_table_has_few_lines() -> None:
    search = RateSearch((1e-3, 1e-2, 1e-1), (2.0, 1.0, 4.0), 1e-2)
    assert str(search).splitlines() == [
        "    rate        loss",
        " 1.0e-03           2  " + 15 * "#",
        " 1.0e-02           1  " + 8 * "#",
        " 1.0e-01           4  " + 30 * "#",
        "the loss falls fastest at 1.0e-02: try --learning-rate with that",
    ]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_steps": 2}, "a search for a learning rate needs 3 steps or more, not 2"),
        ({"lowest": 0.0}, "the learning rates must rise from above 0, but go from 0 to 10"),
        ({"highest": 1e-9}, "must rise from above 0, but go from 1e-07 to 1e-09"),
    ],
)
def test_numbers_of_no_search_are_refused(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(RunError, match=message):
        find_learning_rate(final_case().engine(), **numbers)  # type: ignore[arg-type]
