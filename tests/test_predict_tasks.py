"""`rondo predict` of characters, music, digits and the tasks of memory, and bad input of all."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from commands import Run
from rondo.data.sources import Example
from rondo.errors import RunError
from rondo.tasks.characters import answers as of_characters
from rondo.tasks.characters.answers import sample_run
from rondo.tasks.digits_by_row import answers as of_digits
from rondo.tasks.memory import answers as of_memory
from rondo.tasks.memory.definitions import Pause
from rondo.tasks.memory.forms import followers_of, form_of
from rondo.tasks.music import answers as of_music
from rondo.tasks.registry import definition_of
from small_runs import begun, folder_of
from test_actions import pose_folder
from test_captions import photo_folder
from test_segmentation import scene_folder
from test_sequence_tasks import digit_files, idx, rolls, text_file
from text_words import words_folder

MEMORY = ("adding", "multiplication", "temporal-order-6a", "temporal-order-6b", "reber", "copy",
          "parity")  # fmt: skip


def made(task: str, path: Path, *, even: bool = False, **given: Any) -> Path:
    """A run with new weights; with `even` all its outputs are 0."""
    session = begun(task, path, hidden_size=6, **given)
    network = session.network(is_new=True)
    if even:
        torch.nn.init.zeros_(network.output.weight)  # type: ignore[union-attr, arg-type]
        torch.nn.init.zeros_(network.output.bias)  # type: ignore[union-attr, arg-type]
    session.folder.write_weights(network.state_dict(), session.origin())
    return path


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each of these tasks, and data for each."""
    place = tmp_path_factory.mktemp("runs")
    text = text_file(place / "book.txt", "abcabca bcabc\n" * 100)
    made("characters", place / "characters", even=True, data=str(text), embedding_size=4)
    made("music", place / "music", even=True, data=str(rolls(place / "a.mat")))
    (place / "digits").mkdir()
    digit_files(place / "digits", "t10k", 40, packed=True)
    made("digits-by-row", place / "digits-by-row", data=str(place / "digits"))
    for task in MEMORY:
        made(task, place / task)
    return place


# --- characters


def test_bits_a_character_are_those_of_an_even_network(runs: Path, tmp_path: Path) -> None:
    answers = of_characters.Answers(runs / "characters")
    assert answers.symbols == "\ufffd\n abc"
    text = text_file(tmp_path / "a.txt", "abca\r\nxb")
    (found,) = answers.iterate([text])
    assert found.bits == pytest.approx(math.log2(6))
    assert (found.num_characters, found.num_unknown) == (7, 1)
    assert list(found.next_characters.values()) == pytest.approx([0.2] * 3)
    assert found.continuation == "\n" * 40  # the first of the known ones, which are all as likely
    (found,) = answers.iterate([text_file(tmp_path / "b.txt", "a")])
    assert (found.bits, found.num_characters) == (None, 1)


