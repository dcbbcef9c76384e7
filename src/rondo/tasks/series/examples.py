"""Classes and numbers of series: from what readers give to examples of three splits.

A missing value takes the last one before it. A series that cannot be used is left out, counted and
told with its file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rondo.data.seeds import generator_for
from rondo.data.skipped import Skipped, describe_skipped
from rondo.data.sources import Collection, Example
from rondo.data.splits import MAIN_SPLITS
from rondo.tasks.series.form import Found, Series, listed

HELD_OUT = 0.2
"""The share of the training series that is held out for checks, where no others are given."""

TESTED = 0.2
"""The share of all series that is for the test, where none is given for it."""


@dataclass(frozen=True)
class Labelled:
    """Series with their labels, in splits.

    Args:
        columns: The columns of values.
        classes: The classes; None where labels are numbers.
        num_targets: How many numbers a label is.
        source: The examples of the splits.
        notes: What to tell the user.
        num_skipped: How many series could not be used.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...] | None
    num_targets: int
    source: Collection
    notes: tuple[str, ...]
    num_skipped: int


def labelled(found: Found, split_seed: int) -> Labelled:
    """Returns the examples of series with labels.

    Raises:
        ValueError: Where nothing could be learnt or measured: one class, a split without examples.
    """
    skipped = list(found.skipped)
    series = [one for one in found.series if _is_usable(one, skipped)]
    parts = in_splits(series, split_seed, is_stratified=found.labels == "words")
    _check_splits(found, parts)
    classes = classes_of(found, parts["train"]) if found.labels == "words" else None
    if classes is not None:
        parts = {name: _known(part, classes, skipped) for name, part in parts.items()}
        _check_splits(found, parts)
    examples = {name: [example_of(one, classes) for one in part] for name, part in parts.items()}
    notes = [*found.notes, *_notes_of_values(found, parts["train"], series)]
    if skipped:
        where = listed([item.path for item in skipped], 3)
        notes.append(f"{describe_skipped(skipped)}: {where}")
    first = examples["train"][0].targets
    num_targets = 1 if first.ndim == 0 else len(first)
    source = Collection(examples["train"], examples["val"], examples["test"])
    return Labelled(found.columns, classes, num_targets, source, tuple(notes), len(skipped))


def _is_usable(series: Series, skipped: list[Skipped]) -> bool:
    reason = None
    if not len(series) or not np.isfinite(series.values).any():
        reason = "it has no value"
    elif series.label is None or series.label == "":
        reason = "it has no label"
    elif isinstance(series.label, tuple) and not np.isfinite(series.label).all():
        reason = "its label is no number"
    elif isinstance(series.split, np.ndarray) and len(set(series.split)) > 1:
        reason = "its rows belong to several splits"
    if reason is not None:
        skipped.append(Skipped(series.source, reason))
    return reason is None


def split_of(series: Series) -> str | None:
    """The split of a whole series, where one is given."""
    return str(series.split[0]) if isinstance(series.split, np.ndarray) else series.split


def in_splits(
    series: Sequence[Series], seed: int, *, is_stratified: bool
) -> dict[str, list[Series]]:
    """Returns the series of train, val and test: as given, and what is not given by drawing.

    Series are drawn whole; with `is_stratified` the same share of every class.
    """
    parts: dict[str, list[Series]] = {name: [] for name in MAIN_SPLITS}
    for one in series:
        parts[split_of(one) or "train"].append(one)
    is_given = any(split_of(one) is not None for one in series)
    if not is_given:
        parts["train"], parts["test"] = _drawn(parts["train"], TESTED, seed, 1, is_stratified)
    if not parts["val"]:
        parts["train"], parts["val"] = _drawn(parts["train"], HELD_OUT, seed, 0, is_stratified)
    return parts


