"""Tables of text: for a terminal, and of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a table, its first column to the left and the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def as_markdown(name: str) -> str:
    r"""Returns a name from outside so that Markdown shows it as it is, on one line.

    Example:
        >>> from rondo.system.columns import as_markdown
        >>> print(as_markdown("*a* <b>"))
        \*a\* \<b\>
    """
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", " ".join(name.split()))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of Markdown; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
