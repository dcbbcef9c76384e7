"""The threads that all kernels of a process share; see `c/pool.c`.

With `RONDO_OPENMP=0` in the environment they are threads of our own alone, never torch's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from importlib.resources import files
from typing import Any

import torch

from rondo.compiler.runtime import load

_library: ctypes.CDLL | None = None
_loading = threading.Lock()
_is_child = False


def pool() -> int:
    """The address of what kernels are given to share their work."""
    global _library
    with _loading:
        if _library is None:
            _library = _load()
    return ctypes.addressof(ctypes.c_char.in_dll(_library, "rondo_pool"))


def _load() -> ctypes.CDLL:
    folder = files("rondo.compiler").joinpath("c")
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in ("share.c", "pool.c")]
    library = load("#include <stdint.h>\n" + "\n".join(texts))
    if not _is_child:
        library.rondo_use_openmp(openmp())
    return library


def openmp() -> Any:
    """What has work shared by torch's threads; None where kernels have threads of their own."""
    if os.environ.get("RONDO_OPENMP") == "0":
        return None
    return getattr(ctypes.CDLL(None), "GOMP_parallel", None)


def _begin_in_child() -> None:
    """Set up a child that was forked, which lacks the threads of its parent.

    Kernels make their own. OpenMP does not: every larger operation of torch would wait for them
    without end. So where kernels ran on several threads, torch gets one thread in the child, as in
    the workers of its `DataLoader`.
    """
    global _is_child, _loading
    _is_child, _loading = True, threading.Lock()
    if _library is not None and _library.rondo_has_shared():
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
