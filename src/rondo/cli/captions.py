"""`rondo evaluate` and `rondo predict` on a run of `rondo train captions`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.cli.commands import SOME_FAILED, SUCCESS, print_csv, run_path, sources_of, why_not
from rondo.cli.manual import UsageError
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.tasks.captions.answers import Caption, CaptionScore
    from rondo.tasks.captions.scores import Bleu

NOTE = (
    "A caption is a guess; of people it may say what is wrong or hurts. Do not publish it unread."
)
"""What is told with captions."""


def evaluate_captions(arguments: argparse.Namespace) -> int:
    """Measures a run on the pictures of its data or of other data."""
    from rondo.tasks.captions.answers import BEAM_WIDTH, Captioner

    _check(arguments)
    width = BEAM_WIDTH if arguments.beam_width is None else arguments.beam_width
    captioner = Captioner(run_path(arguments.RUN), width)
    data = None if arguments.data is None else Path(arguments.data)
    found = captioner.evaluate(data, arguments.split)
    if arguments.json:
        print(json_text({name: asdict(score) for name, score in found.items()}, indent=2))
    else:
        print("\n\n".join(_table(name, score) for name, score in found.items()))
    return SUCCESS


def predict_captions(arguments: argparse.Namespace) -> int:
    """Says what each picture shows."""
    from rondo.tasks.captions.answers import BEAM_WIDTH, DRAWN, Captioner

    _check(arguments)
    width = BEAM_WIDTH if arguments.beam_width is None else arguments.beam_width
    captioner = Captioner(run_path(arguments.RUN), width)
    words = arguments.IMAGE
    sources = [DRAWN] if words == [DRAWN] else list(sources_of(words, arguments.from_list))
    is_table = not (arguments.json or arguments.csv)
    said = []
    for caption in captioner.captions(sources):
        said.append(caption)
        if is_table:
            print("\n".join(_lines(caption, arguments.beam_width is not None)), flush=True)
    if arguments.json:
        print(json_text({"notes": [NOTE], "captions": [asdict(item) for item in said]}, indent=2))
    elif arguments.csv:
        print_csv(("source", "text", "probability", "error"), said)
    else:
        print(NOTE)
    return SOME_FAILED if any(item.error for item in said) else SUCCESS


def _check(arguments: argparse.Namespace) -> None:
    """Raises `UsageError` where an option of text alone is given."""
    for name in ("decoder", "lexicon", "min_confidence"):
        if getattr(arguments, name) not in (None, 0.0):
            raise UsageError(f"--{name.replace('_', '-')} is not for captions; leave it out")


def _table(name: str, score: CaptionScore) -> str:
    from rondo.system.columns import columns

    rows = [["the run", *_words(score.bleu)]]
    if score.typical is not None and score.nearest is not None:
        rows.append(["one caption for all", *_words(score.typical)])
        rows.append(["the nearest training picture's", *_words(score.nearest)])
    head = [f"{name}, {score.num_pictures} pictures", *(f"BLEU-{n}" for n in range(1, 5)), "exact"]
    lines = columns(head, rows)
    if score.perplexity is not None:
        lines = [*lines, f"perplexity {score.perplexity:.1f}"]
    return "\n".join(lines)


def _words(score: Bleu) -> list[str]:
    return [*(f"{value:.1f}" for value in score.orders), f"{score.exact:.0f} %"]


def _lines(caption: Caption, with_others: bool) -> list[str]:
    """A caption with its probability, and below it the next best ones if they are asked for."""
    if caption.error is not None:
        return [f"unread: {why_not(caption.source, caption.error)}"]
    best = f"{caption.source}: {caption.text}  ({_share(caption.probability)})"
    if not with_others:
        return [best]
    pairs = zip(caption.others, caption.other_probabilities, strict=True)
    return [best, *(f"    or: {text}  ({_share(value)})" for text, value in pairs)]


def _share(probability: float | None) -> str:
    return f"p = {probability or 0:.2g}"
