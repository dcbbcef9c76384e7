"""Every cell on every engine, against the plain loop that it stands for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from cases import CELLS, SIZES, VARIANTS, make_cell, relative_error, slow_beyond
from rondo.cells import initial_state
from rondo.data.seeds import seed_layers

MODES = ["dense", "ragged", "resets", "ragged-resets"]
ALL_CELLS = [*CELLS, *VARIANTS]
VARIANTS_SLOWLY = [*CELLS, *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS)]
COMPILED_SIZES = [SIZES[2], SIZES[4]]  # each size of each cell is a kernel of its own to compile
ENGINES_AND_SIZES = [
    *(("reference", sizes) for sizes in SIZES),
    *(("cpu", sizes) for sizes in COMPILED_SIZES),
]


def plain_loop(
    cell: nn.Module, x: Tensor, state: Any, lengths: list[int], resets: Tensor, reverse: bool
) -> tuple[Tensor, Any]:
    """What a recurrent layer means: each row alone, step by step, in plain PyTorch."""
    outputs, states = [], []
    for b, length in enumerate(lengths):
        start = pytree.tree_map(lambda leaf, b=b: leaf[b : b + 1], state)
        now, row = start, {}
        for t in reversed(range(length)) if reverse else range(length):
            now = start if resets[b, t] else now
            row[t], now = cell(x[b : b + 1, t], now)
        width = cell(x[:1, 0], pytree.tree_map(lambda leaf: leaf[:1], state))[0].shape[1:]
        blank = x.new_zeros(1, *width)
        outputs.append(torch.stack([row.get(t, blank) for t in range(x.shape[1])], 1))
        states.append(now)
    return torch.cat(outputs), pytree.tree_map(lambda *rows: torch.cat(rows), *states)


def make_case(name: str, sizes: tuple[int, ...], mode: str, dtype: torch.dtype) -> dict[str, Any]:
    batch_size, num_steps, input_size, hidden_size = sizes
    cell = make_cell(name, input_size, hidden_size, dtype)
    x = torch.randn(batch_size, num_steps, input_size, dtype=dtype, requires_grad=True)
    state = pytree.tree_map(
        lambda leaf: torch.randn_like(leaf).requires_grad_(), initial_state(cell, x[:, 0])
    )
    lengths = torch.full((batch_size,), num_steps)
    if "ragged" in mode:
        lengths = torch.randint(0, num_steps + 1, (batch_size,))
    resets = torch.zeros(batch_size, num_steps, dtype=torch.bool)
    if "resets" in mode:
        resets = torch.rand(batch_size, num_steps) < 0.4
    return {"cell": cell, "x": x, "state": state, "lengths": lengths, "resets": resets}


def all_results(y: Tensor, state: Any, case: dict[str, Any]) -> dict[str, Tensor]:
    """Output, final state and every gradient, under a random projection.

    The projection consists of numbers that every type has, so that it is the same in all.
    """
    leaves = pytree.tree_leaves(state)
    seed_layers(1)
    drawn = [torch.randint(-8, 9, leaf.shape) / 4 for leaf in (y, *leaves)]
    loss = sum((leaf * d.to(leaf.dtype)).sum() for leaf, d in zip((y, *leaves), drawn, strict=True))
    inputs = {"x": case["x"], **dict(case["cell"].named_parameters())}
    inputs |= {f"state {i}": s for i, s in enumerate(pytree.tree_leaves(case["state"]))}
    gradients = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
    results = {f"final state {i}": leaf.detach() for i, leaf in enumerate(leaves)}
    named = dict(zip(inputs, gradients, strict=True))
    return {"output": y.detach(), **results, **{f"grad {k}": v for k, v in named.items()}}


def run_layer(layer: nn.Module, case: dict[str, Any], mode: str) -> dict[str, Tensor]:
    keywords = {}
    if "ragged" in mode:
        keywords["lengths"] = case["lengths"]
    if "resets" in mode:
        keywords["resets"] = case["resets"]
    return all_results(*layer(case["x"], case["state"], **keywords), case)


def run_plain(case: dict[str, Any], reverse: bool) -> dict[str, Tensor]:
    lengths = case["lengths"].tolist()
    y, state = plain_loop(case["cell"], case["x"], case["state"], lengths, case["resets"], reverse)
    return all_results(y, state, case)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("engine", "sizes"), ENGINES_AND_SIZES, ids=str)
@pytest.mark.parametrize("name", VARIANTS_SLOWLY)
@pytest.mark.usefixtures("compared_by_the_test")
def test_equals_the_plain_loop(
    name: str, engine: str, sizes: tuple[int, ...], mode: str, reverse: bool
) -> None:
    case = make_case(name, sizes, mode, torch.float64)
    layer = rondo.Recurrent(case["cell"], reverse=reverse, engine=engine)
    expected, got = run_plain(case, reverse), run_layer(layer, case, mode)
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("name", slow_beyond(VARIANTS, list(VARIANTS)[::2]))
def test_a_variant_equals_the_plain_loop(name: str, engine: str) -> None:
    """What a cell's own equations can go wrong in, with one kernel for each cell."""
    layer = rondo.Recurrent(make_cell(name, 3, 17, torch.float64), engine=engine)
    for mode, reverse in [("dense", False), ("ragged-resets", False), ("ragged-resets", True)]:
        layer.reverse = reverse
        case = {**make_case(name, (2, 3, 3, 17), mode, torch.float64), "cell": layer.cell}
        expected, got = run_plain(case, reverse), run_layer(layer, case, mode)
        for key, value in expected.items():
            torch.testing.assert_close(got[key], value, rtol=1e-10, atol=1e-12, msg=key)


