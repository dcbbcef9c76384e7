"""Series of an npz file; nothing in it is unpickled.

    x        (N, T, C) or (N, T), or (sum of T, C) with `length`: the series one after another
    length   (N,)              the steps of each, where they are not all T
    y        (N,) or (N, K)    words, or numbers; `label` may stand for `y`
    id       (N,)              names of the series
    columns  (C,)              names of the columns
    split    (N,)              train, val or test

Of these only `x` must be there. NaN stands for a missing value.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from rondo.data.splits import MAIN_SPLITS, split_name
from rondo.tasks.series.form import Found, Label, Series, check_number_of_columns
from rondo.tasks.series.long_form import are_classes

KNOWN = ("x", "length", "y", "label", "id", "columns", "split")
"""The arrays that mean something."""


def read_npz(path: Path, kind: str | None = None) -> Found:
    """Returns the series of an npz file.

    Raises:
        ValueError: Where it holds something else.
        OSError: Where it cannot be read.
    """
    with path.open("rb") as stream:
        arrays = _arrays(path, stream)
    values = _values(path, arrays)
    columns = _columns(path, arrays, values[0].shape[1])
    labels, words = _labels(path, arrays, len(values), kind)
    ids = _words_of(path, arrays, "id", len(values)) or [str(n) for n in range(len(values))]
    _check_once(path, ids)
    splits = _splits(path, arrays, len(values))
    series = tuple(
        Series(ids[n], f"{path.name}#{ids[n]}", one, None, labels[n], splits[n])
        for n, one in enumerate(values)
    )
    extra = [name for name in arrays if name not in KNOWN]
    notes = (f"{path.name}: not read: {', '.join(extra)}",) if extra else ()
    return Found(path, columns, series, labels=words, notes=notes)


def _arrays(path: Path, stream: IO[bytes]) -> dict[str, np.ndarray]:
    try:
        file = np.load(stream, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name; save it with np.savez(x=...)")
        return {name: file[name] for name in file.files}
    except Exception as error:  # numpy and zipfile may raise anything at all on damaged bytes
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no npz file that can be read: {what}") from error


def _values(path: Path, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The values (T, C) of each series."""
    if "x" not in arrays:
        raise ValueError(f"{path} must hold `x`, but holds {', '.join(arrays) or 'nothing'}")
    x = arrays["x"]
    if x.dtype.kind not in "fiu" or x.ndim not in (2, 3) or 0 in x.shape:
        raise ValueError(
            f"{path}: `x` must be numbers (N, T, C) or (N, T), or (sum of T, C) with `length`, got "
            f"{x.dtype} {x.shape}"
        )
    check_number_of_columns(path, x.shape[-1] if x.ndim == 3 or "length" in arrays else 1)
    if np.isinf(x).any():
        place = tuple(int(i) for i in np.argwhere(np.isinf(x))[0])
        raise ValueError(f"{path}: `x` is infinite at {place}; mend it, or put NaN for missing")
    x = x.astype(np.float64)
    if "length" not in arrays:
        return list(x if x.ndim == 3 else x[..., None])
    lengths = arrays["length"]
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or lengths.min() < 1:
        raise ValueError(
            f"{path}: `length` must be a whole number of 1 or more for each series, got "
            f"{lengths.dtype} {lengths.shape}"
        )
    return _ragged(path, x, lengths.astype(np.int64))


def _ragged(path: Path, x: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    if x.ndim == 3:
        if len(lengths) != len(x) or lengths.max() > x.shape[1]:
            raise ValueError(
                f"{path}: `length` has {len(lengths)} numbers up to {lengths.max()}, but `x` has "
                f"{len(x)} series of {x.shape[1]} steps"
            )
        return [one[:length] for one, length in zip(x, lengths, strict=True)]
    if lengths.sum() != len(x):
        raise ValueError(f"{path}: `length` sums to {lengths.sum()}, but `x` has {len(x)} rows")
    return np.split(x, lengths.cumsum()[:-1])


def _columns(path: Path, arrays: dict[str, np.ndarray], number: int) -> tuple[str, ...]:
    names = _words_of(path, arrays, "columns", number)
    if names is None:
        return tuple(f"x{n}" for n in range(number))
    _check_once(path, names)
    return tuple(names)


def _words_of(
    path: Path, arrays: dict[str, np.ndarray], name: str, number: int
) -> list[str] | None:
    if name not in arrays:
        return None
    found = arrays[name]
    if found.shape != (number,) or found.dtype.kind not in "iuU":
        raise ValueError(
            f"{path}: `{name}` must be {number} words or whole numbers, got {found.dtype} "
            f"{found.shape}"
        )
    return [str(value) for value in found.tolist()]


def _check_once(path: Path, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} has the name {twice!r} twice; each needs a name of its own")


def _labels(
    path: Path, arrays: dict[str, np.ndarray], number: int, kind: str | None
) -> tuple[list[Label | None], str | None]:
    y = arrays.get("y", arrays.get("label"))
    if y is None or kind == "forecast":
        return [None] * number, None
    if y.ndim not in (1, 2) or len(y) != number or y.dtype.kind not in "iufUb":
        raise ValueError(
            f"{path}: `y` must be a word or numbers for each of {number} series, got {y.dtype} "
            f"{y.shape}"
        )
    flat = y.reshape(number, -1)
    is_one = flat.shape[1] == 1
    words = [_word(value) for value in flat[:, 0].tolist()]
    if is_one and (kind == "classify" or (kind is None and are_classes(words))):
        return list(words), "words"
    if y.dtype.kind == "U":
        raise ValueError(f"{path}: `y` holds words, and {kind or 'this'} needs numbers")
    return [tuple(row) for row in flat.astype(np.float64).tolist()], "numbers"


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _splits(path: Path, arrays: dict[str, np.ndarray], number: int) -> list[str | None]:
    words = _words_of(path, arrays, "split", number)
    if words is None:
        return [None] * number
    for word in words:
        if split_name(word) not in MAIN_SPLITS:
            raise ValueError(f"{path}: `split` must be train, val or test, got {word!r}")
    return [split_name(word) for word in words]
