"""The programs of a layer: a cell is compiled at the first call for each kind of input."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rondo.compiler import CompiledLoop, EngineName, Program, compile_step, recurrence
from rondo.compiler.operators import (
    Registered,
    is_observed,
    is_transformed,
    register,
    run_registered,
)
from rondo.compiler.stepping import Stepper
from rondo.compiler.trace import named_tensors
from rondo.layers.sequence import Packing

TENSORS = {"_parameters", "_buffers", "_modules"}  # known by their names, sizes and dtypes


TRACING = threading.RLock()
"""Held while a cell is traced: its tensors are then others, for all threads."""


def tensors_of(cell: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a cell by name."""
    if torch.compiler.is_compiling():
        return named_tensors(cell)
    with TRACING:
        return named_tensors(cell)


class Programs:
    """Runs cells over packed rows; keeps what they were compiled to, but for copies and pickles.

    Args:
        cell_stays: Whether nothing of the cell but its tensors changes between runs.
    """

    def __init__(self, *, cell_stays: bool = False) -> None:
        self.cell_stays = cell_stays
        self.by_kind: dict[Any, Program] = {}
        self.stepping: tuple[list[Any], Stepper | None] = [], None

    def __getstate__(self) -> dict[str, Any]:
        return {"cell_stays": self.cell_stays, "by_kind": {}, "stepping": ([], None)}

    def run(
        self,
        cell: nn.Module,
        tensors: Mapping[str, Tensor],
        rows: Tensor,
        state: Any,
        packing: Packing,
        *,
        engine: EngineName = "auto",
        resets: Tensor | None = None,
        reverse: bool = False,
        checkpoint_every: int | None = None,
        return_states: bool = False,
    ) -> tuple[Tensor, Any, Any]:
        """Run the cell over all steps.

        Args:
            cell: A module whose `forward(x, state)` returns `(output, new_state)`.
            tensors: Its parameters, then its buffers, by name.
            rows: The input of all steps, packed (N, ...).
            state: The state before the first step, (B, ...), in the order of the batch.
            packing: Where the steps of the batch lie.
            engine: What runs the loop; see :class:`rondo.Recurrent`.
            resets: (N,) bool, packed, or None.
            reverse: Whether to run from the last step to the first.
            checkpoint_every: Of which steps to keep the state alone; see :class:`rondo.Recurrent`.
            return_states: Whether the states of all steps are wanted.

        Returns:
            The output of all steps, packed; the state at the end; the states of all steps, packed,
            or None.
        """
        leaves, form = pytree.tree_flatten(state)
        rows, leaves, given = cast_all(rows, leaves, list(tensors.values()))
        is_ragged = packing.index is not None or packing.order is not None
        options = engine, return_states, is_ragged, checkpoint_every is not None
        started = [packing.sort(leaf) for leaf in leaves]
        if torch.compiler.is_dynamo_compiling():
            from rondo.layers.constant import constant

            numbers = pytree.tree_unflatten(list(range(len(leaves))), form)
            described = [
                [_describe(tensor, tuple(tensor.shape)) for tensor in given],
                [_describe(tensor, (1, *tensor.shape[1:])) for tensor in (rows, *leaves)],
            ]
            registered = constant(
                _registered, self, cell, tuple(tensors), described, numbers, options
            )
            outputs, leaves = run_registered(
                registered,
                given,
                rows,
                started,
                packing.batch_sizes,
                resets,
                reverse,
                checkpoint_every,
            )
        else:
            named = dict(zip(tensors, given, strict=True))
            program = self.program(cell, named, rows, leaves, form, *options)
            outputs, leaves = recurrence(
                program,
                given,
                rows,
                started,
                packing.batch_sizes,
                resets=resets,
                reverse=reverse,
                checkpoint_every=checkpoint_every,
            )
        last = pytree.tree_unflatten([packing.unsort(leaf) for leaf in leaves], form)
        states = pytree.tree_unflatten(outputs[1:], form) if return_states else None
        return outputs[0], last, states

    def step(
        self, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
    ) -> tuple[Tensor, Any] | None:
        """One step by a kernel whose weights stay packed; None where the cell is to run itself."""
        leaves = _leaves_of(state)
        if leaves is None or torch.is_grad_enabled() or not is_plain(x, leaves):
            return None
        with TRACING:
            key, tensors = _described(cell)
        key += (engine, type(state))
        for tensor in (x, *leaves):
            key += (tensor.shape, tensor.dtype)
        for known in tensors:
            if known is not None:
                key += (id(known), known.data_ptr(), known._version)
        last_key, stepper = self.stepping  # both at once: another thread may change them
        if key != last_key:
            stepper = self.new_stepper(cell, x, state, engine)
            self.stepping = key, stepper
        if stepper is None:
            return None
        output, new = stepper(x, leaves)
        return output, new[0] if isinstance(state, Tensor) else tuple(new)

    def new_stepper(
        self, cell: nn.Module, x: Tensor, state: Any, engine: EngineName
    ) -> Stepper | None:
        """A kernel for single steps from a state on; None where the cell is to run itself."""
        leaves, form = pytree.tree_flatten(state)
        tensors = tensors_of(cell)
        program = self.program(cell, tensors, x, leaves, form, engine, False, False, False)
        loop = program.run
        if not isinstance(loop, CompiledLoop) or not Stepper.covers(loop):
            return None
        return Stepper(loop, [*tensors.values(), *program.captured], x, leaves)

    def program(
        self,
        cell: nn.Module,
        tensors: dict[str, Tensor],
        rows: Tensor,
        leaves: list[Tensor],
        form: Any,
        engine: EngineName,
        return_states: bool,
        is_ragged: bool,
        is_run_again: bool,
    ) -> Program:
        """What the cell is compiled to for one kind of input; compiled at the first call.

        Raises:
            ValueError: Where sequences are ragged and the cell mixes rows, or where the steps are
                to run again in the backward pass and would not give the same.
        """
        grad = torch.is_grad_enabled()
        wanted = tuple(grad and tensor.requires_grad for tensor in tensors.values())
        key = (
            None if self.cell_stays else _fingerprint(cell),
            form,
            wanted,
            input_wanted := grad and rows.requires_grad,
            grad,
            engine,
            return_states,
            *((tensor.dtype, tensor.device, tuple(tensor.shape)) for tensor in tensors.values()),
            *((leaf.dtype, leaf.device, tuple(leaf.shape[1:])) for leaf in (rows, *leaves)),
        )
        if key not in self.by_kind:
            with TRACING:
                self.by_kind[key] = compile_step(
                    cell,
                    tensors,
                    rows,
                    pytree.tree_unflatten(leaves, form),
                    wanted=wanted,
                    input_wanted=input_wanted,
                    engine=engine,
                    return_states=return_states,
                )
        program = self.by_kind[key]
        if is_ragged and program.plan.mixes_rows:
            raise ValueError(
                "a batch of ragged sequences needs a cell that treats every row on its own, but "
                f"{type(cell).__name__} mixes them: {program.plan.mixes_rows}"
            )
        if is_run_again and grad and program.runs_once is not None:
            raise ValueError(
                "checkpoint_every runs the steps once more in the backward pass, which does not "
                f"give the same for {type(cell).__name__}: {program.runs_once}; leave it None"
            )
        return program


