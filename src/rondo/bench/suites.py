"""The suites: what is compared with what. Each first checks the contenders, then times them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rondo.bench import peers
from rondo.bench.cells import CUSTOM_CELLS, TORCH_CELLS
from rondo.bench.conformance import Gate, gate
from rondo.bench.contenders import Contender, of_module
from rondo.bench.measure import Spread, take_turns
from rondo.bench.options import IMPORT_BAR_S, OURS, PEERS, RAGGED_BARS, Options, Sizes
from rondo.bench.rows import IN_SEQUENCE, OUR_LSTM, Row
from rondo.layers import Recurrent

RESET_PROBABILITY = 0.05
"""Of a reset before each step, in the suite "ragged"."""

ONNX_AWAKE_S = 0.03
"""How long threads of ONNX Runtime stay awake after a call. Without a pause they kept a processor
from whoever came next: on two cores Rondo took twice its time."""


def layers(options: Options) -> Iterator[Row]:
    """GRU, RNN and LSTM beside torch.nn's, an eager loop and JAX."""
    for name in options.modules:
        for sizes in options.layer_sizes:
            contenders, check = checked_modules(name, sizes, options.peers)
            num_gates = TORCH_CELLS[name][1]
            yield from _compare("layers", name, sizes, contenders, check, options, num_gates)


def cells(options: Options) -> Iterator[Row]:
    """Cells of one's own beside the same cell in an eager loop, compiled or from elsewhere."""
    sizes = options.sizes
    (lstm,), lstm_check = checked_modules("LSTM", sizes, ())
    lstms = [] if lstm_check.failures else [replace(lstm, name=OUR_LSTM)]
    for name, (make_cell, num_gates) in islice(CUSTOM_CELLS.items(), options.cells):
        cell, batch = make_cell(sizes.input_size, sizes.hidden_size), peers.new_batch(sizes)
        contenders = peers.for_cell(cell, batch, options.peers)
        check = _check(gate(cell, *batch), contenders)
        contenders += lstms
        yield from _compare("cells", name, sizes, contenders, check, options, num_gates)


def checked_modules(
    name: str, sizes: Sizes, chosen: tuple[str, ...]
) -> tuple[list[Contender], Check]:
    """Who runs one of torch's modules, and what is wrong with them."""
    cell, batch, contenders = peers.for_module(name, sizes, chosen)
    return contenders, _check(gate(cell, *batch), contenders)


def ragged(options: Options) -> Iterator[Row]:
    """Half of the tokens, and resets, beside the dense batch; the same of torch.nn, packed."""
    sizes = options.sizes
    num_steps, batch_size = sizes[:2]
    lengths = torch.linspace(1, num_steps - 1, batch_size).round().long()
    resets = torch.rand(batch_size, num_steps) < RESET_PROBABILITY
    ways: dict[str, dict[str, Tensor]] = {
        "dense": {},
        "half of the tokens": {"lengths": lengths},
        "resets": {"resets": resets},
    }
    for name in options.modules:
        cell, (x, grad_y) = TORCH_CELLS[name][0](*sizes[2:]), peers.new_batch(sizes)
        contenders = _ragged_contenders(name, cell, x, grad_y, ways, options.peers)
        failures: dict[str, str] = {}
        for way, given in ways.items():
            checked = gate(
                cell, x, grad_y, lengths=given.get("lengths"), resets=given.get("resets")
            )
            of_way = [c for c in contenders if c.name.endswith(way)]
            failures |= _check(checked, of_way).failures
        for run in ("forward", "training"):
            times = _times(contenders, run, failures, options)
            for who in (OURS, PEERS["nn"]):
                own = {n.split(": ")[1]: t for n, t in times.items() if n.startswith(who)}
                wrong = {n.split(": ")[1]: f for n, f in failures.items() if n.startswith(who)}
                bars = RAGGED_BARS if who == OURS and not options.is_quick else {}
                if own or wrong:
                    case = f"{name}, {who}"
                    gates = TORCH_CELLS[name][1]
                    yield Row("ragged", case, run, sizes, own, "dense", gates, bars, wrong)


def _ragged_contenders(
    name: str,
    cell: nn.Module,
    x: Tensor,
    grad_y: Tensor,
    ways: dict[str, dict[str, Tensor]],
    chosen: Sequence[str],
) -> list[Contender]:
    """Rondo in all ways, and torch.nn in those that it has; batch first, as data mostly are."""
    ours = Recurrent(deepcopy(cell))
    theirs = peers.with_weights_of(cell, getattr(nn, name), batch_first=True)
    rows = x.transpose(0, 1).contiguous()
    lengths = ways["half of the tokens"]["lengths"]

    def our_run(given: dict[str, Tensor]) -> Callable[[], Tensor]:
        return lambda: ours(rows, **given)[0].transpose(0, 1)

    def dense() -> Tensor:
        return theirs(rows)[0].transpose(0, 1)

    def packed() -> Tensor:
        sequence = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(theirs(sequence)[0], total_length=len(x))[0]

    runs: dict[str, tuple[nn.Module, Callable[[], Tensor]]]
    runs = {f"{OURS}: {way}": (ours, our_run(given)) for way, given in ways.items()}
    if "nn" in chosen:
        runs[f"{PEERS['nn']}: dense"] = theirs, dense
        runs[f"{PEERS['nn']}: half of the tokens"] = theirs, packed
    return [of_module(key, module, run, grad_y) for key, (module, run) in runs.items()]


