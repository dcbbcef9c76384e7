"""What a task states of itself, before any data are read: its words, options, recipes, and places.

A definition is a value that needs no torch, so that help is quick: what is heavy is named by its
place, "module:attribute", and imported when it is used. `rondo.tasks.registry` finds the
definitions of this package and those of others; docs/extending.md adds a task from outside.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rondo.errors import RunError
from rondo.training.recipe import OF_PHOTOS, Recipe

if TYPE_CHECKING:
    from rondo.training.task import Network, Task

DRAWN = "drawn"
"""The word that stands for the program's own drawings where the path of data is asked for."""


def path_field(default: Any = MISSING, *, may_be_a_name: bool = False) -> Any:
    """A field of options that is a path; it is kept as an absolute one.

    Args:
        default: What holds where it is not given.
        may_be_a_name: Whether what is no file may be a name on a hub.
    """
    return field(default=default, metadata={"is_path": True, "may_be_a_name": may_be_a_name})


@dataclass(frozen=True)
class Command:
    """What `rondo predict` or `rondo evaluate` does for a task.

    Args:
        place: The class or function, "module:attribute": see `rondo.training.answers`.
        options: A dataclass of the options that it takes beside those of all tasks, or None.
    """

    place: str
    options: type | None = None


@dataclass(frozen=True)
class Definition:
    """A task, as the command line and the library find it.

    Args:
        name: Its name on the command line.
        summary: What is learnt, as the end of "rondo train NAME: ...".
        options: A dataclass of its own options; the `Args` of its docstring are their help. A field
            `data` is where its data lie; where it may be "drawn" the program draws them.
        recipes: Ways to train, by name; the first is the usual one.
        task: The place of the function that takes the options by name and returns the `Task`.
            Where they are drawn, `data` is None.
        networks: The place of a mapping from names to `rondo.training.task.Network`.
        unused: The fields of a recipe that the task does not look at.
        predict: What `rondo predict` does with a run; None: it says that it cannot.
        evaluate: What `rondo evaluate` does; None: it measures loss and right answers.
        sample: What `rondo sample` does: a function of a run folder and the options that returns
            text; None: it says that it cannot.
        finish: The place of what ends a run: from the session and `say` to the lines to print;
            None: what its test gave, class by class where there are classes.
        sweep: The place of what writes more of a sweep: it is given the settings that were trained
            to the end, the best first, the run folders of each, and the folder to write to; None:
            nothing.
        inherited: Options that a run takes from the run it starts from: what stands beside the
            weights, by the name of the option.
        extra: The extra of `pyproject.toml` that it needs.
    """

    name: str
    summary: str
    options: type
    recipes: Mapping[str, Recipe]
    task: str
    networks: str = "rondo.tasks.networks:NETWORKS"
    unused: tuple[str, ...] = OF_PHOTOS
    predict: Command | None = None
    evaluate: Command | None = None
    sample: Command | None = None
    finish: str | None = None
    sweep: str | None = None
    inherited: Mapping[str, str] = field(default_factory=dict)
    extra: str = "tasks"

    @property
    def takes_data(self) -> bool:
        """Whether it can read files."""
        return any(item.name == "data" for item in fields(self.options))

    def options_from(self, values: Mapping[str, Any]) -> Any:
        """Returns the options of some values; a path becomes absolute.

        Raises:
            RunError: If there is no such option, or one is missing.
        """
        known = {item.name: item for item in fields(self.options)}
        for name in values:
            if name not in known:
                raise RunError(f"{self.name} has no option {name!r}")
        for name, item in known.items():
            is_needed = item.default is MISSING and item.default_factory is MISSING
            if is_needed and values.get(name) is None:
                raise RunError(f"{self.name} needs {name}: give --{name.replace('_', '-')} PATH")
        given = {name: value for name, value in values.items() if value is not None}
        for name, value in given.items():
            if known[name].metadata.get("is_path"):
                given[name] = _absolute(value, known[name].metadata["may_be_a_name"])
        return self.options(**given)

    def make_task(self, options: Any) -> Task:
        """Returns the task with its data.

        Raises:
            RunError: If an option or the data cannot be used.
        """
        values = asdict(options)
        if values.get("data") == DRAWN:
            values["data"] = None
        try:
            task: Task = at_place(self.task)(**values)
        except OSError as error:
            raise RunError(f"{error.filename or self.name}: {error.strerror}") from error
        except ValueError as error:
            raise RunError(str(error)) from error
        return task

    def network(self, name: str) -> Network:
        """Returns how a network of a name is made.

        Raises:
            RunError: If there is none of that name.
        """
        from rondo.errors import look_up

        networks: Mapping[str, Network] = at_place(self.networks)
        return look_up("network", name, networks)


def at_place(place: str) -> Any:
    """Returns what stands at a place, "module:attribute"."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _absolute(path: str, may_be_a_name: bool) -> str:
    """An absolute path; the word for drawings, or a name on a hub, stays as it is."""
    is_name = path == DRAWN or (may_be_a_name and not os.path.exists(path))
    return path if is_name else os.path.abspath(path)
