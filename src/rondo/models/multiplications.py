"""How many multiplications a network does for one photo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rondo.cells import initial_state
from rondo.layers import Recurrent

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


def count_multiplications(model: nn.Module, photos: Tensor) -> int:
    """Returns the multiplications of a forward pass in evaluation mode.

    Counted are those of convolutions and matrix products, each of which comes with an addition; a
    count of floating point operations (flops) is therefore about twice as large. Elementwise
    operations, normalisation and pooling are not counted. `torch.utils.flop_counter` counts all
    but the loops, which are operators of Rondo's own; a loop counts as many times the products of
    its cell's step as there are steps and rows, whatever part of them the plan takes out of it.

    Args:
        model: Any network; loops must be :class:`rondo.Recurrent` layers over dense batches.
        photos: Its input.

    Example:
        >>> import torch
        >>> from rondo.models import lecture_rnn1
        >>> from rondo.models.multiplications import count_multiplications
        >>> count_multiplications(lecture_rnn1(form="lecture"), torch.zeros(1, 3, 128, 128))
        374939648
    """
    from torch.utils.flop_counter import FlopCounterMode  # brings Triton, which takes long to load

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            with _whole_loops(model, counter) as corrections:
                model(photos)
            return (counter.get_total_flops() + sum(corrections)) // 2
    finally:
        model.train(was_training)


@contextmanager
def _whole_loops(model: nn.Module, counter: FlopCounterMode) -> Iterator[list[int]]:
    """Fills a list with what each loop computes beyond what the counter sees of it."""
    corrections: list[int] = []
    before: list[int] = []

    def begin(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        before.append(counter.get_total_flops())

    def end(layer: nn.Module, arguments: tuple[Any, ...], results: Any) -> None:
        assert isinstance(layer, Recurrent)
        whole = _loop_flops(layer, arguments[0])
        corrections.append(whole - (counter.get_total_flops() - before.pop()))

    loops = [module for module in model.modules() if isinstance(module, Recurrent)]
    hooks = [hook for loop in loops for hook in _hooked(loop, begin, end)]
    try:
        yield corrections
    finally:
        for hook in hooks:
            hook.remove()


def _hooked(layer: nn.Module, begin: Any, end: Any) -> tuple[RemovableHandle, RemovableHandle]:
    return layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)


def _loop_flops(layer: Recurrent, x: Tensor) -> int:
    """Returns the flops of a step of one row, times the rows and steps of x."""
    from torch.utils.flop_counter import FlopCounterMode

    row = (x if layer.batch_first else x.transpose(0, 1))[:1, 0]
    with FlopCounterMode(display=False) as counter:
        layer.cell(row, initial_state(layer.cell, row))
    return int(counter.get_total_flops()) * x.shape[0] * x.shape[1]
