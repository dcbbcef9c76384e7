"""No number on a red gate: whether a contender computes what it should, before it is timed.

What it should is the plain loop in float64. Rondo's budget is twice the error that the plain loop
makes in the type of the data, for the output and for every gradient. Peers only have to show that
they compute the same; their rounding is not ours to judge.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rondo.bench.cells import PlainLoop
from rondo.bench.contenders import Contender, Results, of_module
from rondo.bench.options import OURS

FACTOR = 2
"""What Rondo is allowed, in errors of plain torch."""

FLOOR = 2 * torch.finfo(torch.float32).eps
"""What plain torch counts as erring at least: over few numbers it may err less by luck."""

PEER_FACTOR = 20
"""What peers are allowed, in errors of the loop: gradients of torch.nn's LSTM reach 9."""


@dataclass(frozen=True)
class Gate:
    """The right results, and the error of each that is allowed Rondo and the peers."""

    exact: Results
    budgets: dict[str, float]
    peer_budgets: dict[str, float]

    def only(self, *names: str) -> Gate:
        """Returns the gate for some of the results."""
        return replace(self, exact={name: self.exact[name] for name in names})

    def failure(self, contender: Contender) -> str | None:
        """Returns in words what is wrong with a contender, or None."""
        budgets = self.budgets if contender.name.startswith(OURS) else self.peer_budgets
        try:
            got = contender.results()
        except Exception as problem:  # a contender that does not run must not end the whole run
            return f"it raises {type(problem).__name__}: {str(problem).partition(chr(10))[0]}"
        missing = self.exact.keys() - got.keys()
        if missing:
            return f"there is no {sorted(missing)[0]}"
        for name, exact in self.exact.items():
            if got[name].shape != exact.shape:
                return f"the {name} is {tuple(got[name].shape)}, not {tuple(exact.shape)}"
            error = relative_error(got[name], exact)
            if not error <= budgets[name]:  # an error may be NaN
                return (
                    f"the {name} is off by {error:.1e} of its size, and "
                    f"{budgets[name]:.1e} is allowed"
                )
        return None


def gate(
    cell: nn.Module,
    x: Tensor,
    grad_y: Tensor,
    *,
    lengths: Tensor | None = None,
    resets: Tensor | None = None,
    autocast: bool = False,
) -> Gate:
    """Returns the gate for a cell that runs over x (T, B, I).

    Args:
        cell: The cell, of the type of x.
        x: The batch.
        grad_y: The gradient of the output (T, B, H).
        lengths: As of `rondo.Recurrent`.
        resets: As of `rondo.Recurrent`.
        autocast: Whether its products are in bfloat16, though all else is not.
    """

    def results(dtype: torch.dtype, is_autocast: bool) -> Results:
        loop = PlainLoop(deepcopy(cell)).to(dtype)
        rounded = x.to(dtype)

        def run() -> Tensor:
            with autocast_if(is_autocast):
                y: Tensor = loop(rounded, lengths, resets)[0]
            return y

        return of_module("loop", loop, run, grad_y.to(dtype)).results()

    exact, plain = results(torch.float64, False), results(x.dtype, autocast)
    budgets, peer_budgets = {}, {}
    for name, value in exact.items():
        error = max(relative_error(plain[name], value), FLOOR)
        budgets[name], peer_budgets[name] = FACTOR * error, PEER_FACTOR * error
    return Gate(exact, budgets, peer_budgets)


def autocast_if(is_on: bool) -> torch.autocast:
    """Returns the context in which products of the processor are in bfloat16, or not."""
    return torch.autocast("cpu", torch.bfloat16, enabled=is_on)


def relative_error(value: Tensor, exact: Tensor) -> float:
    """The root mean square error, relative to the size of the exact value."""
    scale = exact.square().mean().sqrt().clamp_min(1e-30)
    return ((value.double() - exact).square().mean().sqrt() / scale).item()
