"""In which type of numbers networks are trained."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch

from rondo.errors import RunError

PRECISIONS = ("float32", "bfloat16", "float16")
"""What a network may be trained in; "auto" stands for the faster of the first two here."""

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""The types of half the size: products and convolutions are computed in them, sums are not."""


def resolved_precision(precision: str, device: torch.device) -> str:
    """Returns what a precision means on a device: "auto" is what it computes fastest."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type != "cpu":
        fast = False
    else:
        features = torch.cpu.get_capabilities()
        fast = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return "bfloat16" if fast else "float32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Returns the context in which a network computes in a precision."""
    kind = HALVES.get(precision)
    return nullcontext() if kind is None else torch.autocast(device.type, kind)


def check_autocast(precision: str, device: torch.device) -> None:
    """Raises `RunError` where a device has no autocast of a precision."""
    if precision not in HALVES:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where it leaves autocast off
        try:
            with autocast(precision, device):
                is_on = torch.is_autocast_enabled(device.type)
        except RuntimeError:
            is_on = False
    if not is_on:
        raise RunError(
            f"this machine's {device.type} cannot train in {precision}; take --precision float32"
        )


def scaler_of(precision: str, device: torch.device) -> torch.amp.GradScaler | None:
    """Returns what scales the loss, where gradients would else be too small for the precision.

    The scale is 2^16 at first, and halved after each gradient that overflows; the step of such a
    gradient changes nothing.
    """
    return torch.amp.GradScaler(device.type) if precision == "float16" else None
