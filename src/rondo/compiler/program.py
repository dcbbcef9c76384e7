"""A cell compiled for one kind of input: its plans, ready to run.

In go a cell and examples of its input and state, out comes a :class:`Program`. The steps from one
to the other are the pipeline of the compiler, on one page: trace, close the loops, plan;
differentiate, plan both halves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from rondo.compiler.cached import cached_property
from rondo.compiler.counting import Guard
from rondo.compiler.engines import Engine, EngineName, Reference, engine_for
from rondo.compiler.gradient import Gradient, differentiate
from rondo.compiler.graph import RecurrentGraph, close_loops, draws_random
from rondo.compiler.layouts import Mixed
from rondo.compiler.library import Library, library_of
from rondo.compiler.merge import Traced
from rondo.compiler.plan import Plan, plan
from rondo.compiler.probe import Trial
from rondo.compiler.record import TraceError
from rondo.compiler.state import TENSOR, Form
from rondo.compiler.trace import trace
from rondo.system.beside import Beside

T = TypeVar("T")

Reuse = Callable[[Traced, Callable[[Traced], "Program"]], "Program"]
"""Gives the program of a recording by what makes a new one of it."""


MADE_OF_A_PROGRAM = ("run", "run_forward", "run_backward", "library", "forward", "backward")
"""What a program makes when it is first wanted."""


@dataclass(frozen=True)
class Program:
    """The plans of a cell for one kind of input.

    Args:
        plan: The step alone, for prediction.
        captured: Constants of the step, and tensors that it read from outside; they follow the
            cell's own tensors.
        gradient: The forward and backward graph for training; None where no gradient is wanted, or
            nothing has one.
        engine: The engine that was asked for; see `engines.engine_for`.
        device: Where the tensors are.
        places: Where the output is among the outputs of the graph, then each state, where all
            states are wanted: a state that is the output, or another state, is there once.
        guards: What is taken for granted about the number of rows of a batch.
        asks_rows: Whether the step got the number of rows, so that it may do something else for
            some numbers; then it is compared with the plain loop for each new one.
        own_gradient: What the step says about gradients that its operations do not, or None. Then
            torch's derivative of the plan is not the step's.
        rows_apart: Whether each row was seen to depend on itself alone; then it does not matter
            that the plan cannot tell it of some operations.
        asked: For each of the cell's own tensors, whether its gradient was asked for.
        input_asked: Whether the gradient of the input was asked for.
        form: The form in which the step returns its state.
        cell: What errors call the cell.
        tell: Is called with the reason where the reference engine runs in place of a kernel.
    """

    plan: Plan
    captured: tuple[torch.Tensor, ...]
    gradient: Gradient | None
    engine: EngineName
    device: torch.device
    places: tuple[int, ...] = (0,)
    guards: tuple[Guard, ...] = ()
    asks_rows: bool = False
    own_gradient: str | None = None
    rows_apart: bool = False
    asked: tuple[bool, ...] = ()
    input_asked: bool = False
    form: Form = TENSOR
    cell: str = "this cell"
    tell: Callable[[str], None] = field(default=lambda reason: None, compare=False, repr=False)

    @cached_property
    def wanted(self) -> tuple[bool, ...]:
        """For each of the cell's tensors, then each captured one, whether it has a gradient."""
        names = () if self.gradient is None else self.gradient.parameters
        return tuple(value.name in names for value in self.graph.step.parameters)

    @cached_property
    def read(self) -> tuple[bool, ...]:
        """For each of the cell's tensors, then each captured one, whether the step reads it."""
        graphs = [self.graph.step]
        if self.gradient is not None:
            graphs += [self.gradient.forward.step, self.gradient.backward.step]
        names = {name for graph in graphs for name in graph.read}
        return tuple(value.name in names for value in self.graph.step.parameters)

    @cached_property
    def mixes_rows(self) -> str | None:
        """Why rows of the batch influence each other, or None."""
        return None if self.rows_apart else self.plan.mixes_rows

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
        return f"{random[0]} draws random numbers" if random else self.mixes_rows

    def with_captured(self, captured: Sequence[torch.Tensor]) -> Program:
        """The same program with other tensors for those that its step read from outside."""
        if all(a is b for a, b in zip(captured, self.captured, strict=True)):
            return self
        other = replace(self, captured=tuple(captured))
        made = {name: self.__dict__[name] for name in MADE_OF_A_PROGRAM if name in self.__dict__}
        other.__dict__.update(made)
        return other

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
        return self._engine(self.plan)

    @cached_property
    def run_forward(self) -> Engine:
        """Runs the forward pass over a batch."""
        return self._engine(self.forward)

    @cached_property
    def run_backward(self) -> Engine:
        """Runs the backward pass over a batch."""
        assert self.gradient is not None
        reads = zip(self.backward.step.inputs, self.gradient.reads, strict=True)
        previous = {value.name for value, (kind, _) in reads if kind == "previous"}
        return self._engine(self.backward, previous)

    def _engine(self, plan: Plan, previous: Collection[str] = ()) -> Engine:
        """What runs a plan; tells where it is not what was hoped for."""
        engine = engine_for(plan, self.engine, self.device, previous, self.cell)
        if isinstance(engine, Reference) and engine.reason is not None:
            self.tell(engine.reason)
        return engine

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
        return Beside(function).result_elsewhere()
    with temporarily_clear_interpreter_stack():
        return function()


