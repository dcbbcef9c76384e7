"""The end of a run on photos: its temperature, its report and its model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from torch import Tensor, nn

from rondo.measures.calibration import fit_temperature, temper
from rondo.system.files import write_text
from rondo.tasks.photo.evaluation import Evaluation, evaluate, predict, unseen
from rondo.tasks.photo.report.build import ReportInput, render_report
from rondo.tasks.photo.report.card import render_card
from rondo.tasks.photo.robustness import try_splits
from rondo.tasks.photo.sets import Photos
from rondo.tasks.photo.task import PhotoSource
from rondo.training.config import RunConfig
from rondo.training.session import Session


def predict_splits(
    model: nn.Module, config: RunConfig, data: Mapping[str, Photos]
) -> dict[str, Tensor]:
    """Returns the probabilities on every split given, before any temperature."""
    probabilities = {}
    for name, photos in data.items():
        recipe = config.recipe
        probabilities[name] = predict(
            model, photos.pixels, mirror=recipe.mirror, precision=recipe.precision
        )
    return probabilities


def evaluate_splits(
    probabilities: dict[str, Tensor], data: Mapping[str, Photos], temperature: float
) -> dict[str, Evaluation]:
    """Returns what probabilities are worth on every split, once divided by the temperature."""
    return {
        name: evaluate(predicted, data[name], temperature)
        for name, predicted in probabilities.items()
    }


def finish(session: Session, say: Callable[[str], None]) -> dict[str, Evaluation]:
    """Fits the temperature of a trained run on val, and writes its report and model card.

    Args:
        session: The run.
        say: Is given each line for the user.

    Returns:
        What its weights are worth on photos that they were not fitted to.
    """
    config, folder = session.config, session.folder
    model, origin = folder.read_model_and_origin()
    source = session.task.source
    assert isinstance(source, PhotoSource)
    data = dict(source.data)
    others = {name: photos for name, photos in data.items() if name != "train"}
    predicted = predict_splits(model, config, others)
    temperature = fit_temperature(predicted["val"], data["val"].labels)
    folder.write_temperature(temperature)
    report = ReportInput(
        config,
        folder.read_metrics(),
        data,
        {name: temper(found, temperature.value) for name, found in predicted.items()},
        evaluate_splits(predicted, others, temperature.value),
        model,
        temperature,
        try_splits(model, config, unseen(data), temperature.value, say),
        origin["arguments"],
    )
    page, card = render_report(report), render_card(report, date.today())
    write_text(folder.report_file, page)
    write_text(folder.card_file, card)
    return report.evaluations
