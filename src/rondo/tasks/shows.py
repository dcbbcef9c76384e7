"""How examples of common kinds look in a report: numbers, classes, symbols, pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.training.task import Show, Shown

MOST_NUMBERS = 4
"""So many numbers of an answer are told."""

MOST_SYMBOLS = 60
"""So many symbols of a sequence are told."""


def show_numbers(outputs: Tensor, batch: Batch, row: int) -> Shown:
    """A sequence whose answer is one or several numbers."""
    return Shown(
        told(batch.targets[row].flatten()), told(outputs[row].flatten()), steps_words(batch, row)
    )


def told(values: Tensor) -> str:
    """Returns the first numbers of an answer as text."""
    first = ", ".join(f"{value:.3g}" for value in values[:MOST_NUMBERS].tolist())
    return first + (", ..." if len(values) > MOST_NUMBERS else "")


def show_classes(names: Sequence[str], is_picture: bool = False) -> Show:
    """Returns how a sequence looks whose answer is one of some classes.

    Args:
        names: The classes.
        is_picture: Whether its steps make a picture, a line for each.
    """

    def show(outputs: Tensor, batch: Batch, row: int) -> Shown:
        probabilities = outputs[row].double().softmax(-1)
        place = int(probabilities.argmax())
        answered = f"{names[place]}"
        given = f"{steps_words(batch, row)}, {100 * float(probabilities[place]):.0f} % sure"
        picture = grey_picture(steps_of(batch, row)) if is_picture else None
        return Shown(names[int(batch.targets[row])], answered, given, picture)

    return show


def show_symbols(inputs: str, outputs_of: str) -> Show:
    """Returns how a sequence of symbols looks that is answered by a symbol at each step.

    Args:
        inputs: The symbols of the inputs, which are vectors with a single one.
        outputs_of: The symbols of the answers.
    """

    def show(outputs: Tensor, batch: Batch, row: int) -> Shown:
        steps = num_steps_of(batch, row)
        given = "".join(inputs[place] for place in batch.inputs[row, :steps].argmax(-1).tolist())
        wanted = "".join(outputs_of[place] for place in batch.targets[row, :steps].tolist())
        found = outputs[row, :steps].argmax(-1).tolist()
        answered = "".join(outputs_of[place] for place in found)
        return Shown(shortened(wanted), shortened(answered), shortened(given))

    return show


def steps_of(batch: Batch, row: int) -> Tensor:
    """Returns the inputs (T, I) of a row, without padding."""
    return batch.inputs[row, : num_steps_of(batch, row)]


def num_steps_of(batch: Batch, row: int) -> int:
    """Returns the number of steps of a row."""
    return batch.inputs.shape[1] if batch.lengths is None else int(batch.lengths[row])


def steps_words(batch: Batch, row: int) -> str:
    """Returns for example `103 steps`."""
    return f"{num_steps_of(batch, row)} steps"


def shortened(text: str) -> str:
    """Returns a text without its middle, where it is long."""
    half = MOST_SYMBOLS // 2
    return text if len(text) <= MOST_SYMBOLS else f"{text[:half]} ... {text[-half:]}"


def grey_picture(values: Tensor) -> Tensor:
    """Returns numbers (H, W) as a picture of grey, from the least to the greatest."""
    values = values.float()
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low).clamp_min(1e-12)
    return (255 * scaled).round().to(torch.uint8)
