"""Whether a kernel reads only what it has written, element by element.

In goes a :class:`Kernel`; its loops and products are gone through in the order in which they run,
and what they write into memory is noted. Out comes an error where one reads what nothing has
written yet, or writes what was read already. All rows are treated alike, so one row is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from rondo.compiler.kernel import Kernel, Level, Load, Loop, Product, Reduce, Store, Sum
from rondo.compiler.views import Index, variable

GIVEN = ("shared", "input", "previous", "state")
"""Places that hold something before the kernel runs."""


def check_order(kernel: Kernel) -> None:
    """Fail where a kernel reads what is not there yet, or not any more."""
    written = _Written(kernel)
    written.follow(kernel.opening)
    written.follow(kernel.levels, kernel.commits)
    written.follow(kernel.closing)
    for total in kernel.sums:
        written.add_up(total)
    for name in kernel.outputs.values():
        written.read_all(name)


class _Written:
    """What is known of each element of a row: whether it is there, and whether it was read."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.there: dict[str, bytearray] = {}
        self.was_read: dict[str, bytearray] = {}
        for name, buffer in kernel.buffers.items():
            self.there[name] = bytearray([buffer.place in GIVEN]) * buffer.size
            self.was_read[name] = bytearray(buffer.size)

    def follow(self, levels: Iterable[Level], commits: Iterable[tuple[str, str]] = ()) -> None:
        """Go through the loops and products of a stage."""
        for level in levels:
            for loop in level.loops:
                self._loop(loop)
            for item in level.products:
                self._product(item)
            self._forget("row")
        for _, target in commits:
            self.read_all(target)
        self._forget("local")

    def read_all(self, name: str) -> None:
        """Read all of a buffer."""
        self._read(name, _some(0, self.kernel.buffers[name].size))

    def add_up(self, total: Sum) -> None:
        """Read the rows that are summed."""
        height, width = self.kernel.buffers[total.total].sizes
        self._read(total.right, _some(total.right_offset, width))
        if total.left is not None:
            self._read(total.left, _some(total.left_offset, height))

    def _forget(self, place: str) -> None:
        """What lies in such a place is gone."""
        for buffer in self.kernel.at(place):
            self.there[buffer.name] = bytearray(buffer.size)
            self.was_read[buffer.name] = bytearray(buffer.size)

    def _product(self, item: Product) -> None:
        matrix = self.kernel.matrices[item.matrix]
        self._read(item.left, _some(item.left_offset, matrix.depth))
        self._write(item.result, _some(item.result_offset, matrix.width))

    def _loop(self, loop: Loop) -> None:
        """A turn loads before it stores: it may replace what it has loaded, and nothing else."""
        num_kept = len(loop.sizes) - loop.num_reduced
        replaced: set[tuple[str, Index]] = set()
        loads = [item for item in loop.body if isinstance(item, Load)]
        for load in loads:
            self._read(load.buffer, _elements(load.index, loop.sizes))
        for item in loop.body:
            if isinstance(item, Store):
                self._write(item.buffer, _elements(item.index, loop.sizes))
                replaced |= set() if loop.num_reduced else {(item.buffer, item.index)}
            elif isinstance(item, Reduce):
                self._write(item.buffer, _elements(item.index, loop.sizes[:num_kept]))
        for load in loads:
            if (load.buffer, load.index) not in replaced:
                self._read(load.buffer, _elements(load.index, loop.sizes))

    def _read(self, name: str, elements: Iterable[slice]) -> None:
        there, was_read = self.there[name], self.was_read[name]
        for part in elements:
            assert part.stop <= len(there), f"{name} has no element {part.stop - 1} that is read"
            assert 0 not in there[part], f"{name} is read where it is not there"
            was_read[part] = _flags(True, part)

    def _write(self, name: str, elements: Iterable[slice]) -> None:
        """Write elements; a state's are gone then, for what lies there is the next state."""
        there, was_read = self.there[name], self.was_read[name]
        is_state = self.kernel.buffers[name].place == "state"
        for part in elements:
            assert part.stop <= len(there), f"{name} has no element {part.stop - 1} to write"
            assert is_state or 1 not in was_read[part], f"{name} was read before it is written"
            there[part] = _flags(not is_state, part)


def _flags(value: bool, part: slice) -> bytearray:
    return bytearray([value]) * len(range(part.start, part.stop, part.step))


def _some(first: int, number: int) -> Iterator[slice]:
    """So many elements that follow each other."""
    return _elements(variable(0).moved(first), (number,))


def _elements(index: Index, sizes: tuple[int, ...]) -> Iterator[slice]:
    """The elements at an index in loops of these sizes, as slices along the longest loop."""
    if 0 in sizes:
        return
    loops = [(c, n) for c, n in zip(index.coefficients, sizes, strict=False) if c]
    loops.sort(key=lambda loop: loop[1])
    stride, length = loops.pop() if loops else (1, 1)
    for turn in product(*(range(size) for _, size in loops)):
        first = index.offset + sum(c * t for (c, _), t in zip(loops, turn, strict=True))
        last = first + stride * (length - 1)
        yield slice(min(first, last), max(first, last) + 1, abs(stride))
