"""Convolutions that see what is near, sweeps that see the whole map: Rondo's own photo network.

The lecture's recurrent network spends two thirds of its multiplications on dilated convolutions of
large maps, and classifies what its sweeps give. This one keeps the convolutions of a small network,
two before a pooling where the map is large, and where it is small adds to a convolution what narrow
sweeps say of each place. It starts from what is known of VGG (Simonyan and Zisserman, 2015),
ResNets (He et al., 2016) and ReNet (Visin et al., 2015); the choices were measured, see
docs/photo_models.md.
"""

from __future__ import annotations

from torch import Tensor, nn

from rondo.cells import ElmanCell, GRUCell, LSTMCell
from rondo.layers import SpatialRNN
from rondo.models.averaged import AveragedClassifier
from rondo.models.cnn import convolution
from rondo.models.photo_input import PhotoInput, check_sizes

CELLS = {"elman": ElmanCell, "lstm": LSTMCell, "gru": GRUCell}
"""What sweeps, by name."""

CHANNELS = (32, 64, 128, 256, 512)
CONVOLUTIONS = (1, 2, 2, 1, 1)
HIDDEN_SIZES = (0, 0, 0, 64, 128)


class SweptConvolution(nn.Module):
    """A convolution, which sees what is near, and a spatial recurrence, which sees the whole map.

    y = conv(x) + up(W sweep(x)), where `conv` is a 3x3 convolution, `sweep` a
    :class:`rondo.SpatialRNN`, W a 1x1 convolution, and `up` gives every place of a block the same.
    W starts at 0, so that a new layer is its convolution.

    Args:
        input_channels: The channels C of x.
        output_channels: The channels D of y.
        hidden_size: The width of each of the four loops.
        block_size: The side of the blocks that the loops visit.
        cell: "elman", "gru" or "lstm".

    Shape:
        (N, C, H, W) to (N, D, H, W).

    Raises:
        ValueError: If there is no such cell, or in `forward`, where the map does not divide into
            blocks.

    Example:
        >>> import torch
        >>> from rondo.models import SweptConvolution
        >>> layer = SweptConvolution(8, 16, 5, block_size=2)
        >>> layer(torch.rand(1, 8, 4, 6)).shape
        torch.Size([1, 16, 4, 6])
    """

    def __init__(
        self,
        input_channels: int,
        output_channels: int,
        hidden_size: int,
        *,
        block_size: int = 1,
        cell: str = "elman",
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell must be {', '.join(CELLS)}, got {cell!r}")
        self.conv = nn.Conv2d(input_channels, output_channels, 3, padding=1, bias=False)
        self.sweep = SpatialRNN(
            block_size, CELLS[cell], input_channels=input_channels, hidden_size=hidden_size
        )
        self.project = nn.Conv2d(2 * hidden_size, output_channels, 1, bias=False)
        nn.init.zeros_(self.project.weight)
        self.up = nn.Upsample(scale_factor=block_size) if block_size > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """What the convolution and the sweeps say of a map."""
        y: Tensor = self.conv(x) + self.up(self.project(self.sweep(x)))
        return y


def sweep_net(
    image_size: int = 128,
    num_classes: int = 2,
    *,
    channels: tuple[int, ...] = CHANNELS,
    convolutions: tuple[int, ...] = CONVOLUTIONS,
    hidden_sizes: tuple[int, ...] = HIDDEN_SIZES,
    block_size: int = 1,
    cell: str = "elman",
    dropout: float = 0.0,
) -> AveragedClassifier:
    """A photo network of convolutions and of sweeps beside some of them.

    It is made of stages: 3x3 convolutions, each with batch normalisation and ReLU, the last one
    with 2x2 max pooling before them. In a stage with a hidden size the last one is a
    :class:`SweptConvolution`, in whose map every place has seen the whole photo. The last map is
    averaged and classified by a linear layer. Photos are normalised with the mean and deviation of
    ImageNet inside.

    Args:
        image_size: The side of the photos in pixels, a multiple of 32 by default: of 2 for each
            stage.
        num_classes: The number of classes.
        channels: The channels of each stage.
        convolutions: The number of convolutions of each stage.
        hidden_sizes: The width of the loops of each stage's sweep; 0 for no sweep.
        block_size: The side of the blocks that the loops visit.
        cell: What sweeps: "elman", "gru" or "lstm".
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, num_classes).

    Raises:
        ValueError: If the photos cannot be halved so often, the numbers of the stages are not as
            many, there is no such cell, or there are fewer than two classes.

    Example:
        >>> import torch
        >>> from rondo.models import sweep_net
        >>> model = sweep_net(64)
        >>> photos = torch.zeros(1, 3, 64, 64)
        >>> model(photos).shape, model.evidence_map(photos).shape
        (torch.Size([1, 2]), torch.Size([1, 2, 2, 2]))
    """
    if not len(channels) == len(convolutions) == len(hidden_sizes):
        raise ValueError(
            "channels, convolutions and hidden_sizes must be as many, "
            f"got {channels}, {convolutions} and {hidden_sizes}"
        )
    if min(convolutions) < 1:
        raise ValueError(f"every stage must have a convolution, got {convolutions}")
    reduction = 2 ** len(channels)
    check_sizes(image_size, num_classes, reduction)
    if image_size % reduction:
        raise ValueError(f"image_size must be a multiple of {reduction}, got {image_size}")
    layers: list[nn.Module] = [PhotoInput(reduction)]
    before = 3
    for after, count, hidden_size in zip(channels, convolutions, hidden_sizes, strict=True):
        for _ in range(count):
            layers += convolution(before, after)
            before_last, before = before, after
        if hidden_size:
            layers[-3] = SweptConvolution(
                before_last, after, hidden_size, block_size=block_size, cell=cell
            )
        layers.insert(-2, nn.MaxPool2d(2))  # before the norm, which so sees what the ReLU cuts
    return AveragedClassifier(nn.Sequential(*layers), before, num_classes, dropout=dropout)
