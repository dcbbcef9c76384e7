"""What the core of Rondo does without: the extras, their packages, how to install them."""

from __future__ import annotations

import re

_TASKS = {"numpy": "2.1", "pillow": "11.3", "safetensors": "0.5", "scipy": "1.14"}
_PHOTO = {**_TASKS, "lightning": "2.6.4", "matplotlib": "3.10", "tensorboard": "2.19"}

TORCH = "2.13"
"""The oldest torch that will do."""

PACKAGES: dict[str, dict[str, str]] = {
    "photo": _PHOTO,
    "tasks": _TASKS,
    "actions": {**_TASKS, "av": "18.1"},
    "captions": {**_TASKS, "sacrebleu": "2.5"},
    "hub": {"huggingface-hub": "0.30"},
    "web": {**_PHOTO, "anyio": "4.8", "starlette": "1.0", "uvicorn": "0.35"},
}
"""The extras of `pyproject.toml`, but for the one of developers: packages, and the oldest version
of each that will do."""


def how_to_install(extra: str) -> str:
    """Returns what to do where a package of an extra is missing, for the end of a message.

    The package is on no index, so its name alone would not do.

    Example:
        >>> from rondo.extras import how_to_install
        >>> print(how_to_install("photo"))
        do, in the folder of your clone of Rondo: pip install -e ".[photo]"
    """
    assert extra in PACKAGES, extra
    return f'do, in the folder of your clone of Rondo: pip install -e ".[{extra}]"'


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
