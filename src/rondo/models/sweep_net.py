"""A light convolutional front, then sweeps over the whole map: Rondo's own photo network.

The lecture's recurrent network spends two thirds of its multiplications on dilated convolutions of
large maps and sweeps with plain tanh units. This one reduces the photo eight times by two residual
blocks, and sweeps with gated units, each sweep beside a shortcut. It starts from what is known of
ResNets (He et al., 2016) and of ReNet (Visin et al., 2015); sizes are chosen to be light.
"""

from __future__ import annotations

from torch import Tensor, nn

from rondo.cells import ElmanCell, GRUCell, LSTMCell
from rondo.layers import SpatialRNN
from rondo.models.averaged import AveragedClassifier
from rondo.models.photo_input import PhotoInput, check_sizes
from rondo.models.resnet import BasicBlock

CELLS = {"elman": ElmanCell, "lstm": LSTMCell, "gru": GRUCell}
"""What sweeps, by name."""

CHANNELS = (32, 64, 128)
HIDDEN_SIZES = (64, 128)
BLOCK_SIZES = (1, 2)


class Sweep(nn.Module):
    """A spatial recurrence beside a shortcut: y = ReLU(norm(sweep(x)) + shortcut(x)).

    The shortcut is x itself where y has its shape; else the mean of each block, a 1x1 convolution
    and batch normalisation.

    Args:
        input_channels: The channels of x.
        hidden_size: The width U of each of the four loops.
        block_size: The side of the blocks that the sweep reads.
        cell: "gru", "lstm" or "elman".

    Shape:
        (N, C, H, W) to (N, 2U, H / block, W / block).

    Raises:
        ValueError: If there is no such cell, or in `forward`, where the map does not divide into
            blocks.

    Example:
        >>> import torch
        >>> from rondo.models.sweep_net import Sweep
        >>> Sweep(8, 5, block_size=2)(torch.randn(1, 8, 4, 6)).shape
        torch.Size([1, 10, 2, 3])
    """

    def __init__(
        self, input_channels: int, hidden_size: int, *, block_size: int = 1, cell: str = "gru"
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell must be {', '.join(CELLS)}, got {cell!r}")
        self.sweep = SpatialRNN(
            block_size, CELLS[cell], input_channels=input_channels, hidden_size=hidden_size
        )
        self.norm = nn.BatchNorm2d(2 * hidden_size)
        self.shortcut: nn.Module = nn.Identity()
        if block_size > 1 or input_channels != 2 * hidden_size:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(block_size),
                nn.Conv2d(input_channels, 2 * hidden_size, 1, bias=False),
                nn.BatchNorm2d(2 * hidden_size),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Sweep a map."""
        y: Tensor = self.norm(self.sweep(x)) + self.shortcut(x)
        return y.relu()


def sweep_net(
    image_size: int = 128,
    num_classes: int = 2,
    *,
    channels: tuple[int, ...] = CHANNELS,
    hidden_sizes: tuple[int, ...] = HIDDEN_SIZES,
    block_sizes: tuple[int, ...] = BLOCK_SIZES,
    cell: str = "gru",
    dropout: float = 0.0,
) -> AveragedClassifier:
    """A photo network of residual convolutions and residual sweeps.

    A 3x3 convolution of stride 2 and residual blocks of stride 2 (:class:`BasicBlock`) reduce the
    photo; sweeps (:class:`Sweep`) go over the map down and up, then right and left, so that every
    place of the last map has seen the whole photo; the last map is averaged and classified by a
    linear layer. Photos are normalised with the mean and deviation of ImageNet inside.

    Args:
        image_size: The side of the photos in pixels, a multiple of 16 by default: of 2 for each
            entry of `channels` and of the product of `block_sizes`.
        num_classes: The number of classes.
        channels: The channels of the first convolution and of each residual block.
        hidden_sizes: The width of the loops of each sweep; it gives twice as many channels.
        block_sizes: The side of the blocks of each sweep.
        cell: What sweeps: "gru", "lstm" or "elman".
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, num_classes).

    Raises:
        ValueError: If the photos cannot be divided so, there are not as many hidden sizes as block
            sizes, there is no such cell, or there are fewer than two classes.

    Example:
        >>> import torch
        >>> from rondo.models import sweep_net
        >>> model = sweep_net(64)
        >>> photos = torch.zeros(1, 3, 64, 64)
        >>> model(photos).shape, model.evidence_map(photos).shape
        (torch.Size([1, 2]), torch.Size([1, 2, 4, 4]))
    """
    reduction = 2 ** len(channels)
    for block_size in block_sizes:
        reduction *= block_size
    check_sizes(image_size, num_classes, reduction)
    if image_size % reduction:
        raise ValueError(f"image_size must be a multiple of {reduction}, got {image_size}")
    if len(hidden_sizes) != len(block_sizes):
        raise ValueError(
            f"hidden_sizes and block_sizes must be as many, got {hidden_sizes} and {block_sizes}"
        )
    layers: list[nn.Module] = [PhotoInput(reduction), *_front(channels)]
    before = channels[-1]
    for hidden_size, block_size in zip(hidden_sizes, block_sizes, strict=True):
        layers.append(Sweep(before, hidden_size, block_size=block_size, cell=cell))
        before = 2 * hidden_size
    return AveragedClassifier(nn.Sequential(*layers), before, num_classes, dropout=dropout)


def _front(channels: tuple[int, ...]) -> list[nn.Module]:
    """Returns the layers that halve the photo once for each entry."""
    first, *others = channels
    layers: list[nn.Module] = [
        nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
    ]
    before = first
    for after in others:
        layers.append(BasicBlock(before, after, 2))
        before = after
    return layers
