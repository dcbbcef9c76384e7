"""`rondo evaluate` and `rondo predict` on a run of `rondo train actions`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.cli.commands import SOME_FAILED, SUCCESS, lost_frames_told, run_path, say, why_not
from rondo.cli.manual import UsageError
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.tasks.actions.answers import Recognition


def evaluate_actions(arguments: argparse.Namespace) -> int:
    """Measures a run on the clips of its data or of other data."""
    from rondo.measures.abstention import answered
    from rondo.measures.classes import class_accuracy_table, confusion_table
    from rondo.measures.intervals import percent
    from rondo.system.columns import columns
    from rondo.tasks.actions.answers import Recogniser

    recogniser = Recogniser(run_path(arguments.RUN))
    data = None if arguments.data is None else Path(arguments.data)
    predicted = recogniser.evaluate(data, arguments.split)
    for note in recogniser.notes:
        say(note)
    evaluations = recogniser.evaluations(predicted)
    least = arguments.min_confidence
    given = {} if least is None else {n: answered(*both, least) for n, both in predicted.items()}
    if arguments.json:
        values = {name: item.to_dict() for name, item in evaluations.items()}
        for name, item in given.items():
            values[name]["answered"] = {
                "min_confidence": least,
                "coverage": item.coverage.value,
                "accuracy": item.accuracy.value if item.accuracy.num_photos else None,
            }
        print(json_text(values, indent=2))
        return SUCCESS
    blocks = [class_accuracy_table(evaluations)]
    blocks += [f"{name}:\n{confusion_table(item)}" for name, item in evaluations.items()]
    if given:
        rows = [
            [name, percent(item.coverage), percent(item.accuracy)] for name, item in given.items()
        ]
        head = [f"probability {least:g} or more", "answered (95 % interval)", "of these right"]
        blocks.append("\n".join(columns(head, rows)))
    print("\n\n".join(blocks))
    return SUCCESS


def predict_actions(arguments: argparse.Namespace) -> int:
    """Names the action of each clip, once or after every frame."""
    from rondo.tasks.actions.answers import Recogniser

    if "-" in arguments.IMAGE:
        raise UsageError("clips are files, or the word drawn; - is for pictures")
    recogniser = Recogniser(run_path(arguments.RUN), arguments.min_confidence)
    found = []
    if not arguments.json:
        print(f"{'answer':14} {'probability':>11} {'frames':>7}  clip")
    with lost_frames_told():
        for clip in recogniser.clips(arguments.IMAGE):
            answers = recogniser.stream(clip) if arguments.stream else [recogniser.recognise(clip)]
            for answer in answers:
                found.append(answer)
                if not arguments.json:
                    print(_line(answer), flush=True)
    if arguments.json:
        print(json_text({"predictions": [asdict(answer) for answer in found]}, indent=2))
    return SOME_FAILED if any(answer.error for answer in found) else SUCCESS


def _line(answer: Recognition) -> str:
    if answer.probabilities is None:
        return f"{'unread':14} {'-':>11} {'-':>7}  {why_not(answer.source, answer.error)}"
    value = f"{100 * max(answer.probabilities.values()):.1f} %"
    label = "" if answer.label is None else f" ({answer.label})"
    action = answer.action or "not sure"
    return f"{action:14} {value:>11} {answer.num_frames:7}  {answer.source}{label}"
