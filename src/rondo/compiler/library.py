"""The loops for which torch has kernels of its own on GPUs: those of cuDNN.

In goes a plan; out comes what runs it by torch's function for an LSTM, a GRU or an Elman network,
or None where the plan is of none of them. A plan is of such a cell if it reads as the plan of
Rondo's own cell of the same sizes does, whatever the cell is called.

The gradient is that of torch's function, but a gradient of a gradient, which cuDNN does not give,
comes from the reference engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells import ElmanCell, GRUCell, LSTMCell
from rondo.compiler.graph import close_loops
from rondo.compiler.plan import Plan
from rondo.compiler.reference import Steps
from rondo.compiler.trace import example_of, named_tensors, trace

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lstm": torch._VF.lstm,
    "gru": torch._VF.gru,
    "tanh": torch._VF.rnn_tanh,
    "relu": torch._VF.rnn_relu,
}
"""What runs all steps of a layer, over packed rows."""

DEVICES = ("cuda",)
"""The kinds of devices on which they are taken where nothing else is asked for."""

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""The parameters of these cells, in the order in which torch's functions expect them."""


@dataclass(frozen=True)
class Library:
    """Torch's function for a plan.

    Args:
        plan: The plan.
        kind: A key of `FUNCTIONS`.
    """

    plan: Plan
    kind: str

    def covers(self, steps: Steps) -> bool:
        """Whether it runs these steps: from the last to the first only where all rows have all."""
        return not steps.reverse or len(set(steps.batch_sizes)) == 1

    def __call__(
        self, parameters: Sequence[Tensor], x: Tensor, state: Sequence[Tensor], steps: Steps
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all steps.

        Returns:
            The output of all steps, packed, and the state at the end.
        """
        names = [value.name for value in self.plan.step.parameters]
        given = dict(zip(names, parameters, strict=True))
        weights = [given.get(name) for name in WEIGHTS]
        if "bias_ih" in given and "bias_hh" not in given:
            weights[3] = torch.zeros_like(given["bias_ih"])
        num_rows = steps.batch_sizes[0]
        hidden = tuple(value[:num_rows].unsqueeze(0) for value in state)
        run = _run_dense if len(set(steps.batch_sizes)) == 1 else _run_packed
        output, *after = run(
            FUNCTIONS[self.kind],
            x,
            hidden if self.kind == "lstm" else hidden[0],
            ([weight for weight in weights if weight is not None], "bias_ih" in given),
            steps,
        )
        last = [
            torch.cat([value.squeeze(0), before[num_rows:]])
            for value, before in zip(after, state, strict=True)
        ]
        return output, last


def _run_dense(
    function: Callable[..., Any], x: Tensor, hidden: Any, weights: tuple[Any, bool], steps: Steps
) -> list[Tensor]:
    """Run steps of which all have the same rows."""
    x = x.unflatten(0, (len(steps.batch_sizes), -1))
    x = x.flip(0) if steps.reverse else x
    output, *after = function(x, hidden, *weights, 1, 0.0, torch.is_grad_enabled(), False, False)
    output = output.flip(0) if steps.reverse else output
    return [output.flatten(0, 1), *after]


def _run_packed(
    function: Callable[..., Any], x: Tensor, hidden: Any, weights: tuple[Any, bool], steps: Steps
) -> list[Tensor]:
    """Run steps of which the later have fewer rows."""
    batch_sizes = torch.tensor(steps.batch_sizes, device="cpu")
    return list(function(x, batch_sizes, hidden, *weights, 1, 0.0, torch.is_grad_enabled(), False))


def library_of(plan: Plan, device: torch.device) -> Library | None:
    """Torch's function for a plan, or None where there is none."""
    if device.type not in DEVICES:
        return None
    step = plan.step
    sizes: dict[str, Any] = {value.name: value.shape for value in step.parameters}
    known = {"weight_ih", "weight_hh"} <= set(sizes) <= set(WEIGHTS)
    if not known or len(step.inputs) != 1 or len(step.inputs[0].shape) != 2:
        return None
    dtype = step.inputs[0].dtype
    input_size, (hidden_size,) = sizes["weight_ih"][1], step.state[-1].shape[1:]
    with torch.device("cpu"):
        cells = [*_cells(input_size, hidden_size, sizes)]
    for kind, cell in cells:
        cell = cell.to(device, dtype)
        tensors = named_tensors(cell)
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != sizes:
            continue
        x, *state = (example_of(value, device) for value in (*step.inputs, *step.state))
        traced = trace(cell, tensors, x, tuple(state) if len(state) > 1 else state[0])
        if str(close_loops(traced.graph)) == str(plan.graph):
            return Library(plan, kind)
    return None


def _cells(
    input_size: Any, hidden_size: Any, sizes: dict[str, Any]
) -> Iterator[tuple[str, nn.Module]]:
    """The cells that torch has functions for, of these sizes."""
    bias = "bias_ih" in sizes
    both = {"bias": bias, "recurrent_bias": "bias_hh" in sizes}
    num_gates = sizes["weight_ih"][0] // hidden_size
    if num_gates == 4:
        projected = sizes["weight_hr"][0] if "weight_hr" in sizes else 0
        yield "lstm", LSTMCell(input_size, hidden_size, proj_size=projected, **both)
    elif num_gates == 3:
        yield "gru", GRUCell(input_size, hidden_size, bias=bias)
    elif num_gates == 1:
        for kind in ("tanh", "relu"):
            yield kind, ElmanCell(input_size, hidden_size, nonlinearity=kind, **both)
