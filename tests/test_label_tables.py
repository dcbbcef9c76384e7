"""Tables and files as people save them: marks, blank lines, quotation marks, folders, loops."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rondo.data.files import file_fault
from rondo.data.label_tables import table_rows
from rondo.data.pictures import PhotoError, read_many, read_pixels
from rondo.tasks.actions.files import read_action_files, read_clips
from rondo.tasks.actions.kth import read_list
from rondo.tasks.characters.task import read_parts
from rondo.tasks.photo.layouts import read_csv, read_folders
from rondo.tasks.text.answers import read_lexicon


def rows_of(path: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    path.write_bytes(text.encode())
    return list(table_rows(path, ("file", "text"), ("split",)))


# --- tables


@pytest.mark.parametrize(
    "text",
    [
        "file,text\na.png,hello\nb.png,two words\n",
        "\ufefffile,text\r\na.png,hello\r\nb.png,two words",
        "File , TEXT\n\na.png,hello\n   \n,\nb.png,two words\n\n\n",
        '"file","text"\n"a.png","hello"\n"b.png","two words"\n',
        '\ufeff"file", "text"\na.png, "hello"\n b.png,two words\n',
    ],
    ids=["plain", "mark and CRLF", "blank lines", "quoted", "spaces before quotes"],
)
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, text: str) -> None:
    found = [row for _, row in rows_of(tmp_path / "t.csv", text)]
    assert found == [
        {"file": "a.png", "text": "hello"},
        {"file": "b.png", "text": "two words"},
    ]


def test_cells_may_hold_commas_quotation_marks_and_lines(tmp_path: Path) -> None:
    text = 'file,text\na.png,"he said ""no"", and\nleft"\nb.png,a 6" nail\n'
    assert rows_of(tmp_path / "t.csv", text) == [
        (3, {"file": "a.png", "text": 'he said "no", and\nleft'}),
        (4, {"file": "b.png", "text": 'a 6" nail'}),
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('file,text\na.png,"hello\nb.png,you\nc.png,we\n', (2, 4)),
        ('file,text\na.png,hello\nb.png,"you', (3, 3)),
        ('file,text\na.png,"hello\nb.png,"you"\nc.png,we\n', (2, 3)),
    ],
    ids=["to the end", "in the last line", "to the next"],
)
def test_a_quotation_mark_that_swallows_lines_is_named(
    tmp_path: Path, text: str, lines: tuple[int, int]
) -> None:
    first, last = lines
    message = rf"t\.csv, line {first}: a quotation mark opens a cell that goes on to line {last};"
    with pytest.raises(ValueError, match=message):
        rows_of(tmp_path / "t.csv", text)


def test_a_column_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t\.csv names the column file twice; rename one"):
        rows_of(tmp_path / "t.csv", "file,text,file\na,b,c\n")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("file,text\na.png,hé\n".encode("utf-16"))
    with pytest.raises(ValueError, match="cannot be read as a table in UTF-8"):
        list(table_rows(tmp_path / "t.csv", ("file", "text"), ()))


def test_a_mark_at_the_beginning_is_no_letter(tmp_path: Path) -> None:
    mark = "\ufeff".encode()
    (tmp_path / "words.txt").write_bytes(mark + b"one\ntwo\n")
    assert read_lexicon(tmp_path / "words.txt") == ("one", "two")
    (tmp_path / "00sequences.txt").write_bytes(mark + b"person01_boxing_d1 frame 1-9\n")
    assert read_list(tmp_path / "00sequences.txt")[0].name == "person01_boxing_d1"
    (tmp_path / "text.txt").write_bytes(mark + b"abc" * 1000)
    assert read_parts(tmp_path / "text.txt")[0].startswith("abc")


def test_names_of_actions_are_read_like_other_tables(tmp_path: Path) -> None:
    for split in ("train", "test"):
        labels = np.array([0, 0, 1, 1])
        np.savez(tmp_path / f"{split}.npz", x=np.ones((4, 5, 2), np.float32), y=labels)
    table = tmp_path / "classes.csv"
    table.write_bytes("\ufeffid,name\r\n\r\n0, walk\r\n1,run\r\n".encode())
    assert read_action_files(tmp_path).classes == ("walk", "run")
    table.write_text("id,name\n0,walk,1\n")
    with pytest.raises(ValueError, match=r"classes\.csv, line 2: the row does not have as many"):
        read_action_files(tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_npz_file_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.ones((2, 30, 2), np.float32), y=np.array([0, 1]))
    contents = bytearray(path.read_bytes())
    generator = np.random.default_rng(seed)
    for place in generator.integers(len(contents), size=3):
        contents[place] = generator.integers(256)
    path.write_bytes(contents)
    try:
        found: object = read_clips(path)
    except ValueError as error:
        found = error
    assert str(path) in str(getattr(found, "path", found))


# --- files


def test_why_a_path_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "file.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ("folder", "loop", "broken", "gone", "pipe", "file", "n" * 300, "a\0b")
    assert {name[:6]: file_fault(tmp_path / f"{name}.jpg") for name in names} == {
        "folder": "is a folder",
        "loop": "cannot be read (Too many levels of symbolic links)",
        "broken": "the file is missing",
        "gone": "the file is missing",
        "pipe": "is no regular file",
        "file": None,
        "nnnnnn": "cannot be read (File name too long)",
        "a\0b": "the file is missing",
    }


def test_a_folder_that_may_not_be_entered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(PhotoError, match=r"cannot be read \(Permission denied\); check the path"):
        read_pixels(tmp_path / "a.jpg", 8)


def test_odd_files_end_no_others(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    names = ("good", "empty", "folder", "loop", "gone", "good")
    pixels, errors = read_many([tmp_path / f"{name}.png" for name in names], 4)
    assert len(pixels) == 2
    assert [errors[number].reason for number in sorted(errors)] == [
        "the file is empty",
        "is a folder",
        "cannot be read (Too many levels of symbolic links)",
        "the file is missing",
    ]


def test_a_table_that_names_a_folder_skips_it(tmp_path: Path) -> None:
    (tmp_path / "c.jpg").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,sex\na.jpg,f\nb.jpg,m\nc.jpg,m\n")
    (skipped,) = read_csv(tmp_path / "labels.csv").skipped
    assert (skipped.path, skipped.reason) == ("c.jpg", "is a folder")


def test_a_folder_of_a_class_that_may_not_be_read_is_skipped_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("female/a.jpg", "male/b.jpg", "male/more/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    scan = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = read_folders(tmp_path)
    assert len(found.photos) == 2
    (skipped,) = found.skipped
    assert skipped.path == "male/more"
    assert skipped.reason == "the folder cannot be read (Permission denied)"
