"""What a recurrent layer means: a Python loop over the eager cell, and what is compared with it.

In go a cell and `Sequences`; out come, by name, the output, the last state, the gradients of
everything that wants one and the buffers as they are afterwards: once from the plain loop
(`run_plain`), once from a layer (`run_layer`).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from rondo.compiler import EngineWarning, KernelEngine

RONDO = Path(rondo.__file__).parent
SLOWER_MAY_RUN = pytest.mark.filterwarnings(
    f"ignore::{EngineWarning.__module__}.{EngineWarning.__name__}"
)
"""For tests that ask what is computed, whatever engine does it."""

Results = dict[str, Tensor]


@dataclass(frozen=True)
class Sequences:
    """What a layer is called with, and tensors outside the cell that its step reads.

    Args:
        x: (B, T, ...); the padding is zero.
        state: The state before the first step, (B, ...); None for the cell's own.
        lengths: (B,) or None.
        resets: (B, T) or None.
        outside: Tensors by name that are no parameters of the cell.
    """

    x: Tensor
    state: Any = None
    lengths: Tensor | None = None
    resets: Tensor | None = None
    outside: Mapping[str, Tensor] | None = None

    @property
    def padding(self) -> Tensor | None:
        """(B, T, 1, ...): where x has no step; None where it has all."""
        if self.lengths is None:
            return None
        is_padding = torch.arange(self.x.shape[1]) >= self.lengths[:, None]
        return is_padding.view(*is_padding.shape, *[1] * (self.x.ndim - 2))

    def filled(self, value: float) -> Sequences:
        """The same with something else in the padding, which no layer may read."""
        if self.padding is None:
            return self
        x = self.x.detach().masked_fill(self.padding, value)
        return replace(self, x=x.requires_grad_(self.x.requires_grad))


# ---- the plain loop ----


def plain_loop(
    cell: nn.Module, given: Sequences, *, reverse: bool = False, by_rows: bool = True
) -> tuple[Tensor, Any]:
    """The output of all steps and the state after the last.

    Args:
        cell: The cell.
        given: What it runs over.
        reverse: Whether each row runs from its last step to its first.
        by_rows: Whether each row of a batch with lengths or resets runs alone, without its padding.
            A cell that holds one value for each row, or counts its steps, cannot: there all rows
            run at once, and those that have ended keep their state.
    """
    state = first_state(cell, given.x) if given.state is None else given.state
    is_dense = given.lengths is None and given.resets is None
    if is_dense or not by_rows or len(given.x) == 0:
        return _whole_batch(cell, replace(given, state=state), reverse)
    rows = [_whole_batch(cell, row, reverse) for row in _rows(replace(given, state=state))]
    num_steps = given.x.shape[1]
    outputs = [
        torch.cat([y, y.new_zeros(1, num_steps - y.shape[1], *y.shape[2:])], 1) for y, _ in rows
    ]
    return torch.cat(outputs), pytree.tree_map(
        lambda *leaves: torch.cat(leaves), *(s for _, s in rows)
    )


def first_state(cell: Any, x: Tensor) -> Any:
    """The cell's own state before the first step of x (B, T, ...): zeros, or what it says."""
    if hasattr(cell, "initial_state_for"):
        return cell.initial_state_for(x.new_zeros(len(x), *x.shape[2:]))
    if hasattr(cell, "initial_state"):
        return cell.initial_state(len(x))
    like = x if x.is_floating_point() else next(cell.parameters())
    return pytree.tree_map(lambda size: like.new_zeros(len(x), size), cell.state_size)


def _rows(given: Sequences) -> list[Sequences]:
    """Each row as a dense batch of its own."""
    lengths = [given.x.shape[1]] * len(given.x) if given.lengths is None else given.lengths.tolist()
    return [
        Sequences(
            given.x[b : b + 1, :length],
            pytree.tree_map(lambda leaf, b=b: leaf[b : b + 1], given.state),
            resets=None if given.resets is None else given.resets[b : b + 1, :length],
        )
        for b, length in enumerate(lengths)
    ]


def _whole_batch(cell: nn.Module, given: Sequences, reverse: bool) -> tuple[Tensor, Any]:
    """All rows at once; a row that has ended keeps its state and gives zeros."""
    x, state = given.x, given.state
    num_steps = x.shape[1]
    if num_steps == 0:
        y, _ = cell(x.new_zeros(len(x), *x.shape[2:]), state)
        return y.new_zeros(len(x), 0, *y.shape[1:]), state
    outputs = {}
    for t in reversed(range(num_steps)) if reverse else range(num_steps):
        before = state if given.resets is None else _where(given.resets[:, t], given.state, state)
        y, after = cell(x[:, t], before)
        if given.lengths is not None:
            is_there = t < given.lengths
            y, after = _where(is_there, y, torch.zeros_like(y)), _where(is_there, after, state)
        outputs[t], state = y, after
    return torch.stack([outputs[t] for t in range(num_steps)], 1), state


