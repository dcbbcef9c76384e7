"""What a run of `rondo train photo` is worth, on its own photos or on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rondo.errors import RunError, look_up
from rondo.measures.abstention import Answered, answered, check_min_confidence
from rondo.measures.calibration import Temperature, temper
from rondo.tasks.photo.evaluation import Evaluation, unseen
from rondo.tasks.photo.report import tables
from rondo.tasks.photo.report.finish import evaluate_splits, predict_splits
from rondo.tasks.photo.robustness import Trial, try_splits
from rondo.tasks.photo.sets import Photos
from rondo.tasks.photo.task import counts_words, load_data
from rondo.training.definition import DRAWN
from rondo.training.measure import options_with
from rondo.training.run_folder import RunFolder


@dataclass(frozen=True)
class Measured:
    """All that was measured, by split."""

    temperature: Temperature
    evaluations: dict[str, Evaluation]
    in_detail: str | None = None
    answered: dict[str, Answered] = field(default_factory=dict)
    trials: dict[str, tuple[Trial, ...]] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Returns all that was measured of each split, for JSON."""
        values = {name: asdict(item) for name, item in self.evaluations.items()}
        for name, item in self.answered.items():
            values[name]["answered"] = asdict(item)
        for name, trials in self.trials.items():
            values[name]["robustness"] = [asdict(one) for one in trials]
        return values

    def lines(self) -> list[str]:
        """Returns the tables."""
        blocks = [
            tables.accuracy_table(self.evaluations),
            tables.calibration_table(self.evaluations, self.temperature),
        ]
        if self.in_detail is not None:
            blocks.append(tables.detail_table(self.evaluations[self.in_detail]))
        if self.answered:
            blocks.append(tables.answered_table(self.answered))
        blocks += [tables.robustness_table(name, found) for name, found in self.trials.items()]
        return ["\n\n".join(blocks)]


def evaluate(
    folder: RunFolder,
    *,
    data: str | None,
    split: str | None,
    say: Callable[[str], None],
    min_confidence: float | None = None,
    robustness: bool = False,
) -> Measured:
    """Measures a run on the splits of its data or of other data.

    Args:
        folder: The run folder.
        data: Other photos, or "drawn"; None: the run's own.
        split: One split, in detail; None: all but that of training.
        say: Is given each line for the user.
        min_confidence: Also measures the answers of at least this probability.
        robustness: Also measures photos that are made bad.

    Raises:
        RunError: If the run, the photos or an option cannot be used.
    """
    if min_confidence is not None:
        check_min_confidence(min_confidence)
    config, temperature = folder.read_config(), folder.read_temperature()
    model, origin = folder.read_model_and_origin()
    photos = _photos(folder, origin["classes"], data, split, say)
    predicted = predict_splits(model, config, photos)
    evaluations = evaluate_splits(predicted, photos, temperature.value)
    given, trials = {}, {}
    if min_confidence is not None:
        given = {
            name: answered(temper(found, temperature.value), photos[name].labels, min_confidence)
            for name, found in predicted.items()
        }
    if robustness:
        bad = photos if split is not None else unseen(photos)
        trials = try_splits(model, config, bad, temperature.value, say)
    return Measured(temperature, evaluations, split, given, trials)


def _photos(
    folder: RunFolder,
    classes: list[str],
    data: str | None,
    split: str | None,
    say: Callable[[str], None],
) -> Mapping[str, Photos]:
    """Returns the photos of the splits to measure."""
    options: Any = folder.read_config().options
    if data is not None:
        options = options_with(folder.definition, options, data)
    drawn = options.data == DRAWN
    say("drawing portraits ..." if drawn else f"reading photos of {options.data} ...")
    try:
        photos = load_data(
            options.data, options.image_size, layout=options.layout, seed=options.split_seed,
            num_drawn=options.num_drawn, classes=classes,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise RunError(f"cannot use the data {options.data}: {error}") from error
    say(counts_words(photos, options.image_size))
    for note in dict.fromkeys(note for one in photos.values() for note in one.notes):
        say(note)
    if split is not None:
        return {split: look_up("split", split, photos)}
    return {name: found for name, found in photos.items() if name != "train"}
