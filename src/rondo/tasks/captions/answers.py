"""Answers of a run of `rondo train captions`, for pictures that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from rondo.data.given import Unusable, each_file, source_name
from rondo.data.pictures import FILE_ENDINGS, PhotoError, read_pixels
from rondo.errors import RunError, check_from_1
from rondo.models.beam_search import Found, beam_search
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.tasks.captions.definition import CAPTIONS
from rondo.tasks.captions.task import Looker, drawn_test
from rondo.tasks.captions.vocabulary import END, UNKNOWN, Vocabulary
from rondo.training.answers import Given, why_not
from rondo.training.definition import DRAWN
from rondo.training.run_folder import read_run

NOTE = (
    "A caption is a guess; of people it may say what is wrong or hurts. Do not publish it unread."
)
"""What is told with captions."""

NUM_DRAWN = 6
"""So many are drawn for that word."""

BEAM_WIDTH = 5
"""Beginnings that are kept, if nothing else is asked for."""

MOST_WORDS = 30
"""No caption has more words."""

TOLD_TOGETHER = 64
"""Pictures whose captions are looked for together."""


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
        self.config, self.model, origin = read_run(path, CAPTIONS, MultimodalRNN)
        self.vocabulary = Vocabulary(tuple(origin["words"]))
        self.sees_pixels = len(self.model.picture_shape) == 3

    def say(self, seen: Sequence[Tensor]) -> list[list[Found]]:
        """Returns the best captions of each picture, as the network sees it, the best first.

        None of them has the symbol of unknown words in it.
        """
        said: list[list[Found]] = []
        for first in range(0, len(seen), TOLD_TOGETHER):
            said += self._say(torch.stack(list(seen[first : first + TOLD_TOGETHER])))
        return said

    @torch.no_grad()
    def _say(self, pictures: Tensor) -> list[list[Found]]:
        of_pictures = self.model.seen(pictures)  # once, not at each word

        def step(symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
            before, seen = (None, of_pictures) if state is None else state
            logits, after = self.model.next_words(symbols[:, None], before, seen=seen)
            return logits[:, -1], (after, seen)

        return beam_search(
            step,
            len(pictures),
            end=END,
            width=self.beam_width,
            most_symbols=MOST_WORDS,
            never=(UNKNOWN,),
        )

    def text_of(self, found: Found) -> str:
        """Returns a caption in words."""
        return self.vocabulary.decoded(found.symbols)

    def captions(self, sources: Sequence[Given]) -> Iterator[Caption]:
        """Yields a caption for each picture; the word "drawn" stands for new drawn pictures.

        Raises:
            RunError: Where the weights that make the features of photos are gone.
        """
        for is_drawn, some in groupby(sources, lambda source: source == DRAWN):
            yield from self._of_drawn() if is_drawn else self._of_files(list(some))

    def _of_files(self, sources: Sequence[Given]) -> Iterator[Caption]:
        """The caption of each picture, or why there is none, some pictures at a time."""
        files = each_file(sources, FILE_ENDINGS, "picture")
        while some := list(islice(files, TOLD_TOGETHER)):
            opened = [self._opened(file) for file in some]
            said = iter(self.say([item for item in opened if isinstance(item, Tensor)]))
            for file, item in zip(some, opened, strict=True):
                name = source_name(file)
                is_seen = isinstance(item, Tensor)
                yield self._caption(name, next(said)) if is_seen else Caption(name, error=str(item))

    def _opened(self, file: Path | BinaryIO | Unusable) -> Tensor | str:
        """A picture as the network sees it, or why it cannot be read."""
        if isinstance(file, Unusable):
            return file.error
        try:
            return self._seen(file)
        except (PhotoError, OSError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
            return reason or str(error)

    def _of_drawn(self) -> Iterator[Caption]:
        if not self.sees_pixels:
            yield Caption(DRAWN, error="the run learnt from photos; give it photos")
            return
        pictures = drawn_test()[:NUM_DRAWN]
        said = self.say([told.seen for told in pictures])
        for told, found in zip(pictures, said, strict=True):
            yield self._caption(told.name, found)

    def _caption(self, source: str, said: Sequence[Found]) -> Caption:
        best, *others = said
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
                self._look = Looker(self.config.options.weights)
            except ValueError as error:
                raise RunError(str(error)) from error
        return self._look


class Answers:
    """What `rondo predict` tells of a run that writes captions.

    Args:
        run: The run folder.
        beam_width: Beginnings that beam search keeps; where it is given the next best captions are
            told in the lines too.

    Raises:
        RunError: If the run or an option cannot be used.
    """

    columns = ("source", "text", "probability", "others", "other_probabilities", "error")
    head = ""
    notes = (NOTE,)

    def __init__(self, run: Path, *, beam_width: int | None = None) -> None:
        self.captioner = Captioner(run, BEAM_WIDTH if beam_width is None else beam_width)
        self.tells_others = beam_width is not None

    def iterate(self, sources: Sequence[Given]) -> Iterator[Caption]:
        """Yields a caption for each picture."""
        yield from self.captioner.captions(sources)

    def line(self, answer: Caption) -> str:
        """Returns a caption with its probability, and the next best ones if they are asked for."""
        if answer.error is not None:
            return f"unread: {why_not(answer.source, answer.error)}"
        lines = [f"{answer.source}: {answer.text}  ({_share(answer.probability)})"]
        if self.tells_others:
            pairs = zip(answer.others, answer.other_probabilities, strict=True)
            lines += [f"    or: {text}  ({_share(value)})" for text, value in pairs]
        return "\n".join(lines)


def _share(probability: float | None) -> str:
    return f"p = {probability or 0:.2g}"
