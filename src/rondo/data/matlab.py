"""Reading MATLAB files, in which some data sets are published."""

from __future__ import annotations

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
    try:
        contents: dict[str, Any] = loadmat(str(path), **options)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file may raise anything at all
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}") from error
    return contents
