"""What the last step of a run may leave out: where nobody reads the state after it.

In goes a kernel, out come how many parts of a step make more than that state, and the matrices that
the other parts alone read, which need no packing where there is one step.
"""

from __future__ import annotations

from rondo.compiler.kernel import Kernel, Level, Reduce, Store

OF_STATE = ("local", "row", "state")
"""Where values lie that no other step reads, and the state."""


def num_parts_of_last(kernel: Kernel) -> int:
    """How many parts of a step make more than the state after it; all, where that is little."""
    parts = _parts(kernel)
    number = _num_needed(kernel)
    saves = any(part == "products" for _, part in parts[number:])
    return number if saves else len(parts) + bool(kernel.commits)


def matrices_of_state(kernel: Kernel) -> set[int]:
    """The numbers of the matrices that only parts read which the last step leaves out."""
    parts, number = _parts(kernel), _num_needed(kernel)
    needed = [
        product.matrix for level in (*kernel.opening, *kernel.closing) for product in level.products
    ]
    needed += _read(parts[:number])
    return set(_read(parts[number:])) - set(needed)


def _parts(kernel: Kernel) -> list[tuple[Level, str]]:
    """The parts of a step in order, without the commits."""
    return [
        (level, part)
        for level in kernel.levels
        for part in ("loops", "products")
        if (level.loops if part == "loops" else level.products)
    ]


def _num_needed(kernel: Kernel) -> int:
    """How many parts there are up to the last that writes more than the state."""
    parts = _parts(kernel)
    number = len(parts)
    while number and all(
        kernel.buffers[name].place in OF_STATE for name in _written(*parts[number - 1])
    ):
        number -= 1
    return number


def _written(level: Level, part: str) -> set[str]:
    """The buffers that a part of a level writes."""
    if part == "products":
        return {product.result for product in level.products}
    items = [item for loop in level.loops for item in loop.body]
    return {item.buffer for item in items if isinstance(item, Store | Reduce)}


def _read(parts: list[tuple[Level, str]]) -> list[int]:
    """The matrices that parts read."""
    return [p.matrix for level, part in parts if part == "products" for p in level.products]
