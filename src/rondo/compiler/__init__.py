"""From a cell to a program: trace, close the loops, plan, differentiate, run."""

from rondo.compiler.check import checking
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import (
    ENGINES,
    Engine,
    EngineName,
    KernelEngine,
    is_parallel,
)
from rondo.compiler.gradient import Gradient, differentiate
from rondo.compiler.graph import Loop, Node, RecurrentGraph, StepGraph, close_loops
from rondo.compiler.operators import recurrence
from rondo.compiler.parallel import Newton, Parallel, Solution
from rondo.compiler.plan import Plan, plan
from rondo.compiler.program import Program, apart, compile_step
from rondo.compiler.record import TraceError
from rondo.compiler.reference import EngineWarning
from rondo.compiler.several_loops import SeveralLoops
from rondo.compiler.trace import trace
from rondo.compiler.unroll import UnrolledGraph, unroll

__all__ = [
    "ENGINES",
    "CompiledLoop",
    "Engine",
    "EngineName",
    "EngineWarning",
    "Gradient",
    "KernelEngine",
    "Loop",
    "Newton",
    "Node",
    "Parallel",
    "Plan",
    "Program",
    "RecurrentGraph",
    "SeveralLoops",
    "Solution",
    "StepGraph",
    "TraceError",
    "UnrolledGraph",
    "apart",
    "checking",
    "close_loops",
    "compile_step",
    "differentiate",
    "is_parallel",
    "plan",
    "recurrence",
    "trace",
    "unroll",
]
