"""Every picture that the docs show: its texts can be read, and hide neither texts nor nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from svg_texts import Measured, measure

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks" / "results").glob("*.md")),
]
COLUMN = 838
"""The pixels that GitHub leaves for a picture in a README, in a window of 1,280 pixels or more."""

LEAST_SIZE = 12
"""The size of letters in pixels that is 9 points."""

SLACK = 1.0  # by how much boxes of letters may overlap; they are a little larger than the letters
LINK = re.compile(r"\]\(([^)\s]+\.(?:svg|png|gif|jpg))\)|(?:src|srcset)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Shown:
    """A picture on a page, and the share of its width that there is room for."""

    path: Path
    page: str
    scale: float


def shown() -> Iterator[Shown]:
    """The pictures of all pages; those in one row of a table share its width."""
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            names = [first or second for first, second in LINK.findall(line)]
            paths = [(page.parent / name).resolve() for name in names if "://" not in name]
            for path in paths:
                assert path.exists(), f"{page.name} shows {path}, which is not there"
            is_row = line.startswith("|") and "![" in line
            total = sum(map(width_of, paths)) if is_row else max(map(width_of, paths), default=0)
            for path in paths:
                yield Shown(path, page.name, min(1.0, COLUMN / max(total, 1)))


def width_of(path: Path) -> float:
    """The width of a picture in pixels."""
    if path.suffix == ".svg":
        return measure(path).width
    with Image.open(path) as image:
        return image.width


SHOWN = list(shown())
DRAWN = sorted({item.path for item in SHOWN if item.path.suffix == ".svg"})
SCALES = {path: min(item.scale for item in SHOWN if item.path == path) for path in DRAWN}
NAMES = [str(path.relative_to(ROOT)) for path in DRAWN]


@pytest.fixture(params=DRAWN, ids=NAMES)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def clashes(picture: Measured) -> list[str]:
    """Pairs of texts that overlap, and texts that overlap a node which is not their own."""
    found = [
        f"{first.words!r} and {second.words!r}"
        for first, second in combinations(picture.texts, 2)
        if first.box.overlap(second.box) > SLACK
    ]
    for text in picture.texts:
        for node in picture.nodes:
            if text.box.overlap(node) > SLACK and not node.holds(text.box, slack=2):
                found.append(f"{text.words!r} and a node")
    return found


def outside(picture: Measured) -> list[str]:
    """Texts that leave the frame."""
    return [text.words for text in picture.texts if not picture.frame.holds(text.box)]


def small(picture: Measured, scale: float) -> set[tuple[str, float]]:
    """Texts whose letters are smaller than 9 points where a page shows them, and their pixels."""
    sizes = {text.words: text.size * picture.pixels * scale for text in picture.texts}
    return {(words, size) for words, size in sizes.items() if size < LEAST_SIZE - 0.01}


def test_many_pictures_are_found_and_have_texts() -> None:
    assert len(DRAWN) > 50
    assert all(measure(path).texts for path in DRAWN)


def test_no_text_hides_another_or_a_node(path: Path) -> None:
    assert clashes(measure(path)) == []


def test_no_text_leaves_the_frame(path: Path) -> None:
    assert outside(measure(path)) == []


def test_letters_have_nine_points_on_the_page(path: Path) -> None:
    assert small(measure(path), SCALES[path]) == set()


def test_photos_and_drawings_in_pixels_can_be_opened_and_are_not_empty() -> None:
    for item in SHOWN:
        if item.path.suffix != ".svg":
            with Image.open(item.path) as image:
                assert len(image.convert("RGB").resize((64, 64)).getcolors(4096) or ()) != 1


# ---- the check itself ----

SVG = 'xmlns="http://www.w3.org/2000/svg" height="80" viewBox="0 0 100 80"'
FRAME = f'<svg {SVG} width="{{}}">{{}}</svg>'


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ('<text x="9" y="20">one</text><text x="20" y="24">two</text>', ["'one' and 'two'"]),
        ('<g><circle cx="40" cy="20" r="9"/></g><text x="9" y="20">longer</text>',
         ["'longer' and a node"]),
        ('<g transform="translate(20 0)"><text x="9" y="20">one</text></g>'
         '<text x="32" y="20">two</text>', ["'one' and 'two'"]),
        ('<g><circle cx="40" cy="20" r="19"/><text x="40" y="24" text-anchor="middle">h</text></g>',
         []),
    ],
)  # fmt: skip
def test_texts_that_hide_something_are_found(tmp_path: Path, inside: str, found: list[str]) -> None:
    (tmp_path / "a.svg").write_text(FRAME.format(100, inside))
    assert clashes(measure(tmp_path / "a.svg")) == found


def test_texts_outside_and_small_ones_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text(FRAME.format(100, '<text x="90" y="20">beyond</text>'))
    assert outside(measure(path)) == ["beyond"]
    assert small(measure(path), 1.0) == set()
    assert small(measure(path), 0.5) == {("beyond", 8.0)}
    path.write_text(FRAME.format("37.5pt", '<text x="9" y="20">small</text>'))
    assert small(measure(path), 1.0) == {("small", 8.0)}
