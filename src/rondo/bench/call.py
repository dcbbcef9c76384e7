"""What a call of one or a few steps costs: drop-ins beside `torch.nn`, in turn in one process.

In go kinds, sizes and how long to measure, out comes a row of times for each: what the call of a
policy or of a decoder takes, whose fixed costs a long sequence hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import rondo
from rondo.bench.measure import Run, Spread, take_turns
from rondo.bench.peak import Peak
from rondo.bench.study_options import CallOptions
from rondo.bench.tables import table

STACKED = 6
"""Layers of the stack that is measured for one step."""

TOLERANCE = 1e-4
"""The largest difference to torch.nn's output, of its largest number."""

FORWARD, TRAINING, STACK, STREAM = "forward", "training", "six layers", "stream"

HEAD = """Drop-ins and torch.nn with the same weights, I = H, float32, {threads} of torch, in turn
in one process. Medians of {rounds} rounds in microseconds; the ratio is torch.nn's time over ours
of each round, its median and in brackets its spread: above 1, Rondo is faster. "Six layers" is the
forward pass of a stack at one step and one row, "stream" a step of `Recurrent.stream` beside a call
of torch.nn's cell."""


@dataclass(frozen=True)
class CallRow:
    """The times of one kind of call.

    Args:
        case: The layer: "LSTM", "GRU" or "RNN".
        num_steps, batch_size, hidden_size: T, B and H; the input is as large as the state.
        what: `FORWARD`, `TRAINING`, `STACK` or `STREAM`.
        torch_us, rondo_us: The medians, in microseconds.
        ratio: Torch.nn's time over ours, of each round; None where it was not timed.
        failures: Why it was not timed, by whose fault.
    """

    case: str
    num_steps: int
    batch_size: int
    hidden_size: int
    what: str
    torch_us: float = 0.0
    rondo_us: float = 0.0
    ratio: Spread | None = None
    failures: dict[str, str] = field(default_factory=dict)
    suite: str = "call"

    @property
    def sizes(self) -> str:
        """The sizes, in words."""
        return f"T{self.num_steps} B{self.batch_size} H{self.hidden_size}"


def measure(options: CallOptions) -> Iterator[CallRow]:
    """Measures all kinds of calls, one after the other."""
    passes = [what for what in (FORWARD, TRAINING) if what in options.passes]
    turn_s = options.budget_s / (2 * options.num_rounds * options.num_rows)
    how = options.num_rounds, turn_s
    for kind in options.kinds:
        for size in options.hidden_sizes:
            pair = _pair(kind, size, num_layers=1)
            for num_steps in options.num_steps:
                for batch_size in options.batch_sizes:
                    x = torch.randn(num_steps, batch_size, size)
                    for what in passes:
                        runs = [_run(layer, x, what) for layer in pair]
                        yield _row((kind, num_steps, batch_size, size, what), runs, *how)
        if FORWARD not in passes:
            continue
        for size in options.hidden_sizes:
            stack = _pair(kind, size, num_layers=STACKED)
            x = torch.randn(1, 1, size)
            runs = [_run(layer, x, FORWARD) for layer in stack]
            yield _row((kind, 1, 1, size, STACK), runs, *how)
        size = options.hidden_sizes[0]
        yield _row((kind, 1, 1, size, STREAM), _stepping(kind, size), *how)


def tables(rows: Sequence[CallRow], options: CallOptions) -> str:
    """Returns how the ratios lie for each kind of call, then all rows."""
    num_threads = torch.get_num_threads()
    threads = f"{num_threads} thread{'s' if num_threads > 1 else ''}"
    head = HEAD.format(threads=threads, rounds=options.num_rounds)
    titles = ["", "what", "T", "B", "H", "torch.nn, µs", "Rondo, µs", "ratio"]
    return "\n\n".join((head, _summary(rows), table([titles, *map(_line, rows)])))


def _summary(rows: Sequence[CallRow]) -> str:
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.ratio is not None:
            found.setdefault((row.case, row.what), []).append(row.ratio.median)
    lines = [["", "what", "calls", "below 1", "least ratio"]]
    for (kind, what), ratios in found.items():
        below = sum(ratio < 1 for ratio in ratios)
        lines.append([kind, what, str(len(ratios)), str(below), f"{min(ratios):.2f}"])
    return table(lines)


def _line(row: CallRow) -> list[str]:
    sizes = [str(size) for size in (row.num_steps, row.batch_size, row.hidden_size)]
    if row.ratio is None:
        return [row.case, row.what, *sizes, "–", "–", "failed"]
    low, high = row.ratio.shown
    ratio = f"{row.ratio.median:.2f} ({low:.2f} to {high:.2f})"
    return [row.case, row.what, *sizes, f"{row.torch_us:.1f}", f"{row.rondo_us:.1f}", ratio]


def progress(row: CallRow) -> str:
    """Returns what was measured, in one line."""
    head = f"call: {row.case} ({row.sizes}), {row.what}"
    if row.ratio is None:
        return f"{head}: FAILED: {'; '.join(row.failures.values())}"
    times = f"torch.nn {row.torch_us:.1f} µs, Rondo {row.rondo_us:.1f} µs"
    return f"{head}: {times}, ratio {row.ratio.median:.2f}"


def values(row: CallRow, peak: Peak | None) -> dict[str, Any]:
    """Returns a row as JSON has it."""
    return asdict(row) | {"ratio": None if row.ratio is None else row.ratio.values}


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
    for _ in range(3):  # a call is remembered when it has been made twice
        theirs, ours = (run() for run in runs)
        assert isinstance(theirs, Tensor)
        assert isinstance(ours, Tensor)
        difference = float((theirs - ours).abs().max() / theirs.abs().max())
        if not difference <= TOLERANCE:
            failure = f"its output differs by {difference:.1e}, of which {TOLERANCE} is allowed"
            return CallRow(*at, failures={"Rondo": failure})
    times = take_turns(dict(zip(("torch", "rondo"), runs, strict=True)), num_rounds, turn_s)
    torchs, own = times["torch"], times["rondo"]
    return CallRow(*at, 1e6 * torchs.median, 1e6 * own.median, torchs.over(own))


def _run(layer: nn.Module, x: Tensor, what: str) -> Run:
    @torch.no_grad()
    def forward() -> Tensor:
        return layer(x)[0]

    def training() -> Tensor:
        layer.zero_grad()
        output: Tensor = layer(x)[0]
        output.sum().backward()
        return output.detach()

    return forward if what == FORWARD else training


def _stepping(kind: str, size: int) -> list[Run]:
    """A step of torch's cell, and one of a stream; each goes on from its last state."""
    torch.manual_seed(0)
    theirs = getattr(nn, f"{kind}Cell")(size, size)
    cell = getattr(rondo, "ElmanCell" if kind == "RNN" else f"{kind}Cell")(size, size)
    weights = theirs.state_dict()
    if "bias_hh" not in cell.state_dict():  # one bias in place of two that are added
        weights["bias_ih"] = weights["bias_ih"] + weights.pop("bias_hh")
    cell.load_state_dict(weights)
    stream, x = rondo.Recurrent(cell).stream(), torch.randn(1, size)
    state: list[Any] = [None]

    @torch.no_grad()
    def run_theirs() -> Tensor:
        state[0] = new = theirs(x, state[0])
        return new[0] if kind == "LSTM" else new

    @torch.no_grad()
    def run_ours() -> Tensor:
        return stream(x)

    return [run_theirs, run_ours]
