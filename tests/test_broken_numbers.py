"""Broken text, piano rolls, digits and clips: each is refused with words that name it."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from broken_files import ANYTHING, IS_ROOT, flipped, forbidden
from commands import Run
from rondo.tasks.actions.task import actions
from rondo.tasks.characters.task import characters
from rondo.tasks.digits_by_row.task import digits_by_row
from rondo.tasks.music.task import music

# ---- characters ----


def good_text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text("the cat sat on the mat; " * 200)
    return path


@pytest.mark.parametrize("way", [name for name in ANYTHING if name not in ("cut", "html")])
def test_broken_text(way: str, tmp_path: Path) -> None:
    path = good_text(tmp_path)
    ANYTHING[way](path)
    words = (
        "must have 1000 characters or more, but has 0|is no text in UTF-8|is a folder|"
        "the file is missing|cannot be read|is no regular file"
    )
    with pytest.raises(ValueError, match=rf"text\.txt:? ({words})"):
        characters(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (("cat " * 300).encode("utf-16"), r"text\.txt is no text in UTF-8"),
        (b"caf\xe9 " * 300, r"text\.txt is no text in UTF-8"),
        (b"a" * 5000, r"text\.txt holds 'a' and no other character: there is nothing to learn"),
        (b"\r\n" * 5000, r"text\.txt holds '\\n' and no other character"),
        (b"ab" * 499, r"text\.txt must have 1000 characters or more, but has 998"),
    ],
)
def test_text_of_which_nothing_can_be_learnt(content: bytes, message: str, tmp_path: Path) -> None:
    path = good_text(tmp_path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        characters(str(path))


# ---- music ----


def cells(*pieces: Any) -> np.ndarray:
    found = np.empty((1, len(pieces)), dtype=object)
    for number, piece in enumerate(pieces):
        found[0, number] = piece
    return found


def roll(length: int = 6) -> np.ndarray:
    return (np.random.default_rng(length).random((length, 88)) < 0.05).astype(np.uint8)


def good_rolls(folder: Path, **changes: Any) -> Path:
    path = folder / "rolls.mat"
    pieces = cells(roll(5), roll(7))
    savemat(str(path), {"traindata": pieces, "validdata": pieces, "testdata": pieces, **changes})
    return path


@pytest.mark.parametrize("way", [*ANYTHING, "flipped"])
def test_broken_rolls(way: str, tmp_path: Path) -> None:
    path = good_rolls(tmp_path)
    {**ANYTHING, "flipped": flipped}[way](path)
    with pytest.raises((ValueError, OSError)) as caught:
        music(str(path))
    assert "rolls.mat" in str(caught.value)
    assert "None" not in str(caught.value)


def with_value(value: float) -> np.ndarray:
    found = roll().astype(np.float64)
    found[2, 3] = value
    return found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traindata": cells()}, "traindata must be a cell array of one piece or more"),
        ({"testdata": np.zeros((0, 0))}, "testdata must be a cell array of one piece"),
        ({"testdata": np.zeros((1, 6, 88))}, "testdata must be a cell array of one piece"),
        ({"testdata": "words"}, "testdata must be a cell array of one piece"),
        ({"testdata": {"a": 1}}, "testdata must be a cell array of one piece|array of numbers"),
        ({"validdata": cells("words")}, r"validdata, piece 0 must be an array of numbers"),
        ({"validdata": cells(roll(), cells(roll()))}, r"validdata, piece 1 must be an array of n"),
        ({"validdata": cells(roll() + 1j)}, r"validdata, piece 0 must be an array of numbers"),
        ({"validdata": cells(roll()[:1])}, r"piece 0 must be \(T, 88\) of two steps or more"),
        ({"validdata": cells(roll()[:, :80])}, r"piece 0 must be \(T, 88\) .*got \(6, 80\)"),
        ({"validdata": cells(np.zeros((0, 0)))}, r"piece 0 must be \(T, 88\) .*got \(0, 0\)"),
        ({"traindata": cells(roll(), with_value(np.nan))}, "piece 1 must hold zeros and .*nan"),
        ({"traindata": cells(with_value(np.inf))}, "piece 0 must hold zeros and ones.*inf"),
        ({"traindata": cells(with_value(-1))}, "piece 0 must hold zeros and ones.*-1"),
        ({"traindata": cells(with_value(64))}, "piece 0 must hold zeros and ones.*64"),
    ],
)
def test_rolls_that_hold_something_else(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        music(str(good_rolls(tmp_path, **changes)))
    assert "rolls.mat" in str(caught.value)


def test_a_matlab_file_that_claims_terabytes(tmp_path: Path) -> None:
    """The size of its first variable, in the bytes 132 to 135 of an unpacked file."""
    path = good_rolls(tmp_path)
    content = bytearray(path.read_bytes())
    content[132:136] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rolls\.mat (cannot be read as|claims to hold|has no)"):
        music(str(path))


# ---- digits ----


def idx(values: np.ndarray, *, sizes: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    sizes = values.shape if sizes is None else sizes
    header = bytes([0, 0, kind, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes)
    return header + values.astype(np.uint8).tobytes()


IMAGES, LABELS = np.random.default_rng(0).integers(0, 256, (30, 28, 28)), np.arange(30) % 10


def good_digits(folder: Path, **changes: bytes) -> Path:
    """MNIST's files; a change is named by their first words, such as `train_images`."""
    for part in ("train", "t10k"):
        for what, values in (("images", IMAGES), ("labels", LABELS)):
            name = f"{part}-{what}-idx{values.ndim}-ubyte"
            (folder / name).write_bytes(changes.get(f"{part}_{what}", idx(values)))
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("way", [*ANYTHING, "flipped"])
def test_broken_digits(way: str, packed: bool, tmp_path: Path) -> None:
    path = good_digits(tmp_path) / "t10k-images-idx3-ubyte"
    if packed:
        content = gzip.compress(path.read_bytes())
        path.unlink()
        path = path.with_name(f"{path.name}.gz")
        path.write_bytes(content)
    elif way == "flipped":
        pytest.skip("other greys are digits too")
    {**ANYTHING, "flipped": flipped}[way](path)
    with pytest.raises((ValueError, OSError)) as caught:
        digits_by_row(str(tmp_path))
    assert "t10k-images-idx3-ubyte" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t10k_images": idx(IMAGES, sizes=(10**9, 28, 28))}, "names 784000000000 numbers, but"),
        ({"t10k_images": idx(IMAGES, sizes=(2**32 - 1,) * 3)}, "names 7922816.* numbers, but it"),
        ({"t10k_images": idx(IMAGES) + b"x"}, "its header names 23520 numbers, but it has more"),
        ({"t10k_images": idx(IMAGES, kind=0x0D)}, "it does not hold unsigned bytes"),
        ({"t10k_images": b"\0\0\x08\xff" + b"\0\0\0\1" * 255}, "its header names 1 numbers, but"),
        ({"t10k_images": idx(IMAGES[0])}, r"got \(28, 28\) and \(30,\)"),
        ({"t10k_images": idx(IMAGES[:7])}, r"got \(7, 28, 28\) and \(30,\)"),
        ({"t10k_images": idx(IMAGES[:, :20])}, "images of 20 x 28 and 28 x 28 pixels; all must"),
        ({"t10k_images": idx(IMAGES[:, :0])}, r"t10k has images of \(0, 28\) pixels"),
        ({"train_images": idx(IMAGES[:0]), "train_labels": idx(LABELS[:0])}, "too few images"),
        ({"t10k_images": idx(IMAGES[:0]), "t10k_labels": idx(LABELS[:0])}, "too few images"),
        ({"train_labels": idx(LABELS + 3)}, "train has the label 10 for image 7; digits are 0 to"),
        ({"train_labels": idx(LABELS * 0 + 4)}, "all training images are of the digit 4; two"),
    ],
)
def test_digits_that_are_something_else(
    changes: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        digits_by_row(str(good_digits(tmp_path, **changes)))
    assert str(tmp_path) in str(caught.value)


def test_no_more_is_unpacked_than_the_header_names(tmp_path: Path) -> None:
    """A packed file of 1 MB that is 1 GB when unpacked."""
    folder = good_digits(tmp_path)
    (folder / "t10k-images-idx3-ubyte").unlink()
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(idx(IMAGES))
        for _ in range(1000):
            file.write(bytes(2**20))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match="its header names 23520 numbers, but it has more"):
        digits_by_row(str(folder))


