"""How to install what the core of Rondo does without: the only file that says so.

In goes the name of an extra of `pyproject.toml`, out comes a command that works as it stands. The
package is on no index, so its name alone would not do: from a clone the command installs the
clone with the extra, elsewhere it names the packages themselves. It calls the pip of the Python
that runs, which need not be the one on the path.
"""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

EXTRAS = (
    *("photo", "tasks", "actions", "captions", "matlab", "hub", "web"),
    *("tensorboard", "plot", "compiler", "gpu"),
)
"""The extras of `pyproject.toml`, but for the one of developers."""

DISTRIBUTION = "rondo-rnn"


def how_to_install(extra: str) -> str:
    r"""Returns what to do where a package of an extra is missing, for the end of a message.

    Example:
        >>> from rondo.extras import how_to_install
        >>> print(how_to_install("photo"))  # doctest: +ELLIPSIS
        do, in the folder of your clone of Rondo: ...pip install -e ".[photo]"
    """
    assert extra in EXTRAS, extra
    packages = [] if _clone() else _packages(extra)
    if packages:
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


def _packages(extra: str) -> list[str]:
    """What an extra asks for, as pip takes it, without the extras of Rondo that it includes."""
    found: set[str] = set()
    for line in _requirements():
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        if f'extra == "{extra}"' not in condition.replace("'", '"'):
            continue
        if requirement.startswith(f"{DISTRIBUTION}["):
            inner = requirement.removeprefix(f"{DISTRIBUTION}[").rstrip("]").split(",")
            found.update(*(_packages(name) for name in inner))
        else:
            found.add(requirement)
    return sorted(found)


def _requirements() -> list[str]:
    """What Rondo was installed with, each as pip takes it; nothing where it was not installed."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
