"""How far the gradient reaches back in time: what lies behind "the network forgets"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rondo.layers.watch import WatchedRun, watching

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class GradientFlow:
    """What of a gradient arrives at each step of a network, and its gates meanwhile.

    Args:
        norms: For each state ‖∂J/∂s(t)‖, t = 0 ... T (T + 1,), over all rows and units; t = 0 is
            before the first step. A layer that runs in reverse counts its steps as it runs them.
        gates: For each gate its values at t = 1 ... T (T, H), of one row: the longest, and of rows
            as long the first.
    """

    norms: dict[str, Tensor]
    gates: dict[str, Tensor]

    def draw(self, path: str | Path | None = None) -> Figure:
        """Draw the norms over time, and the gates as heat maps; see :func:`draw_flows`."""
        from rondo.looks.flow_picture import draw_flows

        return draw_flows({"": self}, path)

    def __str__(self) -> str:
        lines = [
            f"{name}: ‖∂J/∂{name}(t)‖ {norms[0]:.3g} at t = 0, {norms[-1]:.3g} at t = "
            f"{len(norms) - 1}"
            for name, norms in self.norms.items()
        ]
        lines += [
            f"{name}: mean {values.mean():.3g}, {values.min():.3g} to {values.max():.3g}"
            for name, values in self.gates.items()
            if values.numel()
        ]
        return "\n".join(lines)


def gradient_flow(
    model: nn.Module,
    x: Any,
    loss: Callable[[Any], Tensor] | None = None,
    **arguments: Any,
) -> GradientFlow:
    """Measure how the gradient of a loss flows back through time.

    ∂J/∂h(t) is the total derivative: of all that h(t) goes into, the output of the same step and
    all later ones. Where it has become small, nothing that the network read before t can teach it
    anything. Parameters and their `grad` stay as they are. It takes the steps one by one, and holds
    for any cell on any engine.

    Hochreiter, 1991; Bengio, Simard & Frasconi, 1994.

    Args:
        model: A layer of Rondo's, or a model with some in it.
        x: Its input.
        loss: From the model's outputs to J. Default: the sum of the output y(T) of each row's last
            step, divided by the root of its size, so that ‖∂J/∂y(T)‖ = 1.
        **arguments: What else the model is called with, such as `lengths`.

    Returns:
        The norms for each state and the values of the gates, by their names in the cell; of a model
        with several loops by the name of the layer too, as in "encoder.h". A loop that runs more
        than once, as those of :class:`rondo.LSTM` with layers do, has its runs counted from 0.

    Raises:
        ValueError: Where the model has no loop of Rondo's, or J is not one number.
        TypeError: Where the model's outputs are nothing that the default J can be made of.

    Example:
        >>> import torch, rondo
        >>> from rondo.training import gradient_flow
        >>> flow = gradient_flow(rondo.Recurrent(rondo.GRUCell(3, 5)), torch.randn(2, 30, 3))
        >>> list(flow.norms), list(flow.gates), flow.gates["z"].shape
        (['h'], ['r', 'z'], torch.Size([30, 5]))
        >>> bool(flow.norms["h"][0] < 0.01 * flow.norms["h"][30])  # it forgets
        True
    """
    with torch.enable_grad(), watching(model) as runs:
        returned = model(x, **arguments)
    if not runs:
        raise ValueError(
            f"{type(model).__name__} has run no loop of Rondo's; rondo.accelerate(model) puts them "
            "in place of torch.nn's"
        )
    with torch.enable_grad():
        outputs = returned[0] if isinstance(returned, tuple) else returned
        is_batch_first = getattr(model, "batch_first", True)
        last = partial(_last_output, batch_first=is_batch_first, lengths=arguments.get("lengths"))
        J = (last if loss is None else loss)(outputs)
    if not isinstance(J, Tensor) or J.numel() != 1 or not J.requires_grad:
        got = f"a tensor {tuple(J.shape)}" if isinstance(J, Tensor) else type(J).__name__
        raise ValueError(
            f"loss must give one number that depends on the outputs by torch operations, got {got}"
        )
    states, gates = _named(runs, "states"), _named(runs, "gates")
    of_one_row = {name: _first_row(values) for name, values in gates.items()}
    return GradientFlow(_norms(J, states), of_one_row)


def _last_output(outputs: Any, *, batch_first: bool, lengths: Tensor | None) -> Tensor:
    """The sum of the output of the last steps, divided so that its gradient has the norm 1."""
    if not isinstance(outputs, Tensor) or outputs.is_nested or outputs.ndim < 2:
        raise TypeError(
            "the outputs are no padded sequences (B, T, ...), so there is no last step to take J "
            f"of, got {type(outputs).__name__}; give a loss"
        )
    y = outputs
    if y.ndim > 2:
        rows = y if batch_first else y.transpose(0, 1)
        if rows.shape[1] == 0:
            raise ValueError("sequences of no steps have no last step to take J of; give a loss")
        last = -1 if lengths is None else lengths.to(y.device).long().sub(1).clamp_min(0)
        y = rows[torch.arange(len(rows), device=y.device), last]
    return y.sum() / max(1, y.numel()) ** 0.5


def _named(runs: list[WatchedRun], kind: str) -> dict[str, list[Tensor]]:
    """The states or gates of all runs, with the name of the layer where there are several."""
    num_runs: dict[str, int] = {}
    found: dict[str, list[Tensor]] = {}
    for run in runs:
        number = num_runs[run.name] = num_runs.get(run.name, -1) + 1
        is_alone = sum(other.name == run.name for other in runs) == 1
        layer = run.name if is_alone else f"{run.name}[{number}]"
        prefix = "" if len(runs) == 1 else f"{layer}.".removeprefix(".")
        found |= {f"{prefix}{name}": values for name, values in getattr(run, kind).items()}
    return found


def _norms(J: Tensor, states: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """‖∂J/∂s(t)‖ of each state; 0 where J does not depend on it."""
    everything = [tensor for tensors in states.values() for tensor in tensors]
    known = {id(tensor): tensor for tensor in everything if tensor.requires_grad}
    grads = torch.autograd.grad(J, [*known.values()], allow_unused=True) if known else ()
    norms = {
        key: torch.linalg.vector_norm(grad, dtype=torch.float64)
        for key, grad in zip(known, grads, strict=True)
        if grad is not None
    }
    none = torch.zeros((), dtype=torch.float64, device=J.device)
    return {
        name: torch.stack([norms.get(id(tensor), none) for tensor in tensors]).cpu()
        for name, tensors in states.items()
    }


def _first_row(values: list[Tensor]) -> Tensor:
    """One row of each step; the rows of a step lie the longest first."""
    if not values:
        return torch.zeros(0, 0)
    return torch.stack([value[0].detach() for value in values]).cpu()
