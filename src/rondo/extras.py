"""What the core of Rondo does without: the extras, their packages, how to install them.

In goes the name of an extra of `pyproject.toml`, out comes a command that works as it stands. The
package is on no index, so its name alone would not do: from a clone the command installs the clone
with the extra, elsewhere it names the packages themselves. It calls the pip of the Python that
runs, which need not be the one on the path.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

_TASKS = {"jsonargparse": "4.50", "pillow": "11.3", "safetensors": "0.5"}
_PHOTO = {**_TASKS, "matplotlib": "3.10"}

TORCH = "2.13"
"""The oldest torch that will do."""

PACKAGES: dict[str, dict[str, str]] = {
    "photo": _PHOTO,
    "tasks": _TASKS,
    "actions": {**_TASKS, "av": "18.1"},
    "captions": {**_TASKS, "sacrebleu": "2.5"},
    "matlab": {"scipy": "1.14"},
    "parquet": {"pyarrow": "18.0"},
    "tensorboard": {"tensorboard": "2.19"},
    "mlflow": {"alembic": "1.13", "mlflow-skinny": "3.10", "sqlalchemy": "2.0"},
    "wandb": {"wandb": "0.22"},
    "trackio": {"trackio": "0.20"},
    "plot": {"matplotlib": "3.10"},
    "scale": {"lightning-fabric": "2.5"},
    "compiler": {"ziglang": "0.13"},
    "gpu": {"triton": "3.6"},
    "hub": {"huggingface-hub": "0.30"},
    "web": {**_PHOTO, "anyio": "4.8", "starlette": "1.0", "uvicorn": "0.35"},
}
"""The extras of `pyproject.toml`, but for the one of developers: packages, and the oldest version
of each that will do."""

EXTRAS = tuple(PACKAGES)


def how_to_install(extra: str) -> str:
    r"""Returns what to do where a package of an extra is missing, for the end of a message.

    Example:
        >>> from rondo.extras import how_to_install
        >>> print(how_to_install("photo"))  # doctest: +ELLIPSIS
        do, in the folder of your clone of Rondo: ...pip install -e ".[photo]"
    """
    assert extra in PACKAGES, extra
    if _clone() is None:
        packages = (f"{name}>={oldest}" for name, oldest in sorted(PACKAGES[extra].items()))
        return f'do, for the extra "{extra}": {pip_install(*packages)}'
    return f"do, in the folder of your clone of Rondo: {pip_install('-e', f'.[{extra}]')}"


def pip_install(*words: str) -> str:
    """Returns the command by which the Python that runs installs something.

    Args:
        *words: What stands after `pip install`; all but options are quoted where they need it.
    """
    return " ".join((_pip(), "install", *map(_quoted, words)))


def _pip() -> str:
    """The pip of this Python: by its short name where the path leads to it."""
    python, found = Path(sys.executable), shutil.which("pip")
    if found is not None and Path(found).parent == python.parent:
        return "pip"
    clone = _clone()
    if clone is not None and python.is_relative_to(clone):
        python = python.relative_to(clone)
    return f"{_quoted(str(python))} -m pip"


def _quoted(word: str) -> str:
    """A word as the shells of Linux, macOS and Windows all read it."""
    return f'"{word}"' if set(word) & set(" []<>=;") else word


def _clone() -> Path | None:
    """The folder of the clone that this file lies in; None where Rondo was installed from it."""
    folder = Path(__file__).absolute().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else None


def is_at_least(version: str, oldest: str) -> bool:
    """Whether a version is not older than another one.

    Example:
        >>> from rondo.extras import is_at_least
        >>> is_at_least("2.13.0+cpu", "2.13"), is_at_least("2.9.1", "2.13")
        (True, False)
    """
    return _numbers(version) >= _numbers(oldest)


def _numbers(version: str) -> list[int]:
    """The numbers of a release: of "2.13.0rc1+cpu" 2, 13 and 0."""
    release = re.match(r"[\d.]*", version)
    return [int(number) for number in re.findall(r"\d+", release[0] if release else "")]
