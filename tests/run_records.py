"""Records of runs, to be compared."""

from __future__ import annotations

from typing import Any

TIMES = {"seconds", "per_second"}
"""What of a record is another in every run."""


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without the times."""
    return [{key: item for key, item in r.items() if key not in TIMES} for r in records]
