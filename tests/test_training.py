import itertools
import json
import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from commands import command_that_is_ended, command_to_its_end
from photo_runs import (
    SHORT,
    SIZE,
    UNCHANGED,
    TinyNetwork,
    add_network,
    new_run,
    photo_data,
    run_config,
    session_of,
    trained_run,
)
from rondo.data.order import Order
from rondo.data.seeds import generator_for
from rondo.errors import RunError
from rondo.tasks.photo import build
from rondo.tasks.photo.definition import PHOTO, RECIPES
from rondo.training import run_paths, saving, session
from rondo.training.averaging import averaged
from rondo.training.config import config_from_json
from rondo.training.engine import Engine
from rondo.training.fit import Outcome, fit
from rondo.training.optimising import decay_groups, learning_rate
from rondo.training.precision import PRECISIONS, resolved_precision
from rondo.training.progress import progress_line
from rondo.training.recipe import Recipe
from rondo.training.request import Request, make_config
from rondo.training.run_folder import RunFolder
from rondo.training.run_paths import last_run, new_run_path
from rondo.training.terminal import clock
from run_records import without_times

HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
"""What answered signals before any run; what a shell runs in its background has no SIGINT."""


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    add_network(monkeypatch, TinyNetwork)


# --- recipes


@pytest.mark.parametrize(
    ("full_size", "epoch", "size"),
    [(128, 0, 96), (128, 5, 96), (128, 6, 128), (128, 9, 128), (64, 0, 64), (32, 0, 32)],
)
def test_image_size_grows_with_the_epochs(full_size: int, epoch: int, size: int) -> None:
    recipe = replace(RECIPES["default"], image_sizes=((0.6, 0.75), (0.4, 1.0)))
    assert recipe.image_size(full_size, epoch / 10) == size


