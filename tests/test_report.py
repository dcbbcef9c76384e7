import base64
import math
import re
from dataclasses import replace
from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from photo_runs import SIZE, TinyNetwork, photo_data, photo_set, run_config
from rondo.data.augment import resize, shrink
from rondo.data.skipped import Skipped
from rondo.looks.saliency import evidence, mean_saliency, saliency
from rondo.measures.calibration import Temperature
from rondo.measures.intervals import wilson
from rondo.tasks.photo.evaluation import (
    accuracy_by,
    evaluate,
    majority_rate,
    predict,
)
from rondo.tasks.photo.report.build import ReportInput, render_report
from rondo.tasks.photo.report.tables import accuracy_table, detail_table
from rondo.tasks.photo.sets import PhotoSet

# --- figures


@pytest.mark.parametrize(
    ("num_correct", "num_photos", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (950, 1000, 0.9347, 0.9619),
    ],
)
def test_wilson_interval(num_correct: int, num_photos: int, low: float, high: float) -> None:
    share = wilson(num_correct, num_photos)
    assert share.value == num_correct / num_photos
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_wilson_interval_of_nothing_says_nothing() -> None:
    share = wilson(0, 0)
    assert math.isnan(share.value)
    assert (share.low, share.high) == (0.0, 1.0)


def four_photos() -> tuple[Tensor, PhotoSet]:
    """Labels 0 0 0 1; the third is taken for 1, the fourth for 0 with probability 0.7."""
    photos = photo_set("test", 4)
    people = [
        replace(photo, age=age, source=source, groups=(("group", group),) if group else ())
        for photo, age, source, group in zip(
            photos.photos,
            (3.0, 31.5, 39.0, 105.0),
            ("web", "web", "film", "film"),
            ("one", None, "one", None),
            strict=True,
        )
    ]
    photos = replace(photos, labels=torch.tensor([0, 0, 0, 1]), photos=tuple(people))
    return torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]), photos


def test_evaluation_against_hand_computed_values() -> None:
    evaluation = evaluate(*four_photos())
    assert evaluation.accuracy.value == 0.5
    assert evaluation.majority_rate == 0.75
    assert evaluation.confusion == ((2, 1), (1, 0))
    expected = -sum(math.log(p) for p in (0.9, 0.8, 0.4, 0.3)) / 4
    assert evaluation.calibration == evaluation.before
    assert evaluation.calibration.loss == pytest.approx(expected)
    # each photo is alone in its bin: mean of |0.9 - 1|, |0.8 - 1|, |0.6 - 0|, |0.7 - 0|
    assert evaluation.calibration.error == pytest.approx(0.4)
    counts = {name: (s.num_correct, s.num_photos) for name, s in evaluation.by_age.items()}
    assert counts == {"0-9": (1, 1), "30-39": (1, 2), "100-109": (0, 1)}
    assert list(counts) == ["0-9", "30-39", "100-109"]
    assert {n: s.num_correct for n, s in evaluation.by_source.items()} == {"film": 0, "web": 2}
    assert {n: s.num_photos for n, s in evaluation.by_groups["group"].items()} == {"one": 2}
    by_label = evaluation.parts()["label"]
    counts = {name: (s.num_correct, s.num_photos) for name, s in by_label.items()}
    assert counts == {"female": (2, 3), "male": (0, 1)}


def test_a_temperature_changes_the_calibration_and_no_answer() -> None:
    probabilities, photos = four_photos()
    plain, warm = evaluate(probabilities, photos), evaluate(probabilities, photos, 2.0)
    assert (warm.accuracy, warm.confusion, warm.by_age) == (
        plain.accuracy, plain.confusion, plain.by_age
    )  # fmt: skip
    assert warm.before == plain.calibration
    # sqrt(0.9) / (sqrt(0.9) + sqrt(0.1)) is 0.75, and so on
    expected = -sum(math.log(1 / (1 + math.sqrt(q / (1 - q)))) for q in (0.1, 0.2, 0.6, 0.7)) / 4
    assert warm.calibration.loss == pytest.approx(expected)


