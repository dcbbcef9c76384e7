"""What a step may depend on beside its tensors: everything that its cell holds.

In goes a module, out come a key that is equal where nothing of it has changed, and all tensors that
are found on the way, by name. Followed are attributes, submodules, hooks, lists, dicts, sets, plain
objects, functions with what they close over, and for the module's own classes their attributes and
the global names that their functions read. Numbers and texts are in the key as they are; what else
cannot be taken apart, by its identity, and it is kept alive for that.
"""

from __future__ import annotations

import argparse
import contextlib
import dis
import enum
import functools
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PLAIN = {bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size}
EMPTY = {dict, OrderedDict, list, tuple, set}  # a module has many that are empty
LIBRARIES = {*sys.stdlib_module_names, "torch", "numpy", "rondo"} - {
    *("__main__", "builtins"),  # what `exec` defines is of builtins
}
"""Packages whose functions and classes are taken to stay as they are."""

KNOWN_AS_THEY_ARE = LIBRARIES - {"rondo"}
"""Packages whose objects are known by their identity alone: loggers, locks, operators of torch."""

MAX_REMEMBERED = 4096
"""Classes, functions and packages of which it is remembered what they name."""

MANY = 10_000
"""Objects with so many attributes and items below them are known by their identity alone."""


class _Same:
    """A thing that is equal to itself alone; it is kept alive."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


class GlobalName(NamedTuple):
    """A global name, and the names among which it stands."""

    namespace: dict[str, Any]
    name: str


@dataclass
class Surroundings:
    """What a module holds.

    Args:
        key: Equal where nothing but the numbers in tensors has changed.
        tensors: Parameters, then buffers, then all other tensors, by name.
    """

    key: list[Any] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def surroundings(module: nn.Module) -> Surroundings:
    """What a module holds now.

    Example:
        >>> import torch
        >>> cell = torch.nn.Linear(2, 3)
        >>> cell.mask = torch.ones(3)
        >>> list(surroundings(cell).tensors)
        ['weight', 'bias', 'mask']
        >>> before = surroundings(cell).key
        >>> cell.scale = 2
        >>> surroundings(cell).key == before
        False
    """
    return _Walk().of(module)


class _Walk:
    """One walk through what a module holds."""

    def __init__(self, holders: list[Any] | None = None) -> None:
        self.key: list[Any] = []
        self.parameters: dict[str, Tensor] = {}
        self.buffers: dict[str, Tensor] = {}
        self.others: dict[str, Tensor] = {}
        self.seen: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no other thing gets the identity of one of them
        self.holders = holders  # (name, container) of what may be changed, where that is wanted

    def of(self, module: nn.Module) -> Surroundings:
        self.module("", module)
        return Surroundings(self.key, {**self.parameters, **self.buffers, **self.others})

    def module(self, path: str, module: nn.Module) -> None:
        """A module: its class, its tensors, its attributes, its submodules."""
        if self.again(module):
            return
        if isinstance(module, torch.jit.ScriptModule):
            self.scripted(path, module)
            return
        self.class_of(type(module))
        own = module.__dict__
        self.hold(path, own)
        for found, name in ((self.parameters, "_parameters"), (self.buffers, "_buffers")):
            held = own.get(name)
            if held:
                self.hold(path, held)
                for key, tensor in held.items():
                    self.registered(found, f"{path}{key}", tensor)
        for key, value in own.items():
            kind = type(value)
            if kind in PLAIN:
                self.key += (key, kind, value)
            elif key not in TENSORS and (kind not in EMPTY or value or self.holders is not None):
                self.key.append(key)
                self.value(f"{path}{key}", value)
        children = own.get("_modules")
        if children:
            self.hold(path, children)
            for key, child in children.items():
                self.key.append(key)
                if child is not None:
                    self.module(f"{path}{key}.", child)

    def scripted(self, path: str, module: nn.Module) -> None:
        """A scripted module: its tensors; nothing else of it changes."""
        self.key.append(type(module))
        for found, some in (
            (self.parameters, module.named_parameters()),
            (self.buffers, module.named_buffers()),
        ):
            for name, tensor in some:
                self.registered(found, f"{path}{name}", tensor)

    def registered(self, found: dict[str, Tensor], path: str, tensor: Tensor | None) -> None:
        """A parameter or buffer."""
        if tensor is None:
            self.key += (path, None)
        elif not self.again(tensor):
            self.key.append(path)
            found[path] = tensor

    def again(self, thing: Any) -> bool:
        """Whether a thing was met before; then it is known by its number."""
        number = self.seen.get(id(thing))
        if number is not None:
            self.key.append(number)
            return True
        self.seen[id(thing)] = len(self.seen)
        self.kept.append(thing)
        return False

    def hold(self, path: str, container: Any) -> None:
        if self.holders is not None:
            self.holders.append((path, container))

    def value(self, path: str, value: Any) -> None:
        """Anything that an attribute may be."""
        kind = type(value)
        if kind in PLAIN:
            self.key += (kind, value)
        elif isinstance(value, Tensor):
            if not self.again(value):
                self.others[path] = value
        elif isinstance(value, nn.Module):
            self.module(f"{path}.", value)
        elif not self.again(value):
            (KINDS.get(kind) or _kind_of(value))(self, path, value)

    # ---- kinds of things ----

    def sequence(self, path: str, items: Any) -> None:
        if not isinstance(items, tuple):
            self.hold(f"{path}.", items)
        self.key += (type(items), len(items))
        for number, item in enumerate(items):
            self.value(f"{path}.{number}", item)

    def mapping(self, path: str, items: Any) -> None:
        self.hold(f"{path}.", items)
        self.key += (type(items), len(items))
        for key, item in items.items():
            self.key.append(key if type(key) in PLAIN else _Same(key))
            self.value(f"{path}.{key}", item)

    def unordered(self, path: str, items: Any) -> None:
        self.hold(f"{path}.", items)
        self.key += (
            type(items),
            frozenset(item if type(item) in PLAIN else _Same(item) for item in items),
        )

    def partial(self, path: str, value: functools.partial[Any]) -> None:
        self.key.append(type(value))
        self.value(f"{path}.func", value.func)
        self.sequence(f"{path}.args", value.args)
        self.mapping(f"{path}.keywords", value.keywords)

    def method(self, path: str, value: types.MethodType) -> None:
        self.value(f"{path}.function", value.__func__)
        self.value(f"{path}.self", value.__self__)

    def function(self, path: str, value: types.FunctionType) -> None:
        """A function: its code, what it closes over, the global names that it reads."""
        self.key.append(value.__code__)
        if value.__defaults__:
            self.sequence(f"{path}.defaults", value.__defaults__)
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            with contextlib.suppress(ValueError):  # a name that has no value yet
                self.closed_over(f"{path}.{name}", cell)
        if not _is_library(value.__module__):
            for namespace, name in _globals_of(value):
                self.hold("", GlobalName(namespace, name))
                self.key.append(name)
                self.value(name, namespace[name])

    def closed_over(self, path: str, cell: Any) -> None:
        self.hold(path, cell)
        held = cell.cell_contents
        self.value(path, held)

    def class_of(self, kind: type) -> None:
        """A class: its attributes and functions, but for those of libraries."""
        if self.again(kind):
            return
        self.key.append(kind)
        for part in kind.__mro__:
            if part is object or _is_library(part.__module__):
                continue
            self.hold(f"{part.__name__}.", part)
            for name, value in vars(part).items():
                if name not in OF_CLASSES:
                    self.key.append(name)
                    self.value(f"{kind.__name__}.{name}", value)

    def wrapped(self, path: str, value: Any) -> None:
        self.value(path, value.__func__)

    def property(self, path: str, value: Any) -> None:
        self.value(path, value.fget)

    def thing(self, path: str, value: Any) -> None:
        """A plain object: its class and its attributes."""
        if len(self.key) > MANY:
            self.identity(path, value)
            return
        own = getattr(value, "__dict__", {})
        self.hold(f"{path}.", own)
        self.class_of(type(value))
        slots = {name: getattr(value, name) for name in slots_of(type(value), value)}
        if slots:
            self.hold(f"{path}.", value)
        for key, item in {**own, **slots}.items():
            self.key.append(key)
            self.value(f"{path}.{key}", item)

    def klass(self, path: str, value: type) -> None:
        """A class that is held: its attributes, as those of a namespace."""
        del self.seen[id(value)]
        self.class_of(value)

    def numbers(self, path: str, value: Any) -> None:
        """A numpy array, or what is like one."""
        self.key += (type(value), value.shape, str(value.dtype), value.tobytes())

    def identity(self, path: str, value: Any) -> None:
        self.key.append(_Same(value))


TENSORS = {"_parameters", "_buffers", "_modules"}
OF_CLASSES = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__annotations__",
    "__qualname__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__parameters__",
    "__abstractmethods__",
    "_abc_impl",
    "__orig_bases__",
    "__firstlineno__",
    "__static_attributes__",
    "__match_args__",
}

KINDS: dict[type, Callable[[_Walk, str, Any], None]] = {
    list: _Walk.sequence,
    tuple: _Walk.sequence,
    deque: _Walk.sequence,
    dict: _Walk.mapping,
    OrderedDict: _Walk.mapping,
    set: _Walk.unordered,
    frozenset: _Walk.unordered,
    functools.partial: _Walk.partial,
    types.MethodType: _Walk.method,
    types.FunctionType: _Walk.function,
    staticmethod: _Walk.wrapped,
    classmethod: _Walk.wrapped,
    property: _Walk.property,
}


def _kind_of(value: Any) -> Callable[[_Walk, str, Any], None]:
    """How to take a thing apart whose type is not in the table."""
    if isinstance(value, type):
        return _Walk.klass
    if isinstance(value, types.ModuleType | enum.Enum):
        return _Walk.identity
    if isinstance(value, tuple | list):
        return _Walk.sequence
    if isinstance(value, dict):
        return _Walk.mapping
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        return _Walk.numbers
    is_settings = isinstance(value, types.SimpleNamespace | argparse.Namespace)
    of_library = type(value).__module__.partition(".")[0] in KNOWN_AS_THEY_ARE
    has_attributes = hasattr(value, "__dict__") or bool(slots_of(type(value)))
    if has_attributes and (is_settings or not of_library):
        return _Walk.thing
    return _Walk.identity


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _slot_names(kind: type) -> tuple[str, ...]:
    slots = (getattr(part, "__slots__", ()) for part in kind.__mro__)
    names = (name for some in slots for name in ((some,) if isinstance(some, str) else some))
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def slots_of(kind: type, value: Any = None) -> tuple[str, ...]:
    """The names of the slots of a class; of those of a value, the ones that are set."""
    names = _slot_names(kind)
    return names if value is None else tuple(name for name in names if hasattr(value, name))


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _is_library(name: str | None) -> bool:
    return name is None or name.partition(".")[0] in LIBRARIES


def _globals_of(function: types.FunctionType) -> list[tuple[dict[str, Any], str]]:
    """The global names that a function reads, each with where it stands."""
    found = []
    names, attributes = _names_in(function.__code__)
    for name in names:
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        if not isinstance(value, types.ModuleType):
            found.append((function.__globals__, name))
        elif isinstance(value, types.ModuleType) and not _is_library(value.__name__):
            inner = (n for n in attributes if n in vars(value))
            found += [(vars(value), n) for n in inner if type(vars(value)[n]) is not type(value)]
    return found


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _names_in(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The global names that code reads, and the attributes, those of inner functions included."""
    names: dict[str, None] = {}
    attributes: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names[instruction.argval] = None
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes[instruction.argval] = None
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            for found, more in zip((names, attributes), _names_in(inner), strict=True):
                found.update(dict.fromkeys(more))
    return tuple(names), tuple(attributes)


def forget() -> None:
    """Let go of the classes and functions that were looked at."""
    for remembered in (_slot_names, _is_library, _names_in):
        remembered.cache_clear()


def holders_of(module: nn.Module) -> list[tuple[str, Any]]:
    """All containers on the way through what a module holds, each with the name of its place."""
    walk = _Walk([])
    walk.of(module)
    assert walk.holders is not None
    return walk.holders
