"""Pictures of words, from a folder on the disk to columns of grey values in memory.

In goes a folder with `labels.csv`, whose columns are `file` and `text` and, if you like, `split`;
out come the words of each split: the picture brought to the height that the network reads, in
proportion or to a given width, and its text. Rows and files that cannot be used are skipped and
counted, never dropped in silence.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondo.data.label_tables import MISFIT, fault_of, table_rows
from rondo.data.pictures import PhotoError, read_each, read_picture, upright_rgb
from rondo.data.skipped import Skipped, count_of, describe_skipped, printable
from rondo.data.splits import MAIN_SPLITS, split_by_hash, split_name, split_order
from rondo.models.crnn import LEAST_WIDTH, PICTURE_HEIGHT, PIXELS_PER_STEP, num_steps
from rondo.models.ctc import steps_needed

LABELS = "labels.csv"
"""The file of a folder that names its pictures and their texts."""

MOST_WIDTH = 2048
"""The width in pixels to which longer pictures are squeezed."""


@dataclass(frozen=True, eq=False)
class Word:
    """A picture of a word.

    Attributes:
        name: Where it comes from.
        text: What it says.
        columns: uint8 (W, 32), the grey values column by column.
    """

    name: str
    text: str
    columns: Tensor


@dataclass(frozen=True, eq=False)
class WordSets:
    """The words of a folder.

    Attributes:
        splits: The words of "train", "val", "test" and any other split that the labels name.
        skipped: What is not among them, and why.
    """

    splits: dict[str, list[Word]]
    skipped: tuple[Skipped, ...] = ()

    def __str__(self) -> str:
        counts = [f"{name} {len(words)}" for name, words in self.splits.items()]
        return f"{', '.join(counts)} words; {describe_skipped(self.skipped)}"


def load_words(
    path: Path, *, seed: int = 0, width: int | None = None, alphabet: str | None = None
) -> WordSets:
    """Reads the words of a folder.

    Args:
        path: The folder, or its label file.
        seed: Chooses the division where the labels name no split: 80 % train, 10 % val, 10 % test
            by a hash of the file's name. Where they name train alone, val and test are taken
            from it in the same way.
        width: The width to which every picture is brought, a multiple of 4, or None to keep its
            proportions.
        alphabet: The characters that texts may have, or None for any.

    Raises:
        ValueError: If the folder cannot be used, or a text has a character outside the alphabet;
            the message names the file and says what to do.
    """
    file = path if path.suffix.lower() == ".csv" else path / LABELS
    if not file.is_file():
        raise ValueError(f"there is no {file}; text needs a folder with {LABELS} (file,text)")
    check_width(width)
    listed, skipped = _listed(file, alphabet)
    words: dict[str | None, list[Word]] = {}
    pixels = read_each([file.parent / name for name, _, _ in listed], to_columns(width))
    for (name, text, split), result in zip(listed, pixels, strict=True):
        if isinstance(result, PhotoError):
            skipped.append(Skipped(name, result.reason))
            continue
        word = Word(name, text, torch.from_numpy(result))
        fault = _too_narrow(word)
        if fault is None:
            words.setdefault(split, []).append(word)
        else:
            skipped.append(Skipped(name, fault))
    _check_usable(file, words, skipped)
    return WordSets(_divided(words, seed), tuple(skipped))


def read_columns(source: Path | BinaryIO, width: int | None = None) -> Tensor:
    """Reads one picture as columns, uint8 (W, 32).

    Raises:
        PhotoError: If it is not a usable picture.
    """
    return torch.from_numpy(read_picture(source, to_columns(width)))


def to_columns(width: int | None) -> partial[np.ndarray]:
    """Returns what makes columns of an opened picture, in proportion or of a given width."""
    return partial(_to_columns, width=width)


def columns_of(grey: Image.Image, width: int | None) -> np.ndarray:
    """Returns a grey picture at the height of 32 pixels as columns, uint8 (W, 32).

    In proportion W is the nearest multiple of 4, at least 8 and at most 2048.
    """
    if width is None:
        wanted = grey.width * PICTURE_HEIGHT / max(1, grey.height)
        width = round(wanted / PIXELS_PER_STEP) * PIXELS_PER_STEP
        width = min(max(width, LEAST_WIDTH), MOST_WIDTH)
    resized = grey.resize((width, PICTURE_HEIGHT), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).T)


def _to_columns(image: Image.Image, width: int | None) -> np.ndarray:
    return columns_of(upright_rgb(image, PICTURE_HEIGHT).convert("L"), width)


def check_width(width: int | None) -> None:
    """Raises `ValueError` where pictures cannot have a width."""
    if width is None:
        return
    if not LEAST_WIDTH <= width <= MOST_WIDTH or width % PIXELS_PER_STEP:
        raise ValueError(
            f"the width must be a multiple of {PIXELS_PER_STEP} from {LEAST_WIDTH} to "
            f"{MOST_WIDTH}, but is {width}"
        )


def composed(text: str) -> str:
    """Returns a text with each accented letter as one character, where Unicode has it (NFC)."""
    return unicodedata.normalize("NFC", text)


def alphabet_of(texts: Iterable[str]) -> str:
    """Returns the characters of texts, each once, in the order of Unicode."""
    return "".join(sorted(set("".join(texts))))


def check_alphabet(name: str, text: str, alphabet: str) -> None:
    """Raises `ValueError` where a text of a file has a character outside the alphabet."""
    others = [character for character in text if character not in alphabet]
    if others:
        raise ValueError(
            f"{name}: the text {text!r} has the character {others[0]!r}, which is not in the "
            f"alphabet {alphabet!r}; add it to --alphabet, or leave --alphabet out to find it "
            "from the labels"
        )


def _listed(
    file: Path, alphabet: str | None
) -> tuple[list[tuple[str, str, str | None]], list[Skipped]]:
    """Returns names, texts and splits of the rows that can be used, and the others."""
    listed: dict[str, tuple[str, str, str | None]] = {}
    skipped = []
    for line, row in table_rows(file, ("file", "text"), ("split",)):
        name = row.get("file", "").strip()
        text = composed(row.get("text", "").strip())
        fault = fault_of(file.parent, name, listed)
        if not row:
            skipped.append(Skipped(f"line {line}", MISFIT))
        elif fault is not None or not text:
            where = f"line {line}: {name}"
            skipped.append(Skipped(where, fault or "the text is empty"))
        elif not text.isprintable():
            reason = "the text has a line break or another control character"
            skipped.append(Skipped(f"line {line}: {name}", reason))
        else:
            if alphabet is not None:
                check_alphabet(f"{file}, line {line}: {name}", text, alphabet)
            listed[os.path.normpath(name)] = name, text, split_name(row.get("split"))
    return list(listed.values()), skipped


def _too_narrow(word: Word) -> str | None:
    """Returns why a picture has too few columns for its text, None where it has enough."""
    steps = int(num_steps(torch.tensor(len(word.columns))))
    if steps_needed([ord(character) for character in word.text]) <= steps:
        return None
    return "the picture is too narrow for its text (give a --width that suits the longest)"


def _check_usable(file: Path, words: dict[str | None, list[Word]], skipped: list[Skipped]) -> None:
    num_usable = sum(map(len, words.values()))
    num_listed = num_usable + len(skipped)
    if not num_usable or 2 * num_usable < num_listed:
        example = f"; for example {printable(skipped[0].path)}" if skipped else ""
        raise ValueError(
            f"only {num_usable} of {count_of(num_listed, 'picture')} of {file} can be used "
            f"({describe_skipped(skipped)}{example}): repair or remove the others"
        )


def _divided(words: dict[str | None, list[Word]], seed: int) -> dict[str, list[Word]]:
    """Returns the words by split, those without one divided.

    Raises:
        ValueError: If train, val or test has none.
    """
    named = set(words)
    splits: dict[str, list[Word]] = {name: [] for name in MAIN_SPLITS}
    for split, some in words.items():
        for word in some:
            drawn = split_by_hash(word.name, seed)
            moved = split is None or (split == "train" and drawn not in named)
            splits.setdefault(drawn if moved else str(split), []).append(word)
    for name in MAIN_SPLITS:
        if not splits[name]:
            counts = ", ".join(f"{key} {len(some)}" for key, some in splits.items())
            raise ValueError(
                f"the split {name} has no picture ({counts}): add pictures, or name the splits "
                "train, val and test in a column split"
            )
    return dict(sorted(splits.items(), key=lambda item: split_order(item[0])))
