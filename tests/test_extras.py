"""How to install what is missing: every hint comes from one file, and works where it is read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rondo import extras
from rondo.extras import EXTRAS, PACKAGES, TORCH, how_to_install, pip_install

ROOT = Path(__file__).parents[1]

with (ROOT / "pyproject.toml").open("rb") as file:
    PROJECT = tomllib.load(file)["project"]


@pytest.fixture
def no_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rondo as it is where a wheel of this clone was installed."""
    monkeypatch.setattr(extras, "_clone", lambda: None)


def test_the_extras_are_those_of_the_clone() -> None:
    assert set(EXTRAS) == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_their_packages_are_those_of_the_clone() -> None:
    assert f"torch>={TORCH}" in PROJECT["dependencies"]

    def packages_of(extra: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in PROJECT["optional-dependencies"][extra]:
            name, _, version = line.partition(";")[0].partition(">=")
            inner = name.partition("[")[2].rstrip("]")
            found |= packages_of(inner) if inner else {name: version}
        return found

    assert {extra: packages_of(extra) for extra in PACKAGES} == PACKAGES


def test_hints_are_written_in_one_file_alone() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "rondo-rnn[" not in text, f"{path}: the package is on no index"
        assert path.name == "extras.py" or "pip install" not in text, path


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_clone_is_installed_with_the_extra(extra: str) -> None:
    beginning, _, words = how_to_install(extra).partition("pip install ")
    assert beginning.startswith("do, in the folder of your clone of Rondo: ")
    assert words == f'-e ".[{extra}]"'


@pytest.mark.usefixtures("no_clone")
def test_elsewhere_the_packages_are_named() -> None:
    beginning, _, words = how_to_install("actions").partition("pip install ")
    assert beginning.startswith('do, for the extra "actions": ')
    assert words == '"av>=18.1" "jsonargparse>=4.50" "pillow>=11.3" "safetensors>=0.5"'


def test_the_pip_is_that_of_the_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setattr(shutil, "which", lambda _: str(folder / "pip"))
    assert pip_install("jax") == "pip install jax"
    monkeypatch.setattr(shutil, "which", lambda _: str(tmp_path / "pip"))
    monkeypatch.setattr(extras, "_clone", lambda: folder.parents[1])
    python = Path(sys.executable).relative_to(folder.parents[1])
    assert pip_install("jax") == f"{python} -m pip install jax"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my tools" / "python"))
    assert pip_install("jax>=1") == f'"{tmp_path}/my tools/python" -m pip install "jax>=1"'


def test_the_command_of_a_hint_is_one_that_pip_takes() -> None:
    """Dry, and of what is there already: the shell and pip read it as it is meant."""
    _, _, command = how_to_install("plot").partition("Rondo: ")
    python, _, words = command.partition(" -m pip ")
    shown = f'{python} -c "import sys; print(sys.argv[1:])" {words}'
    done = subprocess.run(shown, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['install', '-e', '.[plot]']\n"


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_pages_name_extras_that_there_are(page: Path) -> None:
    for names in re.findall(r'\.\[([\w,]+)\]"', page.read_text(encoding="utf-8")):
        assert set(names.split(",")) <= {*EXTRAS, "dev"}


def test_the_page_on_installing_has_a_row_for_each_extra() -> None:
    text = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert sorted(rows) == sorted([*EXTRAS, "dev"])


@pytest.mark.parametrize("command", ["demo", "test", "packages", "clean"])
def test_the_page_on_installing_names_commands_of_the_makefile(command: str) -> None:
    assert f"`make {command}`" in (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    assert re.search(f"^{command}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_a_demo_installs_neither_triton_nor_the_tools_of_the_tests() -> None:
    """What `make demo` asks for, by the extra that the Makefile names."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    demo, _ = re.findall(r'--editable "\.\[(\w+)\]"', makefile)
    names = {re.match(r"[\w-]+", line)[0] for line in PROJECT["optional-dependencies"][demo]}
    assert names == {"jsonargparse", "matplotlib", "pillow", "safetensors"}