def test_a_long_text_is_measured_as_a_whole(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made("characters", tmp_path / "run", data=str(runs / "book.txt"), embedding_size=4)
    answers = of_characters.Answers(run)
    text = "abc cab\nabca" * 3
    whole = answers.measure("a", text)
    with torch.no_grad():
        numbers = of_characters.encoded(text, answers.symbols)
        logs = answers.model(numbers[None])[0][0].double().log_softmax(-1)
    bits = -logs[:-1].gather(1, numbers[1:, None]).mean() / math.log(2)
    assert whole.bits == pytest.approx(float(bits), rel=1e-5)
    for size in (1, 7, len(text) - 1):
        monkeypatch.setattr(of_characters, "READ_TOGETHER", size)
        parts = answers.measure("a", text)
        assert parts.bits == pytest.approx(whole.bits, rel=1e-5)
        assert parts.continuation == whole.continuation
    drawn = {"length": 40, "temperature": 0.0, "seed": 0}
    assert sample_run(run, start=text, **drawn) == whole.continuation
    assert next(iter(whole.next_characters)) == whole.continuation[0]


def test_texts_from_the_command_line(
    runs: Path, rondo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("b.txt", "a.txt"):
        text_file(tmp_path / "texts" / name, "abc")
    (tmp_path / "texts" / "c.md").write_text("no")
    code, out, _ = rondo("predict", str(runs / "characters"), "texts", "--json")
    found = json.loads(out)
    assert code == 0
    assert [answer["source"] for answer in found["predictions"]] == ["texts/a.txt", "texts/b.txt"]
    assert found["notes"][0].startswith("this run has not ended")
    stdin(monkeypatch, b"abcab")
    code, out, _ = rondo("predict", str(runs / "characters"), "-")
    head, first, second, *_ = out.splitlines()
    assert head.split()[:3] == ["bits", "a", "character"]
    assert first.split() == ["2.585", "5", "standard", "input"]
    assert second.split()[0] == "next"
    assert " 20 %" in second


def test_a_run_of_another_task_writes_no_text(runs: Path) -> None:
    with pytest.raises(RunError, match=r"parity does not predict characters; sample a run of"):
        sample_run(runs / "parity", length=3, temperature=1.0, start="", seed=0)
    with pytest.raises(RunError, match=r"there is no run folder|is not a run folder"):
        sample_run(runs / "nowhere", length=3, temperature=1.0, start="", seed=0)


# --- music


def test_pieces_of_both_kinds_of_files(runs: Path, tmp_path: Path) -> None:
    answers = of_music.Answers(runs / "music")
    found = list(answers.iterate([runs / "a.mat"]))
    names = ("traindata", "validdata", "testdata")
    assert [answer.source for answer in found] == [
        f"{runs / 'a.mat'}#{name}[{number}]" for name in names for number in range(3)
    ]
    assert [answer.num_steps for answer in found] == [5, 9, 7] * 3
    assert [answer.nats for answer in found] == pytest.approx([88 * math.log(2)] * 9)
    np.savez(tmp_path / "b.npz", one=np.eye(4, 88), two=np.zeros((2, 1, 88), bool))
    found = list(answers.iterate([str(tmp_path / "b.npz")]))
    assert [answer.source.partition("#")[2] for answer in found] == ["one", "two[0]", "two[1]"]
    assert [answer.nats is None for answer in found] == [False, True, True]
    assert list(found[0].next_keys.values()) == pytest.approx([0.5] * 5)
    savemat(str(tmp_path / "c.mat"), {"roll": np.eye(3, 88)})
    (answer,) = answers.iterate([tmp_path / "c.mat"])
    assert (answer.num_steps, answer.error) == (3, None)


def test_the_likeliest_keys_are_named(runs: Path) -> None:
    answers = of_music.Answers(runs / "music")
    with torch.no_grad():
        answers.model.output.bias[39] = 3.0  # middle C
    found = answers.hear("a", torch.zeros(2, 88))
    assert next(iter(found.next_keys.items())) == ("C4", pytest.approx(0.9526, abs=1e-4))
    assert "a: C4 95 %, " in answers.line(found)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 87)), r"a piece must be \(T, 88\) of a step or more, got \(4, 87\)"),
        (np.zeros((0, 88)), r"got \(0, 88\)"),
        (np.full((4, 88), 0.5), "a piece must hold zeros and ones alone"),
        (np.full((4, 88), np.nan), "a piece must hold zeros and ones alone"),
        (np.full((4, 88), "x"), "a piece must hold zeros and ones alone"),
    ],
)
def test_what_is_no_piece_is_told(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of_music.roll_of(values)


# --- digits


def test_idx_files_are_read_with_their_labels(runs: Path, rondo: Run) -> None:
    file = runs / "digits" / "t10k-images-idx3-ubyte.gz"
    answers = of_digits.Answers(runs / "digits-by-row")
    found = list(answers.iterate([str(runs / "digits")]))
    assert [answer.source for answer in found] == [f"{file}#{number}" for number in range(40)]
    assert [answer.label for answer in found] == [number % 10 for number in range(40)]
    batch = next(iter(definition_of("digits-by-row").make_task(
        folder_of("digits-by-row", runs / "digits-by-row").read_config().options
    ).source.test_batches()))  # fmt: skip
    with torch.no_grad():
        chances = answers.model(batch.inputs)[0].double().softmax(-1)
    for answer, row in zip(found[36:], chances, strict=True):
        assert answer.probabilities == pytest.approx(row.tolist(), abs=1e-6)
        assert answer.digit == int(row.argmax())
        assert answer.probability == pytest.approx(float(row.max()), abs=1e-6)
    code, out, _ = rondo("predict", str(runs / "digits-by-row"), str(file), "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, len(rows)) == (0, 40)
    assert json.loads(rows[36]["probabilities"]) == pytest.approx(chances[0].tolist(), abs=1e-6)


def test_pictures_become_light_digits_on_black(runs: Path, tmp_path: Path, rondo: Run) -> None:
    light = np.zeros((40, 20), np.uint8)
    light[5:35, 8:12] = 255
    Image.fromarray(light).save(tmp_path / "light.png")
    Image.fromarray(255 - light).save(tmp_path / "dark.png")
    rows, inverted = of_digits.rows_of(light, 28)
    assert not inverted
    assert rows.shape == (28, 28)
    assert float(rows[:, :10].max()) == float(rows[:, 18:].max()) == 0  # the sides are added
    assert float(rows[14, 14]) > 0.9
    again, inverted = of_digits.rows_of(255 - light, 28)
    assert inverted
    assert torch.equal(rows, again)
    code, out, _ = rondo("predict", str(runs / "digits-by-row"), "light.png", "dark.png")
    lines = out.splitlines()
    assert code == 0
    assert lines[2] == lines[1].replace("light.png", "dark.png") + ", inverted"
    assert "inverted before they were read: 1 pictures" in out


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 20, 20), r"images \(N, 28, 28\), but holds \(3, 20, 20\)"),
        ((3, 28), r"holds \(3, 28\)"),
    ],
)
def test_images_of_another_size_are_told(
    runs: Path, tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    idx(tmp_path / "a-images-idx3-ubyte", np.zeros(shape))
    (answer,) = of_digits.Answers(runs / "digits-by-row").iterate([tmp_path])
    with pytest.raises(ValueError, match=message):
        raise ValueError(answer.error)


def test_labels_of_another_number_are_told(runs: Path, tmp_path: Path) -> None:
    idx(tmp_path / "a-images-idx3-ubyte", np.zeros((3, 28, 28)))
    idx(tmp_path / "a-labels-idx1-ubyte", np.zeros(2))
    (answer,) = of_digits.Answers(runs / "digits-by-row").iterate([tmp_path])
    assert "must hold a label for each of 3 images, but holds (2,)" in str(answer.error)


# --- memory


@pytest.mark.parametrize("task", MEMORY)
def test_new_sequences_have_their_right_answer_beside(runs: Path, rondo: Run, task: str) -> None:
    """What is written as text and read again gets the same answers."""
    code, out, _ = rondo("predict", str(runs / task), "drawn", "--jsonl")
    _, *lines = out.splitlines()
    found = [json.loads(line) for line in lines]
    assert (code, len(found)) == (0, 8)
    assert [answer["source"] for answer in found] == [f"drawn#{n}" for n in range(8)]
    assert all(answer["is_right"] is not None and answer["error"] is None for answer in found)
    if task in ("adding", "multiplication"):
        return
    text = "".join(f"{answer['sequence']}\n" for answer in found)
    Path("a.txt").write_text(text)
    code, out, _ = rondo("predict", str(runs / task), "a.txt", "--jsonl")
    again = [json.loads(line) for line in out.splitlines()[1:]]
    assert [answer["source"] for answer in again] == [f"a.txt:{n}" for n in range(1, 9)]
    for answer, other in zip(found, again, strict=True):
        assert {**answer, "source": "", "probability": 0} == {
            **other,
            "source": "",
            "probability": 0,
        }
        assert answer["probability"] == pytest.approx(other["probability"], rel=1e-5)


@pytest.mark.parametrize(
    ("task", "line", "right"),
    [
        ("parity", "0 1,1 0", "0100"),
        ("temporal-order-6a", "EaXbYcB", "R"),
        ("temporal-order-6b", "E Y X a Y B", "A"),
        ("copy", "3 1 8 2 2 5 7 6 4 1", "3182257641"),
        ("reber", "BTBTXSETE", "[TP]B[TP][SX][SX]ETE"),
        ("reber", "BPBP", "[TP]B[TP][TV]"),
    ],
)
def test_the_right_answer_of_a_line(runs: Path, task: str, line: str, right: str) -> None:
    answers = of_memory.Answers(runs / task)
    example = answers.form.parse(line)
    found = answers.answer("a", example)
    assert found.right == right
    with torch.no_grad():
        outputs = answers.model(example.inputs[None])[0][0]
    assert found.answer == answers.form.answer(outputs, example)[0]


@pytest.mark.parametrize("task", ["parity", "copy", "reber"])
def test_an_answer_that_is_right_counts_as_right(runs: Path, task: str) -> None:
    """Outputs of a network that knows the answer, and of one that is wrong in its last step."""
    answers = of_memory.Answers(runs / task)
    example = answers.form.draw(answers.task)[0]
    perfect = torch.nn.functional.one_hot(example.targets, answers.task.output_size).float()
    if example.allowed is not None:
        perfect = example.allowed.float()
    wrong = perfect.clone()
    wrong[-1] = wrong[-1].roll(1)
    for outputs, is_right in ((20 * perfect, True), (20 * wrong, False)):
        answers.model = lambda _, outputs=outputs: (outputs[None], ())  # type: ignore[misc, assignment]
        found = answers.answer("a", example)
        assert found.is_right == is_right
        assert found.probability == pytest.approx(1, abs=1e-6)
        if task != "reber":
            assert (found.answer == found.right) == is_right


def test_pairs_of_tables(runs: Path, tmp_path: Path) -> None:
    rows = [(0.5, -1), (-0.25, 1), (0.125, 0), (0.75, 1), (0, -1)]
    text = "".join(f"{value},{marker}\n" for value, marker in rows)
    first = text.replace("-0.25,1", "-0.25,0")  # then the first row is the other marked one
    (tmp_path / "a.csv").write_text(f"value,marker\n{text}\n\n{first}")
    np.savez(tmp_path / "a.npz", one=np.array(rows), more=np.array([rows, rows]))
    answers = of_memory.Answers(runs / "adding")
    found = list(answers.iterate([tmp_path]))
    assert [answer.source.partition("#")[2] for answer in found] == [
        "0", "1", "one", "more[0]", "more[1]",
    ]  # fmt: skip
    assert [answer.right for answer in found] == [0.625, 0.6875, *[0.625] * 3]
    assert len({answer.answer for answer in (found[0], *found[2:])}) == 1
    assert found[0].sequence == "5 rows, marked -0.2500 and 0.7500"
    assert found[0].probability is None
    product = of_memory.Answers(runs / "multiplication")
    (tmp_path / "b.csv").write_text(text.replace("-0.25", "0.25"))
    (answer,) = product.iterate([tmp_path / "b.csv"])
    assert answer.right == 0.1875


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("parity", "0120", "a sequence must hold the bits 0 and 1 alone, but is '0120'"),
        ("copy", "1 2 3", "must be 10 symbols from 1 to 8; the pause and the sign are added"),
        ("copy", "1234567890", "must be 10 symbols from 1 to 8"),
        ("temporal-order-6a", "aXYB", "must begin with E, end with B, and hold X, Y, a, b, c, d"),
        ("temporal-order-6a", "EaXB", "must hold X or Y 2 times, but holds them 1 times"),
        ("temporal-order-6b", "EXYB", "must hold X or Y 3 times, but holds them 2 times"),
        ("reber", "TB", "symbol 1 is 'T', but first must come B"),
        ("reber", "BTBX", "symbol 4 is 'X', but after 'BTB' must come T or P"),
        ("reber", "BTBTXSEPE", "symbol 8 is 'P', but after 'BTBTXSE' must come T"),
        ("reber", "BTBTXSETEE", "symbol 10 is 'E', but after 'BTBTXSETE' must come nothing"),
        ("adding", "1,-1\n2,1\n0,1\n0,-1", "row 2: the value must be from -1 to 1, but is 2"),
        ("adding", "nan,-1\n0,1\n0,1\n0,-1", "row 1: the value must be from -1 to 1, but is nan"),
        ("multiplication", "1,-1\n-0.5,1\n0,-1", "row 2: the value must be from 0 to 1"),
        ("adding", "1,-1\n1,1\n0,1\n0,0", "the marker must be -1 in the first and the last row"),
        ("adding", "1,-1\n1,0\n0,0\n0,-1", "the marker must be -1 in the first and the last row"),
        ("adding", "1,-1\n0,nan\n0,1\n0,-1", "the marker must be -1 in the first and the last"),
        ("adding", "a,b\nc,d\ne,f", "each row must hold two numbers, value,marker"),
        ("adding", "1,2,3\n1,2,3\n1,2,3", "three rows or more of two numbers, value,marker"),
        ("adding", "1\n1,2\n1,2", "each row must hold two numbers, value,marker"),
        ("adding", "0,-1\n0,-1", "three rows or more"),
        ("parity", "\n \n", "it holds no sequence; give bits such as 0110 a line"),
        ("adding", "value,marker\n\n", "it holds no sequence; give rows value,marker"),
        ("parity", "0\0", "it is no text: it holds the byte 0"),
    ],
)
def test_what_must_stand_there_is_told(
    runs: Path, tmp_path: Path, task: str, text: str, message: str
) -> None:
    (tmp_path / "a.txt").write_text(text)
    (answer,) = of_memory.Answers(runs / task).iterate([tmp_path / "a.txt"])
    assert message in str(answer.error)
    assert answer.answer is None