@pytest.mark.parametrize(("name", "fault"), [("none", "does not exist"), ("a.txt", "is no folder")])
def test_digits_need_a_folder(name: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=f"{name} {fault}; digits need a folder"):
        digits_by_row(str(tmp_path / name))


# ---- actions ----


def good_clips(folder: Path, **changes: Any) -> Path:
    """Files of poses; changes are of the training file, None leaves one out."""
    labels = np.array(["walk", "run"] * 4)
    pose = np.random.default_rng(0).normal(size=(24, 15, 2)).astype(np.float32)
    values = {"pose": pose, "length": np.full(8, 3), "label": labels}
    for split in ("train", "test"):
        given = {**values, **(changes if split == "train" else {})}
        np.savez(folder / f"{split}.npz", **{k: v for k, v in given.items() if v is not None})
    return folder


@pytest.mark.parametrize("way", [*ANYTHING, "flipped"])
def test_broken_clips(way: str, tmp_path: Path) -> None:
    good_clips(tmp_path)
    {**ANYTHING, "flipped": flipped}[way](tmp_path / "train.npz")
    with pytest.raises((ValueError, OSError)) as caught:
        actions(str(tmp_path))
    assert "train" in str(caught.value)


POSES = np.zeros((24, 15, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pose": np.full((24, 15, 2), 1e300)},
            r"clip 0 has a number that is NaN or infinite in frame 0;.*float32",
        ),
        ({"pose": POSES + np.nan}, "clip 0 has a number that is NaN or infinite"),
        ({"pose": POSES > 0}, "`pose` must be numbers"),
        ({"pose": POSES.astype(np.complex64)}, "`pose` must be numbers"),
        ({"pose": POSES[:, :0]}, "`pose` must be numbers"),
        ({"length": np.array([2**64 - 3, *[3] * 6, 9], np.uint64)}, "clip 0 has 1844.* steps, but"),
        ({"label": np.array(["walk"] * 7 + ["run"])}, "the class 'run' has 1 training clip"),
        ({"label": None}, "has no `label` and no `y`; training needs labels"),
        ({"label": np.array(["a"] * 4 + ["run"] * 4)}, "has the label 'walk', which no training"),
        ({"pose": POSES[:, :9]}, r"test\.npz holds poses of shape \(15, 2\), but train\.npz"),
    ],
)
def test_clips_that_are_something_else(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        actions(str(good_clips(tmp_path, **changes)))


def test_clips_of_one_class_alone(tmp_path: Path) -> None:
    good_clips(tmp_path, label=np.array(["walk"] * 8))
    (tmp_path / "test.npz").write_bytes((tmp_path / "train.npz").read_bytes())
    with pytest.raises(ValueError, match="actions need two classes or more, got walk"):
        actions(str(tmp_path))


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "longdouble", "i2", "u2", ">i8", "u8"])
def test_clips_of_any_numbers_are_read(kind: str, tmp_path: Path) -> None:
    pose = np.arange(24 * 30).reshape(24, 15, 2).astype(np.dtype(kind))
    task = actions(str(good_clips(tmp_path, pose=pose)))
    assert task.input_size == 30


