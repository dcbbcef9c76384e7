"""What the user asked for becomes the settings of a run and the task with its data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from rondo.cells.named import NAMED_CELLS, named_cell
from rondo.errors import RunError, check_from_0, look_up, num_threads_of, suggestion
from rondo.training.config import RunConfig
from rondo.training.definition import DRAWN, Definition
from rondo.training.device import check_device, device_of
from rondo.training.engine import check_fits
from rondo.training.precision import resolved_precision
from rondo.training.recipe import SOME_HAVE, Recipe
from rondo.training.recipe_changes import changed_recipe
from rondo.training.start import Start, find_start
from rondo.training.task import Task


@dataclass(frozen=True)
class Request:
    """What the user asked for; what is not named is as the task or the machine says.

    Args:
        options: The task's own options, by name.
        recipe_name: One of the task's recipes.
        recipe: Fields of the recipe with other values.
        set: More of them as texts, such as "recipe.weight_decay=1e-4".
        start_from: A run folder, a file of weights or a name on the hub to start from.
        seed: The seed of all that is random.
        threads: The number of threads.
        device: Where to train: "auto", "cpu" or "gpu"; see `rondo.training.device`.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    recipe_name: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    set: Sequence[str] = ()
    start_from: str | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "auto"


def make_config(
    definition: Definition, request: Request, say: Callable[[str], None] = lambda text: None
) -> tuple[RunConfig, Task, Start | None]:
    """Returns the settings that a request means, the task with its data, and the weights to start.

    Raises:
        RunError: If an option or the data cannot be used.
    """
    start = None if request.start_from is None else find_start(request.start_from, definition)
    inherited = {} if start is None else start.options(definition.inherited)
    options = definition.options_from({**inherited, **request.options})
    check_before_reading(definition, request)
    tell_reading(options, say)
    task = definition.make_task(options)
    options = replace(options, **task.settled)
    recipe = make_recipe(definition, task, request, start)
    config = RunConfig(
        task=definition.name,
        options=options,
        recipe_name=request.recipe_name or task.recipe_name,
        recipe=recipe,
        data_fingerprint=fingerprint(task, options),
        start_from=None if start is None else start.source,
        seed=request.seed,
        num_threads=num_threads_of(request.threads),
        device=request.device,
    )
    config.check()
    check_recipe(task, recipe, device_of(task, request.device))
    return config, task, start


def make_recipe(
    definition: Definition, task: Task, request: Request, start: Start | None = None
) -> Recipe:
    """Returns the recipe that a request means for a task.

    Raises:
        RunError: If there is no such recipe or cell, or epochs are asked for where there are none.
    """
    recipe = task.recipe
    if request.recipe_name is not None:
        recipe = look_up("recipe", request.recipe_name, definition.recipes)
        recipe = recipe if task.adapt is None else task.adapt(recipe)
    if start is not None:
        recipe = start.shaped(recipe)
    changes = changes_of(request)
    absent = [name for name in SOME_HAVE if getattr(task.recipe, name) is None]
    unused = (*task.unused, *absent)
    for name in changes:
        if name in unused:
            raise RunError(f"this task does not use recipe.{name}; leave it out")
    num_train = task.source.num_train()
    if num_train is not None and recipe.num_epochs is None and checks_by_default(recipe):
        changes.setdefault("check_every", num_train)
    if "num_sequences" in changes:
        changes.setdefault("num_epochs", None)
    recipe = changed_recipe(replace(recipe, **changes), request.set, unused)
    if num_train is None and recipe.num_epochs is not None:
        raise RunError(
            f"{task.name} draws a new sequence every time and has no epochs; give --sequences"
        )
    device = device_of(task, request.device)
    return replace(recipe, precision=resolved_precision(recipe.precision, device))


def checks_by_default(recipe: Recipe) -> bool:
    """Whether a recipe leaves open how often to check; then there is a check after each epoch."""
    return recipe.check_every == Recipe.check_every


def changes_of(request: Request) -> dict[str, Any]:
    """Returns the fields of the recipe that a request gives other values.

    Raises:
        RunError: If there is no such cell.
    """
    changes = {name: value for name, value in request.recipe.items() if value is not None}
    if "cell" in changes:
        changes["cell"] = cell_name(changes["cell"])
    return changes


def check_before_reading(definition: Definition, request: Request) -> None:
    """Raises `RunError` where a request cannot be used whatever the data, which may be many."""
    check_from_0(seed=request.seed)
    num_threads_of(request.threads)
    check_device(request.device)
    recipes, changes = definition.recipes, changes_of(request)
    if request.recipe_name is not None:
        recipes = {request.recipe_name: look_up("recipe", request.recipe_name, recipes)}
    refused = []
    for recipe in recipes.values():
        try:
            changed_recipe(replace(recipe, **changes), request.set, definition.unused).check()
        except RunError as error:
            refused.append(error)
    if len(refused) == len(recipes):
        raise refused[0]


def check_recipe(task: Task, recipe: Recipe, device: torch.device) -> None:
    """Raises `RunError` where a recipe does not go with the data of a task, or with a device."""
    check_fits(task, recipe, device)
    try:
        if task.check is not None:
            task.check(recipe)
    except ValueError as error:
        raise RunError(str(error)) from error


def cell_name(word: str) -> str:
    """Returns the name of the cell that a word means.

    Raises:
        RunError: If there is none.
    """
    try:
        return named_cell(word)
    except KeyError:
        raise RunError(
            f"there is no cell {word!r}; {suggestion(word.lower(), NAMED_CELLS)}"
        ) from None


def fingerprint(task: Task, options: Any) -> str | None:
    """Returns 16 hexadecimal digits that change when the data do; None where there are none."""
    if task.digest is not None:
        return task.digest
    data = getattr(options, "data", DRAWN)
    if data == DRAWN:
        return None
    path = Path(data)
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def tell_reading(options: Any, say: Callable[[str], None]) -> None:
    """Tells that data are read or drawn, which may take long."""
    data = getattr(options, "data", None)
    if data is not None:
        say("drawing the data ..." if data == DRAWN else f"reading {data} ...")


def data_words(options: Any) -> str:
    """Returns where the data lie, for messages."""
    data = getattr(options, "data", DRAWN)
    return "that are drawn here" if data == DRAWN else str(data)