def test_the_followers_of_every_drawn_string_are_found() -> None:
    from rondo.data.seeds import generator_for
    from rondo.tasks.memory.reber import draw_string

    generator = generator_for("test of followers")
    for _ in range(50):
        text, followers = draw_string(generator)
        assert [set(may) for may in followers_of(text)] == [*map(set, followers), set()]


def test_the_pause_is_that_of_the_run() -> None:
    example = form_of("copy", Pause(7)).parse("1" * 10)
    assert isinstance(example, Example)
    assert example.inputs.shape == (27, 10)
    with pytest.raises(RunError, match="there is no task of memory 'text'"):
        form_of("text", None)


# --- bad input of every task


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the tasks on pictures, clips and words."""
    place = tmp_path_factory.mktemp("others")
    words_folder(place / "words", ("ab", "b"))
    made("text", place / "text", data=str(place / "words"), channels=2)
    made("actions", place / "actions", data=str(pose_folder(place / "poses")))
    (place / "scenes").mkdir()
    scenes = scene_folder(place / "scenes")
    made("segmentation", place / "segmentation", data=str(scenes), channels=2, num_layers=1)
    photos = photo_folder(place / "photos")
    made("captions", place / "captions", data=str(photos), embedding_size=4)
    return place


TASKS = {
    "characters": ("txt", True), "music": ("npz", True), "digits-by-row": ("png", True),
    "parity": ("txt", True), "adding": ("npz", True), "text": ("png", True),
    "actions": ("npz", False), "segmentation": ("png", False), "captions": ("png", True),
}  # fmt: skip
"""The ending of a file of each task, and whether standard input is read."""


@pytest.mark.parametrize("task", TASKS)
def test_bad_files_are_told_and_the_others_answered(
    runs: Path, others: Path, rondo: Run, tmp_path: Path, task: str
) -> None:
    run = (runs if (runs / task).exists() else others) / task
    end, _ = TASKS[task]
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "a.doc").touch()
    (tmp_path / f"empty.{end}").touch()
    (tmp_path / f"damaged.{end}").write_bytes(b"\xff\xfe\x00 damaged" * 9)
    names = ["absent." + end, "nothing", f"empty.{end}", f"damaged.{end}"]
    code, out, _ = rondo("predict", str(run), *names, "--json")
    found = json.loads(out)["predictions"]
    assert code == 1
    assert [answer["source"] for answer in found] == names
    assert all(answer["error"] for answer in found)
    assert "the folder holds no " in found[1]["error"]
    more = ("--output", "two") if task == "segmentation" else ()
    code, out, _ = rondo("predict", str(run), *names, "--csv", *more)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert [row["error"] for row in rows] == [answer["error"] for answer in found]
    assert next(iter(rows[0])) == "source"


@pytest.mark.parametrize("task", [name for name, (_, reads) in TASKS.items() if reads])
def test_an_empty_standard_input_is_told(
    runs: Path, others: Path, rondo: Run, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (runs if (runs / task).exists() else others) / task
    stdin(monkeypatch, b"")
    code, out, _ = rondo("predict", str(run), "-", "--json")
    (answer,) = json.loads(out)["predictions"]
    assert code == 1
    assert answer["source"] == "standard input"
    assert "the file is empty" in answer["error"]


@pytest.mark.parametrize("task", ["actions", "segmentation"])
def test_tasks_that_need_files_say_so(others: Path, rondo: Run, task: str) -> None:
    code, out, err = rondo("predict", str(others / task), "-", "--json")
    assert (code, out) == (2, "")
    assert "are files, or the word drawn; - is for p" in err


def test_paths_are_taken_from_a_list(
    runs: Path, rondo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("01")
    stdin(monkeypatch, b"a.txt\ngone.txt\n")
    code, out, _ = rondo("predict", str(runs / "parity"), "-", "--from-list", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert [(row["source"], row["right"], row["error"]) for row in rows] == [
        ("a.txt:1", "01", ""), ("gone.txt", "", "the file is missing"),
    ]  # fmt: skip


@pytest.mark.parametrize("task", ["characters", "music", "digits-by-row", "parity"])
def test_these_runs_are_evaluated_by_loss(runs: Path, rondo: Run, task: str) -> None:
    code, out, err = rondo("evaluate", str(runs / task), "--json", "--split", "test")
    assert code == 0, err
    values = json.loads(out)["test"]
    assert values["loss"] > 0
    if task == "characters":
        assert values["loss"] == pytest.approx(math.log2(6), rel=1e-5)
    if task == "music":
        assert values["loss"] == pytest.approx(88 * math.log(2), rel=1e-5)
