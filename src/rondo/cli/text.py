"""`rondo evaluate` and `rondo predict` of runs that read words in pictures."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SOME_FAILED, SUCCESS, print_csv, run_path, say, sources_of, why_not
from rondo.cli.manual import UsageError
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.tasks.text.answers import Decoding, Reading, TextScore


def evaluate_text(arguments: argparse.Namespace) -> int:
    """Measures how well a run reads words."""
    path = run_path(arguments.RUN)
    from rondo.errors import look_up
    from rondo.tasks.text.answers import Reader

    reader = Reader.load(path, _decoding(arguments))
    splits = _splits(path, arguments.data)
    if arguments.split is not None:
        splits = {arguments.split: look_up("split", arguments.split, splits)}
    elif "test" in splits:
        splits = {name: words for name, words in splits.items() if name != "train"}
    scores = {name: reader.score(words) for name, words in splits.items()}
    if arguments.json:
        print(json_text({name: _values(score) for name, score in scores.items()}, indent=2))
    else:
        print("\n".join(_lines(scores, arguments.split)))
    return SUCCESS


def predict_text(arguments: argparse.Namespace) -> int:
    """Reads the word in each picture."""
    from rondo.tasks.text.answers import Reader

    reader = Reader.load(run_path(arguments.RUN), _decoding(arguments))
    sources = list(sources_of(arguments.IMAGE, arguments.from_list))
    is_table = not (arguments.json or arguments.csv)
    readings = []
    if is_table:
        print(f"{'text':16} {'probability':>11}  picture")
    for reading in reader.iterate(sources):
        readings.append(reading)
        if is_table:
            print(_line(reading), flush=True)
    if arguments.json:
        print(json_text([asdict(reading) for reading in readings], indent=2))
    elif arguments.csv:
        print_csv(("source", "text", "probability", "error"), readings)
    return SOME_FAILED if any(reading.error for reading in readings) else SUCCESS


def _splits(path: Path, data: str | None) -> dict[str, Any]:
    """Returns the words of each split of the run's own data, or of others."""
    from rondo.errors import RunError
    from rondo.tasks.text.task import text_words
    from rondo.training.sequences.folder import SequenceFolder

    given = SequenceFolder(path, "text").read_config().task_arguments
    if data is not None:
        given = {**given, "data": None if data == "drawn" else data}
    try:
        sets = text_words(**given)
    except (ValueError, OSError) as error:
        raise RunError(
            f"cannot use the data {given.get('data') or 'drawn here'}: {error}"
        ) from error
    say(str(sets))
    return sets.splits


def _decoding(arguments: argparse.Namespace) -> Decoding:
    from rondo.tasks.text.answers import Decoding, read_lexicon

    if arguments.lexicon is not None and arguments.decoder is not None:
        raise UsageError("--lexicon compares the words of the lexicon; leave out --decoder")
    lexicon = None if arguments.lexicon is None else read_lexicon(arguments.lexicon)
    width = Decoding.beam_width if arguments.beam_width is None else arguments.beam_width
    return Decoding(arguments.decoder or "greedy", width, lexicon, arguments.min_confidence or 0.0)


def _values(score: TextScore) -> dict[str, Any]:
    return {
        "words": asdict(score.words),
        "character_error_rate": score.character_error_rate,
        "num_characters": score.num_characters,
        "unknown_characters": score.unknown,
        "wrong": [{**asdict(reading), "label": text} for reading, text in score.wrong],
    }


def _lines(scores: dict[str, TextScore], split: str | None) -> list[str]:
    from rondo.measures.intervals import percent

    lines = [f"{'split':8} {'words':>6}  {'right (95 % interval)':24} character error rate"]
    for name, score in scores.items():
        right = score.words
        rate = f"{100 * score.character_error_rate:.2f} %"
        lines.append(f"{name:8} {right.num_photos:6g}  {percent(right):24} {rate}")
    for name, score in scores.items():
        if score.unknown:
            lines.append(f"{name}: the run has no output for {score.unknown}")
    if split is not None:
        lines += ["", f"{'text':16} {'label':16} {'probability':>11}  picture"]
        lines += [_wrong_line(*pair) for pair in scores[split].wrong]
    return lines


def _wrong_line(reading: Reading, label: str) -> str:
    return (
        f"{_text(reading):16} {label:16} {100 * (reading.probability or 0):9.1f} %  "
        f"{reading.source}"
    )


def _line(reading: Reading) -> str:
    if reading.error is not None:
        return f"{'unread':16} {'-':>11}  {why_not(reading.source, reading.error)}"
    return f"{_text(reading):16} {100 * (reading.probability or 0):9.1f} %  {reading.source}"


def _text(reading: Reading) -> str:
    return "not sure" if reading.text is None else reading.text or "(nothing)"
