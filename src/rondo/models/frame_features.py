"""What a recurrent classifier of actions reads of each frame: of a pose, of a signal, of an image.

Each is a module from a frame with its differences over some steps, side by side as
:class:`rondo.models.motion.DifferenceCell` gives them, (N, (1 + L) F), to features (N, E), frame by
frame. Poses and signals are made of mean 0 and deviation 1 over the frames that the network learns
from; `fit` takes these figures, and they are kept beside the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import torch
from torch import Tensor, nn

SMALLEST_DEVIATION = 1e-4
"""Stands for the deviation of a feature that does not change."""

VIDEO_CHANNELS = (16, 32, 64)
"""The channels of the convolutions over a frame of a video."""

VIDEO_FEATURES = 64
"""The features of a frame of a video."""


class Standardised(nn.Module):
    """Features of mean 0 and deviation 1: (f - mean) / deviation, each feature on its own.

    Args:
        num_features: E.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))

    def raw(self, x: Tensor) -> Tensor:
        """The features before that."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """The features of frames."""
        return (self.raw(x) - self.mean) / self.deviation

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Takes mean and deviation of the features of some frames."""
        found = self.raw(x).double()
        self.mean.copy_(found.mean(0))
        self.deviation.copy_(found.std(0, correction=0).clamp_min(SMALLEST_DEVIATION))


class SignalFeatures(Standardised):
    """The channels of a signal and their differences.

    Args:
        shape: (C,), the channels.
        num_lags: L, the differences.

    Example:
        >>> import torch
        >>> from rondo.models.frame_features import SignalFeatures
        >>> SignalFeatures((9,), num_lags=1)(torch.randn(5, 18)).shape
        torch.Size([5, 18])
    """

    def __init__(self, shape: Sequence[int], num_lags: int) -> None:
        (num_channels,) = shape
        super().__init__(num_channels * (1 + num_lags))


class PoseFeatures(Standardised):
    """A pose apart from its place, the distances between its joints, and how joints have moved.

    With p_j the joints of a frame: p_j - mean_i p_i for all j; |p_i - p_j| for all i < j; and
    p_j(t) - p_j(t-k) for each lag k, which holds the movement of the whole body too.

    The distances between joints are the features of Yang et al., "Make skeleton-based action
    recognition model smaller, faster and better", 2019 (there with one- and two-step differences).

    Args:
        shape: (J, D): joints, and coordinates of each.
        num_lags: L, the differences.

    Example:
        >>> import torch
        >>> from rondo.models.frame_features import PoseFeatures
        >>> features = PoseFeatures((3, 2), num_lags=1)
        >>> pose = torch.tensor([[0.0, 0, 3, 0, 3, 4, 1, 0, 0, 0, 0, 0]])
        >>> features.raw(pose)[0]
        tensor([-2.0000, -1.3333,  1.0000, -1.3333,  1.0000,  2.6667,  3.0000,  5.0000,
                 4.0000,  1.0000,  0.0000,  0.0000,  0.0000,  0.0000,  0.0000])
    """

    first: Tensor
    second: Tensor

    def __init__(self, shape: Sequence[int], num_lags: int) -> None:
        num_joints, num_dims = shape
        pairs = list(combinations(range(num_joints), 2))
        first, second = torch.tensor(pairs, dtype=torch.long).view(-1, 2).unbind(1)
        super().__init__(num_joints * num_dims * (1 + num_lags) + len(first))
        self.shape = (num_joints, num_dims)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def raw(self, x: Tensor) -> Tensor:
        """The features before they are of mean 0 and deviation 1."""
        num_joints, num_dims = self.shape
        pose = x[:, : num_joints * num_dims].unflatten(1, self.shape)
        centred = pose - pose.mean(1, keepdim=True)
        distances = (pose[:, self.first] - pose[:, self.second]).norm(dim=-1)
        return torch.cat([centred.flatten(1), distances, x[:, num_joints * num_dims :]], 1)


class VideoFeatures(nn.Module):
    """Three convolutions over a frame and its differences, then a linear layer.

    Grey levels 0 to 255 become -1 to 1, differences -2 to 2. The convolutions are 3x3 with stride
    2, batch normalisation (over all frames of a batch, never over padding) and ReLU; their last map
    is averaged to 3 x 4 fields, so that the network knows where something is.

    Args:
        shape: (H, W) of a frame.
        num_lags: L, the differences.

    Example:
        >>> import torch
        >>> from rondo.models.frame_features import VideoFeatures
        >>> VideoFeatures((48, 64), num_lags=1)(torch.zeros(5, 2 * 48 * 64)).shape
        torch.Size([5, 64])
    """

    def __init__(self, shape: Sequence[int], num_lags: int) -> None:
        super().__init__()
        self.shape = (1 + num_lags, *shape)
        self.num_features = VIDEO_FEATURES
        channels = (1 + num_lags, *VIDEO_CHANNELS)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.maps = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((3, 4)), nn.Flatten())
        self.output = nn.Linear(channels[-1] * 12, VIDEO_FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """The features of frames."""
        images = x.unflatten(1, self.shape) / 127.5
        images = torch.cat([images[:, :1] - 1, images[:, 1:]], 1)
        return self.output(self.maps(images)).relu()

    def fit(self, x: Tensor) -> None:
        """Takes nothing: grey levels have a known range."""


FRAMES: dict[str, Callable[[Sequence[int], int], SignalFeatures | PoseFeatures | VideoFeatures]] = {
    "poses": PoseFeatures,
    "signals": SignalFeatures,
    "video": VideoFeatures,
}
"""What makes features of a kind of frames, from the shape of a frame and the number of lags."""
