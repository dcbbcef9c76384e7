"""From a kernel to C.

In goes a :class:`Kernel`, out comes the source of a library with one function, `rondo_run`, which
runs all steps of the loop. The source is C with the vector extensions of GCC and Clang: what every
kernel has in common lies beside this file in `c/`, and in front of it come the types, the tables of
sizes and the functions that do one step for some rows. Loops over the elements of a row
are plain C that compilers turn into vector code.

`-ffast-math` is not used: it breaks the range reduction of `exp_`. Results are the same for
any number of threads.
"""

from __future__ import annotations

import functools
import re
from importlib.resources import files

import torch

from rondo.compiler.c_loops import C_TYPES
from rondo.compiler.c_stages import SIGNATURES, stage_text, step_text
from rondo.compiler.c_tables import is_half, tables
from rondo.compiler.identifiers import identifiers, with_names
from rondo.compiler.kernel import Buffer, Kernel


def _endings(buffer: Buffer) -> tuple[str, ...]:
    """What stands behind a buffer's name.

    There is a pointer to all rows, pointers to each of them, or one row alone; the row at hand; and
    what is reduced.
    """
    all_rows = {"previous": "_rows", "row": "_row"}.get(buffer.place, "_all")
    return all_rows, "_at", "_sum", "_product", "_max", "_min"


def render_c(kernel: Kernel, *, spoils: bool = False, paired: bool | None = None) -> str:
    """Write a kernel down as C.

    Args:
        kernel: The kernel.
        spoils: Whether memory holds NaN until something is written there, so that tests see what is
            read too early; otherwise it holds what happens to lie there.
        paired: Whether a kernel of bfloat16 multiplies pairs of numbers; None: where the processor
            has an instruction for it.
    """
    real = C_TYPES[kernel.dtype]
    kernel = with_names(kernel, identifiers(kernel, _words(real), _endings))
    half = is_half(kernel)
    return "\n".join(
        (
            _types(kernel.dtype),
            f"typedef {'uint16_t' if half else real} stored;",
            f"typedef {'stored' if half else 'uint16_t'} bfloat16;\n",
            *map(_common, functions_of(real)),
            *_halves(half, paired),
            _spoil(spoils),
            _common("panels.c"),
            tables(kernel),
            _common("share.c"),
            _common("call.c"),
            *([_common("pairs.c")] if half else []),
            stage_text(kernel, "opening", kernel.opening, spoils),
            step_text(kernel, spoils),
            stage_text(kernel, "closing", kernel.closing, spoils),
            stage_text(kernel, "add_up", ()),
            _common("workspace.c"),
            _common("pack.c"),
            _common("driver.c"),
        )
    )


def _halves(half: bool, paired: bool | None) -> list[str]:
    """How numbers are read that are stored, and whether products take pairs of them."""
    if not half:
        return ["#define from_stored(x) (x)\n"]
    chosen = [] if paired is None else [f"#define PAIRED {int(paired)}\n"]
    return [*chosen, _common("bfloat16.c")]


def _spoil(spoils: bool) -> str:
    """What fills memory with NaN, whose bits may all be 1; or does nothing."""
    return (
        f"#define SPOIL(memory, bytes) {'memset(memory, 0xff, bytes)' if spoils else '(void)0'}\n"
    )


def functions_of(real: str) -> tuple[str, ...]:
    """The files of the functions of numbers of a type, each after those that it reads."""
    common = ("exponential", "logarithm", "trigonometric", "error_function")
    return (
        f"math_{real}.c",
        *(f"{name}.c" for name in common),
        f"power_{real}.c",
        "power.c",
        "functions.c",
    )


def render_product(dtype: torch.dtype, *, paired: bool = False) -> str:
    """Write down the library of products that all kernels of a type share.

    Args:
        dtype: The type of the sums, and of rows and matrices if they are not paired.
        paired: Whether these are pairs of bfloat16.
    """
    chosen = ("#define PAIRED 1\n", _common("panels.c"), _common("dot.c"))
    layout = chosen if paired else (_common("panels.c"),)
    return "\n".join((_types(dtype), *layout, _common("product.c")))


def _types(dtype: torch.dtype) -> str:
    real, suffix = C_TYPES[dtype], "##f" if dtype == torch.float32 else ""
    return (
        "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n"
        f"typedef {real} real;\n#define LIBM(name) name{suffix}\n"
        "#define INLINED static inline __attribute__((always_inline)) /* for vector code */\n"
        "#define RARE static __attribute__((cold, noinline)) /* a few times in a run */\n"
    )


@functools.cache
def _words(real: str) -> frozenset[str]:
    """What means something where the stages of a kernel stand."""
    names = (*functions_of(real), "bfloat16.c", "panels.c", "share.c", "call.c", "pairs.c")
    texts = (*map(_common, names), *SIGNATURES.values())
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def _common(name: str) -> str:
    return files("rondo.compiler").joinpath("c", name).read_text(encoding="utf-8")
