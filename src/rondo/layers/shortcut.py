"""A drop-in's call that was seen before: one look-up, one node of autograd's, one call of C.

In go a layer and the arguments of its `forward`, out comes the result, or None: then the call goes
the long way, which checks all that it is given. A call is remembered when it has been made twice.
What may be another the next time is in the key of the memory, or is looked at by torch's guards of
tensors: types, sizes, strides, what needs a gradient, and whatever stands between the caller and
the kernel (transforms, modes, autocast, inference, tensors without numbers). Weights are given anew
at every call, so it does not matter who changed them, or how.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rondo.compiler import EngineName
from rondo.compiler.covered import NotChainedError
from rondo.compiler.network import Network, Unit
from rondo.compiler.program import Program
from rondo.compiler.state import flatten
from rondo.layers.call import Call, held_by
from rondo.layers.remembered import (
    Remembered,
    State,
    are_plain,
    circumstances,
    is_unseen,
    remembered,
)
from rondo.layers.sequence import dense
from rondo.layers.weights import suffixes, weight_names

if TYPE_CHECKING:
    from rondo.layers.compiled import Programs
    from rondo.layers.torch_compat import Layer

SETTINGS = (
    *("mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout"),
    *("bidirectional", "proj_size", "training"),
)
"""The attributes of a layer that decide what a call does."""

settings_of = itemgetter(*SETTINGS)


def key_of(
    layer: Layer, x: Any, hx: Any, engine: EngineName
) -> tuple[tuple[Any, ...], State] | None:
    """What a call is found by, and the tensors of its state; None if it is never remembered."""
    if engine != "auto" or layer.checkpoint_every is not None or not is_unseen(x):
        return None
    state = _as_state(hx)
    try:
        settings = settings_of(layer.__dict__)
    except KeyError:
        return None
    if state is None:
        return None
    key = type(layer), settings, x.shape, x.dtype, x.requires_grad, len(state)
    return (*key, circumstances()), state


def _as_state(hx: Any) -> State | None:
    """The tensors of a state as it was given; None where it is not of plain tensors."""
    if hx is None:
        return ()
    if type(hx) is Tensor:
        return (hx,)
    if type(hx) in (tuple, list) and len(hx) == 2 and type(hx[0]) is type(hx[1]) is Tensor:
        return hx[0], hx[1]
    return None


def recall(layer: Layer, key: tuple[Any, ...], x: Tensor, state: State) -> State | None:
    """The output and the last state of a call that was seen before, or None."""
    made = layer.__dict__.get("_rondo")
    for found in () if made is None else made[1].memory.found.get(key, ()):
        try:
            weights = found.about(layer._parameters)
        except KeyError:
            return None
        results = found(x, state, weights)
        if results is not None:
            return results
    return None


def remember(layer: Layer, key: tuple[Any, ...], x: Tensor, state: State) -> None:
    """Remember a call that has just gone the long way, if it was not the first of its kind."""
    cell, programs = layer.__dict__["_rondo"]
    if programs.memory.note(key) and _is_common(layer):
        with suppress(NotChainedError):
            programs.memory.keep(key, _remembered(layer, cell, programs, x, state))


def _is_common(layer: Layer) -> bool:
    """Whether nothing of the layer is another than of all layers of its class."""
    from rondo.layers.torch_compat import GRU, LSTM, RNN

    is_dropping = layer.training and layer.dropout > 0 and layer.num_layers > 1
    return type(layer) in (RNN, LSTM, GRU) and not is_dropping


def _remembered(
    layer: Layer, cell: nn.Module, programs: Programs, x: Tensor, state: State
) -> Remembered:
    endings = [ending for endings in suffixes(layer) for ending in endings]
    names = [name for ending in endings for name in weight_names(layer, ending).values()]
    found = [layer._parameters.get(name) for name in names]
    if not are_plain((x, *state, *found)):
        raise NotChainedError("weights that are no parameters")
    weights = tuple(weight for weight in found if weight is not None)
    network = _network(layer, cell, programs, weights, x, state)
    rows = (layer.input_size,), *((size,) for size in network.state_sizes)
    return remembered(
        network,
        (x, state, weights),
        rows,
        batch_first=layer.batch_first and x.dim() == 3,
        about=itemgetter(*names),
    )


def _network(
    layer: Layer,
    cell: nn.Module,
    programs: Programs,
    weights: tuple[Tensor, ...],
    x: Tensor,
    state: State,
) -> Network:
    """The programs of all layers and directions for a call that they have just run."""
    steps_first = x.transpose(0, 1) if layer.batch_first and x.dim() == 3 else x
    num_steps, num_rows = steps_first.shape[0], steps_first.shape[1] if x.dim() == 3 else 1
    sizes = [layer.proj_size or layer.hidden_size]
    sizes += [layer.hidden_size] if layer.mode == "LSTM" else []
    grad = torch.is_grad_enabled()
    needs, size, rest = grad and x.requires_grad, layer.input_size, list(range(len(weights)))
    layers = []
    for endings in suffixes(layer):
        rows = torch.empty((1, size), dtype=x.dtype, device="cpu", requires_grad=needs)
        made = []
        for ending in endings:
            names = weight_names(layer, ending)
            own, rest = tuple(rest[: len(names)]), rest[len(names) :]
            given = dict(zip(names, [weights[number] for number in own], strict=True))
            program = _program(cell, programs, given, rows, sizes)
            made.append(Unit(program, own, reverse=ending.endswith("_reverse")))
            needs = needs or (grad and any(weight.requires_grad for weight in given.values()))
        needs = needs or (grad and any(tensor.requires_grad for tensor in state))
        layers.append(tuple(made))
        size = sizes[0] * len(made)
    has_gradient = grad and any(tensor.requires_grad for tensor in (x, *state, *weights))
    return Network(
        tuple(layers),
        weights,
        tuple(sizes),
        num_steps,
        num_rows,
        layer.input_size,
        x.dtype,
        has_gradient,
        grad and x.requires_grad,
        grad and any(tensor.requires_grad for tensor in state),
        programs.memory.workspaces,
    )


def _program(
    cell: nn.Module,
    programs: Programs,
    given: dict[str, Tensor],
    rows: Tensor,
    sizes: Sequence[int],
) -> Program:
    """The program of one direction of a layer."""
    leaves = [torch.empty((1, size), dtype=rows.dtype, device="cpu") for size in sizes]
    _, form = flatten(tuple(leaves) if len(leaves) > 1 else leaves[0])
    held = held_by(cell, given, stays=True)
    call = Call(cell, held, rows, leaves, form, dense(1, 1), "auto", None, False, None, False)
    program = programs.program(call)
    if not isinstance(program, Program):
        raise NotChainedError("a loop without a program of its own")
    return program