@pytest.mark.parametrize("num_steps", [1, 4, 5, 10, 100, 1988])
def test_one_cycle_rate_is_that_of_torch(num_steps: int) -> None:
    recipe = replace(SHORT, learning_rate=0.03, warm_up_share=0.2)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.03)
    rates = [learning_rate(recipe, step, num_steps, 0.0) for step in range(num_steps)]
    if num_steps == 5:  # torch divides by zero where warm-up is one step
        assert rates[0] == 0.03
        return
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.03, total_steps=num_steps, pct_start=0.2, cycle_momentum=False
    )
    expected = []
    for _ in range(num_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < num_steps:
            schedule.step()
    if num_steps >= 10:
        assert rates == pytest.approx(expected, rel=1e-9)
    assert max(rates) <= 0.03


def test_constant_rate_is_constant() -> None:
    assert {learning_rate(RECIPES["lecture"], step, 9, step / 9) for step in range(9)} == {0.01}


def test_the_lecture_recipe_is_that_of_the_lecture() -> None:
    recipe = RECIPES["lecture"]
    shown = (recipe.batch_size, recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    assert shown == (128, 0.01, 0.9, 5e-4)
    assert recipe.averaging_decay is recipe.augmentation is recipe.max_grad_norm is None
    assert (recipe.mirror, recipe.nesterov, recipe.decay_matrices_only) == (False,) * 3


def test_decay_spares_what_is_no_matrix_where_the_recipe_says_so() -> None:
    model = TinyNetwork()
    decayed, spared = decay_groups(model, replace(SHORT, decay_matrices_only=True))
    assert {len(parameter.shape) for parameter in decayed["params"]} == {4}
    assert {len(parameter.shape) for parameter in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-4, 0.0)
    (everything,) = decay_groups(model, RECIPES["lecture"])
    assert len(everything["params"]) == len(list(model.parameters()))


def test_precision_auto_becomes_one_that_can_be_trained() -> None:
    assert resolved_precision("auto", torch.device("cpu")) in PRECISIONS
    assert resolved_precision("float32", torch.device("cpu")) == "float32"


# --- batches


def rows_of(steps: range, num_examples: int = 34, size: int = 8, seed: int = 0) -> list[int]:
    order = Order(num_examples)
    return list(itertools.chain(*(order.rows(seed, step, size) for step in steps)))


def test_epochs_lie_end_to_end_in_batches_of_one_size() -> None:
    rows = rows_of(range(17))
    assert len(rows) == 17 * 8 == 4 * 34
    epochs = [rows[first : first + 34] for first in range(0, 4 * 34, 34)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(34))] * 4
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_rows_of_a_step_depend_on_seed_and_step_alone() -> None:
    assert rows_of(range(9, 12)) == rows_of(range(12))[9 * 8 :]
    assert rows_of(range(9)) != rows_of(range(9), seed=1)


def test_photos_that_do_not_fill_a_batch_make_one() -> None:
    assert sorted(Order(5).rows(0, 0, 8)) == sorted(Order(5).rows(0, 1, 8)) == list(range(5))


def test_generators_differ_by_purpose_and_numbers() -> None:
    seeds = {
        generator_for(*key).initial_seed()
        for key in [("a", 1, 2), ("a", 1, 3), ("a", 12), ("b", 1, 2), ("a", 1, 2)]
    }
    assert len(seeds) == 4


# --- the average of the weights


def test_average_follows_its_equation_and_copies_buffers() -> None:
    model = TinyNetwork()
    average = averaged(model, 0.5)
    assert average is not None
    average.update_parameters(model)
    first = average.module.head.weight.clone()
    torch.testing.assert_close(first, model.head.weight.detach())
    with torch.no_grad():
        model.head.weight.add_(1.0)
        model.features[0].running_mean.fill_(7.0)
    average.update_parameters(model)  # keeps min(0.5, 3 / 12)
    torch.testing.assert_close(average.module.head.weight, first + 3 / 4)
    average.n_averaged.fill_(99)
    average.update_parameters(model)  # keeps min(0.5, 101 / 110)
    torch.testing.assert_close(average.module.head.weight, first + 1 - 1 / 8)
    assert (average.module.features[0].running_mean == 7.0).all()
    assert averaged(model, None) is None


# --- settings


def test_settings_survive_their_file() -> None:
    config = run_config(photo_data())
    assert config_from_json(config.to_json(), PHOTO) == config
    plain = run_config(photo_data(), RECIPES["lecture"])
    assert config_from_json(plain.to_json(), PHOTO) == plain


def test_settings_of_another_version_are_refused() -> None:
    values = json.loads(run_config(photo_data()).to_json())
    values.update(format=99, versions={"rondo": "7.0"})
    with pytest.raises(RunError, match=r"has folder format 99.*use rondo 7\.0"):
        config_from_json(json.dumps(values), PHOTO)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 3}'])
def test_settings_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(RunError, match=r"config\.json cannot be understood"):
        config_from_json(text, PHOTO)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request({"image_size": 100}), "must be a multiple of 32, but is 100; try 96"),
        (Request({"image_size": -32}), "must be a multiple of 32, but is -32; try 32"),
        (
            Request(recipe={"num_epochs": 0}),
            "the number of epochs must be 1 or more, but is 0",
        ),
        (Request(recipe={"batch_size": -1}), "the batch size must be 1 or more, but is -1"),
        (
            Request({"num_drawn": 0}),
            "the number of drawn portraits must be 1 or more, but is 0",
        ),
        (
            Request(threads=0),
            r"the number of threads must be from 1 to \d+, the processors .* but is 0",
        ),
        (Request(seed=-1), "the seed must be 0 or more, but is -1"),
        (
            Request(recipe={"precision": "bfloat15"}),
            "there is no precision 'bfloat15'; did you mean 'bfloat16'",
        ),
        (
            Request({"model": "lectur_rnn1"}),
            "no model 'lectur_rnn1'; did you mean 'lecture_rnn1'",
        ),
        (Request(recipe_name="defualt"), "no recipe 'defualt'; did you mean 'default'"),
        (
            Request(recipe_name="xyz"),
            "no recipe 'xyz'; there are: default, drawn, lecture, table",
        ),
        (Request({"form": "insane"}), "no form 'insane'; did you mean 'sane'"),
        (Request({"modle": "cnn_1"}), "photo has no option 'modle'"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else "",
)
def test_what_cannot_be_asked_for_is_refused(request_: Request, message: str) -> None:
    small = {"num_drawn": 8, "image_size": SIZE, **request_.options}
    with pytest.raises(RunError, match=message):
        make_config(PHOTO, replace(request_, options=small))


