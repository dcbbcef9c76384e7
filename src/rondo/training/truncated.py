"""Truncated backpropagation through time: a long sequence in windows, its state carried on.

The gradient of a window ends at its first step: the state that came before enters as a number.
Memory for the backward pass is that of one window, and a parameter may change after each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rondo.layers import Bidirectional, Recurrent
from rondo.layers.sequence import check_lengths, check_resets


@dataclass(frozen=True)
class Window:
    """Some steps of a batch of sequences, and what the network made of them.

    Args:
        outputs: The outputs of these steps (B, k, ...).
        state: The state after the last of them.
        lengths: (B,) how many of these steps each row has, or None where it has all.
        start: The number of the first of these steps in the sequence, from 0.
        end: The number of the step that follows the last.
        num_steps: T, the steps of the whole sequence.
        batch_first: Whether sequences are (B, T, ...), rather than (T, B, ...).
    """

    outputs: Any
    state: Any
    lengths: Tensor | None
    start: int
    end: int
    num_steps: int
    batch_first: bool = True

    def cut(self, sequences: Tensor) -> Tensor:
        """These steps of other sequences (B, T, ...), such as the targets.

        Raises:
            ValueError: Where they have not T steps.
        """
        dim = 1 if self.batch_first else 0
        if sequences.ndim < 2 or sequences.shape[dim] != self.num_steps:
            raise ValueError(
                f"the sequences to cut must have T = {self.num_steps} steps in dimension {dim}, "
                f"got {tuple(sequences.shape)}"
            )
        return sequences.narrow(dim, self.start, self.end - self.start)


def tbptt(
    layer: Callable[..., Any],
    x: Tensor,
    window_size: int,
    state: Any = None,
    *,
    lengths: Tensor | None = None,
    resets: Tensor | None = None,
    batch_first: bool | None = None,
) -> Iterator[Window]:
    """Run a network over long sequences in windows, for truncated backpropagation through time.

    Each window starts from the state that the one before left, detached. Call `backward` on the
    loss of a window, and step the optimiser or not, before the next is asked for. With a sum over
    steps the losses of the windows add up to that of the whole sequence; with one window for all
    steps this is full backpropagation.

    Williams & Peng, 1990, with as many steps back as forward.

    Args:
        layer: A loop, a stack, or any network called as `layer(x, state)`, and with `lengths` and
            `resets` where they are given, that returns outputs (B, T, ...) and a state.
        x: Sequences (B, T, ...).
        window_size: k, the steps of a window; the last may have fewer.
        state: The state before the first step; gradients reach it. Default the network's own.
        lengths: (B,) the steps of each row. There is no window after the last of them.
        resets: (B, T) bool: where true, the state is again that before the first step, as for
            :class:`rondo.Recurrent`; after the first window without a gradient to a given `state`.
        batch_first: Whether sequences are (B, T, ...); default as the layer's `batch_first`, or
            true where it has none.

    Returns:
        An iterator over the windows, in the order of time.

    Raises:
        ValueError: Where shapes do not fit, or the network runs backward in time.
        TypeError: Where something is not a tensor of the right kind.

    Example:
        >>> import torch, rondo
        >>> from rondo.training import Objective, tbptt
        >>> layer = rondo.Recurrent(rondo.LSTMCell(3, 2))
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> objective = Objective("euclidean")
        >>> x, targets = torch.randn(4, 100, 3), torch.zeros(4, 100, 2)
        >>> for window in tbptt(layer, x, 40):
        ...     optimizer.zero_grad()
        ...     objective(window.outputs, window.cut(targets), window.lengths).backward()
        ...     optimizer.step()
        >>> window.start, window.end
        (80, 100)
    """
    _check(layer, x, window_size)
    is_batch_first = getattr(layer, "batch_first", True) if batch_first is None else batch_first
    batch_size, num_steps = x.shape[:2] if is_batch_first else x.shape[1::-1]
    if lengths is not None:
        check_lengths(lengths, batch_size, num_steps)
    if resets is not None:
        check_resets(resets, batch_size, num_steps)
    return _windows(_Network(layer, is_batch_first), x, window_size, state, lengths, resets)


def detached(state: Any) -> Any:
    """The same state, cut off from what made it, to carry on in a stream; None stays None.

    Example:
        >>> import torch, rondo
        >>> from rondo.training import detached
        >>> layer, state = rondo.Recurrent(rondo.LSTMCell(3, 5)), None
        >>> for x in torch.randn(4, 2, 10, 3):  # chunks (B, T, I) of one stream
        ...     y, state = layer(x, detached(state))
        ...     y.square().sum().backward()
        >>> state[0].requires_grad, detached(state)[0].requires_grad
        (True, False)
    """
    return pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, state)


@dataclass(frozen=True)
class _Network:
    """What runs a window, and how its sequences lie."""

    layer: Callable[..., Any]
    batch_first: bool

    @property
    def time_dim(self) -> int:
        return 1 if self.batch_first else 0

    def run(self, x: Tensor, state: Any, **given: Tensor | None) -> tuple[Any, Any]:
        """The outputs and the state after the last step; of what is given, what is not None."""
        options = {name: value for name, value in given.items() if value is not None}
        returned = self.layer(x, state, **options)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(
                "the network must return its outputs and its state, (outputs, state), got "
                f"{type(returned).__name__}"
            )
        return returned

    def run_on(
        self, x: Tensor, state: Any, initial: Any, lengths: Tensor | None, resets: Tensor
    ) -> tuple[Any, Any]:
        """Go on from a carried state where rows may begin anew from another, the initial one."""
        outputs, after = self.run(x, state, lengths=lengths)
        if lengths is not None:
            steps = torch.arange(resets.shape[1], device=resets.device)
            resets = resets & (steps < lengths.to(resets.device)[:, None])
        if not resets.any():
            return outputs, after
        anew, after_anew = self.run(x, initial, lengths=lengths, resets=resets)
        is_anew = (resets.cumsum(1) > 0).to(x.device)
        by_step = is_anew if self.batch_first else is_anew.transpose(0, 1)
        return _where(by_step, anew, outputs), pytree.tree_map(
            lambda a, b: _where(is_anew[:, -1], a, b), after_anew, after
        )


def _windows(
    network: _Network,
    x: Tensor,
    window_size: int,
    state: Any,
    lengths: Tensor | None,
    resets: Tensor | None,
) -> Iterator[Window]:
    dim, initial = network.time_dim, detached(state)
    num_steps = x.shape[dim]
    longest = num_steps if lengths is None else max(lengths.tolist(), default=0)
    for start in range(0, longest, window_size):
        size = min(window_size, num_steps - start)
        here = x.narrow(dim, start, size)
        lengths_here = None if lengths is None else (lengths - start).clamp(0, size)
        resets_here = None if resets is None else resets.narrow(1, start, size)
        if start == 0 or resets_here is None:
            found = network.run(here, state, lengths=lengths_here, resets=resets_here)
        else:
            begin = network.run(x.narrow(dim, 0, 0), None)[1] if initial is None else initial
            found = network.run_on(here, state, begin, lengths_here, resets_here)
        yield Window(*found, lengths_here, start, start + size, num_steps, network.batch_first)
        state = detached(found[1])


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Of two tensors the first where it is chosen; the dimensions of `chosen` come first."""
    return torch.where(chosen.view(*chosen.shape, *[1] * (a.ndim - chosen.ndim)), a, b)


