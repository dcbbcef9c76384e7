"""`rondo evaluate` and `rondo predict` on a run of `rondo train segmentation`."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SOME_FAILED, SUCCESS, lost_frames_told, run_path, say, why_not
from rondo.cli.manual import UsageError
from rondo.system.files import write_bytes
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.tasks.segmentation.answers import Segmentation, Segmenter

OUTPUT = "segmented"
"""The folder that is written where none is named."""

NUM_SHOWN = 3
"""So many classes of a picture are told."""


def evaluate_segmentation(arguments: argparse.Namespace) -> int:
    """Measures a run on the pictures of its data or of other data."""
    from rondo.tasks.segmentation.answers import Segmenter
    from rondo.tasks.segmentation.regions import region_table

    if arguments.min_confidence is not None:
        raise UsageError("--min-confidence is not for segmentation, where pixels are counted")
    segmenter = Segmenter(run_path(arguments.RUN))
    data = None if arguments.data is None else Path(arguments.data)
    found = segmenter.evaluate(data, arguments.split)
    for note in segmenter.notes:
        say(note)
    if arguments.json:
        print(json_text({name: item.to_dict() for name, item in found.items()}, indent=2))
    else:
        print(region_table(found))
    return SUCCESS


def predict_segmentation(arguments: argparse.Namespace) -> int:
    """Names the class of each pixel; writes a label map and an overlay for each picture."""
    from rondo.tasks.segmentation.answers import Segmenter

    if "-" in arguments.IMAGE:
        raise UsageError("pictures and videos are files, or the word drawn; - is for photos")
    segmenter = Segmenter(run_path(arguments.RUN), arguments.min_confidence)
    folder = _new_folder(Path(OUTPUT) if arguments.output is None else arguments.output)
    found = []
    with lost_frames_told():
        for number, answer in enumerate(segmenter.segment(segmenter.pictures(arguments.IMAGE))):
            item = _written(answer, segmenter, folder, number)
            found.append(item)
            if not arguments.json:
                print(_line(item), flush=True)
    if arguments.json:
        print(json_text({"predictions": found}, indent=2))
    else:
        say(f"label maps and overlays are in {folder}")
    return SOME_FAILED if any(item["error"] for item in found) else SUCCESS


def _new_folder(folder: Path) -> Path:
    """Makes the folder for the answers; one that holds something is never written into."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; name another folder with --output")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _written(
    answer: Segmentation, segmenter: Segmenter, folder: Path, number: int
) -> dict[str, Any]:
    """Writes an answer; returns what is told of it."""
    from PIL import Image

    from rondo.tasks.segmentation.answers import overlay

    picture, labels = answer.picture, answer.labels
    if labels is None or picture.pixels is None:
        return {"source": picture.source, "shares": None, "files": [], "error": picture.error}
    stem = f"{number:05}-{Path(picture.source).name.replace('#', '-')}"
    files = [folder / f"{stem}.labels.png", folder / f"{stem}.overlay.png"]
    shown = overlay(picture.pixels, labels, len(segmenter.classes))
    for file, image in zip(files, (Image.fromarray(labels), shown), strict=True):
        contents = io.BytesIO()
        image.save(contents, "PNG")
        write_bytes(file, contents.getvalue())
    return {
        "source": picture.source,
        "shares": segmenter.shares(labels),
        "files": [str(file) for file in files],
        "error": "",
    }


def _line(item: dict[str, Any]) -> str:
    if item["error"]:
        return f"unread: {why_not(item['source'], item['error'])}"
    shares = list(item["shares"].items())[:NUM_SHOWN]
    words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
    return f"{item['source']}: {words}"
