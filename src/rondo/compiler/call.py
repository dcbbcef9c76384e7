"""What a kernel is told, and what it is given: the counterpart of `c/call.c`."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Any, ClassVar

from rondo.compiler.kernel import Buffer

SPOILS = bool(os.environ.get("RONDO_SPOIL"))
"""Whether memory that a kernel writes holds NaN until it is written: tests see what is read before.

It is read once; without it, kernels have no trace of it.
"""

PAIRED = {"": None, "0": False}.get(os.environ.get("RONDO_PAIRED", ""), True)
"""Whether kernels of bfloat16 multiply pairs of them; None: where the processor does.

It is read once. Tests see so what other processors do, and it can be timed what it brings.
"""


class Span(ctypes.Structure):
    """Which steps a run does; see `c/call.c` and `c/wavefront.c`."""

    _fields_: ClassVar[tuple[tuple[str, Any], ...]] = (
        ("first_step", ctypes.c_int64),
        ("num_steps", ctypes.c_int64),
        ("begins", ctypes.c_int64),
        ("ends", ctypes.c_int64),
        ("chunk_row", ctypes.c_int64),
        ("chunk_goes_on", ctypes.c_int64),
    )


class Call(Span):
    """What a run of a kernel is given, behind its steps; see `c/call.c`."""

    _fields_ = (
        ("tensors", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("previous", ctypes.c_void_p),
        ("batch_sizes", ctypes.c_void_p),
        ("num_all_steps", ctypes.c_int64),
        ("num_rows", ctypes.c_int64),
        ("reverse", ctypes.c_int64),
        ("previous_reverse", ctypes.c_int64),
        ("resets", ctypes.c_void_p),
        ("divert", ctypes.c_int64),
        ("num_parts", ctypes.c_int64),
        ("team", ctypes.c_int64),
        ("shares_steps", ctypes.c_int64),
        ("num_threads", ctypes.c_int64),
        ("chunk_rows", ctypes.c_int64),
        ("in_place", ctypes.c_int64),
        ("state_unread", ctypes.c_int64),
        ("products", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("set_by_the_kernel", ctypes.c_int64 * 7),
    )


@dataclass(frozen=True)
class Slot:
    """A buffer that a kernel is given, in the order in which it expects them.

    Args:
        buffer: The buffer.
        dim: The dimension of the rows in the value that lies there.
        output: The output of the plan that is written there, or None.
    """

    buffer: Buffer
    dim: int
    output: str | None


@dataclass(frozen=True)
class Sizes:
    """What a kernel is told of the sizes of a batch.

    Args:
        call: A call in which all of it is set, and nothing else.
        batch_sizes: The rows of each step, which the call points to.
        workspace_bytes: The memory that a run takes.
    """

    call: Call
    batch_sizes: Any
    workspace_bytes: int
