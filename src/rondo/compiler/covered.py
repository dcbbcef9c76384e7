"""What kernels must do to run a network alone: all of each pass, on memory that they are given.

In go programs and engines, out come the kernels, or an error that says what is left to others.
"""

from __future__ import annotations

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import Engine
from rondo.compiler.program import Program


class NotChainedError(Exception):
    """A network that kernels do not run alone, and why."""


def check_program(program: Program) -> None:
    """Fail where more must be known of a call than its sizes."""
    require(not program.captured and program.library is None, "a loop without a kernel of its own")
    require(
        not program.guards and not program.asks_rows, "a step that asks how many rows there are"
    )
    require(all(program.read), "a weight that is not read")
    if program.gradient is not None:
        require(program.own_gradient is None, "a step with a gradient of its own")
        require(all(program.gradient.differentiable), "a result without a gradient")


def covered(engine: Engine) -> CompiledLoop:
    """A kernel that does all of a pass itself, on memory that it is given."""
    if not isinstance(engine, CompiledLoop):
        raise NotChainedError("an engine without a kernel")
    kernel = engine.kernel
    require(kernel.stored == kernel.dtype, "numbers of two types")
    by_torch = kernel.before or kernel.after or engine.copied or engine.constants
    require(not by_torch, "a part that torch computes")
    require(len(engine.plan.step.state) == len(kernel.at("state")), "a state that is not kept")
    return engine


def require(holds: bool, otherwise: str) -> None:
    """Fail, with what is left to others, where something does not hold."""
    if not holds:
        raise NotChainedError(otherwise)
