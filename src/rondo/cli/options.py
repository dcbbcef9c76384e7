"""The options of `rondo train TASK`, `predict` and `evaluate`, made of typed dataclasses.

In goes what a task states of itself, out comes a parser of jsonargparse: each field is an option
with its help from the docstring and its default, and a key of a config file.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
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
"""The fields of a recipe that hold several values; they are keys of a config file, or for --set."""


class RefusedError(argparse.ArgumentTypeError, ValueError):
    """A value is of another type; on the command line argparse tells it, in a file jsonargparse."""


def whole(value: Any) -> int:
    """The type of an option that takes a whole number."""
    is_text = isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip())
    if not is_text and type(value) is not int:
        raise RefusedError(f"must be a whole number, but is {value!r}")
    return int(value)


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
        shown = [option for option in action.option_strings if not option.startswith("--recipe.")]
        metavar = self._format_args(action, action.dest.upper())
        return f"{', '.join(shown or action.option_strings)} {metavar}"


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
            description=description,
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
        strings = [f"--{name.replace('_', '-')}", *SHORT.get(name, ())]
        more: dict[str, Any] = {"nargs": "?", "const": True} if read is truth else {}
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
        _check_config_file(arguments)
        try:
            found = self.parser.parse_args(list(arguments))
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
            name = stray[1].split("=")[0]
            known = [text for text in self.parser._option_string_actions if text.startswith("--")]
            hint = near(name, known) or ("" if name.startswith("-") else "it is one word too many")
            hint = hint or f"there are: {', '.join(known)}"
            return f"{self.prog} does not take {name!r}; {hint}"
        if key:
            known = [action.dest for action in self.parser._actions]
            hint = near(key[1], known) or f"there are: {', '.join(known)}"
            return f"the config file has a key {key[1]!r} that is none; {hint}"
        if typed:
            return f"{typed[1]} {_first_line(typed[2])}"
        if given:
            names = [name for name in given[1].split("/") if not name.startswith("--recipe.")]
            return f"{'/'.join(names)} {_first_line(given[2])}"
        return _first_line(message)


def given_of(options: type | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a dataclass that were given."""
    names = [] if options is None else [item.name for item in fields(options)]
    return {name: given[name] for name in names if given[name] is not None}


def train_parser(definition: Definition) -> OptionsParser:
    """Returns the parser of `rondo train TASK`."""
    prog = f"rondo train {definition.name}"
    summary = definition.summary
    parser = OptionsParser(prog, f"{summary[0].upper()}{summary[1:]}.")
    parser.add_config()
    parser.add_fields(definition.options)
    parser.add("--recipe.name", type=word, metavar="NAME",
        help=f"how to train: {', '.join(definition.recipes)}; also --recipe NAME (default: "
        f"{'what the data ask for' if len(definition.recipes) > 1 else 'default'})")  # fmt: skip
    parser.add_fields(
        Recipe,
        prefix="recipe.",
        left_out=(*definition.unused, *WITHIN, *_absent(definition)),
        defaults={item.name: _of_recipes(definition, item.name) for item in fields(Recipe)},
    )
    for name in WITHIN:
        if name not in definition.unused:
            parser.add(f"--recipe.{name}", type=_any, metavar="VALUE",
                help=f"{arguments_of(Recipe)[name].rstrip('.').lower()} (default: the "
                "recipe's)")  # fmt: skip
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
    add("--log", type=word, metavar="NAMES",
        help="where the figures go beside metrics.jsonl: tensorboard, mlflow, wandb, trackio, csv; "
        "several with commas between, or none (default: none)")  # fmt: skip
    add("--report", type=truth, nargs="?", const=True, metavar="true|false",
        help="write a report page and a model card at the end (default: true)")  # fmt: skip
    add("--find-learning-rate", action="store_true",
        help="try learning rates on the first steps, tell which is good, and end (default: "
        "train)")  # fmt: skip
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
    """What a field is in the recipes, for example "drawn 4000, files 58720"."""
    found = {kind: _told(getattr(recipe, name)) for kind, recipe in definition.recipes.items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{kind} {value}" for kind, value in found.items())


def _default(item: Field[Any]) -> str:
    return "must be given" if item.default is MISSING else _told(item.default)


def _told(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _any(value: Any) -> Any:
    return value


def _threads(value: Any) -> int:
    try:
        return num_threads(str(value))
    except argparse.ArgumentTypeError as error:
        raise RefusedError(str(error)) from None


def _check_config_file(arguments: Sequence[str]) -> None:
    """Raises `UsageError` where a config file cannot be read."""
    for place, item in enumerate(arguments):
        name, sign, value = item.partition("=")
        if name == "--config" and not sign and place + 1 < len(arguments):
            value = arguments[place + 1]
        if name == "--config" and value and not Path(value).is_file():
            raise UsageError(f"there is no config file {value}")


def _first_line(text: str) -> str:
    return " ".join(text.split())
