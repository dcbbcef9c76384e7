"""The one training loop: precision, class weights, schedules, kept weights, exact resume."""

from __future__ import annotations

import io
import math
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine_cases import (
    CASES,
    Case,
    case_run,
    drawn_case,
    final_case,
    normalised_photos_case,
    photos_case,
    steps_case,
    streams_case,
)
from rondo.errors import RunError
from rondo.system.digests import digest_file
from rondo.training.class_weights import balanced, weights_text
from rondo.training.engine import Engine, check_fits
from rondo.training.optimising import learning_rate
from rondo.training.precision import check_autocast
from rondo.training.recipe import Recipe, recipe_from
from run_records import without_times

on_the_reference_engine = pytest.mark.filterwarnings("ignore:.*which no kernel is made for")
"""In float16 no kernel computes a loop on the CPU."""

# --- exact resume


FEATURES: dict[str, tuple[Callable[[], Case], dict[str, Any]]] = {
    "plain": (steps_case, {}),
    "shards": (steps_case, {"num_shards": 4, "optimizer": "adam"}),
    "windows": (steps_case, {"window_size": 2, "num_shards": 2}),
    "windows of answers": (final_case, {"window_size": 2, "averaging_decay": 0.9}),
    "streams in windows": (streams_case, {"window_size": 40, "num_shards": 2}),
    "float16": (final_case, {"precision": "float16", "optimizer": "adam"}),
    "float16 of shards": (steps_case, {"precision": "float16", "num_shards": 2}),
    "bfloat16": (final_case, {"precision": "bfloat16", "averaging_decay": 0.5}),
    "class weights": (final_case, {"class_weights": "balanced", "averaging_decay": 0.9}),
    "warm-up": (drawn_case, {"schedule": "linear", "warm_up_share": 0.3, "keep": "best"}),
    "patience": (steps_case, {"patience": 1, "learning_rate": 1e-30, "keep": "last"}),
    "photos": (normalised_photos_case, {"num_shards": 2, "keep": "best", "patience": 9}),
    "photos in float16": (
        normalised_photos_case,
        {"precision": "float16", "class_weights": "balanced", "schedule": "cosine"},
    ),
}  # fmt: skip


@on_the_reference_engine
@pytest.mark.parametrize("name", FEATURES)
def test_an_interrupted_run_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    make, changes = FEATURES[name]
    whole = case_run(tmp_path / "whole", make(), **changes)
    assert whole.fit().signal_number is None
    part = case_run(tmp_path / "part", make(), **changes)
    for step in (1, 3, 4):

        def end(engine: Engine, step: int = step) -> None:
            if engine.progress.step == step:
                os.kill(os.getpid(), signal.SIGTERM)

        part.fit(end)
    assert part.fit().signal_number is None
    records = [without_times(one.folder.read_metrics()) for one in (whole, part)]
    assert records[0] == records[1]
    states = [one.folder.read_state() for one in (whole, part)]
    for state in states:
        assert state is not None
        for times in ("seconds", "interval_seconds"):
            state["progress"].pop(times)
    torch.testing.assert_close(*states, rtol=0, atol=0)
    for file in ("model_file", "best_file", "last_file"):
        first, second = (getattr(one.folder, file) for one in (whole, part))
        assert first.exists() == second.exists()
        if first.exists():
            assert first.read_bytes() == second.read_bytes()


# --- half precision


@on_the_reference_engine
def test_float16_scales_the_loss_and_trains_alike() -> None:
    plain, half = final_case().engine(), final_case().engine(precision="float16")
    assert (plain.scaler, plain.state()["scaler"]) == (None, None)
    kinds = set()
    half.model.output.register_forward_hook(lambda _, __, found: kinds.add(found.dtype))
    for engine in (plain, half):
        for _ in range(3):
            engine.train_step()
    assert kinds == {torch.float16}
    assert half.progress.num_skipped == 0
    assert half.last_loss == pytest.approx(plain.last_loss, rel=1e-2)
    assert half.last_loss != plain.last_loss
    state = half.state()["scaler"]
    assert (state["scale"], state["_growth_tracker"]) == (2.0**16, 3)


