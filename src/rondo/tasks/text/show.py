"""How a picture of a word looks in a report."""

from __future__ import annotations

from torch import Tensor

from rondo.data.batch import Batch
from rondo.models.crnn import num_steps
from rondo.models.ctc import greedy
from rondo.tasks.shows import grey_picture
from rondo.training.task import Show, Shown


def show_word(symbols: str) -> Show:
    """Returns how a word looks that is read with some symbols, counted from 1."""

    def show(outputs: Tensor, batch: Batch, row: int) -> Shown:
        assert batch.lengths is not None
        steps = num_steps(batch.lengths[row : row + 1])
        read = greedy(outputs[row : row + 1], steps)[0]
        wanted = "".join(symbols[n - 1] for n in batch.targets[row].tolist() if n)
        picture = batch.inputs[row, : int(batch.lengths[row])].T
        answered = "".join(symbols[number - 1] for number in read)
        return Shown(wanted, answered or "(nothing)", picture=grey_picture(picture))

    return show
