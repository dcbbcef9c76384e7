"""What a sweep is to do: its task, what is fixed, what is swept over, how, and how often.

In goes what the user asked for, out come the trials, numbered, each with its settings and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from typing import Any

from rondo.data.augmentation import Augmentation
from rondo.errors import RunError, check_from_0, check_from_1, look_up
from rondo.sweep.space import Axis, Choices, Range, Settings, axes_of, drawn, grid
from rondo.training.recipe import Recipe
from rondo.training.recipe_changes import PREFIX, changed_recipe

METHODS = ("grid", "random", "halving")
"""All combinations; draws; draws that are compared after a part of the budget, the best go on."""

NUM_TRIALS = 16
"""How many draws are made if nothing is said."""

FACTOR = 3
"""Successive halving keeps one setting of so many, and trains it so many times as long."""

BUDGETS = ("num-epochs", "num-sequences", "epochs", "sequences")
"""What halving deals out itself."""

OWN = ("run", "resume", "seed", "threads", "find-learning-rate")
"""Options of `rondo train` that are not for a trial, or that a sweep gives to each itself."""

Check = Callable[[Sequence[str]], None]
"""Raises where `rondo train TASK` does not take some words."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Args:
        task: The task.
        words: The words of `rondo train TASK` that all trials share.
        over: What is swept over, as `--over` takes it.
        method: One of `METHODS`.
        num_trials: How many draws are made; None for a grid.
        num_seeds: Trials of each setting, with seeds one after another.
        seed: Seed of the draws, and the first seed of the trials.
        num_threads: Threads of a trial.
    """

    task: str
    words: tuple[str, ...]
    over: tuple[str, ...]
    method: str
    num_trials: int | None
    num_seeds: int
    seed: int
    num_threads: int

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What is swept over."""
        return axes_of(self.over)

    @property
    def shares(self) -> tuple[Fraction, ...]:
        """The share of the budget after which settings are compared, for each rung."""
        if self.method != "halving":
            return (Fraction(1),)
        num_rungs, left = 1, self.num_trials or 1
        while left >= FACTOR:
            num_rungs, left = num_rungs + 1, left // FACTOR
        return tuple(Fraction(1, FACTOR**power) for power in reversed(range(num_rungs)))


def make_plan(
    task: str,
    words: Sequence[str],
    over: Sequence[str],
    *,
    method: str | None,
    num_trials: int | None,
    num_seeds: int,
    seed: int,
    num_threads: int,
) -> Plan:
    """Returns a plan from what the user asked for; without a method a grid, or draws from ranges.

    Raises:
        RunError: If these do not go together.
    """
    axes = axes_of(over)
    has_ranges = any(isinstance(axis, Range) for axis in axes)
    method = method or ("random" if has_ranges or num_trials is not None else "grid")
    look_up("method", method, dict.fromkeys(METHODS))
    if not axes:
        raise RunError("nothing is swept over; give --over NAME=VALUES")
    if method == "grid" and num_trials is not None:
        raise RunError("a grid tries all combinations; leave out --trials, or give --method random")
    _refuse_own([*words, *(f"--{_option(axis)}" for axis in axes)])
    if method == "halving":
        _refuse_budgets(axes)
    if method != "grid" and num_trials is None:
        num_trials = NUM_TRIALS
    check_from_1(number_of_trials=num_trials or 1, number_of_seeds=num_seeds)
    check_from_0(seed=seed)
    return Plan(task, tuple(words), tuple(over), method, num_trials, num_seeds, seed, num_threads)


def _option(axis: Axis) -> str:
    """The option of a name, whose words may be joined in two ways."""
    return axis.name.removeprefix(PREFIX).replace("_", "-")


def _refuse_own(words: Sequence[str]) -> None:
    for word in words:
        option = word.partition("=")[0]
        if option.removeprefix("--") in OWN and word.startswith("--"):
            raise RunError(
                f"{option} is not for the trials of a sweep; the sweep gives seeds, threads and "
                "run folders itself: see `rondo sweep --help`"
            )


def _refuse_budgets(axes: Sequence[Axis]) -> None:
    for axis in axes:
        if _option(axis) in BUDGETS:
            raise RunError(
                f"halving deals out the budget itself, so {axis.name} cannot be swept over; give "
                f"the whole budget as an option, or another --method"
            )


