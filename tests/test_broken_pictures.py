"""Broken pictures, tables and label maps: refused, or left out and told, with their names."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from broken_files import ANYTHING, IS_ROOT, forbidden, png_that_claims
from commands import Run
from rondo.data.skipped import SHOWN, Skipped, named_skipped, printable
from rondo.tasks.captions.task import captions
from rondo.tasks.segmentation.task import segmentation
from rondo.tasks.text.task import text
from rondo.training.task import Task

SPLITS = ("train", "train", "train", "val", "test")


def table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def grey(path: Path, *, size: tuple[int, int] = (64, 32), value: int = 80) -> None:
    Image.new("L", size, value).save(path)


def good_words(folder: Path) -> Path:
    """Pictures 0.png to 11.png of words."""
    rows = []
    for number in range(12):
        grey(folder / f"{number}.png", value=20 * number)
        split = SPLITS[number % 5]
        rows.append({"file": f"{number}.png", "text": f"w{number}", "split": split})
    table(folder / "labels.csv", rows)
    return folder


def good_photos(folder: Path) -> Path:
    """Photos 0.png to 11.png with captions."""
    rows = []
    for number in range(12):
        Image.new("RGB", (16, 16), (20 * number, 0, 0)).save(folder / f"{number}.png")
        split = SPLITS[number % 5]
        rows.append({"image": f"{number}.png", "caption": "a red wall", "split": split})
    table(folder / "captions.csv", rows)
    return folder


def good_scenes(folder: Path) -> Path:
    """Pictures 0.png to 9.png with label maps of two classes."""
    rows = []
    for number in range(10):
        Image.new("RGB", (40, 36), (20 * number, 0, 0)).save(folder / f"{number}.png")
        labels = np.zeros((36, 40), np.uint8)
        labels[:, 20:] = 1
        Image.fromarray(labels).save(folder / f"{number}-map.png")
        rows.append(
            {"split": SPLITS[number % 5], "image": f"{number}.png", "label": f"{number}-map.png"}
        )
    table(folder / "list.csv", rows)
    table(folder / "classes.csv", [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}])
    return folder


MAKERS: dict[str, tuple[Callable[[Path], Path], Callable[..., Task], str]] = {
    "text": (good_words, text, "labels.csv"),
    "captions": (good_photos, captions, "captions.csv"),
    "segmentation": (good_scenes, segmentation, "list.csv"),
}
"""For each task a good folder, the task on it, and its table."""

SKIPPING = ("text", "captions")
"""The tasks that leave out what cannot be used; a video may have no gaps, so segmentation stops."""

WAYS: dict[str, Callable[[Path], None]] = {
    **{name: way for name, way in ANYTHING.items() if name != "a_pipe"},
    "a_bomb": lambda path: png_that_claims(path, 60_000, 60_000),
    "of_no_size": lambda path: png_that_claims(path, 0, 10),
    "of_the_largest_size": lambda path: png_that_claims(path, 2**31 - 1, 2**31 - 1),
    "without_pixels": lambda path: png_that_claims(path, 64, 32),
    "a_pipe": ANYTHING["a_pipe"],
}


# ---- pictures ----


@pytest.mark.parametrize("task", SKIPPING)
def test_pictures_that_cannot_be_read_are_left_out_and_named(task: str, tmp_path: Path) -> None:
    make, task_on, _ = MAKERS[task]
    for number, (way, broken) in enumerate(WAYS.items()):
        folder = tmp_path / way
        folder.mkdir()
        broken(make(folder) / "5.png")
        found = task_on(str(folder))
        assert found.num_skipped == 1, way
        (line,) = (note for note in found.notes if note.startswith("left out: "))
        assert "5.png" in line, (number, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["5.png", "5-map.png", "0.png"])
def test_scenes_that_cannot_be_read_are_named(way: str, name: str, tmp_path: Path) -> None:
    WAYS[way](good_scenes(tmp_path) / name)
    with pytest.raises(ValueError, match=name):
        segmentation(str(tmp_path))


@pytest.mark.parametrize("task", SKIPPING)
def test_where_most_are_broken_nothing_is_trained(task: str, tmp_path: Path) -> None:
    make, task_on, name = MAKERS[task]
    make(tmp_path)
    for number in range(12):
        if number != 3:
            (tmp_path / f"{number}.png").unlink()
    with pytest.raises(ValueError, match=rf"only 1 of 12 .*{name} can be used.*line 2: 0.png"):
        task_on(str(tmp_path))


def test_more_than_ten_are_counted() -> None:
    lines = named_skipped([Skipped(f"{n}.png", "the file is empty") for n in range(SHOWN + 2)])
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "left out: and 2 more"
    assert named_skipped([]) == ()


def test_names_are_shown_in_one_line_of_characters() -> None:
    assert printable("grün\tтри\x1b[2J\n\udcff") == "grün\\tтри\\x1b[2J\\n\\udcff"
    (line,) = named_skipped([Skipped("a\nb", "the file is empty")])
    assert line == "left out: a\\nb: the file is empty"


# ---- tables ----


def changed_table(path: Path, how: str) -> None:
    """Breaks a table whose first two columns are needed."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if how == "latin":
        path.write_bytes("\n".join([*lines, lines[1].replace("train", "trän")]).encode("latin-1"))
    elif how == "no column":
        path.write_text("\n".join([f"x{lines[0]}", *lines[1:]]))
    elif how == "column twice":
        path.write_text("\n".join([f"{lines[0]},{lines[0].split(',')[0]}", *lines[1:]]))
    elif how == "open quote":
        path.write_text("\n".join([*lines[:3], f'"{lines[3]}', *lines[4:]]))
    elif how == "first line alone":
        path.write_text(lines[0])
    elif how == "no first line":
        path.write_text("\n".join(lines[1:]))
    elif how == "nul":
        path.write_text("\n".join([*lines[:3], "\0", *lines[3:]]))
    elif how == "long cell":
        path.write_text("\n".join([*lines, "x" * 200_000]))
    elif how == "no test":
        path.write_text("\n".join(line for line in lines if "test" not in line))


