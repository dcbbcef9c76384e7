"""In which type of numbers networks are trained."""

from __future__ import annotations

import torch

PRECISIONS = ("float32", "bfloat16")
"""What a network may be trained in; "auto" stands for the faster one of this machine."""


def resolved_precision(precision: str) -> str:
    """Returns what a precision means here: "auto" is what this machine computes fastest."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        fast = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return "bfloat16" if fast else "float32"