def test_one_class_and_no_photos_of_the_other_are_evaluated() -> None:
    photos = photo_set("test", 1)
    evaluation = evaluate(torch.tensor([[1.0, 0.0]]), photos, 0.5)
    assert evaluation.calibration.loss == pytest.approx(0, abs=1e-9)
    assert evaluation.parts()["label"]["male"].num_photos == 0


def test_majority_rate_of_one_class_is_all() -> None:
    assert majority_rate(torch.zeros(3, dtype=torch.long)) == 1.0
    assert majority_rate(torch.tensor([1, 1, 0])) == pytest.approx(2 / 3)


def test_accuracy_by_leaves_out_what_has_no_key() -> None:
    shares = accuracy_by(["a", None, "a"], torch.tensor([True, True, False]))
    assert {name: share.value for name, share in shares.items()} == {"a": 0.5}


class LeftHalf(nn.Module):
    """Answers by the brightness of the left half alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, photos: Tensor) -> Tensor:
        left = self.weight * photos[..., : photos.shape[-1] // 2].mean((1, 2, 3)) / 100
        return torch.stack((-left, left), dim=1)


def test_prediction_is_the_mean_over_the_mirror_image() -> None:
    photo = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    photo[..., : SIZE // 2] = 100
    plain = predict(LeftHalf(), photo, mirror=0.0, precision="float32")
    both = predict(LeftHalf(), photo, mirror=1.0, precision="float32")
    sigmoid = 1 / (1 + math.exp(-2))
    assert plain is not None
    assert both is not None
    assert plain[0, 1].item() == pytest.approx(sigmoid)
    assert both[0, 1].item() == pytest.approx((sigmoid + 0.5) / 2)


def test_the_mirror_image_may_be_smaller_with_its_borders_repeated() -> None:
    pixels = 255 * torch.rand(2, 3, SIZE, SIZE)
    shown = int(0.75 * SIZE)
    before = (SIZE - shown) // 2
    small = resize(pixels.flip(3), shown)
    found = shrink(pixels.flip(3), 0.75)
    end = before + shown
    assert found.shape == pixels.shape
    torch.testing.assert_close(found[..., before:end, before:end], small)
    corner = found[..., : before + 1, end - 1 :]
    assert torch.equal(corner, corner[..., -1:, :1].expand_as(corner))
    smaller, plain = (predict(LeftHalf(), pixels, mirror=m, precision="float32") for m in (0.75, 0))
    alone = predict(LeftHalf(), found, mirror=0.0, precision="float32")
    assert smaller is not None
    assert plain is not None
    assert alone is not None
    torch.testing.assert_close(smaller, (plain + alone) / 2)


def test_prediction_leaves_the_model_in_its_mode() -> None:
    model, photos = TinyNetwork(), photo_data()["test"].pixels
    assert predict(model, photos, mirror=1.0, precision="float32").shape == (12, 2)
    assert model.training


# --- where it looked


def test_saliency_finds_the_half_that_matters() -> None:
    photos = photo_data()["test"].pixels
    maps = saliency(LeftHalf(), photos)
    assert maps.shape == (12, SIZE, SIZE)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(12))
    assert (maps >= 0).all()
    assert maps[:, :, : SIZE // 2].sum((1, 2)).min() > 0.9
    torch.testing.assert_close(mean_saliency(LeftHalf(), photos, num_photos=5), maps[0])


def test_evidence_is_that_of_class_1_over_class_0() -> None:
    model, photos = TinyNetwork().eval(), photo_data()["test"].pixels
    maps = evidence(model, photos)
    assert maps is not None
    assert maps.shape == (12, SIZE, SIZE)
    logits = model(photos.float())
    torch.testing.assert_close(maps.mean((1, 2)), logits[:, 1] - logits[:, 0], rtol=0.2, atol=0.05)
    assert evidence(LeftHalf(), photos) is None


# --- the page


def report_input(source: str = "drawn") -> ReportInput:
    data = photo_data()
    skipped = (
        Skipped("a.jpg", "too <small>"),
        Skipped("b.jpg", "too <small>"),
        Skipped("c", "empty"),
    )
    data = {name: replace(photos, skipped=skipped) for name, photos in data.items()}
    model = TinyNetwork()
    others = {name: photos for name, photos in data.items() if name != "train"}
    probabilities = {}
    for name, photos in others.items():
        predicted = predict(model, photos.pixels, mirror=1.0, precision="float32")
        probabilities[name] = predicted
    records = [
        {
            "epoch": epoch,
            "split": split,
            "loss": 1 / epoch,
            "num_seen": 34 * epoch,
            "right": 0.5,
            "per_second": 9.0,
        }
        for epoch in (1, 2)
        for split in data
    ]
    evaluations = {name: evaluate(probabilities[name], photos) for name, photos in others.items()}
    return ReportInput(
        run_config(data, source=source),
        records,
        data,
        probabilities,
        evaluations,
        model,
        Temperature(),
        trials={},
        arguments={},
    )


def pictures(page: str) -> list[Image.Image]:
    encoded = re.findall(r"data:image/png;base64,([^'\"]+)", page)
    return [Image.open(BytesIO(base64.b64decode(text))) for text in encoded]


@pytest.mark.parametrize("source", ["drawn", "photos"])
def test_page_shows_accuracy_beside_the_majority_class(source: str) -> None:
    report = report_input(source)
    page = render_report(report)
    for name in ("test", "cross"):
        assert f"{100 * report.evaluations[name].accuracy.value:.1f}<small> %" in page
        assert f"{100 * report.evaluations[name].majority_rate:.1f} %.</p>" in page
    assert "What this must not be used for" in page
    assert "Never to decide anything about a person" in page
    assert page.count("<svg") >= 4


def test_page_needs_no_network() -> None:
    page = render_report(report_input())
    addresses = re.findall(r"(?:src|href|url)\s*[=(]\s*['\"]?([^'\")\s>]+)", page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page


def test_page_of_photos_shows_none_of_them() -> None:
    page = render_report(report_input("photos"))
    assert len(pictures(page)) == 1  # the mean saliency
    assert "doubtful" not in page
    assert "drawings" not in page
    assert "test/0.png" not in page


def test_page_of_drawings_shows_examples_and_doubtful_ones() -> None:
    page = render_report(report_input())
    assert "The most doubtful drawings" in page
    assert "made-up drawings" in page
    assert len(pictures(page)) == 1 + 2 * 8 * 3


def test_page_counts_what_was_left_out_once() -> None:
    page = render_report(report_input())
    assert "<tr><th>too &lt;small&gt;</th><td>2</td></tr>" in page
    assert "<tr><th>empty</th><td>1</td></tr>" in page


def test_figures_take_the_colour_of_the_page() -> None:
    page = render_report(report_input())
    assert "currentColor" in page
    assert "#010203" not in page


def test_page_is_the_same_every_time() -> None:
    torch.manual_seed(1)
    first = render_report(report_input())
    torch.manual_seed(1)
    assert first == render_report(report_input())


def test_tables_name_accuracy_and_majority() -> None:
    evaluation = evaluate(*four_photos())
    assert accuracy_table({"test": evaluation}).splitlines() == [
        "split     photos  accuracy  95 % interval    majority",
        "test           4    50.0 %  15.0 to 85.0       75.0 %",
        "majority: what always saying the most frequent label would get",
    ]
    lines = detail_table(evaluation).splitlines()
    assert lines[:2] == [
        "labelled  taken for female  taken for male",
        "female                   2               1",
    ]
    assert "male           1     0.0 %  0.0 to 79.3    " in lines
    assert "30-39          2    50.0 %  9.5 to 90.5    " in lines
