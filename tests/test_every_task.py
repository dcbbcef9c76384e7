"""What can be done with every task: train, evaluate, predict, start from a run, resume, look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cases import slow_beyond
from commands import Run
from rondo.tasks.registry import PLACES, definition_of
from test_sequence_tasks import rolls, text_file

SMALL = "--batch-size 8 --threads 1 --set check_every=8"
"""Options of all trainings but that of photos."""


def digits(folder: Path) -> Path:
    """A folder in the form of MNIST, of random pixels."""
    random, folder = np.random.default_rng(0), folder / "digits"
    folder.mkdir()
    for part, number in (("train", 24), ("t10k", 12)):
        pixels = random.integers(0, 255, (number, 28, 28), dtype=np.uint8)
        labels = (np.arange(number) % 10).astype(np.uint8)
        head = np.array([0x803, number, 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = np.array([0x801, number], ">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    Image.fromarray(pixels[0]).save(folder.parent / "digit.png")
    return folder


DATA: dict[str, Callable[[Path], Path]] = {
    "music": lambda folder: rolls(folder / "rolls.mat"),
    "characters": lambda folder: text_file(folder / "text.txt"),
    "digits-by-row": digits,
}
"""The data of tasks that draw none."""

ASKED = {"music": "rolls.mat", "characters": "text.txt", "digits-by-row": "digit.png"}
"""What their runs are asked about; those of other tasks about what is drawn."""

OPTIONS = {
    "photo": "--num-drawn 16 --epochs 1 --image-size 32 --batch-size 8 --threads 1",
    "text": f"--sequences 8 --hidden-size 4 --num-layers 1 --channels 4 {SMALL}",
    "segmentation": f"--sequences 8 --hidden-size 4 --channels 4 {SMALL}",
    "captions": f"--sequences 8 --hidden-size 4 --embedding-size 4 {SMALL}",
    "series": f"--sequences 16 --hidden-size 4 --channels 4 {SMALL}",
    "characters": f"--sequences 8 --hidden-size 4 --embedding-size 4 {SMALL}",
}
"""Options of short trainings."""


@pytest.mark.parametrize("task", slow_beyond(list(PLACES), ["photo", "series", "music", "parity"]))
def test_a_run_of_every_task_can_be_used(task: str, rondo: Run, tmp_path: Path) -> None:
    words = OPTIONS.get(task, f"--sequences 8 --hidden-size 4 {SMALL}").split()
    if task in DATA:
        words += ["--data", str(DATA[task](tmp_path))]
    code, out, err = rondo("train", task, *words, "--run", "first", "--log", "csv")
    assert code == 0, err
    assert "test: " in out
    for name in ("model_card.md", "report.html", "metrics.csv", "model.safetensors"):
        assert (tmp_path / "first" / name).stat().st_size > 100, name
    assert "<svg" in (tmp_path / "first" / "report.html").read_text()

    code, out, err = rondo("evaluate", "first", "--split", "test", "--json")
    assert code == 0, err
    assert "test" in json.loads(out)

    asked = str(tmp_path / ASKED[task]) if task in ASKED else "drawn"
    if task == "photo":
        Image.new("RGB", (64, 64), "grey").save(tmp_path / "grey.png")
        asked = "grey.png"
    found = {}
    for form in ("--json", "--jsonl", "--csv"):
        more = ("--output", f"written{form}") if task == "segmentation" else ()
        code, found[form], err = rondo("predict", "first", asked, form, *more)
        assert code == 0, err
    answers = json.loads(found["--json"])["predictions"]
    assert answers
    assert all(answer["source"] and not answer["error"] for answer in answers)
    lines = [json.loads(line) for line in found["--jsonl"].splitlines()]
    assert [line["source"] for line in lines[1:]] == [answer["source"] for answer in answers]
    assert len(found["--csv"].splitlines()) > len(answers)

    code, _, err = rondo("train", task, *words, "--run", "second", "--start-from", "first",
                         "--report", "false")  # fmt: skip
    assert code == 0, err
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in (
        "first", "second"))  # fmt: skip
    assert second["start_from"] == str(tmp_path / "first")
    assert first["recipe"] == second["recipe"]

    before = (tmp_path / "first" / "metrics.jsonl").read_text()
    code, _, err = rondo("train", task, "--resume", "first")
    assert code == 0, err
    assert _figures(before) == _figures((tmp_path / "first" / "metrics.jsonl").read_text())


def _figures(text: str) -> list[dict[str, object]]:
    """The records but for times."""
    records = [json.loads(line) for line in text.splitlines()]
    return [
        {name: value for name, value in record.items() if "second" not in name}
        for record in records
    ]


@pytest.mark.parametrize("task", PLACES)
def test_every_task_says_what_it_predicts(task: str) -> None:
    assert definition_of(task).predict is not None
