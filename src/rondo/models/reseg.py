"""ReSeg: names the class of every pixel of a picture, or of the frames of a video."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells import ConvGRUCell
from rondo.cells.cell import check_choice
from rondo.cells.named import NAMED_CELLS, num_parameters
from rondo.layers import Recurrent, SpatialRNN
from rondo.models.resnet_front import ResNetFront

CONTEXTS = ("sweeps", "convolutions")
"""What sees the whole map: recurrent layers, or convolutions of as many parameters."""


class ReSeg(nn.Module):
    """A convolutional front, recurrent layers that sweep over its map, and upsampling.

    The front, the first stages of a ResNet, reduces the picture R times. L layers
    :class:`rondo.SpatialRNN` sweep over its map, each down and up, then right and left, so that
    every place has seen the whole picture. Transposed convolutions of 2x2 with stride 2,
    normalised and rectified, bring the map back to the size of the picture, and a 1x1 convolution
    gives the logits of K classes for every pixel; their softmax is the answer.

    Visin et al., "ReSeg: a recurrent neural network-based model for semantic segmentation", 2016
    (arXiv 1511.07053): there the front is that of a VGG-16, R = 4, L = 2, the cells are GRUs with
    100 units, two transposed convolutions have 50 filters, and nothing is normalised. Pictures of
    any size are taken: they are filled up to a multiple of R and the answer is cut.

    With a memory, the frames of a video go on from one another: after the sweeps a convolutional
    GRU runs over the frames, and its state is carried from call to call.

    Args:
        num_classes: K.
        depth: 18 or 50, of the ResNet.
        front_stages: Stages of the ResNet in the front, 1 to 4: R is 4, 8, 16 or 32.
        context: "sweeps", or "convolutions": in the place of each layer two 3x3 convolutions with
            as many parameters, to tell what the sweeps are worth.
        cell: The name of the cell that sweeps, in `rondo.cells.named.NAMED_CELLS`.
        hidden_size: The width of each of the four loops of a layer.
        num_layers: L.
        channels: Filters of the transposed convolutions.
        memory_size: The channels of the state that goes from frame to frame; 0 for none.
        dropout: The share of the channels set to zero in training before the upsampling.
        even_light: Whether each colour of each picture is brought to one mean and deviation first,
            so that dusk and noon look alike.
        normalised: Whether the map of each layer of sweeps is normalised over the batch, as that
            of the convolutions always is.

    Shape:
        Frames (B, T, 3, H, W) with values 0 to 255, pictures with T = 1; logits (B, T, K, H, W).

    Raises:
        ValueError: Where a size or the context is none; `KeyError` where there is no such cell.

    Example:
        >>> import torch
        >>> from rondo.models.reseg import ReSeg
        >>> model = ReSeg(11, hidden_size=8, memory_size=8)
        >>> logits, state = model(torch.zeros(1, 2, 3, 45, 60))
        >>> logits.shape, state.shape
        (torch.Size([1, 2, 11, 45, 60]), torch.Size([1, 8, 6, 8]))
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depth: int = 18,
        front_stages: int = 2,
        context: str = "sweeps",
        cell: str = "gru",
        hidden_size: int = 100,
        num_layers: int = 2,
        channels: int = 50,
        memory_size: int = 0,
        dropout: float = 0.0,
        even_light: bool = False,
        normalised: bool = False,
    ) -> None:
        super().__init__()
        check_choice("context", context, dict.fromkeys(CONTEXTS))
        if num_classes < 2 or min(hidden_size, num_layers, channels) < 1 or memory_size < 0:
            raise ValueError(
                "num_classes must be at least 2, hidden_size, num_layers and channels at least 1 "
                f"and memory_size at least 0, got {num_classes}, {hidden_size}, {num_layers}, "
                f"{channels} and {memory_size}"
            )
        self.even_light = even_light
        self.front = ResNetFront(depth, front_stages)
        self.reduction = self.front.reduction
        layers: list[nn.Module] = []
        before = self.front.channels
        for _ in range(num_layers):
            sweeps = SpatialRNN(
                1, NAMED_CELLS[cell], input_channels=before, hidden_size=hidden_size
            )
            if context == "convolutions":
                layers.append(as_convolutions(before, 2 * hidden_size, num_parameters(sweeps)))
            else:
                layers += [sweeps, nn.BatchNorm2d(2 * hidden_size)] if normalised else [sweeps]
            before = 2 * hidden_size
        self.context = nn.Sequential(*layers)
        self.memory: Recurrent | None = None
        if memory_size:
            # no kernel does convolutions, so the reference engine is what there is
            self.memory = Recurrent(ConvGRUCell(before, memory_size), engine="reference")
            before = memory_size
        self.dropout = nn.Dropout2d(dropout)
        steps: list[nn.Module] = []
        for _ in range(self.reduction.bit_length() - 1):
            steps += [
                nn.ConvTranspose2d(before, channels, 2, stride=2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            before = channels
        self.up = nn.Sequential(*steps)
        self.classify = nn.Conv2d(before, num_classes, 1)

    def forward(
        self, frames: Tensor, state: Any = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """The logits of every pixel, and the state after the last frame (() without a memory).

        Args:
            frames: (B, T, 3, H, W), values 0 to 255.
            state: The state of the frames before, or None.
            lengths: (B,) the frames of each clip, or None where all have T.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"frames must be (B, T, 3, H, W), got {tuple(frames.shape)}")
        batch_size, num_frames, _, height, width = frames.shape
        pictures = frames.flatten(0, 1).float()
        if self.even_light:
            pictures = evenly_lit(pictures)
        x = self.context(self.front(_filled_up(pictures, self.reduction)))
        after: Any = ()
        if self.memory is not None:
            clips = x.unflatten(0, (batch_size, num_frames))
            clips, after = self.memory(clips, state if state != () else None, lengths=lengths)
            x = clips.flatten(0, 1)
        logits = self.classify(self.up(self.dropout(x)))[..., :height, :width]
        return logits.unflatten(0, (batch_size, num_frames)), after


def as_convolutions(input_channels: int, output_channels: int, num_wanted: int) -> nn.Sequential:
    """Two 3x3 convolutions, normalised and rectified, with about so many parameters in all.

    Example:
        >>> from rondo.cells.named import num_parameters
        >>> from rondo.models.reseg import as_convolutions
        >>> num_parameters(as_convolutions(128, 200, 318_000))
        319432
    """
    each = 9 * (input_channels + output_channels) + 2  # parameters of an inner channel
    inner = max(1, round((num_wanted - 2 * output_channels) / each))
    return nn.Sequential(
        nn.Conv2d(input_channels, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, output_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(output_channels),
        nn.ReLU(),
    )


def evenly_lit(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) each of whose colours has the mean 118 and the deviation 58.

    That is about what photos have, on a scale of 0 to 255. A colour that is the same everywhere
    becomes that mean.
    """
    deviation, mean = torch.std_mean(pictures, (2, 3), correction=0, keepdim=True)
    return 118 + 58 * (pictures - mean) / deviation.clamp_min(1e-3)


def _filled_up(pictures: Tensor, multiple: int) -> Tensor:
    """Pictures whose last row and column are repeated until their sides are a multiple."""
    bottom, right = (-side % multiple for side in pictures.shape[2:])
    return torch.nn.functional.pad(pictures, (0, right, 0, bottom), mode="replicate")