OF_OTHER_FUNCTIONS = ("slstm", "lru", "min-lstm", "jordan-linear", "gru-reset-before")
"""Variants that compute what no other cell does."""

OF_ALL_FUNCTIONS = [
    pytest.param(name, marks=[] if name in {*CELLS, *OF_OTHER_FUNCTIONS} else pytest.mark.slow)
    for name in ALL_CELLS
]
"""All cells; those that compute what others do are left to the slow tests."""


@pytest.mark.parametrize("name", OF_ALL_FUNCTIONS)
def test_float32_stays_within_the_error_budget(name: str) -> None:
    case = make_case(name, (4, 9, 5, 13), "dense", torch.float32)
    for engine in ("reference", "cpu"):
        layer = rondo.Recurrent(case["cell"], engine=engine)
        check_budget(run_layer(layer, case, "dense"), case)


def check_budget(got: dict[str, Tensor], case: dict[str, Any]) -> None:
    """Fails where results are off by more than twice what plain PyTorch is, against float64.

    Plain PyTorch is run with numbers that are off by a rounding, too: how it rounds is a matter of
    the machine and may be luck, what an error of the last digit comes to is neither. The gradients
    of the parameters count as one: in a small one, large ones may have cancelled.
    """
    exact = together(run_plain(mapped(case, Tensor.double), False))
    seed_layers(2)
    cases = [case, *(mapped(case, near) for _ in range(4))]
    plain = [together(run_plain(one, False)) for one in cases]
    for key, value in together(got).items():
        errors = [relative_error(results[key], exact[key]) for results in plain]
        budget = 2 * max(*errors, torch.finfo(case["x"].dtype).eps)
        assert relative_error(value, exact[key]) <= budget, key


def together(results: dict[str, Tensor]) -> dict[str, Tensor]:
    """Results with the gradients of all parameters as one."""
    own = ("output", "final", "grad x", "grad state")
    rest = [value.flatten() for key, value in results.items() if not key.startswith(own)]
    found = {key: value for key, value in results.items() if key.startswith(own)}
    return {**found, "grad of the parameters": torch.cat(rest)}


def near(value: Tensor) -> Tensor:
    """The same numbers, each off by a rounding or not."""
    steps = torch.randint(-1, 2, value.shape)
    return value * (1 + torch.finfo(value.dtype).eps * steps)


