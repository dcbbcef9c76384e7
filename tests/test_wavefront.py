"""Layers that run staggered over time: the same bits, on any number of threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.compiler import network_passes, wavefront
from rondo.compiler.chain import Chain, Wavefront
from rondo.compiler.cpu import CHUNK_ROWS
from rondo.compiler.network import Network
from rondo.compiler.wavefront import spans_of
from test_pool import NO_THREADS, build, needs_fork, run, without_address_randomisation


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two threads of torch and two cores or more, also where there are fewer."""
    monkeypatch.setattr(wavefront, "most_threads_at_once", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever may be staggered is staggered, however little it has to do."""
    monkeypatch.setattr(wavefront, "MIN_WORK_PER_THREAD", 1)
    monkeypatch.setattr(wavefront, "MIN_SPAN_STEPS", 1)
    monkeypatch.setattr(wavefront, "WAIT_CYCLES", 0)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_passes, "stagger_of", lambda *_, **__: None)


def results(layer: nn.Module, x: Tensor, *, train: bool) -> list[Tensor]:
    """The results of a call that was seen before, and all gradients."""
    for _ in range(2):
        layer(x)
    y, last = layer(x)
    found = [y, *(last if isinstance(last, tuple) else (last,))]
    if not train:
        return found
    weights = [torch.linspace(-1, 2, r.numel(), dtype=r.dtype).view_as(r) for r in found]
    loss = sum((one * weight).sum() for one, weight in zip(found, weights, strict=True))
    return [*found, *torch.autograd.grad(loss, [x, *layer.parameters()])]


def network_of(layer: nn.Module) -> Network:
    """The network of the one call that a layer remembers."""
    ((remembered,),) = layer._rondo[1].memory.found.values()
    return remembered.chained.network


def is_staggered(chain: Chain) -> bool:
    return any(isinstance(action, Wavefront) for action in chain.actions)


SIZES = [(2, (30, 1, 7)), (3, (CHUNK_ROWS + 9, 1, 7)), (5, (17, 1, 7)), (4, (2, 1, 7))]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("num_layers", "sizes"), SIZES)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.usefixtures("eager")
def test_staggered_layers_give_the_same_bits(
    kind: str,
    num_layers: int,
    sizes: tuple[int, int, int],
    train: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    layer = getattr(rondo, kind)(sizes[2], 7, num_layers=num_layers)
    other = getattr(rondo, kind)(sizes[2], 7, num_layers=num_layers)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(sizes, requires_grad=train)
    with torch.set_grad_enabled(train):
        found = results(layer, x, train=train)
        one_by_one(monkeypatch)
        expected = results(other, x, train=train)
    assert is_staggered(network_of(layer).forward)
    assert not train or is_staggered(network_of(layer).backward)
    assert not is_staggered(network_of(other).forward)
    for number, (one, another) in enumerate(zip(found, expected, strict=True)):
        assert torch.equal(one, another), number


@pytest.mark.parametrize("num_threads", [3, 8])
@pytest.mark.usefixtures("eager")
def test_callers_in_threads_get_the_same_bits(
    num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer, other = rondo.GRU(7, 7, num_layers=5), rondo.GRU(7, 7, num_layers=5)
    other.load_state_dict(layer.state_dict())
    torch.set_num_threads(num_threads)
    x = torch.randn(40, 1, 7, requires_grad=True)
    first = results(layer, x, train=True)
    assert is_staggered(network_of(layer).forward)
    with ThreadPoolExecutor(4) as pool:
        again = pool.map(lambda _: results(layer, x, train=True), range(40))
        found = [first, *again]
    one_by_one(monkeypatch)
    expected = results(other, x, train=True)
    for tensors in found:
        assert all(torch.equal(a, b) for a, b in zip(tensors, expected, strict=True))


def staggers(layer: nn.Module, *sizes: int) -> bool:
    x = torch.randn(sizes)
    with torch.no_grad():
        for _ in range(3):
            layer(x)
    return is_staggered(network_of(layer).forward)


def test_one_row_through_layers_of_usual_sizes_is_staggered() -> None:
    assert staggers(rondo.LSTM(32, 32, num_layers=4), 100, 1, 32)
    assert staggers(rondo.GRU(32, 32, num_layers=2, batch_first=True), 1, 100, 32)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"num_layers": 1}, (100, 1, 32)),
        ({"num_layers": 4, "bidirectional": True}, (100, 1, 32)),  # needs the whole of a layer
        ({"num_layers": 4}, (100, 2, 32)),  # a row for each thread
        ({"num_layers": 4}, (1, 1, 32)),  # a step
        ({"num_layers": 4}, (6, 1, 32)),  # little work
    ],
)
def test_others_run_one_after_the_other(
    options: dict[str, Any], sizes: tuple[int, int, int]
) -> None:
    assert not staggers(rondo.LSTM(32, 32, **options), *sizes)


def test_one_thread_or_one_core_staggers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    assert not staggers(rondo.LSTM(32, 32, num_layers=4), 100, 1, 32)
    torch.set_num_threads(64)
    monkeypatch.setattr(wavefront, "most_threads_at_once", lambda: 1)
    assert not staggers(rondo.LSTM(32, 32, num_layers=4), 100, 1, 32)


def test_a_way_that_takes_longer_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wavefront, "WAIT_CYCLES", 10**9)
    assert not staggers(rondo.LSTM(32, 32, num_layers=4), 100, 1, 32)


@pytest.mark.parametrize("has_sums", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("num_rows", [1, 7, CHUNK_ROWS + 1])
@pytest.mark.parametrize("num_steps", [1, 2, 30, 2 * CHUNK_ROWS + 5])
def test_spans_are_all_steps_in_order(
    num_steps: int, num_rows: int, reverse: bool, has_sums: bool
) -> None:
    spans = spans_of(num_steps, num_rows, 8, reverse=reverse, has_sums=has_sums)
    steps = [list(range(s.first_step, s.first_step + s.num_steps)) for s in spans]
    in_order = [step for part in steps for step in (reversed(part) if reverse else part)]
    assert in_order == list(range(num_steps))[:: -1 if reverse else 1]
    assert [s.begins for s in spans] == [1] + [0] * (len(spans) - 1)
    assert [s.ends for s in spans] == [0] * (len(spans) - 1) + [1]
    assert max(s.num_steps for s in spans) <= 8
    row = num_done = 0
    for span in spans:  # the sums over a chunk are taken where a kernel alone would take them
        assert span.chunk_row == row
        row += span.num_steps * num_rows
        num_done += span.num_steps
        assert row <= max(CHUNK_ROWS, num_rows)
        is_full = row + num_rows > CHUNK_ROWS or num_done == num_steps
        is_summed = is_full and has_sums == (span.num_steps == 0)
        assert span.chunk_goes_on == (not is_summed)
        row = 0 if is_summed else row


CHILD = """
import os, signal
import torch, rondo
from rondo.compiler import wavefront

wavefront.most_threads_at_once = lambda: 2
torch.set_num_threads(2)
torch.manual_seed(0)
layer, x = rondo.GRU(32, 32, num_layers=3), torch.randn(100, 1, 32)

def run():
    with torch.no_grad():
        return layer(x)[0]

expected = [run() for _ in range(4)][0]
child = os.fork()
if child == 0:
    signal.alarm(120)  # who hangs is killed
    torch.set_num_threads(2)
    assert all(torch.equal(run(), expected) for _ in range(4))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert torch.equal(run(), expected)
print("the child ended")
"""


@needs_fork
@pytest.mark.parametrize("openmp", ["1", "0"])
def test_a_child_runs_layers_staggered_after_its_parent(openmp: str) -> None:
    assert "the child ended" in run(sys.executable, "-c", CHILD, RONDO_OPENMP=openmp)


def stressed(folder: Path, *flags: str, before: str = "", after: str = "") -> str:
    """The program of wavefront_stress.c."""
    text = files("rondo.compiler").joinpath("c", "wavefront.c").read_text()
    after = f"{after}\n{text}"
    return str(build(folder, *flags, before=before, after=after, stress="wavefront_stress.c"))


@needs_fork
@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_every_layer_is_right(num_threads: int, tmp_path: Path) -> None:
    assert "all layers are right" in run(stressed(tmp_path), str(num_threads))


@needs_fork
def test_a_caller_does_all_layers_where_nobody_helps(tmp_path: Path) -> None:
    program = stressed(tmp_path, before=NO_THREADS, after="#undef pthread_create")
    assert "all layers are right" in run(program, "8")


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("num_threads", [1, 2, 8])
@pytest.mark.parametrize("sanitizer", ["address", "undefined", "thread"])
def test_a_wavefront_is_clean(sanitizer: str, num_threads: int, tmp_path: Path) -> None:
    program = stressed(tmp_path, "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    forks = "0" if sanitizer == "thread" else "3"  # that one forbids threads after a fork
    command = [*without_address_randomisation(), program, str(num_threads), forks]
    assert "all layers are right" in run(*command)
