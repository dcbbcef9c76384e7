"""The programs of a layer: a cell is compiled at the first call for each kind of input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rondo.compiler import Program, compile_step, recurrence
from rondo.layers.sequence import Packing

TENSORS = {"_parameters", "_buffers", "_modules"}  # known by their names, sizes and dtypes


class Programs:
    """Runs cells over packed rows; keeps what they were compiled to, but for copies and pickles."""

    def __init__(self) -> None:
        self.by_kind: dict[Any, Program] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"by_kind": {}}

    def run(
        self,
        cell: nn.Module,
        tensors: Mapping[str, Tensor],
        rows: Tensor,
        state: Any,
        packing: Packing,
        *,
        engine: str = "auto",
        resets: Tensor | None = None,
        reverse: bool = False,
        checkpoint_every: int | None = None,
    ) -> tuple[Tensor, Any]:
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

        Returns:
            The output of all steps, packed, and the state at the end.
        """
        leaves, form = pytree.tree_flatten(state)
        rows, leaves, given = _autocast(rows, leaves, list(tensors.values()))
        named = dict(zip(tensors, given, strict=True))
        program = self._program(cell, engine, named, rows, leaves, form)
        is_ragged = packing.index is not None or packing.order is not None
        if is_ragged and program.plan.mixes_rows:
            raise ValueError(
                "a batch of ragged sequences needs a cell that treats every row on its own, but "
                f"{type(cell).__name__} mixes them: {program.plan.mixes_rows}"
            )
        once = program.runs_once
        if checkpoint_every is not None and torch.is_grad_enabled() and once is not None:
            raise ValueError(
                "checkpoint_every runs the steps once more in the backward pass, which does not "
                f"give the same for {type(cell).__name__}: {once}; leave it None"
            )
        y, leaves = recurrence(
            program,
            given,
            rows,
            [packing.sort(leaf) for leaf in leaves],
            packing.batch_sizes,
            resets=resets,
            reverse=reverse,
            checkpoint_every=checkpoint_every,
        )
        return y, pytree.tree_unflatten([packing.unsort(leaf) for leaf in leaves], form)

    def _program(
        self,
        cell: nn.Module,
        engine: str,
        tensors: dict[str, Tensor],
        rows: Tensor,
        leaves: list[Tensor],
        form: Any,
    ) -> Program:
        grad = torch.is_grad_enabled()
        wanted = tuple(grad and tensor.requires_grad for tensor in tensors.values())
        key = (
            _fingerprint(cell),
            form,
            wanted,
            input_wanted := grad and rows.requires_grad,
            grad,
            engine,
            *((tensor.dtype, tensor.device, tuple(tensor.shape)) for tensor in tensors.values()),
            *((leaf.dtype, leaf.device, tuple(leaf.shape[1:])) for leaf in (rows, *leaves)),
        )
        if key not in self.by_kind:
            self.by_kind[key] = compile_step(
                cell,
                tensors,
                rows,
                pytree.tree_unflatten(leaves, form),
                wanted=wanted,
                input_wanted=input_wanted,
                engine=engine,
            )
        return self.by_kind[key]


def _fingerprint(module: nn.Module) -> tuple[Any, ...]:
    """Everything about a module, beside its tensors, that its step may depend on."""
    return tuple(
        (
            name,
            type(part),
            *((key, _comparable(value)) for key, value in vars(part).items() if key not in TENSORS),
        )
        for name, part in module.named_modules()
    )


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


def _autocast(
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
