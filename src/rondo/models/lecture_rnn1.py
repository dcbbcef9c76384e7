"""The lecture's network: convolutions, then two spatial recurrent layers.

`generate_rnn1_cls_model` of the lecture "Recurrent neural networks" (V. Kustikova, Nizhny Novgorod
State University), which predicts a person's sex from a photo, by the rules of Intel neon.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from rondo.cells import ElmanCell
from rondo.layers import SpatialRNN
from rondo.models.neon import NeonBatchNorm2d, glorot_, kaiming_

FORMS = ("sane", "lecture")
CHANNELS = (32, 64, 128, 256)
HIDDEN_SIZES = (256, 512)
REDUCTION = 32  # a map of the last layer is this much smaller than the photo


class LectureRNN1(nn.Module):
    """The network of the lecture, in its own form or in a sane one.

    Four dilated convolutions with ReLU and batch normalisation, max pooling after the first three;
    two spatial recurrent layers of tanh units over 2x2 blocks, with batch normalisation; a 1x1
    convolution to the classes, averaged over the map.

    The forms differ in the last layer. `"lecture"` keeps what the lecture's code says: the 1x1
    convolution is padded by 1, so that 20 of its 36 outputs (at 128 pixels) see nothing but zeros,
    and a ReLU follows, so that evidence cannot be negative and a head whose outputs are all
    clipped has no gradient any more. `"sane"` leaves out both.

    Args:
        image_size: The side of the square photos in pixels, a multiple of 32.
        num_classes: The number of classes.
        form: "sane" or "lecture".
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, S, S) with values 0 to 255; logits (B, num_classes).
    """

    def __init__(
        self,
        image_size: int = 128,
        num_classes: int = 2,
        *,
        form: str = "sane",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(image_size, num_classes, form)
        self.image_size = image_size
        self.form = form
        self.features = nn.Sequential(*_convolutions(), *_spatial_layers())
        self.dropout = nn.Dropout2d(dropout)
        padding = 1 if form == "lecture" else 0
        last = nn.Conv2d(2 * HIDDEN_SIZES[-1], num_classes, 1, padding=padding)
        self.head = kaiming_(last)

    def forward(self, photos: Tensor) -> Tensor:
        """The logits of each photo: its evidence map, averaged."""
        return self.evidence_map(photos).mean((2, 3))

    def evidence_map(self, photos: Tensor) -> Tensor:
        """The evidence for each class at each place of the last map, (B, classes, S/32, S/32).

        In the lecture's form the map has a border of one more place on each side.
        """
        self._check_photos(photos)
        evidence = self.head(self.dropout(self.features(photos / 128)))
        return cast(Tensor, evidence.relu() if self.form == "lecture" else evidence)

    def _check_photos(self, photos: Tensor) -> None:
        if photos.ndim != 4 or photos.shape[1] != 3 or any(s % REDUCTION for s in photos.shape[2:]):
            raise ValueError(
                f"photos must be (B, 3, S, S) with S a multiple of {REDUCTION}, got "
                f"{tuple(photos.shape)}"
            )


def lecture_rnn1(
    image_size: int = 128, num_classes: int = 2, *, form: str = "sane", dropout: float = 0.0
) -> LectureRNN1:
    """The lecture's network `generate_rnn1_cls_model`; see :class:`LectureRNN1`.

    It has 5,640,456 trainable parameters for two classes, whatever the image size and the form.

    Example:
        >>> import torch
        >>> from rondo.models import lecture_rnn1
        >>> model = lecture_rnn1(image_size=64)
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2])
        >>> sum(parameter.numel() for parameter in model.parameters())
        5640456
    """
    return LectureRNN1(image_size, num_classes, form=form, dropout=dropout)


def _check(image_size: int, num_classes: int, form: str) -> None:
    if image_size < REDUCTION or image_size % REDUCTION:
        raise ValueError(f"image_size must be a multiple of {REDUCTION}, got {image_size}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if form not in FORMS:
        raise ValueError(f"form must be {' or '.join(map(repr, FORMS))}, got {form!r}")


def _convolutions() -> list[nn.Module]:
    """Normalised input, then convolution, ReLU, normalisation and (but for the last) pooling."""
    layers: list[nn.Module] = [NeonBatchNorm2d(3)]
    for before, channels in zip((3, *CHANNELS), CHANNELS, strict=False):
        layers += [
            kaiming_(nn.Conv2d(before, channels, 3, padding=2, dilation=2)),
            nn.ReLU(),
            NeonBatchNorm2d(channels),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
    return layers[:-1]


def _spatial_layers() -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = CHANNELS[-1]
    for hidden_size in HIDDEN_SIZES:
        layers.append(
            SpatialRNN(2, _glorot_elman, input_channels=channels, hidden_size=hidden_size)
        )
        channels = 2 * hidden_size
        layers.append(NeonBatchNorm2d(channels))
    return layers


def _glorot_elman(input_size: int, hidden_size: int) -> nn.Module:
    return glorot_(ElmanCell(input_size, hidden_size))
