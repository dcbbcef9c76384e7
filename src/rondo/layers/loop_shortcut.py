"""A call of `Recurrent` that was seen before: one look-up, one node of autograd's, one call of C.

In go a layer, its input and its state, out comes the result, or None where the call goes the long
way; see `shortcut.py`. What the cell holds is looked through at every call, as on the long way, so
a changed attribute is noticed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rondo.cells import initial_state
from rondo.compiler.attributes import Surroundings, surroundings
from rondo.compiler.covered import NotChainedError
from rondo.compiler.network import Network, Unit
from rondo.compiler.program import Program
from rondo.compiler.state import Form, flatten
from rondo.layers.call import Call, Held
from rondo.layers.remembered import Remembered, are_plain, circumstances, is_unseen, remembered
from rondo.layers.sequence import dense

if TYPE_CHECKING:
    from rondo.layers.recurrent import Recurrent


class Seen(NamedTuple):
    """What a call is found by.

    Args:
        key: What it is found by.
        held: What the cell holds.
        state: The state to begin with, once it is known.
    """

    key: tuple[Any, ...]
    held: Surroundings
    state: Any = None


def key_of(layer: Recurrent, x: Any, state: Any) -> Seen | None:
    """What a call is found by; None if it is never remembered."""
    if layer.engine != "auto" or layer.checkpoint_every is not None or not is_unseen(x):
        return None
    if x.dim() < 3 or x.layout != torch.strided:
        return None
    held = surroundings(layer.cell)
    how = layer.batch_first, layer.reverse, circumstances()
    key = x.shape, x.dtype, x.requires_grad, state is None, *how, *held.key
    return Seen(key, held, state)


def recall(layer: Recurrent, seen: Seen, x: Any) -> tuple[Tensor, Any] | Seen:
    """The output and the last state; or what was found out of a call that goes the long way."""
    known = layer._programs.memory.found.get(seen.key)
    if not known:
        return seen
    state = seen.state
    if state is None:
        batch_size = x.shape[0 if layer.batch_first else 1]
        state = initial_state(layer.cell, x.new_zeros(batch_size, *x.shape[2:]))
    leaves, form = flatten(state)
    weights = tuple(seen.held.tensors.values())
    is_plain = all(type(leaf) is Tensor for leaf in leaves)
    for found in known if is_plain else ():
        results = found(x, tuple(leaves), weights) if form == found.about else None
        if results is not None:
            return results[0], form.unflatten(list(results[1:]))
    return seen._replace(state=state)


def remember(layer: Recurrent, seen: Seen, x: Any, state: Any) -> None:
    """Remember a call that has just gone the long way, if it was not the first of its kind."""
    memory = layer._programs.memory
    if memory.note(seen.key):
        with suppress(NotChainedError):
            memory.keep(seen.key, _remembered(layer, seen, x, state))


def _remembered(layer: Recurrent, seen: Seen, x: Tensor, state: Any) -> Remembered:
    leaves, form = flatten(state)
    weights = tuple(seen.held.tensors.values())
    if not leaves or not are_plain((x, *leaves, *weights)):
        raise NotChainedError("tensors that are not in memory")
    program = _program(layer, seen, x, leaves, form)
    batch_size, num_steps = x.shape[:2] if layer.batch_first else x.shape[1::-1]
    if program.form != form or any(leaf.dtype != x.dtype for leaf in leaves):
        raise NotChainedError("a state of another form or type")
    if any(leaf.shape[0] != batch_size for leaf in leaves):
        raise NotChainedError("a state of other rows")
    needs = [torch.is_grad_enabled() and t.requires_grad for t in (x, *leaves, *weights)]
    rows = tuple(tuple(leaf.shape[1:]) for leaf in leaves)
    network = Network(
        ((Unit(program, tuple(range(len(weights))), layer.reverse),),),
        weights,
        tuple(row.numel() for row in map(torch.Size, rows)),
        num_steps,
        batch_size,
        x.shape[2:].numel(),
        x.dtype,
        any(needs) and program.gradient is not None,
        needs[0],
        any(needs[1 : 1 + len(leaves)]),
        layer._programs.memory.workspaces,
    )
    shapes = (tuple(x.shape[2:]), *rows)
    tensors = x, tuple(leaves), weights
    first = layer.batch_first
    return remembered(network, tensors, shapes, batch_first=first, about=form, is_loop=True)


def _program(layer: Recurrent, seen: Seen, x: Tensor, leaves: list[Tensor], form: Form) -> Program:
    """The program that has just run the call."""
    tensors, rows = seen.held.tensors, x.flatten(0, 1)
    held = Held(tuple(seen.held.key), tensors, dict(tensors))
    call = Call(
        layer.cell, held, rows, leaves, form, dense(1, 1), "auto", None, layer.reverse, None, False
    )
    program = layer._programs.program(call)
    if not isinstance(program, Program) or program.places != (0,):
        raise NotChainedError("a loop without a program of its own")
    return program
