"""The texts and nodes of an SVG with the room that they take, measured without a browser.

Texts are measured in fonts that come with matplotlib: DejaVu Sans, which is wider than the sans
serif fonts of most systems, and STIX, which is as wide as Times. matplotlib may write texts as
paths; what they say stands in a comment before them then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

SVG = "{http://www.w3.org/2000/svg}"
PIXELS = {"pt": 96 / 72, "px": 1.0, "": 1.0}  # in one unit
ASCENT, DESCENT = 0.72, 0.22  # of letters above and below their line, as shares of the font size

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Rectangle:
    """Where something is, in units of the picture; y grows downward."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Rectangle) -> float:
        """By how much two rectangles overlap, in the direction in which they overlap less."""
        return min(
            min(self.right, other.right) - max(self.left, other.left),
            min(self.bottom, other.bottom) - max(self.top, other.top),
        )

    def holds(self, other: Rectangle, slack: float = 0.0) -> bool:
        """Whether another rectangle lies in this one, but for some slack."""
        return (
            self.left - slack <= other.left
            and self.top - slack <= other.top
            and other.right <= self.right + slack
            and other.bottom <= self.bottom + slack
        )


@dataclass(frozen=True)
class Text:
    """What is written, where, and how large its letters are, in units of the picture."""

    words: str
    box: Rectangle
    size: float


@dataclass(frozen=True)
class Measured:
    """A picture: its size in CSS pixels, its frame, its texts, and its nodes."""

    width: float
    frame: Rectangle
    texts: tuple[Text, ...]
    nodes: tuple[Rectangle, ...]

    @property
    def pixels(self) -> float:
        """CSS pixels in a unit of the picture, where it is shown in its own size."""
        return self.width / (self.frame.right - self.frame.left)


