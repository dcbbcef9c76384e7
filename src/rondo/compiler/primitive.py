"""Take the operations of a step apart into products, arithmetic and sums within a row.

In go the nodes of a step, out come nodes that say the same with fewer kinds of operations: a
product with an addend becomes a product and an addition, a softmax becomes maximum, exponential,
sum and quotient, a layer norm becomes means and arithmetic. A kernel needs to know no more than
what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from rondo.compiler.graph import Node, Ref, Rows, Shape, Value, is_getitem, map_argument
from rondo.compiler.record import fresh_name

aten = torch.ops.aten

Values = Mapping[str, Value | Node]


@dataclass
class Expansion:
    """Nodes that are being written down in place of others.

    `taken` are the names that are there.
    """

    taken: set[str]
    nodes: list[Node] = field(default_factory=list)
    results: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of nodes with several
    names: dict[str, str] = field(default_factory=dict)  # what stands for a node that is gone

    def add(self, like: Node, suffix: str, op: Any, args: tuple[Any, ...], shape: Shape) -> Ref:
        """Write down an operation; returns its result. No suffix: it takes the old node's name."""
        name = fresh_name(f"{like.name}_{suffix}", self.taken) if suffix else like.name
        self.nodes.append(Node(name, op, args, (), shape, like.dtype))
        return Ref(name)


