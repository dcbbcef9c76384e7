"""What is measured, as data: the words of the command and the sizes. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

SUITES = ("layers", "cells", "ragged", "streaming", "import")
MODULES = ("GRU", "RNN", "LSTM")
OURS = "rondo"
PEERS = {
    "nn": "torch.nn",
    "loop": "eager loop",
    "compile": "torch.compile",
    "jax": "JAX",
    "onnx": "ONNX Runtime",
    "torchrecurrent": "torchrecurrent",
}
"""With what Rondo is compared: the word of the command, and the name in the tables."""

PEER_SUITES = {
    "nn": ("layers", "ragged", "streaming"),
    "loop": ("layers", "cells"),
    "compile": ("cells",),
    "jax": ("layers", "cells"),
    "onnx": ("layers",),
    "torchrecurrent": ("cells",),
}
"""The suites that a peer takes part in."""

DEFAULT_PEERS = ("nn", "loop", "jax", "onnx", "torchrecurrent")
"""All but torch.compile, which takes minutes to compile a loop."""

RAGGED_BARS = {"half of the tokens": 0.6, "resets": 1.1}
"""The most that Rondo's time over that of the dense batch should be."""

IMPORT_BAR_S = 0.2
"""The most that importing rondo should take beyond torch, in seconds."""


@dataclass(frozen=True)
class Work:
    """What a layer cannot do without.

    Args:
        flops: Operations of its products.
        reads: Weights that are read, as pairs: the bytes that are in use together, and how often
            they are read.
    """

    flops: int
    reads: tuple[tuple[int, float], ...]


class Sizes(NamedTuple):
    """The sizes of a batch and of a layer: T, B, I, H."""

    num_steps: int
    batch_size: int
    input_size: int
    hidden_size: int

    def flops(self, num_gates: int, *, training: bool) -> int:
        """Floating-point operations of the products, counting a multiplication and an addition.

        Forward, x and h go through their matrices: 2 T B gates H (I + H). Training counts three
        times that: the backward pass has the gradients of x and h, and of both matrices.
        """
        rows, weights = self.num_steps * self.batch_size, num_gates * self.hidden_size
        forward = 2 * rows * weights * (self.input_size + self.hidden_size)
        return (3 if training else 1) * forward

    def work(self, num_gates: int, *, training: bool) -> Work:
        """What must be computed and read: the weights of h at each step, those of x once."""
        of_h = 4 * num_gates * self.hidden_size**2
        of_x = 4 * num_gates * self.hidden_size * self.input_size
        num_reads = self.num_steps * (2 if training else 1)  # the backward loop reads them too
        flops = self.flops(num_gates, training=training)
        return Work(flops, ((of_h, num_reads), (of_h + of_x, of_x / (of_h + of_x))))

    def __str__(self) -> str:
        return ", ".join(map(str, self))


LAYER_SIZES = (
    Sizes(100, 32, 128, 128),
    Sizes(100, 1, 128, 128),
    Sizes(100, 64, 256, 256),
    Sizes(50, 64, 512, 512),
    Sizes(784, 64, 1, 128),
    Sizes(35, 20, 650, 650),
)


@dataclass(frozen=True)
class Options:
    """What one run measures, and how long.

    Args:
        suites: Names in `SUITES`.
        modules: Names in `MODULES`.
        peers: Names in `PEERS`.
        cells: How many of the suite "cells" are measured, of 7.
        num_rounds: How often each contender is timed.
        turn_s: How long a contender is timed in each round, in seconds, at least.
        layer_sizes: The sizes of the suite "layers".
        sizes: The sizes of all other suites; "streaming" takes one row and one step of them.
        peak_rounds: How often each rate of the machine's peak is measured.
        is_quick: Whether the sizes are too small to say how fast anything is.
    """

    suites: tuple[str, ...] = SUITES
    modules: tuple[str, ...] = MODULES
    peers: tuple[str, ...] = DEFAULT_PEERS
    cells: int = 7
    num_rounds: int = 15
    turn_s: float = 0.02
    layer_sizes: tuple[Sizes, ...] = LAYER_SIZES
    sizes: Sizes = LAYER_SIZES[0]
    peak_rounds: int = 40
    is_quick: bool = False


QUICK = Options(
    suites=("layers", "cells", "ragged", "streaming"),
    modules=("GRU",),
    cells=1,
    num_rounds=5,
    turn_s=0.002,
    layer_sizes=(Sizes(7, 3, 5, 8),),
    sizes=Sizes(7, 4, 8, 8),
    peak_rounds=10,
    is_quick=True,
)
"""Few and small: to see in seconds that all works, not how fast it is."""
