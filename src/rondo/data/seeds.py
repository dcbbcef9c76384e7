"""Random numbers that depend on what they are for, so that a resumed run draws the same ones."""

from __future__ import annotations

import hashlib

import torch


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """Returns a random generator that depends on its purpose and numbers, and on nothing else."""
    digest = hashlib.blake2b(f"{purpose} {numbers}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def seed_layers(seed: int) -> None:
    """Seed what layers draw from, such as dropout: `torch.manual_seed` on any device.

    Where there is the CPU alone, its generator is all there is, and is seeded directly:
    `torch.manual_seed` would note from where it was called, for each kind of device that might be.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