def test_options_change_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda *_, **__: photo_data())
    changes = {"num_epochs": 2, "batch_size": 7, "precision": "bfloat16"}
    config, task, start = make_config(PHOTO, Request(recipe=changes))
    assert (config.recipe.num_epochs, config.recipe.batch_size) == (2, 7)
    assert config.recipe.precision == "bfloat16"
    assert config.options.image_size == 64
    assert config.recipe_name == "drawn"
    assert start is None
    assert task.source.num_train() == 34
    photos, _, _ = make_config(PHOTO, Request({"data": "photos"}))
    assert photos.options.image_size == 128
    assert photos.recipe_name == "default"
    assert photos.recipe.num_epochs == RECIPES["default"].num_epochs
    assert Path(photos.options.data).is_absolute()


# --- the run folder


def test_weights_survive_their_file(tmp_path: Path) -> None:
    model = TinyNetwork()
    folder = trained_run(
        tmp_path / "run", run_config(photo_data()), model.to(memory_format=torch.channels_last)
    )
    read = folder.read_model()
    assert not read.training
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value)
    with safe_open(folder.model_file, framework="pt") as file:
        origin = json.loads(file.metadata()["rondo"])
    assert (origin["task"], origin["model"]) == ("photo", "tiny")
    assert origin["arguments"] == {"image_size": SIZE, "num_classes": 2, "dropout": 0.2}
    assert origin["classes"] == ["female", "male"]


