"""Tables that a spreadsheet opens: no cell is a formula."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import pytest

from rondo.cli.predict import print_csv
from rondo.system.csv_text import FORMULA_SIGNS, plain_cell


@dataclass(frozen=True)
class Answer:
    source: str
    probability: float | None


@pytest.mark.parametrize("sign", FORMULA_SIGNS)
def test_a_text_that_begins_as_a_formula_is_a_text(sign: str) -> None:
    assert plain_cell(f"{sign}1") == f"'{sign}1"
    assert plain_cell(f"a{sign}1") == f"a{sign}1"


def test_numbers_and_empty_cells_stay() -> None:
    assert [plain_cell(value) for value in (-0.5, 3, None, "")] == [-0.5, 3, None, ""]


def test_a_printed_table_has_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Answer("=HYPERLINK(1).png", -0.5), Answer("@a, b.png", None), Answer("c.png", 1.0)]
    print_csv(("source", "probability"), rows)
    assert list(csv.reader(capsys.readouterr().out.splitlines())) == [
        ["source", "probability"],
        ["'=HYPERLINK(1).png", "-0.5"],
        ["'@a, b.png", ""],
        ["c.png", "1.0"],
    ]
