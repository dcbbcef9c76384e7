"""ResNet-18 and ResNet-50.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016. As in torchvision and
most published weights, and other than in the paper, the bottleneck strides in its 3x3 convolution
rather than in its first 1x1. Parameters are named as in torchvision and timm, so their state dicts
load.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from rondo.models.averaged import classify_places
from rondo.models.photo_input import PhotoInput, check_sizes

LEAST_SIZE = 32
"""Photos must be so large for the last map, 32 times smaller, to have a place."""

STAGE_CHANNELS = (64, 128, 256, 512)
"""The channels within the blocks of each stage."""

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
"""The number of blocks in each stage, by the depth of the network."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: y = ReLU(norm(W₂ ReLU(norm(W₁ x))) + shortcut(x)).

    Args:
        input_channels: The channels of x.
        channels: The channels of both convolutions.
        stride: The stride of the first; the shortcut then is a 1x1 convolution with the same.
    """

    expansion = 1

    def __init__(self, input_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(input_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, input channels, H, W) to (B, channels, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y))
        return _joined(y, x, self.downsample)


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution beside a shortcut; the last has four times the channels.

    Args:
        input_channels: The channels of x.
        channels: The channels of the first two convolutions.
        stride: The stride of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, input_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        output_channels = self.expansion * channels
        self.conv1 = nn.Conv2d(input_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, output_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(output_channels)
        self.downsample = _shortcut(input_channels, output_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, input channels, H, W) to (B, 4 channels, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        return _joined(y, x, self.downsample)


class ResNet(nn.Module):
    """A residual network for photos.

    A 7x7 convolution and max pooling reduce the photo four times; three of the four stages of
    residual blocks halve it again; the last map is averaged and classified by a linear layer.
    Weights start as in torchvision: N(0, 2 / fan_out) in convolutions, batch normalisation as the
    identity. Photos are normalised with the mean and deviation of ImageNet inside.

    Args:
        depth: 18 or 50.
        image_size: The side of the photos in pixels, at least 32.
        num_classes: The number of classes.
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, num_classes).

    Raises:
        ValueError: Where the depth is another, the photos are too small or there are fewer than two
            classes.

    Example:
        >>> import torch
        >>> from rondo.models import ResNet
        >>> ResNet(18).evidence_map(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 2, 2, 3])
    """

    def __init__(
        self, depth: int, image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f"depth must be {' or '.join(map(str, DEPTHS))}, got {depth}")
        check_sizes(image_size, num_classes, LEAST_SIZE)
        block = BasicBlock if depth == 18 else Bottleneck
        self.depth = depth
        self.photo_input = PhotoInput(LEAST_SIZE)
        self.conv1 = nn.Conv2d(3, STAGE_CHANNELS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGE_CHANNELS[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages(block, DEPTHS[depth])
        self.dropout = nn.Dropout2d(dropout)
        self.fc = nn.Linear(block.expansion * STAGE_CHANNELS[-1], num_classes)
        _initialise(self.modules())

    def forward(self, photos: Tensor) -> Tensor:
        """The logits of each photo."""
        logits: Tensor = self.fc(self._last_map(photos).mean((2, 3)))
        return logits

    def evidence_map(self, photos: Tensor) -> Tensor:
        """The evidence for each class at each place of the last map, (B, classes, H/32, W/32).

        Its mean over the places is the logits, since the last layer is linear.
        """
        return classify_places(self._last_map(photos), self.fc)

    def _last_map(self, photos: Tensor) -> Tensor:
        x = self.bn1(self.conv1(self.photo_input(photos))).relu_()
        x = self.maxpool(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        dropped: Tensor = self.dropout(x)
        return dropped


def resnet_18(image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0) -> ResNet:
    """ResNet-18, trained from nothing; see :class:`ResNet`.

    Example:
        >>> from rondo.models import resnet_18
        >>> sum(parameter.numel() for parameter in resnet_18(num_classes=1000).parameters())
        11689512
    """
    return ResNet(18, image_size, num_classes, dropout=dropout)


def resnet_50(image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0) -> ResNet:
    """ResNet-50, trained from nothing; see :class:`ResNet`.

    Example:
        >>> from rondo.models import resnet_50
        >>> sum(parameter.numel() for parameter in resnet_50(num_classes=1000).parameters())
        25557032
    """
    return ResNet(50, image_size, num_classes, dropout=dropout)


def _stages(
    block: type[BasicBlock] | type[Bottleneck], num_blocks: tuple[int, ...]
) -> list[nn.Sequential]:
    stages = []
    before = STAGE_CHANNELS[0]
    for index, (channels, count) in enumerate(zip(STAGE_CHANNELS, num_blocks, strict=True)):
        blocks = []
        for position in range(count):
            stride = 2 if index > 0 and position == 0 else 1
            blocks.append(block(before, channels, stride))
            before = block.expansion * channels
        stages.append(nn.Sequential(*blocks))
    return stages


def _shortcut(input_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """Returns what brings x to the shape of y, None where it has it."""
    if stride == 1 and input_channels == channels:
        return None
    return nn.Sequential(
        nn.Conv2d(input_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
    )


def _joined(y: Tensor, x: Tensor, shortcut: nn.Module | None) -> Tensor:
    return (y + (x if shortcut is None else shortcut(x))).relu_()


def _initialise(modules: Iterable[nn.Module]) -> None:
    for module in modules:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
