"""Pictures of words: folders that are read, words that are drawn, distortions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rondo.tasks.text import drawn as drawn_words
from rondo.tasks.text.distort import Distortion, distorted
from rondo.tasks.text.drawn import Typesetter
from rondo.tasks.text.task import digest_of, text, text_words
from rondo.tasks.text.words import columns_of, load_words, read_columns
from text_words import folder_of, picture, words_folder


@pytest.fixture(autouse=True)
def _embedded_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The font of Pillow alone, so that all machines draw the same words."""
    monkeypatch.setattr(drawn_words, "FONT_FOLDERS", ())


# --- a folder


def test_words_are_read_with_their_splits(tmp_path: Path) -> None:
    rows = [("a.png", "皖A·1", "train"), ("b.png", "be\u0301", "validation"),
            ("c.png", " c ", "test"), ("d.png", "d", "cross")]  # fmt: skip
    sets = load_words(folder_of(tmp_path, rows))
    assert {name: [w.text for w in words] for name, words in sets.splits.items()} == {
        "train": ["皖A·1"], "val": ["bé"], "test": ["c"], "cross": ["d"],
    }  # fmt: skip
    word = sets.splits["val"][0]
    grey = np.asarray(picture("be\u0301").convert("L"))
    assert word.name == "b.png"
    assert word.columns.shape == (64, 32)
    assert torch.equal(word.columns, torch.from_numpy(grey.T.copy()))
    assert sets.skipped == ()


def test_without_splits_a_hash_of_the_name_divides(tmp_path: Path) -> None:
    folder_of(tmp_path, [(f"{n}.png", "x", "") for n in range(60)])
    first, second = (load_words(tmp_path, seed=seed).splits for seed in (0, 0))
    names = {split: [word.name for word in words] for split, words in first.items()}
    assert names == {split: [word.name for word in words] for split, words in second.items()}
    assert sum(map(len, names.values())) == 60
    assert 36 <= len(names["train"]) < 60
    other = load_words(tmp_path, seed=1).splits
    assert names["test"] != [word.name for word in other["test"]]
    folder_of(tmp_path, [(f"{n}.png", "x", "") for n in range(40)])
    fewer = load_words(tmp_path).splits["test"]
    assert {word.name for word in fewer} == {n for n in names["test"] if int(n[:-4]) < 40}


def test_val_and_test_are_taken_from_a_train_that_is_named_alone(tmp_path: Path) -> None:
    rows = [(f"{n}.png", "x", "train") for n in range(60)] + [("t.png", "y", "test")]
    splits = load_words(folder_of(tmp_path, rows)).splits
    assert [word.name for word in splits["test"]] == ["t.png"]
    assert len(splits["val"]) > 0
    assert len(splits["train"]) + len(splits["val"]) == 60


def test_what_cannot_be_used_is_skipped_and_told(tmp_path: Path) -> None:
    good = [(f"{n}.png", "ab", s) for n, s in enumerate(("train", "val", "test") * 3)]
    bad = [("empty.png", "", "train"), ("long.png", "aab" * 9, "train"), ("0.png", "ab", "val")]
    folder_of(tmp_path, good + bad)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with (tmp_path / "labels.csv").open("a") as file:
        file.write("broken.png,ab,train\ngone.png,ab,train\n../up.png,ab,train\nshort\n")
    sets = load_words(tmp_path)
    assert [len(words) for words in sets.splits.values()] == [3, 3, 3]
    reasons = {skipped.path: skipped.reason for skipped in sets.skipped}
    assert reasons["line 11: empty.png"] == "the text is empty"
    assert "too narrow for its text (give a --width" in reasons["long.png"]
    assert "named a second time" in reasons["line 13: 0.png"]
    assert reasons["broken.png"].startswith("is not a picture")
    assert reasons["line 15: gone.png"] == "the file is missing"
    assert "leads out of the folder" in reasons["line 16: ../up.png"]
    assert "as many cells" in reasons["line 17"]
    assert "train 3, val 3, test 3 words; 7 skipped: " in str(sets)
    wide = load_words(tmp_path, width=256)
    assert "long.png" in [word.name for word in wide.splits["train"]]
    assert {len(word.columns) for word in wide.splits["val"]} == {256}