@pytest.mark.parametrize(
    "how",
    ["latin", "no column", "column twice", "open quote", "first line alone", "no first line",
     "long cell", "no test"],
)  # fmt: skip
@pytest.mark.parametrize("task", MAKERS)
def test_broken_tables_are_named(task: str, how: str, tmp_path: Path) -> None:
    make, task_on, name = MAKERS[task]
    changed_table(make(tmp_path) / name, how)
    if task == "text" and how == "no test":  # a part of the training set is held out
        assert task_on(str(tmp_path)).num_skipped == 0
        return
    with pytest.raises(ValueError, match=name if how != "no test" else "split test"):
        task_on(str(tmp_path))


@pytest.mark.parametrize("way", ANYTHING)
@pytest.mark.parametrize("task", MAKERS)
def test_a_table_that_is_something_else(task: str, way: str, tmp_path: Path) -> None:
    make, task_on, name = MAKERS[task]
    make(tmp_path)
    if way == "cut":
        pytest.skip("half a table is one")
    ANYTHING[way](tmp_path / name)
    with pytest.raises(ValueError, match=str(tmp_path)):
        task_on(str(tmp_path))


@pytest.mark.parametrize("task", MAKERS)
def test_a_table_of_a_spreadsheet_is_read(task: str, tmp_path: Path) -> None:
    """With a byte order mark, CRLF, quoted cells, capital letters and blank lines."""
    make, task_on, name = MAKERS[task]
    path = make(tmp_path) / name
    first, *rows = path.read_text(encoding="utf-8").splitlines()
    quoted = [",".join(f'"{cell}"' for cell in row.split(",")) for row in rows]
    path.write_bytes("\r\n".join(["\ufeff" + first.upper(), *quoted, ",,", ""]).encode())
    assert task_on(str(tmp_path)).num_skipped == 0


@pytest.mark.parametrize("task", SKIPPING)
def test_rows_that_cannot_be_used_are_named(task: str, tmp_path: Path) -> None:
    make, task_on, name = MAKERS[task]
    make(tmp_path)
    Image.new("L", (64, 32)).save(os.fsencode(tmp_path) + b"/by\xff.png")
    rows = ['"two\nlines.png",a,train', "../up.png,a,train", "/etc/passwd,a,train", "4.png", ",a,"]
    with (tmp_path / name).open("a", newline="") as file:
        file.write("\n".join(rows) + "\n")
    found = task_on(str(tmp_path))
    notes = "\n".join(found.notes)
    for words in (
        "two\\nlines.png: the file is missing",
        "../up.png: the path leads out of the folder",
        "/etc/passwd: the path leads out of the folder",
        "the row does not have as many cells as the first line",
        "no file is named",
    ):
        assert words in notes
    assert found.num_skipped == 5 + (task == "captions")  # by\xff.png has no caption
    assert ("by\\udcff.png: the photo has no caption" in notes) == (task == "captions")