def _where(rows: Tensor, this: Any, that: Any) -> Any:
    """The rows of one tensor or state where true, of another elsewhere."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(rows.view(-1, *[1] * (a.ndim - 1)), a, b)

    return pytree.tree_map(choose, this, that)


# ---- what is compared ----


def run_plain(
    cell: nn.Module,
    given: Sequences,
    *,
    reverse: bool = False,
    by_rows: bool = True,
    autocast: bool = False,
) -> Results:
    """What the plain loop gives."""
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y, state = plain_loop(cell, given, reverse=reverse, by_rows=by_rows)
    return _results(cell, given, y, state)


def run_layer(layer: nn.Module, given: Sequences, *, autocast: bool = False) -> Results:
    """What a layer gives; it finds in the padding what would spoil everything."""
    given = given.filled(torch.nan if given.x.is_floating_point() else -1)
    named = {"lengths": given.lengths, "resets": given.resets}
    keywords = {name: value for name, value in named.items() if value is not None}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y, state = layer(given.x, given.state, **keywords)
    return _results(layer.cell, given, y, state)


def without_rows(results: Results) -> Results:
    """What an empty batch must give, from what one of some rows gives.

    Few cells can say it themselves: `view(B, -1)` fails where B is 0.
    """
    has_rows = ("output", "last state", "gradient of the ")

    def without(name: str, value: Tensor) -> Tensor:
        if name.startswith(has_rows):
            return value[:0]
        return value if name.startswith("buffer") else torch.zeros_like(value)

    return {name: without(name, value) for name, value in results.items()}


def _results(cell: nn.Module, given: Sequences, y: Tensor, state: Any) -> Results:
    leaves = pytree.tree_leaves(state)
    results = {"output": y.detach()}
    results |= {f"last state {i}": leaf.detach() for i, leaf in enumerate(leaves)}
    if torch.is_grad_enabled():
        inputs = _inputs(cell, given)
        loss = _loss([y, *leaves])
        found = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
        results |= {f"gradient of {name}": g for name, g in zip(inputs, found, strict=True)}
    return results | {f"buffer {name}": b.clone() for name, b in cell.named_buffers()}


def _inputs(cell: nn.Module, given: Sequences) -> Results:
    """Everything that wants a gradient, by name."""
    named = {"the input": given.x}
    named |= {f"the state {i}": leaf for i, leaf in enumerate(pytree.tree_leaves(given.state))}
    named |= {f"parameter {name}": tensor for name, tensor in cell.named_parameters()}
    named |= {f"outside {name}": tensor for name, tensor in (given.outside or {}).items()}
    return {
        name: tensor
        for name, tensor in named.items()
        if isinstance(tensor, Tensor) and tensor.requires_grad
    }


def _loss(values: list[Tensor]) -> Tensor:
    """A random projection of all values, always the same."""
    generator = torch.Generator().manual_seed(1)
    loss = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for value in values:
        real = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
        weight = torch.randn(real.shape, generator=generator, dtype=torch.float64)
        if real.is_floating_point():
            loss = loss + (real.double() * weight).sum()
    return loss


def check_equal(got: Results, expected: Results) -> None:
    """Fails where a layer differs from the plain loop in float64."""
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            got[name],
            value,
            rtol=1e-8,
            atol=1e-10,
            equal_nan=True,
            msg=lambda told, name=name: f"{name}: {told}",
        )


def check_in_budget(got: Results, plain: Results, exact: Results, *, least: float) -> None:
    """Fails where a layer is further from float64 than four times what the plain loop is.

    Rounding is relative to the numbers that a value is computed from, so one that all but cancels
    is held to a tenth of the largest.

    Args:
        got: What the layer gives.
        plain: What the plain loop gives in the same dtype.
        exact: What it gives in float64, from the same numbers.
        least: The relative error that is always allowed.
    """
    assert got.keys() == exact.keys()
    floor = max(1e-30, *map(_size, exact.values())) / 10
    for name, value in exact.items():
        assert got[name].shape == value.shape, name
        scale = max(_size(value), floor)
        error, near = (_size(side[name], value) / scale for side in (got, plain))
        assert error <= 4 * max(near, least), f"{name}: error {error:.1e}, plain loop's {near:.1e}"


def _size(value: Tensor, origin: Tensor | None = None) -> float:
    """The root mean square of all numbers, or of their difference from others."""
    numbers = value.to(torch.complex128)
    numbers = numbers if origin is None else numbers - origin.to(torch.complex128)
    return numbers.abs().square().mean().sqrt().item() if value.numel() else 0.0


# ---- what cells are given ----


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Tensors are made with another dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def moved_state(
    cell: nn.Module, x: Tensor, generator: torch.Generator | None = None, grad: bool = True
) -> Any:
    """A state that is not the cell's own; parts of it that count or say yes or no stay."""

    def move(leaf: Tensor) -> Tensor:
        if not (leaf.is_floating_point() or leaf.is_complex()):
            return leaf
        dtype = torch.complex64 if leaf.is_complex() else torch.float32
        noise = torch.randn(leaf.shape, generator=generator, dtype=dtype).to(leaf.dtype)
        return (leaf.detach() + 0.3 * noise).requires_grad_(grad)

    return pytree.tree_map(move, first_state(cell, x))


# ---- how a layer answers ----


def is_refusal(error: BaseException) -> bool:
    """Whether Rondo itself raised a ValueError, with a message of its own."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    is_ours = RONDO in Path(raised.filename).parents and (raised.line or "").startswith("raise ")
    return isinstance(error, ValueError) and is_ours and bool(str(error))


def engine_of(layer: rondo.Recurrent) -> tuple[str, str]:
    """What ran the last new kind of input, forward and backward.

    Each is "kernel", "reference", "plain" for the plain loop, or "none" where no gradient was
    wanted. The one place that knows how to ask a layer.
    """
    try:
        program = layer._program()
    except ValueError:  # there is no graph
        return "plain", "plain"
    if program.gradient is None:
        return _engine_name(program.run), "none"
    return _engine_name(program.run_forward), _engine_name(program.run_backward)


def _engine_name(engine: Any) -> str:
    return "kernel" if isinstance(engine, KernelEngine) else "reference"