def _describe(tensor: Tensor, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """What a program depends on of a tensor that stands for one of the given shape."""
    return shape, tensor.dtype, tensor.device, tensor.requires_grad


def _example(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, grad: bool
) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device, requires_grad=grad)


def _registered(
    programs: Programs,
    cell: nn.Module,
    names: tuple[str, ...],
    described: list[list[tuple[Any, ...]]],
    numbers: Any,
    options: tuple[str, bool, bool, bool],
) -> Registered:
    """What a cell is compiled to; it sees no tensor, only what a program depends on."""
    given, (rows, *leaves) = [[_example(*one) for one in some] for some in described]
    named = dict(zip(names, given, strict=True))
    form = pytree.tree_structure(numbers)
    return register(programs.program(cell, named, rows, leaves, form, *options))


def _fingerprint(module: nn.Module) -> tuple[Any, ...]:
    """Everything about a module, beside its tensors, that its step may depend on."""
    return tuple(_described(module)[0])


def _described(module: nn.Module) -> tuple[list[Any], list[Tensor | None]]:
    """What a step may depend on: what is no tensor, and all tensors."""
    found: list[Any] = []
    tensors: list[Tensor | None] = []
    waiting = [module]
    while waiting:
        part = waiting.pop()
        found.append(type(part))
        for key, value in part.__dict__.items():
            if type(value) in PLAIN:
                found += (key, value)
            elif key in TENSORS:
                if key != "_modules":
                    tensors += value.values()
                elif value:
                    found += value
                    waiting += [child for child in value.values() if child is not None]
            elif value or type(value) not in CONTAINERS:
                found += (key, _comparable(value))
    return found, tensors


PLAIN = {bool, int, float, str, type(None)}
CONTAINERS = {dict, OrderedDict, list, tuple, set}  # a module has many that are empty


def _comparable(value: Any) -> Any:
    """A hashable stand-in that changes when the value does."""
    if isinstance(value, Tensor | nn.Module):
        return id(value)
    if isinstance(value, dict):
        return tuple((key, _comparable(item)) for key, item in value.items())
    if isinstance(value, list | tuple | set):
        return tuple(_comparable(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def _leaves_of(state: Any) -> tuple[Tensor, ...] | None:
    """The tensors of a state that is one, or a tuple of them; None for any other."""
    if type(state) is Tensor:
        return (state,)
    if type(state) is tuple and all(type(leaf) is Tensor for leaf in state):
        return state
    return None


def is_plain(x: Tensor, leaves: Sequence[Tensor] = ()) -> bool:
    """Whether tensors are rows in memory that a kernel may read, and nothing of torch looks on."""
    if torch.is_autocast_enabled("cpu") or is_observed(x) or is_transformed():
        return False
    if x.ndim == 0 or x.numel() == 0:
        return False
    num_rows = x.shape[0]
    return all(
        tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and tensor.ndim > 0
        and tensor.shape[0] == num_rows
        for tensor in (x, *leaves)
    )


def cast_all(
    rows: Tensor, leaves: list[Tensor], tensors: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Under autocast, everything of floating point in its dtype."""
    device = rows.device.type
    if not torch.is_autocast_enabled(device):
        return rows, leaves, tensors
    dtype = torch.get_autocast_dtype(device)

    def cast_one(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return cast_one(rows), [*map(cast_one, leaves)], [*map(cast_one, tensors)]
