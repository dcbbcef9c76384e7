"""The backward pass of a step as a recurrent graph of its own.

In goes a traced step with its gradient, out comes a :class:`Gradient`: the forward graph, which now
also gives the values that the backward pass reads, and the backward graph. The backward graph runs
from the last step to the first; its state is the gradient of the state, its outputs are the
gradients of the inputs, and its sums are the gradients of the parameters. It was recorded while
autograd went back through the eager step (`record_step.py`), never made from formulas written for a
cell, and it is planned by the same rule as the forward graph.

What the backward pass reads of the forward pass is saved, or computed again where that is cheap
(`saving.py`); computing again depends on no gradient, so the plan puts it *before* the backward
loop, for all steps together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rondo.compiler.graph import RecurrentGraph, StepGraph, Value, close_loops, live_nodes
from rondo.compiler.merge import Ends, Traced
from rondo.compiler.saving import saved_values
from rondo.compiler.simplify import rename


@dataclass(frozen=True)
class Gradient:
    """A step that can be trained: forward and backward graph.

    Args:
        forward: The step, giving the output, then the values that the backward graph reads.
        backward: Its inputs are `reads`; its states the gradients of `states`; its outputs the
            gradient of each of `inputs`; its sums the gradient of each of `parameters`.
        reads: Where each input of the backward graph comes from: ("input", name),
            ("previous", index of the state), ("saved", name in the forward graph) or
            ("gradient", index of the output).
        states: The numbers of the states that have gradients.
        inputs: The inputs of the step whose gradients are given.
        parameters: The parameters of the step whose gradients are given.
        differentiable: For each output, then each next state, whether it has a gradient.
    """

    forward: RecurrentGraph
    backward: RecurrentGraph
    reads: tuple[tuple[str, str | int], ...]
    states: tuple[int, ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    differentiable: tuple[bool, ...]


def differentiate(traced: Traced) -> Gradient | None:
    """The forward and the backward graph of a step; None where no gradient was recorded.

    Raises:
        TraceError: Where the backward pass reads a value that cannot be kept for all steps.
    """
    if traced.joint is None:
        return None
    side = _gradient_side(traced.joint, traced.ends)
    saved = saved_values(traced.joint, traced.graph, side)
    return _split(traced, traced.joint, saved)


def _gradient_side(joint: StepGraph, ends: Ends) -> set[str]:
    """The values that depend on a gradient."""
    side = {name for _, name in ends.cotangents} | {value.name for value in joint.state}
    for node in joint.nodes:
        if not side.isdisjoint(node.reads):
            side.add(node.name)
    return side


# ---- two graphs out of the joint one ----


def _split(traced: Traced, joint: StepGraph, saved: list[str]) -> Gradient:
    step, ends = traced.graph, traced.ends
    num_outputs, num_states = len(step.outputs), len(step.state)
    outputs = joint.outputs[:num_outputs]
    next_state = joint.outputs[num_outputs : num_outputs + num_states]
    backward = _backward(joint, saved, joint.outputs[num_outputs + num_states :])
    pairs = zip((*ends.inputs, *ends.parameters), (*backward.outputs, *backward.sums), strict=True)
    backward = rename(backward, {end: f"grad_{name}" for name, end in pairs})
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
        tuple(_source(value.name, step, ends) for value in backward.inputs),
        ends.states,
        ends.inputs,
        ends.parameters,
        ends.differentiable,
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


def _source(name: str, step: StepGraph, ends: Ends) -> tuple[str, str | int]:
    states = [value.name for value in step.state]
    if name in states:
        return "previous", states.index(name)
    if name in {value.name for value in step.inputs}:
        return "input", name
    numbers = {cotangent: number for number, cotangent in ends.cotangents}
    return ("gradient", numbers[name]) if name in numbers else ("saved", name)