def streaming(options: Options) -> Iterator[Row]:
    """One step at a time for one row: a stream of ours beside `step`, torch's cell and its layer.

    A whole sequence at once tells what of that is arithmetic.
    """
    sizes = options.sizes._replace(num_steps=1, batch_size=1)
    stream = options.sizes._replace(batch_size=1)
    for name in options.modules:
        cell, (x, grad_y) = TORCH_CELLS[name][0](*sizes[2:]), peers.new_batch(stream)
        checked = gate(cell, x, grad_y).only("output")
        contenders = _streams(name, cell, x, grad_y, "nn" in options.peers)
        failures = _check(checked, contenders).failures
        times = _times(contenders, "forward", failures, options)
        if IN_SEQUENCE in times:
            times[IN_SEQUENCE] = times[IN_SEQUENCE].scaled(1 / stream.num_steps)
        num_gates = TORCH_CELLS[name][1]
        yield Row("streaming", name, "step", sizes, times, num_gates=num_gates, failures=failures)


def _streams(
    name: str, cell: nn.Module, x: Tensor, grad_y: Tensor, with_torch: bool
) -> list[Contender]:
    layer = Recurrent(deepcopy(cell), batch_first=False)
    torch_layer = peers.with_weights_of(cell, getattr(nn, name))
    torch_cell = getattr(nn, f"{name}Cell")(x.shape[2], torch_layer.hidden_size)
    torch_cell.load_state_dict(cell.state_dict())

    def cell_step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = torch_cell(x, state)
        return state[0] if name == "LSTM" else state, state

    def layer_step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = torch_layer(x[None], state)
        return y[0], state

    sequence = of_module(IN_SEQUENCE, layer, lambda: layer(x)[0], grad_y)
    contenders = [_own_stream(layer, x), _stream("Recurrent.step", layer.step, x), sequence]
    if with_torch:
        contenders.append(_stream("torch.nn's cell", cell_step, x))
        contenders.append(_stream("torch.nn's layer, T = 1", layer_step, x))
    return contenders


def _own_stream(layer: Recurrent, x: Tensor) -> Contender:
    """A stream of ours; timed is one step."""
    stream = layer.stream()

    def results() -> dict[str, Tensor]:
        begun = layer.stream()
        return {"output": torch.stack([begun(x_t) for x_t in x.unbind(0)])}

    return Contender(OURS, lambda: stream(x[0]), None, results)


def _stream(name: str, step: Callable[[Tensor, Any], tuple[Tensor, Any]], x: Tensor) -> Contender:
    """A contender that does one step after the other; timed is one step."""
    state: Any = None

    @torch.no_grad()
    def forward() -> Tensor:
        nonlocal state
        y, state = step(x[0], state)
        return y

    @torch.no_grad()
    def results() -> dict[str, Tensor]:
        state, outputs = None, []
        for x_t in x.unbind(0):
            y, state = step(x_t, state)
            outputs.append(y)
        return {"output": torch.stack(outputs)}

    return Contender(name, forward, None, results)


IMPORT_TIMER = (
    "import time, torch; began = time.perf_counter(); import rondo; rondo.GRU; "
    "print(time.perf_counter() - began)"
)


def import_time(options: Options) -> Iterator[Row]:
    """What importing rondo takes beyond torch, each time in a new process."""
    command = [sys.executable, "-c", IMPORT_TIMER]
    times = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(options.num_rounds)
    ]
    spread, bars = {OURS: Spread(tuple(times))}, {} if options.is_quick else {OURS: IMPORT_BAR_S}
    yield Row("import", "import rondo; rondo.GRU", "import", None, spread, bars=bars)


SUITES: dict[str, Callable[[Options], Iterator[Row]]] = {
    "layers": layers,
    "cells": cells,
    "ragged": ragged,
    "streaming": streaming,
    "import": import_time,
}


# ---- what the suites share ----


@dataclass(frozen=True)
class Check:
    """What is wrong with contenders, by name, and how long those that compile took for it."""

    failures: dict[str, str]
    compile_s: dict[str, float]


def _check(checked: Gate, contenders: Sequence[Contender]) -> Check:
    failures, compile_s = {}, {}
    for contender in contenders:
        began = time.perf_counter()
        of_forward = contender.training is None
        failure = (checked.only("output") if of_forward else checked).failure(contender)
        if failure is not None:
            failures[contender.name] = failure
        elif contender.compiles:
            compile_s[contender.name] = time.perf_counter() - began
    return Check(failures, compile_s)


def _compare(
    suite: str,
    case: str,
    sizes: Sizes,
    contenders: Sequence[Contender],
    check: Check,
    options: Options,
    num_gates: int,
) -> Iterator[Row]:
    """Times forward alone, and forward and backward."""
    for run in ("forward", "training"):
        yield Row(
            suite,
            case,
            run,
            sizes,
            _times(contenders, run, check.failures, options),
            num_gates=num_gates,
            failures=check.failures,
            compile_s=check.compile_s,
        )


def _times(
    contenders: Sequence[Contender], run: str, failures: dict[str, str], options: Options
) -> dict[str, Spread]:
    runs = runs_of(contenders, run, failures)
    return take_turns(runs, options.num_rounds, options.turn_s, pause_s(runs, options.is_quick))


def pause_s(runs: Collection[str], is_quick: bool = False) -> float:
    """How long nothing should run before a turn: until threads of a side before it are asleep."""
    return ONNX_AWAKE_S if PEERS["onnx"] in runs and not is_quick else 0.0


def runs_of(
    contenders: Sequence[Contender], run: str, failures: dict[str, str]
) -> dict[str, Callable[[], object]]:
    """What those run who passed and have such a pass; nothing at all where Rondo did not pass."""
    if any(name.startswith(OURS) for name in failures):
        return {}
    passed = [contender for contender in contenders if contender.name not in failures]
    runs = {contender.name: getattr(contender, run) for contender in passed}
    return {name: call for name, call in runs.items() if call is not None}