def mapped(case: dict[str, Any], function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """A case with other numbers for its input, its state and its weights."""

    def leaf(value: Tensor) -> Tensor:
        return function(value.detach()).requires_grad_()

    cell = copy.deepcopy(case["cell"])._apply(function)
    state = pytree.tree_map(leaf, case["state"])
    return {**case, "cell": cell, "x": leaf(case["x"]), "state": state}


@pytest.mark.parametrize(
    ("name", "projected"),
    [
        *((name, True) for name in ALL_CELLS),
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in CELLS),
    ],
)
@pytest.mark.usefixtures("compared_by_the_test")
def test_gradients_against_finite_differences(name: str, projected: bool) -> None:
    """gradcheck and gradgradcheck in float64, ragged and with resets.

    Projected: along one direction instead of along every axis.
    """
    case = make_case(name, (2, 3, 2, 3), "dense", torch.float64)
    layer = rondo.Recurrent(case["cell"], engine="reference")
    leaves, form = pytree.tree_flatten(case["state"])
    names = [key for key, _ in layer.named_parameters()]
    lengths = torch.tensor([3, 2])
    resets = torch.tensor([[False, True, False], [False, False, False]])

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state = pytree.tree_unflatten(list(rest[: len(leaves)]), form)
        weights = dict(zip(names, rest[len(leaves) :], strict=True))
        y, last = torch.func.functional_call(
            layer, weights, (x, state), {"lengths": lengths, "resets": resets}
        )
        return y, *pytree.tree_leaves(last)

    inputs = (case["x"], *leaves, *(p.detach().requires_grad_() for p in layer.parameters()))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=projected)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=projected)


@pytest.mark.parametrize("name", CELLS)
def test_step_by_step_equals_the_whole(name: str) -> None:
    case = make_case(name, (3, 4, 2, 5), "dense", torch.float64)
    layer = rondo.Recurrent(case["cell"], engine="reference")
    y, last = layer(case["x"], case["state"])
    now = case["state"]
    for t in range(4):
        y_t, now = layer.step(case["x"][:, t], now)
        torch.testing.assert_close(y_t, y[:, t])
    for a, b in zip(pytree.tree_leaves(now), pytree.tree_leaves(last), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("batch_size", "num_steps"), [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "reference") for name in CELLS), ("lstm", "cpu")]
)
def test_no_rows_or_no_steps(
    name: str, engine: str, batch_size: int, num_steps: int, training: bool
) -> None:
    cell = make_cell(name, 2, 3, torch.float32)
    x = torch.zeros(batch_size, num_steps, 2)
    state = pytree.tree_map(torch.ones_like, initial_state(cell, x.new_zeros(batch_size, 2)))
    with torch.set_grad_enabled(training):
        y, last = rondo.Recurrent(cell, engine=engine)(x, state)
        expected, _ = cell(x.new_zeros(batch_size, 2), state)
    assert y.shape == (batch_size, num_steps, *expected.shape[1:])
    if num_steps == 0:
        for a, b in zip(pytree.tree_leaves(last), pytree.tree_leaves(state), strict=True):
            assert torch.equal(a, b)
    if training:
        (y.sum() + sum(leaf.sum() for leaf in pytree.tree_leaves(last))).backward()
        for parameter in cell.parameters():
            assert parameter.grad is None or torch.equal(
                parameter.grad, torch.zeros_like(parameter)
            )


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_padding_is_never_read(engine: str) -> None:
    """NaN in the padding reaches neither results nor gradients."""
    for name in CELLS if engine == "reference" else ["lstm", "peephole-norm-lstm"]:
        cell = make_cell(name, 2, 3, torch.float32)
        x = torch.randn(3, 5, 2)
        lengths = torch.tensor([5, 0, 2])
        x[1:, 2:] = torch.nan
        x[1] = torch.nan
        x.requires_grad_()
        y, last = rondo.Recurrent(cell, engine=engine)(x, lengths=lengths)
        (y.sum() + sum(leaf.sum() for leaf in pytree.tree_leaves(last))).backward()
        assert x.grad is not None
        for value in [y, x.grad, *(p.grad for p in cell.parameters() if p.grad is not None)]:
            assert value.isfinite().all(), name
        assert (x.grad[1] == 0).all(), name
        assert (y[1] == 0).all(), name
        assert (x.grad[2, 2:] == 0).all(), name
        assert (y[2, 2:] == 0).all(), name


@pytest.mark.parametrize("name", CELLS)
def test_batch_mates_do_not_matter(name: str) -> None:
    case = make_case(name, (4, 5, 3, 4), "ragged", torch.float64)
    layer = rondo.Recurrent(case["cell"], engine="reference")
    y, _ = layer(case["x"], lengths=case["lengths"])
    for row in range(4):
        alone, _ = layer(case["x"][row : row + 1], lengths=case["lengths"][row : row + 1])
        torch.testing.assert_close(alone[0], y[row])