def test_missing_and_broken_weights_are_refused(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", run_config(photo_data()))
    with pytest.raises(RunError, match=r"has not finished an epoch yet.*--resume"):
        folder.read_model()
    folder.model_file.write_bytes(b"no weights")
    with pytest.raises(RunError, match=r"model\.safetensors cannot be read"):
        folder.read_model()


def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run folder .*absent"):
        RunFolder(tmp_path / "absent", PHOTO).read_config()
    with pytest.raises(RunError, match=r"is not a run folder: its config\.json cannot be read"):
        RunFolder(tmp_path, PHOTO).read_config()


def test_state_is_never_unpickled(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", run_config(photo_data()))
    assert folder.read_state() is None
    with folder.state_file.open("wb") as file:
        pickle.dump(Path("an object"), file)
    with pytest.raises(RunError, match=r"state\.pt cannot be read"):
        folder.read_state()


def test_run_folders_are_numbered_and_the_last_is_found(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run in"):
        last_run(tmp_path)
    paths = []
    for number in range(3):
        path = new_run_path("photo", tmp_path)
        assert path.name.endswith(f"-{number + 1}")
        new_run(path, run_config(photo_data()))
        os.utime(path / "config.json", (number, number))
        paths.append(path)
    (tmp_path / "photo-unfinished").mkdir()
    assert last_run(tmp_path) == paths[-1]


def test_a_run_folder_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"exists already; give another --run"):
        run_paths.check_new_folder(tmp_path)
    with pytest.raises(RunError, match=r"exists already; give another --run"):
        run_paths.check_new_folder(tmp_path / "file")
    with pytest.raises(RunError, match=r"file cannot be written to"):
        run_paths.check_new_folder(tmp_path / "file" / "run")


def test_a_full_disk_is_noticed_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = run_paths.shutil.disk_usage(tmp_path)
    free = [5 * 2**20]
    monkeypatch.setattr(run_paths.shutil, "disk_usage", lambda path: usage._replace(free=free[0]))
    with pytest.raises(RunError, match=r"5 MiB are free .* a run needs 256"):
        run_paths.check_new_folder(tmp_path / "run")
    with pytest.raises(RunError, match=r"5 MiB are free .* a run needs 64;"):  # before any data
        session.begin(PHOTO, Request({"data": "absent"}), tmp_path / "run", print)
    free[0] = 100 * 2**20
    with pytest.raises(RunError, match=r"100 MiB are free .* a run needs 1320"):
        session.begin(
            PHOTO, Request({"model": "resnet_50", "num_drawn": 8}), tmp_path / "run", print
        )


# --- training


class At:
    """Does something before a step, counted from the beginning of the whole training."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.step, self.action = step, action

    def __call__(self, engine: Engine) -> None:
        if engine.progress.step == self.step:
            self.action()


def run(folder: RunFolder, *actions: At) -> tuple[Outcome, list[str]]:
    lines: list[str] = []

    def act(engine: Engine) -> None:
        for action in actions:
            action(engine)

    begun = session_of(folder)
    outcome = fit(begun, say=lines.append, before_step=act)
    return outcome, lines


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def assert_same_run(one: RunFolder, other: RunFolder) -> None:
    assert without_times(one.read_metrics()) == without_times(other.read_metrics())
    states = one.read_state(), other.read_state()
    for state in states:
        assert state is not None
        for name in ("seconds", "interval_seconds"):
            state["progress"].pop(name)
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert one.model_file.read_bytes() == other.model_file.read_bytes()


@pytest.fixture
def whole(tmp_path: Path) -> RunFolder:
    folder = new_run(tmp_path / "whole", run_config(photo_data()))
    outcome, _ = run(folder)
    assert outcome.signal_number is None
    return folder


def test_a_run_leaves_its_records(whole: RunFolder) -> None:
    records = whole.read_metrics()
    found = [(record["epoch"], record["split"]) for record in records]
    assert found == [*((e, s) for e in (1, 2, 3) for s in ("train", "val")), (3, "test")]
    assert [record["step"] for record in records] == [5, 5, 9, 9, 13, 13, 13]
    train, val, test = records[0], records[1], records[-1]
    assert train["num_examples"] == train["num_seen"] == 40
    assert train["per_second"] == pytest.approx(40 / train["seconds"])
    assert 0.3 < train["loss"] < 3
    assert train["right"] * 40 == pytest.approx(round(train["right"] * 40))
    assert (val["num_examples"], test["num_examples"]) == (9, 12)
    assert val["baseline"] == pytest.approx(6 / 9)
    assert test["right"] * 12 == pytest.approx(round(test["right"] * 12))


def test_the_weights_kept_are_the_averaged_ones(whole: RunFolder) -> None:
    state, kept = whole.read_state(), whole.read_model().state_dict()
    assert state is not None
    for name, value in kept.items():
        assert torch.equal(value, state["average"][f"module.{name}"])
    assert not torch.equal(kept["head.weight"], state["model"]["head.weight"])


def test_every_seed_gives_its_own_numbers(whole: RunFolder, tmp_path: Path) -> None:
    again = new_run(tmp_path / "again", whole.read_config())
    run(again)
    assert_same_run(whole, again)
    other = new_run(tmp_path / "other", replace(whole.read_config(), seed=6))
    run(other)
    assert without_times(other.read_metrics()) != without_times(whole.read_metrics())


@pytest.mark.parametrize("step", [0, 1, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("end", [interrupt, terminate])
def test_an_interrupted_run_goes_on_to_the_same_numbers(
    whole: RunFolder, tmp_path: Path, step: int, end: Callable[[], None]
) -> None:
    folder = new_run(tmp_path / "part", whole.read_config())
    outcome, lines = run(folder, At(step, end))
    assert outcome.signal_number == (signal.SIGINT if end is interrupt else signal.SIGTERM)
    assert any("ending after this batch" in line for line in lines)
    state = folder.read_state()
    assert state is not None
    assert state["progress"]["step"] == step + 1
    outcome, _ = run(folder)
    assert outcome.signal_number is None
    assert_same_run(whole, folder)


def test_a_run_interrupted_at_every_step_goes_on_to_the_same_numbers(
    whole: RunFolder, tmp_path: Path
) -> None:
    folder = new_run(tmp_path / "part", whole.read_config())
    for step in range(13):
        run(folder, At(step, interrupt))
    run(folder)
    assert_same_run(whole, folder)


def test_an_interrupted_evaluation_is_done_again(
    whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path / "part", whole.read_config())
    measure = Engine.measure

    def measure_and_interrupt(*args: Any, **keywords: Any) -> Any:
        interrupt()
        return measure(*args, **keywords)

    monkeypatch.setattr(Engine, "measure", measure_and_interrupt)
    outcome, _ = run(folder)
    assert outcome.records == []
    assert outcome.signal_number == signal.SIGINT
    monkeypatch.undo()
    add_network(monkeypatch, TinyNetwork)
    run(folder)
    assert_same_run(whole, folder)


def test_a_run_killed_between_two_files_goes_on_to_the_same_numbers(
    whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path / "part", whole.read_config())
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVE_SHARE", math.inf)
    write, written = RunFolder.write_state, []

    class Killed(BaseException):
        pass

    def write_or_die(self: RunFolder, state: dict[str, Any]) -> None:
        written.append(state)
        if len(written) == 10:  # the metrics of epoch 2 are there, the state after it is not
            raise Killed
        write(self, state)

    monkeypatch.setattr(RunFolder, "write_state", write_or_die)
    with pytest.raises(Killed):
        run(folder)
    assert folder.read_metrics()[-1]["epoch"] == 2
    run(folder)
    assert_same_run(whole, folder)


def test_a_run_killed_before_its_first_state_begins_again(whole: RunFolder, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "part", whole.read_config())

    def die() -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        run(folder, At(2, die))
    run(folder)
    assert_same_run(whole, folder)


def test_states_are_saved_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVE_SHARE", math.inf)
    folder = new_run(tmp_path / "run", run_config(photo_data()))
    steps = []

    def note() -> None:
        state = folder.read_state()
        assert state is not None
        steps.append(state["progress"]["step"])

    run(folder, *(At(step, note) for step in (1, 2, 3)))
    assert steps == [0, 1, 2]


def test_a_finished_run_is_tested_again_and_stays_as_it_is(whole: RunFolder) -> None:
    before = whole.read_state()
    outcome, lines = run(whole)
    assert [line[:18] for line in lines] == ["epoch  3/3  test  "]
    assert len(outcome.records) == 7
    torch.testing.assert_close(whole.read_state(), before, rtol=0, atol=0)


def test_signals_are_given_back(whole: RunFolder) -> None:
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS


@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPES["lecture"], num_epochs=2, batch_size=8),
        replace(SHORT, precision="bfloat16"),
        replace(SHORT, augmentation=None, image_sizes=((0.5, 2.0), (0.5, 1.0)), mirror=0.0),
    ],
    ids=["lecture", "bfloat16", "sizes"],
)
def test_other_recipes_train_and_resume(tmp_path: Path, recipe: Recipe) -> None:
    whole = new_run(tmp_path / "whole", run_config(photo_data(), recipe))
    run(whole)
    part = new_run(tmp_path / "part", run_config(photo_data(), recipe))
    run(part, At(5, interrupt))
    run(part)
    assert_same_run(whole, part)


def test_epochs_of_small_photos_are_evaluated_on_small_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = TinyNetwork.forward

    def note_size(self: TinyNetwork, photos: torch.Tensor) -> torch.Tensor:
        seen.append((self.training, photos.shape[-1]))
        return forward(self, photos)

    monkeypatch.setattr(TinyNetwork, "forward", note_size)
    recipe = replace(SHORT, image_sizes=((0.35, 2.0), (0.65, 1.0)))
    folder = new_run(tmp_path / "run", run_config(photo_data(), recipe))
    run(folder)
    check, large = (
        [(False, 32)] * 2,
        [(False, 64)] * 2,
    )  # photos and their mirror images
    first = [(True, 64)] * 5 + large
    assert seen == first + [(True, 32)] * 4 + check + [(True, 32)] * 4 + 2 * check


def test_training_learns(tmp_path: Path) -> None:
    recipe = replace(SHORT, num_epochs=20, learning_rate=0.1, augmentation=UNCHANGED)
    folder = new_run(tmp_path / "run", run_config(photo_data(), recipe))
    run(folder)
    losses = [r["loss"] for r in folder.read_metrics() if r["split"] == "val"]
    assert losses[-1] < 0.8 * losses[0]


def test_the_step_is_that_of_plain_torch(tmp_path: Path) -> None:
    """Two epochs of the lecture's recipe against a loop written by hand."""
    recipe = replace(RECIPES["lecture"], num_epochs=2, batch_size=8, channels_last=False)
    data, config = photo_data(), run_config(photo_data(), recipe)
    folder = new_run(tmp_path / "run", config)
    run(folder)
    torch.manual_seed(config.seed)
    model = TinyNetwork()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    train, order = data["train"], Order(34)
    for step in range(9):
        rows = order.rows(config.seed, step, 8)
        pixels, labels = train.pixels[rows], train.labels[rows]
        torch.manual_seed(generator_for("model", config.seed, step).initial_seed())
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels.float()), labels).backward()
        optimizer.step()
    torch.testing.assert_close(
        dict(folder.read_model().state_dict()), dict(model.state_dict()), rtol=1e-5, atol=1e-6
    )


