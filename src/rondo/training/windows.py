"""A batch of sequences in windows, for a task's truncated backpropagation through time.

In goes a batch and k, `window_size` of the recipe; out come batches, to be run one after another,
each from the state that the one before left. There is still one step of the optimiser for a batch.

A task with an answer at every step: windows are steps 1 ... k, k + 1 ... 2k and so on. The losses
of the windows add up to that of the batch, and their gradients add up too; that of a window ends at
its first step. So the loss is what it would be without windows, and the gradient lacks what goes
over a cut.

A task with one answer, after the last step: all but the last k steps of each sequence run without
a gradient, its last k steps with one, from the state that was reached. So the gradient goes back k
steps from the end of each sequence, whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.errors import RunError
from rondo.training.recipe import Recipe
from rondo.training.task import Task
from rondo.training.truncated import runs_backward


@dataclass(frozen=True)
class Window:
    """Some steps of a batch.

    Args:
        batch: These steps; it continues where others came before.
        has_gradient: Whether something is learnt from them, rather than the state carried alone.
    """

    batch: Batch
    has_gradient: bool = True


def windows_of(batch: Batch, window_size: int | None, *, final: bool) -> Iterator[Window]:
    """Returns the windows of a batch in the order of time; with None there is one.

    Args:
        batch: Sequences; with one answer they may have `inputs` alone in time.
        window_size: k.
        final: Whether there is one answer, after the last step of each.

    Example:
        >>> import torch
        >>> from rondo.data.batch import Batch
        >>> from rondo.training.windows import windows_of
        >>> batch = Batch(torch.zeros(2, 7, 3), torch.zeros(2, 7), torch.tensor([5, 2]))
        >>> [window.batch.lengths.tolist() for window in windows_of(batch, 3, final=False)]
        [[3, 2], [2, 0]]
    """
    if window_size is None:
        yield Window(batch)
    elif final:
        yield from _last_steps(batch, window_size)
    else:
        yield from _cut(batch, window_size)


def check_windows(task: Task, recipe: Recipe, model: nn.Module | None = None) -> None:
    """Raises `RunError` where a task or its network cannot be trained in windows.

    Args:
        task: The task.
        recipe: How it is trained.
        model: The network, where there is one yet.
    """
    if recipe.window_size is None:
        return
    if "window_size" in task.unused:
        raise _refused(task, "its network carries no state from step to step")
    if task.loss is not None and not task.final:
        raise _refused(task, "its loss is that of whole sequences, no sum over their steps")
    backward = None if model is None else runs_backward(model)
    if backward is not None:
        raise _refused(task, f"{backward} runs from the last step to the first")


def check_state(task: Task, state: object) -> None:
    """Raises `RunError` where a window left no state for the next."""
    if state is None or state == ():
        raise _refused(task, "its network returns no state with which the next steps could go on")


def _refused(task: Task, why: str) -> RunError:
    return RunError(
        f"{task.name} cannot be trained in windows: {why}; leave out recipe.window_size"
    )


def _cut(batch: Batch, size: int) -> Iterator[Window]:
    """Windows of a batch with an answer at every step; none begins after the last step of all."""
    num_steps, lengths = batch.inputs.shape[1], batch.lengths
    longest = num_steps if lengths is None else int(lengths.max())
    for start in range(0, max(1, longest), size):
        steps = slice(start, start + size)
        yield Window(
            replace(
                batch,
                inputs=batch.inputs[:, steps],
                targets=batch.targets[:, steps],
                lengths=None if lengths is None else _within(lengths, start, size, num_steps),
                allowed=None if batch.allowed is None else batch.allowed[:, steps],
                continues=batch.continues or start > 0,
            )
        )


def _within(lengths: Tensor, start: int, size: int, num_steps: int) -> Tensor:
    """The steps of each row in a window."""
    return (lengths - start).clamp(0, min(size, num_steps - start))


def _last_steps(batch: Batch, size: int) -> Iterator[Window]:
    """The steps before the last ones of each row, if there are any, and the last ones."""
    num_rows, num_steps = batch.inputs.shape[:2]
    lengths = torch.full((num_rows,), num_steps) if batch.lengths is None else batch.lengths
    before = (lengths - size).clamp_min(0)
    if not bool(before.any()):
        yield Window(batch)
        return
    first = batch.inputs[:, : int(before.max())]
    yield Window(replace(batch, inputs=first, lengths=before), has_gradient=False)
    steps = before[:, None] + torch.arange(min(size, num_steps))
    steps = steps.clamp_max(num_steps - 1).to(batch.inputs.device)
    rows = torch.arange(num_rows, device=steps.device)[:, None]
    yield Window(
        replace(batch, inputs=batch.inputs[rows, steps], lengths=lengths - before, continues=True)
    )
