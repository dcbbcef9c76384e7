"""Modules that have moved are found at their former places."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from commands import STUCK_S
from rondo.moved import MOVED


@pytest.mark.parametrize("former", MOVED)
def test_a_former_place_leads_to_the_new_one(former: str) -> None:
    new = importlib.import_module(f"rondo.{MOVED[former]}")
    spec = new.__spec__
    sys.modules.pop(f"rondo.{former}", None)
    with pytest.warns(DeprecationWarning, match=f"rondo.{former} is rondo.{MOVED[former]} now"):
        found = importlib.import_module(f"rondo.{former}")
    assert found is new
    assert new.__spec__ is spec
    del sys.modules[f"rondo.{former}"]


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("rondo.tasks.never_there")


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("photo", "MODELS"),
        ("text", "text"),
        ("actions", "actions"),
        ("captions", "captions"),
        ("segmentation", "segmentation"),
    ],
)
def test_a_package_gives_what_the_module_of_its_name_gave(package: str, name: str) -> None:
    module = importlib.import_module(f"rondo.tasks.{package}")
    with pytest.warns(DeprecationWarning, match=f"rondo.tasks.{package}.task.{name} now"):
        found = getattr(module, name)
    assert found is getattr(importlib.import_module(f"rondo.tasks.{package}.task"), name)
    with pytest.raises(AttributeError, match="has no attribute 'never_there'"):
        module.never_there  # noqa: B018


def test_a_script_of_before_runs() -> None:
    code = (
        "from rondo.tasks.video import read_frames\n"
        "from rondo.training.calibration import temper\n"
        "from rondo.tasks.photo import RECIPES\n"
        "from rondo.tasks.photo import task\n"
        "print(read_frames.__module__, temper.__module__, task.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=STUCK_S, check=True
    )
    assert done.stdout.split() == [
        "rondo.data.video",
        "rondo.measures.calibration",
        "rondo.tasks.photo.task",
    ]
