"""The rule about rows of every operation that has one.

Elementwise operations that torch marks as such need none. What is in no table is taken to mix the
rows of the batch.
"""

from __future__ import annotations

from typing import Any

import torch

from rondo.compiler.row_places import PLACES
from rondo.compiler.row_rules import (
    Rule,
    added_product,
    along_its_dims,
    along_last,
    apart,
    batch_norm,
    layer_norm,
    loss,
    pad,
    put_back,
    renorm,
    repeat,
    reshape,
    rows_first,
    slice_,
)
from rondo.compiler.row_sums import VIEWS

aten = torch.ops.aten

UNIFORM = {
    *(aten.zeros, aten.ones, aten.full, aten.empty, aten.scalar_tensor, aten.empty_strided),
    *(aten.zeros_like, aten.ones_like, aten.full_like, aten.empty_like),
    *(aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty, aten.new_empty_strided),
}
"""Operations whose result is one number everywhere, whatever the values that they are given."""

ELEMENTWISE = {
    *(aten.copy, aten.fill, aten.masked_fill, aten.where, aten.complex, aten.polar),
    *(aten.floor_divide, aten.log_sigmoid_forward, aten.log_sigmoid_backward),
    *(aten.hardswish, aten.hardswish_backward, aten.hardtanh_backward, aten.elu_backward),
    *(aten.hardsigmoid_backward, aten.hardshrink_backward, aten.softshrink_backward),
    *(aten.softplus_backward, aten.leaky_relu_backward, aten.rrelu_with_noise_backward),
    *(aten.mish_backward, aten._prelu_kernel, aten._prelu_kernel_backward),
}
"""Elementwise operations that torch does not mark as such."""

RANDOM = {
    *(aten.rand, aten.randn, aten.randint, aten.normal, aten.uniform),
    *(aten.rand_like, aten.randn_like, aten.randint_like, aten.native_dropout),
    *(aten.bernoulli, aten.poisson, aten.binomial, aten.multinomial, aten._standard_gamma),
}
"""Operations that draw random numbers, of every row its own."""

PRODUCTS = {
    *(aten.mm, aten.bmm, aten.mv, aten.dot, aten.vdot, aten.addr, aten._trilinear),
    *(aten._cdist_backward, aten._euclidean_dist, aten.sum, aten.nansum, aten.count_nonzero),
}
"""Products, and sums of them: the shape of the result says what becomes of the rows."""

REDUCTIONS = {
    *(aten.mean, aten.prod, aten.any, aten.all, aten.logsumexp, aten.norm),
    *(aten.max, aten.min, aten.amax, aten.amin, aten.aminmax, aten.argmax, aten.argmin),
    *(aten.median, aten.nanmedian, aten.mode, aten.kthvalue, aten.linalg_vector_norm),
    *(aten.var, aten.var_mean, aten.std, aten.std_mean),
}
"""Operations that make one number of all that lie along a dimension."""

RUNS = {
    *(aten._softmax, aten._log_softmax, aten._safe_softmax),
    *(aten._softmax_backward_data, aten._log_softmax_backward_data),
    *(aten.cumsum, aten.cumprod, aten.cummax, aten.cummin, aten._logcumsumexp),
    *(aten.logcumsumexp, aten.sort, aten.argsort, aten.topk),
    *(aten._fft_r2c, aten._fft_c2r, aten._fft_c2c),
    *(aten.glu, aten.glu_backward, aten.linalg_cross),
}
"""Operations whose every result depends on all that lies along a dimension."""

SPLITS = {
    *(aten.split, aten.split_with_sizes, aten.unbind),
    *(aten.unsafe_split, aten.unsafe_split_with_sizes),
}

ROWS_FIRST = {
    *(aten.convolution, aten.convolution_backward, aten.im2col, aten.col2im),
    *(aten.native_group_norm, aten.native_group_norm_backward, aten.affine_grid_generator),
    *(aten.grid_sampler_2d, aten.grid_sampler_2d_backward),
    *(aten.grid_sampler_3d, aten.grid_sampler_3d_backward),
}
"""Operations that treat only what lies along the first dimension apart."""

