"""What many programs do at once in a step.

In goes a :class:`Kernel`, out come phases. What happens in a phase does not read what the phase
writes, so that any number of programs may share it in any order; between phases all programs wait,
but for those that `waits.py` finds. Two things keep the phases few:

- A product whose elements loops read, each once and side by side, is computed in these loops: the
  step of an LSTM is then one phase.
- Loops between two products look at one row at a time and are done row by row, all loops of a row
  by one program: a layer norm, whose sums and differences follow each other, is one phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from rondo.compiler.kernel import Compute, Kernel, Load, Loop, Product

MOST_IN_ROW = 8192
"""The most elements of a row that a program does at once; longer rows are not done as a whole."""


@dataclass(frozen=True)
class Tiles:
    """A loop over elements, of which each program does some.

    Args:
        loop: The loop.
        products: For each buffer whose elements are computed where the loop reads them, the
            products of which they are.
        like_products: Whether programs have the same elements as of a product of the same size.
    """

    loop: Loop
    products: dict[str, tuple[Product, ...]]
    like_products: bool = False

    @property
    def reads(self) -> set[str]:
        """The buffers that it reads."""
        lefts = {product.left for several in self.products.values() for product in several}
        return (_read_by(self.loop) - set(self.products)) | lefts

    @property
    def writes(self) -> set[str]:
        """The buffers that it writes."""
        return _written_by(self.loop)


@dataclass(frozen=True)
class Rows:
    """Loops over the elements of a row, one after the other; each program does some rows."""

    loops: tuple[Loop, ...]

    @property
    def most_elements(self) -> int:
        """The most elements of a row that one of them goes through."""
        return max(prod(loop.sizes) for loop in self.loops)

    @property
    def reads(self) -> set[str]:
        """The buffers that they read."""
        return set().union(*map(_read_by, self.loops))

    @property
    def writes(self) -> set[str]:
        """The buffers that they write."""
        return set().union(*map(_written_by, self.loops))


Work = Tiles | Rows | Product


@dataclass(frozen=True)
class Phase:
    """What programs do without waiting for each other.

    Args:
        work: What they do.
        waits: Whether all wait for each other after it; otherwise a program goes on at once.
    """

    work: tuple[Work, ...]
    waits: bool = True


def phases_of(kernel: Kernel) -> tuple[Phase, ...]:
    """The phases of a step of a kernel, in order.

    The kernel must keep the next state apart from the state.
    """
    phases: list[list[Work]] = [[]]
    read: set[str] = set()
    written: set[str] = set()
    for item in _by_rows(_items(kernel, _fused(kernel))):
        if written & (item.reads | item.writes) or read & item.writes:
            phases.append([])
            read, written = set(), set()
        phases[-1].append(item)
        read |= item.reads
        written |= item.writes
    return tuple(Phase(tuple(items)) for items in phases)


def product_of(
    kernel: Kernel, products: list[Product] | tuple[Product, ...], load: Load, size: int
) -> Product | None:
    """The product of which a loop over so many neighbouring columns reads the elements."""
    for product in products:
        first, width = product.result_offset, kernel.matrices[product.matrix].width
        if first <= load.index.offset and load.index.offset + size <= first + width:
            return product
    return None


def _read_by(loop: Loop) -> set[str]:
    return {item.buffer for item in loop.body if isinstance(item, Load)}


def _written_by(loop: Loop) -> set[str]:
    return {item.buffer for item in loop.body if not isinstance(item, Load | Compute)}


# ---- loops and products ----


def _items(kernel: Kernel, fused: set[str]) -> Iterator[Tiles | Product]:
    """The loops and products of a step in order, without those that loops compute."""
    by_result: dict[str, tuple[Product, ...]] = {}
    for level in kernel.levels:
        for loop in level.loops:
            read = _read_by(loop)
            yield Tiles(loop, {name: by_result[name] for name in fused if name in read})
        for product in level.products:
            by_result[product.result] = (*by_result.get(product.result, ()), product)
            if product.result not in fused:
                yield product


def _fused(kernel: Kernel) -> set[str]:
    """The results of products that loops can compute where they read them."""
    products = [product for level in kernel.levels for product in level.products]
    results = {product.result for product in products}
    results -= {product.left for product in products}
    results -= {buffer.name for buffer in kernel.at("output")}
    return {
        result
        for result in results
        if _reads_side_by_side(kernel, result, [p for p in products if p.result == result])
    }


def _reads_side_by_side(kernel: Kernel, result: str, products: list[Product]) -> bool:
    """Whether loops read neighbouring elements of a product, and no element twice."""
    taken: set[int] = set()
    for loop in (loop for level in kernel.levels for loop in level.loops):
        loads = [item for item in loop.body if isinstance(item, Load) and item.buffer == result]
        if loads and (len(loop.sizes) != 1 or loop.num_reduced):
            return False
        for load in loads:
            (size,) = loop.sizes
            if load.index.coefficients != (1,) or product_of(kernel, products, load, size) is None:
                return False
            columns = set(range(load.index.offset, load.index.offset + size))
            if columns & taken:
                return False
            taken |= columns
    return True


# ---- row by row ----


def _by_rows(items: Iterator[Tiles | Product]) -> Iterator[Work]:
    """The same, loops that follow each other and need each other's results joined."""
    run: list[Tiles] = []
    for item in items:
        if isinstance(item, Tiles) and not item.products:
            run.append(item)
            continue
        yield from _joined(run)
        run = []
        yield item
    yield from _joined(run)


def _joined(run: list[Tiles]) -> list[Work]:
    loops = tuple(item.loop for item in run)
    written: set[str] = set()
    needed = False
    for item in run:
        needed |= bool(item.loop.num_reduced or written & (item.reads | item.writes))
        written |= item.writes
    return [Rows(loops)] if needed and all(map(_fits_in_row, loops)) else list(run)


def _fits_in_row(loop: Loop) -> bool:
    """Whether a program can do all of a row at once, and sums are over the whole row."""
    sizes = loop.sizes[: len(loop.sizes) - loop.num_reduced]
    return prod(loop.sizes) <= MOST_IN_ROW and (not loop.num_reduced or prod(sizes) == 1)
