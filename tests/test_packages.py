"""What is built for others to install: a wheel and a source distribution, each tried on its own.

`make packages` runs these tests. They install torch once, in an environment beside which nothing
of the clone lies, and install and remove each package there in turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rondo.extras import EXTRAS
from rondo.tasks.registry import definition_of, task_names

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CONSTRAINTS = str(ROOT / "constraints.txt")
DISTRIBUTION = "rondo-rnn"
STUCK_S = 900

OWN_CELL = """
import torch
import rondo

class MyCell(torch.nn.Module):
    input_size, state_size = 5, 7

    def __init__(self):
        super().__init__()
        self.U, self.W = torch.nn.Linear(5, 7), torch.nn.Linear(7, 7, bias=False)

    def forward(self, x, h):
        h = torch.tanh(self.U(x) + self.W(h))
        return h, h

cell, x = MyCell(), torch.randn(3, 6, 5)
layer = rondo.Recurrent(cell, engine="cpu")
y, h = layer(x)
y.sum().backward()
expected = torch.zeros(3, 7)
for step in range(6):
    expected, _ = cell(x[:, step], expected)
assert torch.allclose(y[:, -1], expected, atol=1e-6)
assert cell.W.weight.grad.abs().sum() > 0
assert "tanh" in layer.source
print(rondo.__file__)
"""

NEEDS_DATA = {"music", "characters", "digits-by-row"}
LACKING = {
    "web": "web",
    **{
        f"train {name}" + (" --data absent" if name in NEEDS_DATA else ""): definition_of(
            name
        ).extra
        for name in task_names()
    },
}
"""The commands that the core alone cannot do, and the extra that each lacks."""


class Environment:
    """A virtual environment, the folder to work in, and what is run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        self.scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs one of its programs; what else this process's Python sees is not passed on."""
        hidden = {"PYTHONPATH", "PYTHONWARNINGS", "VIRTUAL_ENV"}
        return subprocess.run(
            [str(self.scripts / program), *words],
            cwd=self.folder,
            env={key: value for key, value in os.environ.items() if key not in hidden},
            capture_output=True,
            text=True,
            timeout=STUCK_S,
        )

    def pip(self, *words: str) -> None:
        """Has pip do something, which must go well."""
        done = self.run("python", "-m", "pip", "--disable-pip-version-check", *words)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel, the source distribution, and the folder of the clone, which pip takes too."""
    out, builder = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("builder")
    environment = Environment(builder)
    environment.pip("install", "--quiet", "hatchling>=1.26")
    done = subprocess.run(
        [str(environment.scripts / "hatchling"), "build", "-d", str(out)], cwd=ROOT, check=False
    )
    assert done.returncode == 0
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "source": source, "folder": ROOT}


@pytest.fixture(scope="module")
def with_torch(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with torch and what Rondo's core needs beside it."""
    environment = Environment(tmp_path_factory.mktemp("clean"))
    index = os.environ.get("TORCH_INDEX")
    more = ["--extra-index-url", index, "--retries", "1", "--timeout", "15"] if index else []
    quick = ("install", "--quiet", "--no-compile", "--constraint", CONSTRAINTS)
    environment.pip(*quick, "--no-deps", *more, "torch")
    environment.pip(*quick, "torch", "numpy")
    return environment


@pytest.fixture(scope="module", params=["wheel", "source", "folder"])
def installed(
    request: pytest.FixtureRequest, packages: dict[str, Path], with_torch: Environment
) -> Iterator[Environment]:
    """The environment with one of the packages; it adds nothing but Rondo."""
    before = with_torch.run("python", "-m", "pip", "list", "--format=freeze").stdout
    with_torch.pip("install", "--quiet", str(packages[request.param]))
    after = with_torch.run("python", "-m", "pip", "list", "--format=freeze").stdout
    added = set(after.splitlines()) - set(before.splitlines())
    assert [line.partition("==")[0].partition(" ")[0] for line in added] == [DISTRIBUTION]
    yield with_torch
    with_torch.pip("uninstall", "--quiet", "--yes", DISTRIBUTION)


def test_the_packages_hold_all_that_runs(packages: dict[str, Path]) -> None:
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "rondo").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(packages["wheel"]) as wheel:
        assert sources <= set(wheel.namelist())
    with tarfile.open(packages["source"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in sources} <= names


def test_a_cell_of_ones_own_is_compiled_and_nothing_warns(installed: Environment) -> None:
    (installed.folder / "own_cell.py").write_text(OWN_CELL, encoding="utf-8")
    done = installed.run("python", "-W", "error", "own_cell.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "site-packages" in done.stdout


def test_the_command_runs(installed: Environment) -> None:
    for words in ("--help", "--version", "show lstm", "cache", "train --help", "runs ."):
        done = installed.run("rondo", *words.split())
        assert done.returncode == 0, words
        assert bool(done.stdout) != bool(done.stderr), words


@pytest.mark.parametrize("installed", ["wheel"], indirect=True)
@pytest.mark.parametrize("words", LACKING)
def test_a_command_says_which_extra_it_lacks(installed: Environment, words: str) -> None:
    done = installed.run("rondo", *words.split())
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f'is not installed; do, for the extra "{LACKING[words]}": ' in line
    assert "-m pip install " in line


def test_what_a_command_says_to_do_helps(installed: Environment) -> None:
    assert "tasks" in EXTRAS
    words = ["train", "adding", "--sequences", "32", "--threads", "1"]
    _, _, command = installed.run("rondo", *words).stderr.partition('"tasks": ')
    subprocess.run(command.strip(), shell=True, check=True, capture_output=True)
    try:
        done = installed.run("rondo", *words)
        assert done.returncode == 0, done.stderr
    finally:
        installed.pip(
            "uninstall", "--quiet", "--yes", "jsonargparse", "PyYAML", "pillow", "safetensors"
        )
