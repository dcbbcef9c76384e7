"""Training on sequences: learning, resuming, criteria, kept weights, the command line."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cases import slow_beyond
from commands import (
    Run,
    check_answered_in_one_line,
    command_that_is_ended,
    command_to_its_end,
)
from rondo.cli import commands
from rondo.data.batch import Batch
from rondo.data.sources import Collection, Example, Generated
from rondo.errors import RunError
from rondo.extras import how_to_install
from rondo.models.sequence_model import SequenceModel
from rondo.tasks import registry
from rondo.tasks.registry import definition_of, folder_of
from rondo.training import network, saving, stopping
from rondo.training.config import RunConfig, config_from_json
from rondo.training.definition import Definition
from rondo.training.engine import Engine
from rondo.training.fit import Outcome, fit
from rondo.training.progress import progress_line
from rondo.training.recipe import Recipe
from rondo.training.request import Request, cell_name
from rondo.training.run_folder import RunFolder
from rondo.training.session import Session, begin, resume
from rondo.training.task import Task
from run_records import without_times
from test_sequence_tasks import rolls, text_file

RECIPE = Recipe(
    cell="gru", hidden_size=8, batch_size=4, num_sequences=64, check_every=16, learning_rate=0.02
)
NOISY = replace(RECIPE, check_every=10, weight_noise=0.05, dropout=0.1, patience=3)


def draw_first(batch_size: int, generator: torch.Generator) -> Batch:
    """Sequences whose first number is the answer."""
    inputs = torch.rand(batch_size, 5, 1, generator=generator)
    lengths = torch.randint(2, 6, (batch_size,), generator=generator)
    return Batch(inputs, inputs[:, 0], lengths)


def is_near(outputs: Tensor, batch: Batch) -> Tensor:
    return ((outputs - batch.targets).abs() < 0.15).all(-1)


def remember(length: int = 5) -> Task:
    """A task that takes a second to learn."""
    return Task(
        "remember", Generated(draw_first, 100, 100), 1, 1, "euclidean", RECIPE,
        final=True, right=is_near, goal=0.95,
    )  # fmt: skip


def guess() -> Task:
    """Few given sequences with meaningless targets, and no goal: the best weights are kept."""
    generator = torch.Generator().manual_seed(0)

    def examples(num: int) -> list[Example]:
        symbols = [torch.randint(2, (2, n % 4 + 2), generator=generator) for n in range(num)]
        return [Example(first[:, None].float(), second) for first, second in symbols]

    source = Collection(examples(10), examples(7), examples(7))
    return Task("guess", source, 1, 2, "cross_entropy", NOISY, nats_per_unit=math.log(2))


@dataclass(frozen=True)
class Remembering:
    """Options of the first task.

    Args:
        length: Steps of a sequence; it is not looked at.
    """

    length: int = 5


@dataclass(frozen=True)
class Guessing:
    """The second task has no options."""


REMEMBER = Definition(
    "remember", "say the first number", Remembering, {"default": RECIPE}, f"{__name__}:remember"
)
GUESS = Definition("guess", "say anything", Guessing, {"default": NOISY}, f"{__name__}:guess")


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for definition in (REMEMBER, GUESS):
        place = f"{__name__}:{definition.name.upper()}"
        monkeypatch.setitem(registry.PLACES, definition.name, place)
    yield
    definition_of.cache_clear()


def begun(
    name: str, path: Path, options: dict[str, Any] | None = None, seed: int = 0, **recipe: Any
) -> Session:
    asked = Request(options or {}, recipe=recipe, seed=seed, threads=1)
    return begin(definition_of(name), asked, path, lambda text: None)


def resumed(name: str, path: Path) -> Session:
    return resume(definition_of(name), path, None, lambda text: None)


def run(name: str, path: Path, options: dict[str, Any] | None = None, **others: Any) -> Outcome:
    return fit(begun(name, path, options, **others), say=lambda text: None)


def new_engine(path: Path) -> Engine:
    """The loop of a run at its start."""
    folder = folder_of(path)
    task = folder.definition.make_task(folder.read_config().options)
    return network.new_engine(folder.definition, folder.read_config(), task)


def assert_same_run(first: Path, second: Path) -> None:
    folders = [folder_of(path) for path in (first, second)]
    whole, part = (without_times(folder.read_metrics()) for folder in folders)
    assert whole == part
    weights = [folder.read_model().state_dict() for folder in folders]
    assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))


# --- learning


@pytest.mark.parametrize(
    "cell", slow_beyond(["tanh", "gru", "lstm", "lstm-1997", "lstm-cifg"], ["gru", "lstm-cifg"])
)
def test_a_small_task_is_solved(cell: str, tmp_path: Path) -> None:
    """With a seed that takes a fifth of the budget at most: rounding may make it more."""
    options = {"hidden_size": 16, "num_sequences": 20_000, "seed": 1}
    outcome = run("remember", tmp_path / "run", cell=cell, **options)
    *_, test = outcome.records
    checks = [record for record in outcome.records if record["split"] == "val"]
    assert test["split"] == "test"
    assert test["solved"]
    assert test["num_seen"] < 20_000
    assert test["right"] > 0.8
    assert [check["right"] >= 0.95 for check in checks] == [False] * (len(checks) - 1) + [True]


def test_training_ends_at_the_budget(tmp_path: Path) -> None:
    outcome = run("remember", tmp_path / "run", num_sequences=30, learning_rate=1e-6)
    assert [record["num_seen"] for record in outcome.records] == [16, 16, 32, 32, 32]
    assert not outcome.records[-1]["solved"]


def test_progress_does_not_go_beyond_the_budget(tmp_path: Path) -> None:
    run("remember", tmp_path / "run", num_sequences=30, learning_rate=1e-6)
    trainer = new_engine(tmp_path / "run")
    for _ in range(7):
        trainer.train_step()
    assert progress_line(trainer).startswith("28/30 sequences ")
    trainer.train_step()
    assert trainer.progress.num_seen == 32, "a batch is used whole"
    assert progress_line(trainer).startswith("30/30 sequences ")
    assert progress_line(trainer).endswith("at most 0:00 left")


def test_training_ends_where_checks_get_no_better(tmp_path: Path) -> None:
    outcome = run("guess", tmp_path / "run", num_epochs=100, learning_rate=1e-30, patience=2)
    assert len(outcome.records) == 2 * 3 + 1


def test_the_best_weights_of_a_task_without_a_goal_are_kept(tmp_path: Path) -> None:
    outcome = run("guess", tmp_path / "run", num_epochs=12, learning_rate=0.3, patience=100)
    trainer = new_engine(tmp_path / "run")
    model = folder_of(tmp_path / "run").read_model()
    trainer.model.load_state_dict(model.state_dict())
    losses = [record["loss"] for record in outcome.records if record["split"] == "val"]
    found = trainer.measure(trainer.task.source.check_batches(0, 0)).loss
    assert found == pytest.approx(min(losses), rel=1e-6)
    assert losses[-1] > min(losses)
    tested = trainer.measure(trainer.task.source.test_batches())
    assert outcome.records[-1]["loss"] == pytest.approx(tested.loss, rel=1e-6)


def test_the_loss_is_the_mean_over_all_steps_in_the_unit(tmp_path: Path) -> None:
    run("guess", tmp_path / "run", num_epochs=1)
    trainer = new_engine(tmp_path / "run")
    total, steps = 0.0, 0
    trainer.model.eval()
    for example in guess().source.test:  # type: ignore[attr-defined]
        outputs = trainer.model(example.inputs[None])[0].detach()
        total -= float(outputs[0].log_softmax(-1).gather(1, example.targets[:, None]).sum())
        steps += len(example.inputs)
    expected = total / steps / math.log(2)
    assert trainer.measure(trainer.task.source.test_batches()).loss == pytest.approx(expected)


def test_a_gradient_that_is_not_finite_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("remember", tmp_path / "run", num_sequences=4)
    trainer = new_engine(tmp_path / "run")
    before = [parameter.clone() for parameter in trainer.parameters]
    monkeypatch.setattr(trainer.losses, "training_sum", lambda outputs, _: outputs.sum() * math.inf)
    trainer.train_step()
    assert trainer.progress.num_skipped == 1
    pairs = zip(before, trainer.parameters, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_noise_on_the_weights_is_taken_off_again(tmp_path: Path) -> None:
    run("guess", tmp_path / "run", num_epochs=1)
    trainer = new_engine(tmp_path / "run")
    before = [parameter.clone() for parameter in trainer.parameters]
    kept = trainer._add_noise()
    changed = [not torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True)]
    assert all(changed)
    trainer._restore(kept)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))


# --- resuming


@pytest.mark.parametrize("name", ["remember", "guess"])
def test_a_resumed_run_gives_the_same_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(name, tmp_path / "whole")
    session = begun(name, tmp_path / "part")
    step = Engine.train_step
    for stop_after in (1, 4, 3, 1000):  # between checks, at a check, between checks
        left = [stop_after]

        def train_step(self: Engine, left: list[int] = left) -> None:
            step(self)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(Engine, "train_step", train_step)
        session = resumed(name, tmp_path / "part")
        outcome = fit(session, say=lambda text: None)
        assert outcome.signal_number == (None if stop_after == 1000 else signal.SIGTERM)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def test_what_was_written_after_the_saved_state_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVE_SHARE", math.inf)
    run("remember", tmp_path / "whole")
    session = begun("remember", tmp_path / "part")
    write = RunFolder.write_state
    count = [0]

    def write_state(self: RunFolder, state: dict[str, Any]) -> None:
        count[0] += 1
        if count[0] == 9:  # killed between the metrics and the state
            raise KeyboardInterrupt
        write(self, state)

    monkeypatch.setattr(RunFolder, "write_state", write_state)
    with pytest.raises(KeyboardInterrupt):
        fit(session, say=lambda text: None)
    session = resumed("remember", tmp_path / "part")
    fit(session, say=lambda text: None)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def test_a_finished_run_is_tested_again(tmp_path: Path) -> None:
    first = run("remember", tmp_path / "run")
    session = resumed("remember", tmp_path / "run")
    second = fit(session, say=lambda text: None)
    assert first.records == second.records


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_killed_process_can_be_resumed(tmp_path: Path, number: int, code: int) -> None:
    words = [
        *("train", "adding", "--length", "20", "--cell", "tanh", "--hidden-size", "8"),
        *("--sequences", "40000", "--threads", "1", "--run"),
    ]
    whole, part = tmp_path / "whole", tmp_path / "part"
    command_to_its_end(*words, str(whole))
    answer, rest = command_that_is_ended(
        [*words, str(part)], number, 0.05, lambda line: " 6016 sequences" in line
    )
    assert answer == code
    if number != signal.SIGKILL:
        assert f"go on with: rondo train adding --resume {part}" in rest
    command_to_its_end("train", "adding", "--resume", str(part))
    assert_same_run(whole, part)


def test_a_second_signal_is_not_needed(tmp_path: Path) -> None:
    stop = stopping.StopRequest(lambda text: None)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.signal_number == signal.SIGTERM


# --- settings


def test_settings_survive_their_file(tmp_path: Path) -> None:
    run("remember", tmp_path / "run", {"length": 7}, num_sequences=4)
    config = folder_of(tmp_path / "run").read_config()
    assert config_from_json(config.to_json(), REMEMBER) == config
    assert config.options == Remembering(7)
    assert isinstance(config, RunConfig)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("GRU", "gru"),
        ("ElmanCell", "tanh"),
        ("LSTM1997Cell", "lstm-1997"),
        ("lstm_cifg", "lstm-cifg"),
    ],
)
def test_cells_are_known_by_several_words(word: str, name: str) -> None:
    assert cell_name(word) == name


def test_an_unknown_cell_is_named_with_the_nearest() -> None:
    with pytest.raises(RunError, match="there is no cell 'grv'; did you mean 'gru'"):
        cell_name("grv")


# --- the model


def test_the_final_output_is_that_of_the_last_step() -> None:
    model = SequenceModel("lstm", input_size=3, hidden_size=5, output_size=2, final=True)
    every = SequenceModel("lstm", input_size=3, hidden_size=5, output_size=2)
    every.load_state_dict(model.state_dict())
    x, lengths = torch.randn(3, 7, 3), torch.tensor([7, 2, 5])
    final, steps = model(x, lengths=lengths)[0], every(x)[0]
    for row, length in enumerate(lengths):
        torch.testing.assert_close(final[row], steps[row, length - 1])
    torch.testing.assert_close(model(x)[0], steps[:, -1])


def test_layers_and_embeddings() -> None:
    model = SequenceModel(
        "gru", input_size=6, hidden_size=5, output_size=4, num_layers=2, embedding_size=3
    )
    symbols = torch.randint(6, (2, 7))
    y, state = model(symbols)
    first, middle = model(symbols[:, :4])
    second, _ = model(symbols[:, 4:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), y)
    assert len(state) == 2


# --- the command line


def train(rondo: Run, *words: str) -> tuple[int, str, str]:
    size = ("--hidden-size", "4", "--sequences", "64", "--threads", "1")
    return rondo("train", "adding", "--length", "20", *size, *words)


def test_a_run_tells_what_it_gave(rondo: Run, tmp_path: Path) -> None:
    code, out, err = train(rondo, "--cell", "GRU")
    assert code == 0
    assert out.startswith("not solved after 64 sequences; test: ")
    assert "% right" in out
    assert err.startswith("adding: gru, 4 units, ")
    (folder,) = (tmp_path / "runs").iterdir()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["split"] for line in lines] == ["train", "val", "test"]
    code, again, _ = rondo("train", "adding", "--resume", "last")
    assert (code, again) == (0, out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe.num_epochs=3", "adding draws a new sequence every time and has no epochs"),
        ("recipe.embedding_size=8", "this task does not use recipe.embedding_size; leave it out"),
        ("recipe.channels=8", "this task does not use recipe.channels; leave it out"),
        ("recipe.label_smoothing=0.1", "this task does not use recipe.label_smoothing; leave it"),
    ],
)
def test_what_a_task_has_no_use_for_is_refused(rondo: Run, text: str, message: str) -> None:
    code, _, err = train(rondo, "--set", text)
    assert code == 2
    assert message in err


def test_a_run_takes_the_cores_that_are_free(
    rondo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "adding", "--hidden-size", "4", "--length", "20", "--sequences", "64")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(commands.CoreWatch, "num_free", lambda watch: 1)
    _, _, err = rondo(*words, "--run", "few")
    assert "other programs use the cores: 1 of 4 threads; --threads takes another number" in err
    assert folder_of(tmp_path / "few").read_config().num_threads == 1
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    _, _, err = rondo(*words, "--threads", "1", "--run", "asked")
    assert "other programs" not in err


def test_a_run_of_any_task_is_evaluated(rondo: Run, tmp_path: Path) -> None:
    _, trained, _ = train(rondo, "--run", "mine")
    found = re.search(r"test: ([\d.]+) % right, ([\d.]+) loss", trained)
    assert found is not None
    code, out, _ = rondo("evaluate", "mine")
    head, val, test = (line.split() for line in out.splitlines())
    assert (code, head) == (0, ["split", "sequences", "loss,", "loss", "right"])
    assert (val[0], test[0]) == ("val", "test")
    assert (test[3], test[2]) == found.groups()
    code, out, _ = rondo("evaluate", "mine", "--split", "test", "--json")
    values = json.loads(out)
    assert (code, list(values)) == (0, ["test"])
    assert f"{values['test']['loss']:.4f}" == found[2]
    for words, message in (
        (("--split", "tset"), "there is no split 'tset'; did you mean 'test'"),
        (("--data", "x"), "adding draws its sequences itself; leave out --data"),
        (("--min-confidence", "0.5"), "rondo evaluate mine does not take '--min-confidence'"),
    ):
        code, _, err = rondo("evaluate", "mine", *words)
        assert (code, message in err) == (2, True), err


def test_a_run_is_evaluated_on_other_data(rondo: Run, tmp_path: Path) -> None:
    first, other = rolls(tmp_path / "a.mat"), rolls(tmp_path / "b.mat")
    words = ("--epochs", "1", "--threads", "1", "--run", "mine")
    assert rondo("train", "music", "--data", str(first), *words)[0] == 0
    code, own, _ = rondo("evaluate", "mine")
    assert (code, rondo("evaluate", "mine", "--data", str(other))[:2]) == (0, (0, own))
    first.write_bytes(b"")
    code, _, err = rondo("evaluate", "mine")
    assert (code, "a.mat" in err) == (2, True), err


def test_music_ends_with_nats_a_step(rondo: Run, tmp_path: Path) -> None:
    path = rolls(tmp_path / "a.mat")
    code, out, _ = rondo(
        *("train", "music", "--data", str(path), "--epochs", "2", "--transpose", "3"),
        *("--threads", "1", "--run", "mine"),
    )
    assert code == 0
    assert out.startswith("ended after 6 sequences; test: ")
    assert "nats a step" in out
    path.rename(tmp_path / "b.mat")
    code, _, err = rondo("train", "music", "--resume", "mine")
    assert code == 2
    assert "a.mat: the file is missing" in err
    code, again, _ = rondo("train", "music", "--resume", "mine", "--data", "b.mat")
    assert (code, again) == (0, out)
    rolls(tmp_path / "b.mat", (6, 4))
    code, _, err = rondo("train", "music", "--resume", "mine", "--data", "b.mat")
    assert code == 2
    assert "b.mat are not those that the run mine began with" in err


def test_characters_are_learnt_and_sampled(rondo: Run, tmp_path: Path) -> None:
    text_file(tmp_path / "a.txt")
    code, out, _ = rondo(
        *("train", "characters", "--data", "a.txt", "--epochs", "60", "--hidden-size", "32"),
        *("--learning-rate", "0.02", "--threads", "1", "--run", "mine", "--batch-size", "4"),
    )
    assert code == 0
    assert float(out.split("test: ")[1].split()[0]) < 0.5  # bits a character
    words = ("sample", "mine", "--start", "on the", "--length", "12", "--temperature")
    assert rondo(*words, "0")[:2] == (0, " mat; the ca\n")
    first, second = rondo(*words, "2.0"), rondo(*words, "2.0", "--seed", "1")
    assert first == rondo(*words, "2.0")
    assert first != second
    for words, message in (
        (("mine", "--length", "0"), "the length must be 1 or more, but is 0"),
        (("mine", "--temperature", "-1"), "the temperature must be 0 or more, but is -1"),
        (("absent",), "there is no run folder absent"),
    ):
        code, _, err = rondo("sample", *words)
        assert code == 2
        assert message in err
    train(rondo, "--run", "other")
    _, _, err = rondo("sample", "other")
    assert "other is a run of adding, which writes nothing" in err


def test_windows_of_a_text_carry_the_state_on_and_survive_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(text_file(tmp_path / "a.txt"))
    recipe = {"batch_size": 4, "hidden_size": 8, "num_sequences": 60}
    run("characters", tmp_path / "whole", {"data": data}, **recipe)
    step, count = Engine.train_step, [0]

    def train_step(self: Engine) -> None:
        step(self)
        count[0] += 1
        if count[0] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Engine, "train_step", train_step)
    part = run("characters", tmp_path / "part", {"data": data}, **recipe)
    assert part.signal_number == signal.SIGTERM
    session = resumed("characters", tmp_path / "part")
    fit(session, say=lambda text: None)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train addin", "did you mean 'adding'"),
        ("train adding --cel gru", "does not take '--cel'; did you mean '--cell'"),
        ("train adding --cell grv", "there is no cell 'grv'; did you mean 'gru'"),
        ("train adding --length 3", "the length must be 20 or more, but is 3"),
        ("train adding --length x", "--length/--lag must be a whole number, but is 'x'"),
        ("train adding --hidden-size 0", "the hidden size must be 1 or more, but is 0"),
        ("train adding --num-layers 0", "the number of layers must be 1 or more, but is 0"),
        ("train adding --batch-size 0", "the batch size must be 1 or more, but is 0"),
        ("train adding --sequences 0", "the number of sequences must be 1 or more, but is 0"),
        ("train adding --epochs 3", "adding draws a new sequence every time and has no epochs"),
        ("train adding --learning-rate -1", "the learning rate must be above 0, but is -1"),
        ("train adding --clip 0", "the norm of --clip must be above 0, but is 0"),
        ("train adding --dropout 1", "the dropout must be at least 0 and below 1, but is 1"),
        ("train adding --weight-noise -1", "the weight noise must be 0 or more, but is -1"),
        ("train adding --optimizer adm", "there is no optimizer 'adm'; did you mean 'adam'"),
        ("train adding --patience 0", "the patience must be 1 or more, but is 0"),
        ("train adding --seed -1", "the seed must be 0 or more, but is -1"),
        ("train adding --threads 0", "the number of threads must be from 1 to .*, but is '0'"),
        ("train adding --data x", "does not take '--data'"),
        ("train adding --resume absent", "there is no run folder absent; `rondo train adding`"),
        ("train adding --resume last", "there is no run in .*`rondo train TASK` makes one"),
        ("train adding --resume x --seed 1", "leave out --seed"),
        ("train adding --run .", r"\. exists already; give another --run"),
        ("train music", "music needs data: give --data PATH"),
        (
            "train music --data absent.mat",
            "absent.mat: the file is missing; music needs a .mat",
        ),
        ("train music --data file --transpose 50", "transpose must be 0 to 43 semitones, got 50"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


def test_runs_of_other_tasks_are_refused(rondo: Run) -> None:
    train(rondo, "--run", "mine")
    for task in ("reber", "photo"):
        code, _, err = rondo("train", task, "--resume", "mine")
        assert code == 2
        assert f"the run mine: it is a run of `rondo train adding`, and not of {task}" in err


def test_a_missing_package_names_the_extra_of_the_tasks() -> None:
    program = (
        "import sys; sys.modules['safetensors'] = None; from rondo import cli; "
        "sys.exit(cli.main(['train', 'adding']))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"rondo: safetensors is not installed; {how_to_install('tasks')}\n"


def test_training_on_sequences_needs_what_the_extra_tasks_brings_alone(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('lightning', 'matplotlib', 'tensorboard', 'av'): sys.modules[name] = None\n"
        "from rondo import cli\n"
        "sys.exit(cli.main('train adding --sequences 32 --threads 1'.split()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 0
