"""The gates of a cell: what in its step lies between 0 and 1 and multiplies.

In goes a step with the cell's words for its values, out come the values that a logistic function
gives. That is what the gates of LSTM, GRU and their kin are; other uses of σ, such as the squashed
input of the LSTM of 1997, are found too, and gates made in another way, such as exp, are not.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from rondo.compiler.graph import Node, StepGraph, is_getitem
from rondo.compiler.spelling import PARTS, op_label


def gates(step: StepGraph, labels: Mapping[str, str]) -> dict[str, str]:
    """The nodes that hold gates (B, H), by what the cell calls them.

    A gate without a name of its own is called after what goes into it: σ(f). Where one logistic
    function makes several gates, which the cell then takes apart, these are the gates.

    Args:
        step: A traced step.
        labels: The names of the cell's variables by the nodes of the step.

    Example:
        >>> import torch, rondo
        >>> graph = rondo.Recurrent(rondo.LSTMCell(3, 5)).graph
        >>> sorted(gates(graph.step, graph.labels))
        ['σ(f)', 'σ(i)', 'σ(o)']
    """
    found: dict[str, str] = {}
    for node in step.nodes:
        if node.packet is torch.ops.aten.sigmoid and node.shape is not None:
            for part in _named_parts(step, node, labels) or [node]:
                label = _label(part, labels)
                found[label if label not in found else part.name] = part.name
    return found


def _named_parts(step: StepGraph, whole: Node, labels: Mapping[str, str]) -> list[Node]:
    """The parts of a value that have names, also parts of parts."""
    parts = [
        node
        for node in step.nodes
        if whole.name in node.reads and (node.packet in PARTS or is_getitem(node))
    ]
    found: list[Node] = []
    for part in parts:
        found += [part] if part.name in labels else _named_parts(step, part, labels)
    return found


def _label(node: Node, labels: Mapping[str, str]) -> str:
    if node.name in labels:
        return labels[node.name]
    read = labels.get(node.reads[0])
    return node.name if read is None else f"{op_label(node)}({read})"
