"""Cells of CSV files that a spreadsheet shows as they are, whatever they begin with.

A program such as Excel or LibreOffice runs a cell that begins with =, +, -, @, a tab or a return as
a formula, so a file name or a text that a network read could make it do things. An apostrophe in
front makes it a text (OWASP, "CSV injection").
"""

from __future__ import annotations

from typing import Any

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with."""


def plain_cell(value: Any) -> Any:
    """Returns a value for a cell: numbers as they are, texts never as formulas.

    Example:
        >>> from rondo.system.csv_text import plain_cell
        >>> plain_cell("=SUM(A1)"), plain_cell("a-b"), plain_cell(-0.5)
        ("'=SUM(A1)", 'a-b', -0.5)
    """
    is_formula = isinstance(value, str) and value.startswith(FORMULA_SIGNS)
    return f"'{value}" if is_formula else value
