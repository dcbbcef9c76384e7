"""The sides of a comparison: each runs the same layer on the same batch in its own way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

Results = dict[str, Tensor]
"""Outputs and gradients by name, for the conformance check."""


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    Args:
        name: Its name in the tables.
        forward: Runs it without gradients; returns the output.
        training: Runs it forward and backward; None where only the first is compared.
        results: Returns the outputs of both, and the gradients of all parameters.
        compiles: Whether the first call for the results compiles for so long that it is told.
    """

    name: str
    forward: Callable[[], object]
    training: Callable[[], object] | None
    results: Callable[[], Results]
    compiles: bool = False


def of_module(
    name: str,
    module: nn.Module,
    run: Callable[[], Tensor],
    grad_y: Tensor,
) -> Contender:
    """A contender that is a module of torch.

    Args:
        name: Its name.
        module: Whose parameters get gradients.
        run: Runs it on the batch; returns the output.
        grad_y: The gradient of the output.
    """

    def training() -> Tensor:
        module.zero_grad()
        y = run()
        y.backward(grad_y)
        return y.detach()

    def results() -> Results:
        found = {"output": forward(), "output in training": training()}
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"gradient of {plain_name(key)}"] = parameter.grad.clone()
        return found

    forward = torch.no_grad()(run)
    return Contender(name, forward, training, results)


def plain_name(name: str) -> str:
    """What a parameter is called within its cell: torch.nn and loops add to that."""
    return name.removeprefix("cells.0.").removeprefix("cell.").removesuffix("_l0")


def compiled(name: str, loop: nn.Module, x: Tensor, grad_y: Tensor) -> Contender:
    """A loop by `torch.compile`, unrolled over all steps; the first calls compile it.

    What was compiled before is forgotten: after a few versions torch would run a function eagerly.
    """
    torch.compiler.reset()
    with warnings.catch_warnings(action="ignore"):  # the compiler's, to its authors
        function = torch.compile(loop, fullgraph=True)
    contender = of_module(name, loop, lambda: function(x)[0], grad_y)

    def results() -> Results:
        uncached = torch.compiler.config.patch(force_disable_caches=True)  # type: ignore[attr-defined]
        with uncached, warnings.catch_warnings(action="ignore"):
            return contender.results()

    return replace(contender, results=results, compiles=True)
