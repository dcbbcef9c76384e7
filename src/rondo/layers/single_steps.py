"""Single steps of a cell by a kernel, outside of training: `layer.step(x)` and streams.

In go the programs of a layer with an input and a state, out comes one step whose weights stay
packed, or None, where the cell is to run itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rondo.compiler import CompiledLoop, EngineName, SeveralLoops
from rondo.compiler.advancing import Advancer
from rondo.compiler.attributes import surroundings
from rondo.compiler.state import flatten
from rondo.compiler.stepping import Stepper
from rondo.layers.call import Call, held_by, is_plain, leaves_of
from rondo.layers.making import Fallback
from rondo.layers.sequence import Packing

if TYPE_CHECKING:
    from rondo.layers.compiled import Programs


def step(
    programs: Programs, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
) -> tuple[Tensor, Any] | None:
    """One step by a kernel whose weights stay packed; None where the cell is to run itself."""
    leaves = leaves_of(state)
    if leaves is None or torch.is_grad_enabled() or not is_plain(x, leaves):
        return None
    found = surroundings(cell)
    key = [*found.key, engine, type(state)]
    for tensor in (x, *leaves):
        key += (tensor.shape, tensor.dtype)
    for known in found.tensors.values():
        key.append(id(known))
    last_key, stepper = programs.stepping  # both at once: another thread may change them
    if key != last_key or (stepper is not None and not stepper.is_current()):
        stepper = _new_stepper(programs, cell, x, state, engine)
        programs.stepping = key, stepper
    if stepper is None:
        return None
    output, new = stepper(x, leaves)
    return output, new[0] if isinstance(state, Tensor) else tuple(new)


def new_advancer(
    programs: Programs, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
) -> Advancer | None:
    """A kernel for the steps of a stream from a state on; None where the cell is to run itself."""
    found = _loop(programs, cell, x, state, engine)
    return None if found is None else Advancer(*found, x, flatten(state)[0])


def _new_stepper(
    programs: Programs, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
) -> Stepper | None:
    found = _loop(programs, cell, x, state, engine)
    return None if found is None else Stepper(*found, x, flatten(state)[0])


def _loop(
    programs: Programs, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
) -> tuple[CompiledLoop, list[Tensor]] | None:
    """The kernel of a cell, and the tensors that it reads beside an input and a state."""
    leaves, form = flatten(state)
    held = held_by(cell)
    one = Packing(torch.tensor([len(x)], device="cpu"))
    call = Call(cell, held, x, leaves, form, one, engine, None, False, None, False)
    program = programs.program(call)
    if isinstance(program, Fallback) or not all(g.holds(len(x)) for g in program.guards):
        return None
    loop = program.run.whole if isinstance(program.run, SeveralLoops) else program.run
    if not isinstance(loop, CompiledLoop) or not Stepper.covers(loop) or program.form != form:
        return None
    return loop, [*held.given.values(), *program.captured]
