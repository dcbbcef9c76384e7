"""Kernels on another processor, which a program emulates.

The C of a kernel and of its products is compiled for that processor, with a main program that reads
the memory of a call from a file, runs the kernel and writes the memory back. So the vectors and
instructions of that processor are the ones that are tested, on any machine.
"""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import pytest

from rondo.compiler import in_place
from rondo.compiler.c_compiler import FLAGS
from rondo.compiler.call import Call
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.render_c import render_c, render_product

MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
extern const products rondo_products, rondo_products_in_place;
static void enter_alone(void (*function)(void *), void *data, int64_t num_threads) {
    (void)num_threads;
    function(data);
}
static void share_alone(piece_function *function, void *data, int64_t num_pieces) {
    for (int64_t piece = 0; piece < num_pieces; ++piece) function(data, piece);
}
static int64_t number(FILE *file) {
    int64_t found;
    if (fread(&found, sizeof found, 1, file) != 1) exit(2);
    return found;
}
int main(int num_words, char **words) {
    FILE *file = fopen(words[num_words - 1], "r+b");
    const int64_t num_pieces = number(file);
    char **pieces = calloc(num_pieces, sizeof *pieces);
    int64_t *sizes = calloc(num_pieces, sizeof *sizes);
    for (int64_t i = 0; i < num_pieces; ++i) {
        sizes[i] = number(file);
        pieces[i] = malloc(sizes[i] + 1);
        if (sizes[i] && fread(pieces[i], sizes[i], 1, file) != 1) return 2;
    }
    for (int64_t left = number(file); left; --left) {
        const int64_t piece = number(file), offset = number(file), target = number(file);
        memcpy(pieces[piece] + offset, &pieces[target], sizeof(char *));
    }
    call *const c = (call *)pieces[0];
    const pool alone = {enter_alone, share_alone};
    c->pool = &alone;
    c->products = c->in_place ? &rondo_products_in_place : &rondo_products;
    c->workspace = malloc(rondo_workspace_bytes(c) + 64);
    rondo_run(c);
    rewind(file);
    for (int64_t i = 1; i < num_pieces; ++i)
        if (sizes[i] && fwrite(pieces[i], sizes[i], 1, file) != 1) return 3;
    return fclose(file);
}
"""


@dataclass(frozen=True)
class Processor:
    """A processor: what compiles for it, and what runs its programs.

    Args:
        compiler: The command of a C compiler, with what the processor can do.
        emulator: The command that runs a program.
        paired: Whether it multiplies pairs of bfloat16.
    """

    compiler: tuple[str, ...]
    emulator: tuple[str, ...]
    paired: bool = False

    def demand(self) -> None:
        """Skip the test where the programs are not there."""
        for program in (self.compiler[0], *self.emulator[:1]):
            if shutil.which(program) is None:
                pytest.skip(f"needs {program} (Debian: gcc-aarch64-linux-gnu, qemu-user)")

    def emulate(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[int]:
        """Run all kernels that are made from now on there; counts their runs in the list."""
        self.demand()
        runs: list[int] = []
        make = CompiledLoop.__init__

        def emulated(loop: CompiledLoop, *given: Any, **named: Any) -> None:
            make(loop, *given, **named)
            place = Path(tempfile.mkdtemp(dir=folder))
            loop.binary = _Binary(loop, self, place, runs)  # type: ignore[assignment]

        monkeypatch.setattr(CompiledLoop, "__init__", emulated)
        return runs


class _Binary:
    """A kernel, compiled for another processor."""

    def __init__(
        self, loop: CompiledLoop, processor: Processor, folder: Path, runs: list[int]
    ) -> None:
        self.loop, self.processor, self.folder, self.runs = loop, processor, folder, runs
        self.rondo_workspace_bytes = loop.binary.rondo_workspace_bytes
        dtype, paired = (
            loop.kernel.dtype,
            processor.paired and loop.kernel.stored != loop.kernel.dtype,
        )
        sources = {
            "kernel": render_c(loop.kernel, spoils=True, paired=processor.paired) + MAIN,
            "products": render_product(dtype, paired=paired),
            "in_place": in_place.source_of(dtype),
        }
        for name, source in sources.items():
            (folder / f"{name}.c").write_text(source, encoding="utf-8")
        flags = [flag for flag in FLAGS if flag not in ("-shared", "-fPIC")]
        files = [f"{name}.c" for name in sources]
        command = [*processor.compiler, *flags, "-static", *files, "-o", "program", "-lm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]

    def rondo_run(self, given: Any) -> None:
        """Run the kernel on what a call points to."""
        call: Call = given._obj
        memory = _Memory(self.loop, call)
        file = self.folder / "memory"
        file.write_bytes(memory.packed())
        command = [*self.processor.emulator, "./program", "memory"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr[:2000]}"
        memory.take_back(file.read_bytes())
        self.runs.append(1)


class _Memory:
    """All that a call points to, as pieces, and where each piece is pointed to."""

    def __init__(self, loop: CompiledLoop, call: Call) -> None:
        self.pieces: list[tuple[int, int]] = [(ctypes.addressof(call), ctypes.sizeof(call))]
        self.pointers: list[tuple[int, int, int]] = []
        assert (call.begins, call.ends) == (1, 1), "all steps in one run"
        batch_sizes = (ctypes.c_int64 * call.num_all_steps).from_address(call.batch_sizes)
        num_packed, num_rows = sum(batch_sizes), call.num_rows
        kernel, slots = loop.kernel, loop.slots
        rows = {"input": num_packed, "output": num_packed, "previous": num_packed}
        rows |= {"state": num_rows, "shared": 1, "total": 1}
        sizes = [
            rows[s.buffer.place] * prod(s.buffer.sizes) * s.buffer.dtype.itemsize for s in slots
        ]
        states = [s.buffer for s in slots if s.buffer.place == "state"]
        sizes += [num_rows * buffer.size * buffer.dtype.itemsize for buffer in states]
        strides = (ctypes.c_int64 * (3 * len(kernel.matrices))).from_address(call.strides)
        sizes += [
            kernel.stored.itemsize
            * (
                1
                + (m.batch or 0) * strides[3 * i]
                + (m.depth - 1) * strides[3 * i + 1]
                + (m.width - 1) * strides[3 * i + 2]
            )
            for i, m in enumerate(kernel.matrices)
        ]
        self._point(Call.tensors, call.tensors, sizes)
        previous = [s.buffer for s in slots if s.buffer.place == "previous"]
        both = [num_rows * b.size * b.dtype.itemsize for b in previous for _ in range(2)]
        self._point(Call.previous, call.previous, both)
        self._one(0, Call.strides.offset, call.strides, 24 * len(kernel.matrices))
        self._one(0, Call.batch_sizes.offset, call.batch_sizes, 8 * call.num_all_steps)
        if call.resets:
            self._one(0, Call.resets.offset, call.resets, num_packed)

    def _one(self, piece: int, offset: int, address: int, size: int) -> int:
        """A pointer to memory, which may be known already."""
        if (address, size) not in self.pieces:
            self.pieces.append((address, size))
        target = self.pieces.index((address, size))
        self.pointers.append((piece, offset, target))
        return target

    def _point(self, field: Any, address: int, sizes: list[int]) -> None:
        """An array of pointers to memory of these sizes."""
        array = self._one(0, field.offset, address, 8 * len(sizes))
        for number, size in enumerate(sizes):
            at = ctypes.c_int64.from_address(address + 8 * number).value
            self._one(array, 8 * number, at, size)

    def packed(self) -> bytes:
        parts = [struct.pack("q", len(self.pieces))]
        for address, size in self.pieces:
            parts += [struct.pack("q", size), ctypes.string_at(address, size) if size else b""]
        parts.append(struct.pack("q", len(self.pointers)))
        parts += [struct.pack("3q", *pointer) for pointer in self.pointers]
        return b"".join(parts)

    def take_back(self, content: bytes) -> None:
        """Write back all numbers; pointers stay as they are."""
        places = {target for _, _, target in self.pointers}
        tables = {piece for piece, _, _ in self.pointers}
        begin = 0
        for number, (address, size) in enumerate(self.pieces[1:], start=1):
            if number in places - tables and size:
                ctypes.memmove(address, content[begin : begin + size], size)
            begin += size
