"""How a picture and the classes of its pixels look in a report."""

from __future__ import annotations

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.tasks.segmentation.colours import colours
from rondo.tasks.segmentation.scenes import VOID
from rondo.training.task import Show, Shown


def show_scene(num_classes: int) -> Show:
    """Returns how the first frame of a clip looks: the picture, the labels, the answer."""

    def show(outputs: Tensor, batch: Batch, row: int) -> Shown:
        labels, found = batch.targets[row, 0], outputs[row, 0].argmax(0)
        known = labels != VOID
        right = float(((labels == found) & known).sum()) / max(1, int(known.sum()))
        table = torch.zeros(VOID + 1, 3, dtype=torch.uint8)
        table[:num_classes] = torch.as_tensor(colours(num_classes)).to(torch.uint8)
        picture = batch.inputs[row, 0].clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        beside = torch.cat([picture, table[labels.long()], table[found]], 1)
        words = f"{100 * right:.0f} % of the pixels"
        return Shown("all pixels", words, "picture, labels, answer", beside)

    return show
