"""Loops on a GPU: Rondo's kernels beside cuDNN's LSTM and an eager loop, forward and backward.

Each layer is first checked against the reference engine. With `TRITON_INTERPRET=1` and `--device
cpu` Triton's interpreter runs the kernels, which tells nothing of speed: to try the program out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import rondo
from kept_runs import note, write_page
from rondo.bench.measure import Spread, take_turns
from rondo.cells import initial_state
from rondo.system.columns import markdown_table

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

CELLS: dict[str, Callable[[int], nn.Module]] = {
    "LSTM": lambda size: rondo.LSTMCell(size, size),
    "GRU": lambda size: rondo.GRUCell(size, size),
    "Elman": lambda size: rondo.ElmanCell(size, size),
    "GRU, reset first": lambda size: rondo.GRUCell(size, size, reset="before"),
    "LSTM with peepholes": lambda size: rondo.LSTMCell(size, size, peepholes=True),
    "LSTM with layer norm": lambda size: rondo.LayerNormLSTMCell(size, size),
}

NOTES = """\
Milliseconds of the forward pass, and of forward and backward, with the product of the input; each
layer has its turn in every round. "engine" is what ran: cuda is Rondo's kernel, torch the function
of torch, which uses cuDNN, eager a loop of the cell in Python. The last column is the time of
forward and backward for each multiplication of the cell's matrices, over that of torch's LSTM.
"difference" is the greatest between outputs, and between gradients, of the layer and of the
reference engine in float64, over the greatest of the latter.
"""


class Eager(nn.Module):
    """A cell in a loop in Python."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        state, outputs = initial_state(self.cell, x[0]), []
        for x_t in x:
            y, state = self.cell(x_t, state)
            outputs.append(y)
        return torch.stack(outputs), state


def layers_of(name: str, size: int) -> dict[str, nn.Module]:
    """A cell run in each way."""
    torch.manual_seed(0)
    cell = CELLS[name](size)
    found: dict[str, nn.Module] = {
        "cuda": rondo.Recurrent(cell, engine="cuda", batch_first=False),
        "eager": Eager(cell),
    }
    if name in ("LSTM", "GRU", "Elman"):
        found["torch"] = rondo.Recurrent(cell, batch_first=False)
    return found


def both_passes(layer: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output and gradients."""
    y = layer(x)[0]
    return [y, *torch.autograd.grad(y, [x, *layer.parameters()], grad)]


def difference(layer: nn.Module, x: Tensor, grad: Tensor) -> float:
    """How far the results of a layer are from those in float64."""
    exact = rondo.Recurrent(layer.cell, engine="reference", batch_first=False)
    found = both_passes(layer, x, grad)
    dtype = x.dtype
    expected = both_passes(exact.double(), x.detach().double().requires_grad_(), grad.double())
    exact.to(dtype)
    errors = [
        float((a.double() - b).abs().max() / b.abs().max())
        for a, b in zip(found, expected, strict=True)
    ]
    return max(errors)


def timed(run: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The run, and waiting for its end."""

    def until_done() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return until_done


def num_multiplications(cell: nn.Module) -> int:
    return sum(weight.numel() for weight in cell.parameters() if weight.ndim == 2)


def rows_of(arguments: argparse.Namespace, dtype: torch.dtype) -> list[list[str]]:
    device, size = torch.device(arguments.device), arguments.size
    x = torch.randn(arguments.steps, arguments.batch, size, device=device, dtype=dtype)
    grad = torch.randn_like(x)
    x.requires_grad_()
    forward: dict[str, Callable[[], None]] = {}
    training: dict[str, Callable[[], None]] = {}
    errors: dict[str, float] = {}
    weights: dict[str, int] = {}
    for name in arguments.cells:
        for engine, layer in layers_of(name, size).items():
            key = f"{name}|{engine}"
            layer = layer.to(device, dtype)
            errors[key] = difference(layer, x, grad)
            weights[key] = num_multiplications(layer.cell)
            note(f"{key}: difference {errors[key]:.1e}")
            forward[key] = timed(partial(torch.no_grad()(layer), x), device)
            training[key] = timed(partial(both_passes, layer, x, grad), device)
    times = take_turns(forward, arguments.rounds), take_turns(training, arguments.rounds)
    rows = []
    for key in forward:
        name, engine = key.split("|")
        cells = [f"{1e3 * spread[key].median:.2f}" for spread in times]
        rows.append([name, engine, *cells, _per_flop(times[1], key, weights), f"{errors[key]:.1e}"])
    return rows


def _per_flop(times: dict[str, Spread], key: str, weights: dict[str, int]) -> str:
    if "LSTM|torch" not in times:
        return "-"
    ratio = times[key].over(times["LSTM|torch"]).median
    return f"{ratio * weights['LSTM|torch'] / weights[key]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--size", type=int, default=768, help="of the input and the state")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; --device cpu tries the program out")
    head = ["cell", "engine", "forward, ms", "forward and backward, ms",
            "per multiplication, over torch's LSTM", "difference"]  # fmt: skip
    device = "Triton's interpreter"
    if arguments.device == "cuda":
        device = torch.cuda.get_device_name()
    sizes = f"B = {arguments.batch}, T = {arguments.steps}, I = H = {arguments.size}"
    sections = [
        f"## {name}, {sizes}, {device}\n\n{markdown_table(head, rows_of(arguments, DTYPES[name]))}"
        for name in arguments.dtypes
    ]
    write_page(arguments.output / "gpu_speed.md", "Loops on a GPU", NOTES, sections, None)


if __name__ == "__main__":
    main()
