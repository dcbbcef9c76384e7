r"""Whether probabilities can be believed, and one number that makes them more so.

In go probabilities (N, K) and labels (N,), out come figures. A temperature T > 0 is fitted on
validation photos after the training and divides the logits of every answer from then on; it moves
no answer to another class. It mends what is wrong on photos like those it was fitted on, and
promises nothing of other sources.

Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017. They
divide the logits of the network; here z is the logarithm of the probabilities that the run predicts
with, which for a single view of the photo is the same, and for the mean over a photo and its mirror
image keeps the answer that the mean gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from rondo.errors import RunError
from rondo.system.json_text import dataclass_text

NORMAL_QUANTILE = 1.959963984540054
"""Half width of a two-sided 95 % interval of the normal distribution."""

NUM_BINS = 15
"""Bins of the calibration error, as in Guo et al."""

LEAST_PHOTOS = 100
"""On fewer validation photos no temperature is fitted."""

BOUNDS = (0.05, 20.0)
"""Temperatures between which the best one is looked for."""

NUM_HALVINGS = 60
"""How often the range of the search is halved."""

TINY = 1e-38
"""Stands for a probability of 0, whose logarithm is none."""


@dataclass(frozen=True)
class Bin:
    """Photos with a similar confidence, their mean confidence, and the share answered rightly."""

    num_photos: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of one split can be believed; smaller is better.

    Args:
        loss: Negative log likelihood: mean of -ln p(label), in nats.
        brier: Brier score: half the mean over the photos of the squared distance of their
            probabilities from the label's (0 to 1; Brier, 1950, has no half).
        error: Expected calibration error over bins of equal width.
        error_equal_mass: The same over bins that hold equally many photos.
        bins: The bins of equal width; empty ones are left out.
    """

    loss: float
    brier: float
    error: float
    error_equal_mass: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Temperature:
    """What divides the logits of a run's answers.

    Args:
        value: The temperature T; 1 leaves the answers as they are, above 1 they are less sure.
        num_photos: Validation photos it was fitted on.
        low: Lower end of its 95 % interval, None where it was not fitted.
        high: Upper end.
        note: Why it was not fitted, or "".
    """

    value: float = 1.0
    num_photos: int = 0
    low: float | None = None
    high: float | None = None
    note: str = "this run has no temperature"

    @property
    def is_fitted(self) -> bool:
        """Whether it comes from validation photos."""
        return self.low is not None

    def check(self) -> None:
        """Raises `RunError` where nothing can be divided by it."""
        if not (isinstance(self.value, (int, float)) and 0 < self.value < math.inf):
            raise RunError(f"the temperature must be a number above 0, but is {self.value!r}")

    def to_json(self) -> str:
        """Returns the text of `calibration.json`."""
        return dataclass_text(self)

    def __str__(self) -> str:
        if not self.is_fitted:
            return f"temperature 1, none fitted: {self.note}"
        return (
            f"temperature {self.value:.2f} ({self.low:.2f} to {self.high:.2f}), fitted on "
            f"{self.num_photos} val photos"
        )


