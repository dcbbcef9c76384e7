"""Options and config files: what help says, what is taken, and what is refused in which words."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from commands import STUCK_S, Run, check_answered_in_one_line
from rondo import cli
from rondo.cli.evaluate import evaluate_parser
from rondo.cli.manual import UsageError
from rondo.cli.options import OptionsParser, train_parser
from rondo.cli.predict import predict_parser, split_run
from rondo.cli.train import request_of, train_help
from rondo.data.augmentation import Augmentation
from rondo.system.free_cores import CoreWatch
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.registry import definition_of, folder_of, task_names
from rondo.training.recipe import Recipe
from rondo.training.request import Request, make_config

SMALL = ("--length", "20", "--hidden-size", "4", "--sequences", "64", "--threads", "1")


def asked(*words: str, task: str = "photo") -> Request:
    """What the words of `rondo train TASK` ask for."""
    return request_of(
        train_parser(definition_of(task)).parse(["--threads", "1", *words]), CoreWatch()
    )


def config_file(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


# --- help


def parsers() -> list[tuple[str, OptionsParser]]:
    """Those of all commands whose options depend on the task."""
    found = []
    for name in task_names():
        definition = definition_of(name)
        found += [(f"train {name}", train_parser(definition))]
        found += [(f"evaluate {name}", evaluate_parser(definition, "last"))]
        found += [(f"predict {name}", predict_parser(definition, "last"))]
    return found


PARSERS = dict(parsers())


@pytest.mark.parametrize("name", PARSERS)
def test_every_option_states_its_default(name: str) -> None:
    for action in PARSERS[name].parser._actions:
        if action.option_strings and action.dest != "help":
            assert re.search(r"\(default: .+\)$", action.help or ""), action.option_strings


def all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of the commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from all_parsers(one)


def test_every_option_of_the_other_commands_states_its_default() -> None:
    found = list(all_parsers(cli.build_parser()))
    assert len(found) > 8
    for parser in found:
        for action in parser._actions:
            if action.option_strings and action.nargs != 0:
                words = action.help or ""
                assert re.search("default: |must be given|no default", words), (
                    f"{parser.prog} {action.option_strings[0]}: {words}"
                )


@pytest.mark.parametrize("name", task_names())
def test_every_field_of_options_and_recipe_is_an_option_or_is_not_used(name: str) -> None:
    definition = definition_of(name)
    dests = {action.dest for action in train_parser(definition).parser._actions}
    assert {item.name for item in fields(definition.options)} <= dests
    absent = {f"recipe.{item.name}" for item in fields(Recipe)} - dests
    usual = next(iter(definition.recipes.values()))
    for dest in absent:
        field = dest.removeprefix("recipe.")
        assert field in definition.unused or getattr(usual, field) is None


def test_help_says_what_the_recipes_do() -> None:
    text = " ".join(train_parser(PHOTO).parser.format_help().split())
    assert "--num-epochs, --epochs N" in text
    assert re.search(r"\(default: 40; drawn 6, table 10, .*lecture 6\)", text)
    assert f"--recipe NAME how to train: {', '.join(PHOTO.recipes)} (default: what the" in text
    assert "--max-grad-norm, --clip X" in text


def test_help_of_train_lists_the_tasks() -> None:
    text = train_help()
    for name in task_names():
        assert re.search(rf"^  {name} +{re.escape(definition_of(name).summary)}$", text, re.M)


@pytest.mark.parametrize(
    "words",
    [
        "train --help",
        *(f"train {name} --help" for name in ("photo", "adding", "text", "captions")),
        "predict --help",
        "evaluate --help",
        "sample --help",
        "train adding --print-config",
        "train adding --lenght 3",
        "--help",
    ],
)
def test_help_loads_no_torch(words: str) -> None:
    program = (
        "import sys\n"
        "from rondo import cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'matplotlib', 'PIL') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=STUCK_S)
    assert done.stdout.splitlines()[-1] == "[]"


# --- what is taken


def test_fields_of_the_recipe_are_options_by_either_name() -> None:
    for words in ("--learning-rate 1e-3", "--recipe.learning_rate=1e-3"):
        assert asked(*words.split()).recipe == {"learning_rate": 1e-3}
    assert asked("--clip", "0.5", "--epochs", "2").recipe == {"max_grad_norm": 0.5, "num_epochs": 2}
    found = asked("--sequences", "9", "--lag", "30", task="adding")
    assert (found.recipe, found.options) == ({"num_sequences": 9}, {"length": 30})


@pytest.mark.parametrize(
    ("words", "value"),
    [("--nesterov", True), ("--nesterov true", True), ("--nesterov=no", False)],
)
def test_what_is_true_or_false_needs_no_value(words: str, value: bool) -> None:
    found = asked(*words.split(), "--batch-size", "3")
    assert found.recipe == {"nesterov": value, "batch_size": 3}


def test_what_may_be_none_takes_that_word() -> None:
    found = asked("--clip", "none", "--averaging-decay=None", "--layout", "none")
    assert (found.recipe, found.options) == ({}, {})
    config, _, _ = make_config(
        definition_of("adding"), asked("--clip", "none", "--length", "20", task="adding")
    )
    assert config.recipe.max_grad_norm is None
    with pytest.raises(UsageError, match="--batch-size must be a whole number, but is 'none'"):
        asked("--batch-size", "none")


def test_set_stands_beside_options_and_is_the_last_word(tmp_path: Path) -> None:
    words = ("--learning-rate", "1", "--set", "recipe.learning_rate=3", "--set", "momentum=0.5")
    config, _, _ = make_config(
        definition_of("adding"), asked("--length", "20", *words, task="adding")
    )
    assert (config.recipe.learning_rate, config.recipe.momentum) == (3.0, 0.5)


# --- config files

NESTED = """
num_drawn = 8
image_size = 32
model = "cnn_1"
seed = 3