def _check(layer: Callable[..., Any], x: Tensor, window_size: int) -> None:
    if not isinstance(window_size, int) or window_size < 1:
        raise ValueError(
            f"window_size must be a whole number of steps, 1 or more, got {window_size!r}"
        )
    if not isinstance(x, Tensor) or x.is_nested or x.ndim < 2:
        got = tuple(x.shape) if type(x) is Tensor and not x.is_nested else type(x).__name__
        raise TypeError(
            f"x must be padded sequences (B, T, ...), with lengths where they are ragged, got {got}"
        )
    if _is_backward(layer):
        raise ValueError(
            f"{type(layer).__name__} runs from the last step to the first, so a window has no "
            "state to hand to the next; use full backpropagation, with checkpoint_every where "
            "memory is short"
        )


def runs_backward(network: nn.Module) -> str | None:
    """Returns the name of a layer of a network that runs from the last step to the first, or None.

    Example:
        >>> import rondo
        >>> from rondo.training.truncated import runs_backward
        >>> runs_backward(rondo.Bidirectional(rondo.GRUCell(3, 4), rondo.GRUCell(3, 4)))
        'Bidirectional'
    """
    return next((type(one).__name__ for one in network.modules() if _is_backward(one)), None)


def _is_backward(layer: object) -> bool:
    is_reversed = isinstance(layer, Recurrent) and layer.reverse
    is_bidirectional = getattr(layer, "bidirectional", False)
    return isinstance(layer, Bidirectional) or bool(is_bidirectional) or is_reversed
