"""Who takes part: for a module or a cell, Rondo and the peers that were asked for, if there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

import rondo.layers
from rondo.bench import jax_scan, onnx_layer
from rondo.bench.cells import TORCH_CELLS, MinimalGatedUnit, MultiplicativeLSTM, PlainLoop
from rondo.bench.contenders import Contender, compiled, of_module
from rondo.bench.options import DEFAULT_PEERS, OURS, PEER_SUITES, PEERS, Options, Sizes
from rondo.extras import pip_install
from rondo.layers import Recurrent

PACKAGES = {
    "jax": ("jax",),
    "onnx": ("onnxruntime", "onnx"),
    "torchrecurrent": ("torchrecurrent",),
}
"""The peers that are not part of torch, and what to install."""


def available(options: Options, say: Callable[[str], None]) -> tuple[str, ...]:
    """Returns the peers that the suites have and that are installed; says which are left out."""
    found = []
    for name in options.peers:
        if not set(PEER_SUITES[name]) & set(options.suites):
            if options.peers != DEFAULT_PEERS:
                say(f"{PEERS[name]} is left out: it is in {', '.join(PEER_SUITES[name])} alone")
        else:
            found.append(name)
    return installed(found, say)


def installed(names: Iterable[str], say: Callable[[str], None]) -> tuple[str, ...]:
    """Returns the peers that are installed; says which are left out."""
    found = []
    for name in names:
        packages = PACKAGES.get(name, ())
        if any(find_spec(package) is None for package in packages):
            say(f"no {PEERS[name]}: it is not installed; do: {pip_install(*packages)}")
        else:
            found.append(name)
    return tuple(found)


def for_module(
    name: str, sizes: Sizes, peers: tuple[str, ...]
) -> tuple[nn.Module, list[Tensor], list[Contender]]:
    """Returns who runs one of torch's modules.

    Args:
        name: "GRU", "RNN" or "LSTM".
        sizes: Of the batch and the layer.
        peers: Which peers take part.

    Returns:
        The cell, the batch x with the gradient of the output, and the contenders.
    """
    cell = TORCH_CELLS[name][0](sizes.input_size, sizes.hidden_size)
    x, grad_y = new_batch(sizes)
    loop, parameters = PlainLoop(deepcopy(cell)), dict(cell.named_parameters())
    ours, theirs = (with_weights_of(cell, getattr(place, name)) for place in (rondo.layers, nn))
    make: dict[str, Callable[[], Contender]] = {
        OURS: lambda: of_module(OURS, ours, lambda: ours(x)[0], grad_y),
        "nn": lambda: of_module(PEERS["nn"], theirs, lambda: theirs(x)[0], grad_y),
        "loop": lambda: of_module(PEERS["loop"], loop, lambda: loop(x)[0], grad_y),
        "jax": lambda: jax_scan.of_cell(PEERS["jax"], name, parameters, x, grad_y),
        "onnx": lambda: onnx_layer.of_layer(PEERS["onnx"], name, parameters, x),
    }
    contenders = [make[key]() for key in (OURS, *peers) if key in make]
    return cell, [x, grad_y], contenders


def for_cell(cell: nn.Module, batch: list[Tensor], peers: tuple[str, ...]) -> list[Contender]:
    """Returns who runs a cell that torch does not have; `batch` is x and the output's gradient."""
    x, grad_y = batch
    layer, loop = Recurrent(deepcopy(cell), batch_first=False), PlainLoop(deepcopy(cell))
    contenders = [of_module(OURS, layer, lambda: layer(x)[0], grad_y)]
    if "loop" in peers:
        contenders.append(of_module(PEERS["loop"], loop, lambda: loop(x)[0], grad_y))
    if "compile" in peers:
        contenders.append(compiled(PEERS["compile"], PlainLoop(deepcopy(cell)), x, grad_y))
    if "jax" in peers and type(cell).__name__ in jax_scan.CELLS:
        parameters = dict(cell.named_parameters())
        own = type(cell).__name__
        contenders.append(jax_scan.of_cell(PEERS["jax"], own, parameters, x, grad_y))
    if "torchrecurrent" in peers and type(cell) in TORCHRECURRENT:
        other = _of_torchrecurrent(cell)
        contenders.append(of_module(PEERS["torchrecurrent"], other, lambda: other(x)[0], grad_y))
    return contenders


TORCHRECURRENT: dict[type[nn.Module], str] = {
    MinimalGatedUnit: "MGU",
    MultiplicativeLSTM: "MultiplicativeLSTM",
}
"""The cells that torchrecurrent has too, with the same parameters, and its layers' names."""


def _of_torchrecurrent(cell: Any) -> nn.Module:
    import torchrecurrent

    options = {"recurrent_bias": False}
    options |= {"multiplicative_bias": False} if isinstance(cell, MultiplicativeLSTM) else {}
    layer_class = getattr(torchrecurrent, TORCHRECURRENT[type(cell)])
    layer: nn.Module = layer_class(cell.input_size, cell.hidden_size, **options)
    named = {f"cells.0.{key}": value for key, value in cell.state_dict().items()}
    layer.load_state_dict(named, strict=False)  # what it has beyond these is zero
    return layer


def new_batch(sizes: Sizes) -> list[Tensor]:
    """Returns x (T, B, I) and the gradient of the output (T, B, H)."""
    num_steps, batch_size, input_size, hidden_size = sizes
    return [torch.randn(num_steps, batch_size, size) for size in (input_size, hidden_size)]


def with_weights_of(cell: Any, layer_class: Callable[..., nn.Module], **options: Any) -> nn.Module:
    """Returns a layer in the form of torch.nn's with the weights of a cell."""
    layer = layer_class(cell.input_size, cell.hidden_size, **options)
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    return layer
