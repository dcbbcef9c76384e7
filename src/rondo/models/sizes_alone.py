"""Networks that are made for the sake of their sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

FILLS = (
    *(Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.bernoulli_, Tensor.exponential_),
    *(init.normal_, init.uniform_),
)
"""How networks fill their weights with random numbers."""


@contextmanager
def sizes_alone() -> Iterator[None]:
    """Networks that are made in the block have sizes, but neither memory nor values.

    It is `torch.device("meta")` without random numbers, of which tensors without memory need none:
    to draw them there, torch loads TorchDynamo, which takes seconds. It still does for networks
    that multiply or add tensors when they are made.

    Example:
        >>> import torch
        >>> from rondo.models.sizes_alone import sizes_alone
        >>> with sizes_alone():
        ...     layer = torch.nn.Linear(10**6, 10**6)
        >>> layer.weight.shape
        torch.Size([1000000, 1000000])
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves out what fills weights."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        given = options or {}
        if function in FILLS:
            return arguments[0] if arguments else given["tensor"]
        return function(*arguments, **given)