def _drawn(
    series: list[Series], share: float, seed: int, number: int, is_stratified: bool
) -> tuple[list[Series], list[Series]]:
    """Series that stay, and those that are held out."""
    groups: dict[object, list[int]] = {}
    for place, one in enumerate(series):
        groups.setdefault(one.label if is_stratified else "", []).append(place)
    held: set[int] = set()
    for group, places in enumerate(groups.values()):
        generator = generator_for("series held out", seed, number, group)
        order = torch.randperm(len(places), generator=generator).tolist()
        held |= {places[n] for n in order[: _number_held(len(places), share)]}
    return [one for n, one in enumerate(series) if n not in held], [series[n] for n in sorted(held)]


def _number_held(number: int, share: float) -> int:
    return 0 if number < 2 else max(1, round(share * number))


def _check_splits(found: Found, parts: dict[str, list[Series]]) -> None:
    for name, part in parts.items():
        if not part:
            raise ValueError(
                f"{found.path} has no series for the split {name} ({len(found.series)} in all); "
                "each of train, val and test needs one or more"
            )


def classes_of(found: Found, train: Sequence[Series]) -> tuple[str, ...]:
    """Returns the classes of training series, numbers in the order of numbers.

    Raises:
        ValueError: Where there are less than two.
    """
    names = {str(one.label) for one in train}
    if len(names) < 2:
        raise ValueError(
            f"{found.path}: all training series are of the class {listed(sorted(names))}; two or "
            "more classes are needed"
        )
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def _known(series: list[Series], classes: Sequence[str], skipped: list[Skipped]) -> list[Series]:
    """The series of known classes; the others are noted as skipped."""
    kept = []
    for one in series:
        if one.label in classes:
            kept.append(one)
        else:
            skipped.append(Skipped(one.source, f"no training series is of its class {one.label!r}"))
    return kept


def example_of(series: Series, classes: Sequence[str] | None) -> Example:
    """Returns a series as an example."""
    values = torch.as_tensor(filled(series.values), dtype=torch.float32)
    if classes is not None:
        return Example(values, torch.tensor(classes.index(str(series.label))))
    return Example(values, torch.tensor(series.label, dtype=torch.float32))


def filled(values: np.ndarray) -> np.ndarray:
    """Returns values (T, C) with the last one before in place of a missing one, where there is one.

    Example:
        >>> import numpy as np
        >>> from rondo.tasks.series.examples import filled
        >>> filled(np.array([[np.nan], [1.0], [np.nan]]))
        array([[nan],
               [ 1.],
               [ 1.]])
    """
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(rows, 0), 0)


def _notes_of_values(found: Found, train: Sequence[Series], series: Sequence[Series]) -> list[str]:
    """What is missing, constant or seldom, in words."""
    notes = []
    gaps = [one for one in series if not np.isfinite(one.values).all()]
    if gaps:
        number = sum(int((~np.isfinite(one.values)).sum()) for one in gaps)
        where = listed([one.source for one in gaps], 3)
        notes.append(
            f"{number} missing values in {len(gaps)} series take the value before: {where}"
        )
    notes += constant_columns(found, train)
    if found.labels == "words":
        counts = Counter(str(one.label) for one in train)
        seldom = [name for name, number in sorted(counts.items()) if number < 3]
        if seldom:
            notes.append(f"classes with fewer than 3 training series: {listed(seldom)}")
    return notes


def constant_columns(found: Found, train: Sequence[Series]) -> list[str]:
    """Returns a note that names the columns with one value alone in all training series."""
    least = np.min([np.nanmin(filled_or_0(one.values), 0) for one in train], 0)
    most = np.max([np.nanmax(filled_or_0(one.values), 0) for one in train], 0)
    same = [name for name, a, b in zip(found.columns, least, most, strict=True) if a == b]
    if not same:
        return []
    if len(same) == len(found.columns):
        raise ValueError(
            f"{found.path}: every column is constant in training ({listed(same)}), so there is "
            "nothing to learn from"
        )
    return [f"{found.path.name}: constant in training, so of no use: {listed(same)}"]


def filled_or_0(values: np.ndarray) -> np.ndarray:
    """Values with those before in place of missing ones; a column without any is 0."""
    return np.where(np.isfinite(values).any(0), filled(values), 0.0)


def without_labels(series: Series) -> Series:
    """The same series with nothing to compare with."""
    return replace(series, label=None)
