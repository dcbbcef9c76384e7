"""What a cell costs when it is used for the first time: recording, comparing, compiling.

Each part is timed on its own, with kernels that are in the cache already, for training (with
gradients) and for prediction: the two recordings of the step with planning, and the comparison
with the plain loop. The compiler of C is timed once more with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

import rondo
from rondo.bench.measure import machine_lines
from rondo.cells import initial_state
from rondo.compiler.check import _make_engines
from rondo.compiler.runtime import LOADED
from rondo.compiler.state import flatten
from rondo.layers.call import Call, held_by
from rondo.layers.making import compare_call, compile_call
from rondo.layers.sequence import dense


class NormedLSTM(nn.Module):
    """An LSTM with a layer norm on each gate and on the cell state, as one writes it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.gates = nn.Linear(input_size + hidden_size, 4 * hidden_size)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(5))

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        gates = self.gates(torch.cat([x, h], -1)).chunk(4, -1)
        i, f, g, o = (norm(gate) for norm, gate in zip(self.norms, gates, strict=False))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.norms[4](c))
        return h, (h, c)


CELLS: dict[str, Callable[[int, int], nn.Module]] = {
    "Elman": rondo.ElmanCell,
    "GRU": rondo.GRUCell,
    "LSTM": rondo.LSTMCell,
    "LSTM with layer norm": NormedLSTM,
}


def call_of(cell: nn.Module, size: int) -> Call:
    x = torch.randn(8, 20, size, requires_grad=torch.is_grad_enabled())
    leaves, form = flatten(initial_state(cell, x[:, 0]))
    rows = x.transpose(0, 1).flatten(0, 1)
    how = dense(8, 20), "auto", None, False, None, False
    return Call(cell, held_by(cell), rows, leaves, form, *how)


def milliseconds(function: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times)


def elman_call(call: Call) -> Call:
    """A call of another cell on the same kind of numbers."""
    size = call.rows.shape[1]
    return call_of(rondo.ElmanCell(size, size + 1), size)


def compile_anew(call: Call) -> float:
    """Milliseconds to make both kernels with nothing in the cache."""
    kept = os.environ.get("RONDO_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RONDO_CACHE"] = folder
        LOADED.clear()  # as in a new process
        _make_engines(compile_call(elman_call(call), lambda reason: None))  # what kernels share
        program = compile_call(call, lambda reason: None)
        taken = milliseconds(lambda: _make_engines(program), 1)
    os.environ.pop("RONDO_CACHE")
    os.environ |= {} if kept is None else {"RONDO_CACHE": kept}
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 128])
    arguments = parser.parse_args()
    print(machine_lines())
    print("| cell | I = H | for | record and plan, ms | compare, ms | compile C, ms |")
    print("|---|---|---|---|---|---|")
    for name, make in CELLS.items():
        for size in arguments.sizes:
            for kind in ("training", "prediction"):
                with torch.set_grad_enabled(kind == "training"):
                    call = call_of(make(size, size), size)
                    program = compile_call(call, lambda reason: None)
                    compare_call(call, program)
                    recorded = milliseconds(
                        lambda call=call: compile_call(call, lambda reason: None), arguments.rounds
                    )
                    compared = milliseconds(
                        lambda call=call, made=program: compare_call(call, made), arguments.rounds
                    )
                    compiled = compile_anew(call)
                print(
                    f"| {name} | {size} | {kind} | {recorded:.1f} | {compared:.1f} "
                    f"| {compiled:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
