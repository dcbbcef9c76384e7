"""The parallel engine: the loop is solved for all steps together, not run step by step.

In go a plan and tensors, as for the reference engine, out come the same results, up to rounding or
a tolerance. Where the next state is linear in the state, number by number, the states are one
associative scan. Elsewhere they are the solution of T equations s(t) = F(s(t-1)), found by Newton's
method from a guess for all of them: each iteration runs the step on all rows of all steps, takes
its Jacobian J there, and solves s(t) = F + J (s(t-1) - guess(t-1)) by such a scan. The backward
loop is linear in the gradient of the state, so there, with the whole J, the first iteration finds
the solution.

Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over the sequence
length" (DEER), 2024; Gonzalez et al., "Towards scalable and stable parallelization of nonlinear
RNNs", 2024 (diagonal Jacobians, damping); Danieli et al., "ParaRNN", 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondo.compiler import reference
from rondo.compiler.graph import sizes_at
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.kernel import NotCoveredError, short
from rondo.compiler.plan import Plan
from rondo.compiler.reference import (
    Previous,
    Resets,
    Result,
    Steps,
    read_outside_loop,
    warn,
)
from rondo.compiler.scan import apply, solve_recurrence
from rondo.compiler.tangent import Tangent, is_linear
from rondo.compiler.trajectory import Trajectory, Vectors


@dataclass(frozen=True)
class Newton:
    """How the parallel engine solves a loop that is not linear.

    Args:
        tolerance: The largest difference |F(s(t-1)) - s(t)| of a solution, in units of
            max(1, |s|); default that of `TOLERANCES`.
        max_iterations: After so many without a solution the loop is run step by step.
        jacobian: "full", of all numbers of a state; "diagonal", where each number of a state moves
            those in its own place alone: more iterations, but their cost does not grow with the
            square of the state; "auto", full up to `LARGEST_FULL` numbers.
    """

    tolerance: float | None = None
    max_iterations: int = 100
    jacobian: str = "auto"

    def __post_init__(self) -> None:
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0, got {self.tolerance!r}")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations must be at least 1, got {self.max_iterations!r}")
        if self.jacobian not in JACOBIANS:
            raise ValueError(
                f"jacobian must be one of {', '.join(JACOBIANS)}, got {self.jacobian!r}"
            )


TOLERANCES = {torch.float32: 4e-6, torch.float64: 1e-12}
"""Tolerances where none is given: some times what rounding leaves of a solution."""

JACOBIANS = ("auto", "full", "diagonal")

LARGEST_GROWTH = 100.0
"""A guess that much farther from a solution than the best one is dropped for a smaller step."""

LARGEST_FULL = 32
"""Numbers in the state of a row up to which "auto" takes the whole Jacobian."""


@dataclass(frozen=True)
class Solution:
    """How a loop was solved.

    Args:
        how: "scan" of a linear loop, "newton", or "steps" where Newton's method found no solution.
        iterations: The iterations of Newton's method.
        difference: The largest |F(s(t-1)) - s(t)| after the last of them, in units of max(1, |s|).
    """

    how: str
    iterations: int = 0
    difference: float = 0.0


class Parallel:
    """The parallel engine for one plan.

    Args:
        plan: The plan.
        device: Where the tensors are.
        newton: How a loop that is not linear is solved.

    Attributes:
        solution: How the last call was solved, None before the first.

    Raises:
        NotCoveredError: Where the loop cannot be run on the rows of all steps together.
    """

    def __init__(self, plan: Plan, device: torch.device, newton: Newton) -> None:
        self.plan, self.newton = plan, newton
        self.solution: Solution | None = None
        self.has_told = False
        if not plan.loop:
            return
        first, *_ = plan.step.state
        for value in plan.step.state:
            if value.dtype not in TOLERANCES or value.dtype != first.dtype:
                raise NotCoveredError(f"the state {value.name} is {short(value.dtype)}")
        self.tangent = Tangent.of(plan, device)
        self.is_linear = is_linear(plan)
        sizes = tuple(tuple(sizes_at(value.shape[1:], 0)) for value in plan.step.state)
        size = Vectors(sizes, whole=True).length
        is_small = newton.jacobian == "auto" and size <= LARGEST_FULL
        whole = not self.is_linear and (newton.jacobian == "full" or is_small)
        self.vectors = Vectors(sizes, whole)
        if not whole and len(set(sizes)) > 1:
            raise NotCoveredError(
                "the tensors of the state have different sizes, which a diagonal Jacobian "
                'does not fit; jacobian="full" does'
            )

    def __call__(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
    ) -> Result:
        """Run the plan."""
        loop = self._solve if self.plan.loop else None
        return reference.run(self.plan, parameters, inputs, state, steps, resets, loop)

    def _solve(
        self,
        plan: Plan,
        shared: Environment,
        together: Environment,
        state: list[Tensor],
        steps: Steps,
        resets: Resets | None,
    ) -> tuple[Environment, Environment, list[Tensor]]:
        """What `reference.step_by_step` gives, for all steps together."""
        equations = Equations(self, {**shared, **together}, state, steps, resets)
        self.solution = equations.solve(self.newton, self.is_linear)
        if self.solution.how == "steps":
            self._tell()
            return reference.step_by_step(plan, shared, together, state, steps, resets)
        values = equations.values
        return {name: values[name] for name in read_outside_loop(plan)}, {}, equations.ends()

    def _tell(self) -> None:
        """Say once that Newton's method found no solution."""
        assert self.solution is not None
        if not self.has_told:
            self.has_told = True
            warn(
                f"Newton's method found no solution in {self.solution.iterations} iterations (the "
                f"difference is {self.solution.difference:.1e}): the loop runs step by step. More "
                "iterations, a larger tolerance or another engine may help"
            )


