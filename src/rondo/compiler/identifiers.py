"""What the memory of a kernel is called in a source, whatever users call their tensors.

In goes a kernel whose buffers have the names of values, out comes the same kernel whose buffers
have names that C and Python take. A renderer puts endings to them, such as `h_all` for all rows of
`h`; what begins such a word of its own is taken. Names that can stay as they are do.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from rondo.compiler.kernel import Buffer, Compute, Kernel, Level, Loop
from rondo.compiler.record import fresh_name


def identifiers(
    kernel: Kernel, words: frozenset[str], endings: Callable[[Buffer], Iterable[str]]
) -> dict[str, str]:
    """A name in the source for everything that lies in memory.

    Args:
        kernel: The kernel.
        words: What means something else there.
        endings: What a renderer puts behind the name of a buffer.
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys((*kernel.buffers, *(m.tensor for m in kernel.matrices))):
        buffer = kernel.buffers.get(name)
        ours = () if buffer is None else endings(buffer)
        beginnings = (_beginnings(words, ending) for ending in ours)
        found[name] = fresh_name(_in_ascii(name), set().union(found.values(), *beginnings))
    return found


@functools.cache
def _beginnings(words: frozenset[str], ending: str) -> frozenset[str]:
    """What stands before an ending in those of some words that have it."""
    return frozenset(word.removesuffix(ending) for word in words if word.endswith(ending))


def _in_ascii(name: str) -> str:
    """The name in letters, digits and underscores, a letter first."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "value"
    return f"value_{plain}" if plain[0].isdigit() else plain


def with_names(kernel: Kernel, names: dict[str, str]) -> Kernel:
    """The kernel with other names for its buffers and matrices."""
    new = names.__getitem__
    return replace(
        kernel,
        buffers={new(name): replace(b, name=new(name)) for name, b in kernel.buffers.items()},
        matrices=tuple(replace(m, tensor=new(m.tensor)) for m in kernel.matrices),
        opening=tuple(_level(level, new) for level in kernel.opening),
        levels=tuple(_level(level, new) for level in kernel.levels),
        closing=tuple(_level(level, new) for level in kernel.closing),
        sums=tuple(
            replace(s, total=new(s.total), left=s.left and new(s.left), right=new(s.right))
            for s in kernel.sums
        ),
        commits=tuple((new(state), new(target)) for state, target in kernel.commits),
        outputs={value: new(buffer) for value, buffer in kernel.outputs.items()},
    )


def _level(level: Level, new: Callable[[str], str]) -> Level:
    products = (replace(p, result=new(p.result), left=new(p.left)) for p in level.products)
    return Level(tuple(_loop(loop, new) for loop in level.loops), tuple(products))


def _loop(loop: Loop, new: Callable[[str], str]) -> Loop:
    body = (i if isinstance(i, Compute) else replace(i, buffer=new(i.buffer)) for i in loop.body)
    return replace(loop, body=tuple(body))
