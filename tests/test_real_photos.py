"""On real photos: run with RONDO_FACES=PATH, a folder that `rondo train photo --data` can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rondo.tasks.photo.files import load_photos

FACES = os.environ.get("RONDO_FACES")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(FACES is None, reason="RONDO_FACES names no folder of photos"),
]


def test_every_listed_photo_is_loaded_or_reported() -> None:
    sets = load_photos(Path(str(FACES)), 32)
    assert {"train", "val", "test"} <= set(sets)
    for photos in sets.values():
        assert photos.pixels.float().std() > 20
        assert 0 < photos.labels.float().mean() < 1
    assert sum(map(len, sets.values())) > 100


def test_two_short_epochs_beat_the_majority_class(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rondo", "train", "photo", "--data", str(FACES)]
    command += ["--image-size", "32", "--epochs", "2", "--run", str(tmp_path / "run")]
    subprocess.run(command, check=True, timeout=1200)
    evaluated = subprocess.run(
        [
            sys.executable,
            "-m",
            "rondo",
            "evaluate",
            str(tmp_path / "run"),
            "--split",
            "test",
            "--json",
        ],
        check=True,
        capture_output=True,
        timeout=600,
    )
    test = json.loads(evaluated.stdout)["test"]
    assert test["accuracy"]["low"] > test["majority_rate"] + 0.1
