"""Which operations sum over the rows of the batch, and which are linear in such a sum.

The gradient of a weight is a sum over the rows. What is made of it is still one where it is linear
in it, as the gradient of a transposed or a normalised weight is: then the sum over the steps may
be taken first.
"""

from __future__ import annotations

from typing import Any

import torch

from rondo.compiler.graph import Ref
from rondo.compiler.layouts import SUMMED, Operands

aten = torch.ops.aten

SUMS = {
    *(aten.sum, aten.nansum, aten.count_nonzero),
    *(aten.mm, aten.bmm, aten.mv, aten.dot, aten.vdot, aten._trilinear),
    *(aten.addmm, aten.baddbmm, aten.addbmm, aten.addmv),
    *(aten.convolution_backward, aten.embedding_dense_backward, aten._cdist_backward),
    *(aten.native_layer_norm_backward, aten.native_group_norm_backward),
    *(aten._fused_rms_norm_backward, aten.native_batch_norm_backward),
    *(aten.scatter_add, aten.index_add, aten.index_put, aten._unsafe_index_put),
}
"""Operations that sum over the rows where their result has none."""

VIEWS = {
    *(aten.clone, aten.detach, aten.alias, aten._to_copy, aten.lift_fresh, aten.lift_fresh_copy),
    *(aten.t, aten.transpose, aten.permute, aten.expand, aten.unsqueeze, aten.squeeze),
    *(aten.view, aten._unsafe_view, aten.reshape, aten._reshape_alias),
    *(aten.view_as_real, aten.view_as_complex, aten._conj, aten._neg_view),
    *(aten.select, aten.slice, aten.diagonal, aten.unfold),
    *(aten.split, aten.split_with_sizes, aten.unbind),
    *(aten.unsafe_split, aten.unsafe_split_with_sizes),
}
"""Operations that only place what they are given anew."""

LINEAR: dict[Any, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(VIEWS, (("self",),)),
    **dict.fromkeys([aten.neg, aten.conj_physical, aten._conj_physical], (("self",),)),
    **dict.fromkeys([aten.sum, aten.mean, aten.cumsum, aten.tril, aten.triu], (("self",),)),
    **dict.fromkeys([aten.flip, aten.roll, aten.repeat, aten.diag_embed], (("self",),)),
    **dict.fromkeys([aten._fft_r2c, aten._fft_c2r, aten._fft_c2c], (("self",),)),
    **dict.fromkeys([aten.gather, aten.index_select, aten.index], (("self",),)),
    **dict.fromkeys([aten.constant_pad_nd, aten.masked_fill], (("self", "value"),)),
    **dict.fromkeys([aten.cat, aten.stack], (("tensors",),)),
    **dict.fromkeys([aten.add, aten.sub, aten.where], (("self", "other"),)),
    aten.lerp: (("self", "end"),),
    aten.mul: (("self",), ("other",)),
    aten.div: (("self",),),
    **dict.fromkeys([aten.addcmul, aten.addcdiv], (("self", "tensor1"), ("self", "tensor2"))),
    **dict.fromkeys([aten.mm, aten.bmm], (("self",), ("mat2",))),
    aten.mv: (("self",), ("vec",)),
    aten.dot: (("self",), ("tensor",)),
    aten.addmm: (("self", "mat1"), ("self", "mat2")),
    aten.baddbmm: (("self", "batch1"), ("self", "batch2")),
    **dict.fromkeys([aten.slice_scatter, aten.select_scatter], (("self", "src"),)),
    **dict.fromkeys([aten.diagonal_scatter, aten.scatter_add], (("self", "src"),)),
    aten.scatter: (("self", "src", "value"),),
    aten.copy: (("src",),),
    aten.index_add: (("self", "source"),),
    aten.index_put: (("self", "values"),),
    **dict.fromkeys([aten._linalg_solve_ex, aten.linalg_lu_solve], (("B",),)),
    aten.linalg_solve_triangular: (("B",),),
}
"""For an operation: in which of its arguments, taken together, it is linear.

Beside these every operation of a backward pass is linear in the gradient that it gets first.
"""


def is_linear(operands: Operands) -> bool:
    """Whether an operation is linear in those of its arguments that are sums over the rows."""
    arguments = operands.arguments
    if arguments.get("rounding_mode") or arguments.get("reduce"):
        return False
    sums = {name for name, given in arguments.items() if SUMMED in _layouts(operands, given)}
    return any(
        sums.issubset(together) and all(_is_sum(operands, arguments.get(name)) for name in together)
        for together in _linear_in(operands)
    )


def _linear_in(operands: Operands) -> tuple[tuple[str, ...], ...]:
    node = operands.node
    first = next(iter(operands.arguments), "")
    if "backward" in node.op_name and first.startswith("grad"):
        return ((first,),)
    return LINEAR.get(node.packet, ())


def _layouts(operands: Operands, given: Any) -> list[Any]:
    items = given if isinstance(given, tuple) else (given,)
    return [operands.layout(item) for item in items]


def _is_sum(operands: Operands, given: Any) -> bool:
    """Whether an argument is a sum over the rows; zeros are one, and so is nothing."""
    items = given if isinstance(given, tuple) else (given,)
    return all(
        operands.layout(item) == SUMMED or item.name in operands.zeros
        if isinstance(item, Ref)
        else not item
        for item in items
    )
