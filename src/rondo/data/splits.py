"""Which part of a data set an example belongs to: by the words of its labels, or by a hash."""

from __future__ import annotations

import hashlib
import os

SPLIT_WORDS = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}
"""Other words for the main splits."""

MAIN_SPLITS = ("train", "val", "test")


def split_name(word: str | None) -> str | None:
    """The split that a word of the labels means; None for an empty one."""
    lower = (word or "").strip().lower()
    return SPLIT_WORDS.get(lower, lower) or None


def split_order(split: str | None) -> tuple[int, str]:
    """Sorts train, val and test first, then other names, then photos without a split."""
    if split in MAIN_SPLITS:
        return MAIN_SPLITS.index(split), ""
    return len(MAIN_SPLITS) + (split is None), split or ""


def split_by_hash(name: str, seed: int) -> str:
    """Returns "train", "val" or "test", for 80, 10 and 10 % of names, by their hash and a seed.

    It does not depend on which other names there are.
    """
    digest = hashlib.blake2b(f"{seed}:".encode() + os.fsencode(name), digest_size=8).digest()
    tenth = int.from_bytes(digest, "big") % 10
    return {8: "val", 9: "test"}.get(tenth, "train")
