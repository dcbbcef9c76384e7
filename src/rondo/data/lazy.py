"""Sequences whose items are made when they are first asked for.

A training that needs a batch of some hundred drawn examples begins before the others are made, and
those of a check or the test are made when the check or the test comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, TypeVar, overload

Plan = TypeVar("Plan")
Item = TypeVar("Item")


class Lazy(Sequence[Item], Generic[Plan, Item]):
    """Items that are made when they are first asked for, and kept.

    Args:
        number: How many there are.
        plan: Returns what each item is to be, in their order; it is called before the first one is
            made. What is drawn one after another is drawn there.
        make: Makes an item of what it is to be.

    Example:
        >>> from rondo.data.lazy import Lazy
        >>> squares = Lazy(3, plan=lambda: [1, 2, 3], make=lambda side: side * side)
        >>> len(squares), squares[1], squares[::2]
        (3, 4, [1, 9])
    """

    def __init__(
        self, number: int, plan: Callable[[], Sequence[Plan]], make: Callable[[Plan], Item]
    ) -> None:
        self._number, self._plan, self._make = number, plan, make
        self._made: dict[int, Item] = {}

    @cached_property
    def _plans(self) -> Sequence[Plan]:
        plans = self._plan()
        assert len(plans) == self._number, (len(plans), self._number)
        return plans

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            return [self[one] for one in range(self._number)[place]]
        place = range(self._number)[place]  # counts from the end too, and raises `IndexError`
        if place not in self._made:
            self._made[place] = self._make(self._plans[place])
        return self._made[place]
