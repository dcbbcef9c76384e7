"""Runs that tests begin in Python, from options as a user names them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from rondo.tasks.registry import definition_of
from rondo.training.fit import Outcome, fit
from rondo.training.recipe import Recipe
from rondo.training.request import Request
from rondo.training.run_folder import RunFolder
from rondo.training.session import Session, begin, resume

SHORT = {"epochs": "num_epochs", "sequences": "num_sequences"}
"""The short names of fields of a recipe."""


def say(_text: str) -> None:
    """Says nothing."""


def request_of(task: str, **given: Any) -> Request:
    """What a user asks for who names options of the task, of the recipe and of every run."""
    own = {item.name for item in fields(definition_of(task).options)}
    of_recipe = {item.name for item in fields(Recipe)}
    named = {SHORT.get(name, name): value for name, value in given.items()}
    return Request(
        options={name: value for name, value in named.items() if name in own},
        recipe={name: value for name, value in named.items() if name in of_recipe - own},
        **{name: value for name, value in named.items() if name not in own | of_recipe},
    )


def begun(task: str, path: Path, **given: Any) -> Session:
    """A run that has begun; one thread, if nothing else is asked for."""
    return begin(definition_of(task), request_of(task, **{"threads": 1, **given}), path, say)


def resumed(task: str, path: Path) -> Session:
    """A run that goes on."""
    return resume(definition_of(task), path, None, say)


def trained(task: str, path: Path, **given: Any) -> Outcome:
    """A run that was trained to its end, or to a signal."""
    return fit(begun(task, path, **given), say=say)


def folder_of(task: str, path: Path) -> RunFolder:
    """The folder of a run."""
    return RunFolder(path, definition_of(task))