@pytest.mark.parametrize("task", MAKERS)
@pytest.mark.parametrize("name", ["none", "a.txt"])
def test_data_must_be_a_folder(task: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=name):
        MAKERS[task][1](str(tmp_path / name))


@pytest.mark.parametrize("task", MAKERS)
def test_a_folder_in_a_circle_is_told(task: str, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match=str(tmp_path / "a")):
        MAKERS[task][1](str(tmp_path / "a"))


@pytest.mark.skipif(IS_ROOT, reason="root may read anything")
@pytest.mark.parametrize("task", MAKERS)
def test_a_table_that_may_not_be_read_is_named(task: str, tmp_path: Path, rondo: Run) -> None:
    make, _, name = MAKERS[task]
    forbidden(make(tmp_path) / name)
    code, _, err = rondo("train", task, "--data", str(tmp_path))
    assert code == 2
    assert name in err
    assert "Permission denied" in err


# ---- what cannot be learnt ----


def test_a_text_with_a_line_break_is_left_out(tmp_path: Path) -> None:
    good_words(tmp_path)
    grey(tmp_path / "x.png")
    with (tmp_path / "labels.csv").open("a") as file:
        file.write('x.png,"a\nb",train\n')
    found = text(str(tmp_path))
    assert found.num_skipped == 1
    assert "x.png: the text has a line break" in found.notes[-1]
    assert "\n" not in (found.symbols or "")


def test_captions_of_rare_words_alone(tmp_path: Path) -> None:
    good_photos(tmp_path)
    rows = [{"image": f"{n}.png", "caption": f"word{n}", "split": SPLITS[n % 5]} for n in range(12)]
    table(tmp_path / "captions.csv", rows)
    with pytest.raises(ValueError, match="no word occurs 3 times or more in the training captions"):
        captions(str(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"), [((0,), "hold pixels of the class road alone"),
                            ((9,), "hold pixels without a class"),
                            ((1, 9), "hold pixels of the class car alone")],
)  # fmt: skip
def test_scenes_of_fewer_than_two_classes(
    values: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    good_scenes(tmp_path)
    table(
        tmp_path / "classes.csv",
        [{"id": n, "name": w} for n, w in ((0, "road"), (1, "car"), (9, "void"))],
    )
    for number in range(10):
        labels = np.resize(np.array(values, np.uint8), (36, 40))
        Image.fromarray(labels).save(tmp_path / f"{number}-map.png")
    with pytest.raises(ValueError, match=f"of the split train in .*list.csv {message}"):
        segmentation(str(tmp_path))


@pytest.mark.parametrize(
    ("mode", "value", "message"),
    [
        ("RGBA", 0, r"must be of one channel, but has 4 \(RGBA\)"),
        ("F", 0.5, "holds fractions"),
        ("I", 70_000, "has the id 70000"),
        ("I;16", 300, "has the id 300"),
        ("L", 200, "has the id 200"),
    ],
)
def test_label_maps_of_other_values(mode: str, value: Any, message: str, tmp_path: Path) -> None:
    good_scenes(tmp_path)
    path = tmp_path / ("5-map.tiff" if mode in "FI;16" else "5-map.png")
    Image.new(mode, (40, 36), value).save(path)
    listed = (tmp_path / "list.csv").read_text().replace("5-map.png", path.name)
    (tmp_path / "list.csv").write_text(listed)
    with pytest.raises(ValueError, match=rf"5-map\.\w+:? {message}"):
        segmentation(str(tmp_path))


def test_scenes_of_one_pixel_are_refused_or_trained(tmp_path: Path, rondo: Run) -> None:
    """A picture that is too small for the network ends in one line, not in a traceback."""
    good_scenes(tmp_path)
    words = f"train segmentation --data {tmp_path} --size 1x1 --sequences 2 --threads 1".split()
    code, _, err = rondo(*words)
    assert code in (0, 2)
    assert "Traceback" not in err
