"""Linear recurrences solved for all steps together.

In go the matrices and offsets of x(t) = A(t) x(t-1) + b(t), out come all x(t). Neighbouring steps
are joined into one, the half as long recurrence is solved in the same way, and the steps between
are filled in: 2 T joins in 2 log2 T rounds, each round one operation of torch over all its steps.

Blelloch, "Prefix sums and their applications", 1990; Martin & Cundy, "Parallelizing linear
recurrent neural nets over sequence length", 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor


def solve_recurrence(matrices: Tensor, offsets: Tensor) -> Tensor:
    """Returns x(t) = A(t) x(t-1) + b(t) for all t, x before the first step being 0.

    Args:
        matrices: A (T, ..., K, K).
        offsets: b (T, ..., K).

    Returns:
        x (T, ..., K).

    Example:
        >>> import torch
        >>> solve_recurrence(torch.full((4, 1, 1), 0.5), torch.ones(4, 1)).squeeze(1)
        tensor([1.0000, 1.5000, 1.7500, 1.8750])
    """
    if offsets.shape[-1] == 1:  # numbers instead of matrices of one number
        return _scan(matrices.squeeze(-1), offsets)
    return _scan(matrices, offsets)


def _scan(a: Tensor, b: Tensor) -> Tensor:
    num_steps = len(b)
    if num_steps == 1:
        return b
    even = num_steps // 2 * 2
    first, second = slice(0, even, 2), slice(1, even, 2)
    joined = a[second] @ a[first] if a.ndim > b.ndim else a[second] * a[first]
    x = torch.empty_like(b)
    x[second] = _scan(joined, apply(a[second], b[first]) + b[second])
    x[0] = b[0]
    x[2::2] = apply(a[2::2], x[1:-1:2]) + b[2::2]
    return x


def apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Returns A x of matrices (..., K, K) or, in their place, numbers (..., 1), and x (..., K)."""
    if matrices.ndim == vectors.ndim:
        return matrices * vectors
    return (matrices @ vectors[..., None])[..., 0]
