"""How much memory a layer takes to train: what is kept for the backward pass, and the peak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn


def training_step(layer: nn.Module, x: Tensor, bfloat16: bool = False) -> Callable[[], None]:
    """Forward and backward, as a function to time."""

    def step() -> None:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            y = layer(x)[0]
        y.sum().backward()

    return step


def kept_bytes(layer: nn.Module, x: Tensor, bfloat16: bool = False) -> int:
    """What the autograd graph keeps, beside x, y and the parameters."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bfloat16),
    ):
        y, _ = layer(x)
    for given in (x, y, *layer.parameters()):
        sizes.pop(given.untyped_storage().data_ptr(), None)
    return sum(sizes.values())


def raised_peak(layer: nn.Module, x: Tensor, bfloat16: bool = False) -> int:
    """By how many bytes forward and backward raise the peak of this process's memory."""
    training_step(layer, x[:2, :1], bfloat16)()  # compiles
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now
    before = peak_bytes()
    training_step(layer, x, bfloat16)()
    return peak_bytes() - before


def peak_bytes() -> int:
    """The most memory that this process has held; `getrusage` would count its parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