[recipe]
name = "default"
num_epochs = 1
batch_size = 4
max_grad_norm = "none"
image_sizes = [[0.5, 1], [0.5, 1.0]]

[recipe.augmentation]
mirror_share = 0.25
saturation = [0.5, 1]
"""


def test_a_config_file_says_what_the_options_say(tmp_path: Path) -> None:
    config, _, _ = make_config(PHOTO, asked("--config", config_file(tmp_path, NESTED)))
    assert (config.options.num_drawn, config.options.model, config.seed) == (8, "cnn_1", 3)
    assert config.recipe_name == "default"
    strength = replace(Augmentation(), mirror_share=0.25, saturation=(0.5, 1))
    assert config.recipe == replace(
        PHOTO.recipes["default"], num_epochs=1, batch_size=4, max_grad_norm=None,
        image_sizes=((0.5, 1), (0.5, 1.0)), augmentation=strength,
        precision=config.recipe.precision,
    )  # fmt: skip


@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_given_beside_a_config_file_counts(tmp_path: Path, is_first: bool) -> None:
    file = ("--config", config_file(tmp_path, NESTED))
    more = ("--seed", "5", "--recipe", "drawn", "--epochs", "7", "--num-drawn", "16")
    found = asked(*(*file, *more) if is_first else (*more, *file))
    assert (found.seed, found.recipe_name, found.options["num_drawn"]) == (5, "drawn", 16)
    assert found.recipe == {"num_epochs": 7, "batch_size": 4}
    assert found.options["image_size"] == 32


def test_the_later_of_two_config_files_counts(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("seed = 8\n[recipe]\nbatch_size = 16\n")
    found = asked("--config", config_file(tmp_path, NESTED), f"--config={other}")
    assert (found.seed, found.recipe) == (8, {"num_epochs": 1, "batch_size": 16})


def test_an_empty_config_file_changes_nothing(tmp_path: Path) -> None:
    assert asked("--config", config_file(tmp_path, "")) == asked()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenght = 3", "has a key 'lenght', which is no option; did you mean 'length'"),
        ("hidden_size = 3", "no option; did you mean 'recipe.hidden_size'"),
        ("[recipe]\nlearning_rat = 3", "did you mean 'recipe.learning_rate'"),
        ("[recip]\nhidden_size = 3", "did you mean 'recipe.hidden_size'"),
        ("[recipe]\nclip = 3", "did you mean 'recipe.max_grad_norm'"),
        ("rum = 'x'", "did you mean 'run'"),
        ("qqqqq = 3", "which is no option; there are: length, recipe.name, recipe.batch_size"),
        ("length = 'x'", "length must be a whole number, but is 'x'"),
        ("length = true", "length must be a whole number, but is True"),
        ("length = 2.5", "length must be a whole number, but is 2.5"),
        ("length = [1, 2]", r"length must be a whole number, but is \[1, 2\]"),
        ("[length]\na = 1", "length must be a whole number, but is {'a': 1}"),
        (
            "[recipe]\nlearning_rate = 'fast'",
            "recipe.learning_rate must be a number, but is 'fast'",
        ),
        ("[recipe]\nlearning_rate = true", "recipe.learning_rate must be a number, but is True"),
        ("[recipe]\ncell = 3", "recipe.cell must be text, but is 3"),
        ("[recipe]\nnesterov = 'maybe'", "recipe.nesterov must be true or false, but is 'maybe'"),
        ("recipe = 'drawn'", r"must be a table \[recipe\], .* but is 'drawn'"),
        ("threads = 4000", "rondo: the number of threads must be from 1 to .* but is '4000'"),
        ("set = ['momentum=1']", r"cannot hold set; write the fields in \[recipe\]"),
        ("config = 'run.toml'", "cannot hold config; leave it out"),
        ("length =", r"run.toml is no TOML: Invalid value"),
        ("length = 3\nlength = 4", "run.toml is no TOML: Cannot overwrite a value"),
        ("\0", "run.toml is no TOML: "),
    ],
)
def test_a_wrong_config_file_is_refused(
    rondo: Run, tmp_path: Path, text: str, message: str
) -> None:
    config_file(tmp_path, text)
    check_answered_in_one_line(rondo, tmp_path, "train adding --config run.toml", message)


def test_a_config_file_that_is_no_text_is_refused(rondo: Run, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe")
    check_answered_in_one_line(
        rondo, tmp_path, "train adding --config run.toml", "run.toml is no TOML: .*decode byte 0xff"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augmentation = 3", "recipe.augmentation must be a table or an array .* but is 3"),
        ("augmentation = 'strong'", "must be a table or an array .* but is 'strong'"),
        ("[recipe.augmentation]\nmirror_sare = 1", "augmentation.mirror_sare; did you mean"),
        ("[recipe.augmentation]\nnoise = 'much'", "augmentation.noise must be a number, but is"),
        ("image_sizes = [[1, 2, 3]]", "image_sizes must be pairs of numbers, such as .*1, 2, 3"),
        ("hidden_size = 3", "'recipe.hidden_size', which is no option; did you mean"),
    ],
)
def test_values_within_others_are_checked(
    rondo: Run, tmp_path: Path, text: str, message: str
) -> None:
    config_file(tmp_path, f"num_drawn = 8\n[recipe]\n{text}\n")
    check_answered_in_one_line(
        rondo, tmp_path, "train photo --recipe default --config run.toml", message
    )


def test_a_run_is_what_its_config_file_says(rondo: Run, tmp_path: Path) -> None:
    config_file(
        tmp_path,
        "length = 20\nseed = 4\nthreads = 1\nrun = 'mine'\nlog = 'none'\n"
        "[recipe]\nhidden_size = 4\nnum_sequences = 64\ncell = 'GRU'\n",
    )
    code, _, err = rondo("train", "adding", "--config", "run.toml", "--set", "batch_size=8")
    assert code == 0, err
    config = folder_of(tmp_path / "mine").read_config()
    assert (config.options.length, config.seed) == (20, 4)
    assert not (tmp_path / "mine" / "tensorboard").exists()
    found = (config.recipe.hidden_size, config.recipe.cell, config.recipe.batch_size)
    assert found == (4, "gru", 8)


def test_the_config_file_that_is_printed_is_one(rondo: Run, tmp_path: Path) -> None:
    words = ("--seed", "2", "--epochs", "3", "--clip", "none", "--data", 'a"b', "--nesterov")
    code, out, err = rondo("train", "photo", *words, "--print-config")
    assert (code, err) == (0, "")
    (tmp_path / "run.toml").write_text(out)
    assert asked("--config", str(tmp_path / "run.toml")) == asked(*words)
    every = re.sub(r"^# (\w+ = )", r"\1", out, flags=re.MULTILINE)
    values = tomllib.loads(every)
    assert (values["image_size"], values["num_drawn"], values["data"]) == ("none", 6000, 'a"b')
    assert values["recipe"]["augmentation"]["mirror_share"] == 0.5
    (tmp_path / "run.toml").write_text(every)
    config, _, _ = make_config(
        PHOTO, asked("--config", str(tmp_path / "run.toml"), "--data", "drawn", "--num-drawn", "8",
                     "--image-size", "32"),
    )  # fmt: skip
    usual = PHOTO.recipes["default"]
    assert config.recipe == replace(
        usual, num_epochs=3, max_grad_norm=None, precision=config.recipe.precision
    )


# --- wrong use


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train adding --config absent.toml", "there is no config file absent.toml"),
        ("train adding --config=.", r"there is no config file \."),
        ("train adding --config", "--config needs a value; see `rondo train adding --help`"),
        ("train adding --recipe", "rondo: --recipe needs a value"),
        ("train adding --recipe fast", "there is no recipe 'fast'; there are: default"),
        ("train photo --recipe lectur", "there is no recipe 'lectur'; did you mean 'lecture'"),
        ("train adding --nesterov maybe", "--nesterov must be true or false, but is 'maybe'"),
        ("train adding --length 1e2", "--length/--lag must be a whole number, but is '1e2'"),
        ("train adding --length", "--length/--lag needs a value"),
        ("train adding --learning-rate fast", "--learning-rate must be a number, but is 'fast'"),
        ("train adding --learning-rate nan", "the learning rate must be above 0, but is nan"),
        ("train adding --hiden-size 3", "does not take '--hiden-size'; did you mean '--hidden-siz"),
        ("train adding --hidden_size 3", "did you mean '--hidden-size'"),
        ("train adding --recipe.cel gru", "did you mean '--recipe.cell'"),
        ("train adding 3", "rondo train adding does not take '3'; it is one word too many"),
        ("train adding --qqqq", "does not take '--qqqq'; there are: --help, --config, --length"),
        ("train adding --set momentum", "--set takes NAME=VALUE, such as .* but is 'momentum'"),
        ("train adding --set momentun=1", "no recipe.momentun; did you mean 'momentum'"),
        ("train photo --recipe.augmentation strong", "must be a table .* here give --set; see"),
        ("train addin", "there is no task 'addin'; did you mean 'adding'.*; see `rondo train --h"),
        ("train qqqqqq", "there is no task 'qqqqqq'; there are: actions, adding"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


def test_what_stands_beside_a_resume_is_refused_by_name(rondo: Run, tmp_path: Path) -> None:
    config_file(tmp_path, "seed = 1")
    words = (
        "--seed 0 --set momentum=1 --recipe default --nesterov false --length 30 --cell gru "
        "--config run.toml --run other --start-from other --threads 1"
    )
    code, _, err = rondo("train", "adding", "--resume", "last", *words.split())
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("rondo: --resume goes on with the run's own settings; leave out ")
    given = {word for word in words.split() if word.startswith("--")}
    assert set(line.partition("leave out ")[2].split(", ")) == given


def test_a_setting_is_refused_before_data_are_read(rondo: Run, tmp_path: Path) -> None:
    for words in ("--recipe nope", "--set momentun=1", "--epochs 0", "--seed -1"):
        code, _, err = rondo("train", "photo", "--data", "absent", *words.split())
        assert code == 2
        assert "absent" not in err, words


# --- predict and evaluate


def test_options_stand_before_or_after_the_run() -> None:
    assert split_run("predict", ["--json", "mine", "a.png"]) == ("mine", ["--json", "a.png"])
    assert split_run("evaluate", ["mine", "--json"]) == ("mine", ["--json"])
    for words in ([], ["--csv"], ["--split", "test", "mine"]):
        with pytest.raises(UsageError, match="needs RUN first; see `rondo predict --help`"):
            split_run("predict", words)


def test_flags_may_stand_before_the_run(rondo: Run) -> None:
    assert rondo("train", "adding", *SMALL, "--run", "mine")[0] == 0
    code, out, _ = rondo("evaluate", "--json", "mine")
    assert (code, list(json.loads(out))) == (0, ["val", "test"])
    code, out, _ = rondo("evaluate", "mine", "--split", "val")
    assert (code, len(out.splitlines())) == (0, 2)
