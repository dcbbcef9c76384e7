"""After which phases of a step programs need not wait for each other.

In go the phases of a kernel, out come the same, told after which of them a program may go on at
once: where all that is written on one side and read or written on the other is an element that the
same program has in both. So it is where the gradient of a state, which a product gave, begins the
step before, number by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from rondo.compiler.gpu.phases import Phase, Rows, Tiles, Work, phases_of
from rondo.compiler.kernel import Kernel, Load, Loop, Product, Reduce, Store
from rondo.compiler.views import Index


def phases_with_waits(kernel: Kernel) -> tuple[Phase, ...]:
    """The phases of a step of a kernel, in order, and where programs wait."""
    phases = phases_of(kernel)
    waits: list[bool] = []
    group: list[Phase] = []  # what programs may still be doing
    for phase, following in pairwise(phases):
        group.append(phase)
        waits.append(not _may_overlap(kernel, group, [following], in_one_step=True))
        group = [] if waits[-1] else group
    first = phases[: waits.index(True) + 1] if any(waits) else phases
    last = [*group, phases[-1]]
    waits.append(not _may_overlap(kernel, last, first, in_one_step=False))
    if not any(waits) and not _may_overlap(kernel, phases, phases, in_one_step=True):
        waits[-1] = True  # else a program could be two steps ahead
    return tuple(_like_products(phase, waits, number) for number, phase in enumerate(phases))


def _like_products(phase: Phase, waits: Sequence[bool], number: int) -> Phase:
    """The phase with its waits; where there are none, programs have elements as of products."""
    work = phase.work
    if not (waits[number] and waits[number - 1]):
        work = tuple(
            replace(item, like_products=True) if isinstance(item, Tiles) else item for item in work
        )
    return Phase(work, waits[number])


@dataclass(frozen=True)
class _Share:
    """What part of a buffer's rows a program has.

    Args:
        kind: How elements are dealt out: by "rows", or by rows and "columns".
        size: The elements of a row that are dealt out. Of the same kind and as many a program
            always has the same.
        first: The first of them in the buffer.
    """

    kind: str
    size: int
    first: int = 0

    def is_apart_from(self, other: _Share) -> bool:
        """Whether all programs' shares are elsewhere."""
        if "rows" in (self.kind, other.kind):
            return False
        return self.first + self.size <= other.first or other.first + other.size <= self.first


@dataclass(frozen=True)
class _Access:
    """Elements of a buffer that a piece of work reads or writes; all where there is no share."""

    buffer: str
    is_written: bool
    share: _Share | None = None

    def may_overlap(self, other: _Access) -> bool:
        """Whether it does not matter which of both comes first, if not in the same program."""
        if self.buffer != other.buffer or not (self.is_written or other.is_written):
            return True
        if self.share is None or other.share is None:
            return False
        return self.share == other.share or self.share.is_apart_from(other.share)


def _may_overlap(
    kernel: Kernel, earlier: Sequence[Phase], later: Sequence[Phase], *, in_one_step: bool
) -> bool:
    """Whether a program may do what is later before others have done what is earlier.

    From step to step the next state becomes the state, and outputs are those of other rows.
    """
    names: dict[str, str] = {}
    apart: set[str] = set()
    if not in_one_step:
        names = {target: state for state, target in kernel.commits} | dict(kernel.commits)
        apart = {buffer.name for buffer in kernel.at("output")}
    return all(
        before.buffer in apart or _renamed(before, names).may_overlap(after)
        for before in _accesses(kernel, earlier)
        for after in _accesses(kernel, later)
    )


def _renamed(access: _Access, names: Mapping[str, str]) -> _Access:
    return replace(access, buffer=names.get(access.buffer, access.buffer))


def _accesses(kernel: Kernel, phases: Sequence[Phase]) -> Iterator[_Access]:
    """What phases read and write."""
    for item in (item for phase in phases for item in phase.work):
        if isinstance(item, Product):
            width = kernel.matrices[item.matrix].width
            yield _Access(item.left, False)
            yield _Access(item.result, True, _Share("columns", width, item.result_offset))
        else:
            yield from _accesses_of_loops(kernel, item)


def _accesses_of_loops(kernel: Kernel, item: Tiles | Rows) -> Iterator[_Access]:
    states = {target: state for state, target in kernel.commits}
    computed = set(item.products) if isinstance(item, Tiles) else set()
    for loop in (item.loop,) if isinstance(item, Tiles) else item.loops:
        for part in loop.body:
            if not isinstance(part, Load | Store | Reduce) or part.buffer in computed:
                continue
            share = _share(item, loop, part.index)
            yield _Access(part.buffer, not isinstance(part, Load), share)
            if part.buffer in states:  # rows that rest keep their state
                yield _Access(states[part.buffer], False, share)
    if isinstance(item, Tiles):
        for product in (product for several in item.products.values() for product in several):
            yield _Access(product.left, False)


def _share(item: Work, loop: Loop, index: Index) -> _Share | None:
    """The share that a program has of the elements of a buffer, if it has one."""
    if isinstance(item, Rows):
        return _Share("rows", item.most_elements)
    strides = tuple(prod(loop.sizes[number + 1 :]) for number in range(len(loop.sizes)))
    coefficients = index.coefficients + (0,) * (len(strides) - len(index.coefficients))
    if loop.num_reduced or coefficients != strides:
        return None
    return _Share("columns", prod(loop.sizes), index.offset)