def measure(path: Path) -> Measured:
    """The texts and nodes of an SVG file."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.parse(path, ElementTree.XMLParser(target=builder)).getroot()
    number, unit = re.fullmatch(r"([\d.]+)(pt|px|)", root.attrib["width"]).groups()  # type: ignore[union-attr]
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    frame = Rectangle(left, top, left + width, top + height)
    found = tuple(dict.fromkeys(_texts(root, _Look())))  # a halo is written twice
    return Measured(float(number) * PIXELS[unit], frame, found, tuple(_nodes(root)))


# ---- texts ----


@dataclass(frozen=True)
class _Look:
    """What a text inherits from what it stands in."""

    matrix: Matrix = (1, 0, 0, 1, 0, 0)
    size: float = 16.0
    family: str = "serif"
    style: str = "normal"
    anchor: str = "start"

    def within(self, element: ElementTree.Element) -> _Look:
        values = dict(element.attrib)
        for declaration in values.get("style", "").split(";"):
            name, _, value = declaration.partition(":")
            values[name.strip()] = value.strip()
        size = values.get("font-size", "").removesuffix("px")
        return replace(
            self,
            matrix=_product(
                _product(self.matrix, _place(element)), _matrix(values.get("transform", ""))
            ),
            size=float(size) if size else self.size,
            family=values.get("font-family", self.family),
            style=values.get("font-style", self.style),
            anchor=values.get("text-anchor", self.anchor),
        )


def _texts(element: ElementTree.Element, look: _Look) -> Iterator[Text]:
    look = look.within(element)
    if element.tag == f"{SVG}text" and not len(element):
        yield _text(
            element.text or "", look, float(element.get("x", 0)), float(element.get("y", 0))
        )
        return
    if element.tag == f"{SVG}text":
        for part in element.iter(f"{SVG}tspan"):
            x, y = (float(part.get(axis, "0").split()[0]) for axis in "xy")
            yield _text(part.text or "", look.within(part), x, y)
        return
    comment = ""
    for child in element:
        if child.tag is ElementTree.Comment:
            comment = (child.text or "").strip()
        elif comment and child.tag == f"{SVG}g" and "scale(" in child.get("transform", ""):
            yield _path_text(comment, look.within(child))
            comment = ""
        elif child.tag not in (f"{SVG}defs", f"{SVG}metadata"):
            yield from _texts(child, look)


def _path_text(words: str, look: _Look) -> Text:
    """A text that matplotlib wrote as paths, whose glyphs are 100 units high."""
    words = re.sub(r"\$|\\mathdefault|[{}^]", "", words)
    return _text(words, replace(look, size=100.0, family="sans-serif", anchor="start"), 0, 0, up=-1)


def _text(words: str, look: _Look, x: float, y: float, up: int = 1) -> Text:
    words = " ".join(words.split())
    width = text_width(words, look.family, look.style) * look.size
    start = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[look.anchor] * width
    corners = [
        _at(look.matrix, px, y + up * dy * look.size)
        for px in (start, start + width)
        for dy in (-ASCENT, DESCENT)
    ]
    xs, ys = zip(*corners, strict=True)
    a, b, *_ = look.matrix
    box = Rectangle(min(xs), min(ys), max(xs), max(ys))
    return Text(words, box, look.size * (a * a + b * b) ** 0.5)


@cache
def text_width(words: str, family: str, style: str) -> float:
    """The width of a text as a share of its size."""
    is_serif = family.split(",")[-1].strip() == "serif"
    name, style = ("STIXGeneral", style) if is_serif else ("DejaVu Sans", "normal")
    return sum(_advance(letter, name, style) for letter in words)


@cache
def _advance(letter: str, name: str, style: str) -> float:
    font = _font(name, style)
    if not font.get_char_index(ord(letter)):
        font = _font("DejaVu Sans", "normal")
    font.set_size(100, 72)
    font.set_text(letter)
    return font.load_char(ord(letter)).linearHoriAdvance / 65536 / 100


@cache
def _font(name: str, style: str) -> FT2Font:
    properties = font_manager.FontProperties(family=name, style=style)
    return font_manager.get_font(font_manager.findfont(properties))


# ---- nodes ----


def _nodes(root: ElementTree.Element) -> Iterator[Rectangle]:
    """The circles and boxes of a drawing; charts, and pictures made of several, have none."""
    if root.find(f"{SVG}svg") is not None:
        return
    for group in root.iter(f"{SVG}g"):
        for shape in group:
            values = {name: float(v) for name, v in shape.attrib.items() if _is_number(v)}
            if shape.tag == f"{SVG}circle":
                x, y, r = values["cx"], values["cy"], values["r"]
                yield Rectangle(x - r, y - r, x + r, y + r)
            elif shape.tag == f"{SVG}rect" and {"x", "y"} <= values.keys():
                x, y = values["x"], values["y"]
                yield Rectangle(x, y, x + values["width"], y + values["height"])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[\d.]+", text) is not None


# ---- transforms ----


def _place(element: ElementTree.Element) -> Matrix:
    """Where a picture within a picture stands."""
    if element.tag != f"{SVG}svg" or "x" not in element.attrib:
        return 1, 0, 0, 1, 0, 0
    x, y, width = (float(element.attrib[name]) for name in ("x", "y", "width"))
    left, top, own_width, _ = map(float, element.attrib["viewBox"].split())
    scale = width / own_width
    return scale, 0, 0, scale, x - scale * left, y - scale * top


def _matrix(text: str) -> Matrix:
    found: Matrix = (1, 0, 0, 1, 0, 0)
    for name, numbers in re.findall(r"(\w+)\(([^)]*)\)", text):
        n = [float(number) for number in re.split(r"[\s,]+", numbers.strip())]
        if name == "translate":
            found = _product(found, (1, 0, 0, 1, n[0], n[1] if len(n) > 1 else 0))
        elif name == "scale":
            found = _product(found, (n[0], 0, 0, n[-1], 0, 0))
        elif name == "rotate":
            cosine, sine = math.cos(math.radians(n[0])), math.sin(math.radians(n[0]))
            x, y = n[1:] if len(n) > 1 else (0, 0)
            found = _product(found, (1, 0, 0, 1, x, y))
            found = _product(found, (cosine, sine, -sine, cosine, 0, 0))
            found = _product(found, (1, 0, 0, 1, -x, -y))
        else:
            raise AssertionError(f"no rule for {name}")
    return found


def _product(first: Matrix, second: Matrix) -> Matrix:
    """What does the second transform, then the first."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return (
        *(a * p + c * q, b * p + d * q, a * r + c * s, b * r + d * s),
        *(a * t + c * u + e, b * t + d * u + f),
    )  # type: ignore[return-value]


def _at(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f
