"""A call of a kernel that is made only while memory holds what it held.

In go tensors, of which a kernel was given something that was made of them, and its call; out comes
a function that makes the call, or says that a tensor was written since. `guards_of` tells whether
the tensors themselves are others.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from torch import Tensor
from torch._C._dynamo.guards import TensorGuards

from rondo.compiler.runtime import load


class _Guarded(ctypes.Structure):
    """See `c/unless_changed.c`."""

    _fields_ = (
        ("num_pieces", ctypes.c_int64),
        ("pieces", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("then", ctypes.c_void_p),
        ("run", ctypes.c_void_p),
        ("call", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("busy", ctypes.c_int),
    )


class Guarded:
    """A call of a kernel that is made only while tensors hold what they hold now.

    Args:
        tensors: The tensors.
        function: The function of the kernel.
        call: Its argument.
    """

    def __init__(self, tensors: Sequence[Tensor], function: Any, call: ctypes.Structure) -> None:
        library = _library()
        spans = [_span(tensor) for tensor in tensors if tensor.numel()]
        array = ctypes.c_int64 * len(spans)
        then = ctypes.create_string_buffer(library.rondo_fingerprint_bytes())
        pieces, sizes = array(*(begin for begin, _ in spans)), array(*(size for _, size in spans))
        self.kept = tensors, pieces, sizes, then, call
        self.told = _Guarded(
            len(spans),
            ctypes.addressof(pieces),
            ctypes.addressof(sizes),
            ctypes.addressof(then),
            ctypes.cast(function, ctypes.c_void_p).value,
            ctypes.addressof(call),
        )
        library.rondo_remember(ctypes.byref(self.told))
        self.library, self.argument = library, ctypes.addressof(self.told)

    def run_unless_changed(self) -> bool:
        """Make the call; where the tensors hold something else, return False instead."""
        return bool(self.library.rondo_run_unless_changed(self.argument))

    def steps(self, addresses: ctypes.Array[ctypes.c_int64], x: int | None, y: int) -> None:
        """From now on calls are steps: the numbers of the addresses of its input and output."""
        at, self.addresses = ctypes.addressof(addresses), addresses
        self.told.x = None if x is None else at + 8 * x
        self.told.y = at + 8 * y


def guards_of(tensors: Sequence[Tensor]) -> TensorGuards:
    """What tells by `check(*others)` whether other tensors are like these.

    That is torch's own look at tensors: their types, devices, sizes, strides, whether they need a
    gradient, and what stands between them and a kernel: transforms, modes, autocast, inference.
    """
    return TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None)


def _span(tensor: Tensor) -> tuple[int, int]:
    """Where the memory of a tensor begins, and its bytes up to the last element."""
    steps = (step * (size - 1) for step, size in zip(tensor.stride(), tensor.shape, strict=True))
    return tensor.data_ptr(), (sum(steps) + 1) * tensor.itemsize


@functools.cache
def _library() -> ctypes.CDLL:
    source = files("rondo.compiler").joinpath("c", "unless_changed.c")
    library = load(source.read_text(encoding="utf-8"))
    library.rondo_run_unless_changed.argtypes = [ctypes.c_void_p]
    for name in ("rondo_step", "rondo_step_unless_changed"):
        getattr(library, name).argtypes = [ctypes.c_void_p] * 3
    return library
