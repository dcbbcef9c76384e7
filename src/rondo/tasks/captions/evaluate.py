"""What a run that writes captions is worth: BLEU beside simple answers, and perplexity."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from rondo.data.batch import Batch
from rondo.errors import RunError, look_up
from rondo.system.columns import columns
from rondo.tasks.captions.answers import BEAM_WIDTH, Captioner
from rondo.tasks.captions.scores import (
    Bleu,
    bleu,
    most_typical,
    nearest_captions,
    sacrebleu_metrics,
)
from rondo.tasks.captions.task import CaptionSource, Told, drawn_test
from rondo.training.definition import DRAWN
from rondo.training.measure import task_of_run
from rondo.training.objective import Objective
from rondo.training.run_folder import RunFolder


def evaluate(
    folder: RunFolder,
    *,
    data: str | None = None,
    split: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    beam_width: int | None = None,
) -> CaptionsEvaluation:
    """Returns what the captions of val and test, or of the split that is named, are worth.

    Args:
        folder: The run folder.
        data: Another folder of photos, or None for the run's own data.
        split: "train", "val" or "test" of a folder; of drawn pictures there is the test alone.
        say: Is given each line for the user.
        beam_width: Beginnings that beam search keeps, or None for the usual ones.

    Raises:
        RunError: If the data cannot be used.
        ModuleNotFoundError: Where sacrebleu is not installed.
    """
    sacrebleu_metrics()  # before minutes of work
    captioner = Captioner(folder.path, BEAM_WIDTH if beam_width is None else beam_width)
    if (captioner.config.options.data if data is None else data) == DRAWN:
        look_up("split", split or "test", {"test": None})
        if not captioner.sees_pixels:
            raise RunError("the run learnt from photos, and cannot be measured on drawn pictures")
        return CaptionsEvaluation({"test": _score(captioner, drawn_test(), None, None)})
    if captioner.sees_pixels:
        raise RunError("the run learnt from drawn pictures, and cannot be measured on photos")
    task = task_of_run(folder, data, say)
    for note in task.notes:
        say(note)
    assert isinstance(task.source, CaptionSource)
    source = CaptionSource(task.source.splits, captioner.vocabulary)
    wanted = ("val", "test") if split is None else (split,)
    splits = {name: look_up("split", name, source.splits) for name in wanted}
    batches = {"val": source.check_batches(0, 0), "test": source.test_batches()}
    train = source.splits["train"]
    simple = Simple(train, most_typical(train))
    return CaptionsEvaluation(
        {name: _score(captioner, told, simple, batches.get(name)) for name, told in splits.items()}
    )


@dataclass(frozen=True)
class CaptionScore:
    """What the captions of some pictures are worth.

    Args:
        num_pictures: How many pictures.
        perplexity: e to the mean of -ln p of the words that people wrote, and of their ends; None
            for drawn pictures, where it depends on the captions that are drawn.
        bleu: Of the network.
        typical: Of one caption for all pictures, the training caption that fits most; None for
            drawn pictures.
        nearest: Of the caption of the nearest training picture; None for drawn pictures.
        said: The caption of each picture, by its name.
    """

    num_pictures: int
    perplexity: float | None
    bleu: Bleu
    typical: Bleu | None
    nearest: Bleu | None
    said: dict[str, str]


@dataclass(frozen=True)
class Simple:
    """What the answers that need no network are made of.

    Args:
        train: The training pictures.
        typical: The caption that fits them most.
    """

    train: Sequence[Told]
    typical: str


@dataclass(frozen=True)
class CaptionsEvaluation:
    """What a run is worth.

    Args:
        scores: The score of each split.
    """

    scores: dict[str, CaptionScore]

    def values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return {name: asdict(score) for name, score in self.scores.items()}

    def lines(self) -> list[str]:
        """Returns a table for each split."""
        tables = [_table(name, score) for name, score in self.scores.items()]
        return "\n\n".join(tables).split("\n")


def _table(name: str, score: CaptionScore) -> str:
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


def _score(
    captioner: Captioner,
    told: Sequence[Told],
    simple: Simple | None,
    batches: Iterator[Batch] | None,
) -> CaptionScore:
    said = [captioner.text_of(best) for best, *_ in captioner.say([item.seen for item in told])]
    references = [item.captions for item in told]
    typical = nearest = None
    if simple is not None:
        typical = bleu([simple.typical] * len(told), references)
        nearest = bleu(nearest_captions(told, simple.train), references)
    names = [item.name for item in told]
    return CaptionScore(
        num_pictures=len(told),
        perplexity=None if batches is None else _perplexity(captioner, batches),
        bleu=bleu(said, references),
        typical=typical,
        nearest=nearest,
        said=dict(zip(names, said, strict=True)),
    )


@torch.no_grad()
def _perplexity(captioner: Captioner, batches: Iterator[Batch]) -> float:
    total, number, objective = 0.0, 0, Objective("cross_entropy")
    for batch in batches:
        logits, _ = captioner.model(batch.inputs, pictures=batch.pictures, lengths=batch.lengths)
        total += float(objective.distances(logits, batch.targets, batch.lengths).double().sum())
        assert batch.lengths is not None
        number += int(batch.lengths.sum())
    return math.exp(total / number)
