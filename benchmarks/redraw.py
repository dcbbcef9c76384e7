"""Draws the charts of `benchmarks/results` anew, and that of the README in two themes.

The numbers are those on the pages beside the charts, or in the files that were written with them.

Nothing is measured; run it where the look of the charts has changed: `python benchmarks/redraw.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import parallel
from readme_picture import DARK, IMAGES, LIGHT
from rondo.bench.measure import Spread
from rondo.bench.options import Sizes
from rondo.bench.rows import Row
from rondo.bench.token_plot import token_svg
from rondo.report.plots import standalone
from rondo.tasks.photo.task import LECTURE_RESULTS
from rondo.tasks.photo.time_plot import Point, accuracy_over_time

RESULTS = Path(__file__).parent / "results"


def photo_table(page: str) -> str:
    """The chart of the table "All networks"."""
    table = page.split("## All networks")[1].split("\n\n")[1]
    head, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines())
    here, lecture = [], []
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        value, low, _, high = cells["test, %"].replace("(", "").replace(")", "").split()
        seconds = float(cells["training, s"].replace(",", ""))
        here.append(Point(row[0], seconds, float(value), float(low), float(high)))
        if row[0] in LECTURE_RESULTS:
            found = LECTURE_RESULTS[row[0]]
            lecture.append(Point(row[0], found.seconds, *[found.accuracy] * 3))
    return standalone(
        accuracy_over_time({"here": here, "in the lecture, on other photos": lecture})
    )


def token_rows() -> list[Row]:
    """The rows of token.json, as they were measured."""
    return [_row(**values) for values in json.loads((RESULTS / "token.json").read_text())["rows"]]


def _row(suite: str, case: str, run: str, sizes: dict[str, int], times_s: Any, **_: Any) -> Row:
    times = {name: Spread(tuple(values["rounds"])) for name, values in times_s.items()}
    return Row(suite, case, run, Sizes(**sizes), times)


def main() -> None:
    rows = token_rows()
    (RESULTS / "token.svg").write_text(token_svg(rows), encoding="utf-8")
    for name, theme in {"token.svg": LIGHT, "token_dark.svg": DARK}.items():
        (IMAGES / name).write_text(token_svg(rows, theme.ink), encoding="utf-8")
    page = (RESULTS / "parallel.md").read_text(encoding="utf-8")
    svg = parallel.plot(parallel.read_page(page))
    (RESULTS / "parallel.svg").write_text(svg, encoding="utf-8")
    page = (RESULTS / "photo_table.md").read_text(encoding="utf-8")
    (RESULTS / "photo_table.svg").write_text(photo_table(page), encoding="utf-8")


if __name__ == "__main__":
    main()
