"""How operations and weights are written in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rondo.compiler.graph import Node, Ref, is_getitem

aten = torch.ops.aten

UNSEEN = {
    *(aten.t, aten.transpose, aten.permute, aten.view, aten._unsafe_view, aten.reshape),
    *(aten.expand, aten.unsqueeze, aten.squeeze, aten.clone, aten.detach, aten._to_copy),
    *(aten.alias, aten.contiguous),
}
"""Operations that a picture leaves out: the value stays the same, or is laid out otherwise."""

PARTS = {aten.split, aten.split_with_sizes, aten.slice, aten.select, aten.unbind}
"""Operations that take a part."""

PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm}
SUMS = {aten.add, aten.sub}

SPELLING: dict[Any, str] = {
    aten.sigmoid: "σ",
    aten.mul: "×",
    aten.div: "÷",
    aten.add: "+",
    aten.sub: "−",
    aten.mm: "product",
    aten.bmm: "product",
    aten.addmm: "product",
    aten.cat: "join",
    aten.native_layer_norm: "layer norm",
    aten._softmax: "softmax",
    aten._log_softmax: "log softmax",
    aten.native_dropout: "dropout",
    aten.where: "choose",
    aten.linalg_vector_norm: "norm",
    aten.pow: "power",
    aten.gt: ">",
    aten.ge: "≥",
    aten.lt: "<",
    aten.le: "≤",
    aten.eq: "=",
    aten.ne: "≠",
}


def op_label(node: Node) -> str:
    """An operation as a picture writes it: σ, ×, 1 −, layer norm."""
    plain = node.op_name.strip("_").replace("_", " ")
    symbol = SPELLING.get(node.packet, plain)
    alpha = dict(node.kwargs).get("alpha", 1)
    if alpha != 1:
        return f"{symbol} {alpha:g} ×"
    second = node.argument(1)
    if not isinstance(second, int | float) or isinstance(second, Ref):
        return symbol
    if node.packet is aten.rsub:
        return f"{second:g} −"
    with_number = (aten.add, aten.sub, aten.div, aten.pow, aten.gt, aten.ge, aten.lt, aten.le)
    return f"{symbol} {second:g}" if node.packet in with_number else symbol


def weight_label(weight: str, biases: Sequence[str]) -> str:
    """A weight, with its bias: the name of the module where that holds both."""
    module, owner = weight.removesuffix("_weight"), weight.rpartition("weight")[0]
    others = [bias for bias in biases if bias and bias.removesuffix("_bias") != module]
    return ", ".join([module, *(bias.removeprefix(owner) for bias in others)])


def part_label(node: Node) -> str:
    """Which part of a value a node takes: [2], [0:4]; nothing for a whole that is taken apart."""
    if node.packet is aten.slice:
        start, end = node.argument(2, 0), node.argument(3)
        is_open = end is None or end > 2**31
        return f"[{start or ''}:{'' if is_open else end}]"
    if node.packet is aten.select:
        return f"[{node.argument(2)}]"
    return f"[{node.argument(1)}]" if is_getitem(node) else ""
