"""The options of `rondo train TASK`, `predict` and `evaluate`, made of typed dataclasses.

In goes what a task states of itself, out comes a parser of jsonargparse: each field is an option
with its help from the docstring and its default, and a key of a config file.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from jsonargparse import ActionConfigFile, ArgumentParser

from rondo.cli.manual import FREE, UsageError, near, num_threads
from rondo.system.docstrings import arguments_of
from rondo.system.threads import most_threads
from rondo.training.definition import Definition
from rondo.training.recipe import SOME_HAVE, Recipe

SHORT = {
    "max_grad_norm": ("--clip",),
    "num_epochs": ("--epochs",),
    "num_sequences": ("--sequences",),
    "length": ("--lag",),
}
"""Other names of options."""

WITHIN = ("augmentation", "image_sizes")
"""The fields of a recipe that hold several values: keys of a config file, or for --set."""

NO_KEYS = {
    "help": "leave it out",
    "config": "leave it out",
    "print_config": "give --print-config",
    "find_learning_rate": "give --find-learning-rate",
    "set": "write the fields in [recipe]",
}
"""The options that are no keys of a config file, and what to do in their place."""


class Nothing(str):
    """The word "none", where no value is meant by it."""

    __slots__ = ()


NOTHING = Nothing("none")


class RefusedError(argparse.ArgumentTypeError, ValueError):
    """A value is of another type; on the command line argparse tells it, in a file jsonargparse."""


def whole(value: Any) -> int:
    """The type of an option that takes a whole number."""
    is_text = isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip())
    if not is_text and type(value) is not int:
        raise RefusedError(f"must be a whole number, but is {value!r}")
    return int(value)


def counted(value: Any) -> int:
    """The type of an option that takes a whole number from 1 on."""
    found = whole(value)
    if found < 1:
        raise RefusedError(f"must be at least 1, but is {found}")
    return found


def number(value: Any) -> float:
    """The type of an option that takes a number."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise RefusedError(f"must be a number, but is {value!r}") from None


def word(value: Any) -> str:
    """The type of an option that takes text."""
    if not isinstance(value, str):
        raise RefusedError(f"must be text, but is {value!r}")
    return value


def truth(value: Any) -> bool:
    """The type of an option that is true or false."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise RefusedError(f"must be true or false, but is {value!r}")
    return words[str(value).lower()]


def or_nothing(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The type of an option that takes what another one takes, or the word "none"."""

    def read_or_nothing(value: Any) -> Any:
        is_nothing = isinstance(value, str) and value.lower() == NOTHING
        return NOTHING if is_nothing else read(value)

    return read_or_nothing


def several(value: Any) -> Any:
    """The type of a key that holds several values, which a word of the command line cannot."""
    if isinstance(value, (dict, list)) or (isinstance(value, str) and value == NOTHING):
        return value
    raise RefusedError(
        f"must be a table or an array of a config file, or none, but is {value!r}; here give --set"
    )


TYPES: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (whole, "N"),
    float: (number, "X"),
    str: (word, "TEXT"),
    bool: (truth, "true|false"),
}
"""How values of a type are read, and what stands for them in help."""


