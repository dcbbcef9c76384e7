"""One thing that was looked at: what it is, whether it is all right, and what to do if not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "lacks", "broken"]
"""Whether all is there; something is missing that Rondo does without; or Rondo cannot be used."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: What it is.
        text: What was found, for people.
        state: Whether it is all right.
        remedy: What to do; given unless the state is "ok".
        facts: What was found, for programs.
    """

    name: str
    text: str
    state: State = "ok"
    remedy: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert (self.remedy is None) == (self.state == "ok"), self
