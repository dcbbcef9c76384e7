"""A sequence that arrives one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rondo.cells import initial_state
from rondo.compiler.advancing import Advancer, Parts
from rondo.compiler.state import flatten
from rondo.layers.call import is_plain
from rondo.layers.single_steps import new_advancer

if TYPE_CHECKING:
    from rondo.layers.recurrent import Recurrent


class Stream:
    """Runs a layer one step at a time and keeps the state; made by :meth:`rondo.Recurrent.stream`.

    What does not change from step to step is set up once, so a step takes little more than its
    arithmetic. Every change of a parameter or buffer is noticed, whoever writes it; where an
    attribute of the cell changes, begin another stream. No gradient is kept.

    Shape:
        x (B, ...); the output (B, ...). All steps of a stream have the same batch.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Recurrent(rondo.GRUCell(3, 5))
        >>> stream, x = layer.stream(), torch.randn(2, 7, 3)
        >>> outputs = [stream(x_t) for x_t in x.unbind(1)]
        >>> torch.allclose(torch.stack(outputs, 1), layer(x)[0], atol=1e-6)
        True
    """

    def __init__(self, layer: Recurrent, state: Any = None) -> None:
        self._layer = layer
        self._initial = state
        self._state = state
        self._x: Tensor | None = None  # an example
        self._advancer: Advancer | None = None  # keeps the state while there is one
        self._parts = Parts()
        self._again: Callable[[Tensor], Tensor | None] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The output of the next step."""
        again = self._again
        if again is not None and not torch.compiler.is_compiling():
            y = again(x)
            if y is not None:
                return y
        return self._step(x)

    def _step(self, given: Tensor) -> Tensor:
        """The output of a step that is not like the last one in all."""
        x = given.contiguous()
        if self._advancer is not None and not torch.compiler.is_compiling():
            y = None if self._again is None or x is given else self._again(x)
            y = self._advanced(self._advancer, x) if y is None else y
            if y is not None:
                return y
        with torch.no_grad():
            y, state = self._layer.step(x, self.state)
            self._x, self._state, self._again = x.detach(), state, None
            self._advancer = self._new_advancer(x, state)
        return y

    def _advanced(self, advancer: Advancer, x: Tensor) -> Tensor | None:
        """The output of a step by the kernel; None where the cell is not what it was."""
        if not (self._parts.are_there() and self._fits(x) and advancer.is_current()):
            return None
        y = advancer(x)
        self._again = advancer.quick(x, self._parts)
        return y

    @property
    def state(self) -> Any:
        """A copy of the state after the last step, in the form of the cell's; None before any."""
        if self._state is None:
            return None
        _, form = flatten(self._state)
        return form.unflatten([leaf.clone() for leaf in self._current()])

    def reset(self, rows: Tensor | None = None) -> None:
        """Go back to the state that the stream began with.

        Args:
            rows: (B,) bool: the rows of the batch that begin again; default all.

        Raises:
            TypeError: Where rows are not truth values.
            ValueError: Where they are not one for each row of the batch.
        """
        if self._x is None:
            return
        batch_size = len(self._x)
        if rows is None:
            rows = torch.ones(batch_size, dtype=torch.bool, device=self._x.device)
        if not isinstance(rows, Tensor) or rows.dtype != torch.bool:
            got = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
            raise TypeError(f"rows must be a tensor of bool, got {got}")
        if rows.shape != (batch_size,):
            raise ValueError(f"rows must be (B,) = ({batch_size},), got {tuple(rows.shape)}")
        first = self._initial
        first = initial_state(self._layer.cell, self._x) if first is None else first
        if self._advancer is None:
            self._state = self.state  # a copy, to write into
        for leaf, begin in zip(self._current(), flatten(first)[0], strict=True):
            leaf[rows] = begin.detach()[rows]

    def _current(self) -> Sequence[Tensor]:
        """The tensors of the state after the last step."""
        return flatten(self._state)[0] if self._advancer is None else self._advancer.state

    def _new_advancer(self, x: Tensor, state: Any) -> Advancer | None:
        """What runs the steps after the first; None where the layer's own `step` is to."""
        layer = self._layer
        has_kernel = (
            layer.engine not in ("reference", "plain") and layer._programs.stepping[1] is not None
        )
        if not has_kernel or not is_plain(x, flatten(state)[0]):
            return None
        advancer = new_advancer(layer._programs, layer.cell, x, state, layer._stepping_engine)
        if advancer is not None:
            owners: list[dict[str, Any]] = []
            for module in layer.cell.modules():
                owners += module._parameters, module._buffers, module._modules
            self._parts = Parts.of(owners, advancer.parameters)
        return advancer

    def _fits(self, x: Tensor) -> bool:
        """Whether x is like that of the last step."""
        example = self._x
        assert example is not None
        is_like = isinstance(x, Tensor) and x.shape == example.shape and x.dtype == example.dtype
        return is_like and is_plain(x)