def compile_step(
    cell: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    x: torch.Tensor,
    state: Any,
    *,
    instead: Mapping[str, torch.Tensor] | None = None,
    wanted: Sequence[bool],
    input_wanted: bool,
    engine: EngineName = "auto",
    return_states: bool = False,
    tell: Callable[[str], None] = lambda reason: None,
    reuse: Reuse = lambda traced, build: build(traced),
) -> Program:
    """Compile one step of a cell.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        tensors: The cell's tensors by name.
        x: An example input (B, ...).
        state: An example state.
        instead: What stands for some tensors, by name: of the types that they will have.
        wanted: For each tensor, whether its gradient is wanted.
        input_wanted: Whether the gradient of the input is wanted.
        engine: The engine that is to run it; see `engines.engine_for`.
        return_states: Whether the states of all steps are outputs too.
        tell: Is called with the reason where the reference engine runs in place of a kernel.
        reuse: Gives the program of a recording, a new one or one that there is.

    Raises:
        TraceError: Where the step is not one graph for all inputs, or mixes rows of the batch.
    """
    grad = torch.is_grad_enabled()

    def traced_with(wanted: Sequence[bool] | None) -> Traced:
        return trace(
            cell,
            tensors,
            x,
            state,
            instead=instead,
            wanted=wanted,
            input_wanted=input_wanted,
            states_are_outputs=return_states,
        )

    try:
        traced = apart(lambda: traced_with(wanted if grad else None))
    except TraceError:
        if grad:  # the step alone may say it better than its gradient
            step = apart(lambda: _without_gradient(lambda: traced_with(None)))
            if step is not None:
                _check_rows(plan(close_loops(step.graph)))
        raise

    def build(traced: Traced) -> Program:
        forward = plan(close_loops(traced.graph))
        rows_apart = forward.mixes_rows is not None and apart(
            lambda: Trial(cell, tensors, x, state, instead or {}).rows_are_apart(grad=grad)
        )
        if not rows_apart:
            _check_rows(forward)
        return Program(
            forward,
            traced.captured,
            differentiate(traced),
            engine,
            x.device,
            traced.ends.places,
            traced.guards,
            traced.asks_rows,
            traced.own_gradient,
            rows_apart,
            tuple(wanted),
            input_wanted,
            traced.form,
            type(cell).__name__,
            tell,
        )

    return reuse(traced, build)


def _without_gradient(traced: Callable[[], Traced]) -> Traced | None:
    """A step that is traced without its gradient; None where it fails, for another reason."""
    try:
        return traced()
    except Exception:
        return None


def _check_rows(forward: Plan) -> None:
    """Fail where rows of the batch influence each other."""
    if forward.mixes_rows is None:
        return
    mixed = (node for node in forward.step.nodes if isinstance(forward.layouts[node.name], Mixed))
    line = next((node.line for node in mixed if node.line), None)
    raise TraceError(
        f"mixes the rows of the batch: {forward.mixes_rows}",
        "reduce over features (dim=-1) if that is not meant",
        line,
    )
