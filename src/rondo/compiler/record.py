"""Run a function once and write down the ATen operations that torch runs for it.

In go a function and its tensors by name, out comes a :class:`Recording`: the operations in order,
each with the names of what it reads. The recorder lies below autograd: what it sees while autograd
goes back is what autograd does, hooks, `no_grad` and `autograd.Function` included. Changes in place
are written as new values (`aliases.py`); a change of what was given in is an error.

`torch.fx.experimental.proxy_tensor.make_fx` writes down the same, but loads the whole of
TorchDynamo and TorchInductor first, which takes longer than to read, compile and run a network
once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rondo.compiler.aliases import AliasError, Aliases, place_of, storage_of
from rondo.compiler.formulas import FORMULAS
from rondo.compiler.graph import Node, Ref, draws_random, map_argument
from rondo.compiler.lines import line_of_user
from rondo.compiler.writes import Writing, writing_of

aten = torch.ops.aten
READS_A_VALUE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh.default}
"""Operations whose result is what they are given."""

SETS = {aten.copy_.default, aten.fill_.Tensor, aten.fill_.Scalar, aten.zero_.default}
"""Operations that set a tensor to another one, or to a number."""

INSTEAD = {
    aten.lift_fresh_copy.default: aten.lift_fresh.default,
    aten.unsafe_split.Tensor: aten.split.Tensor,
    aten.unsafe_split_with_sizes.default: aten.split_with_sizes.default,
}
"""What is run and written down instead: below autograd, the views that these are."""


class TraceError(ValueError):
    """A function that is not one graph for all inputs: what it does, and where.

    Args:
        what: What it does, to follow "the step".
        instead: What to write instead.
        line: The line of the user's code, or None.
    """

    def __init__(
        self, what: str, instead: str = "", line: str | None = None, of: str = "the step"
    ) -> None:
        place = f" ({line})" if line else ""
        super().__init__(f"{of} {what}{place}{'; ' if instead else ''}{instead}")
        self.what, self.instead, self.line = what, instead, line

    def about(self, cell: object) -> TraceError:
        """The same error, naming the class of the cell."""
        of = f"the step of {type(cell).__name__}"
        return TraceError(self.what, self.instead, self.line, of)


def value_read(what: str, line: str | None) -> TraceError:
    """The error for a step that reads the value of a tensor into Python."""
    instead = next((text for word, text in INSTEAD_OF_VALUES.items() if word in what), "")
    return TraceError(
        f"reads the value of a tensor ({what}), so it is not one graph for all inputs",
        instead or "keep it a tensor",
        line,
    )


INSTEAD_OF_VALUES = {
    "branch": "choose with torch.where instead, and keep numbers tensors",
    "mask": "multiply by the mask, or use torch.where instead",
    "equal": "choose with torch.where instead",
    "numpy": "use torch's function instead",
    "printed": "print outside of the step, or give the layer engine='plain'",
}
"""What to write instead, by a word of what is done."""


VALUE_READS = {
    "_local_scalar_dense": "by a branch on it, .item(), float() or int()",
    "index": "by a mask, so that a size depends on it",
    "nonzero": "by a mask, so that a size depends on it",
    "equal": "by torch.equal",
}


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
    function: Callable[..., Sequence[Tensor]], names: Sequence[str], tensors: Sequence[Tensor]
) -> Recording:
    """Run `function(*tensors)` once; the tensors have these names.

    Raises:
        TraceError: Where a value of a tensor decides what is done, or where what was given
            is changed in place.
    """
    recorder = Recorder(dict(zip(names, tensors, strict=True)))
    with recorder:
        ends = function(*tensors)
    return recorder.recording(ends)


def fresh_name(name: str, taken: set[str]) -> str:
    """Returns the name, with a number where it is taken, and takes it.

    The number is the first that is free, where no smaller one was left out; it is found by halving,
    since a step may have thousands of operations of one name.
    """
    name = name.strip("_") or "value"
    candidate = name
    if name in taken:
        used, free = 0, 1
        while f"{name}_{free}" in taken:
            used, free = free, 2 * free
        while free - used > 1:
            middle = (used + free) // 2
            used, free = (middle, free) if f"{name}_{middle}" in taken else (used, middle)
        candidate = f"{name}_{free}"
    taken.add(candidate)
    return candidate


class Recorder(TorchDispatchMode):
    """Writes down each operation that torch runs while it is entered.

    Args:
        given: Tensors by name; further ones are captured when they are met.
    """

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.captured: dict[str, Tensor] = {}
        self.error: TraceError | None = None  # kept: the function may catch it
        self.spelled: Mapping[str, str] = {}  # what the user calls what was given, by name
        self.taken = set(given)
        self._made: set[int] = set()  # memory
        self._given: set[str] = set()
        self._numbers: set[str] = set()  # values that are the same whatever comes in
        self._like: dict[str, Any] = {}  # for each value, a tensor of its sizes and type
        self._aliases = Aliases(self._write_view)
        for name, tensor in given.items():
            self.give(tensor, name)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch is to load TorchDynamo, in order to leave this class out of it."""
        return False

    def give(self, tensor: Tensor, name: str) -> None:
        """A tensor that comes from outside has this name; the first name of a tensor stays."""
        self.taken.add(name)
        self._given.add(name)
        self._like[name] = tensor
        if tensor not in self._aliases:
            self._aliases.give(tensor, name)

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor was given, made or captured; what a transform wraps it has made."""
        return is_wrapped(tensor) or storage_of(tensor) in self._made or tensor in self._aliases

    def name_of(self, tensor: Tensor) -> str:
        """The name of what a tensor holds now; one that was never seen is captured."""
        if tensor not in self._aliases:
            name = fresh_name(f"constant_{len(self.captured)}", self.taken)
            self.captured[name] = self._like[name] = tensor
            self._given.add(name)
            self._aliases.give(tensor, name)
        return self._aliases.name_of(tensor)

    def needs_gradient_for(self, some: Collection[str], tensor: Tensor) -> bool:
        """Whether a tensor has a gradient on account of some given values alone."""
        wanted = {self.name_of(tensor)}
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.reads)
        moving = {name for name in wanted if name in self._given and self._like[name].requires_grad}
        return bool(moving) and moving.issubset(some)

    def is_made_without(self, others: Collection[str], name: str) -> bool:
        """Whether a value depends on none of others and on no random number."""
        wanted = {name}
        for node in reversed(self.nodes):
            if node.name in wanted:
                if draws_random(node):
                    return False
                wanted.update(node.reads)
        return wanted.isdisjoint(others)

    def recording(self, ends: Sequence[Tensor]) -> Recording:
        """What was written down, and the names of some results."""
        if self.error is not None:
            raise self.error
        named = tuple(map(self.name_of, ends))
        return Recording(tuple(self.nodes), named, self.captured)

    def fail(self, error: TraceError) -> None:
        """Raise an error, also where the recorded function catches it."""
        self.error = self.error or error
        raise error

    def __torch_dispatch__(
        self, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        with torch._C.DisableTorchFunction():
            return self._dispatch(op, args, dict(kwargs or {}))

    def _dispatch(self, op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        instead = FORMULAS.get(op) or _parts(op)
        if instead is not None:
            with self:
                result = instead(*args, **kwargs)
            if result is not NotImplemented:
                return result
        op = INSTEAD.get(op, op)
        writing = writing_of(op)
        if writing is not None:
            return self._change(op, writing, args, kwargs)
        refs, keyword_refs = self._refs(args), self._refs(kwargs)
        self._check_values(op, args, refs, keyword_refs)
        base = place_of(args[0]) if args and isinstance(args[0], Tensor) else None
        result = op(*args, **kwargs)
        if op in SAME:
            self._same(op, result, refs[0].name, base)
        elif isinstance(result, Tensor):
            self._one(op, refs, keyword_refs, result, base)
        elif isinstance(result, tuple | list):
            self._several(op, refs, keyword_refs, result, base)
        return result

    # ---- results ----

    def _same(self, op: Any, result: Tensor, name: str, base: Any) -> None:
        if op is aten.lift_fresh.default and name in self.captured:
            self._numbers.add(name)
        if result not in self._aliases:
            self._aliases.give_view(result, name, base, aten.alias.default, ())

    def _one(self, op: Any, refs: Any, keyword_refs: Any, result: Tensor, base: Any) -> None:
        if not _is_view(op):
            self._made.add(storage_of(result))
            self._aliases.give(result, self._write(op, refs, keyword_refs, result))
        elif result not in self._aliases:  # otherwise it shows what is known already
            name = self._write(op, refs, keyword_refs, result)
            self._aliases.give_view(result, name, base, op, refs[1:])

    def _several(
        self, op: Any, refs: Any, keyword_refs: Any, results: Sequence[Any], base: Any
    ) -> None:
        whole = self._write(op, refs, keyword_refs, None)
        for index, item in enumerate(results):
            if not isinstance(item, Tensor):
                continue
            name = self._write(operator.getitem, (Ref(whole), index), {}, item)
            if not _is_view(op):
                self._made.add(storage_of(item))
                self._aliases.give(item, name)
            elif item not in self._aliases:
                self._aliases.give_view(item, name, base, op, refs[1:], index)

    def _refs(self, arguments: Any) -> Any:
        def ref(leaf: Any) -> Any:
            return Ref(self.name_of(leaf)) if isinstance(leaf, Tensor) else leaf

        if isinstance(arguments, dict):
            return {key: map_argument(ref, value) for key, value in arguments.items()}
        return map_argument(ref, tuple(arguments))

    def _write(
        self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor | None
    ) -> str:
        packet = getattr(op, "overloadpacket", op)
        name = fresh_name(packet.__name__, self.taken)
        shape, dtype = (None, None) if result is None else (tuple(result.shape), result.dtype)
        keywords = tuple(sorted(kwargs.items()))
        node = Node(name, op, args, keywords, shape, dtype, line_of_user())
        self.nodes.append(node)
        self._like[name] = result
        if self._numbers.issuperset(node.reads) and not draws_random(node):
            self._numbers.add(name)
        return name

    def _write_view(self, op: Any, args: tuple[Any, ...]) -> str:
        """Write down a view that is read anew, or a whole with a new part."""
        result = op(*(self._like[arg.name] if isinstance(arg, Ref) else arg for arg in args))
        name = self._write(op, args, {}, result if isinstance(result, Tensor) else None)
        self._like[name] = result
        return name

    # ---- changes in place ----

    def _change(
        self, op: Any, writing: Writing, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """An operation that changes a tensor: the tensor has a new value."""
        args = [*args, *_defaults(op, len(args), kwargs)]
        changed = writing.written(args, kwargs)
        for tensor in changed:
            self._check_own(op, tensor)
        if writing.pure is None:
            self.fail(TraceError(f"changes tensors by {op}", line=line_of_user()))
        source = args[1] if op in SETS and len(args) > 1 else 0
        if isinstance(source, Tensor) and place_of(source) == place_of(args[0]):
            return op(*args, **kwargs)  # `h[:, 0] *= 2` puts what it has changed where it is
        read = {key: value for key, value in kwargs.items() if key != writing.argument}
        refs, keyword_refs = self._refs(args), self._refs(read)
        self._check_values(op, args, refs, keyword_refs)
        before = place_of(changed[0])
        name = self._set(args[0], source) if op in SETS else None
        result = op(*args, **kwargs)
        if torch.Tag.inplace_view in op.tags:  # the tensor itself shows its memory anew
            name = self._write(writing.pure, refs, keyword_refs, result)
            self._aliases.give_view(result, name, before, writing.pure, refs[1:])
            return result
        if name is None:
            name = self._write(writing.pure, refs, keyword_refs, changed[0])
        try:
            self._aliases.change(changed[0], name)
        except AliasError as error:
            self.fail(TraceError(f"does {error}", line=line_of_user()))
        return result

    def _set(self, target: Tensor, source: Tensor | float) -> str:
        """The name of what a tensor holds after it was set to another one, or to a number."""
        with self:
            return self.name_of(self._copy(target, source))

    def _copy(self, target: Tensor, source: Tensor | float) -> Tensor:
        """What is set, in the type and the sizes of the tensor that is set to it."""
        if isinstance(source, Tensor) and not source.ndim and self.name_of(source) in self._numbers:
            source = source.item()  # no tensor of it is needed
        if not isinstance(source, Tensor):
            kind = {"dtype": target.dtype, "device": target.device}
            made: Tensor = aten.full.default(target.shape, source, **kind)
            return made
        copy = source
        if copy.dtype != target.dtype:
            copy = aten._to_copy.default(copy, dtype=target.dtype)
        return copy if copy.shape == target.shape else aten.expand.default(copy, target.shape)

    def _check_own(self, op: Any, tensor: Tensor) -> None:
        """Fail where a step changes what it did not make."""
        if storage_of(tensor) in self._made:
            return
        self.name_of(tensor)  # which captures one that was never seen
        name = self._aliases.name_of_whole(tensor)
        what = self.spelled.get(name, "a tensor from outside the cell")
        self.fail(
            TraceError(
                f"changes {what} in place, by {op.overloadpacket.__name__}",
                "what must be carried from step to step belongs into the state",
                line_of_user(),
            )
        )

    def _check_values(
        self, op: Any, args: Sequence[Any], refs: Sequence[Any], keyword_refs: Any
    ) -> None:
        """Fail where an operation reads more than constants that the step made of numbers."""
        if not READS_A_VALUE.intersection(op.tags) or _is_by_numbers(op, args):
            return
        read = [ref for ref in (*refs, *keyword_refs.values()) if isinstance(ref, Ref)]
        if not self._numbers.issuperset(ref.name for ref in read):
            name = op.overloadpacket.__name__
            self.fail(value_read(VALUE_READS.get(name, f"by {name}"), line_of_user()))


def is_wrapped(tensor: Tensor) -> bool:
    """Whether a tensor is one of `torch.func.grad`, `vmap` and their like: it has no memory."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def _is_by_numbers(op: Any, args: Sequence[Any]) -> bool:
    """Whether an operation indexes by whole numbers: then no size depends on a value."""
    if op.overloadpacket not in (aten.index, aten.index_put, aten.index_put_):
        return False
    indices = [index for index in args[1] if isinstance(index, Tensor)]
    return all(index.dtype not in (torch.bool, torch.uint8) for index in indices)


def _defaults(op: Any, num_given: int, kwargs: Mapping[str, Any]) -> list[Any]:
    """What positional arguments are that were left out; `bernoulli` has none where it is pure."""
    left = op._schema.arguments[num_given:]
    return [a.default_value for a in left if not a.kwarg_only and a.name not in kwargs]


@cache
def _is_view(op: Any) -> bool:
    """Whether the result of an operation shows the memory of its first argument."""
    return any(argument.alias_info is not None for argument in op._schema.arguments)


@cache
def _parts(op: Any) -> Callable[..., Any] | None:
    """What torch itself runs for an operation that is made of others, such as `matmul`."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    if not torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), key):
        return None
    return partial(op._op_dk, key)
