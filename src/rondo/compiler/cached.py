"""An attribute that is computed when it is first wanted.

`functools.cached_property` holds a lock meanwhile in Python 3.11, one for all objects of a class: a
child that is forked at that moment would wait for it for ever, and compilations of two threads for
each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801, it reads as a decorator
    """Computes an attribute once for each object; two threads at once may both compute it.

    Example:
        >>> class Square:
        ...     side = 3
        ...
        ...     @cached_property
        ...     def area(self):
        ...         print("computed")
        ...         return self.side**2
        >>> square = Square()
        >>> square.area, square.area
        computed
        (9, 9)
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, owner: None, kind: type) -> cached_property[T]: ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object | None, kind: type) -> cached_property[T] | T:
        if owner is None:
            return self
        value: T = owner.__dict__.setdefault(self.name, self.function(owner))
        return value
