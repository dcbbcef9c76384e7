"""Small convolutional networks: CNN-1 and CNN-2 of the lecture's table.

The lecture "Recurrent neural networks" (V. Kustikova, Nizhny Novgorod State University) gives
their accuracies and times and no more. **The definitions here are ours**: convolutions that double
their channels where pooling halves the map, as those of the lecture's recurrent network do; CNN-2
is twice as wide and one convolution deeper than CNN-1. The first four convolutions of CNN-2 are as
wide as those of the recurrent network, so the two differ in what follows.
"""

from __future__ import annotations

from torch import nn

from rondo.models.averaged import AveragedClassifier
from rondo.models.photo_input import PhotoInput, check_sizes

CHANNELS = {"cnn_1": (16, 32, 64, 128), "cnn_2": (32, 64, 128, 256, 512)}
"""The channels of the convolutions of each network."""


def cnn_1(
    image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0
) -> AveragedClassifier:
    """CNN-1, our definition: four 3x3 convolutions of 16, 32, 64 and 128 channels.

    Each is followed by batch normalisation, ReLU and 2x2 max pooling; the last map is averaged and
    classified by a linear layer. It has 97,938 parameters for two classes, whatever the image size,
    and takes photos of any size of at least 16 pixels.

    Args:
        image_size: The side of the photos in pixels.
        num_classes: The number of classes.
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, num_classes).

    Raises:
        ValueError: Where the photos are too small or there are fewer than two classes.

    Example:
        >>> import torch
        >>> from rondo.models import cnn_1
        >>> model = cnn_1(64)
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2])
        >>> sum(parameter.numel() for parameter in model.parameters())
        97938
    """
    return _network(CHANNELS["cnn_1"], image_size, num_classes, dropout)


def cnn_2(
    image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0
) -> AveragedClassifier:
    """CNN-2, our definition: five 3x3 convolutions of 32, 64, 128, 256 and 512 channels.

    Otherwise as :func:`cnn_1`. It has 1,570,594 parameters for two classes, and takes photos of any
    size of at least 32 pixels.

    Args:
        image_size: The side of the photos in pixels.
        num_classes: The number of classes.
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, num_classes).

    Raises:
        ValueError: Where the photos are too small or there are fewer than two classes.

    Example:
        >>> from rondo.models import cnn_2
        >>> sum(parameter.numel() for parameter in cnn_2().parameters())
        1570594
    """
    return _network(CHANNELS["cnn_2"], image_size, num_classes, dropout)


def _network(
    channels: tuple[int, ...], image_size: int, num_classes: int, dropout: float
) -> AveragedClassifier:
    least_size = 2 ** len(channels)
    check_sizes(image_size, num_classes, least_size)
    layers: list[nn.Module] = [PhotoInput(least_size)]
    for before, after in zip((3, *channels), channels, strict=False):
        layers += [*convolution(before, after), nn.MaxPool2d(2)]
    return AveragedClassifier(nn.Sequential(*layers), channels[-1], num_classes, dropout=dropout)


def convolution(before: int, after: int) -> list[nn.Module]:
    """Returns a 3x3 convolution between so many channels, batch normalisation and ReLU."""
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]
