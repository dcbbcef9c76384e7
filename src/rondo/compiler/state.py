"""The form of a state: which tensors it holds, and how.

In goes a state (a tensor, or tuples, lists, named tuples, dicts and dataclasses of them, or
nothing), out come its tensors in order, and a :class:`Form` that puts such tensors together again.
Containers that are registered with `torch.utils._pytree` are taken apart as it says.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Form:
    """How the tensors of a state are put together; equal for states of the same form.

    Args:
        kind: The type of the container; None for a tensor.
        keys: What its parts are called: keys, names of fields, or numbers.
        parts: The forms of its parts.
        context: What pytree needs beside them, for containers that are registered with it.
    """

    kind: type | None = None
    keys: tuple[Any, ...] = ()
    parts: tuple[Form, ...] = ()
    context: Any = field(default=None, compare=False)

    @property
    def num_leaves(self) -> int:
        """The number of tensors."""
        return 1 if self.kind is None else sum(part.num_leaves for part in self.parts)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """A state out of its tensors."""
        return self._put_together(iter(leaves))

    def fits(self, other: Form) -> bool:
        """Whether states of both forms have the same parts; a list may stand for a tuple."""
        same_kind = self.kind == other.kind or (_is_sequence(self) and _is_sequence(other))
        if not same_kind or len(self.parts) != len(other.parts):
            return False
        if _is_sequence(self):
            return all(map(Form.fits, self.parts, other.parts))
        ours, theirs = dict(self._named()), dict(other._named())
        return ours.keys() == theirs.keys() and all(ours[k].fits(theirs[k]) for k in ours)

    def order_in(self, other: Form) -> list[int]:
        """For each of our tensors its number in a state of a form that fits."""
        places = {path: number for number, path in enumerate(other.paths())}
        return [places[path] for path in self.paths()]

    def paths(self) -> list[tuple[Any, ...]]:
        """The keys on the way to each tensor."""
        if self.kind is None:
            return [()]
        numbered = enumerate(self.parts) if _is_sequence(self) else self._named()
        return [(key, *path) for key, part in numbered for path in part.paths()]

    def names(self) -> list[str]:
        """What the tensors are called: h; h, c; keys and fields; otherwise numbered."""
        count = self.num_leaves
        names = ["_".join(map(str, path)) for path in self._named_paths()]
        if all(name.isidentifier() for name in names) and len(set(names)) == count:
            return names
        return ["h", "c"][:count] if count <= 2 else [f"state_{i}" for i in range(count)]

    def __str__(self) -> str:
        if self.kind is None:
            return "a tensor"
        if self.kind in (tuple, list):
            inner = ", ".join(map(str, self.parts))
            return f"[{inner}]" if self.kind is list else f"({inner})"
        inner = ", ".join(f"{key}: {part}" for key, part in self._named())
        return f"{{{inner}}}" if issubclass(self.kind, dict) else f"{self.kind.__name__}({inner})"

    def _named(self) -> Iterator[tuple[Any, Form]]:
        return zip(self.keys, self.parts, strict=True)

    def _named_paths(self) -> list[tuple[Any, ...]]:
        if self.kind is None:
            return [()]
        return [(key, *path) for key, part in self._named() for path in part._named_paths()]

    def _put_together(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        parts = [part._put_together(leaves) for part in self.parts]
        if self.kind in (tuple, list):
            return self.kind(parts)
        if self.context is not None:
            return pytree.SUPPORTED_NODES[self.kind].unflatten_fn(parts, *self.context)
        if issubclass(self.kind, tuple):
            return self.kind(*parts)
        named = dict(zip(self.keys, parts, strict=True))
        make: Any = self.kind
        return make(**named) if dataclasses.is_dataclass(self.kind) else make(named)


TENSOR = Form()


def flatten(state: Any) -> tuple[list[Any], Form]:
    """The tensors of a state, and its form."""
    leaves: list[Any] = []
    return leaves, _form(state, leaves)


def map_state(function: Callable[[Any], Any], state: Any) -> Any:
    """A state of the same form, with a function of each tensor."""
    leaves, form = flatten(state)
    return form.unflatten([function(leaf) for leaf in leaves])


def _form(state: Any, leaves: list[Any]) -> Form:
    """The form of a state; adds its tensors to those that were found."""
    kind: Any = type(state)
    keys: tuple[Any, ...] | None = None
    context: Any = None
    if kind in (tuple, list):
        keys, parts = tuple(range(len(state))), state
    elif kind in (dict, OrderedDict):
        keys, parts = tuple(state), state.values()
    elif kind in pytree.SUPPORTED_NODES:
        parts, context = pytree.SUPPORTED_NODES[kind].flatten_fn(state)
        keys, context = tuple(range(len(parts))), (context,)
    elif isinstance(state, tuple) and hasattr(state, "_fields"):
        keys, parts = state._fields, state
    elif dataclasses.is_dataclass(state) and not isinstance(state, type):
        keys = tuple(field.name for field in dataclasses.fields(state) if field.init)
        parts = [getattr(state, name) for name in keys]
    if keys is None:
        leaves.append(state)
        return TENSOR
    return Form(kind, keys, tuple(_form(part, leaves) for part in parts), context)


def _is_sequence(form: Form) -> bool:
    return form.kind is not None and issubclass(form.kind, tuple | list)
