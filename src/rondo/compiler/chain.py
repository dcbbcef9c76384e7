"""Runs of several kernels, and copies of rows between them, in one call of C.

In go actions whose memory is named by a base and an offset, out comes a function of the addresses
of the bases. All else that C is told is set up once; what a run writes there is its own, so that
threads may run the same chain at the same time.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rondo.compiler.call import Call, Sizes, Span
from rondo.compiler.pool import pool
from rondo.compiler.runtime import load
from rondo.compiler.wavefront import Stagger

WORKSPACE = 0
"""The base of the memory that a run takes for itself."""


class Place(NamedTuple):
    """Where something lies: so many bytes from a base."""

    base: int
    offset: int = 0


OWN = Place(WORKSPACE)
"""The beginning of that memory."""


@dataclass(frozen=True)
class KernelRun:
    """A run of a kernel.

    Args:
        function: What runs it.
        call: What it is told, but for addresses.
        sizes: What the call was made of, and points to.
        strides: Those of its matrices.
        tensors: Where its tensors lie.
        previous: Where the states before the first step lie, and those after a reset.
        workspace: Where the memory lies that it takes for itself.
    """

    function: Any
    call: Call
    sizes: Sizes
    strides: tuple[int, ...]
    tensors: tuple[Place, ...]
    previous: tuple[Place, ...] = ()
    workspace: Place = OWN


@dataclass(frozen=True)
class Copy:
    """Rows that are copied, or added in numbers of `added_bytes`; from None: zeros."""

    to: Place
    source: Place | None
    row_bytes: int
    num_rows: int = 1
    to_stride: int = 0
    from_stride: int = 0
    added_bytes: int = 0


@dataclass(frozen=True)
class Wavefront:
    """Runs of kernels over the same steps, staggered over time; see `wavefront.py`.

    Args:
        runs: The runs, each of which reads, step by step, what the one before it has written.
        stagger: How they are staggered.
    """

    runs: tuple[KernelRun, ...]
    stagger: Stagger


Action = KernelRun | Copy | Wavefront


class Chain:
    """Actions, one after the other.

    Args:
        actions: The actions.
        num_bases: The number of bases, the workspace included.
        workspace_bytes: The memory that a run takes for itself.
        workspaces: Workspaces of runs that ended, for the next; it may serve several chains.
        keeps: Whether its own workspaces are kept there.
    """

    def __init__(
        self,
        actions: Sequence[Action],
        num_bases: int,
        workspace_bytes: int,
        workspaces: list[Tensor],
        *,
        keeps: bool = True,
    ) -> None:
        self.actions = actions
        self.num_bases = num_bases
        self.workspace_bytes = workspace_bytes
        self.workspaces = workspaces
        self.keeps = keeps
        self.idle: list[_Told] = []

    def __call__(self, *bases: int) -> None:
        """Run all actions on memory at these addresses; the first base is the workspace's own."""
        told, workspace = self._idle(), self._workspace()
        told.write(told.bases, 0, workspace.data_ptr(), *bases)
        told.function(told.argument)
        self.idle.append(told)
        if self.keeps:
            self.workspaces.append(workspace)

    def _idle(self) -> _Told:
        try:
            return self.idle.pop()
        except IndexError:
            return _Told(self.actions, self.num_bases)

    def _workspace(self) -> Tensor:
        try:
            found = self.workspaces.pop()
        except IndexError:
            found = None
        if found is None or found.numel() < self.workspace_bytes:
            found = torch.empty(self.workspace_bytes, dtype=torch.uint8, device="cpu")
        return found


class _Link(ctypes.Structure):
    """See `c/chain.c`."""

    _fields_ = (
        ("target", ctypes.c_void_p),
        ("base", ctypes.c_int64),
        ("offset", ctypes.c_int64),
    )


class _Action(ctypes.Structure):
    """See `c/chain.c`."""

    _fields_ = (
        ("run", ctypes.c_void_p),
        ("argument", ctypes.c_void_p),
        ("to", ctypes.c_void_p),
        ("source", ctypes.c_void_p),
        ("to_stride", ctypes.c_int64),
        ("from_stride", ctypes.c_int64),
        ("row_bytes", ctypes.c_int64),
        ("num_rows", ctypes.c_int64),
        ("added_bytes", ctypes.c_int64),
    )


class _Layer(ctypes.Structure):
    """See `c/wavefront.c`."""

    _fields_ = (
        ("run", ctypes.c_void_p),
        ("argument", ctypes.c_void_p),
        ("begun", ctypes.c_int64),
        ("done", ctypes.c_int64),
        ("other_lines", ctypes.c_char * 96),
    )


