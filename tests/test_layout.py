"""The order of the stages, and what importing rondo brings with it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import STUCK_S

SOURCE = Path(__file__).parents[1] / "src" / "rondo"
STAGES = [
    *("system", "extras", "moved", "drawing", "cells", "compiler", "layers", "doctor", "bench"),
    *("errors", "models", "data", "looks", "measures", "training", "report", "tasks", "sweep"),
    *("api", "web", "cli"),
]
"""Looks stand before training, whose names lead to the gradient flow."""


def stage_of(parts: list[str]) -> str | None:
    """The stage of a module `rondo.<stage>...`; None for the package itself."""
    return parts[1] if len(parts) > 1 and parts[0] == "rondo" else None


def imported(path: Path) -> set[str]:
    """The stages that a file imports from, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {stage for name in names if (stage := stage_of(name.split(".")))}
    return found


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_stages_before_its_own(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    allowed = STAGES[: STAGES.index(own) + 1]
    later = {name for name in imported(path) if name in STAGES and name not in allowed}
    assert not later, f"{own} comes before {sorted(later)}"


def test_nothing_outside_tasks_names_a_task() -> None:
    """Neither an import nor a string leads to the folder of a task; the registry finds them."""
    folders = {path.parent.name for path in (SOURCE / "tasks").glob("*/__init__.py")}
    named = re.compile(rf"rondo\.tasks(?:\.| import )(?:{'|'.join(sorted(folders))})\b")
    found = {
        path.relative_to(SOURCE).as_posix() for path in FILES if named.search(path.read_text())
    }
    outside = {name for name in found if not name.startswith("tasks/")}
    assert not outside, "state it in the definition of the task"


def test_importing_rondo_brings_no_heavy_library_and_changes_no_default() -> None:
    code = (
        "import torch; before = (torch.get_default_dtype(), torch.get_num_threads(),"
        " torch.get_rng_state().sum().item())\n"
        "import sys; import rondo; rondo.GRU\n"
        "after = (torch.get_default_dtype(), torch.get_num_threads(),"
        " torch.get_rng_state().sum().item())\n"
        "assert before == after, (before, after)\n"
        "heavy = {'lightning', 'PIL', 'matplotlib', 'scipy', 'safetensors', 'tensorboard',"
        " 'torch._dynamo', 'sympy', 'rondo.bench', 'rondo.web', 'starlette', 'uvicorn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'rondo.tasks' not in sys.modules and 'rondo.training' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=STUCK_S)


def test_the_tools_of_the_training_problem_need_torch_alone() -> None:
    code = (
        "import sys\n"
        "heavy = ('lightning', 'PIL', 'matplotlib', 'scipy', 'safetensors', 'numpy')\n"
        "sys.modules.update(dict.fromkeys(heavy))\n"
        "import rondo, torch\n"
        "from rondo.training import Objective, gradient_flow, pad_batch, tbptt\n"
        "print(gradient_flow(rondo.Recurrent(rondo.GRUCell(3, 4)), torch.zeros(1, 5, 3)))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=STUCK_S)
