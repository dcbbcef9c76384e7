"""The first stages of a ResNet, which make a map of features of a picture."""

from __future__ import annotations

from torch import Tensor, nn

from rondo.models.checkpoint import Checkpoint
from rondo.models.resnet import ResNet

NUM_STAGES = 4
"""The stages of a ResNet."""


class ResNetFront(nn.Module):
    """A ResNet without its last stages and its last layer.

    Pictures are normalised with the mean and deviation of ImageNet inside. The parameters have the
    names of :class:`rondo.models.ResNet`, so weights of torchvision and timm can be taken.

    Args:
        depth: 18 or 50.
        num_stages: The stages that are left, 1 to 4.

    Shape:
        Pictures (B, 3, H, W) with values 0 to 255, sides a multiple of R; a map (B, C, H/R, W/R):
        R is 4, 8, 16 or 32 and C 64, 128, 256 or 512, four times as many of depth 50.

    Raises:
        ValueError: Where the depth or the number of stages is another.

    Example:
        >>> import torch
        >>> from rondo.models.resnet_front import ResNetFront
        >>> front = ResNetFront(18, 2)
        >>> front(torch.zeros(1, 3, 48, 64)).shape, front.channels, front.reduction
        (torch.Size([1, 128, 6, 8]), 128, 8)
    """

    def __init__(self, depth: int = 18, num_stages: int = 2) -> None:
        super().__init__()
        if not 1 <= num_stages <= NUM_STAGES:
            raise ValueError(f"num_stages must be 1 to {NUM_STAGES}, got {num_stages}")
        whole = ResNet(depth)
        self.photo_input = whole.photo_input
        self.conv1, self.bn1, self.maxpool = whole.conv1, whole.bn1, whole.maxpool
        self.stage_names = [f"layer{number}" for number in range(1, num_stages + 1)]
        for name in self.stage_names:
            setattr(self, name, getattr(whole, name))
        self.reduction = 2 ** (1 + num_stages)
        self.channels = 64 * 2 ** (num_stages - 1) * (1 if depth == 18 else 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """The map of each picture."""
        x: Tensor = self.bn1(self.conv1(self.photo_input(pictures))).relu_()
        x = self.maxpool(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        return x

    def take(self, checkpoint: Checkpoint) -> None:
        """Takes the weights of a trained ResNet of the same depth."""
        mine = self.state_dict()
        self.load_state_dict(
            {name: value for name, value in checkpoint.weights.items() if name in mine},
            strict=False,
        )
