"""`Objective`: the training problem of the lecture as one number to minimise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.functional import cross_entropy as torch_cross_entropy

from rondo.cells.cell import check_choice
from rondo.layers.sequence import check_lengths

Distance = Callable[[Tensor, Tensor], Tensor]
"""From outputs (..., K) and their targets to one number for each step (...)."""


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """½ ‖ỹ - y‖² of each step, whose gradient is the error ỹ - y; both are (..., K)."""
    _check_targets("euclidean", targets, tuple(outputs.shape))
    return (outputs - targets).square().sum(-1) / 2


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(logits)[y] of each step, in nats; logits (..., K), targets whole (...)."""
    _check_targets("cross_entropy", targets, tuple(logits.shape[:-1]))
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(
            "the targets of cross_entropy must be whole numbers, a class for each step, got "
            f"{targets.dtype}; convert with .long()"
        )
    flat = torch_cross_entropy(logits.flatten(0, -2), targets.flatten().long(), reduction="none")
    return flat.view(targets.shape)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-Σ (y log σ(a) + (1 - y) log (1 - σ(a))) of each step, in nats; both are (..., K)."""
    _check_targets("binary_cross_entropy", targets, tuple(logits.shape))
    targets = targets.to(logits.dtype)
    return binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)


DISTANCES: dict[str, Distance] = {
    "euclidean": squared_error,
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}
"""d(ỹ, y) by name."""


@dataclass(frozen=True)
class Objective:
    """The distance of outputs from targets: mean over sequences of the sum over steps.

    J = 1/N Σ_n Σ_t d(ỹ_n(t), y_n(t)), where ỹ is the output of the network, y its target and
    t = 1 ... T_n. So a sequence of twice the steps weighs twice as much. With `per_step_mean`
    J = 1/N Σ_n 1/T_n Σ_t d(ỹ_n(t), y_n(t)), and every sequence weighs the same.

    The lecture calls d a similarity; it is minimised, so it is a dissimilarity. Padding is never
    read and gets a gradient of zero, whatever it holds, NaN too.

    Args:
        distance: d, by name: "euclidean", ½ ‖ỹ - y‖²; "cross_entropy", in nats, of logits
            (B, T, K) and whole numbers (B, T), where the target -100 gives 0 as in torch;
            "binary_cross_entropy", in nats and summed over K, of logits and targets 0 or 1, both
            (B, T, K). Or a function of outputs and targets that gives a number for each step
            (B, T), and gets zeros in place of padding.
        per_step_mean: Whether to take the mean over the steps of a sequence, not the sum.
        batch_first: Whether sequences are (B, T, ...), rather than (T, B, ...).

    Shape:
        outputs (B, T, K), or (B, K) for one output of a whole sequence, which counts as one step;
        J ().

    Raises:
        ValueError: Where the distance has no such name.

    Example:
        >>> import torch
        >>> from rondo.training import Objective
        >>> outputs, targets = torch.zeros(2, 3, 1), torch.ones(2, 3, 1)
        >>> lengths = torch.tensor([3, 1])
        >>> Objective("euclidean")(outputs, targets, lengths)  # (3 * 1/2 + 1 * 1/2) / 2
        tensor(1.)
        >>> Objective("euclidean", per_step_mean=True)(outputs, targets, lengths)
        tensor(0.5000)
    """

    distance: str | Distance
    per_step_mean: bool = False
    batch_first: bool = True

    def __post_init__(self) -> None:
        if not callable(self.distance):
            check_choice("distance", self.distance, DISTANCES)

    def __call__(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
        """J, a tensor of no dimensions; arguments as for :meth:`distances`.

        It is 0 for no sequences. A sequence of no steps adds 0, and counts among the N.
        """
        distances = self.distances(outputs, targets, lengths)
        if distances.ndim == 1:
            return distances.sum() / max(1, len(distances))
        by_row = distances if self.batch_first else distances.transpose(0, 1)
        num_rows, num_steps = by_row.shape
        total = by_row.sum(1)
        if self.per_step_mean:
            total = total / (max(1, num_steps) if lengths is None else _at_least_1(lengths, total))
        return total.sum() / max(1, num_rows)

    def distances(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The distance at each step, for measures such as the mean over all steps of a data set.

        Args:
            outputs: What the network gave (B, T, K), or (B, K).
            targets: What it should have given, in the shape that the distance takes.
            lengths: (B,) the steps of each row, 0 to T. Default T for all.

        Returns:
            (B, T), with zeros in the padding; (B,) for outputs (B, K).

        Raises:
            ValueError: Where shapes do not fit.
            TypeError: Where something is not a tensor of the right kind.

        Example:
            >>> import torch
            >>> from rondo.training import Objective
            >>> lengths = torch.tensor([3, 1])
            >>> logits, targets = torch.zeros(2, 3, 88), torch.zeros(2, 3, 88)
            >>> found = Objective("binary_cross_entropy").distances(logits, targets, lengths)
            >>> found.sum() / lengths.sum()  # nats a step: 88 log 2
            tensor(60.9970)
        """
        _check_outputs(outputs, targets)
        if lengths is None:
            return self._distances(outputs, targets)
        is_real = self._is_real(outputs, lengths)
        outputs, targets = (_zero_padding(value, is_real) for value in (outputs, targets))
        return _zero_padding(self._distances(outputs, targets), is_real)

    def _distances(self, outputs: Tensor, targets: Tensor) -> Tensor:
        distance = self.distance if callable(self.distance) else DISTANCES[self.distance]
        found = distance(outputs, targets)
        wanted = outputs.shape[: _num_step_dims(outputs)]
        if found.shape != wanted:
            raise ValueError(
                f"distance must give a number for each step, {tuple(wanted)}, got "
                f"{tuple(found.shape)}; sum over, or flatten, what is left of a step"
            )
        return found

    def _is_real(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Whether a step is one of its row, laid out as the distances."""
        if outputs.ndim == 2:
            raise ValueError(
                f"outputs {tuple(outputs.shape)} are one (K,) for each row, which takes no "
                "lengths; sequences are (B, T, K), with K = 1 for one number a step"
            )
        num_rows, num_steps = outputs.shape[:2] if self.batch_first else outputs.shape[1::-1]
        check_lengths(lengths, num_rows, num_steps)
        steps = torch.arange(num_steps, device=outputs.device)
        is_real = steps < lengths.to(outputs.device)[:, None]
        return is_real if self.batch_first else is_real.transpose(0, 1)


def _zero_padding(value: Tensor, is_real: Tensor) -> Tensor:
    return torch.where(is_real.view(*is_real.shape, *[1] * (value.ndim - 2)), value, 0)


def _at_least_1(lengths: Tensor, like: Tensor) -> Tensor:
    return lengths.to(like).clamp_min(1)


def _num_step_dims(outputs: Tensor) -> int:
    """How many dimensions come before those of a step: rows and steps, or rows alone."""
    return 1 if outputs.ndim == 2 else 2


def _check_outputs(outputs: Tensor, targets: Tensor) -> None:
    for name, value in (("outputs", outputs), ("targets", targets)):
        if not isinstance(value, Tensor) or value.is_nested:
            got = "a nested tensor" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"{name} must be a padded tensor, got {got}; pad it and give lengths, as with "
                "torch.nn.utils.rnn.pad_packed_sequence"
            )
    num_dims = _num_step_dims(outputs)
    if outputs.ndim < 2 or targets.shape[:num_dims] != outputs.shape[:num_dims]:
        raise ValueError(
            "outputs must be (B, T, K) or (B, K) and targets have their rows and steps, got "
            f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)}"
        )


def _check_targets(name: str, targets: Tensor, wanted: tuple[int, ...]) -> None:
    if tuple(targets.shape) != wanted:
        raise ValueError(
            f"the targets of {name} must be {wanted} for these outputs, got {tuple(targets.shape)}"
        )
