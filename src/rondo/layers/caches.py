"""What Rondo keeps in memory, and how to let go of it."""

from __future__ import annotations

from rondo.compiler import attributes, c_compiler, cache_folder, lines, runtime
from rondo.compiler.operators import KEPT
from rondo.layers import compiled, making, sequence


def clear_cache() -> None:
    """Let go of all that Rondo keeps in memory: compiled programs, and what was found out.

    Layers, streams and graphs that are in use go on; what they need is made again when it is
    wanted, which is short where the kernels lie in the cache folder. A graph of torch's
    (`torch.compile`, `torch.export`) whose layer is gone has no program any more. Compilers that
    failed before are asked again, and warnings that are given once are given once more.

    What lies in the cache folder stays: `rondo cache --clear` deletes that.

    Example:
        >>> import torch, rondo
        >>> layer, x = rondo.Recurrent(rondo.GRUCell(3, 5)), torch.randn(2, 7, 3)
        >>> before, _ = layer(x)
        >>> rondo.clear_cache()
        >>> bool((layer(x)[0] == before).all())
        True
    """
    for programs in list(compiled.ALL):
        programs.clear()
    KEPT.clear()
    making.forget_told()
    sequence.forget()
    attributes.forget()
    lines.is_users.cache_clear()
    c_compiler.forget_broken()
    cache_folder.forget_told()
    runtime.forget_told()
