"""Run a function once and write down the ATen operations that it calls.

In go a function and its tensors by name, out comes a :class:`Recording`: the operations in order,
each with the names of what it reads. Changes in place are written as new values; a change of what
was given in remains one, for the caller to refuse. `torch.fx.experimental.proxy_tensor.make_fx`
writes down the same, but loads the whole of TorchDynamo and TorchInductor first, which takes
longer than to read, compile and run a network once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rondo.compiler.graph import Node, Ref, map_argument

aten = torch.ops.aten
ALIASES = {aten.lift_fresh_copy.default, aten.alias.default, aten.lift_fresh.default}
READS_A_VALUE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}

Decompositions = Mapping[Any, Callable[..., Any]]


class ValueReadError(ValueError):
    """A function did something that depends on the value of a tensor."""


@dataclass(frozen=True)
class Recording:
    """What a function did.

    Args:
        nodes: Its operations in order, also those whose results nobody reads.
        ends: The names of what it returned.
        captured: The tensors that it made of numbers or read from outside, by name.
    """

    nodes: tuple[Node, ...]
    ends: tuple[str, ...]
    captured: dict[str, Tensor]


def record(
    function: Callable[..., Sequence[Tensor]],
    names: Sequence[str],
    tensors: Sequence[Tensor],
    decompositions: Decompositions,
) -> Recording:
    """Run `function(*tensors)` once.

    Args:
        function: Returns tensors.
        names: What its tensors are called.
        tensors: What it is run on.
        decompositions: What to do in place of some operations; what returns `NotImplemented`
            leaves it at them.

    Raises:
        ValueReadError: Where a value of a tensor decides what is done.
    """
    recorder = _Recorder(names, tensors, decompositions)
    pure = torch.func.functionalize(function, remove="mutations")
    with recorder:
        ends = pure(*tensors)
    named = tuple(recorder.name_of(end) for end in ends)
    return Recording(tuple(recorder.nodes), named, recorder.captured)


def fresh_name(name: str, taken: set[str]) -> str:
    """Returns the name, with a number where it is taken, and takes it."""
    name = name.strip("_")
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


class _Recorder(TorchDispatchMode):
    """Writes down each operation that torch runs while it is entered."""

    def __init__(
        self, names: Sequence[str], tensors: Sequence[Tensor], decompositions: Decompositions
    ) -> None:
        super().__init__()
        self.decompositions = decompositions
        self.taken = set(names)
        self.nodes: list[Node] = []
        self.captured: dict[str, Tensor] = {}
        self.alive = list(tensors)  # so that no other tensor gets the identity of one of them
        self.names = {id(tensor): name for name, tensor in zip(names, tensors, strict=True)}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch is to load TorchDynamo, in order to leave this class out of it."""
        return False

    def __torch_dispatch__(
        self, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        instead = self.decompositions.get(op) or _parts(op)
        if instead is not None:
            with self:
                result = instead(*args, **kwargs)
            if result is not NotImplemented:
                return result
        refs = map_argument(self._ref, tuple(args))
        keyword_refs = {key: map_argument(self._ref, value) for key, value in kwargs.items()}
        if READS_A_VALUE.intersection(op.tags):
            self._check_known(op, refs)
        result = op(*args, **kwargs)
        if op in ALIASES or (op is aten.detach.default and refs[0].name in self.captured):
            self._name(result, refs[0].name)
        elif isinstance(result, Tensor):
            self._write(op, refs, keyword_refs, result)
        elif isinstance(result, tuple | list):
            whole = self._write(op, refs, keyword_refs, None)
            for index, item in enumerate(result):
                self._write(operator.getitem, (Ref(whole), index), {}, item)
        return result

    def name_of(self, tensor: Tensor) -> str:
        """The name of a tensor; one that was never seen is captured."""
        name = self.names.get(id(tensor))
        if name is None:
            name = fresh_name(f"constant_{len(self.captured)}", self.taken)
            self.captured[name] = tensor
            self._name(tensor, name)
        return name

    def _ref(self, leaf: Any) -> Any:
        return Ref(self.name_of(leaf)) if isinstance(leaf, Tensor) else leaf

    def _name(self, tensor: Tensor, name: str) -> None:
        self.alive.append(tensor)
        self.names[id(tensor)] = name

    def _write(
        self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor | None
    ) -> str:
        packet = getattr(op, "overloadpacket", op)
        name = fresh_name(packet.__name__, self.taken)
        shape, dtype = (None, None) if result is None else (tuple(result.shape), result.dtype)
        self.nodes.append(Node(name, op, args, tuple(sorted(kwargs.items())), shape, dtype))
        if result is not None:
            self._name(result, name)
        return name

    def _check_known(self, op: Any, args: Sequence[Any]) -> None:
        """Raises `ValueReadError` where an operation reads more than captured constants."""
        if any(isinstance(arg, Ref) and arg.name not in self.captured for arg in args):
            raise ValueReadError(f"{op} reads the value of a tensor")


def _parts(op: Any) -> Callable[..., Any] | None:
    """What torch itself runs for an operation that is made of others, such as `matmul`."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    if not torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), key):
        return None
    return partial(op._op_dk, key)
