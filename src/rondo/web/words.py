"""The text of docstrings as HTML: paragraphs, and tables where Markdown has such."""

from __future__ import annotations

from html import escape


def as_html(text: str) -> str:
    r"""Returns paragraphs and tables; all that stands in them is escaped.

    Example:
        >>> from rondo.web.words import as_html
        >>> as_html("h = <x>\n\n| a | b |\n|---|---|\n| 1 | 2 |").splitlines()[0]
        '<p>h = &lt;x&gt;</p>'
    """
    return "\n".join(map(_block, text.split("\n\n")))


def _block(block: str) -> str:
    lines = [line.strip() for line in block.splitlines()]
    if not all(line.startswith("|") for line in lines):
        return f"<p>{escape(block)}</p>"
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    first = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    return f"<table><tr>{first}</tr>{''.join(map(_row, rows))}</table>"


def _row(cells: list[str]) -> str:
    name, *others = map(escape, cells)
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
