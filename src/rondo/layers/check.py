"""`check`: what becomes of a cell, in a few lines: is it right, and what runs it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells import initial_state
from rondo.compiler import (
    CompiledLoop,
    Engine,
    EngineName,
    KernelEngine,
    Parallel,
    Program,
    SeveralLoops,
    TraceError,
)
from rondo.compiler.changes import unchanged
from rondo.compiler.check import Comparison
from rondo.compiler.plain import PlainLoop
from rondo.compiler.record_step import apart_from_the_caller, has_gradient
from rondo.compiler.reference import Steps
from rondo.compiler.signals import pass_on
from rondo.compiler.state import flatten
from rondo.layers.call import Call, held_by
from rondo.layers.checks import check_engine, check_state
from rondo.layers.making import compare_call, compile_call, failure
from rondo.layers.sequence import dense


@dataclass(frozen=True)
class Report:
    """What runs a cell, and whether it is right: readable text, and true if the cell is right.

    Args:
        cell: The name of the cell's class.
        engine: What runs the loop forward: "cpu", "cuda", "parallel", "reference" or "plain".
        backward_engine: What runs it backward, or None if nothing has a gradient.
        reason: Why no kernel runs it, or None.
        comparison: What the comparison with the plain loop found; None: it is the plain loop.
        rows_apart: Whether every row of a batch depends on itself alone; None: not known.
    """

    cell: str
    engine: str
    backward_engine: str | None
    reason: str | None
    comparison: Comparison | None
    rows_apart: bool | None

    def __bool__(self) -> bool:
        return self.comparison is None or not self.comparison.differences

    def __str__(self) -> str:
        lines = [("equal to the plain loop", self._equality())]
        lines.append(("batch rows independent", _ROWS[self.rows_apart]))
        lines.append(("engine, forward", _ENGINES[self.engine]))
        if self.backward_engine is not None:
            lines.append(("engine, backward", _ENGINES[self.backward_engine]))
        if self.reason is not None:
            lines.append(("no kernel because", self.reason))
        return "\n".join([self.cell, *(f"  {name:<25}{value}" for name, value in lines)])

    def __repr__(self) -> str:
        return str(self)

    def _equality(self) -> str:
        found = self.comparison
        if found is None:
            return "yes: the plain loop runs it"
        if found.skipped is not None:
            return f"not known: {found.skipped}"
        if found.differences:
            return f"NO: {'; '.join(map(str, found.differences))}"
        digits = 16 if found.largest == 0 else max(0, math.floor(-math.log10(found.largest)))
        return f"yes, to {digits} digits (outputs, last state, all gradients)"


_ROWS = {True: "yes", False: "no", None: "not known: the step fails in the test"}
_ENGINES = {
    "cpu": "a kernel, compiled for the CPU",
    "cuda": "a kernel, compiled for the GPU",
    "library": "torch's own kernel",
    "parallel": "all steps at once (parallel)",
    "reference": "torch operations (reference)",
    "plain": "the cell as it is, step by step (plain)",
}


def check(cell: nn.Module, x: Tensor, state: Any = None, *, engine: EngineName = "auto") -> Report:
    """Check a cell: whether its layer gives what a plain loop gives, and what runs it.

    The cell is compiled for this kind of input and compared with a Python loop over its steps, for
    two batch sizes, three steps, random input and state: outputs, last state and the gradients
    of all tensors that require one. The cell is not changed.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        x: Sequences (B, T, ...) like those that the layer will get.
        state: The state before the first step, (B, ...); default the cell's initial state.
        engine: The engine to run it; see :class:`rondo.Recurrent`.

    Returns:
        A report, to print.

    Raises:
        ValueError: Where x is not (B, T, ...).
        TypeError: Where the cell is no module, or has no initial state.
        Exception: What the cell raises where it does not run on this input.

    Example:
        >>> import torch, rondo
        >>> report = rondo.check(rondo.GRUCell(3, 5), torch.randn(2, 7, 3))
        >>> bool(report), report.engine
        (True, 'cpu')
        >>> print(report)  # doctest: +ELLIPSIS
        GRUCell
          equal to the plain loop  yes, to ... digits (outputs, last state, all gradients)
          batch rows independent   yes
          engine, forward          a kernel, compiled for the CPU
          engine, backward         a kernel, compiled for the CPU
    """
    if not isinstance(cell, nn.Module):
        raise TypeError(f"cell must be a module, an instance and no class, got {cell!r}")
    if not isinstance(x, Tensor) or x.ndim < 2:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x must be a batch of sequences (B, T, ...), got {got}")
    check_engine(engine)
    batch_size, num_steps = x.shape[:2]
    rows = x.detach().transpose(0, 1).flatten(0, 1).requires_grad_(has_gradient(x))
    example = x.new_zeros(batch_size, *x.shape[2:])
    leaves, form = flatten(initial_state(cell, example) if state is None else state)
    check_state(leaves, batch_size)
    held, packing = held_by(cell), dense(batch_size, num_steps)
    with torch.enable_grad():
        call = Call(cell, held, rows, leaves, form, packing, engine, None, False, None, False)
        if engine == "plain":
            return _of_plain_loop(call, None)
        try:
            program = compile_call(call, lambda reason: None)
        except TraceError as reason:
            if reason.__cause__ is not None:
                _run_one_step(call)  # which may say better why it fails
            return _of_plain_loop(call, str(reason))
        except Exception as error:
            return _of_plain_loop(call, str(failure(cell, error)))
        return _of_program(call, program)


def _run_one_step(call: Call) -> None:
    """Run a step of a cell as it is."""
    rows, leaves = call.rows[: call.num_rows].detach(), [leaf.detach() for leaf in call.leaves]
    loop = PlainLoop(call.cell, Steps((len(rows),)))
    with apart_from_the_caller(rows.device, grad=True), unchanged(call.cell):
        loop(rows.requires_grad_(has_gradient(rows)), leaves, call.form)


def _of_plain_loop(call: Call, reason: str | None) -> Report:
    try:
        are_apart = call.trial().rows_are_apart()
    except Exception as error:  # the step may not run on copies of its tensors
        pass_on(error)
        are_apart = None
    return Report(type(call.cell).__name__, "plain", None, reason, None, are_apart)


def _of_program(call: Call, program: Program) -> Report:
    found = compare_call(call, program)
    has_backward = program.gradient is not None
    engines = [program.run_forward, program.run_backward] if has_backward else [program.run]
    names = ["library" if program.library is not None else _name_of(engine) for engine in engines]
    reasons = [getattr(engine, "reason", None) for engine in engines]
    return Report(
        type(call.cell).__name__,
        names[0],
        names[1] if has_backward else None,
        next((reason for reason in reasons if reason is not None), None),
        found,
        True,
    )


def _name_of(engine: Engine) -> str:
    if isinstance(engine, Parallel):
        return "parallel"
    if not isinstance(engine, KernelEngine):
        return "reference"
    return "cpu" if isinstance(engine, CompiledLoop | SeveralLoops) else "cuda"
