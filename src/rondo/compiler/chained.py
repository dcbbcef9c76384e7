"""Networks as functions of tensors, with one node in torch's graph.

In go a network and the addresses of plain tensors, out come its output and its last states. The
backward pass is one call too. A second derivative, and several gradients at once, are those of the
same programs one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rondo.compiler.call import SPOILS
from rondo.compiler.network import Network
from rondo.compiler.operators import (
    differentiable_gradients,
    is_batched,
    is_transformed,
    recurrence,
)
from rondo.compiler.passes import Given

Shape = tuple[int, ...]


class Chained(NamedTuple):
    """A network that is run on tensors of these shapes.

    Args:
        network: The network.
        output: The shape of the output.
        states: The shape of each tensor of the state.
        row: The shape of a row of the input.
        state_rows: The shape of a row of each tensor of the state.
        zeros: The state to begin with where none is given, or None.
        batch_sizes: The rows of each step.
    """

    network: Network
    output: Shape
    states: tuple[Shape, ...]
    row: Shape
    state_rows: tuple[Shape, ...]
    zeros: tuple[Tensor, ...] | None
    batch_sizes: Tensor


def run_chained(
    chained: Chained, x: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The output, then the tensors of the last state.

    Args:
        chained: The network and its sizes.
        x: The input, contiguous.
        state: The tensors of the initial state, contiguous; none where they are zeros.
        weights: The weights of the network.
    """
    if chained.network.has_gradient:
        return apply(chained, len(state), x, *state, *weights)
    return _forward(chained, x, state, weights)[0]


def _forward(
    chained: Chained, x: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """The results, and what is kept for the backward pass."""
    network, dtype = chained.network, x.dtype
    output = _new(chained.output, dtype)
    block = _new((network.block_bytes,), torch.uint8) if network.block_bytes else None
    if state:
        last = [given.detach().clone() for given in state]
    else:
        last = [torch.zeros(shape, dtype=dtype, device="cpu") for shape in chained.states]
    begin = state or chained.zeros or ()
    tensors = (*begin, *last, *weights)
    network.forward(
        x.data_ptr(),
        output.data_ptr(),
        0 if block is None else block.data_ptr(),
        *map(Tensor.data_ptr, tensors),
    )
    return (output, *last), block


def _new(shape: Shape, dtype: torch.dtype) -> Tensor:
    """Memory that a chain writes; where reading it before is to show, it holds NaN."""
    made = torch.empty(shape, dtype=dtype, device="cpu")
    if SPOILS:
        made.fill_(255 if dtype == torch.uint8 else torch.nan)
    return made


class _Chained(torch.autograd.Function):
    """A network as one node."""

    @staticmethod
    def forward(ctx, chained, num_states, x, *tensors):  # type: ignore[no-untyped-def]
        state, weights = tensors[:num_states], tensors[num_states:]
        results, block = _forward(chained, x, state, weights)
        ctx.chained, ctx.num_states = chained, num_states
        ctx.save_for_backward(x, results[0], block, *tensors)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        x, output, block, *tensors = ctx.saved_tensors
        chained, num_states = ctx.chained, ctx.num_states
        if torch.is_grad_enabled() or not all(map(_is_ordinary, gradients)) or is_transformed():
            found = _differentiable(chained, num_states, x, tensors, gradients)
        else:
            found = _planned(chained, num_states, (x, output, block, tensors), gradients, ctx)
        return (None, None, *found)


apply: Any = super(torch.autograd.Function, _Chained).apply
"""Runs a network; `Function.apply` would look for transforms, which are none here."""


def _is_ordinary(gradient: Tensor | None) -> bool:
    """Whether a gradient is one, in memory that may be read."""
    return gradient is None or (
        type(gradient) is Tensor and gradient.device.type == "cpu" and not is_batched(gradient)
    )


def _planned(
    chained: Chained,
    num_states: int,
    saved: tuple[Tensor, Tensor, Tensor, Sequence[Tensor]],
    gradients: Sequence[Tensor | None],
    ctx: Any,
) -> list[Tensor | None]:
    """The gradients of the input, the initial state and the weights, by the backward chain."""
    x, output, block, tensors = saved
    network, dtype = chained.network, x.dtype
    begin, weights = tensors[:num_states] or chained.zeros or (), tensors[num_states:]
    of_output, *of_last = gradients
    seed = _contiguous(of_output, chained.output, dtype)
    of_state = [
        torch.zeros(shape, dtype=dtype, device="cpu")
        if gradient is None
        else gradient.clone(memory_format=torch.contiguous_format).resolve_neg()
        for gradient, shape in zip(of_last, chained.states, strict=True)
    ]
    needed = ctx.needs_input_grad[2:]
    of_x = _new(x.shape, dtype) if needed[0] else None
    of_weights = [
        _new(weight.shape, weight.dtype) if is_needed else None
        for weight, is_needed in zip(weights, needed[1 + num_states :], strict=True)
    ]
    addressed = (x, output, block, *begin, *of_state, *weights, seed, of_x, *of_weights)
    network.backward(*(0 if tensor is None else tensor.data_ptr() for tensor in addressed))
    given = [
        gradient if is_needed else None
        for gradient, is_needed in zip(of_state, needed[1 : 1 + num_states], strict=False)
    ]
    return [of_x, *given, *of_weights]


def _contiguous(gradient: Tensor | None, shape: Shape, dtype: torch.dtype) -> Tensor:
    """A gradient of the output as rows that follow each other."""
    if gradient is None:
        return torch.zeros(shape, dtype=dtype, device="cpu")
    return gradient.contiguous().resolve_neg()


def _differentiable(
    chained: Chained,
    num_states: int,
    x: Tensor,
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients that can be differentiated again, or batched."""
    state, weights = tensors[:num_states] or chained.zeros or (), tensors[num_states:]
    given = Given(weights, x, state, chained.batch_sizes, None, False, None)
    seeds = [
        torch.zeros(shape, dtype=x.dtype, device="cpu") if gradient is None else gradient
        for gradient, shape in zip(
            (*gradients[1:], gradients[0]), (*chained.states, chained.output), strict=True
        )
    ]
    of_weights, of_x, of_state = differentiable_gradients(
        lambda tensors: one_by_one(chained, tensors), given, seeds
    )
    return [of_x, *of_state[:num_states], *of_weights]


def one_by_one(chained: Chained, given: Given) -> tuple[list[Tensor], list[Tensor]]:
    """The output and the last state, by the programs of a network one after the other."""
    network, batch_sizes = chained.network, given.batch_sizes
    rows = given.x.reshape(network.num_packed, *chained.row)
    states = [
        tensor.reshape(len(network.units), network.num_rows, *row)
        for tensor, row in zip(given.state, chained.state_rows, strict=True)
    ]
    last: list[list[Tensor]] = []
    for layer in network.layers:
        outputs = []
        for unit in layer:
            parameters = [given.parameters[number] for number in unit.weights]
            state = [tensor[len(last)] for tensor in states]
            output, new = recurrence(
                unit.program, parameters, rows, state, batch_sizes, reverse=unit.reverse
            )
            outputs.append(output[0])
            last.append(new)
        rows = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
    stacked = [torch.stack(tensors) for tensors in zip(*last, strict=True)]
    of_shape = zip(stacked, chained.states, strict=True)
    return [rows.reshape(chained.output)], [tensor.reshape(shape) for tensor, shape in of_shape]
