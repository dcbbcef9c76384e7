"""The geometry of edges: smooth curves between points, and where they meet a node."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

Point = tuple[float, float]
Piece = tuple[Point, Point, Point, Point]  # of a cubic Bezier curve
STEEPEST = math.radians(52)  # how far from upright an edge may leave a circle


@dataclass(frozen=True)
class Box:
    """The room that a node takes: its middle and half its size.

    `fork` is set where there is no node, but an edge goes on into the next step: "beside" above a
    row, where it turns, "through" within one, where it goes straight up.
    """

    x: float
    y: float
    half_width: float
    half_height: float
    is_round: bool = True
    fork: str = ""

    def overlaps(self, other: Box, gap: float = 0.0) -> bool:
        """Whether two boxes share some room, or are nearer than a gap."""
        return (
            abs(self.x - other.x) < self.half_width + other.half_width + gap
            and abs(self.y - other.y) < self.half_height + other.half_height + gap
        )

    def border(self, toward: Point, upward: bool) -> tuple[Point, Point]:
        """Where an edge to a point meets the border, and the direction in which it leaves."""
        dx, dy = toward[0] - self.x, abs(toward[1] - self.y) or 1.0
        sign = -1.0 if upward else 1.0
        angle = max(-STEEPEST, min(STEEPEST, math.atan2(dx, dy)))
        way = (math.sin(angle), sign * math.cos(angle))
        if self.is_round:
            return (self.x + self.half_width * way[0], self.y + self.half_height * way[1]), way
        reach = max(-0.8, min(0.8, 0.35 * dx / self.half_width)) * self.half_width
        slant = 0.5 * way[0]
        way = (slant, sign * math.sqrt(1 - slant**2))
        return (self.x + reach, self.y + sign * self.half_height), way


@dataclass(frozen=True)
class Curve:
    """A smooth path: cubic Bezier pieces, each of four points."""

    pieces: tuple[Piece, ...]

    @property
    def path(self) -> str:
        """The path as SVG writes it."""
        (x, y), *_ = self.pieces[0]
        text = [f"M{x:.1f} {y:.1f}"]
        for _, b, c, d in self.pieces:
            text.append("C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in (b, c, d)))
        return "".join(text)

    @property
    def end(self) -> tuple[Point, Point]:
        """Where the curve ends, and the direction in which it gets there."""
        _, _, c, d = self.pieces[-1]
        dx, dy = d[0] - c[0], d[1] - c[1]
        length = math.hypot(dx, dy) or 1.0
        return d, (dx / length, dy / length)

    def at(self, share: float, piece: int = 0) -> Point:
        """The point at a share of one piece."""
        a, b, c, d = self.pieces[piece]
        s, t = 1 - share, share
        p, q, r, o = s**3, 3 * s * s * t, 3 * s * t * t, t**3
        x = p * a[0] + q * b[0] + r * c[0] + o * d[0]
        y = p * a[1] + q * b[1] + r * c[1] + o * d[1]
        return x, y

    def way(self, share: float, piece: int = 0) -> Point:
        """The direction of the curve at a share of one piece, of length 1."""
        (x, y), (u, v) = self.at(max(0.0, share - 0.01), piece), self.at(share + 0.01, piece)
        length = math.hypot(u - x, v - y) or 1.0
        return (u - x) / length, (v - y) / length

    @cached_property
    def bounds(self) -> Box:
        """The room that the whole curve takes."""
        xs, ys = zip(*self.points, strict=True)
        x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        return Box(x, y, max(xs) - x, max(ys) - y)

    @cached_property
    def points(self) -> list[Point]:
        """Points along the whole curve, a few pixels from each other."""
        found = []
        for piece, (a, *_, d) in enumerate(self.pieces):
            number = 8 + int(math.hypot(d[0] - a[0], d[1] - a[1]) / 5)
            found += [self.at(index / number, piece) for index in range(number + 1)]
        return found

    def num_inside(self, box: Box, margin: float) -> int:
        """The number of points that lie in a box, or nearer to it than a margin."""
        width, height = box.half_width + margin, box.half_height + margin
        across, down = self._sorted
        columns = _between(across, 0, box.x - width, box.x + width)
        rows = _between(down, 1, box.y - height, box.y + height)
        if len(columns) < len(rows):
            return sum(abs(y - box.y) < height for _, y in columns)
        return sum(abs(x - box.x) < width for x, _ in rows)

    @cached_property
    def _sorted(self) -> tuple[list[Point], list[Point]]:
        """The points from left to right, and from top to bottom."""
        return sorted(self.points), sorted(self.points, key=itemgetter(1))


def _between(points: list[Point], axis: int, low: float, high: float) -> list[Point]:
    """Those of some points, sorted along an axis, that lie between two places on it."""
    first = bisect_right(points, low, key=itemgetter(axis))
    return points[first : bisect_left(points, high, first, key=itemgetter(axis))]


def bend(start: Point, way: Point, end: Point, arrives: Point) -> Piece:
    """One piece from a point, leaving one way and arriving another way (unit vectors).

    It rises or falls between its ends and not beyond them, so it stays between two rows.
    """
    distance, height = math.hypot(end[0] - start[0], end[1] - start[1]), abs(end[1] - start[1])

    def reach(direction: Point) -> float:
        return min(0.4 * distance, 0.9 * height / max(abs(direction[1]), 1e-9))

    a, b = reach(way), reach(arrives)
    return (
        start,
        (start[0] + a * way[0], start[1] + a * way[1]),
        (end[0] - b * arrives[0], end[1] - b * arrives[1]),
        end,
    )


def arch(start: Point, way: Point, end: Point, arrives: Point) -> Piece:
    """One piece that rises above both its ends."""
    length = 0.4 * math.hypot(end[0] - start[0], end[1] - start[1])
    lift = min(length, 50.0 / max(abs(way[1]), 1e-9))
    return (
        start,
        (start[0] + lift * way[0], start[1] + lift * way[1]),
        (end[0] - lift * arrives[0], end[1] - lift * arrives[1]),
        end,
    )


def straight(start: Point, end: Point) -> Piece:
    """One piece that is a straight line."""
    (x, y), (u, v) = start, end
    return start, ((2 * x + u) / 3, (2 * y + v) / 3), ((x + 2 * u) / 3, (y + 2 * v) / 3), end
