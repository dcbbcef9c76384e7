"""`SpatialRNN`: recurrence over the blocks of a feature map, down and up, then right and left."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from rondo.layers.drawn import draw_layer, layer_as_svg
from rondo.layers.stack import Bidirectional

CellFactory = Callable[[int, int], nn.Module]


class SpatialRNN(nn.Module):
    """Two bidirectional sweeps over the blocks of a feature map.

    The map is cut into I x J blocks p_ij, flattened to vectors. The vertical sweep runs over every
    column, o↓_ij = f↓(z↓_{i-1,j}, p_ij) and o↑_ij = f↑(z↑_{i+1,j}, p_ij), where z is the state. The
    horizontal sweep runs over every row of [o↓, o↑] in the same way, right and left. Each of the
    four has its own weights, shared by all columns (rows); the state at the border is zero.

    Visin et al., "ReNet", 2015, and "ReSeg", 2016, as the lecture writes them; the lecture leaves
    out the equations of the second sweep. The authors' code sweeps rows first and gives the
    backward loop the forward loop's output; this layer does neither.

    The product of the blocks with the input weights depends on no state, so it is done before the
    loop for all blocks at once: it equals a convolution with the block as kernel and stride.

    Args:
        block_size: Height and width of a block, or one number for both.
        cell: A cell class, or any function (input_size, hidden_size) -> cell.
        input_channels: The channels C of the map.
        hidden_size: The width U of each of the four loops.

    Shape:
        (N, C, H, W) to (N, 2U, H / block height, W / block width), where U is the width of the
        cell's output.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.SpatialRNN((2, 4), rondo.GRUCell, input_channels=3, hidden_size=5)
        >>> layer(torch.randn(1, 3, 6, 8)).shape
        torch.Size([1, 10, 3, 2])
    """

    def __init__(
        self,
        block_size: int | tuple[int, int],
        cell: CellFactory,
        *,
        input_channels: int,
        hidden_size: int,
    ) -> None:
        super().__init__()
        self.block_size = _pair(block_size)
        self.input_channels = input_channels
        block_height, block_width = self.block_size
        self.vertical = _sweep(cell, input_channels * block_height * block_width, hidden_size)
        self.horizontal = _sweep(cell, _output_size(self.vertical), hidden_size)

    draw = draw_layer
    _repr_svg_ = layer_as_svg

    def forward(self, x: Tensor) -> Tensor:
        """Sweep a map (N, C, H, W).

        Raises:
            ValueError: Where the map has other channels or does not divide into blocks.
        """
        self._check(x)
        blocks = self._blocks(x)  # (I, J, N, block)
        rows, columns, batch_size, _ = blocks.shape
        swept, _ = self.vertical(blocks.flatten(1, 2))  # over I, for J*N columns
        swept = swept.unflatten(1, (columns, batch_size)).transpose(0, 1)  # (J, I, N, 2U)
        swept, _ = self.horizontal(swept.flatten(1, 2))  # over J, for I*N rows
        return swept.unflatten(1, (rows, batch_size)).permute(2, 3, 1, 0)  # (N, 2U, I, J)

    def _blocks(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (I, J, N, C * block height * block width)."""
        height, width = self.block_size
        blocks = x.unflatten(2, (-1, height)).unflatten(4, (-1, width))
        return blocks.permute(2, 4, 0, 1, 3, 5).flatten(3)

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.input_channels:
            raise ValueError(f"x must be (N, {self.input_channels}, H, W), got {tuple(x.shape)}")
        height, width = x.shape[2:]
        block_height, block_width = self.block_size
        if height % block_height or width % block_width or not height or not width:
            raise ValueError(
                f"a map of {height}x{width} does not divide into blocks of "
                f"{block_height}x{block_width}; pad or resize the map, or choose another block_size"
            )

    def extra_repr(self) -> str:
        """The sizes, as torch prints them."""
        return f"block_size={self.block_size}, input_channels={self.input_channels}"


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"block_size must be one or two positive whole numbers, got {size!r}")
    return pair


def _sweep(cell: CellFactory, input_size: int, hidden_size: int) -> Bidirectional:
    cells = cell(input_size, hidden_size), cell(input_size, hidden_size)
    return Bidirectional(*cells, batch_first=False)


def _output_size(sweep: Bidirectional) -> int:
    """The channels that a sweep gives: the outputs of both directions."""
    total = 0
    for cell in (sweep.forward_layer.cell, sweep.backward_layer.cell):
        size = getattr(cell, "output_size", getattr(cell, "hidden_size", None))
        if not isinstance(size, int):
            raise TypeError(
                f"{type(cell).__name__} must have an output_size, for the horizontal sweep to know "
                "the width of its input"
            )
        total += size
    return total
