"""Where runs are trained: words, errors, and what moves; the accelerator is a stand-in."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cases import slow_beyond
from engine_cases import Config, drawn_case, final_case, photos_case, steps_case, streams_case
from rondo.data.batch import Batch
from rondo.errors import RunError
from rondo.tasks.registry import PLACES, definition_of
from rondo.training.device import DEVICES, accelerator, check_device, device_of
from rondo.training.engine import Engine
from rondo.training.network import new_engine
from rondo.training.precision import resolved_precision
from rondo.training.request import make_config
from rondo.training.score import Score
from small_runs import request_of
from stand_in import DEVICE, Moved, stand_in_device
from test_every_task import DATA

CPU = torch.device("cpu")

SMALL: dict[str, dict[str, Any]] = {
    "photo": {"num_drawn": 8, "image_size": 32},
    "text": {"num_layers": 1, "channels": 4},
    "segmentation": {"channels": 4},
    "captions": {"embedding_size": 4},
    "series": {"channels": 4},
    "characters": {"embedding_size": 4},
}
"""Options of small networks."""

CASES = {
    "steps": (steps_case, {"window_size": 2, "num_shards": 2}),
    "weights": (steps_case, {"class_weights": "balanced", "averaging_decay": 0.9}),
    "final": (final_case, {"window_size": 2, "weight_noise": 0.0}),
    "streams": (streams_case, {"window_size": 20, "optimizer": "rmsprop"}),
    "photos": (photos_case, {}),
}
"""What a task has beside the loop, and what a recipe may ask for."""


def trained(engine: Engine) -> tuple[list[float], Score, list[list[float]]]:
    """The losses of two steps, a check, and what is told of examples."""
    losses = []
    for _ in range(2):
        engine.train_step()
        losses.append(engine.last_loss)
    source = engine.task.source
    score = engine.measure([next(iter(source.check_batches(0, 2))).rows(0, 6)])
    assert score is not None
    told = list(engine.examine([next(iter(source.test_batches())).rows(0, 3)]))
    for batch, *others in told:
        values = [getattr(batch, item.name) for item in fields(batch)]
        assert not any(isinstance(value, Moved) for value in (*values, *others))
    return losses, score, [losses_of.tolist() for _, _, losses_of, _ in told]


def check_moved(engine: Engine) -> None:
    """Asserts that what an engine holds is where it trains."""
    assert engine.device == DEVICE
    model = engine.model
    names = [*model.named_parameters(), *model.named_buffers()]
    assert not [name for name, value in names if not isinstance(value, Moved)]


def check_equal(there: Any, here: Any) -> None:
    """Asserts that two trainings tell the same."""
    assert there[0] == pytest.approx(here[0], rel=1e-4)
    assert there[1].loss == pytest.approx(here[1].loss, rel=1e-4)
    assert (there[1].right, there[1].num_examples) == (here[1].right, here[1].num_examples)
    for one, other in zip(there[2], here[2], strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("name", slow_beyond(list(PLACES), ["adding", "parity"]))
def test_every_task_moves_all_it_has(name: str, tmp_path: Path) -> None:
    given = {"hidden_size": 4, **SMALL.get(name, {}), "batch_size": 4, "threads": 1}
    if name in DATA:
        given["data"] = str(DATA[name](tmp_path))
    if name == "photo":
        del given["hidden_size"]
    definition = definition_of(name)

    def engine(device: str) -> Engine:
        config, task, _ = make_config(definition, request_of(name, **given, device=device))
        return new_engine(definition, config, task)

    here = trained(engine("cpu"))
    with stand_in_device():
        moved = engine("gpu")
        there = trained(moved)
        check_moved(moved)
    check_equal(there, here)


@pytest.mark.parametrize("name", CASES)
def test_the_loop_moves_all_it_has(name: str) -> None:
    make, changes = CASES[name]

    def engine(device: str) -> Engine:
        case = make()
        recipe = replace(case.task.recipe, **changes)
        config = Config(recipe, device=device)
        return Engine(config, replace(case.task, recipe=recipe), case.build)

    here = trained(engine("cpu"))
    with stand_in_device():
        there_engine = engine("gpu")
        there = trained(there_engine)
        check_moved(there_engine)
    check_equal(there, here)


def test_the_stand_in_finds_what_stays_behind() -> None:
    with stand_in_device():
        there = torch.zeros(3).to(DEVICE)
        assert isinstance(there + 1, Moved)
        assert isinstance(torch.ones(3, device=DEVICE), Moved)
        assert (there + torch.tensor(2.0)).tolist() == [2, 2, 2]
        with pytest.raises(
            AssertionError, match=r"aten::add\.?.*: a tensor \(3,\) stayed on the CPU"
        ):
            there + torch.ones(3)


def test_a_batch_moves_all_but_its_lengths() -> None:
    values = {item.name: torch.zeros(2, 3) for item in fields(Batch) if item.name != "continues"}
    with stand_in_device():
        moved = Batch(**values).to(DEVICE)
        found = {name: isinstance(getattr(moved, name), Moved) for name in values}
    assert found == {name: name != "lengths" for name in values}


def test_words_for_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    photos, numbers = photos_case().task, drawn_case().task
    monkeypatch.setattr("rondo.training.device.accelerator", lambda: DEVICE)
    found = {word: (device_of(photos, word), device_of(numbers, word)) for word in DEVICES}
    assert found == {"auto": (DEVICE, CPU), "cpu": (CPU, CPU), "gpu": (DEVICE, DEVICE)}
    check_device("gpu")
    monkeypatch.setattr("rondo.training.device.accelerator", lambda: None)
    assert device_of(numbers, "gpu") == CPU  # a run of another machine goes on
    with pytest.raises(RunError, match=r"torch finds no accelerator here, .* take --device cpu"):
        check_device("gpu")
    with pytest.raises(RunError, match="there is no device 'cuda'"):
        check_device("cuda")


def test_a_request_for_no_device_is_refused_before_data_are_read() -> None:
    with pytest.raises(RunError, match="there is no device 'tpu'"):
        make_config(definition_of("music"), request_of("music", data="none.mat", device="tpu"))


@pytest.mark.skipif(accelerator() is not None, reason="there is an accelerator")
def test_what_is_trained_fast_on_a_device_here() -> None:
    assert resolved_precision("auto", torch.device("mps")) == "float32"
    assert device_of(photos_case().task, "auto") == CPU


def test_a_state_goes_on_where_it_is_trained() -> None:
    case = steps_case()
    with stand_in_device():
        first = Engine(Config(case.task.recipe, device="gpu"), case.task, case.build)
        first.train_step()
        second = Engine(Config(case.task.recipe, device="gpu"), case.task, case.build)
        second.load_state(first.state())
        check_moved(second)
        first.train_step()
        second.train_step()
        assert second.last_loss == first.last_loss