def test_an_array_that_claims_terabytes(tmp_path: Path) -> None:
    good_clips(tmp_path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(  # type: ignore[attr-defined]
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**10, 15, 2)}
    )
    with zipfile.ZipFile(tmp_path / "train.npz", "w") as file:
        file.writestr("pose.npy", header.getvalue() + bytes(100))
    with pytest.raises(ValueError, match=r"train\.npz is no npz file that can be read: "):
        actions(str(tmp_path))


def test_a_file_is_not_for_two_splits(tmp_path: Path) -> None:
    (good_clips(tmp_path) / "train.npz").rename(tmp_path / "train_test.npz")
    (tmp_path / "test.npz").unlink()
    with pytest.raises(ValueError, match=r"train_test\.npz must be for one split, but is named f"):
        actions(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,word\n1,a\n", "has no column name"),
        ("id,name\n1\n", "line 2: the row does not have as many cells"),
        ("id,name\n1,\n", "line 2: an id and a name are needed"),
        ("id,name\n1,a\n1,b\n", "line 3: the id 1 was named before"),
        ('id,name\n1,"a\n2,b\n', "a quotation mark opens a cell"),
    ],
)
def test_a_broken_table_of_classes(text: str, message: str, tmp_path: Path) -> None:
    (good_clips(tmp_path) / "classes.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"classes\.csv.*{message}"):
        actions(str(tmp_path))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_with_a_mark_and_any_line_ends_is_read(end: str, tmp_path: Path) -> None:
    good_clips(tmp_path)
    (tmp_path / "classes.csv").write_bytes(
        f"\ufeffid,name{end}run,Running{end}walk,Walking{end}".encode()
    )
    assert actions(str(tmp_path)).classes == ("Running", "Walking")


def test_videos_of_one_action_alone(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "00sequences.txt").write_text("person11_boxing_d1 frame 1-9\n")
    (tmp_path / "person11_boxing_d1_uncomp.avi").write_bytes(b"RIFF no video")
    with pytest.raises(
        ValueError, match=r"has no clip for train: 1 of 1 videos are left out: .*_d1"
    ):
        actions(str(tmp_path))


MAKERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "characters": (good_text, "text.txt"),
    "music": (good_rolls, "rolls.mat"),
    "digits-by-row": (good_digits, "t10k-images-idx3-ubyte"),
    "actions": (good_clips, "train.npz"),
}


@pytest.mark.skipif(IS_ROOT, reason="root may read anything")
@pytest.mark.parametrize("task", MAKERS)
def test_what_may_not_be_read_is_named(task: str, tmp_path: Path, rondo: Run) -> None:
    make, name = MAKERS[task]
    data = make(tmp_path)
    forbidden(tmp_path / name)
    code, _, err = rondo("train", task, "--data", str(data))
    assert code == 2
    assert f"{name}: Permission denied" in err
