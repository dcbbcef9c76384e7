"""Every rule about the rows of a batch says what is true; what mixes rows is found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rondo.compiler.graph import StepGraph
from rondo.compiler.layouts import Along, Mixed, OfOneStep, Shared, Summed
from rondo.compiler.row_rules import apart
from rondo.compiler.row_table import ROW_RULES
from rondo.compiler.rows import row_layouts
from row_cases import Make, graph_of, wrong_layouts


def rows(*sizes: int, at: int = 0) -> Make:
    """Random numbers with rows at some dimension."""
    return lambda n: torch.randn(*sizes[:at], n, *sizes[at:], dtype=torch.float64)


def shared(*sizes: int) -> Make:
    """Random numbers that the whole batch shares."""
    numbers = torch.randn(*sizes, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return lambda n: numbers.clone()


def places(below: int, *sizes: int) -> Make:
    """Whole numbers of every row, from 0 on."""
    return lambda n: torch.randint(below, (n, *sizes))


def fixed(*numbers: int) -> Make:
    """Whole numbers that the whole batch shares."""
    return lambda n: torch.tensor(numbers)


def mixed(graph: StepGraph) -> list[str]:
    """Why rows mix in a graph; nothing where they do not."""
    layouts = row_layouts(graph)
    found = [layouts[node.name] for node in graph.nodes]
    return [layout.reason for layout in found if isinstance(layout, Mixed)]


def mixed_by(function: Callable[..., Any], *makes: Make) -> list[str]:
    """Why rows mix in a function."""
    return mixed(graph_of(function, makes, gradient=False)[0])


def check_apart(function: Callable[..., Any], *makes: Make) -> None:
    """Fails where a rule says of a function or its gradient what is not true, or does not know."""
    graph, constants = graph_of(function, makes)
    assert mixed(graph) == []
    assert wrong_layouts(graph, constants, makes) == []


# ---- along a dimension ----

ALONG_A_DIM: dict[str, Callable[[Tensor, int], Any]] = {
    "max": lambda x, dim: x.max(dim),
    "min, kept": lambda x, dim: x.min(dim, keepdim=True),
    "argmax": lambda x, dim: x.argmax(dim),
    "argmin": lambda x, dim: x.argmin(dim, keepdim=True),
    "amax": lambda x, dim: x.amax(dim),
    "aminmax": lambda x, dim: x.aminmax(dim=dim),
    "sort": lambda x, dim: x.sort(dim),
    "stable sort": lambda x, dim: x.sort(dim=dim, stable=True),
    "argsort": lambda x, dim: x.argsort(dim),
    "topk": lambda x, dim: x.topk(2, dim),
    "kthvalue": lambda x, dim: x.kthvalue(2, dim),
    "median": lambda x, dim: x.median(dim),
    "nanmedian": lambda x, dim: x.nanmedian(dim),
    "mode": lambda x, dim: x.round().mode(dim),
    "mean": lambda x, dim: x.mean(dim),
    "prod of what needs no gradient": lambda x, dim: x.detach().prod(dim),
    "any": lambda x, dim: (x > 1).any(dim),
    "all": lambda x, dim: (x > -1).all(dim),
    "norm": lambda x, dim: x.norm(dim=dim),
    "norm of order 3": lambda x, dim: torch.linalg.vector_norm(x, 3, dim),
    "normalize": lambda x, dim: functional.normalize(x, dim=dim),
    "logsumexp": lambda x, dim: x.logsumexp(dim),
    "std": lambda x, dim: x.std(dim),
    "var": lambda x, dim: x.var(dim, keepdim=True, correction=0),
    "std_mean": lambda x, dim: torch.std_mean(x, dim),
    "var_mean": lambda x, dim: torch.var_mean(x, dim),
    "softmax": lambda x, dim: x.softmax(dim),
    "log_softmax": lambda x, dim: x.log_softmax(dim),
    "cumsum": lambda x, dim: x.cumsum(dim),
    "cumprod of what needs no gradient": lambda x, dim: x.detach().cumprod(dim),
    "cummax": lambda x, dim: x.cummax(dim),
    "cummin": lambda x, dim: x.cummin(dim),
    "logcumsumexp": lambda x, dim: x.logcumsumexp(dim),
    "flip": lambda x, dim: x.flip(dim),
    "roll": lambda x, dim: x.roll(1, dim),
    "fft": lambda x, dim: torch.fft.fft(x, dim=dim).abs(),
    "ifft": lambda x, dim: torch.fft.ifft(x, dim=dim).real,
    "unfold": lambda x, dim: x.unfold(dim, 1, 1),
    "select": lambda x, dim: x.select(dim, 1),
    "narrow": lambda x, dim: x.narrow(dim, 0, 2),
    "cat": lambda x, dim: torch.cat([x, x.exp()], dim),
    "repeat_interleave": lambda x, dim: x.repeat_interleave(2, dim),
    "columns by a list": lambda x, dim: x.index_select(dim, torch.tensor([1, 0])),
    "index_add": lambda x, dim: x.index_add(dim, torch.tensor([1, 1]), x.narrow(dim, 0, 2)),
    "index_copy": lambda x, dim: x.index_copy(dim, torch.tensor([1]), x.narrow(dim, 0, 1)),
    "index_fill": lambda x, dim: x.index_fill(dim, torch.tensor([1]), 0.5),
    "gather": lambda x, dim: x.gather(dim, (x > 0).long()),
    "take_along_dim": lambda x, dim: x.take_along_dim(x.argsort(dim), dim),
    "scatter": lambda x, dim: x.scatter(dim, (x > 0).long(), x.exp()),
    "scatter a number": lambda x, dim: x.scatter(dim, (x > 0).long(), 2.0),
    "scatter_add": lambda x, dim: x.scatter_add(dim, (x > 0).long(), x.exp()),
    "slice_scatter": lambda x, dim: x.slice_scatter(x.narrow(dim, 0, 1), dim, 0, 1),
    "select_scatter": lambda x, dim: x.select_scatter(x.select(dim, 0), dim, 1),
    "glu": lambda x, dim: functional.glu(torch.cat([x, x], dim), dim),
}
"""Functions that depend on what lies along a dimension, and on nothing else."""


OF_A_FIXED_SIZE: dict[str, Callable[[Tensor, int], Any]] = {
    "split": lambda x, dim: x.split([1, 3], dim),
    "unbind": lambda x, dim: x.unbind(dim)[:2],
    "chunk": lambda x, dim: x.chunk(2, dim),
    "diff": lambda x, dim: x.diff(dim=dim),
    "rfft": lambda x, dim: torch.fft.rfft(x, dim=dim).real,
    "irfft": lambda x, dim: torch.fft.irfft(x, dim=dim),
    "unfold": lambda x, dim: x.unfold(dim, 2, 1),
}
"""The same, along dimensions of known size only."""


@pytest.mark.parametrize("name", [*ALONG_A_DIM, *OF_A_FIXED_SIZE])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_along_another_dimension_rows_stay_apart(name: str, at: int) -> None:
    for dim in {0, 1, 2, -1} - {at, at - 3}:
        check_apart(partial((ALONG_A_DIM | OF_A_FIXED_SIZE)[name], dim=dim), rows(4, 4, at=at))


@pytest.mark.parametrize("name", ALONG_A_DIM)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_along_the_rows_they_are_mixed(name: str, at: int) -> None:
    assert mixed_by(partial(ALONG_A_DIM[name], dim=at), rows(4, 4, at=at))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_sum_along_the_rows_is_known_as_one(at: int) -> None:
    for function in (torch.sum, torch.nansum, torch.count_nonzero):
        check_apart(lambda x, function=function: function(x, at), rows(4, 4, at=at))
    check_apart(lambda x: x.sum(), rows(4, 4, at=at))


# ---- along the last dimensions ----

ALONG_THE_LAST: dict[str, tuple[int, Callable[[Tensor], Any]]] = {
    "tril": (2, lambda x: x.tril()),
    "triu": (2, lambda x: x.triu(1)),
    "diag_embed": (1, lambda x: x.diag_embed()),
    "diagonal": (2, lambda x: x.diagonal(dim1=-2, dim2=-1)),
    "pad": (1, lambda x: functional.pad(x, (1, 2))),
    "pad twice": (2, lambda x: functional.pad(x, (0, 1, 1, 0), value=2.0)),
    "layer norm": (1, lambda x: functional.layer_norm(x, x.shape[-1:])),
    "layer norm of two": (2, lambda x: functional.layer_norm(x, x.shape[-2:])),
    "RMS norm": (1, lambda x: functional.rms_norm(x, x.shape[-1:])),
    "reflection pad": (1, lambda x: functional.pad(x, (1, 1), mode="reflect")),
    "replication pad": (1, lambda x: functional.pad(x, (1, 1), mode="replicate")),
    "reflection pad 2d": (2, lambda x: functional.pad(x, (1, 0, 0, 1), mode="reflect")),
    "replication pad 2d": (2, lambda x: functional.pad(x, (1, 0, 0, 1), mode="replicate")),
    "max pool 1d": (1, lambda x: functional.max_pool1d(x, 2, 1)),
    "max pool": (2, lambda x: functional.max_pool2d(x, 2, 1)),
    "average pool 1d": (1, lambda x: functional.avg_pool1d(x, 2, 1)),
    "average pool": (2, lambda x: functional.avg_pool2d(x, 2, 1)),
    "adaptive average pool": (2, lambda x: functional.adaptive_avg_pool2d(x, 2)),
    "adaptive max pool": (2, lambda x: functional.adaptive_max_pool2d(x, 3)),
    "determinant": (2, torch.linalg.det),
    "inverse": (2, torch.linalg.inv),
    "matrix exponential": (2, lambda x: torch.linalg.matrix_exp(x.detach())),
    "singular values": (2, lambda x: torch.linalg.svdvals(x.detach())),
    "distances from others": (2, lambda x: torch.cdist(x, x[..., :2, :])),
}
"""How many dimensions, and functions that depend on what lies along them, and on nothing else."""


@pytest.mark.parametrize("name", ALONG_THE_LAST)
def test_before_the_last_dimensions_rows_stay_apart(name: str) -> None:
    num_dims, function = ALONG_THE_LAST[name]
    for at in range(3 - num_dims):
        check_apart(function, rows(5, 5, at=at))


@pytest.mark.parametrize(
    "name",
    [
        *("tril", "triu", "diag_embed", "layer norm", "layer norm of two", "RMS norm"),
        *("adaptive average pool", "adaptive max pool", "distances from others"),
    ],
)
def test_in_the_last_dimensions_they_are_mixed(name: str) -> None:
    """Of other functions the size of the result would not follow the number of rows."""
    num_dims, function = ALONG_THE_LAST[name]
    for at in range(3 - num_dims, 3):
        assert mixed_by(function, rows(5, 5, at=at))


# ---- all others ----

W, V = shared(5, 5), shared(5)
PLACES, MASK = torch.tensor([3, 0, 3]), torch.tensor([True, False, True, True, False])


def attention(x: Tensor, keys: Tensor, mask: Tensor | None = None, **given: Any) -> Tensor:
    mask = None if mask is None else mask.detach()
    query = x.unsqueeze(1).expand(-1, 2, -1, -1)
    keys = keys.unsqueeze(1).expand(-1, 2, -1, -1)
    return functional.scaled_dot_product_attention(query, keys, keys.sin(), mask, **given)


def resized(size: int, mode: str) -> Callable[[Tensor], Tensor]:
    return partial(functional.interpolate, size=size, mode=mode)


def in_evaluation(x: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
    return functional.batch_norm(x, mean.detach(), mean.detach().exp(), weight, weight)


APART: dict[str, tuple[Callable[..., Any], list[Make]]] = {
    # Products.
    "rows times a matrix": (lambda x, w: x @ w, [rows(5), W]),
    "a matrix times rows": (lambda x, w: w @ x.t(), [rows(5), W]),
    "an affine map": (functional.linear, [rows(5), W, V]),
    "rows times a vector": (lambda x, v: x @ v, [rows(5), V]),
    "numbers times numbers": (torch.dot, [rows(), rows()]),
    "a matrix of every row": (lambda x, w: w @ x[..., None], [rows(5), rows(5, 5)]),
    "a batch of products": (torch.bmm, [rows(2, 5), rows(5, 3)]),
    "rows inside of a batch of products": (torch.bmm, [rows(2, 5, at=1), shared(2, 5, 3)]),
    "products added to rows": (torch.baddbmm, [rows(2, 3), rows(2, 5), rows(5, 3)]),
    "an outer product": (lambda x, y: torch.einsum("bi,bj->bij", x, y), [rows(5), rows(4)]),
    "a bilinear map": (functional.bilinear, [rows(3), rows(4), shared(5, 3, 4), V]),
    "distances from a table": (torch.cdist, [rows(5), shared(6, 5)]),
    "a cross product": (torch.linalg.cross, [rows(4, 3), rows(4, 3)]),
    "cosines": (functional.cosine_similarity, [rows(5), rows(5)]),
    "a solved system": (torch.linalg.solve, [rows(5, 5), rows(5, 2)]),
    # Attention and norms.
    "attention": (attention, [rows(3, 4), rows(6, 4)]),
    "causal attention": (partial(attention, is_causal=True), [rows(3, 4), rows(6, 4)]),
    "attention with a mask": (attention, [rows(3, 4), rows(6, 4), shared(3, 6)]),
    "attention with masks": (attention, [rows(3, 4), rows(6, 4), rows(1, 3, 6)]),
    "a layer norm with weights": (
        lambda x, w, b: functional.layer_norm(x, (5,), w, b),
        [rows(4, 5), V, V],
    ),
    "a fused RMS norm": (
        lambda x, w: torch.ops.aten._fused_rms_norm(x, (5,), w, 1e-6),
        [rows(4, 5), V],
    ),
    "a group norm": (lambda x, w: functional.group_norm(x, 2, w, w), [rows(4, 6), shared(4)]),
    "a batch norm in evaluation": (in_evaluation, [rows(5, 2), V, V]),
    "a weight norm": (
        lambda x, v, g: x @ torch._weight_norm(v, g, 0),
        [rows(5), W, shared(5, 1)],
    ),
    "a norm of each row": (lambda x: x.renorm(2, 0, 0.5), [rows(5)]),
    # Convolutions and pictures.
    "a convolution": (functional.conv1d, [rows(2, 6), shared(3, 2, 3), shared(3)]),
    "a convolution in groups": (
        partial(functional.conv2d, groups=2, padding=1),
        [rows(4, 5, 6), shared(6, 2, 3, 3)],
    ),
    "a transposed convolution": (
        partial(functional.conv_transpose2d, stride=2),
        [rows(4, 3, 3), shared(4, 2, 3, 3)],
    ),
    "pooling in space": (partial(functional.max_pool3d, kernel_size=2), [rows(1, 4, 4, 4)]),
    "means in space": (partial(functional.avg_pool3d, kernel_size=2), [rows(1, 4, 4, 4)]),
    **{
        mode: (resized(6, mode), [rows(2, *[4] * num_dims)])
        for mode, num_dims in (
            *(("nearest", 1), ("nearest-exact", 2), ("linear", 1), ("bilinear", 2)),
            *(("bicubic", 2), ("trilinear", 3)),
        )
    },
    "pixel shuffle": (partial(functional.pixel_shuffle, upscale_factor=2), [rows(4, 3, 3)]),
    "patches": (lambda x: functional.unfold(x, 2), [rows(2, 4, 4)]),
    "patches put together": (lambda x: functional.fold(x, (3, 3), 2), [rows(8, 4)]),
    "places of a picture": (
        partial(functional.grid_sample, align_corners=True),
        [rows(2, 4, 4), rows(3, 3, 2)],
    ),
    # Places.
    "lines of a table": (functional.embedding, [places(6, 2), shared(6, 5)]),
    "lines by index": (lambda i, w: w[i], [places(5), W]),
    "elements by two": (lambda i, w: w[i, i.flip(1)], [places(5, 3), W]),
    "elements of a list": (lambda i, w: w.gather(0, i), [places(5), V]),
    "elements of a table": (lambda i, w: w.detach().take(i), [places(25), W]),
    "columns by a list": (lambda x: x[:, [3, 0, 3]], [rows(5)]),
    "columns by a tensor": (lambda x: x[..., PLACES], [rows(2, 5)]),
    "columns by a mask": (lambda x: x.detach()[:, MASK], [rows(5, 2)]),
    "elements by two lists": (lambda x: x[:, PLACES, PLACES], [rows(5, 5)]),
    "elements by lists apart": (lambda x: x[:, PLACES, :, PLACES], [rows(5, 2, 5)]),
    "columns of another value": (
        lambda x, y: x.index_copy(1, PLACES[:2], y),
        [rows(5), rows(2)],
    ),
    "columns put": (
        lambda x, y: torch.ops.aten.index_put(x, [None, PLACES[:2]], y),
        [rows(5), rows(2)],
    ),
    "columns added": (
        lambda x, y: torch.ops.aten.index_put(x, [None, PLACES], y, True),
        [rows(5), rows(3)],
    ),
    "zeros by a mask": (
        lambda x: torch.ops.aten.index_put(x, [x > 0], torch.zeros((), dtype=x.dtype)),
        [rows(5)],
    ),
    "one of many": (lambda i: torch.zeros(i.shape[0], 6).scatter(1, i, 1.0), [places(6, 1)]),
    "one of many, compared": (lambda i: (i == torch.arange(6)).double(), [places(6, 1)]),
    "the largest of scattered": (
        lambda x, i: x.detach().scatter_reduce(1, i, x.detach(), "amax"),
        [rows(5), places(5, 5)],
    ),
    "bins": (lambda x, v: torch.bucketize(x, v.sort().values), [rows(5), V]),
    "bins of each row": (
        lambda x, v: torch.searchsorted(v.sort(-1).values, x),
        [rows(5), rows(4)],
    ),
    "members": (lambda i: torch.isin(i, PLACES), [places(6, 2)]),
    # Views.
    "heads": (lambda x: x.view(-1, 2, 3).transpose(1, 2).flatten(1), [rows(6)]),
    "a diagonal": (lambda x: x.diagonal(1, 1, 2), [rows(5, 5)]),
    "diagonals put": (lambda x, y: x.diagonal_scatter(y, 0, 1, 2), [rows(5, 5), rows(5)]),
    "repeated columns": (lambda x: x.repeat(1, 3), [rows(5)]),
    "a repeated weight": (lambda x, w: torch.cat([x, w.repeat(x.shape[0], 1)], 1), [rows(5), V]),
    "a shared line": (lambda x, v: torch.cat([x, v.expand(x.shape[0], -1)], 1), [rows(5), V]),
    "a stack": (lambda x: torch.stack([x, x.exp()], -1), [rows(5)]),
    "complex numbers": (lambda x, y: torch.complex(x, y).exp().imag, [rows(5), rows(5)]),
    "polar numbers": (lambda x, y: torch.view_as_real(torch.polar(x, y)), [rows(5), rows(5)]),
    # Elements.
    "numbers of columns": (lambda x: x * torch.arange(5) + torch.eye(5)[1], [rows(5)]),
    "choices": (lambda x, y: torch.where(x > y, x, y).masked_fill(x < 0, 2.0), [rows(5), rows(5)]),
    "frexp": (lambda x: torch.frexp(x.detach()), [rows(5)]),
    **{
        function.__name__: (function, [rows(5)])
        for function in (
            *(functional.hardswish, functional.softplus, functional.leaky_relu, functional.elu),
            *(functional.hardtanh, functional.hardsigmoid, functional.hardshrink),
            *(functional.softshrink, functional.logsigmoid, functional.celu, functional.selu),
            *(functional.mish, functional.gelu, functional.silu, functional.softsign),
        )
    },
    "losses": (
        lambda x, y: [
            getattr(functional, name)(x.sigmoid(), y.detach().sigmoid(), reduction="none")
            for name in ("mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy")
        ],
        [rows(5), rows(5)],
    ),
    "prelu": (functional.prelu, [rows(5), shared(1)]),
}
"""Functions that keep rows apart."""


@pytest.mark.parametrize("name", APART)
def test_rows_stay_apart(name: str) -> None:
    function, makes = APART[name]
    check_apart(function, *makes)


OF_A_WEIGHT: dict[str, Callable[[Tensor], Tensor]] = {
    "tril": lambda w: w.tril(),
    "triu": lambda w: w.triu(1),
    "flip": lambda w: w.flip(0),
    "roll": lambda w: w.roll(2, 1),
    "cumsum": lambda w: w.cumsum(0),
    "softmax": lambda w: w.softmax(1),
    "unit rows": lambda w: w / w.norm(dim=1, keepdim=True),
    "centred": lambda w: w - w.mean(0),
    "scaled by its deviation": lambda w: w / w.std(),
    "lines": lambda w: w[[3, 0, 3, 1, 2]],
    "columns": lambda w: w.index_select(1, torch.tensor([3, 0, 3, 1, 2])),
    "elements": lambda w: w.gather(1, torch.zeros(5, 5, dtype=torch.int64)),
    "a padded part": lambda w: functional.pad(w[:, :3], (1, 1)),
    "masked": lambda w: w.masked_fill(torch.eye(5, dtype=torch.bool), 0.0),
    "chosen": lambda w: torch.where(torch.eye(5, dtype=torch.bool), w, -w),
    "repeated": lambda w: w[:, :1].repeat(1, 5),
    "a diagonal": lambda w: w.diagonal().diag_embed(),
    "skew": lambda w: w.triu() - w.triu().t(),
    "a product with itself": lambda w: w @ w.t(),
    "parts": lambda w: torch.cat(w.split([2, 3], 1)[::-1], 1),
    "a stack": lambda w: torch.stack(w.unbind(1)),
    "a norm": lambda w: functional.layer_norm(w, (5,)),
    "frequencies": lambda w: torch.fft.fft(w, dim=1).real,
    "a mixture": lambda w: torch.lerp(w, w.tanh(), 0.3),
    "a Cayley transform": lambda w: torch.linalg.solve(
        torch.eye(5, dtype=w.dtype) + w - w.t(), torch.eye(5, dtype=w.dtype) - w + w.t()
    ),
    "a convolution": lambda w: functional.conv1d(w[None], w[:, :, None])[0],
    "solved": lambda w: torch.linalg.solve_triangular(
        w.tril() + 5 * torch.eye(5, dtype=w.dtype), torch.eye(5, dtype=w.dtype), upper=False
    ),
}
"""Functions of a weight, whose gradient is a sum over the rows."""


@pytest.mark.parametrize("name", OF_A_WEIGHT)
def test_the_gradient_of_what_is_made_of_a_weight_stays_a_sum(name: str) -> None:
    check_apart(lambda x, w: x @ OF_A_WEIGHT[name](w), rows(5), W)


MIXED: dict[str, tuple[Callable[..., Any], list[Make], str]] = {
    "batch norm": (
        lambda x: functional.batch_norm(x, None, None, training=True),
        [rows(5, 2)],
        "normalises over the rows",
    ),
    "a mean": (lambda x: x - x.mean(0), [rows(5)], "mean reduces over the rows"),
    "a sum": (lambda x: x + x.sum(0), [rows(5)], "mixes a sum over the rows back"),
    "a sum spread": (lambda x: x.sum(0).expand(x.shape[0], -1), [rows(5)], "spreads a sum"),
    "a function of a sum": (lambda x: x.sum(0).exp(), [rows(5)], "is not linear in a sum"),
    "a number added to a sum": (lambda x: x.sum(0) + 1, [rows(5)], "is not linear in a sum"),
    "a product added to a weight": (
        lambda x, w: torch.addmm(w, x.t(), x),
        [rows(5), W],
        "adds a sum over the rows to what is none",
    ),
    "rows times rows": (lambda x: x @ x.t(), [rows(5)], "combines different rows"),
    "differences of rows": (lambda x: x[:, None] - x, [rows(5)], "combines different rows"),
    "one row": (lambda x: x[0], [rows(5)], "picks one row"),
    "some rows": (lambda x: x[:2], [rows(5)], "picks some rows"),
    "every other row": (lambda x: x[[0, 1]], [rows(5)], "chooses among the rows"),
    "rows by rows": (lambda x, i: x[i], [rows(5), places(3)], "chooses among the rows"),
    "rows by their elements": (lambda x, i: x.gather(0, i), [rows(5), places(3, 5)], "chooses"),
    "elements of the batch": (lambda x, i: x.take(i), [rows(5), places(9)], "chooses among"),
    "bins by rows": (lambda x, y: torch.bucketize(x, y), [rows(5), rows()], "chooses among"),
    "bins among rows": (lambda x, y: torch.searchsorted(y, x), [rows(5), rows()], "chooses among"),
    "members of the batch": (lambda x: torch.isin(x, x), [rows(5)], "chooses among the rows"),
    "a table of rows": (lambda i, x: functional.embedding(i, x), [places(3), rows(5)], "chooses"),
    "rows written into a weight": (
        lambda i, x, w: torch.ops.aten.index_put(w, [i], x),
        [places(5), rows(5), W],
        "writes into what the whole batch shares",
    ),
    "rows scattered into a weight": (
        lambda i, x, v: v.scatter(0, i, x),
        [places(5), rows(), V],
        "writes into what the whole batch shares",
    ),
    "rows added to a weight": (
        lambda i, x, w: w.index_add(0, i, x),
        [places(5), rows(5), W],
        "writes into what the whole batch shares",
    ),
    "a permutation": (lambda x: x[torch.randperm(x.shape[0])], [rows(5)], "independent"),
    "numbers of rows": (lambda x: torch.arange(x.shape[0])[:, None] + x, [rows(5)], "independent"),
    "the number of rows": (lambda x: x / x.shape[0], [rows(5)], "computes with the number of rows"),
    "a weight by the number of rows": (
        lambda x, w: x @ (w / x.shape[0]),
        [rows(5), W],
        "div computes with the number of rows",
    ),
    "filled with the number of rows": (
        lambda x: x + torch.full((5,), x.shape[0]),
        [rows(5)],
        "full computes with the number of rows",
    ),
    "moved by the number of rows": (
        lambda x: x.roll(x.shape[0], 1),
        [rows(5)],
        "computes with the number of rows",
    ),
    "repeated rows": (lambda x: x.repeat(2, 1), [rows(5)], "repeats the rows"),
    "rows moved into columns": (lambda x: x.t().reshape(-1, 5), [rows(5)], "moves elements"),
    "one draw for all": (lambda x: x * torch.rand(5), [rows(5)], "that the whole batch shares"),
    "rows as channels": (
        lambda x, w: functional.conv1d(x[None], w),
        [rows(5), lambda n: torch.randn(2, n, 3, dtype=torch.float64)],
        "has rows in another dimension than the first",
    ),
    "rows as places": (
        lambda x: functional.scaled_dot_product_attention(x, x, x),
        [rows(1, 2, 4, at=2)],
        "works along the rows",
    ),
    "a norm of each column": (lambda x: x.renorm(2, 1, 0.5), [rows(5)], "normalises over"),
    "values beside rows": (
        lambda x: functional.pad(x, (0, 0, 0, x.shape[0])),
        [rows(5)],
        "puts values beside the rows",
    ),
    "a mean loss": (functional.mse_loss, [rows(5), rows(5)], "mse_loss reduces over the rows"),
    "scattered by a mask": (
        lambda x: x.masked_scatter(x > 0, x.exp()),
        [rows(5)],
        "is not known to keep batch rows independent",
    ),
}
"""Functions that do not, each with what is said of it."""


@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_rows_is_found(name: str) -> None:
    function, makes, reason = MIXED[name]
    assert reason in "; ".join(mixed_by(function, *makes))


def test_what_is_not_linear_in_a_sum_belongs_to_one_step() -> None:
    """The gradient of a matrix exponential is a part of the exponential of a larger matrix."""
    graph, _ = graph_of(lambda x, w: x @ torch.linalg.matrix_exp(w), [rows(5), W])
    layouts = row_layouts(graph)
    last = graph.nodes[-1]
    assert last.shape == (5, 5)
    assert isinstance(layouts[last.name], OfOneStep)
    assert {type(layout) for layout in layouts.values()} == {Along, Shared, Summed, OfOneStep}


def test_counts_of_the_whole_batch_scale_no_gradient() -> None:
    look_up = partial(functional.embedding, scale_grad_by_freq=True)
    (reason,) = mixed(graph_of(look_up, [places(5), W])[0])
    assert reason == "embedding_dense_backward counts in the whole batch"


def test_random_numbers_of_the_rows_stay_apart() -> None:
    def noisy(x: Tensor) -> Tensor:
        return functional.dropout(x + torch.randn_like(x)) + torch.rand(x.shape[0], 1)

    assert mixed(graph_of(noisy, [rows(5)])[0]) == []


@pytest.mark.parametrize("name", ["cumsum", "flip", "softmax", "roll"])
def test_a_rule_that_is_wrong_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above can see."""
    packet = getattr(torch.ops.aten, {"softmax": "_softmax"}.get(name, name))
    monkeypatch.setitem(ROW_RULES, packet, apart)
    function, makes = partial(ALONG_A_DIM[name], dim=0), [rows(4, 4)]
    graph, constants = graph_of(function, makes, gradient=False)
    assert mixed(graph) == []
    assert wrong_layouts(graph, constants, makes)