@on_the_reference_engine
def test_a_gradient_that_overflows_is_skipped_and_counted(tmp_path: Path) -> None:
    engine = final_case().engine(precision="float16")
    assert engine.scaler is not None
    engine.scaler.load_state_dict({**engine.scaler.state_dict(), "scale": 2.0**127})
    before = [parameter.clone() for parameter in engine.parameters]
    engine.train_step()
    assert engine.progress.num_skipped == 1
    pairs = list(zip(before, engine.parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert engine.scaler.get_scale() == 2.0**126
    assert math.isfinite(engine.last_loss)
    engine.scaler.load_state_dict({**engine.scaler.state_dict(), "scale": 2.0**10})
    engine.train_step()
    assert engine.progress.num_skipped == 1
    assert not any(torch.equal(a, b) for a, b in pairs)


def test_a_device_without_a_precision_is_refused() -> None:
    check_autocast("float16", torch.device("cpu"))
    check_autocast("float32", torch.device("meta"))
    with pytest.raises(RunError, match="this machine's meta cannot train in float16; take --prec"):
        check_autocast("float16", torch.device("meta"))


# --- class weights


def test_balanced_weights_have_the_mean_1_over_the_answers() -> None:
    targets = torch.tensor([0, 0, 0, 2, 2, 0, -100])
    weights = balanced(targets, 4)
    assert weights.tolist() == pytest.approx([0.75, 0.0, 1.5, 0.0])
    assert weights[targets[:-1]].mean() == 1.0


@pytest.mark.parametrize("make", [final_case, steps_case])
@pytest.mark.parametrize("num_shards", [1, 2])
def test_class_weights_weigh_the_loss_of_training_alone(
    make: Callable[[], Case], num_shards: int
) -> None:
    case = make()
    plain = case.engine()
    engine = case.engine(class_weights="balanced", num_shards=num_shards)
    batch = case.task.source.training_batch(3, 0, 6)
    targets = case.task.source.training_targets()  # type: ignore[attr-defined]
    weights = balanced(targets, 3)
    outputs, _ = plain.model(batch.inputs, lengths=batch.lengths)
    losses = plain.losses.one_by_one(outputs, batch) * weights[batch.targets]
    found = engine.gradient.leave(batch, 0)
    assert found.loss == pytest.approx(losses.sum().item() / 6, rel=1e-5)
    assert found.loss != pytest.approx(plain.gradient.leave(batch, 0).loss, rel=1e-3)
    checks = [one.check() for one in (plain, case.engine(class_weights="balanced"))]
    assert checks[0] == checks[1]


def test_class_weights_are_told_and_written_down(tmp_path: Path) -> None:
    run = case_run(tmp_path / "run", final_case(), class_weights="balanced")
    records = run.fit().records
    assert run.lines[0] == "class weights: a 0.556, b 1.67, c 1.67"
    told = [record.get("class_weights") for record in records if record["split"] == "train"]
    assert told[0] == pytest.approx([10 / 18, 10 / 6, 10 / 6])
    assert told[1:] == [None] * (len(told) - 1)
    assert len(told) > 1
    assert weights_text(torch.arange(20.0), None) == "class weights: 20 from 1 to 19"
    assert weights_text(torch.tensor([0.5, 2.0]), None) == "class weights: 0 0.5, 1 2"
    photos = photos_case().engine(class_weights="balanced")
    assert photos.notes == ("class weights: female 0.739, male 1.55",)


def test_class_weights_without_classes_to_count_are_refused() -> None:
    drawn, steps = drawn_case(), final_case()
    recipe = replace(drawn.task.recipe, class_weights="balanced")
    with pytest.raises(RunError, match=r"drawn cannot weigh classes: its answers are no classes"):
        check_fits(drawn.task, recipe, torch.device("cpu"))
    anew = replace(steps.task, source=drawn.task.source)
    with pytest.raises(RunError, match="it draws its training examples anew, so there are none to"):
        check_fits(anew, recipe, torch.device("cpu"))
    silent = replace(steps.task, source=streams_case().task.source)
    with pytest.raises(RunError, match=r"do not tell all .* leave out recipe\.class_weights"):
        check_fits(silent, recipe, torch.device("cpu"))
    check_fits(steps.task, recipe, torch.device("cpu"))


# --- learning rates


@pytest.mark.parametrize(
    ("schedule", "done", "share"),
    [
        ("constant", 0.5, 1.0),
        ("linear", 0.25, 0.75),
        ("step", 0.49, 1.0),
        ("step", 0.5, 0.1),
        ("step", 0.75, 0.01),
        ("cosine", 0.5, 0.5),
        ("cosine", 0.0, 0.04),
        ("cosine", 1.0, 0.0),
    ],
)
def test_schedules_of_old_and_new_recipes(schedule: str, done: float, share: float) -> None:
    recipe = Recipe(learning_rate=2.0, schedule=schedule)
    assert learning_rate(recipe, 0, 100, done) == pytest.approx(2.0 * share, rel=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "linear", "step", "cosine"])
def test_every_schedule_has_its_warm_up(schedule: str) -> None:
    recipe = Recipe(learning_rate=2.0, schedule=schedule, warm_up_share=0.1)
    without = replace(recipe, warm_up_share=0.0)
    for done, share in ((0.0, 0.02), (0.048, 0.5), (0.098, 1.0), (0.6, 1.0)):
        expected = share * learning_rate(without, 0, 100, done)
        assert learning_rate(recipe, 0, 100, done) == pytest.approx(expected, rel=1e-12)
    assert learning_rate(without, 0, 100, 0.0) == 2.0


def test_a_one_cycle_rate_rises_over_its_warm_up() -> None:
    rates = [
        learning_rate(Recipe(schedule="one_cycle", learning_rate=2.0, warm_up_share=w), s, 100, 0)
        for w, s in ((None, 19), (0.2, 19), (0.5, 49), (0.5, 0), (0.0, 99))
    ]
    assert rates == pytest.approx([2.0, 2.0, 2.0, 0.08, 0.08e-4], rel=1e-9)


def test_recipes_of_older_files_mean_what_they_meant() -> None:
    new = ("num_shards", "window_size", "keep", "class_weights")
    for schedule, share in (("cosine", None), ("constant", None), ("one_cycle", 0.2)):
        values = {**asdict(Recipe(schedule=schedule)), "warm_up_share": 0.2}
        older = recipe_from({name: value for name, value in values.items() if name not in new})
        assert older == Recipe(schedule=schedule, warm_up_share=share)
    recipe = Recipe(
        schedule="cosine", warm_up_share=0.2, num_shards=4, window_size=7, keep="last",
        class_weights="balanced",
    )  # fmt: skip
    assert recipe_from(asdict(recipe)) == recipe


# --- early stopping, best and last


def test_patience_ends_the_training_of_photos(tmp_path: Path) -> None:
    changes = {"learning_rate": 1e-30, "patience": 2, "num_epochs": 9, "averaging_decay": None}
    run = case_run(tmp_path / "run", photos_case(), image_sizes=((1.0, 1.0),), **changes)
    records = run.fit().records
    assert [r["epoch"] for r in records if r["split"] == "val"] == [1, 2, 3]
    assert records[-1]["split"] == "test"


@pytest.mark.parametrize("keep", [None, "best", "last"])
@pytest.mark.parametrize("make", [steps_case, drawn_case])
def test_best_and_last_weights_are_kept(
    make: Callable[[], Case], keep: str | None, tmp_path: Path
) -> None:
    case = make()
    rate = 3.0 if make is drawn_case else 0.5
    run = case_run(tmp_path / "run", case, keep=keep, learning_rate=rate, num_sequences=120)
    records = run.fit().records
    losses = [record["loss"] for record in records if record["split"] == "val"]
    assert losses[-1] > min(losses), "else best and last are the same"
    folder, keeps_last = run.folder, keep == "last" or (keep is None and make is drawn_case)
    beside, absent = (
        (folder.best_file, folder.last_file) if keeps_last else (folder.last_file, folder.best_file)
    )
    assert beside.exists()
    assert digest_file(beside).exists()
    assert not absent.exists()
    kept, other = folder.read_model(), folder.read_model_and_origin(beside)[0]
    best, last = (other, kept) if keeps_last else (kept, other)
    state = folder.read_state()
    assert state is not None
    for name, value in last.state_dict().items():
        assert torch.equal(value, state["model"][name])
    for name, value in best.state_dict().items():
        assert torch.equal(value, state["best"][name])
    assert not torch.equal(best.output.bias, last.output.bias)
    tested = Engine(run.config, case.task, lambda: kept).measure(case.task.source.test_batches())
    assert tested is not None
    assert records[-1]["loss"] == tested.loss


def test_a_damaged_file_of_weights_is_named(tmp_path: Path) -> None:
    run = case_run(tmp_path / "run", steps_case())
    run.fit()
    run.folder.last_file.write_bytes(b"broken")
    with pytest.raises(RunError, match=r"last\.safetensors is not the file that the run wrote"):
        run.folder.read_model_and_origin(run.folder.last_file)
    run.folder.read_model()


def test_the_disk_that_a_run_needs_is_enough(tmp_path: Path) -> None:
    from rondo.training.run_files import BYTES_PER_PARAMETER

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 40_000)
            self.second = nn.Linear(40_000, 3)

        def forward(self, x: torch.Tensor, state: object, *, lengths: object) -> Any:
            return self.second(self.first(x)), state

    case = Case(steps_case().task, Wide)
    changes = {"optimizer": "adam", "averaging_decay": 0.5, "num_sequences": 24}
    run = case_run(tmp_path / "run", case, **changes)
    run.fit()
    sizes = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    num_parameters = sum(parameter.numel() for parameter in Wide().parameters())
    assert 0.9 < 2 * sizes / (BYTES_PER_PARAMETER * num_parameters) <= 1.01


# --- the average


@pytest.mark.parametrize("name", CASES)
def test_the_average_predicts_with_every_task(name: str) -> None:
    engine = CASES[name]().engine(averaging_decay=0.5, num_shards=2)
    for _ in range(3):
        engine.train_step()
    assert engine.average is not None
    assert int(engine.average.n_averaged) == 3
    buffer = io.BytesIO()
    torch.save(engine.state(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    other = CASES[name]().engine(averaging_decay=0.5, num_shards=2)
    other.load_state(state)
    torch.testing.assert_close(
        dict(other.kept_weights()), dict(engine.average.module.state_dict()), rtol=0, atol=0
    )
