"""The backward pass of a step as a recurrent graph of its own.

In goes a recurrent graph, out comes a :class:`Gradient`: the forward graph, which now also gives
the values that the backward pass reads, and the backward graph. The backward graph runs from the
last step to the first; its state is the gradient of the state, its outputs are the gradients of
the inputs, and its sums are the gradients of the parameters. It comes from tracing
`torch.func.vjp` of the step, never from formulas written for a cell, and it is planned by the same
rule as the forward graph.

What the backward pass reads of the forward pass is saved, or computed again where that is cheap
(arithmetic and views); computing again depends on no gradient, so the plan puts it *before* the
backward loop, for all steps together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rondo.compiler.graph import (
    RecurrentGraph,
    StepGraph,
    Value,
    close_loops,
    counts_truths,
    live_nodes,
)
from rondo.compiler.interpret import evaluate
from rondo.compiler.layouts import SHARED
from rondo.compiler.rows import row_layouts
from rondo.compiler.simplify import rename
from rondo.compiler.trace import Traced, example_of, trace_function

aten = torch.ops.aten

# Operations that are cheaper to do again than to keep the result of for every step.
CHEAP = {
    *(aten.add, aten.sub, aten.mul, aten.neg, aten.rsub, aten._to_copy),
    *(aten.t, aten.transpose, aten.permute, aten.view, aten._unsafe_view, aten.expand),
    *(aten.unsqueeze, aten.squeeze, aten.slice, aten.select, aten.detach),
    *(aten.zeros_like, aten.ones_like, aten.full_like, aten.full, aten.zeros, aten.ones),
}

# Backward operations that are taken apart into arithmetic and sums within a row.
DECOMPOSED = [
    *(aten.tanh_backward, aten.sigmoid_backward, aten.threshold_backward, aten.gelu_backward),
    *(aten.silu_backward, aten.softplus_backward, aten.elu_backward, aten.hardtanh_backward),
    *(aten.leaky_relu_backward, aten.hardsigmoid_backward, aten.hardswish_backward),
    *(aten._softmax_backward_data, aten._log_softmax_backward_data),
    *(aten.native_layer_norm, aten.native_layer_norm_backward, aten.native_dropout_backward),
    *(aten.slice_backward, aten.select_backward, aten.logit_backward, aten.mish_backward),
]


CONVOLUTION_BACKWARD = aten.convolution_backward.default


@dataclass(frozen=True)
class Gradient:
    """A step that can be trained: forward and backward graph.

    Args:
        forward: The step, giving the output, then the values that the backward graph reads.
        backward: Its inputs are `reads`; its outputs the gradient of each of `inputs`; its sums
            the gradient of each of `parameters`.
        reads: Where each input of the backward graph comes from: ("input", name),
            ("previous", index of the state), ("saved", name in the forward graph) or
            ("gradient", index of the output).
        inputs: The inputs of the step whose gradients are given.
        parameters: The parameters of the step whose gradients are given.
        captured: Constants of the backward graph, after the parameters of the step.
    """

    forward: RecurrentGraph
    backward: RecurrentGraph
    reads: tuple[tuple[str, str | int], ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    captured: tuple[torch.Tensor, ...]


def differentiate(
    graph: RecurrentGraph,
    *,
    inputs: Sequence[str],
    parameters: Sequence[str],
    device: torch.device | str = "cpu",
) -> Gradient:
    """The forward and the backward graph of a step.

    Args:
        graph: A recurrent graph whose rows do not mix.
        inputs: The names of the inputs whose gradients are wanted.
        parameters: The names of the parameters whose gradients are wanted.
        device: The device that the step creates its tensors on.
    """
    joint, captured = _trace_joint(graph, inputs, parameters, device)
    saved = _saved(joint, _gradient_side(joint))
    return _split(graph, joint, saved, tuple(inputs), tuple(parameters), captured)


# ---- the joint graph: the step and its vector-Jacobian product in one ----


def _trace_joint(
    graph: RecurrentGraph, inputs: Sequence[str], parameters: Sequence[str], device: object
) -> tuple[StepGraph, tuple[torch.Tensor, ...]]:
    from torch._decomp import get_decompositions  # slow to load, and only training needs it

    step = graph.step
    given = [*step.inputs, *step.state]
    wanted = [*parameters, *inputs, *(value.name for value in step.state)]
    num_outputs = len(step.outputs)

    names = [value.name for value in (*step.parameters, *given)]

    def joint(weights: Sequence[torch.Tensor], *rest: Any) -> list[torch.Tensor]:
        values, cotangents = rest[: len(given)], rest[len(given) : -1]
        point = dict(zip(names, (*weights, *values), strict=True))
        outputs, pull = torch.func.vjp(  # type: ignore[misc]
            lambda *moving: _run_step(step, {**point, **dict(zip(wanted, moving, strict=True))}),
            *(point[name] for name in wanted),
        )
        gradients = pull([*cotangents, *rest[-1]])
        num_sums, num_inputs = len(parameters), len(inputs)
        of_state = gradients[num_sums + num_inputs :]
        of_inputs = gradients[num_sums : num_sums + num_inputs]
        return [*outputs, *of_inputs, *of_state, *gradients[:num_sums]]

    outputs = [step.by_name[name] for name in step.outputs]
    next_state = [step.by_name[name] for name in step.next_state]
    traced: Traced = trace_function(
        joint,
        [(value.name, example_of(value, device)) for value in step.parameters],
        [
            *((value.name, example_of(value, device)) for value in given),
            *((_gradient_name(i), example_of(o, device)) for i, o in enumerate(outputs)),
        ],
        [
            (f"grad_{value.name}", example_of(new, device))
            for value, new in zip(step.state, next_state, strict=True)
        ],
        num_outputs=num_outputs + len(next_state) + len(inputs),
        decompositions={**get_decompositions(DECOMPOSED), CONVOLUTION_BACKWARD: in_two},
    )
    return traced.graph, traced.captured


def in_two(gradient: torch.Tensor, *rest: Any) -> Any:
    """The backward pass of a convolution as two operations: to its input, and to its weights.

    The gradient of a state goes through the first at every step; the second then leaves the loop.
    """
    *arguments, (to_input, to_weight, to_bias) = rest
    if not to_input or not (to_weight or to_bias):
        return NotImplemented
    of_input, _, _ = CONVOLUTION_BACKWARD(gradient, *arguments, [True, False, False])
    _, *of_weights = CONVOLUTION_BACKWARD(gradient, *arguments, [False, to_weight, to_bias])
    return of_input, *of_weights


def _gradient_name(output: int) -> str:
    return f"grad_of_output_{output}" if output else "grad_output"


def _run_step(step: StepGraph, values: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    num_rows = values[step.state[0].name].shape[0] if step.state else values["x"].shape[0]
    evaluate(step.nodes, values, num_rows)
    return [values[name] for name in (*step.outputs, *step.next_state)]


# ---- what to save ----


def _gradient_side(joint: StepGraph) -> set[str]:
    """The values that depend on a gradient."""
    side = {v.name for v in joint.arguments() if v.name.startswith("grad_")}
    for node in joint.nodes:
        if not side.isdisjoint(node.reads):
            side.add(node.name)
    return side


def _saved(joint: StepGraph, gradient_side: set[str]) -> list[str]:
    """The forward values that the backward graph gets, rather than computing them again."""
    layouts, known = row_layouts(joint), joint.by_name
    given = {value.name for value in joint.arguments()}
    read = {
        name
        for node in joint.nodes
        if node.name in gradient_side
        for name in node.reads
        if name not in gradient_side
    }
    kept: list[str] = []
    again = set(given)
    for node in joint.nodes:
        if node.name in gradient_side:
            continue
        if node.name in joint.outputs:  # it is there anyway
            kept.append(node.name)
            again.add(node.name)
            continue
        cheap = node.packet in CHEAP or counts_truths(node, known)
        cheap = cheap and again.issuperset(node.reads)
        if layouts[node.name] == SHARED or cheap:
            again.add(node.name)
        elif node.name in read:
            kept.append(node.name)
            again.add(node.name)
    return kept


# ---- two graphs out of the joint one ----


def _split(
    graph: RecurrentGraph,
    joint: StepGraph,
    saved: list[str],
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
    captured: tuple[torch.Tensor, ...],
) -> Gradient:
    step = graph.step
    num_outputs, num_states = len(step.outputs), len(step.state)
    outputs = joint.outputs[:num_outputs]
    next_state = joint.outputs[num_outputs : num_outputs + num_states]
    backward = _backward(joint, saved, joint.outputs[num_outputs + num_states :])
    ends = zip((*inputs, *parameters), (*backward.outputs, *backward.sums), strict=True)
    backward = rename(backward, {end: f"grad_{name}" for name, end in ends})
    read = {value.name for value in backward.inputs}
    previous = [
        new for value, new in zip(step.state, next_state, strict=True) if value.name in read
    ]
    kept = list(dict.fromkeys([*outputs, *previous, *(name for name in saved if name in read)]))
    forward = replace(
        joint,
        inputs=step.inputs,
        state=step.state,
        nodes=live_nodes(joint.nodes, (*kept, *next_state)),
        outputs=(*outputs, *(name for name in kept if name not in outputs)),
        next_state=next_state,
        sums=(),
    )
    return Gradient(
        close_loops(forward),
        close_loops(backward),
        tuple(_source(value.name, step) for value in backward.inputs),
        inputs,
        parameters,
        captured,
    )


def _backward(joint: StepGraph, saved: list[str], outputs: tuple[str, ...]) -> StepGraph:
    """The joint graph from the saved values on, without the inputs that it does not read."""
    kept = [Value(n.name, n.shape or (), n.dtype) for n in joint.nodes if n.name in saved]  # type: ignore[arg-type]
    rest = tuple(node for node in joint.nodes if node.name not in saved)
    nodes = live_nodes(rest, (*outputs, *joint.next_state, *joint.sums))
    read = {name for node in nodes for name in node.reads}
    read.update(outputs, joint.next_state, joint.sums)
    return StepGraph(
        joint.parameters,
        tuple(value for value in (*joint.inputs, *kept) if value.name in read),
        joint.state,
        nodes,
        outputs,
        joint.next_state,
        joint.sums,
    )


def _source(name: str, step: StepGraph) -> tuple[str, str | int]:
    states = [value.name for value in step.state]
    if name in states:
        return "previous", states.index(name)
    if name in {value.name for value in step.inputs}:
        return "input", name
    gradients = [_gradient_name(index) for index in range(len(step.outputs))]
    return ("gradient", gradients.index(name)) if name in gradients else ("saved", name)