def temperature_from_json(text: str) -> Temperature:
    """Returns what `Temperature.to_json` wrote.

    Raises:
        RunError: If the text is none, or nothing can be divided by the temperature.
    """
    try:
        found = Temperature(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise RunError(f"it cannot be understood ({error})") from error
    found.check()
    return found


def calibration(probabilities: Tensor, labels: Tensor) -> Calibration:
    """Returns how far probabilities (N, K) can be believed, given the labels (N,)."""
    probabilities = probabilities.double().cpu()
    confidence, predicted = probabilities.max(dim=1)
    correct = predicted == labels
    of_label = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    others = probabilities.square().sum(1) - of_label.square()
    bins = equal_width_bins(confidence, correct)
    return Calibration(
        loss=float(-of_label.clamp_min(1e-12).log().mean()),
        brier=float(((1 - of_label).square() + others).mean() / 2),
        error=calibration_error(bins),
        error_equal_mass=calibration_error(equal_mass_bins(confidence, correct)),
        bins=bins,
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    r"""Returns the expected calibration error (Guo et al., 2017, equation 3; Naeini et al., 2015).

    .. math:: \mathrm{ECE} = \sum_m \frac{|B_m|}{N} |\mathrm{acc}(B_m) - \mathrm{conf}(B_m)|

    where B_m are the photos of a bin, acc the share answered rightly and conf the mean confidence,
    the probability of the answer. It is above 0 even for perfect probabilities, the more so the
    fewer the photos.

    Example:
        >>> calibration_error((Bin(3, predicted=0.75, observed=1.0), Bin(1, 0.5, 0.0)))
        0.3125
    """
    total = sum(item.num_photos for item in bins)
    return sum(item.num_photos * abs(item.predicted - item.observed) for item in bins) / total


def equal_width_bins(
    confidence: Tensor, correct: Tensor, num_bins: int = NUM_BINS
) -> tuple[Bin, ...]:
    """Returns the bins ((m-1)/M, m/M], m = 1..M, empty ones left out."""
    number = ((confidence * num_bins).ceil().long() - 1).clamp(0, num_bins - 1)
    rows = ((number == index).nonzero().squeeze(1) for index in range(num_bins))
    return _bins(confidence, correct, rows)


def equal_mass_bins(
    confidence: Tensor, correct: Tensor, num_bins: int = NUM_BINS
) -> tuple[Bin, ...]:
    """Returns bins of photos in the order of confidence, each with equally many, or one fewer."""
    order = confidence.argsort(stable=True)
    return _bins(confidence, correct, order.tensor_split(num_bins))


def _bins(confidence: Tensor, correct: Tensor, rows: Iterable[Tensor]) -> tuple[Bin, ...]:
    return tuple(
        Bin(len(row), float(confidence[row].mean()), float(correct[row].double().mean()))
        for row in rows
        if len(row)
    )


def temper(probabilities: Tensor, temperature: float) -> Tensor:
    """Returns softmax(z / T) of z = ln p; T = 1 returns the probabilities themselves.

    Example:
        >>> import torch
        >>> temper(torch.tensor([[0.9, 0.1]]), 2.0)
        tensor([[0.7500, 0.2500]])
    """
    if temperature == 1:
        return probabilities
    return (_logarithm(probabilities) / temperature).softmax(dim=1).to(probabilities.dtype)


def fit_temperature(probabilities: Tensor, labels: Tensor) -> Temperature:
    r"""Returns the temperature with the smallest negative log likelihood on validation photos.

    .. math:: T = \arg\min_T -\frac1N \sum_n \ln \mathrm{softmax}(z_n / T)_{y_n}

    It is convex in 1/T, whose derivative is mean(E_p[z] - z_y); the zero of that is found by
    bisection. The interval is that of the maximum likelihood, from the second derivative
    mean(Var_p[z]). Nothing is fitted to fewer than `LEAST_PHOTOS`, or where the best temperature
    lies beyond `BOUNDS`, as it does where every photo is answered rightly.

    Args:
        probabilities: (N, K), before any temperature.
        labels: (N,).
    """
    num_photos = len(labels)
    if num_photos < LEAST_PHOTOS:
        found = f"val holds {num_photos} photos, and fewer than {LEAST_PHOTOS} tell too little"
        return Temperature(num_photos=num_photos, note=found)
    z = _logarithm(probabilities)
    of_label = z.gather(1, labels.unsqueeze(1)).squeeze(1)
    low, high = (1 / bound for bound in reversed(BOUNDS))
    if not _moments(z, of_label, low)[0] < 0 < _moments(z, of_label, high)[0]:
        found = (
            f"no temperature between {BOUNDS[0]:g} and {BOUNDS[1]:g} is the best on the "
            f"{num_photos} photos of val; too few of them are answered wrongly, or too many"
        )
        return Temperature(num_photos=num_photos, note=found)
    inverse = _zero(lambda value: _moments(z, of_label, value)[0], low, high)
    deviation = 1 / math.sqrt(num_photos * _moments(z, of_label, inverse)[1]) / inverse
    spread = math.exp(NORMAL_QUANTILE * deviation)  # of ln T
    value = 1 / inverse
    return Temperature(value, num_photos, value / spread, value * spread, note="")


def _moments(z: Tensor, of_label: Tensor, inverse: float) -> tuple[float, float]:
    """Returns the first two derivatives of the mean loss with respect to 1/T."""
    p = (inverse * z).softmax(dim=1)
    mean = (p * z).sum(1)
    variance = (p * (z - mean.unsqueeze(1)).square()).sum(1)
    return float((mean - of_label).mean()), float(variance.mean())


def _zero(function: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a rising function that is negative at low and positive at high is zero."""
    for _ in range(NUM_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return math.sqrt(low * high)


def _logarithm(probabilities: Tensor) -> Tensor:
    return probabilities.double().cpu().clamp_min(TINY).log()