class Equations:
    """The equations s(t) = F(s(t-1)) of a loop over all steps, and their solution."""

    def __init__(
        self,
        engine: Parallel,
        given: Environment,
        state: list[Tensor],
        steps: Steps,
        resets: Resets | None,
    ) -> None:
        self.plan, self.tangent, self.vectors = engine.plan, engine.tangent, engine.vectors
        self.given, self.state, self.resets = given, state, resets
        self.values: Environment = {}
        self.next: list[Tensor] = []  # F, packed
        self.trajectory = Trajectory(steps, state[0].shape[0], state[0].device)
        self.initial = self.vectors.join(state)

    def solve(self, newton: Newton, is_linear: bool) -> Solution:
        """Find the states; leaves the values of the step on all rows in `values`."""
        tolerance = newton.tolerance or TOLERANCES[self.initial.dtype]
        guess = self.initial.expand(len(self.trajectory.steps.batch_sizes), *self.initial.shape)
        difference = self._run(guess)
        if is_linear:
            self._run(self._solved(1.0))
            return Solution("scan")
        guess = self._solved(0.0)  # the step from the guess: a better one, where it is all zeros
        share, accepted, least = 1.0, guess, torch.inf
        for iteration in range(1, newton.max_iterations + 1):
            difference = self._run(guess)
            if difference <= tolerance:
                return Solution("newton", iteration, difference)
            if difference < LARGEST_GROWTH * least or share == 0:
                accepted, least = guess, min(difference, least)
                share = min(1.0, max(4 * share, 1 / 4))
            else:
                share = share / 4 if share > 1 / 64 else 0.0
                self._run(accepted)
            guess = self._solved(share)
        return Solution("steps", newton.max_iterations, difference)

    def ends(self) -> list[Tensor]:
        """The state at the end."""
        carried = self.next
        if self.resets is not None and self.resets.divert:
            flags = self.resets.flags
            rows = self.trajectory.row_of_batch[flags]
            for total, now in zip(self.resets.to, self.next, strict=True):
                total.index_add_(0, rows, now[flags])
            carried = self.vectors.split(self._carried())
        last = self.trajectory.last_rows
        return [
            reference.replace_rows(old, new[last], len(last))
            for old, new in zip(self.state, carried, strict=True)
        ]

    def _run(self, guess: Tensor) -> float:
        """Run the step on all rows from a guess (T, B, ...); returns how far it is from it."""
        self.begins = self._begins(guess)
        self.values = dict(self.given)
        names = [value.name for value in self.plan.step.state]
        self.values.update(zip(names, self.vectors.split(self.begins), strict=True))
        evaluate(self.plan.loop, self.values, len(self.begins))
        self.next = [self.values[name] for name in self.plan.step.next_state]
        known = self.trajectory.gather(guess)
        difference = (self._carried() - known).abs() / known.abs().clamp_min(1)
        return float(difference.max().nan_to_num(torch.inf))

    def _begins(self, guess: Tensor) -> Tensor:
        """What each step begins with, packed."""
        begins = self.trajectory.gather(torch.cat([self.initial[None], guess[:-1]]))
        if self.resets is None or self.resets.divert:
            return begins
        starts = self.vectors.join(self.resets.to)[self.trajectory.row_of_batch]
        return torch.where(self._flags(begins), starts, begins)

    def _carried(self) -> Tensor:
        """What each step leaves to the next one, packed."""
        found = self.vectors.join(self.next)
        if self.resets is None or not self.resets.divert:
            return found
        return torch.where(self._flags(found), 0, found)

    def _flags(self, like: Tensor) -> Tensor:
        assert self.resets is not None
        return reference.column(self.resets.flags, 0, like)

    def _solved(self, share: float) -> Tensor:
        """The next guess: the solution of the equations made linear at the last one.

        Args:
            share: What the Jacobians are multiplied by; less takes smaller steps, and with 0 each
                state follows from the guess of the one before it.
        """
        matrices = share * self._jacobians() if share else self._no_jacobians()
        carried = self._carried()
        if self.resets is not None:
            matrices = torch.where(self._flags(matrices), 0, matrices)
        offsets = carried - apply(matrices, self.begins)
        one = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
        matrices = self.trajectory.spread(matrices, one)
        offsets = self.trajectory.spread(offsets, offsets.new_zeros(()))
        first = offsets[0] + apply(matrices[0], self.initial)
        return solve_recurrence(matrices, torch.cat([first[None], offsets[1:]]))

    def _no_jacobians(self) -> Tensor:
        return self.begins.new_zeros(*self.begins.shape, self.begins.shape[-1])

    def _jacobians(self) -> Tensor:
        """How what each step leaves moves with what it begins with, (N, ..., K, K)."""
        along = self.tangent.along if self.vectors.whole else self.tangent.along_places
        columns = []
        for column in range(self.vectors.length):
            move = torch.zeros_like(self.begins)
            move[..., column] = 1
            columns.append(self.vectors.join(along(self.vectors.split(move), self.values)))
        return torch.stack(columns, -1)
