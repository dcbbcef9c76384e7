"""The options of a training as the text of a config file, to be kept and changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any

from rondo.training.definition import Definition
from rondo.training.recipe import SOME_HAVE, Recipe


def config_text(definition: Definition, given: Mapping[str, Any]) -> str:
    """Returns the options that were given, and in comments the others with their defaults.

    Args:
        definition: What the task states of itself.
        given: The options by name; those of the recipe in a mapping, and None where not given.
    """
    changes = given["recipe"]
    kind = changes["name"] or next(iter(definition.recipes))
    recipe = definition.recipes.get(kind, Recipe())
    lines = [f"# rondo train {definition.name} --config FILE; a comment holds the default"]
    for item in fields(definition.options):
        default = "PATH" if item.default is MISSING else item.default
        lines.append(_line(item.name, given[item.name], default))
    lines.append(_line("seed", given["seed"], 0))
    for name in ("threads", "device", "start_from", "log", "report", "run_path"):
        if given[name] is not None:
            lines.append(_line(name.replace("run_path", "run"), given[name], None))
    lines += ["", "[recipe]", _line("name", changes["name"], kind)]
    for item in fields(Recipe):
        value = getattr(recipe, item.name)
        if item.name in changes and not (item.name in SOME_HAVE and value is None):
            lines.append(_line(item.name, changes[item.name], value))
    return "\n".join(lines)


def _line(name: str, given: Any, default: Any) -> str:
    return f"# {name} = {_toml(default)}" if given is None else f"{name} = {_toml(given)}"


def _toml(value: Any) -> str:
    """A value as TOML writes it; it knows no null."""
    if value is None:
        return '"none"'
    if is_dataclass(value) and not isinstance(value, type):
        return _toml(asdict(value))
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(item)}' for name, item in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