ALONG_LAST = {
    1: (
        *("reflection_pad1d", "replication_pad1d", "diag_embed", "_cdist_forward"),
        *("upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_linear1d"),
    ),
    2: (
        *("reflection_pad2d", "replication_pad2d", "tril", "triu"),
        *("avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool2d_with_indices"),
        *("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d"),
        *("upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
        *("linalg_inv_ex", "_linalg_det", "_linalg_slogdet", "linalg_cholesky_ex", "linalg_qr"),
        *("_linalg_eigh", "_linalg_svd", "linalg_matrix_exp", "linalg_lu_factor_ex"),
        *("linalg_lu_solve", "_linalg_solve_ex", "linalg_solve_triangular", "cholesky_solve"),
        *("linalg_householder_product", "_scaled_dot_product_flash_attention_for_cpu"),
    ),
    3: (
        *("reflection_pad3d", "replication_pad3d", "pixel_shuffle", "pixel_unshuffle"),
        *("avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "max_pool3d_with_indices"),
        *("upsample_nearest3d", "_upsample_nearest_exact3d", "upsample_trilinear3d"),
    ),
}
"""Operations that work along so many dimensions, the last ones; so do those of their gradients."""

FAMILIES: tuple[tuple[Rule, set[Any]], ...] = (
    (apart, VIEWS | UNIFORM | ELEMENTWISE | RANDOM | PRODUCTS | {aten.stack}),
    (reshape, {aten.view, aten._unsafe_view, aten.reshape, aten._reshape_alias}),
    (slice_, {aten.slice}),
    (along_its_dims("picks one row of the batch"), {aten.select}),
    (along_its_dims("picks some rows of the batch"), {aten.diagonal, aten.unfold}),
    (along_its_dims("takes the rows of the batch apart"), SPLITS),
    (along_its_dims("joins rows of the batch"), {aten.cat}),
    (along_its_dims("moves the rows of the batch"), {aten.flip, aten.roll}),
    (
        along_its_dims("changes some rows of the batch"),
        {aten.slice_scatter, aten.select_scatter, aten.diagonal_scatter},
    ),
    (
        put_back,
        {aten.slice_backward, aten.select_backward, aten.diagonal_backward, aten.unfold_backward},
    ),
    (repeat, {aten.repeat}),
    (pad, {aten.constant_pad_nd}),
    (added_product, {aten.addmm, aten.baddbmm, aten.addmv, aten.addbmm}),
    (along_its_dims("reduces over the rows of the batch"), REDUCTIONS),
    (along_its_dims("runs over the rows of the batch"), RUNS),
    (
        layer_norm,
        {
            *(aten.native_layer_norm, aten.native_layer_norm_backward),
            *(aten._fused_rms_norm, aten._fused_rms_norm_backward),
        },
    ),
    (
        batch_norm,
        {
            *(aten.native_batch_norm, aten._native_batch_norm_legit_no_training),
            *(aten.native_batch_norm_backward,),
        },
    ),
    (renorm, {aten.renorm}),
    (
        loss,
        {
            *(aten.mse_loss, aten.mse_loss_backward, aten.huber_loss, aten.huber_loss_backward),
            *(aten.smooth_l1_loss, aten.smooth_l1_loss_backward, aten.binary_cross_entropy),
            *(aten.binary_cross_entropy_backward, aten.binary_cross_entropy_with_logits),
        },
    ),
    (rows_first, ROWS_FIRST),
)
"""Rules, each with the operations that have it."""

ROW_RULES: dict[Any, Rule] = {
    **{operation: rule for rule, operations in FAMILIES for operation in operations},
    **{
        getattr(aten, name + ending): along_last(num_dims)
        for num_dims, names in ALONG_LAST.items()
        for name in names
        for ending in ("", "_backward")
        if hasattr(aten, name + ending)
    },
    **PLACES,
}
"""For an operation: its rule."""
