"""Answers of a run of `rondo train captions`, for pictures that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.pictures import PhotoError, name_of, read_pixels
from rondo.errors import RunError, check_from_1, look_up
from rondo.models.beam_search import Found, beam_search
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.tasks.captions.scores import (
    Bleu,
    bleu,
    most_typical,
    nearest_captions,
    sacrebleu_metrics,
)
from rondo.tasks.captions.task import CaptionSource, Looker, Told, drawn_test
from rondo.tasks.captions.vocabulary import END, UNKNOWN, Vocabulary
from rondo.training.objective import Objective
from rondo.training.sequences.config import build_task
from rondo.training.sequences.folder import read_run

TASK = "captions"
"""The name of the task."""

DRAWN = "drawn"
"""The word that stands for newly drawn pictures."""

NUM_DRAWN = 6
"""So many are drawn for that word."""

BEAM_WIDTH = 5
"""Beginnings that are kept, if nothing else is asked for."""

MOST_WORDS = 30
"""No caption has more words."""


@dataclass(frozen=True)
class Caption:
    """What is said of a picture.

    Args:
        source: Where the picture comes from.
        text: The best caption; None where the picture cannot be read.
        probability: The probability of that caption.
        others: The next best ones.
        other_probabilities: Their probabilities.
        error: Why the picture cannot be read, or None.
    """

    source: str
    text: str | None = None
    probability: float | None = None
    others: tuple[str, ...] = ()
    other_probabilities: tuple[float, ...] = ()
    error: str | None = None


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


class Captioner:
    """The network of a run with its words.

    Args:
        path: The run folder.
        beam_width: Beginnings that are kept; 1 is greedy decoding.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """

    def __init__(self, path: Path, beam_width: int = BEAM_WIDTH) -> None:
        check_from_1(beam_width=beam_width)
        self.beam_width = beam_width
        self.config, self.model, origin = read_run(path, TASK, MultimodalRNN)
        self.vocabulary = Vocabulary(tuple(origin["words"]))
        self.sees_pixels = len(self.model.picture_shape) == 3

    def say(self, seen: Tensor) -> list[Found]:
        """Returns the best captions of a picture, as the network sees it, the best first.

        None of them has the symbol of unknown words in it.
        """

        def step(symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
            pictures = seen.expand(len(symbols), *seen.shape)
            logits, after = self.model(symbols[:, None], state, pictures=pictures)
            return logits[:, -1], after

        return beam_search(
            step, end=END, width=self.beam_width, most_symbols=MOST_WORDS, never=(UNKNOWN,)
        )

    def text_of(self, found: Found) -> str:
        """Returns a caption in words."""
        return self.vocabulary.decoded(found.symbols)

    def captions(self, sources: Sequence[Path | BinaryIO | str]) -> Iterator[Caption]:
        """Yields a caption for each source; the word "drawn" stands for new drawn pictures.

        Raises:
            RunError: Where the weights that make the features of photos are gone.
        """
        for source in sources:
            if source == DRAWN or source == Path(DRAWN):
                yield from self._of_drawn()
                continue
            assert not isinstance(source, str)
            try:
                seen = self._seen(source)
            except (PhotoError, OSError) as error:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
                yield Caption(name_of(source), error=reason or str(error))
                continue
            yield self._caption(name_of(source), seen)

    def evaluate(
        self, data: Path | None = None, split: str | None = None
    ) -> dict[str, CaptionScore]:
        """Returns what the captions of val and test, or of the split that is named, are worth.

        Raises:
            RunError: If the data cannot be used.
            ModuleNotFoundError: Where sacrebleu is not installed.
        """
        sacrebleu_metrics()  # before minutes of work
        arguments = dict(self.config.task_arguments)
        if data is not None:
            arguments["data"] = str(data.absolute())
        if arguments.get("data") is None:
            look_up("split", split or "test", {"test": None})
            return {"test": self._score(drawn_test(), None, None)}
        if self.sees_pixels:
            raise RunError("the run learnt from drawn pictures, and cannot be measured on photos")
        task = build_task(TASK, arguments)
        assert isinstance(task.source, CaptionSource)
        source = CaptionSource(task.source.splits, self.vocabulary)
        if split is not None:
            look_up("split", split, source.splits)
        batches = {"val": source.check_batches(0, 0), "test": source.test_batches()}
        wanted = ("val", "test") if split is None else (split,)
        train = source.splits["train"]
        simple = Simple(train, most_typical(train))
        return {
            name: self._score(source.splits[name], simple, batches.get(name)) for name in wanted
        }

    def _score(
        self, told: Sequence[Told], simple: Simple | None, batches: Iterator[Batch] | None
    ) -> CaptionScore:
        said = [self.text_of(self.say(item.seen)[0]) for item in told]
        references = [item.captions for item in told]
        typical = nearest = None
        if simple is not None:
            typical = bleu([simple.typical] * len(told), references)
            nearest = bleu(nearest_captions(told, simple.train), references)
        names = [item.name for item in told]
        return CaptionScore(
            num_pictures=len(told),
            perplexity=None if batches is None else self._perplexity(batches),
            bleu=bleu(said, references),
            typical=typical,
            nearest=nearest,
            said=dict(zip(names, said, strict=True)),
        )

    @torch.no_grad()
    def _perplexity(self, batches: Iterator[Batch]) -> float:
        total, number, objective = 0.0, 0, Objective("cross_entropy")
        for batch in batches:
            logits, _ = self.model(batch.inputs, pictures=batch.pictures, lengths=batch.lengths)
            total += float(objective.distances(logits, batch.targets, batch.lengths).double().sum())
            assert batch.lengths is not None
            number += int(batch.lengths.sum())
        return math.exp(total / number)

    def _of_drawn(self) -> Iterator[Caption]:
        if not self.sees_pixels:
            yield Caption(DRAWN, error="the run learnt from photos; give it photos")
            return
        for told in drawn_test()[:NUM_DRAWN]:
            yield self._caption(told.name, told.seen)

    def _caption(self, source: str, seen: Tensor) -> Caption:
        best, *others = self.say(seen)
        return Caption(
            source,
            self.text_of(best),
            math.exp(best.log_probability),
            tuple(self.text_of(found) for found in others),
            tuple(math.exp(found.log_probability) for found in others),
        )

    def _seen(self, source: Path | BinaryIO) -> Tensor:
        if self.sees_pixels:
            return torch.from_numpy(read_pixels(source, self.model.picture_shape[1]))
        look = self._looker()
        return look(read_pixels(source, look.side)[None])[0]

    def _looker(self) -> Looker:
        if not hasattr(self, "_look"):
            try:
                self._look = Looker(self.config.task_arguments.get("weights"))
            except ValueError as error:
                raise RunError(str(error)) from error
        return self._look
