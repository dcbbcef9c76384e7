"""A cell compiled for one kind of input: its plans, ready to run.

In go a cell and examples of its input and state, out comes a :class:`Program`. The steps from one
to the other are the pipeline of the compiler, on one page: trace, close the loops, plan;
differentiate, plan both halves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from rondo.compiler.engines import Engine, EngineName, engine_for
from rondo.compiler.gradient import Gradient, differentiate
from rondo.compiler.graph import RecurrentGraph, close_loops, draws_random
from rondo.compiler.library import Library, library_of
from rondo.compiler.plan import Plan, plan
from rondo.compiler.trace import trace

T = TypeVar("T")


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
        places: Where the output is among the outputs of the graph, then each state, where all
            states are wanted: a state that is the output, or another state, is there once.
    """

    plan: Plan
    captured: tuple[torch.Tensor, ...]
    gradient: Gradient | None
    wanted: tuple[bool, ...]
    input_wanted: bool
    engine: EngineName
    device: torch.device
    places: tuple[int, ...] = (0,)

    @property
    def graph(self) -> RecurrentGraph:
        """The cell as a graph with loops."""
        return self.plan.graph

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs of the forward pass, without what it keeps for the backward pass."""
        return self.forward.step.outputs[: len(self.graph.step.outputs)]

    @cached_property
    def runs_once(self) -> str | None:
        """Why running some steps again would not give the same; None where it would."""
        random = [node.op_name for node in self.graph.step.nodes if draws_random(node)]
        return f"{random[0]} draws random numbers" if random else self.plan.mixes_rows

    @cached_property
    def forward(self) -> Plan:
        """The forward pass; where there is a gradient, it saves what the backward pass reads."""
        return self.plan if self.gradient is None else plan(self.gradient.forward)

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
        assert self.gradient is not None
        reads = zip(self.backward.step.inputs, self.gradient.reads, strict=True)
        previous = {value.name for value, (kind, _) in reads if kind == "previous"}
        return engine_for(self.backward, self.engine, self.device, previous)

    @cached_property
    def library(self) -> Library | None:
        """Torch's own kernel for the cell, where it is to be taken and there is one."""
        is_asked_for = self.engine == "auto" and self.places == (0,) and not self.captured
        return apart(lambda: library_of(self.plan, self.device)) if is_asked_for else None

    @cached_property
    def key(self) -> str:
        """A name that is the same for programs that do the same."""
        graphs = [self.graph]
        if self.gradient is not None:
            graphs += [self.gradient.forward, self.gradient.backward]
        return "-".join([str(self.engine), str(self.device), *(graph.digest for graph in graphs)])


def apart(function: Callable[[], T]) -> T:
    """Call a function where no transform, no trace and no hook of torch looks on.

    Transforms are `vmap` and its like; hooks on saved tensors are what `torch.utils.checkpoint` is
    made of.
    """
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    if torch.compiler.is_compiling() or hooks is not None:  # a new thread has none of them
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(function).result()
    with temporarily_clear_interpreter_stack():
        return function()


def compile_step(
    cell: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    x: torch.Tensor,
    state: Any,
    *,
    wanted: Sequence[bool],
    input_wanted: bool,
    engine: EngineName = "auto",
    return_states: bool = False,
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
        return_states: Whether the states of all steps are outputs too.
    """
    traced = apart(lambda: trace(cell, tensors, x, state))
    step = traced.graph
    ends = (*step.outputs, *(step.next_state if return_states else ()))
    step = replace(step, outputs=tuple(dict.fromkeys(ends)))
    forward = plan(close_loops(step))
    gradient = None
    if forward.mixes_rows is None and (input_wanted or any(wanted) or torch.is_grad_enabled()):
        own = step.parameters[: len(tensors)]
        parameters = [value.name for value, keep in zip(own, wanted, strict=True) if keep]
        inputs, device = ["x"] if input_wanted else [], x.device
        gradient = apart(
            lambda: differentiate(
                forward.graph, inputs=inputs, parameters=parameters, device=device
            )
        )
    return Program(
        forward,
        traced.captured,
        gradient,
        tuple(wanted),
        input_wanted,
        engine,
        x.device,
        tuple(step.outputs.index(end) for end in ends),
    )
