"""Reading words in pictures by a trained network, and how well it does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rondo.data.given import Unusable, each_file, source_name
from rondo.data.pictures import FILE_ENDINGS, PhotoError
from rondo.errors import RunError, check_from_1, look_up
from rondo.measures.abstention import check_min_confidence
from rondo.measures.intervals import Share, wilson
from rondo.models.crnn import CRNN, num_steps
from rondo.models.ctc import Symbols, beam_search, best_of, ctc_distances, greedy, padded
from rondo.tasks.text.definition import TEXT
from rondo.tasks.text.task import decoded, encoded, shown_words
from rondo.tasks.text.words import Word, composed, read_columns
from rondo.training.answers import Given, why_not
from rondo.training.definition import DRAWN
from rondo.training.run_folder import RunFolder, read_run

DECODERS = ("greedy", "beam")
"""How a text is found where there is no lexicon: that of the likeliest path, or beam search."""

NUM_DRAWN = 8
"""So many words are drawn for the word "drawn"."""

READ_TOGETHER = 50
"""Pictures that are in memory together."""


@dataclass(frozen=True)
class Decoding:
    """How texts are found.

    Args:
        decoder: A name in `DECODERS`.
        beam_width: Beginnings that beam search keeps.
        lexicon: The words that may be answered, or None for any text.
        min_confidence: Below this probability of the text there is no answer, 0 to 1.

    Raises:
        RunError: If one of them cannot be used.
    """

    decoder: str = "greedy"
    beam_width: int = 10
    lexicon: tuple[str, ...] | None = None
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        look_up("decoder", self.decoder, dict.fromkeys(DECODERS))
        check_from_1(beam_width=self.beam_width)
        check_min_confidence(self.min_confidence)


@dataclass(frozen=True)
class Reading:
    """What the network reads in one picture, or why the picture could not be read.

    Args:
        source: The file's path, or "standard input".
        text: What it reads; None where that is less sure than was asked for.
        probability: The probability of the text that was found.
        label: What a word that was drawn is; None where nobody knows.
        error: Why there is no reading; the text and its probability are then None.
    """

    source: str
    text: str | None = None
    probability: float | None = None
    label: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class TextScore:
    """How well words are read.

    Args:
        words: The share of words that are read without an error, with its 95 % interval.
        num_errors: Characters to insert, delete or replace to make all readings right.
        num_characters: Characters of all texts.
        unknown: Characters of the texts that the network has no outputs for.
        wrong: Readings that are not right, with the right text.
    """

    words: Share
    num_errors: int
    num_characters: int
    unknown: str
    wrong: tuple[tuple[Reading, str], ...]

    @property
    def character_error_rate(self) -> float:
        """Errors a character of the texts; it may be above 1."""
        return self.num_errors / max(1, self.num_characters)


class Reader:
    """A trained network that reads the words in pictures.

    Args:
        model: The network.
        symbols: The characters of its outputs, from number 1 on.
        width: The width of its pictures, or None for their proportions.
        decoding: How texts are found.

    Raises:
        RunError: If no word of the lexicon can be read.

    Example:
        ```
        reader = Reader.load(Path("runs/text-2026-01-31-1"))
        for reading in reader.read([Path("word.png")]):
            print(reading.text, reading.probability)
        ```
    """

    def __init__(
        self, model: CRNN, symbols: str, width: int | None, decoding: Decoding | None = None
    ) -> None:
        self.model, self.symbols, self.width = model.eval(), symbols, width
        self.decoding = Decoding() if decoding is None else decoding
        self.lexicon: list[Symbols] | None = None
        if self.decoding.lexicon is not None:
            self.lexicon = self._encoded(self.decoding.lexicon)

    @classmethod
    def load(cls, run: Path, decoding: Decoding | None = None) -> Reader:
        """Returns the reader of a run folder.

        Raises:
            RunError: If it is no run of `rondo train text`, or has no weights yet.
        """
        config, model, origin = read_run(run, TEXT, CRNN)
        return cls(model, origin["symbols"], config.options.width, decoding)

    def read(self, sources: Sequence[Given]) -> list[Reading]:
        """Returns what is read in each source, in order; what cannot be opened gets an error."""
        return list(self.iterate(sources))

    def iterate(self, sources: Sequence[Given]) -> Iterator[Reading]:
        """Yields what `read` returns, some pictures at a time; of a folder its pictures."""
        files = each_file(sources, FILE_ENDINGS, "picture")
        while some := list(islice(files, READ_TOGETHER)):
            opened = [self._open(source) for source in some]
            columns = [item for item in opened if isinstance(item, Tensor)]
            found = iter(self.texts(columns))
            for source, item in zip(some, opened, strict=True):
                if isinstance(item, Tensor):
                    yield self.reading(source_name(source), *next(found))
                else:
                    yield Reading(source_name(source), error=item)

    def texts(self, pictures: Sequence[Tensor]) -> list[tuple[str, float]]:
        """Returns the text of each picture (W, 32) and its probability."""
        found: list[tuple[str, float]] = []
        for first in range(0, len(pictures), READ_TOGETHER):
            some = pictures[first : first + READ_TOGETHER]
            found += self._decoded(*logits_of(self.model, some))
        return found

    def score(self, words: Sequence[Word]) -> TextScore:
        """Returns how well words are read."""
        found = self.texts([word.columns for word in words])
        readings = [self.reading(word.name, *item) for word, item in zip(words, found, strict=True)]
        pairs = [(reading, word.text) for reading, word in zip(readings, words, strict=True)]
        wrong = tuple((reading, text) for reading, text in pairs if reading.text != text)
        every = "".join(text for _, text in pairs)
        return TextScore(
            wilson(len(words) - len(wrong), len(words)),
            sum(edit_distance(reading.text or "", text) for reading, text in wrong),
            len(every),
            "".join(sorted(set(every) - set(self.symbols))),
            wrong,
        )

    def _open(self, source: Path | BinaryIO | Unusable) -> Tensor | str:
        """Returns the columns of a source, or why it cannot be read."""
        if isinstance(source, Unusable):
            return source.error
        try:
            return read_columns(source, self.width)
        except PhotoError as error:
            return f"{source_name(source)}: {error.reason}; {error.advice}"
        except OSError as error:
            return str(error)

    def reading(self, name: str, text: str, probability: float) -> Reading:
        """Returns what is told of a text that was found."""
        is_sure = probability >= self.decoding.min_confidence
        return Reading(name, text if is_sure else None, probability)

    def _decoded(self, logits: Tensor, steps: Tensor) -> list[tuple[str, float]]:
        """Returns the text of each row of logits (B, T, K + 1) and its probability."""
        if self.lexicon is not None:
            return [self._of_lexicon(row[:count]) for row, count in zip(logits, steps, strict=True)]
        if self.decoding.decoder == "beam":
            rows = beam_search(logits, steps, width=self.decoding.beam_width)
            texts = [best for (best, _), *_ in rows]
        else:
            texts = greedy(logits, steps)
        logs = -ctc_distances(logits, padded(texts), steps)
        return [
            (decoded(text, self.symbols), _probability(log))
            for text, log in zip(texts, logs.tolist(), strict=True)
        ]

    def _of_lexicon(self, logits: Tensor) -> tuple[str, float]:
        """Returns the likeliest word for a row of logits (T, K + 1) and its probability."""
        assert self.lexicon is not None
        best, log = best_of(logits, self.lexicon)
        return decoded(self.lexicon[best], self.symbols) if best >= 0 else "", _probability(log)

    def _encoded(self, words: Sequence[str]) -> list[Symbols]:
        """Returns the words of a lexicon that the network has outputs for.

        Raises:
            RunError: If there is none.
        """
        usable = [word for word in words if word and set(word) <= set(self.symbols)]
        if not usable:
            raise RunError(
                f"no word of the lexicon has only characters that the run reads ({self.symbols}); "
                "check its letters, small and large"
            )
        return [encoded(word, self.symbols) for word in dict.fromkeys(usable)]


class Answers:
    """What `rondo predict` tells of a run that reads.

    Args:
        run: The run folder.
        **options: Those of `rondo.tasks.text.definition.Answering`.

    Raises:
        RunError: If the run or an option cannot be used.
    """

    columns = ("source", "text", "probability", "label", "error")
    head = f"{'text':16} {'probability':>11}  picture"
    notes: tuple[str, ...] = ()

    def __init__(self, run: Path, **options: Any) -> None:
        self.reader = Reader.load(run, decoding_of(**options))
        self.options = RunFolder(run, TEXT).read_config().options

    def iterate(self, sources: Sequence[Given]) -> Iterator[Reading]:
        """Yields what is read in each picture; for the word "drawn" in some that are drawn now."""
        for is_drawn, some in groupby(sources, lambda source: source == DRAWN):
            yield from self._drawn() if is_drawn else self.reader.iterate(list(some))

    def _drawn(self) -> Iterator[Reading]:
        """Readings of drawn words, each with what it is."""
        length, fonts = self.options.length, self.options.fonts
        try:
            words = shown_words(NUM_DRAWN, self.reader.symbols, length, fonts)
        except (ValueError, OSError) as error:
            yield Reading(DRAWN, error=str(error))
            return
        found = self.reader.texts([word.columns for word in words])
        for number, (word, item) in enumerate(zip(words, found, strict=True)):
            yield replace(self.reader.reading(f"{DRAWN}#{number}", *item), label=word.text)

    def line(self, answer: Reading) -> str:
        """Returns a reading, or why there is none."""
        if answer.error is not None:
            return f"{'unread':16} {'-':>11}  {why_not(answer.source, answer.error)}"
        label = "" if answer.label is None else f" ({answer.label})"
        probability = f"{100 * (answer.probability or 0):9.1f} %"
        return f"{told(answer):16} {probability}  {answer.source}{label}"


def told(reading: Reading) -> str:
    """Returns the text of a reading as it is shown."""
    return "not sure" if reading.text is None else reading.text or "(nothing)"


def decoding_of(
    decoder: str | None = None,
    beam_width: int = Decoding.beam_width,
    lexicon: str | None = None,
    min_confidence: float = 0.0,
) -> Decoding:
    """Returns how texts are found with the options of a command.

    Raises:
        RunError: If one cannot be used, or two do not go together.
    """
    if lexicon is not None and decoder is not None:
        raise RunError("--lexicon compares the words of the lexicon; leave out --decoder")
    words = None if lexicon is None else read_lexicon(Path(lexicon))
    return Decoding(decoder or "greedy", beam_width, words, min_confidence)


@torch.no_grad()
def logits_of(model: CRNN, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns the logits (B, T, K + 1) of some pictures (W, 32), and the steps of each."""
    widths = torch.tensor([len(picture) for picture in pictures])
    together = pad_sequence(list(pictures), batch_first=True).float()
    logits, _ = model(together, lengths=widths)
    return logits, num_steps(widths)


def read_lexicon(path: Path) -> tuple[str, ...]:
    """Returns the words of a file in UTF-8, one a line.

    Raises:
        RunError: If it cannot be read or holds no word.
    """
    try:
        lines = composed(path.read_text("utf-8-sig")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"the lexicon {path} cannot be read as text in UTF-8 ({error})") from error
    words = tuple(line.strip() for line in lines if line.strip())
    if not words:
        raise RunError(f"the lexicon {path} holds no word; give one a line")
    return words


def edit_distance(a: str, b: str) -> int:
    """Returns the characters to insert, delete or replace to make one text of the other.

    Levenshtein, 1966.

    Example:
        >>> from rondo.tasks.text.answers import edit_distance
        >>> edit_distance("kitten", "sitting")
        3
    """
    row = list(range(len(b) + 1))
    for i, of_a in enumerate(a, 1):
        before, row = row, [i]
        for j, of_b in enumerate(b, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (of_a != of_b)))
    return row[-1]


def _probability(log: float) -> float:
    """Returns the probability of a logarithm, which rounding may have brought above 0."""
    return math.exp(min(log, 0.0))
