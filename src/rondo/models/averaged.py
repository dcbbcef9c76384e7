"""Networks that average their last map over its places and classify the mean."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv2d


class AveragedClassifier(nn.Module):
    """Features of a photo, averaged over the places of their map, then a linear layer.

    logits = W mean(features) + b. Since the layer is linear, they are also the mean of W f + b over
    the features f of each place: the evidence map (class activation maps, Zhou et al., 2016).

    Args:
        features: From photos (B, 3, H, W) to a map (B, C, h, w).
        num_channels: The channels C of the map.
        num_classes: The number of classes.
        dropout: The share of the map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W); logits (B, num_classes).

    Example:
        >>> import torch
        >>> from rondo.models.averaged import AveragedClassifier
        >>> model = AveragedClassifier(torch.nn.Conv2d(3, 5, 4, stride=4), 5, 2)
        >>> photos = torch.rand(1, 3, 8, 8)
        >>> torch.allclose(model(photos), model.evidence_map(photos).mean((2, 3)), atol=1e-6)
        True
    """

    def __init__(
        self, features: nn.Module, num_channels: int, num_classes: int, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout2d(dropout)
        self.fc = nn.Linear(num_channels, num_classes)

    def forward(self, photos: Tensor) -> Tensor:
        """The logits of each photo."""
        logits: Tensor = self.fc(self.dropout(self.features(photos)).mean((2, 3)))
        return logits

    def evidence_map(self, photos: Tensor) -> Tensor:
        """The evidence for each class at each place of the last map, (B, classes, h, w)."""
        return classify_places(self.dropout(self.features(photos)), self.fc)


def classify_places(features: Tensor, classifier: nn.Linear) -> Tensor:
    """Returns what a linear layer says of each place of a map (B, C, h, w): (B, classes, h, w)."""
    return conv2d(features, classifier.weight[:, :, None, None], classifier.bias)
