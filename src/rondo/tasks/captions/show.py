"""How a picture and what is said of it look in a report."""

from __future__ import annotations

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.tasks.captions.vocabulary import END, Vocabulary
from rondo.tasks.shows import num_steps_of
from rondo.training.task import Show, Shown


def show_caption(vocabulary: Vocabulary) -> Show:
    """Returns how a caption looks whose words the network names one after another.

    What is shown as the answer is the likeliest word after each of the right ones before.
    """

    def show(outputs: Tensor, batch: Batch, row: int) -> Shown:
        steps = num_steps_of(batch, row)
        wanted = batch.targets[row, :steps].tolist()
        found = outputs[row, :steps].argmax(-1).tolist()
        picture = None
        if batch.pictures is not None and batch.pictures.ndim == 4:
            picture = batch.pictures[row].clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        return Shown(_text(wanted, vocabulary), _text(found, vocabulary), "word by word", picture)

    return show


def _text(numbers: list[int], vocabulary: Vocabulary) -> str:
    return vocabulary.decoded([number for number in numbers if number != END])