class OptionsFormatter(argparse.HelpFormatter):
    """Help that names the value of an option once: `--clip, --max-grad-norm X`."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        metavar = self._format_args(action, action.dest.upper())
        return f"{', '.join(_shown(action.option_strings))} {metavar}"


class OptionsParser:
    """A parser of options that names the nearest one for a wrong one.

    Args:
        prog: The command, such as "rondo train text".
        description: What it does.
    """

    def __init__(self, prog: str, description: str) -> None:
        self.prog = prog
        self.parser = ArgumentParser(
            prog=prog,
            usage=f"{prog} [options]",
            description=description,
            print_config=None,
            parser_mode="toml",
            exit_on_error=False,
            allow_abbrev=False,
            formatter_class=OptionsFormatter,
        )
        self.add = self.parser.add_argument

    def add_config(self) -> None:
        """Adds `--config FILE`."""
        self.add("--config", action=ActionConfigFile, metavar="FILE",
            help="a TOML file whose keys are these options, and a table [recipe]; what is also "
            "given here counts (default: none)")  # fmt: skip

    def add_fields(
        self,
        options: type,
        *,
        prefix: str = "",
        left_out: Sequence[str] = (),
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        """Adds an option for each field of a dataclass; one that is not given is None.

        Args:
            options: The dataclass.
            prefix: What stands before the keys, such as "recipe.".
            left_out: Fields that are no options.
            defaults: What to call the defaults, where they are not those of the dataclass.
        """
        words, hints = arguments_of(options), get_type_hints(options)
        for item in fields(options):
            if item.name not in left_out:
                told = _default(item) if defaults is None else defaults[item.name]
                text = f"{words[item.name].rstrip('.')} (default: {told})".replace("%", "%%")
                text, is_path = text[0].lower() + text[1:], bool(item.metadata.get("is_path"))
                self._add_field(item.name, hints[item.name], prefix, text, is_path)

    def _add_field(self, name: str, hint: Any, prefix: str, text: str, is_path: bool) -> None:
        kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
        read, metavar = TYPES[kinds[0]]
        metavar = "PATH" if is_path else metavar
        is_truth = read is truth
        read = or_nothing(read) if type(None) in get_args(hint) else read
        strings = [f"--{name.replace('_', '-')}", *SHORT.get(name, ())]
        more: dict[str, Any] = {"nargs": "?", "const": True} if is_truth else {}
        if prefix:
            strings.append(f"--{prefix}{name}")
        self.add(*strings, dest=f"{prefix}{name}", type=read, metavar=metavar, help=text, **more)

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Returns the values of the options by name; what is not given is None.

        Raises:
            UsageError: If something is wrong; it names the nearest option, or what must stand.
        """
        if any(item in ("-h", "--help") for item in arguments):
            self.parser.print_help()
            sys.exit(0)
        try:
            found = self.parser.parse_args(_config_files_first(_with_name_of_recipe(arguments)))
        except (argparse.ArgumentError, ValueError, TypeError) as error:
            raise UsageError(f"{self._words(str(error))}; see `{self.prog} --help`") from None
        return found.as_dict()

    def _words(self, message: str) -> str:
        """What argparse and jsonargparse say, in the words of this program."""
        stray = re.match(r"unrecognized arguments: (\S+)", message)
        key = re.match(r"Option '(.*?)' is not accepted", message)
        typed = re.match(r'Parser key "(.*?)": (.*)', message, re.DOTALL)
        given = re.match(r"argument (\S+): (.*)", message, re.DOTALL)
        if stray:
            return self._stray(stray[1].split("=")[0])
        if key:
            hint = _nearest(key[1], self._keys())
            return f"the config file has a key {key[1]!r}, which is no option; {hint}"
        if typed:
            return _refused(typed[1], typed[2])
        if given:
            return _refused("/".join(_shown(given[1].split("/"))), given[2])
        return _first_line(message)

    def _stray(self, name: str) -> str:
        """What to say of a word that is none of the options."""
        known = [text for text in self.parser._option_string_actions if text.startswith("--")]
        hint = near(name, known) or ("" if name.startswith("-") else "it is one word too many")
        hint = hint or f"there are: {', '.join(_shown(known))}"
        return f"{self.prog} does not take {name!r}; {hint}"

    def _keys(self) -> dict[str, str]:
        """The keys of a config file, also by the short names of the options."""
        found: dict[str, str] = {}
        for action in self.parser._actions:
            if action.option_strings and action.dest not in NO_KEYS:
                group = action.dest.rpartition(".")[0]
                names = [text.lstrip("-").replace("-", "_") for text in action.option_strings]
                key = "run" if action.dest == "run_path" else action.dest
                found |= {f"{group}.{name}".lstrip("."): key for name in names} | {key: key}
        return found


