"""Transfer learning: TL-1, TL-2 and TL-3 of the lecture's table.

The lecture "Recurrent neural networks" (V. Kustikova, Nizhny Novgorod State University) gives
their accuracies and times and no more. **The definitions here are ours**: a ResNet-18 or ResNet-50
that was trained elsewhere, with a new last layer, of which more and more is trained: the last
layer alone, the last stage too, everything.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from rondo.models.checkpoint import Checkpoint, load_checkpoint
from rondo.models.resnet import ResNet

TRAINED = {"tl_1": ("fc",), "tl_2": ("layer4", "fc"), "tl_3": None}
"""The parts of the ResNet that each network trains; None means all."""


class TransferNetwork(nn.Module):
    """A trained ResNet with a new last layer, of which some parts are trained further.

    The other parts are frozen: their parameters need no gradient, and their batch normalisation
    normalises with its running statistics, and leaves them, in training too.

    Args:
        network: The ResNet.
        trained: The names of the parts to train; None means all.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, classes).

    Raises:
        ValueError: If a name is none of a part.

    Example:
        >>> from rondo.models import ResNet, TransferNetwork
        >>> model = TransferNetwork(ResNet(18), ("fc",))
        >>> [name for name, value in model.named_parameters() if value.requires_grad]
        ['network.fc.weight', 'network.fc.bias']
    """

    def __init__(self, network: ResNet, trained: tuple[str, ...] | None) -> None:
        super().__init__()
        parts = dict(network.named_children())
        for name in trained or ():
            if name not in parts:
                raise ValueError(f"trained must name parts of {', '.join(parts)}, got {name!r}")
        self.network = network
        names = () if trained is None else [name for name in parts if name not in trained]
        self._frozen = tuple(names)
        for name in self._frozen:
            parts[name].requires_grad_(False)
        self.train(self.training)

    def forward(self, photos: Tensor) -> Tensor:
        """The logits of each photo."""
        logits: Tensor = self.network(photos)
        return logits

    def evidence_map(self, photos: Tensor) -> Tensor:
        """The evidence for each class at each place of the last map; see :class:`ResNet`."""
        return self.network.evidence_map(photos)

    def train(self, mode: bool = True) -> TransferNetwork:
        """Sets the training mode of the trained parts; dropout counts as one of them."""
        super().train(mode)
        for name in self._frozen:
            if name != "dropout":
                self.network.get_submodule(name).eval()
        return self

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint) -> None:
        """Takes over all weights of a checkpoint but those of the last layer.

        Raises:
            ValueError: If the checkpoint is of another depth.
        """
        if checkpoint.depth != self.network.depth:
            raise ValueError(
                f"the network is a ResNet-{self.network.depth}, and {checkpoint.source} holds a "
                f"ResNet-{checkpoint.depth}"
            )
        self.network.load_state_dict(checkpoint.weights, strict=False)


def tl_1(
    image_size: int = 128,
    num_classes: int = 2,
    *,
    weights: str | Path | None = None,
    depth: int | None = None,
    dropout: float = 0.0,
) -> TransferNetwork:
    """TL-1, our definition: frozen features of a trained ResNet, a new last layer.

    Args:
        image_size: The side of the photos in pixels, at least 32.
        num_classes: The number of classes.
        weights: A file or a name on the hub; see :func:`rondo.models.load_checkpoint`. The depth of
            the ResNet is found from it.
        depth: In place of weights: 18 or 50, a network of that depth whose weights are still to
            come, by `start_from` or `load_state_dict`.
        dropout: The share of the last map's channels set to zero in training.

    Shape:
        Photos (B, 3, H, W) with values 0 to 255; logits (B, num_classes).

    Raises:
        ValueError: If neither or both of weights and depth are given, or the weights cannot be
            used.

    Example:
        >>> import torch
        >>> from rondo.models import tl_1
        >>> tl_1(64, depth=18)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2])
    """
    return _transfer("tl_1", image_size, num_classes, weights, depth, dropout)


def tl_2(
    image_size: int = 128,
    num_classes: int = 2,
    *,
    weights: str | Path | None = None,
    depth: int | None = None,
    dropout: float = 0.0,
) -> TransferNetwork:
    """TL-2, our definition: the last stage of a trained ResNet is trained too; else as `tl_1`.

    Example:
        >>> from rondo.models import tl_2
        >>> model = tl_2(depth=18)
        >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
        8394754
    """
    return _transfer("tl_2", image_size, num_classes, weights, depth, dropout)


def tl_3(
    image_size: int = 128,
    num_classes: int = 2,
    *,
    weights: str | Path | None = None,
    depth: int | None = None,
    dropout: float = 0.0,
) -> TransferNetwork:
    """TL-3, our definition: all of a trained ResNet is trained further; else as `tl_1`.

    Example:
        >>> from rondo.models import tl_3
        >>> all(parameter.requires_grad for parameter in tl_3(depth=18).parameters())
        True
    """
    return _transfer("tl_3", image_size, num_classes, weights, depth, dropout)


def _transfer(
    name: str,
    image_size: int,
    num_classes: int,
    weights: str | Path | None,
    depth: int | None,
    dropout: float,
) -> TransferNetwork:
    if (weights is None) == (depth is None):
        raise ValueError(
            f"{name} needs either weights of a trained ResNet, a file or a name on the hub, or a "
            "depth"
        )
    checkpoint = None if weights is None else load_checkpoint(weights)
    found = depth if checkpoint is None else checkpoint.depth
    assert found is not None
    network = ResNet(found, image_size, num_classes, dropout=dropout)
    model = TransferNetwork(network, TRAINED[name])
    if checkpoint is not None:
        model.start_from(checkpoint)
    return model
