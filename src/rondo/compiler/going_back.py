"""Gradients by autograd, without what `torch.autograd.grad` loads for `grad_outputs`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import _engine_run_backward


def gradients(
    ends: Sequence[Tensor], seeds: Sequence[Tensor], leaves: Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradient of each leaf, given those of the ends; None where there is none.

    Ends that need no gradient are left out. `torch.autograd.grad` does the same, but imports sympy
    to look at the seeds, which takes longer than to record a cell.
    """
    pairs = [(end, seed) for end, seed in zip(ends, seeds, strict=True) if end.requires_grad]
    if not pairs or not leaves:
        return [None] * len(leaves)
    roots, given = zip(*pairs, strict=True)
    return list(
        _engine_run_backward(roots, given, False, False, tuple(leaves), True, accumulate_grad=False)
    )
