"""How much room things take, in pixels."""

from __future__ import annotations

from rondo.drawing.curves import Box
from rondo.drawing.maps import half_map
from rondo.drawing.picture import Mark, Picture, at_step, state_name, timed
from rondo.drawing.ranks import Item, Rows

LABEL_SIZE, SMALL_SIZE = 15, 12  # of letters
NARROW = frozenset("fijlrt.,:;'|!()[] ")
ROUND_LETTERS = 5  # a longer label gets a box
LINE = 16  # from one line in a box to the next
MARGIN = 18


def text_width(text: str, size: int = SMALL_SIZE) -> float:
    """The width of a text in a serif font; a little too wide rather than too narrow."""
    return size * sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    """As a share of the size of the letters."""
    if letter in NARROW:
        return 0.33
    if letter in "mwMW" or letter > "\u2000":  # arrows and signs of mathematics
        return 0.9
    return 0.72 if letter.isupper() else 0.53


def is_layer(mark: Mark) -> bool:
    """Whether a node is a box with all its words in it."""
    return mark.kind in ("layer", "map")


def half_size(mark: Mark) -> tuple[float, float, bool]:
    """Half the width and height of a node, and whether it is round."""
    width = text_width(mark.label, LABEL_SIZE)
    if is_layer(mark):
        half = max(width, text_width(mark.caption)) / 2 + 9
        if mark.grid is not None:
            half_width, half_height = half_map(mark.grid)
            return max(half, half_width), half_height + (LINE / 2 if mark.caption else 0), False
        return half, 15.0 + (LINE / 2 if mark.caption else 0), False
    if len(mark.label) > ROUND_LETTERS or mark.kind in ("parameter", "sum"):
        return width / 2 + 9, 15.0, False
    smallest = 13.0 if mark.kind == "operation" else 18.0
    radius = max(smallest, width / 2 + 4)
    return radius, radius, True


def measure(rows: Rows, picture: Picture, num_steps: int | None) -> None:
    """Give every item its room to the left and right of its middle."""
    for item in rows.items.values():
        if item.mark is not None:
            mark = item.mark if num_steps is None else at_step(item.mark, num_steps)
            half, _, _ = half_size(mark)
            has_caption = mark.caption and not is_layer(mark)
            beside = text_width(mark.caption) - 0.3 * half + 6 if has_caption else 0.0
            item.left, item.right = half, half + max(0.0, beside)
        elif item.delay:
            half = mark_half(item, num_steps)
            item.left = half
            item.right = half + (text_width(item.name) + 8 if num_steps is None else 0)
    for chain in rows.chains:
        if chain.arrow.label and not chain.leads_down:
            item = rows.items[chain.items[0]]
            width = text_width(chain.arrow.label)
            item.left, item.right = max(item.left, 24.0), max(item.right, 0.75 * width + 6)
            target = rows.items[chain.items[-1]]
            target.right = max(target.right, 0.75 * width)
    if num_steps is None:
        for loop in rows.own_loops:
            item = rows.items[loop.source]
            room = LOOP_WIDTH + text_width(loop.label) + text_width(state_name(picture, loop)) / 4
            if rows.side_of(loop) > 0:
                item.right = max(item.right, item.left + room)
            else:
                item.left += room


LOOP_WIDTH = 34.0  # of a loop at the side of its node
DELAY_HALF = 5.0


def mark_half(item: Item, num_steps: int | None) -> float:
    """Half the side of a delay mark; unrolled, of the state that stands in its place."""
    if num_steps is None:
        return DELAY_HALF + (3 if abs(item.delay) > 1 else 0)
    return half_size(initial_state(item.name, 1 - item.delay))[0]


def initial_state(name: str, step: int) -> Mark:
    """The node of a state before the first step."""
    return Mark(f"{name} at {step}", timed(name, step), "state")


def mark_box(mark: Mark, x: float, y: float) -> Box:
    """A node where it stands."""
    half_width, half_height, is_round = half_size(mark)
    return Box(x, y, half_width, half_height, is_round)
