"""How operations are written down in place of others, and formulas with which that is short.

An :class:`Expansion` gathers nodes. A :class:`Term` is the result of one of them: arithmetic on
terms writes down further nodes, so that a rule reads like an equation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from rondo.compiler.graph import Node, Ref, Rows, Shape, Size, Value, map_argument
from rondo.compiler.record import fresh_name

aten = torch.ops.aten

Values = Mapping[str, Value | Node]


@dataclass
class Expansion:
    """Nodes that are being written down in place of others.

    Args:
        taken: The names that are there.
        dtype: The type of the numbers of the loop.
    """

    taken: set[str]
    dtype: torch.dtype
    nodes: list[Node] = field(default_factory=list)
    results: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of nodes with several
    names: dict[str, str] = field(default_factory=dict)  # what stands for a node that is gone

    def add(
        self, like: Node, suffix: str, op: Any, args: tuple[Any, ...], shape: Shape, dtype: Any
    ) -> Ref:
        """Write down an operation in place of a node; returns its result."""
        name = fresh_name(f"{like.name}_{suffix}", self.taken)
        self.nodes.append(Node(name, op, args, (), shape, dtype, like.line))
        return Ref(name)

    def rename_last(self, name: str) -> Ref:
        """Give what was written down last another name."""
        self.nodes[-1] = replace(self.nodes[-1], name=name)
        return Ref(name)

    def term(self, like: Node, argument: Any, values: Values) -> Any:
        """An argument of a node as formulas read it: values as terms."""

        def leaf(item: Any) -> Any:
            if not isinstance(item, Ref):
                return item
            value = values[item.name]
            assert value.shape is not None, f"{item} has several results"
            assert value.dtype is not None, f"{item} has several results"
            return Term(self, like, item, value.shape, value.dtype)

        return map_argument(leaf, argument)

    def stand_in(self, node: Node, results: Term | tuple[Term, ...], done: int) -> None:
        """These stand for the result of a node, or for its results, from now on.

        What was written down last for it, after the `done` nodes before it, takes its name.
        """
        if isinstance(results, tuple):
            self.results[node.name] = tuple(result.ref.name for result in results)
            return
        assert results.shape == node.shape, f"{node} became {results.shape}"
        if len(self.nodes) > done and self.nodes[-1].name == results.ref.name:
            self.rename_last(node.name)
        else:
            self.names[node.name] = results.ref.name


@dataclass(frozen=True)
class Term:
    """A value that formulas are written with.

    Args:
        expansion: Where what is done with it is written down.
        like: The node that this is done for.
        ref: Its name.
        shape: Its shape.
        dtype: The type of its numbers.
    """

    expansion: Expansion
    like: Node
    ref: Ref
    shape: Shape
    dtype: torch.dtype

    def call(self, op: Any, *others: Any, dtype: torch.dtype | None = None) -> Term:
        """An elementwise operation on this and others, terms or numbers."""
        shapes = [item.shape for item in (self, *others) if isinstance(item, Term)]
        return self._new(op, (self, *others), broadcast_shape(shapes), dtype or self.dtype)

    def named(self, suffix: str) -> Term:
        """The same, which was written down last, with another name behind that of the node."""
        self.expansion.taken.discard(self.ref.name)
        name = fresh_name(f"{self.like.name}_{suffix}", self.expansion.taken)
        return replace(self, ref=self.expansion.rename_last(name))

    def shaped(self, op: Any, shape: Shape, *arguments: Any) -> Term:
        """Another operation on this, whose result has a shape of its own."""
        return self._new(op, (self, *arguments), shape, self.dtype)

    def filled(self, value: float, shape: Shape) -> Term:
        """The same number everywhere."""
        return self._new(aten.full.default, (shape, value), shape, self.dtype)

    def numbers(self, size: int, behind: int = 0) -> Term:
        """0, 1, 2, ... along a dimension that so many others follow."""
        found = self._new(aten.arange.default, (size,), (size,), self.dtype)
        for dim in range(behind):
            found = found.unsqueeze(dim + 1)
        return found

    def _new(self, op: Any, args: tuple[Any, ...], shape: Shape, dtype: torch.dtype) -> Term:
        refs = map_argument(lambda leaf: leaf.ref if isinstance(leaf, Term) else leaf, args)
        suffix = op.overloadpacket.__name__.strip("_")
        ref = self.expansion.add(self.like, suffix, op, refs, shape, dtype)
        return Term(self.expansion, self.like, ref, shape, dtype)

    # ---- arithmetic ----

    def __add__(self, other: Term | float) -> Term:
        return self.call(aten.add.Tensor, other)

    def __sub__(self, other: Term | float) -> Term:
        return self.call(aten.sub.Tensor, other)

    def __rsub__(self, other: float) -> Term:
        return self.call(aten.rsub.Scalar, other)

    def __mul__(self, other: Term | float) -> Term:
        return self.call(aten.mul.Tensor, other)

    def __truediv__(self, other: Term | float) -> Term:
        return self.call(aten.div.Tensor, other)

    def __neg__(self) -> Term:
        return self.call(aten.neg.default)

    __radd__, __rmul__ = __add__, __mul__

    # ---- truth values ----

    def compare(self, op: Any, other: Term | float) -> Term:
        """A comparison, such as `aten.eq.Tensor`."""
        return self.call(op, other, dtype=torch.bool)

    def __lt__(self, other: Term | float) -> Term:
        return self.compare(aten.lt.Tensor, other)

    def __le__(self, other: Term | float) -> Term:
        return self.compare(aten.le.Tensor, other)

    def __gt__(self, other: Term | float) -> Term:
        return self.compare(aten.gt.Tensor, other)

    def __ge__(self, other: Term | float) -> Term:
        return self.compare(aten.ge.Tensor, other)

    def as_type(self, dtype: torch.dtype) -> Term:
        """The same as numbers of another type."""
        return self if dtype == self.dtype else self.call(aten._to_copy.default, dtype=dtype)

    def equals(self, other: Term | float) -> Term:
        """Where this is the same number."""
        return self.compare(aten.eq.Tensor, other)

    def is_nan(self) -> Term:
        """Where this is no number."""
        return self.compare(aten.ne.Tensor, self)

    def __and__(self, other: Term) -> Term:
        return self.compare(aten.logical_and.default, other)

    def __or__(self, other: Term) -> Term:
        return self.compare(aten.logical_or.default, other)

    def where(self, yes: Term | float, no: Term | float) -> Term:
        """One value where this is true, the other where it is not."""
        dtype = next(item.dtype for item in (yes, no) if isinstance(item, Term))
        return self.call(aten.where.self, yes, no, dtype=dtype)

    # ---- along a dimension ----

    def reshaped(self, shape: Shape) -> Term:
        """The same numbers in another shape."""
        return self.shaped(aten.view.default, shape, shape)

    def unsqueeze(self, dim: int) -> Term:
        """With a new dimension of one element before dimension `dim`."""
        shape = (*self.shape[:dim], 1, *self.shape[dim:])
        return self.shaped(aten.unsqueeze.default, shape, dim)

    def reduce(self, op: Any, dims: tuple[int, ...], keepdim: bool = True) -> Term:
        """The sum, `aten.sum.dim_IntList`, or an extreme, `aten.amax.default`, along dimensions."""
        shape = reduced_shape(self.shape, dims, keepdim)
        return self.shaped(op, shape, dims, keepdim)

    def sum(self, *dims: int, keepdim: bool = True) -> Term:
        """The sum along dimensions."""
        return self.reduce(aten.sum.dim_IntList, dims, keepdim)

    def amax(self, *dims: int, keepdim: bool = True) -> Term:
        """The largest number along dimensions."""
        return self.reduce(aten.amax.default, dims, keepdim)

    def amin(self, *dims: int, keepdim: bool = True) -> Term:
        """The smallest number along dimensions."""
        return self.reduce(aten.amin.default, dims, keepdim)

    def slice(self, dim: int, start: int, end: int) -> Term:
        """The elements from `start` up to `end` along a dimension."""
        shape = (*self.shape[:dim], end - start, *self.shape[dim + 1 :])
        return self.shaped(aten.slice.Tensor, shape, dim, start, end)

    def joined(self, dim: int, before: Sequence[Term] = (), behind: Sequence[Term] = ()) -> Term:
        """This between others along a dimension."""
        terms = (*before, self, *behind)
        size = sum(term.size(dim) for term in terms)
        shape = (*self.shape[:dim], size, *self.shape[dim + 1 :])
        return self._new(aten.cat.default, (terms, dim), shape, self.dtype)

    def has_rows(self, dim: int) -> bool:
        """Whether the rows of the batch lie along a dimension."""
        return isinstance(self.shape[dim], Rows)

    def size(self, dim: int) -> int:
        """The size of a dimension along which the rows do not lie."""
        size = self.shape[dim]
        assert isinstance(size, int), f"dimension {dim} of {self.ref} has the rows"
        return size


def broadcast_shape(shapes: list[Shape]) -> Shape:
    """The shape of the result of an elementwise operation on values of these shapes."""
    ndim = max(map(len, shapes))
    aligned = [(*(1,) * (ndim - len(shape)), *shape) for shape in shapes]
    sizes: list[Size] = []
    for several in zip(*aligned, strict=True):
        wide = {size for size in several if size != 1}
        assert len(wide) < 2, f"{shapes} do not go together"
        sizes.append(wide.pop() if wide else 1)
    return tuple(sizes)


def reduced_shape(shape: Shape, dims: tuple[int, ...], keepdim: bool) -> Shape:
    """The shape of a sum along dimensions."""
    if keepdim:
        return tuple(1 if dim in dims else size for dim, size in enumerate(shape))
    return tuple(size for dim, size in enumerate(shape) if dim not in dims)
