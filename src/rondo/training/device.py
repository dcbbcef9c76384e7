"""Where a run is trained: on the processor, or on the accelerator that torch finds.

In goes what the user asked for, out comes a device. The loop moves the network, each batch and the
states that are carried to it; what is told, shown and saved comes back.
"""

from __future__ import annotations

import torch

from rondo.errors import RunError, look_up
from rondo.training.task import Task

DEVICES = ("auto", "cpu", "gpu")
"""What may be asked for; "gpu" is the accelerator, whoever made it."""


def device_of(task: Task, wanted: str) -> torch.device:
    """Returns the device that a word of `DEVICES` means for a task here.

    "auto" is the accelerator for a task that asks for one, photos, and else the processor. Where
    there is no accelerator, all is done on the processor: so a run of another machine can go on.
    """
    is_wanted = wanted == "gpu" or (wanted == "auto" and task.is_on_accelerator)
    return (accelerator() if is_wanted else None) or torch.device("cpu")


def accelerator() -> torch.device | None:
    """Returns the accelerator that can be used now, or None."""
    return torch.accelerator.current_accelerator(check_available=True)


def check_device(wanted: str) -> None:
    """Raises `RunError` where there is no such device."""
    look_up("device", wanted, dict.fromkeys(DEVICES))
    if wanted == "gpu" and accelerator() is None:
        raise RunError(
            "torch finds no accelerator here, so nothing can be trained on a gpu; take --device "
            "cpu, or see `rondo doctor`"
        )