def given_of(options: type | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a dataclass that were given."""
    names = [] if options is None else [item.name for item in fields(options)]
    return {name: given[name] for name in names if is_given(given[name])}


def is_given(value: Any) -> bool:
    """Whether there is a value for an option of a task, where none and not given are the same."""
    return value is not None and not isinstance(value, Nothing)


def train_parser(definition: Definition) -> OptionsParser:
    """Returns the parser of `rondo train TASK`."""
    prog = f"rondo train {definition.name}"
    summary = definition.summary
    parser = OptionsParser(prog, f"{summary[0].upper()}{summary[1:]}.")
    parser.add_config()
    parser.add_fields(definition.options)
    parser.add("--recipe.name", type=word, metavar="NAME",
        help=f"how to train: {', '.join(definition.recipes)} (default: "
        f"{'what the data ask for' if len(definition.recipes) > 1 else 'default'})")  # fmt: skip
    parser.add_fields(
        Recipe,
        prefix="recipe.",
        left_out=(*definition.unused, *WITHIN, *_absent(definition)),
        defaults={item.name: _of_recipes(definition, item.name) for item in fields(Recipe)},
    )
    for name in WITHIN:
        if name not in definition.unused:
            text = arguments_of(Recipe)[name].rstrip(".")
            parser.add(f"--recipe.{name}", type=several, metavar="none",
                help=f"{text[0].lower()}{text[1:]}; a key of a config file, or fields for --set "
                "(default: the recipe's)")  # fmt: skip
    _add_run(parser)
    return parser


def _add_run(parser: OptionsParser) -> None:
    """Adds the options of every training."""
    add = parser.add
    add("--set", action="append", metavar="NAME=VALUE", type=str,
        help="another value in the recipe, such as recipe.weight_decay=1e-4; may be given again "
        "(default: the recipe as it is)")  # fmt: skip
    add("--start-from", type=word, metavar="RUN",
        help="begin with the weights of a run folder, of a .safetensors file, or of owner/name on "
        "the Hugging Face hub (default: new weights)")  # fmt: skip
    add("--seed", type=whole, metavar="N", help="seed of all that is random (default: 0)")
    add("--threads", type=_threads, metavar="N",
        help=f"threads, from 1 to {most_threads()} here (default: {FREE})")  # fmt: skip
    add("--device", type=word, metavar="auto|cpu|gpu",
        help="where it is trained: the gpu is what accelerator torch finds; auto is the gpu for "
        "photos, where there is one, and the cpu for all else (default: auto)")  # fmt: skip
    add("--devices", type=counted, metavar="N",
        help="processes on each machine that share every batch; N divides recipe.num_shards, and "
        "changes no bit of the result (default: 1, or as torchrun started them)")  # fmt: skip
    add("--nodes", type=counted, metavar="N",
        help="machines (default: 1, or as torchrun started them)")  # fmt: skip
    add("--log", type=word, metavar="NAMES",
        help="where the figures go beside metrics.jsonl: tensorboard, mlflow, wandb, trackio, csv; "
        "several with commas between, or none (default: none)")  # fmt: skip
    add("--report", type=truth, nargs="?", const=True, metavar="true|false",
        help="write a report page and a model card at the end (default: true)")  # fmt: skip
    add("--find-learning-rate", action="store_true",
        help="try learning rates on the first steps, tell which is good, and end (default: "
        "train)")  # fmt: skip
    add("--print-config", action="store_true",
        help="print these options as a config file, and end (default: train)")  # fmt: skip
    add("--run", type=word, metavar="DIR", dest="run_path",
        help="the run folder to make (default: runs/TASK-DATE-N)")  # fmt: skip
    add("--resume", type=word, metavar="RUN",
        help='go on with a run, or "last", with its settings; only --data may be given with it, '
        "for data that were moved (default: begin a new run)")  # fmt: skip


def _absent(definition: Definition) -> list[str]:
    """The fields of a recipe that the networks of the task have no use for."""
    recipes = definition.recipes.values()
    return [name for name in SOME_HAVE if all(getattr(one, name) is None for one in recipes)]


def _of_recipes(definition: Definition, name: str) -> str:
    """What a field is in the recipes, the usual one first, such as "40; drawn 6, lecture 6"."""
    found = {kind: _told(getattr(recipe, name)) for kind, recipe in definition.recipes.items()}
    usual = next(iter(found.values()))
    others = [f"{kind} {value}" for kind, value in found.items() if value != usual]
    return f"{usual}; {', '.join(others)}" if others else usual


def _default(item: Field[Any]) -> str:
    return "must be given" if item.default is MISSING else _told(item.default)


def _told(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _threads(value: Any) -> int:
    try:
        return num_threads(str(value))
    except argparse.ArgumentTypeError as error:
        raise RefusedError(str(error)) from None


def _with_name_of_recipe(words: Sequence[str]) -> list[str]:
    """The words with `--recipe NAME` as `--recipe.name NAME`; "recipe" alone is a table."""
    return [
        "--recipe.name" + word.removeprefix("--recipe")
        if word == "--recipe" or word.startswith("--recipe=")
        else word
        for word in words
    ]


def _config_files_first(arguments: Sequence[str]) -> list[str]:
    """The words with the config files before all others, so that what is given beside them counts.

    Raises:
        UsageError: Where a file cannot be read.
    """
    words, files = list(arguments), list[str]()
    for place in reversed(range(len(words))):
        name, sign, value = words[place].partition("=")
        if name == "--config" and (sign or place + 1 < len(words)):
            path = value if sign else words.pop(place + 1)
            words.pop(place)
            _check_config_file(path)
            files.insert(0, f"--config={path}")
    return [*files, *words]


def _check_config_file(path: str) -> None:
    """Raises `UsageError` where a config file cannot be read, or has a key that is for no file."""
    if not Path(path).is_file():  # what is no file, such as a pipe, can be read but once
        raise UsageError(f"there is no config file {path}")
    try:
        values = tomllib.loads(Path(path).read_bytes().decode())
    except OSError as error:
        raise UsageError(f"the config file {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the config file {path} is no TOML: {error}") from error
    for key, instead in NO_KEYS.items():
        if key in values:
            raise UsageError(f"the config file {path} cannot hold {key}; {instead}")
    if not isinstance(values.get("recipe", {}), dict):
        raise UsageError(
            f"recipe of the config file {path} must be a table [recipe], in which name is that of "
            f"the recipe, but is {values['recipe']!r}"
        )


def _nearest(word: str, known: Mapping[str, str]) -> str:
    """The nearest of some words, as what it stands for; or all of them."""
    found = get_close_matches(word.lower().replace("-", "_"), known, n=1)
    every = ", ".join(dict.fromkeys(known.values()))
    return f"did you mean {known[found[0]]!r}?" if found else f"there are: {every}"


def _shown(strings: Sequence[str]) -> list[str]:
    """The names of options that are told: "recipe." is left out where there is another."""
    named = ["--recipe" if text == "--recipe.name" else text for text in strings]
    return [text for text in named if not text.startswith("--recipe.")] or list(named)


def _refused(name: str, text: str) -> str:
    """What to say of a value that an option does not take."""
    line = _first_line(text).replace("expected one argument", "needs a value")
    return line if line.startswith("the ") else f"{name} {line}"


def _first_line(text: str) -> str:
    return " ".join(text.split())
