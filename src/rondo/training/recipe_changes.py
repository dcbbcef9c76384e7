"""Fields of a recipe that are given another value by name, as `--set` of the command line does."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from rondo.data.augmentation import Augmentation
from rondo.errors import RunError, suggestion
from rondo.training.recipe import Recipe

Values = TypeVar("Values")

PREFIX = "recipe."

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    Augmentation: "changed field by field",
    type(None): "none",
    tuple[tuple[float, float], ...]: "pairs of numbers, such as ((0.5, 0.5), (0.5, 1))",
}
"""What a user is told of types."""


def changed_recipe(recipe: Recipe, assignments: Sequence[str], unused: Collection[str]) -> Recipe:
    """Returns a recipe with other values.

    Args:
        recipe: The recipe.
        assignments: Such as "recipe.weight_decay=1e-4"; the "recipe." may be left out.
        unused: The fields that the task does not look at.

    Raises:
        RunError: If there is no such field, the task does not use it, or the value is of another
            type; it names the nearest field.

    Example:
        >>> from rondo.training.recipe import Recipe
        >>> from rondo.training.recipe_changes import changed_recipe
        >>> changed_recipe(Recipe(), ["recipe.weight_decay=1e-4"], ()).weight_decay
        0.0001
    """
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        if not sign:
            raise RunError(
                f"--set takes NAME=VALUE, such as recipe.learning_rate=1e-3, but is {assignment!r}"
            )
        path = name.strip().removeprefix(PREFIX)
        if path.split(".")[0] in unused:
            raise RunError(f"this task does not use {PREFIX}{path}; leave it out")
        recipe = _changed(recipe, path, text.strip(), PREFIX)
    return recipe


def _changed(values: Values, path: str, text: str, before: str) -> Values:
    """Values of a dataclass with another one, which may lie in a dataclass within them."""
    assert is_dataclass(values)
    assert not isinstance(values, type)
    name, _, rest = path.partition(".")
    known = [field.name for field in fields(values)]
    if name not in known:
        raise RunError(f"there is no {before}{name}; {suggestion(name, known)}")
    now = getattr(values, name)
    if rest:
        if not is_dataclass(now):
            raise RunError(f"{before}{name} is {now!r} and has no {rest}")
        return replace(values, **{name: _changed(now, rest, text, f"{before}{name}.")})
    return replace(values, **{name: _value(f"{before}{name}", text, _types(values, name))})


def _types(values: Any, name: str) -> tuple[type, ...]:
    """The types that a field may have."""
    hint = get_type_hints(type(values))[name]
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def _value(name: str, text: str, types: tuple[type, ...]) -> Any:
    """What a text stands for, if it is of one of some types."""
    value = _literal(text)
    if float in types and type(value) is int:
        value = float(value)
    if any(_is_of(value, kind) for kind in types):
        return value
    words = " or ".join(WORDS.get(kind, str(kind)) for kind in types)
    raise RunError(f"{name} must be {words}, but is {text!r}")


def _literal(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; of a tuple, with all that is in it."""
    inner = get_args(kind)
    if not inner:
        return type(value) is kind or (kind is float and type(value) is int)
    if not isinstance(value, tuple):
        return False
    kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
    return len(value) == len(kinds) and all(map(_is_of, value, kinds))
