"""Photos with captions from a folder on the disk, in the forms in which Flickr8k is passed on.

In goes a folder, out come the photos of each split with their captions. One of these files holds
the captions:

- `captions.csv` or `captions.txt`: a table with the columns `image,caption` and perhaps `split`;
- `Flickr8k.token.txt`: lines `photo.jpg#0<TAB>caption`, with or without
  `Flickr_8k.trainImages.txt`, `.devImages.txt` and `.testImages.txt`, which name the splits.

Photos lie in the folder itself, or in its folder `images`, `Images` or `Flicker8k_Dataset`. Photos
without a split are divided by a hash of their names; but where Flickr8k's files name splits, a
photo in none of them is skipped. That, a caption whose photo is missing, an empty one, and a photo
without a caption are counted and told.

Hodosh, Young & Hockenmaier, "Framing image description as a ranking task", 2013.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rondo.data.files import file_fault
from rondo.data.label_tables import MISFIT, fault_of, table_rows
from rondo.data.pictures import FILE_ENDINGS
from rondo.data.skipped import Skipped, count_of, describe_skipped, printable
from rondo.data.splits import MAIN_SPLITS, split_by_hash, split_name
from rondo.tasks.captions.vocabulary import words_of

TABLES = ("captions.csv", "captions.txt")
TOKENS = "Flickr8k.token.txt"
SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
UNLISTED = "unlisted"
"""The split of a photo that no file of splits names, where there are such files."""

PHOTO_FOLDERS = ("", "images", "Images", "Flicker8k_Dataset")

Line = tuple[int, str | None, str, str | None]
"""The number of a line, a photo (None where the line cannot be read), a caption and a split."""


@dataclass(frozen=True)
class Captioned:
    """A photo with its captions.

    Attributes:
        name: The photo as the file of the captions names it.
        path: Its file.
        captions: What is told of it, one or more.
    """

    name: str
    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionSets:
    """The photos of a folder.

    Attributes:
        splits: Those of train, val and test.
        skipped: What is not among them, and why.
    """

    splits: dict[str, list[Captioned]]
    skipped: tuple[Skipped, ...] = ()

    def __str__(self) -> str:
        counts = [f"{name} {len(photos)}" for name, photos in self.splits.items()]
        return f"{', '.join(counts)} photos with captions; {describe_skipped(self.skipped)}"


def read_captions(folder: Path, *, seed: int = 0) -> CaptionSets:
    """Reads the captions of a folder; photos are found, not opened.

    Args:
        folder: The folder.
        seed: Chooses the division where no splits are named: 80 % train, 10 % val, 10 % test.

    Raises:
        ValueError: Where there are no captions, more than half of the lines cannot be used, or a
            split has no photo.
    """
    file, lines = _lines_of(folder)
    places = [folder / name for name in PHOTO_FOLDERS if (folder / name).is_dir()]
    captions: dict[str, list[str]] = {}
    found: dict[str, Path] = {}
    split_of: dict[str, str | None] = {}
    skipped: list[Skipped] = []
    num_lines = 0
    for number, name, caption, split in lines:
        num_lines += 1
        path, fault = (None, MISFIT) if name is None else _path_of(places, name)
        if fault is None and not words_of(caption):
            fault = "the caption has no word"
        if name is None or path is None or fault is not None:
            skipped.append(Skipped(f"line {number}: {name or ''}", fault or MISFIT))
            continue
        captions.setdefault(name, []).append(caption.strip())
        found[name], split_of[name] = path, split_of.get(name) or split
    if not captions or 2 * len(skipped) > num_lines:
        example = f"; for example {printable(skipped[0].path)}" if skipped else ""
        raise ValueError(
            f"only {num_lines - len(skipped)} of {count_of(num_lines, 'caption')} of {file} can be "
            f"used ({describe_skipped(skipped)}{example}): repair or remove the others"
        )
    skipped += [
        Skipped(name, "the photo has no caption")
        for name in _photos_in({path.parent for path in found.values()}, set(found.values()))
    ]
    splits: dict[str, list[Captioned]] = {name: [] for name in MAIN_SPLITS}
    for name, path in found.items():
        split = split_of[name] or split_by_hash(name, seed)
        if split == UNLISTED:
            skipped.append(Skipped(name, "no file of splits names the photo"))
            continue
        splits.setdefault(split, []).append(Captioned(name, path, tuple(captions[name])))
    for name in MAIN_SPLITS:
        if not splits[name]:
            raise ValueError(
                f"{file} has no photo of the split {name}; train, val and test are needed"
            )
    return CaptionSets(splits, tuple(skipped))


def _lines_of(folder: Path) -> tuple[Path, Iterator[Line]]:
    for name in TABLES:
        if (folder / name).is_file():
            return folder / name, _of_table(folder / name)
    if (folder / TOKENS).is_file():
        return folder / TOKENS, _of_tokens(folder)
    raise ValueError(
        f"{folder} holds no captions; captions need a folder with {' or '.join(TABLES)} "
        f"(image,caption) or {TOKENS}"
    )


def _of_table(file: Path) -> Iterator[Line]:
    for number, row in table_rows(file, ("image", "caption"), ("split",)):
        name = row["image"].strip() if row else None
        yield number, name, row.get("caption", ""), split_name(row.get("split"))


def _of_tokens(folder: Path) -> Iterator[Line]:
    split_of = {}
    for split, name in SPLIT_FILES.items():
        if (folder / name).is_file():
            split_of.update(dict.fromkeys(_text_of(folder / name).split(), split))
    for number, line in enumerate(_text_of(folder / TOKENS).splitlines(), 1):
        if line.strip():
            name, _, caption = line.partition("\t")
            photo = name.rpartition("#")[0] or name
            unlisted = UNLISTED if split_of else None
            yield number, photo.strip(), caption, split_of.get(photo.strip(), unlisted)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{file} cannot be read as text in UTF-8: {error}") from error


def _path_of(places: list[Path], name: str) -> tuple[Path | None, str | None]:
    """The file of a photo, or why there is none."""
    fault: str | None = None
    for place in places:
        fault = fault_of(place, name, ())
        if fault is None:
            return place / name, None
    return None, fault


def _photos_in(folders: set[Path], known: set[Path]) -> list[str]:
    """The photos of some folders that are not known."""
    files = (file for folder in sorted(folders) for file in sorted(folder.iterdir()))
    return [
        str(file)
        for file in files
        if file.suffix.lower() in FILE_ENDINGS and file not in known and file_fault(file) is None
    ]