def test_lines_for_the_user_name_the_majority(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", run_config(photo_data()))
    _, lines = run(folder)
    assert len(lines) == 4
    assert lines[0].startswith("epoch  1/3  train ")
    assert "% (66.7)" in lines[0]
    assert lines[0].endswith("photos/s")
    assert " val " in lines[0]
    assert "test" not in "".join(lines[:-1]), "the test is told at the end alone"
    assert lines[-1].startswith("epoch  3/3  test ")


def test_progress_line_tells_the_time_left(tmp_path: Path) -> None:
    begun = session_of(new_run(tmp_path / "run", run_config(photo_data())))
    engine = Engine(begun.config, begun.task, lambda: begun.network(is_new=True))
    progress = engine.progress
    progress.num_seen, progress.num_steps, progress.seconds = 51, 2, 17.0
    progress.loss_sum = 1.0
    assert progress_line(engine) == (
        "epoch 2/3  [##########----------]  loss 0.5000  3 photos/s  at most 0:17 left"
    )
    assert clock(3700) == "1:01:40"


def test_resuming_needs_the_same_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = photo_data()
    folder = new_run(tmp_path / "run", run_config(data))
    monkeypatch.setattr(build, "load_data", lambda *args, **kwargs: data)
    assert session.resume(PHOTO, folder.path, None, print).config == run_config(data)
    data["train"].pixels[0, 0, 0, 0] += 1
    with pytest.raises(RunError, match=r"are not those that the run .* began with"):
        session.resume(PHOTO, folder.path, None, print)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_the_whole_command_can_be_ended_and_resumed(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """With the lecture's network, in a process of its own, by a real signal within an epoch."""
    words = [
        *("train", "photo", "--num-drawn", "64", "--image-size", "32", "--epochs", "2"),
        *("--batch-size", "8", "--precision", "float32", "--threads", "1", "--run"),
    ]
    whole, part = tmp_path / "whole", tmp_path / "part"
    command_to_its_end(*words, str(whole))
    answer, rest = command_that_is_ended(
        [*words, str(part)], number, 0.3, lambda line: line.startswith("epoch  1/2")
    )
    assert answer == code
    if number != signal.SIGKILL:
        assert f"go on with: rondo train photo --resume {part}" in rest
    command_to_its_end("train", "photo", "--resume", str(part))
    assert_same_run(RunFolder(whole, PHOTO), RunFolder(part, PHOTO))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    program = (
        "import os, signal, time\n"
        "from rondo.training.stopping import StopRequest\n"
        "with StopRequest(print).listening():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 130