def expand(
    nodes: Iterable[Node], values: dict[str, Value | Node], expansion: Expansion
) -> tuple[Node, ...]:
    """Return the nodes with all compound operations taken apart.

    Args:
        nodes: Nodes of a step, each after those it reads.
        values: What they read, by name; what they give is added.
        expansion: What was written down of earlier nodes; what these become is added.
    """
    start = done = len(expansion.nodes)
    for old in nodes:
        node = renamed(old, expansion.names)
        if is_getitem(node) and node.args[0].name in expansion.results:
            expansion.names[node.name] = expansion.results[node.args[0].name][node.args[1]]
            continue
        rule = RULES.get(node.packet)
        if rule is None:
            expansion.nodes.append(node)
        else:
            rule(expansion, node, values)
        values.update((new.name, new) for new in expansion.nodes[done:])
        done = len(expansion.nodes)
    return tuple(expansion.nodes[start:])


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The node, reading other values in place of those that are named."""

    def leaf(argument: Any) -> Any:
        return (
            Ref(names.get(argument.name, argument.name)) if isinstance(argument, Ref) else argument
        )

    return replace(node, args=map_argument(leaf, node.args), kwargs=map_argument(leaf, node.kwargs))


def _added_product(expansion: Expansion, node: Node, values: Values) -> None:
    """`addmm(c, a, b)`, `baddbmm(c, a, b)`: a product and an addition."""
    if any(value != 1 for _, value in node.kwargs):
        expansion.nodes.append(node)  # scaled: no cell writes that; it stays as it is
        return
    added, left, right = node.args
    op = aten.mm.default if node.packet is aten.addmm else aten.bmm.default
    product = expansion.add(node, "product", op, (left, right), node.shape or ())
    expansion.add(node, "", aten.add.Tensor, (product, added), node.shape or ())


def _softmax(expansion: Expansion, node: Node, values: Values) -> None:
    """`softmax(x)`: exp(x - max x) / sum; `log_softmax(x)`: x - max x - log sum exp(x - max x)."""
    x, shape = node.args[0], node.shape or ()
    dim = node.args[1] % len(shape)
    reduced = (*shape[:dim], 1, *shape[dim + 1 :])
    largest = expansion.add(node, "max", aten.amax.default, (x, (dim,), True), reduced)
    centred = expansion.add(node, "centred", aten.sub.Tensor, (x, largest), shape)
    power = expansion.add(node, "exp", aten.exp.default, (centred,), shape)
    total = expansion.add(node, "sum", aten.sum.dim_IntList, (power, (dim,), True), reduced)
    if node.packet is aten._softmax:
        expansion.add(node, "", aten.div.Tensor, (power, total), shape)
    else:
        log = expansion.add(node, "log", aten.log.default, (total,), reduced)
        expansion.add(node, "", aten.sub.Tensor, (centred, log), shape)


def _mean_and_square_mean(
    expansion: Expansion, node: Node, x: Ref, dims: tuple[int, ...], shape: Shape, divisor: float
) -> tuple[Ref, Ref, Ref, Shape]:
    """The mean, the centred values and the sum of their squares over the divisor."""
    reduced = tuple(1 if i in dims else size for i, size in enumerate(shape))
    count = _count(shape, dims)
    total = expansion.add(node, "sum", aten.sum.dim_IntList, (x, dims, True), reduced)
    mean = expansion.add(node, "mean", aten.mul.Tensor, (total, 1 / count), reduced)
    centred = expansion.add(node, "centred", aten.sub.Tensor, (x, mean), shape)
    square = expansion.add(node, "square", aten.mul.Tensor, (centred, centred), shape)
    squares = expansion.add(node, "squares", aten.sum.dim_IntList, (square, dims, True), reduced)
    share = 1 / divisor if divisor > 0 else math.inf
    variance = expansion.add(node, "variance", aten.mul.Tensor, (squares, share), reduced)
    return mean, centred, variance, reduced


def _layer_norm(expansion: Expansion, node: Node, values: Values) -> None:
    """`native_layer_norm(x, sizes, weight, bias, eps)`: result, mean, 1 / deviation."""
    x, sizes, weight, bias, eps = node.args
    shape = values[x.name].shape or ()
    dims = tuple(range(len(shape) - len(sizes), len(shape)))
    like = replace(node, dtype=values[x.name].dtype)
    mean, centred, variance, reduced = _mean_and_square_mean(
        expansion, like, x, dims, shape, _count(shape, dims)
    )
    shifted = expansion.add(like, "shifted", aten.add.Tensor, (variance, eps), reduced)
    inverse = expansion.add(like, "inverse", aten.rsqrt.default, (shifted,), reduced)
    result = expansion.add(like, "normal", aten.mul.Tensor, (centred, inverse), shape)
    if weight is not None:
        result = expansion.add(like, "scaled", aten.mul.Tensor, (result, weight), shape)
    if bias is not None:
        result = expansion.add(like, "moved", aten.add.Tensor, (result, bias), shape)
    expansion.results[node.name] = (result.name, mean.name, inverse.name)


def _variance_and_mean(expansion: Expansion, node: Node, values: Values) -> None:
    """`var_mean(x, dims, correction=, keepdim=)`: variance and mean; `var`: variance."""
    x, options = node.args[0], dict(node.kwargs)
    shape = values[x.name].shape or ()
    dims = tuple(dim % len(shape) for dim in node.argument(1) or range(len(shape)))
    correction = options.get("correction")
    divisor = _count(shape, dims) - (1 if correction is None else correction)
    like = replace(node, dtype=values[x.name].dtype)
    mean, _, variance, reduced = _mean_and_square_mean(expansion, like, x, dims, shape, divisor)
    keepdim = options.get("keepdim", False)
    left = reduced if keepdim else tuple(size for i, size in enumerate(shape) if i not in dims)
    if node.packet is aten.var:
        expansion.add(like, "", aten.view.default, (variance, left), left)
        return
    if not keepdim:
        variance = expansion.add(like, "variance_view", aten.view.default, (variance, left), left)
        mean = expansion.add(like, "mean_view", aten.view.default, (mean, left), left)
    expansion.results[node.name] = (variance.name, mean.name)


def _mean(expansion: Expansion, node: Node, values: Values) -> None:
    """`mean(x, dims, keepdim)`: a sum over the count."""
    x = node.args[0]
    shape = values[x.name].shape or ()
    dims = node.argument(1) or tuple(range(len(shape)))
    dims = tuple(dim % len(shape) for dim in dims)
    keepdim = node.argument(2, False)
    total = expansion.add(node, "sum", aten.sum.dim_IntList, (x, dims, keepdim), node.shape or ())
    count = _count(shape, dims)
    expansion.add(node, "", aten.mul.Tensor, (total, 1 / count), node.shape or ())


def _norm(expansion: Expansion, node: Node, values: Values) -> None:
    """`linalg_vector_norm(x, 2, dims, keepdim)`: the root of the sum of squares."""
    x, order = node.args[0], node.argument(1, 2)
    dims = node.argument(2)
    if order != 2 or dims is None:
        expansion.nodes.append(node)
        return
    shape, result = values[x.name].shape or (), node.shape or ()
    square = expansion.add(node, "square", aten.mul.Tensor, (x, x), shape)
    keepdim = node.argument(3, False)
    total = expansion.add(node, "sum", aten.sum.dim_IntList, (square, dims, keepdim), result)
    expansion.add(node, "", aten.sqrt.default, (total,), result)


def _repeat(expansion: Expansion, node: Node, values: Values) -> None:
    """`repeat(x, times)`: copies side by side."""
    x, times = node.args[0], node.args[1]
    shape = values[x.name].shape or ()
    if len(times) != len(shape) or sum(number != 1 for number in times) > 1:
        expansion.nodes.append(node)
        return
    dim = next((dim for dim, number in enumerate(times) if number != 1), 0)
    expansion.add(node, "", aten.cat.default, ((x,) * times[dim], dim), node.shape or ())


def _stack(expansion: Expansion, node: Node, values: Values) -> None:
    """`stack(tensors, dim)`: the tensors with a new dimension, joined."""
    shape = node.shape or ()
    dim = node.argument(1, 0) % len(shape)
    piece = (*shape[:dim], 1, *shape[dim + 1 :])
    pieces = tuple(
        expansion.add(node, f"piece_{number}", aten.unsqueeze.default, (tensor, dim), piece)
        for number, tensor in enumerate(node.args[0])
    )
    expansion.add(node, "", aten.cat.default, (pieces, dim), shape)


def _select_scatter(expansion: Expansion, node: Node, values: Values) -> None:
    """`select_scatter(x, part, dim, index)`: a slice of one element, put into x."""
    x, part, dim, index = node.args
    shape = node.shape or ()
    dim, size = dim % len(shape), shape[dim]
    if not isinstance(size, int):
        expansion.nodes.append(node)  # it would put a value into one row of the batch
        return
    index %= size
    slice_shape = (*shape[:dim], 1, *shape[dim + 1 :])
    piece = expansion.add(node, "piece", aten.unsqueeze.default, (part, dim), slice_shape)
    args = (x, piece, dim, index, index + 1)
    expansion.add(node, "", aten.slice_scatter.default, args, shape)


def _count(shape: Shape, dims: Iterable[int]) -> int:
    sizes = [shape[dim] for dim in dims]
    return math.prod(0 if isinstance(size, Rows) else size for size in sizes)


RULES: dict[Any, Callable[[Expansion, Node, Values], None]] = {
    **dict.fromkeys([aten.addmm, aten.baddbmm], _added_product),
    **dict.fromkeys([aten._softmax, aten._log_softmax], _softmax),
    aten.native_layer_norm: _layer_norm,
    **dict.fromkeys([aten.var_mean, aten.var], _variance_and_mean),
    aten.mean: _mean,
    aten.linalg_vector_norm: _norm,
    aten.repeat: _repeat,
    aten.stack: _stack,
    aten.select_scatter: _select_scatter,
}
"""How compound operations are taken apart."""