def settings_of(plan: Plan, axes: Sequence[Axis]) -> list[Settings]:
    """Returns the settings to try, in the order of their trials.

    Raises:
        RunError: If a grid holds a range.
    """
    if plan.method == "grid":
        return grid(axes)
    return drawn(axes, plan.num_trials or NUM_TRIALS, plan.seed)


# ---- names and values ----


def checked_axes(plan: Plan, check: Check, unused: Collection[str]) -> tuple[Axis, ...]:
    """Returns what is swept over, once each name and value is one that training takes.

    Ends of a range that are written as whole numbers make a range of whole numbers, unless what is
    named takes others.

    Args:
        plan: The plan.
        check: Raises where `rondo train TASK` does not take some words.
        unused: The fields of a recipe that the task does not look at.

    Raises:
        RunError: If there is no such field of a recipe, or it takes no such value.
    """

    def check_value(name: str, value: str) -> None:
        check([*plan.words, *words_of({name: value})])
        if name.startswith(PREFIX):
            changed_recipe(_CHANGED, [f"{name}={value}"], unused).check()

    check(plan.words)
    changed_recipe(_CHANGED, assignments(plan.words), unused).check()
    return tuple(_checked(axis, check_value) for axis in plan.axes)


def _checked(axis: Axis, check_value: Callable[[str, str], None]) -> Axis:
    for value in axis.values if isinstance(axis, Choices) else axis.ends:
        check_value(axis.name, value)
    if isinstance(axis, Range) and axis.is_whole and _takes_parts(axis, check_value):
        return replace(axis, is_whole=False)
    return axis


def _takes_parts(axis: Range, check_value: Callable[[str, str], None]) -> bool:
    """Whether a number of a range need not be whole."""
    try:
        check_value(axis.name, f"{axis.low + 0.5:g}")
    except RunError:
        return False
    return True


_CHANGED = replace(Recipe(), augmentation=Augmentation())
"""A recipe all of whose fields can be changed."""


def assignments(words: Sequence[str]) -> list[str]:
    """Returns what `--set` is given in some words."""
    after = [words[place + 1] for place, word in enumerate(words[:-1]) if word == "--set"]
    return [*after, *(word[len("--set=") :] for word in words if word.startswith("--set="))]


def words_of(settings: Mapping[str, str]) -> list[str]:
    """Returns settings as words of `rondo train`: fields of a recipe by `--set`.

    Example:
        >>> from rondo.sweep.plan import words_of
        >>> words_of({"recipe.dropout": "0.2", "image_size": "64"})
        ['--set', 'recipe.dropout=0.2', '--image-size=64']
    """
    words: list[str] = []
    for name, value in settings.items():
        if name.startswith(PREFIX):
            words += ["--set", f"{name}={value}"]
        else:
            words.append(f"--{name.replace('_', '-')}={value}")
    return words


# ---- kept in a file ----


def plan_from(values: Mapping[str, Any]) -> Plan:
    """Returns the plan of values that were read from JSON.

    Raises:
        TypeError: If something is missing or too much.
    """
    known = {field.name for field in fields(Plan)}
    if set(values) != known:
        raise TypeError(f"its plan must have {', '.join(sorted(known))}")
    return Plan(**{**values, "words": tuple(values["words"]), "over": tuple(values["over"])})


def check_same(begun: Plan, given: Mapping[str, Any]) -> None:
    """Raises `RunError` where something is given that a sweep was begun without.

    Args:
        begun: The plan of the sweep.
        given: What is given now, by the names of the plan.
    """
    for name, value in given.items():
        before = asdict(begun)[name]
        if value != before:
            raise RunError(
                f"the sweep was begun with {SPELLED[name]} {_spelled(before)}, and asked for is "
                f"{_spelled(value)}; leave it out to go on, or begin another sweep"
            )


SPELLED = {
    "task": "the task",
    "words": "the options",
    "over": "--over",
    "method": "--method",
    "num_trials": "--trials",
    "num_seeds": "--seeds",
    "seed": "--seed",
    "num_threads": "--threads",
}
"""What an error calls the parts of a plan."""


def _spelled(value: Any) -> str:
    return " ".join(value) if isinstance(value, (tuple, list)) else str(value)
