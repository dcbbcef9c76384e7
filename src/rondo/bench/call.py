"""What a call of one or a few steps costs: drop-ins beside `torch.nn`, in turn in one process.

In go kinds, sizes and how long to measure, out comes a row of times for each: what the call of a
policy or of a decoder takes, whose fixed costs a long sequence hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import rondo
from rondo.bench.measure import Run, Spread, take_turns

KINDS = ("LSTM", "GRU", "RNN")
STEPS = (1, 2, 4)
BATCHES = (1, 4, 8)
SIZES = (32, 64, 128, 256, 512)
STACKED = 6
"""Layers of the stack that is measured for one step."""

FORWARD, TRAINING, STACK, STREAM = "forward", "forward and backward", "six layers", "stream"


@dataclass(frozen=True)
class CallRow:
    """The times of one kind of call.

    Args:
        kind: The layer: "LSTM", "GRU" or "RNN".
        num_steps, batch_size, hidden_size: T, B and H; the input is as large as the state.
        what: `FORWARD`, `TRAINING`, `STACK` (of `STACKED` layers, forward) or `STREAM` (a step of
            `Recurrent.stream` beside a call of torch.nn's cell).
        torch_us, rondo_us: The medians, in microseconds.
        ratio: Our time over torch.nn's, of each round.
    """

    kind: str
    num_steps: int
    batch_size: int
    hidden_size: int
    what: str
    torch_us: float
    rondo_us: float
    ratio: Spread

    @property
    def spread(self) -> tuple[float, float]:
        """Between which half of the ratios lie; of few rounds, all."""
        return self.ratio.shown


def call_rows(
    *,
    kinds: Sequence[str] = KINDS,
    steps: Sequence[int] = STEPS,
    batches: Sequence[int] = BATCHES,
    sizes: Sequence[int] = SIZES,
    num_rounds: int = 9,
    turn_s: float = 0.003,
) -> Iterator[CallRow]:
    """Measure all kinds of calls, one after the other.

    Args:
        kinds: The layers.
        steps: The numbers of steps.
        batches: The numbers of rows.
        sizes: The sizes of the state and the input.
        num_rounds: How often each side has its turn.
        turn_s: How long a turn takes at least, in seconds.
    """
    how = num_rounds, turn_s
    for kind in kinds:
        for size in sizes:
            pair = _pair(kind, size, num_layers=1)
            for num_steps in steps:
                for batch_size in batches:
                    x = torch.randn(num_steps, batch_size, size)
                    at = kind, num_steps, batch_size, size
                    yield _row((*at, FORWARD), [_forward(layer, x) for layer in pair], *how)
                    yield _row((*at, TRAINING), [_training(layer, x) for layer in pair], *how)
        for size in sizes:
            x = torch.randn(1, 1, size)
            stack = _pair(kind, size, num_layers=STACKED)
            yield _row((kind, 1, 1, size, STACK), [_forward(layer, x) for layer in stack], *how)
        yield _row((kind, 1, 1, sizes[0], STREAM), _stepping(kind, sizes[0]), *how)


def _pair(kind: str, size: int, *, num_layers: int) -> tuple[nn.Module, nn.Module]:
    """Torch's layer and ours, with the same weights."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(size, size, num_layers=num_layers)
    ours = getattr(rondo, kind)(size, size, num_layers=num_layers)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def _row(
    at: tuple[str, int, int, int, str], runs: Sequence[Run], num_rounds: int, turn_s: float
) -> CallRow:
    for run in runs:
        run()
        run()  # what a program does at a call's second time belongs to no later one
    times = take_turns(dict(zip(("torch", "rondo"), runs, strict=True)), num_rounds, turn_s)
    theirs, ours = times["torch"], times["rondo"]
    return CallRow(*at, 1e6 * theirs.median, 1e6 * ours.median, ours.over(theirs))


def _forward(layer: nn.Module, x: Tensor) -> Run:
    @torch.no_grad()
    def run() -> object:
        return layer(x)

    return run


def _training(layer: nn.Module, x: Tensor) -> Run:
    def run() -> None:
        layer.zero_grad()
        layer(x)[0].sum().backward()

    return run


def _stepping(kind: str, size: int) -> list[Run]:
    """A step of torch's cell, and one of a stream."""
    theirs = getattr(nn, f"{kind}Cell")(size, size)
    cell = getattr(rondo, "ElmanCell" if kind == "RNN" else f"{kind}Cell")(size, size)
    stream, x, h = rondo.Recurrent(cell).stream(), torch.randn(1, size), torch.zeros(1, size)
    state = (h, h) if kind == "LSTM" else h

    @torch.no_grad()
    def run_theirs() -> object:
        return theirs(x, state)

    @torch.no_grad()
    def run_ours() -> object:
        return stream(x)

    return [run_theirs, run_ours]
