"""Every example in a docstring, in the README and in the docs runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rondo

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(rondo.__path__, "rondo.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_of_a_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(compile(example, str(page), "exec"), names)


def test_the_readme_shows_the_report_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    exec(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0], {})
    (shown,) = re.findall(r"```\n(MyCell\n.*?)```", text, flags=re.DOTALL)
    assert capsys.readouterr().out == shown


def test_the_gallery_shows_the_plan_that_is_printed() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text()
    (example,) = re.findall(
        r"```python\n(import torch, rondo\n\nclass.*?)```", text, flags=re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(example, names)
    printed = [" ".join(line.split()) for line in str(names["layer"].backward_plan).splitlines()]
    (shown,) = re.findall(r"```\n(after .*?)```", text, flags=re.DOTALL)
    for line in shown.splitlines():
        assert " ".join(line.split()) in printed


def test_the_picture_of_the_readme_is_of_its_cell_and_of_the_results(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "readme_picture.py"), "--output"]
    subprocess.run([*command, str(tmp_path)], check=True, cwd=tmp_path)
    for name in ("overview.svg", "overview_dark.svg"):
        drawn, kept = ((folder / name).read_text() for folder in (tmp_path, IMAGES))
        assert drawn == kept, "run python benchmarks/readme_picture.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
