"""When operations that read or write at given places mix the rows of the batch.

In go the :class:`Operands` of a node, out comes why it mixes rows, or None where it keeps them
apart. Places may be the same for the whole batch (columns by a list) or every row's own (a table
by the numbers of its lines); they may not choose among the rows.
"""

from __future__ import annotations

from typing import Any

import torch

from rondo.compiler.graph import Ref
from rondo.compiler.layouts import Operands

aten = torch.ops.aten

CHOOSES = "chooses among the rows of the batch"
WRITES = "writes into what the whole batch shares"


def gather(o: Operands) -> str | None:
    """`gather(self, dim, index)`: element i is what self has at place index[i] along dim."""
    own, places = o.row_dim("self"), o.row_dim("index")
    dim = o.argument("dim") % max(len(o.shape(o.argument("index"))), 1)
    if own is None:
        return None if places in (None, dim) else CHOOSES
    return CHOOSES if own == dim or own != places else None


def scatter(o: Operands) -> str | None:
    """`scatter(self, dim, index, src)` and `scatter_add`: src to place index[i] along dim."""
    own, places = o.row_dim("self"), o.row_dim("index")
    dim = o.argument("dim") % max(len(o.shape(o.argument("index"))), 1)
    if own is None:  # a sum over the rows in zeros
        is_sum = o.node.packet is aten.scatter_add and o.is_zero("self") and places == dim
        return None if is_sum else WRITES
    return CHOOSES if own == dim or own != places else None


def index_select(o: Operands) -> str | None:
    """`index_select(self, dim, index)`."""
    own, places = o.row_dim("self"), o.row_dim("index")
    if own is None:
        return None
    chooses = own == o.argument("dim") % len(o.shape(o.argument("self")))
    return CHOOSES if chooses or places is not None else None


def index_add(o: Operands) -> str | None:
    """`index_add(self, dim, index, source)`, `index_copy`, `index_fill`."""
    if o.row_dim("self") is not None:
        return index_select(o)
    return None if o.node.packet is aten.index_add and o.is_zero("self") else WRITES


def index(o: Operands) -> str | None:
    """`self[indices]`."""
    own = o.row_dim("self")
    if own is None:
        return None
    chosen = any(dim == own for dim, _ in _indexed(o))
    return CHOOSES if chosen or any(map(o.has_rows, o.argument("indices"))) else None


def index_put(o: Operands) -> str | None:
    """`self[indices] = values`, or `+=` where it accumulates."""
    own = o.row_dim("self")
    if own is None:
        return None if o.argument("accumulate") and o.is_zero("self") else WRITES
    one_value = all(size == 1 for size in o.shape(o.argument("values")))
    for dim, mask in _indexed(o):
        if dim == own:
            return None if mask is not None and o.has_rows(mask) and one_value else CHOOSES
    return CHOOSES if any(map(o.has_rows, o.argument("indices"))) else None


def _indexed(o: Operands) -> list[tuple[int, Ref | None]]:
    """The dimensions that are indexed, each with the mask that does so, if it is one."""
    found: list[tuple[int, Ref | None]] = []
    dim = 0
    for item in o.argument("indices"):
        is_mask = item is not None and o.dtype(item) in (torch.bool, torch.uint8)
        num_dims = len(o.shape(item)) if is_mask else 1
        if item is not None:
            found += [(dim + number, item if is_mask else None) for number in range(num_dims)]
        dim += num_dims
    return found


def embedding(o: Operands) -> str | None:
    """`embedding(weight, indices)`: lines of a table that the batch shares."""
    return CHOOSES if o.has_rows(o.argument("weight")) else None


def embedding_backward(o: Operands) -> str | None:
    """`embedding_dense_backward(grad_output, indices, ...)`: sums for each line of the table."""
    return "counts in the whole batch" if o.argument("scale_grad_by_freq") else None


def take(o: Operands) -> str | None:
    """`take(self, index)`: places in the flattened self."""
    return CHOOSES if o.has_rows(o.argument("self")) else None


def searchsorted(o: Operands) -> str | None:
    """`searchsorted(sorted_sequence, self)`: in one sequence, or in every row's own."""
    sequence = o.argument("sorted_sequence")
    last = len(o.shape(sequence)) - 1
    return CHOOSES if o.row_dim("sorted_sequence") == last else None


def bucketize(o: Operands) -> str | None:
    """`bucketize(self, boundaries)`: boundaries that the batch shares."""
    return CHOOSES if o.has_rows(o.argument("boundaries")) else None


def isin(o: Operands) -> str | None:
    """`isin(elements, test_elements)`: elements that the batch shares."""
    return CHOOSES if o.has_rows(o.argument("test_elements")) else None


PLACES: dict[Any, Any] = {
    aten.gather: gather,
    **dict.fromkeys([aten.scatter, aten.scatter_add, aten.scatter_reduce], scatter),
    aten.index_select: index_select,
    **dict.fromkeys([aten.index_add, aten.index_copy, aten.index_fill], index_add),
    **dict.fromkeys([aten.index, aten._unsafe_index], index),
    **dict.fromkeys([aten.index_put, aten._unsafe_index_put], index_put),
    aten.embedding: embedding,
    aten.embedding_dense_backward: embedding_backward,
    aten.take: take,
    aten.searchsorted: searchsorted,
    aten.bucketize: bucketize,
    aten.isin: isin,
}
"""The rules of operations that read or write at given places."""
