"""Stacked layers that run staggered over time beside one after the other, and torch.nn.

Only what is chosen by default is timed: where layers are not staggered, both ways are one. Each
side has its turn in every round; ours must give the same bits both ways before anything is timed.

    python benchmarks/wavefront.py [--kinds LSTM] [--seconds 2] [--output DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

import rondo
from kept_runs import note, write_page
from rondo.bench.measure import Spread, busy_note, take_turns_for
from rondo.compiler import network_passes
from rondo.compiler.chain import Wavefront

NUM_STEPS = 100
NUM_LAYERS, BATCH_SIZES, HIDDEN_SIZES = (2, 4, 6), (1, 4, 8), (32, 128, 256)
LEAST_ROUNDS, MOST_ROUNDS = 8, 400
STAGGERED, ONE_BY_ONE, TORCH = "staggered", "one by one", "torch.nn"
HEADER = (
    "| layers | what | staggered, ms | one by one, ms | torch.nn, ms | ratio to one by one (range) "
    "| of the least times | torch.nn's ratio |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Case:
    """A stack on a batch."""

    kind: str
    num_layers: int
    batch_size: int
    hidden_size: int
    trains: bool

    def __str__(self) -> str:
        return f"{self.num_layers} {self.kind}, B {self.batch_size}, H {self.hidden_size}"

    def layer(self, package: object) -> nn.Module:
        """A stack with the same weights from every package."""
        torch.manual_seed(0)
        make = getattr(package, self.kind)
        return make(self.hidden_size, self.hidden_size, num_layers=self.num_layers)

    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The output, or the gradients of a training step in one row."""
        if not self.trains:
            with torch.no_grad():
                return layer(x)[0]
        weights = list(layer.parameters())
        gradients = torch.autograd.grad(layer(x)[0].sum(), weights)
        return torch.cat([gradient.flatten() for gradient in gradients])


def learned(case: Case, x: Tensor, *, staggers: bool) -> nn.Module:
    """A layer that has seen a call and runs it in one of the two ways."""
    chosen = network_passes.stagger_of
    if not staggers:
        network_passes.stagger_of = lambda *_, **__: None
    try:
        layer = case.layer(rondo)
        for _ in range(3):
            case.run(layer, x)
        return layer
    finally:
        network_passes.stagger_of = chosen


def is_staggered(layer: nn.Module, *, trains: bool) -> bool:
    """Whether layers run staggered in the last pass of a case."""
    ((seen,),) = layer._rondo[1].memory.found.values()
    made = seen.chained.network
    passes = (made.forward, made.backward) if trains else (made.forward,)
    return any(isinstance(action, Wavefront) for one in passes for action in one.actions)


def timed(case: Case, seconds: float) -> dict[str, Spread] | None:
    """The times of all sides; None where the layers are not staggered."""
    x = torch.randn(NUM_STEPS, case.batch_size, case.hidden_size)
    ours = learned(case, x, staggers=True)
    if not is_staggered(ours, trains=case.trains):
        return None
    layers = {
        STAGGERED: ours,
        ONE_BY_ONE: learned(case, x, staggers=False),
        TORCH: case.layer(nn),
    }
    if not torch.equal(case.run(layers[STAGGERED], x), case.run(layers[ONE_BY_ONE], x)):
        raise AssertionError(f"{case}: the two ways differ")
    runs: dict[str, Callable[[], Tensor]] = {
        name: lambda layer=layer: case.run(layer, x) for name, layer in layers.items()
    }
    return take_turns_for(runs, seconds, 0.0, LEAST_ROUNDS, MOST_ROUNDS)


def row_of(case: Case, found: dict[str, Spread]) -> str:
    """A row of the table."""
    ratio = found[ONE_BY_ONE].over(found[STAGGERED])
    low, high = ratio.shown
    least = min(found[ONE_BY_ONE].values) / min(found[STAGGERED].values)
    times = [f"{1e3 * found[name].median:.3g}" for name in (STAGGERED, ONE_BY_ONE, TORCH)]
    to_torch = found[TORCH].over(found[STAGGERED]).median
    ratios = f"{ratio.median:.3g} ({low:.3g} to {high:.3g})", f"{least:.3g}", f"{to_torch:.3g}"
    what = "training" if case.trains else "forward"
    return "| " + " | ".join((str(case), what, *times, *ratios)) + " |"


def rows(kinds: list[str], seconds: float) -> Iterator[tuple[str, bool]]:
    """Rows of the table, and the names of what is not staggered."""
    sizes = product(kinds, NUM_LAYERS, BATCH_SIZES, HIDDEN_SIZES, (False, True))
    for case in (Case(*one) for one in sizes):
        found = timed(case, seconds)
        note(f"{case}: {'not staggered' if found is None else row_of(case, found)}")
        what = "training" if case.trains else "forward"
        yield (f"{case}, {what}", False) if found is None else (row_of(case, found), True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["LSTM"], help="LSTM, GRU or RNN")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    busy = busy_note()
    all_rows = list(rows(args.kinds, args.seconds))
    table = "\n".join([HEADER, *(text for text, is_row in all_rows if is_row)])
    others = "; ".join(text for text, is_row in all_rows if not is_row)
    sections = [table, f"Not staggered, as chosen: {others}."]
    sections += [f"Not quiet: {busy}"] if busy else []
    write_page(
        args.output / "wavefront.md", "Stacked layers, staggered over time", NOTES, sections, None
    )


NOTES = f"""
Sequences of {NUM_STEPS} steps; input size and hidden size are equal. Times are medians; a ratio is
that of the times of one round, with its quartiles. Where other programs keep the processors busy, a
helper often does not come: then both ways take the same time, and the ratio of the least times says
what two free cores give. Training is a forward and a backward pass.
"""


if __name__ == "__main__":
    main()
