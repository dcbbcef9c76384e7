"""Reading MATLAB files, in which some data sets are published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rondo.extras import how_to_install


def read_matlab(path: Path, **options: Any) -> dict[str, Any]:
    """Returns the variables of a .mat file by name.

    Args:
        path: The file.
        **options: Of `scipy.io.loadmat`.

    Raises:
        ModuleNotFoundError: Where SciPy is not installed.
        ValueError: Where the file is damaged or none of MATLAB's.
        OSError: Where it cannot be read.
    """
    try:
        from scipy.io import loadmat  # slow to load, and few files need it
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"MATLAB files are read through SciPy; {how_to_install('matlab')}", name="scipy"
        ) from error
    with path.open("rb") as stream:
        return _loaded(path, partial(loadmat, stream, **options))


def _loaded(path: Path, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return load()
    except MemoryError as error:
        raise ValueError(f"{path} claims to hold more than fits into memory") from error
    except Exception as error:  # a damaged file may raise anything at all
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}") from error
