"""What a run that reads is worth: whole words, characters, and every wrong answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rondo.errors import RunError, look_up
from rondo.measures.intervals import percent
from rondo.system.columns import columns
from rondo.tasks.text.answers import Reader, Reading, TextScore, decoding_of, told
from rondo.tasks.text.task import text_words
from rondo.tasks.text.words import WordSets
from rondo.training.definition import DRAWN
from rondo.training.measure import options_with
from rondo.training.run_folder import RunFolder


def evaluate(
    folder: RunFolder,
    *,
    data: str | None = None,
    split: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> TextEvaluation:
    """Returns how well a run reads the words of val and test, or of the split that is named.

    Args:
        folder: The run folder.
        data: Other data, or None for the run's own.
        split: A split, which is then told with every wrong answer; None for all but train.
        say: Is given each line for the user.
        **options: Those of `rondo.tasks.text.definition.Answering`.

    Raises:
        RunError: If the run, an option or the data cannot be used.
    """
    reader = Reader.load(folder.path, decoding_of(**options))
    sets = words_of(folder, data)
    say(str(sets))
    splits = sets.splits
    if split is not None:
        splits = {split: look_up("split", split, splits)}
    elif "test" in splits:
        splits = {name: words for name, words in splits.items() if name != "train"}
    scores = {name: reader.score(words) for name, words in splits.items()}
    return TextEvaluation(scores, split)


def words_of(folder: RunFolder, data: str | None = None) -> WordSets:
    """Returns the words of the data of a run, or of others.

    Raises:
        RunError: If they cannot be used.
    """
    options = folder.read_config().options
    if data is not None:
        options = options_with(folder.definition, options, data)
    values = asdict(options)
    try:
        return text_words(**{**values, "data": None if options.data == DRAWN else options.data})
    except (ValueError, OSError) as error:
        what = "drawn here" if options.data == DRAWN else data or options.data
        raise RunError(f"cannot use the data {what}: {error}") from error


@dataclass(frozen=True)
class TextEvaluation:
    """How well a run reads.

    Args:
        scores: The score of each split.
        split: The split whose wrong answers are told, or None.
    """

    scores: dict[str, TextScore]
    split: str | None = None

    def values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return {name: _values(score) for name, score in self.scores.items()}

    def lines(self) -> list[str]:
        """Returns a line for each split, and below them the wrong answers of one that is named."""
        head = ["split", "words", "right (95 % interval)", "character error rate"]
        lines = columns(head, [_row(name, score) for name, score in self.scores.items()])
        for name, score in self.scores.items():
            if score.unknown:
                lines.append(f"{name}: the run has no output for {score.unknown}")
        if self.split is not None:
            lines += ["", f"{'text':16} {'label':16} {'probability':>11}  picture"]
            lines += [_wrong_line(*pair) for pair in self.scores[self.split].wrong]
        return lines


def _values(score: TextScore) -> dict[str, Any]:
    return {
        "words": asdict(score.words),
        "character_error_rate": score.character_error_rate,
        "num_characters": score.num_characters,
        "unknown_characters": score.unknown,
        "wrong": [{**asdict(reading), "label": text} for reading, text in score.wrong],
    }


def _row(name: str, score: TextScore) -> list[str]:
    right, rate = score.words, 100 * score.character_error_rate
    return [name, f"{right.num_photos:g}", percent(right), f"{rate:.2f} %"]


def _wrong_line(reading: Reading, label: str) -> str:
    probability = 100 * (reading.probability or 0)
    return f"{told(reading):16} {label:16} {probability:9.1f} %  {reading.source}"
