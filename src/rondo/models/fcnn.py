"""Fully connected networks: FCNN-1, FCNN-2 and FCNN-3 of the lecture's table.

The lecture "Recurrent neural networks" (V. Kustikova, Nizhny Novgorod State University) gives their
accuracies and times and no more. **The definitions here are ours**: one, two and three hidden
layers, each network with the layers of the one before it and a wider one in front, since the
lecture's figures grow from one to the next.
"""

from __future__ import annotations

from torch import Tensor, nn

from rondo.models.photo_input import PhotoInput, check_sizes

HIDDEN_SIZES = {"fcnn_1": (128,), "fcnn_2": (256, 128), "fcnn_3": (512, 256, 128)}
"""The widths of the hidden layers of each network."""


class FullyConnected(nn.Module):
    """All pixels of a photo, then hidden layers that see all of the layer before.

    h = ReLU(norm(W x)) for each hidden layer, where norm is batch normalisation; logits V h + c.
    Such a network knows nothing of neighbouring pixels. It takes photos of one size only, and has
    no evidence map, since its answer is not a mean over places.

    Args:
        hidden_sizes: The widths of the hidden layers.
        image_size: The side of the square photos in pixels.
        num_classes: The number of classes.
        dropout: The share of the last hidden layer's units set to zero in training.

    Shape:
        Photos (B, 3, S, S) with values 0 to 255; logits (B, num_classes).
    """

    def __init__(
        self,
        hidden_sizes: tuple[int, ...],
        image_size: int = 128,
        num_classes: int = 2,
        *,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(image_size, num_classes, 1)
        self.image_size = image_size
        sizes = (3 * image_size**2, *hidden_sizes)
        layers: list[nn.Module] = [PhotoInput(image_size), nn.Flatten()]
        for before, size in zip(sizes, hidden_sizes, strict=False):
            layers += [nn.Linear(before, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(sizes[-1], num_classes)

    def forward(self, photos: Tensor) -> Tensor:
        """The logits of each photo."""
        if photos.shape[1:] != (3, self.image_size, self.image_size):
            raise ValueError(
                f"photos must be (B, 3, {self.image_size}, {self.image_size}), the size that this "
                f"network was made for, got {tuple(photos.shape)}"
            )
        logits: Tensor = self.fc(self.dropout(self.hidden(photos)))
        return logits


def fcnn_1(image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0) -> FullyConnected:
    """FCNN-1, our definition: one hidden layer of 128 units; see :class:`FullyConnected`.

    Example:
        >>> import torch
        >>> from rondo.models import fcnn_1
        >>> fcnn_1(64).eval()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2])
    """
    return FullyConnected(HIDDEN_SIZES["fcnn_1"], image_size, num_classes, dropout=dropout)


def fcnn_2(image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0) -> FullyConnected:
    """FCNN-2, our definition: hidden layers of 256 and 128 units; see :class:`FullyConnected`.

    Example:
        >>> from rondo.models import fcnn_2
        >>> sum(parameter.numel() for parameter in fcnn_2(64).parameters())
        3179522
    """
    return FullyConnected(HIDDEN_SIZES["fcnn_2"], image_size, num_classes, dropout=dropout)


def fcnn_3(image_size: int = 128, num_classes: int = 2, *, dropout: float = 0.0) -> FullyConnected:
    """FCNN-3, our definition: hidden layers of 512, 256 and 128 units; see :class:`FullyConnected`.

    Example:
        >>> from rondo.models import fcnn_3
        >>> sum(parameter.numel() for parameter in fcnn_3(64).parameters())
        6457346
    """
    return FullyConnected(HIDDEN_SIZES["fcnn_3"], image_size, num_classes, dropout=dropout)
