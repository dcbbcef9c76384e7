"""Dropout around a loop: on what goes in and comes out, and on its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence


class VariationalDropout(nn.Module):
    """Dropout that is the same at every step of a sequence: y(t) = m x(t).

    m is 0 with probability p and otherwise 1 / (1 - p), one number for each row and unit. In `eval`
    mode y is x.

    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", 2016: before a layer and after it. For the state use :class:`rondo.VariationalCell`.

    Args:
        p: The probability of a zero, 0 to 1.
        batch_first: Whether sequences are (B, T, ...), rather than (T, B, ...).

    Shape:
        x (B, T, ...) or a `PackedSequence`; y likewise.

    Example:
        >>> import torch, rondo
        >>> y = rondo.VariationalDropout(0.5)(torch.ones(2, 7, 3))
        >>> bool((y == y[:, :1]).all())
        True
    """

    def __init__(self, p: float = 0.5, *, batch_first: bool = True) -> None:
        super().__init__()
        self.p, self.batch_first = _checked(p), batch_first

    def forward(self, x: Any) -> Any:
        """The sequences with the same units dropped at every step."""
        if not self.training:
            return x
        if isinstance(x, PackedSequence):  # step after step, each with the first rows of the batch
            sizes = x.batch_sizes.tolist()
            mask = self._mask(x.data, (sizes[0], *x.data.shape[1:]))
            return x._replace(data=x.data * torch.cat([mask[:size] for size in sizes]))
        time_dim = 1 if self.batch_first else 0
        return x * self._mask(x, (*x.shape[:time_dim], 1, *x.shape[time_dim + 1 :]))

    def _mask(self, like: Tensor, sizes: Sequence[int]) -> Tensor:
        return dropout(like.new_ones(tuple(sizes)), self.p)

    def extra_repr(self) -> str:
        """What differs from the defaults, as torch prints it."""
        return f"p={self.p}" + ("" if self.batch_first else ", batch_first=False")


class DropConnect(nn.Module):
    """A layer some of whose weights are zero, drawn anew at every call.

    In training a weight w is 0 with probability p and otherwise w / (1 - p), the same for all rows
    and steps of a call. In `eval` mode it is w.

    Wan et al., "Regularization of neural networks using DropConnect", 2013; on recurrent weights as
    in Merity et al., "Regularizing and optimizing LSTM language models", 2018. The weights are
    dropped before the run, so the layer itself, and its kernel, knows nothing of it.

    Args:
        layer: Any layer of this package, or any module.
        p: The probability of a zero, 0 to 1.
        names: The parameters to drop, by the last part of their names.

    Shape:
        As for the layer.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.DropConnect(rondo.Recurrent(rondo.LSTMCell(3, 5)), 0.5)
        >>> y, (h, c) = layer(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(
        self, layer: nn.Module, p: float = 0.5, *, names: Sequence[str] = ("weight_hh",)
    ) -> None:
        super().__init__()
        self.layer, self.p, self.names = layer, _checked(p), tuple(names)
        known = [name.rpartition(".")[2] for name, _ in layer.named_parameters()]
        for name in self.names:
            if name not in known:
                raise ValueError(
                    f"names must be parameters of the layer, {', '.join(dict.fromkeys(known))}; "
                    f"got {name!r}"
                )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer; arguments as for the layer."""
        if not self.training:
            return self.layer(*args, **kwargs)
        dropped = {
            name: dropout(weight, self.p)
            for name, weight in self.layer.named_parameters()
            if name.rpartition(".")[2] in self.names
        }
        return torch.func.functional_call(self.layer, dropped, args, kwargs)

    def extra_repr(self) -> str:
        """The probability and the names, as torch prints them."""
        return f"p={self.p}, names={self.names}"


def _checked(p: object) -> float:
    if not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ValueError(f"p must be a probability, 0 to 1, got {p!r}")
    return p
