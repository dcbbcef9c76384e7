"""Random numbers that depend on what they are for, so that a resumed run draws the same ones."""

from __future__ import annotations

import hashlib

import torch


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """Returns a random generator that depends on its purpose and numbers, and on nothing else."""
    digest = hashlib.blake2b(f"{purpose} {numbers}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def seed_layers(seed: int) -> None:
    """Seed what layers draw from, such as dropout: torch's generators of all devices in use.

    `torch.manual_seed` does the same, and takes a millisecond and more where no GPU is in use: it
    notes from where it was called, for each kind of device that might still be.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