def test_the_text_that_just_fits(tmp_path: Path) -> None:
    rows = [("a.png", "abc" * 5, "train"), ("b.png", "aabbccddee", "val"),
            ("c.png", "x", "test")]  # fmt: skip
    assert load_words(folder_of(tmp_path, rows)).skipped == ()  # 64 pixels are 15 steps
    rows += [("d.png", "abc" * 5 + "d", "train"), ("e.png", "aabbccddeef", "val")]
    skipped = load_words(folder_of(tmp_path, rows)).skipped
    assert [item.path for item in skipped] == ["d.png", "e.png"]


@pytest.mark.parametrize(
    ("size", "width", "expected"),
    [
        ((64, 32), None, 64),
        ((94, 24), None, 124),  # 125.3
        ((200, 50), None, 128),
        ((1, 90), None, 8),
        ((90_000, 10), None, 2048),
        ((64, 32), 100, 100),
    ],
)
def test_pictures_of_any_size(size: tuple[int, int], width: int | None, expected: int) -> None:
    assert columns_of(Image.new("L", size, 7), width).shape == (expected, 32)


def test_one_picture(tmp_path: Path) -> None:
    picture("q").rotate(90, expand=True).save(tmp_path / "q.jpg", exif=_turned())
    columns = read_columns(tmp_path / "q.jpg")
    assert columns.shape == (64, 32)  # upright again
    with pytest.raises(ValueError, match=r"gone.png: the file is missing; check the path"):
        read_columns(tmp_path / "gone.png")


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees
    return exif


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"there is no .*labels.csv; text needs a folder with labels.csv \(file,text\)"),
        ("file,word\na.png,x\n", "has no column text: its first line must name file,text"),
        ("file,text\n", "only 0 of 0 pictures .* can be used"),
        ("file,text\ngone.png,x\n", r"only 0 of 1 picture of .* line 2: gone.png"),
        (
            "file,text\na.png,\n",
            r"only 0 of 1 picture .*the text is empty \(1\); .* line 2: a.png",
        ),
        ("file,text,split\na.png,x,train\n", r"the split val has no picture \(train 1, val 0"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, content: str | None, message: str) -> None:
    picture("x").save(tmp_path / "a.png")
    if content is not None:
        (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_words(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphabet": "ab"}, r"labels.csv, line 4: train2.png: the text 'abc' has the character "
         "'c', which is not in the alphabet 'ab'; add it to --alphabet"),
        ({"alphabet": ""}, "the alphabet must have characters, each once, but is empty"),
        ({"alphabet": "aba"}, "the alphabet must have characters, each once, but has 'a' twice"),
        ({"width": 30}, "the width must be a multiple of 4 from 8 to 2048, but is 30"),
        ({"width": 4}, "the width must be a multiple of 4 from 8 to 2048, but is 4"),
        ({"distortion": -1}, "the distortion must be 0 or more, but is -1"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    words_folder(tmp_path, ("a", "b", "abc"))
    with pytest.raises(ValueError, match=message):
        text(str(tmp_path), **arguments)  # type: ignore[arg-type]


# --- the task


def test_the_alphabet_is_found_from_all_labels(tmp_path: Path) -> None:
    rows = [("a.png", "皖A", "train"), ("b.png", "苏B", "val"), ("c.png", "沪A", "test")]
    task = text(str(folder_of(tmp_path, rows)), known="Z")
    assert task.symbols == "ABZ沪皖苏"
    assert task.output_size == 7
    batch = next(task.source.check_batches(0, 0))
    assert batch.targets.tolist() == [[6, 2]]
    assert batch.inputs.dtype == torch.float32
    assert task.source.num_train() == 1


def test_only_training_pictures_are_distorted_each_time_anew(tmp_path: Path) -> None:
    words_folder(tmp_path, ("ab",))
    task = text(str(tmp_path))
    first, second, again = (task.source.training_batch(5, step, 1).inputs for step in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    plain = text(str(tmp_path), distortion=0).source.training_batch(5, 0, 1).inputs
    checked = next(task.source.check_batches(0, 0)).inputs
    assert torch.equal(plain, checked)
    assert not torch.equal(first, plain)


def test_the_digest_tells_data_apart(tmp_path: Path) -> None:
    word = load_words(words_folder(tmp_path, ("a", "b"))).splits["train"][0]
    other = word.columns.clone()
    other[3, 4] ^= 1
    kinds = [word, replace(word, text="c"), replace(word, name="n"), replace(word, columns=other)]
    assert len({digest_of([kind]) for kind in kinds}) == 4
    assert digest_of([word]) == digest_of([replace(word)])


def test_the_loss_and_what_is_right(tmp_path: Path) -> None:
    task = text(str(words_folder(tmp_path, ("ab", "b"))))
    batch = next(task.source.check_batches(0, 0))
    outputs = torch.full((2, 15, 3), -9.0)
    paths = [[1] * 7 + [2] * 8, [0] * 14 + [1]]  # "ab", and "a" where "b" stands
    for row, path in enumerate(paths):
        outputs[row, range(15), path] = 9.0
    assert task.right is not None
    assert task.loss is not None
    assert task.right(outputs, batch).tolist() == [True, False]
    losses = task.loss(outputs, batch)
    assert losses[0] < 0.1
    assert losses[1] > 10


# --- drawn words


def test_drawn_words_depend_on_their_seed_alone() -> None:
    task = text(alphabet="abc", length=4)
    first, again = (task.source.training_batch(1, 7, 3) for _ in range(2))
    other = task.source.training_batch(2, 7, 3)
    assert torch.equal(first.inputs, again.inputs)
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)
    lengths = (first.targets > 0).sum(1)
    assert ((lengths >= 3) & (lengths <= 4)).all()
    assert task.source.num_train() is None
    assert task.output_size == 4


def test_the_words_of_the_test_are_those_that_evaluate_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rondo.tasks.text.task.NUM_TESTED", 5)
    monkeypatch.setattr("rondo.data.sources.EVALUATED_TOGETHER", 2)
    task, words = text(alphabet="xyz"), text_words(alphabet="xyz").splits["test"]
    assert task.symbols == "xyz"
    rows = [row for batch in task.source.test_batches() for row in zip(
        batch.inputs, batch.targets, batch.lengths, strict=True)]  # fmt: skip
    assert len(rows) == len(words) == 5
    for (columns, target, length), word in zip(rows, words, strict=True):
        assert torch.equal(columns[:length].byte(), word.columns)
        assert "".join("xyz"[n - 1] for n in target.tolist() if n) == word.text


def test_drawn_words_show_their_letters() -> None:
    setter = Typesetter("il")
    narrow, wide = (
        np.mean([len(setter.draw(word, np.random.default_rng(n))) for n in range(9)])
        for word in ("il", "ilililil")
    )
    assert wide > 2 * narrow
    drawn = setter.draw("lil", np.random.default_rng(0), 100)
    assert drawn.shape == (100, 32)
    assert drawn.std() > 10


def test_a_character_that_no_font_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no font found has the character '皖'; give a folder"):
        Typesetter("a皖")
    with pytest.raises(ValueError, match=r"holds no font; fonts end in \.ttf"):
        text(fonts=str(tmp_path))


def test_words_too_long_for_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"words of 8 characters, .* need a width of 64 pixels"):
        text(width=60)
    assert text(width=64).output_size == 37
    with pytest.raises(ValueError, match="the length must be 1 or more, but is 0"):
        text(length=0)


# --- distortions


def test_without_strength_nothing_changes() -> None:
    columns = torch.randint(256, (48, 32), generator=torch.Generator().manual_seed(0)).byte()
    none = Distortion(0, 0, 0, 0, 0, 0, 0, 0, 0)
    found = distorted(columns, none, torch.Generator().manual_seed(1))
    assert (found.int() - columns.int()).abs().max() <= 1


@pytest.mark.parametrize("name", list(Distortion.__dataclass_fields__))
def test_every_distortion_does_something_and_keeps_the_word(name: str) -> None:
    columns = torch.from_numpy(np.asarray(picture("Hxo").convert("L")).T.copy())
    none = Distortion(0, 0, 0, 0, 0, 0, 0, 0, 0)
    strength = replace(none, **{name: 1.0 if "share" in name else getattr(Distortion(), name)})
    found = [distorted(columns, strength, torch.Generator().manual_seed(n)) for n in range(3)]
    for one in found:
        assert one.shape == columns.shape
        change = (one.float() - columns.float()).abs()
        assert 0.05 < change.mean() < 60
    assert not torch.equal(found[0], found[1])
