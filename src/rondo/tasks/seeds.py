"""Random numbers that depend on what they are for, so that a resumed run draws the same ones."""

from __future__ import annotations

import hashlib

import torch


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """Returns a random generator that depends on its purpose and numbers, and on nothing else."""
    digest = hashlib.blake2b(f"{purpose} {numbers}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
