"""A device that is none, for tests of what moves: its tensors say "meta" and hold values.

Inside `stand_in_device()` a tensor that goes to the device "meta", or is made there, keeps its
values beside. An operation on such a tensor and on one that stayed on the CPU fails, as it does on
an accelerator, but for single numbers and for indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from rondo.training import device

DEVICE = torch.device("meta")

MAY_MIX = {
    *("aten::_to_copy", "aten::copy_", "aten::index.Tensor", "aten::index_put_"),
    *("aten::index_put", "aten::_index_put_impl_", "aten::index"),
    *("aten::_ctc_loss", "aten::_ctc_loss_backward"),  # brings the lengths where it needs them
}
"""What takes tensors of both devices on an accelerator too."""


class Moved(Tensor):
    """A tensor of the stand-in device; what it holds lies on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Moved:
        moved: Moved = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        moved.held = held
        return moved

    def tolist(self) -> Any:
        """What it holds, as lists."""
        return self.held.tolist()

    def __repr__(self, **_given: Any) -> str:  # type: ignore[override]
        return f"Moved({self.held!r})"

    @classmethod
    def __torch_dispatch__(
        cls,
        function: Any,
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        return computed(function, arguments, dict(options or {}))


class _There(TorchDispatchMode):
    """Makes and moves tensors where the stand-in device is named."""

    def __torch_dispatch__(
        self,
        function: Any,
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        return computed(function, arguments, dict(options or {}))


def computed(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Computes on the CPU; the results are where they would be."""
    given = [leaf for leaf in pytree.tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
    moved = [leaf for leaf in given if isinstance(leaf, Moved)]
    wanted = options.get("device")
    if wanted is not None:
        options["device"] = torch.device("cpu")
    is_there = bool(moved) if wanted is None else torch.device(wanted) == DEVICE
    name = function._schema.name
    left = [leaf for leaf in given if not isinstance(leaf, Moved) and leaf.ndim > 0]
    if moved and left and name not in MAY_MIX:
        raise AssertionError(f"{name}: a tensor {tuple(left[0].shape)} stayed on the CPU")
    if name == "aten::copy_":
        is_there = isinstance(arguments[0], Moved)
    inner = {id(leaf.held): leaf for leaf in moved}
    arguments, options = pytree.tree_map_only(Moved, lambda leaf: leaf.held, (arguments, options))
    found = function(*arguments, **options)
    if not is_there:
        return found

    def placed(leaf: Tensor) -> Tensor:
        return inner[id(leaf)] if id(leaf) in inner else Moved(leaf)

    return pytree.tree_map_only(Tensor, placed, found)


@contextmanager
def stand_in_device() -> Iterator[None]:
    """There is such a device in the block; it is the accelerator that is found."""
    with pytest.MonkeyPatch.context() as patch, _There():
        patch.setattr(device, "accelerator", lambda: DEVICE)
        adam = import_module("torch.optim.adam")  # the attribute of `torch.optim` is gone
        patch.setattr(adam, "_device_dtype_check_for_fused", lambda *_: None)
        yield
