"""A cell compiled for one kind of input: its plans, ready to run.

In go a cell and examples of its input and state, out comes a :class:`Program`. The steps from one
to the other are the pipeline of the compiler, on one page: trace, close the loops, plan;
differentiate, plan both halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from rondo.compiler.engines import Engine, engine_for
from rondo.compiler.gradient import Gradient, differentiate
from rondo.compiler.graph import RecurrentGraph, close_loops
from rondo.compiler.plan import Plan, plan
from rondo.compiler.rows import draws_random
from rondo.compiler.trace import trace


@dataclass(frozen=True)
class Program:
    """The plans of a cell for one kind of input.

    Args:
        plan: The step alone, for prediction.
        captured: Constants of the step, after the cell's own tensors.
        gradient: The forward and backward graph for training; None where rows of the batch mix
            (then the reference engine runs `plan` under autograd) or no gradient is wanted.
        wanted: For each of the cell's own tensors, whether its gradient is wanted.
        input_wanted: Whether the gradient of the input is wanted.
        engine: The engine that was asked for; see `engines.engine_for`.
        device: Where the tensors are.
    """

    plan: Plan
    captured: tuple[torch.Tensor, ...]
    gradient: Gradient | None
    wanted: tuple[bool, ...]
    input_wanted: bool
    engine: str
    device: torch.device

    @property
    def graph(self) -> RecurrentGraph:
        """The cell as a graph with loops."""
        return self.plan.graph

    @cached_property
    def runs_once(self) -> str | None:
        """Why running some steps again would not give the same; None where it would."""
        random = [node.op_name for node in self.graph.step.nodes if draws_random(node)]
        return f"{random[0]} draws random numbers" if random else self.plan.mixes_rows

    @cached_property
    def forward(self) -> Plan:
        """The forward pass that saves what the backward pass reads."""
        assert self.gradient is not None
        return plan(self.gradient.forward)

    @cached_property
    def backward(self) -> Plan:
        """The backward pass."""
        assert self.gradient is not None
        return plan(self.gradient.backward)

    @cached_property
    def run(self) -> Engine:
        """Runs the step alone over a batch."""
        return engine_for(self.plan, self.engine, self.device)

    @cached_property
    def run_forward(self) -> Engine:
        """Runs the forward pass over a batch."""
        return engine_for(self.forward, self.engine, self.device)

    @cached_property
    def run_backward(self) -> Engine:
        """Runs the backward pass over a batch."""
        return engine_for(self.backward, self.engine, self.device)

    @cached_property
    def key(self) -> str:
        """A name that is the same for programs that do the same."""
        graphs = [self.graph]
        if self.gradient is not None:
            graphs += [self.gradient.forward, self.gradient.backward]
        return "-".join([self.engine, str(self.device), *(graph.digest for graph in graphs)])


def compile_step(
    cell: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    x: torch.Tensor,
    state: Any,
    *,
    wanted: Sequence[bool],
    input_wanted: bool,
    engine: str = "auto",
) -> Program:
    """Compile one step of a cell.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        tensors: The cell's parameters and buffers by name, with the dtypes that they will have.
        x: An example input (B, ...).
        state: An example state.
        wanted: For each parameter, then buffer, whether its gradient is wanted.
        input_wanted: Whether the gradient of the input is wanted.
        engine: The engine that is to run it; see `engines.engine_for`.
    """
    with temporarily_clear_interpreter_stack():  # vmap and its like do not look at the trace
        traced = trace(cell, tensors, x, state)
        forward = plan(close_loops(traced.graph))
        gradient = None
        if forward.mixes_rows is None and (input_wanted or any(wanted) or torch.is_grad_enabled()):
            own = traced.graph.parameters[: len(tensors)]
            gradient = differentiate(
                forward.graph,
                inputs=["x"] if input_wanted else [],
                parameters=[value.name for value, keep in zip(own, wanted, strict=True) if keep],
                device=x.device,
            )
    return Program(
        forward, traced.captured, gradient, tuple(wanted), input_wanted, engine, x.device
    )