class _Wavefront(ctypes.Structure):
    """See `c/wavefront.c`."""

    _fields_ = (
        ("pool", ctypes.c_void_p),
        ("num_threads", ctypes.c_int64),
        ("num_layers", ctypes.c_int64),
        ("num_spans", ctypes.c_int64),
        ("num_kept", ctypes.c_int64),
        ("layers", ctypes.c_void_p),
        ("spans", ctypes.c_void_p),
    )


class _Chain(ctypes.Structure):
    """See `c/chain.c`."""

    _fields_ = (
        ("num_links", ctypes.c_int64),
        ("links", ctypes.c_void_p),
        ("num_actions", ctypes.c_int64),
        ("actions", ctypes.c_void_p),
        ("bases", ctypes.c_void_p),
    )


class _Told:
    """What C is told of a chain, in memory that one run at a time may use."""

    def __init__(self, actions: Sequence[Action], num_bases: int) -> None:
        self.kept: list[Any] = []
        self.links: list[_Link] = []
        made = [self._action(action) for action in actions]
        array = (_Action * len(made))(*made)
        for number, action in enumerate(actions):
            if isinstance(action, Copy):
                self._point_at(array[number], action)
        links = (_Link * len(self.links))(*self.links)
        self.write = struct.Struct(f"{num_bases}q").pack_into
        self.bases = (ctypes.c_int64 * num_bases)()
        chain = _Chain(
            len(links),
            ctypes.addressof(links),
            len(array),
            ctypes.addressof(array),
            ctypes.addressof(self.bases),
        )
        self.kept += [array, links, chain]
        self.argument = ctypes.byref(chain)
        self.function = _library().rondo_run_chain

    def _action(self, action: Action) -> _Action:
        if isinstance(action, Copy):
            return self._copy(action)
        if isinstance(action, Wavefront):
            return self._wavefront(action)
        function, call = self._run(action)
        return _Action(run=function, argument=call)

    def _wavefront(self, action: Wavefront) -> _Action:
        stagger = action.stagger
        layers = (_Layer * len(action.runs))(*(_Layer(*self._run(run)) for run in action.runs))
        spans = (Span * len(stagger.spans))(*stagger.spans)
        wavefront = _Wavefront(
            pool(),
            stagger.num_threads,
            len(layers),
            len(spans),
            stagger.num_kept(len(layers)),
            ctypes.addressof(layers),
            ctypes.addressof(spans),
        )
        self.kept += [layers, spans, wavefront]
        function = ctypes.cast(_library().rondo_run_wavefront, ctypes.c_void_p).value
        return _Action(run=function, argument=ctypes.addressof(wavefront))

    def _run(self, action: KernelRun) -> tuple[int | None, int]:
        """What runs a kernel, and where its argument lies."""
        call = Call.from_buffer_copy(action.call)
        tensors = self._addresses(action.tensors)
        previous = self._addresses(action.previous)
        strides = (ctypes.c_int64 * len(action.strides))(*action.strides)
        call.tensors, call.previous = ctypes.addressof(tensors), ctypes.addressof(previous)
        call.strides = ctypes.addressof(strides)
        self._link(ctypes.addressof(call) + Call.workspace.offset, action.workspace)
        self.kept += [call, tensors, previous, strides, action]
        function = ctypes.cast(action.function, ctypes.c_void_p).value
        return function, ctypes.addressof(call)

    def _addresses(self, places: Sequence[Place]) -> Any:
        array = (ctypes.c_int64 * len(places))()
        for number, place in enumerate(places):
            self._link(ctypes.addressof(array) + 8 * number, place)
        return array

    def _copy(self, action: Copy) -> _Action:
        return _Action(
            to_stride=action.to_stride,
            from_stride=action.from_stride,
            row_bytes=action.row_bytes,
            num_rows=action.num_rows,
            added_bytes=action.added_bytes,
        )

    def _point_at(self, made: _Action, action: Copy) -> None:
        self._link(ctypes.addressof(made) + _Action.to.offset, action.to)
        if action.source is not None:
            self._link(ctypes.addressof(made) + _Action.source.offset, action.source)

    def _link(self, target: int, place: Place) -> None:
        self.links.append(_Link(target, place.base, place.offset))


@functools.cache
def _library() -> ctypes.CDLL:
    folder = files("rondo.compiler").joinpath("c")
    names = ("share.c", "wavefront.c", "chain.c")
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in names]
    return load("#include <stdint.h>\n" + "\n".join(texts))
