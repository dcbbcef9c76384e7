"""How to install what the core of Rondo does without."""

from __future__ import annotations

EXTRAS = ("photo", "tasks", "actions", "captions", "hub", "web")
"""The extras of `pyproject.toml`, but for the one of developers."""


def how_to_install(extra: str) -> str:
    """Returns what to do where a package of an extra is missing, for the end of a message.

    The package is on no index, so its name alone would not do.

    Example:
        >>> from rondo.extras import how_to_install
        >>> print(how_to_install("photo"))
        do, in the folder of your clone of Rondo: pip install -e ".[photo]"
    """
    assert extra in EXTRAS, extra
    return f'do, in the folder of your clone of Rondo: pip install -e ".[{extra}]"'
