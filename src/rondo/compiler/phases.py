"""What many programs do at once in a step, and where they wait for each other.

In goes a :class:`Kernel`, out come phases. The loops and products of a phase do not read what the
phase writes, so that their elements may be computed by any number of programs in any order; between
two phases all programs wait. A product whose elements loops read, each once and side by side, is
computed in these loops: the step of an LSTM is then one phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rondo.compiler.kernel import Compute, Kernel, Load, Loop, Product


@dataclass(frozen=True)
class Tiles:
    """A loop over elements, of which each program does some.

    Args:
        loop: The loop.
        products: For each buffer whose elements are computed where the loop reads them, the
            products of which they are.
    """

    loop: Loop
    products: dict[str, tuple[Product, ...]]

    @property
    def reads(self) -> set[str]:
        """The buffers that it reads."""
        found = {load.buffer for load in self.loop.body if isinstance(load, Load)}
        lefts = {product.left for several in self.products.values() for product in several}
        return (found - set(self.products)) | lefts

    @property
    def writes(self) -> set[str]:
        """The buffers that it writes."""
        return {part.buffer for part in self.loop.body if not isinstance(part, Load | Compute)}


@dataclass(frozen=True)
class Phase:
    """What programs do without waiting for each other."""

    work: tuple[Tiles | Product, ...]


def phases_of(kernel: Kernel) -> tuple[Phase, ...]:
    """The phases of a step of a kernel, in order.

    The kernel must keep the next state apart from the state.
    """
    fused = _fused(kernel)
    phases: list[list[Tiles | Product]] = [[]]
    read: set[str] = set()
    written: set[str] = set()
    for item in _items(kernel, fused):
        if written & (item.reads | item.writes) or read & item.writes:
            phases.append([])
            read, written = set(), set()
        phases[-1].append(item)
        read |= item.reads
        written |= item.writes
    return tuple(Phase(tuple(items)) for items in phases)


def _items(kernel: Kernel, fused: set[str]) -> Iterator[Tiles | Product]:
    """The loops and products of a step in order, without those that loops compute."""
    by_result: dict[str, tuple[Product, ...]] = {}
    for level in kernel.levels:
        for loop in level.loops:
            read = {item.buffer for item in loop.body if isinstance(item, Load)}
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


def product_of(
    kernel: Kernel, products: list[Product] | tuple[Product, ...], load: Load, size: int
) -> Product | None:
    """The product of which a loop over so many neighbouring columns reads the elements."""
    for product in products:
        first, width = product.result_offset, kernel.matrices[product.matrix].width
        if first <= load.index.offset and load.index.offset + size <= first + width:
            return product
    return None
