"""What a photo network does first: check its photos and normalise them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, for values 0 to 1."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue over ImageNet, for values 0 to 1."""


class PhotoInput(nn.Module):
    """Photos with values 0 to 255, as most weights trained on ImageNet expect their input.

    y = (x / 255 - mean) / std for each colour, with the mean and the deviation of ImageNet. Both
    are constants, so they are not in the state dict.

    Args:
        least_size: The least height and width in pixels that the network can take.

    Shape:
        (B, 3, H, W) to the same.

    Raises:
        ValueError: In `forward`, where the photos are not of such a shape.

    Example:
        >>> import torch
        >>> from rondo.models.photo_input import PhotoInput
        >>> PhotoInput(8)(torch.full((1, 3, 8, 8), 255.0))[0, :, 0, 0]
        tensor([2.2489, 2.4286, 2.6400])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, least_size: int) -> None:
        super().__init__()
        self.least_size = least_size
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            constant = torch.tensor((255 * np.array(values, np.float32)).tolist())
            self.register_buffer(name, constant.view(3, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        """Normalise photos."""
        if photos.ndim != 4 or photos.shape[1] != 3 or min(photos.shape[2:]) < self.least_size:
            raise ValueError(
                f"photos must be (B, 3, H, W) with H and W at least {self.least_size}, got "
                f"{tuple(photos.shape)}"
            )
        return (photos - self.mean) / self.std

    def extra_repr(self) -> str:
        """The least size, as torch prints it."""
        return f"least_size={self.least_size}"


def check_sizes(image_size: int, num_classes: int, least_size: int) -> None:
    """Raises `ValueError` where a network for such photos and classes cannot be made."""
    if image_size < least_size:
        raise ValueError(f"image_size must be at least {least_size}, got {image_size}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
