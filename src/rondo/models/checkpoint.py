"""Trained weights of a ResNet, from a local file or the Hugging Face hub.

In goes a path or a hub name, out comes a `Checkpoint`: the weights by the names of
:class:`rondo.models.ResNet`, the depth that they are for, and their fingerprint. Nothing but
tensors and plain containers is unpickled (`torch.load(weights_only=True)`), so a file cannot run
code. Weights of torchvision, of timm and of Rondo's own runs have these names; the last layer is
not read, since its classes are others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rondo.extras import how_to_install
from rondo.models.resnet import DEPTHS, ResNet

FILE_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".tar")
"""What names of files end in; a name without may be one of the hub."""

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILE = "model.safetensors"
"""The file that is read of a model on the hub."""

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which files of training runs hold the weights."""

PREFIXES = ("module.", "network.")
"""What may stand before all names: of `DataParallel`, and of Rondo's transfer networks."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The weights of a ResNet without its last layer.

    Attributes:
        source: Where they came from, for messages.
        depth: 18 or 50.
        weights: Tensors by name, for `ResNet.load_state_dict(weights, strict=False)`.
        fingerprint: 16 hexadecimal digits that change when any name or value does, and do not
            depend on the form of the file.
    """

    source: str
    depth: int
    weights: dict[str, Tensor] = field(repr=False)
    fingerprint: str


def load_checkpoint(source: str | Path) -> Checkpoint:
    """Returns the weights that a file or a model on the hub holds.

    Args:
        source: A .safetensors file, a file of `torch.save`, or "owner/name" on the Hugging Face hub
            (its `model.safetensors`; needs the extra `hub`).

    Raises:
        ValueError: If there is no such file or model, it holds anything but weights, or they are
            those of another network than ResNet-18 and ResNet-50. The message is one line.

    Example:
        ```
        checkpoint = load_checkpoint("resnet50.pth")
        network = ResNet(checkpoint.depth)
        network.load_state_dict(checkpoint.weights, strict=False)
        ```
    """
    weights = _unwrapped(_read(_local_file(str(source))))
    if weights is None:
        raise ValueError(f"{source} holds no weights: no tensors by name")
    return _checkpoint(str(source), weights)


# ---- reading ----


def _local_file(source: str) -> Path:
    """Returns the file that is meant, downloaded from the hub where it is a name of the hub."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        raise ValueError(f"{source} is a folder; give the file of weights in it")
    if path.suffix in FILE_ENDINGS or not HUB_NAME.fullmatch(source):
        raise ValueError(
            f"there is no file {source}; give a file of weights of a ResNet-18 or ResNet-50, or a "
            "name on the Hugging Face hub, owner/name"
        )
    return _download(source)


def _download(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise ValueError(
            f"there is no file {name}, and for weights on the Hugging Face hub huggingface_hub is "
            f"not installed; {how_to_install('hub')}"
        ) from error
    try:
        return Path(hf_hub_download(name, HUB_FILE))
    except Exception as error:  # of many kinds: no such model, no such file, no network
        raise ValueError(
            f"there is no file {name}, and {HUB_FILE} of {name} cannot be had from the Hugging "
            f"Face hub ({_first_line(error)})"
        ) from error


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, weights_only=True, map_location="cpu")
    except ModuleNotFoundError:
        raise
    except Exception as error:  # both raise whatever they stumble over
        raise ValueError(
            f"{path} cannot be read as weights: it is damaged, or holds other things than tensors, "
            f"which are never unpickled ({type(error).__name__})"
        ) from error


def _unwrapped(content: Any) -> dict[str, Tensor] | None:
    """Returns the tensors by name, None where the content is something else."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        return None
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return None
    weights = dict(content)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


# ---- checking ----


def _checkpoint(source: str, weights: dict[str, Tensor]) -> Checkpoint:
    depth = 50 if "layer1.0.conv3.weight" in weights else 18
    with torch.device("meta"):
        wanted = _without_head(ResNet(depth).state_dict())
    found = _without_head(weights)
    difference = _difference(wanted, found)
    if difference is not None:
        known = " or ".join(f"ResNet-{depth}" for depth in DEPTHS)
        raise ValueError(f"{source} holds weights of another network than {known}: {difference}")
    return Checkpoint(source, depth, found, _fingerprint(found))


def _without_head(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights but those of the last layer and the counts of batches."""
    return {
        name: value
        for name, value in weights.items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }


def _difference(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str | None:
    """Returns the first difference in names, shapes or types, None where there is none."""
    for name, value in wanted.items():
        if name not in found:
            return f"it has no {name}"
        if found[name].shape != value.shape:
            shapes = tuple(found[name].shape), tuple(value.shape)
            return f"its {name} is {shapes[0]} and should be {shapes[1]}"
        if not found[name].is_floating_point() or not bool(found[name].isfinite().all()):
            return f"its {name} holds something else than finite numbers"
    others = [name for name in found if name not in wanted]
    return f"it has {others[0]} beside" if others else None


def _fingerprint(weights: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().float().contiguous().numpy().data)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
