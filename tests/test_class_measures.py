"""Figures of answers that name a class, beside hand-computed ones."""

from __future__ import annotations

import math

import pytest
import torch

from rondo.measures.calibration import calibration
from rondo.measures.classes import (
    MOST_IN_MATRIX,
    ClassScore,
    Mistake,
    class_scores,
    confusion_of,
    evaluate_classes,
    macro_average,
    most_confused,
    top_accuracy,
)

CLASSES = ("ape", "bee", "cat", "dog")
LABELS = torch.tensor([0, 0, 0, 1, 1, 2])
ANSWERS = torch.tensor([0, 0, 1, 1, 2, 1])


def test_figures_of_each_class_by_hand() -> None:
    ape, bee, cat, dog = class_scores(ANSWERS, LABELS, CLASSES)
    assert ape == ClassScore("ape", 3, 2, 2, 1.0, pytest.approx(2 / 3), pytest.approx(0.8))
    assert bee == ClassScore("bee", 2, 3, 1, pytest.approx(1 / 3), 0.5, pytest.approx(0.4))
    assert cat == ClassScore("cat", 1, 1, 0, 0.0, 0.0, 0.0)
    assert (dog.support, dog.num_answered) == (0, 0)
    assert all(map(math.isnan, (dog.precision, dog.recall, dog.f1)))


def test_every_class_with_examples_weighs_the_same_in_the_mean() -> None:
    macro = macro_average(class_scores(ANSWERS, LABELS, CLASSES))
    assert macro.precision == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert macro.recall == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert macro.f1 == pytest.approx((0.8 + 0.4 + 0) / 3)


def test_a_class_that_is_never_answered_counts_0_in_the_mean_precision() -> None:
    scores = class_scores(torch.tensor([0, 0]), torch.tensor([0, 1]), ("ape", "bee"))
    assert math.isnan(scores[1].precision)
    assert scores[1].f1 == 0
    assert macro_average(scores).precision == pytest.approx(0.25)


def test_the_mean_over_no_classes_is_no_number() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    assert math.isnan(macro_average(class_scores(nothing, nothing, CLASSES)).f1)


def test_pairs_are_told_by_how_often_they_are_confused() -> None:
    labels, answers = torch.tensor([0, 1, 1, 1, 2, 2]), torch.tensor([0, 2, 2, 0, 2, 1])
    assert most_confused(answers, labels, CLASSES) == (
        Mistake("bee", "cat", 2, 2 / 3),
        Mistake("bee", "ape", 1, 1 / 3),
        Mistake("cat", "bee", 1, 1 / 2),
    )
    assert len(most_confused(answers, labels, CLASSES, most=1)) == 1
    assert most_confused(labels, labels, CLASSES) == ()


def test_the_label_may_be_among_five_guesses() -> None:
    probabilities = torch.tensor([[0.3, 0.25, 0.2, 0.15, 0.07, 0.03]]).repeat(3, 1)
    share = top_accuracy(probabilities, torch.tensor([0, 4, 5]))
    assert share is not None
    assert (share.num_correct, share.num_photos) == (2, 3)
    assert top_accuracy(probabilities[:, :5], torch.tensor([0, 4, 4])) is None


def test_the_confusion_of_very_many_classes_is_not_kept() -> None:
    assert confusion_of(ANSWERS, LABELS, 4)[0] == (2, 1, 0, 0)
    assert confusion_of(ANSWERS, LABELS, MOST_IN_MATRIX + 1) == ()


def test_thousands_of_classes_are_measured() -> None:
    num_classes, generator = 5000, torch.Generator().manual_seed(1)
    probabilities = torch.rand(200, num_classes, generator=generator).softmax(1)
    labels = torch.randint(num_classes, (200,), generator=generator)
    found = evaluate_classes(probabilities, labels, [str(n) for n in range(num_classes)])
    assert len(found.scores) == num_classes
    assert found.confusion == ()
    assert sum(mistake.num_times for mistake in found.mistakes) == 20
    assert found.to_dict()["top_5"]["num_clips"] == 200


def test_the_calibration_error_of_three_classes_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.2, 0.0, 0.8]])
    found = calibration(probabilities, torch.tensor([0, 2, 2]))
    # 0.5 and 0.5 lie in one bin, half of them right; 0.8 is alone and right
    assert found.error == pytest.approx((2 * 0.0 + 0.2) / 3)
    squares = (0.5**2 + 0.3**2 + 0.2**2, 0.1**2 + 0.5**2 + 0.6**2, 0.2**2 + 0.2**2)
    assert found.brier == pytest.approx(sum(squares) / 6)
