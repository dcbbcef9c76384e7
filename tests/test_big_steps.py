"""Steps of megabytes, of thousands of operations and of deep modules, on every engine."""

from __future__ import annotations

import re
import threading

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import slow_beyond
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.pieces import MAX_WORK
from rondo.compiler.row_memory import STACK_BYTES


class Turned(rondo.Cell):
    """A state that is taken apart and joined again and again, each time a row of memory."""

    def __init__(self, num_times: int, hidden_size: int) -> None:
        super().__init__(3, hidden_size)
        self.num_times = num_times
        self.U = nn.Linear(3, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = h + self.U(x)
        for _ in range(self.num_times):
            h = 0.99 * torch.cat([h[:, 1:], h[:, :1]], 1)
        h = torch.tanh(h)
        return h, h


class Chain(rondo.Cell):
    """A chain of operations, some of which read what lies far behind."""

    def __init__(self, num_operations: int, hidden_size: int = 5) -> None:
        super().__init__(3, hidden_size)
        self.num_operations = num_operations
        self.U = nn.Linear(3, hidden_size)
        self.W = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        first = now = self.U(x) + self.W(h)
        for number in range(self.num_operations // 2):
            if number % 4 == 0:
                now = torch.tanh(now) + 0.1 * h
            elif number % 4 == 1:
                now = torch.where(now > 0, now, 0.5 * first)
            else:
                now = now * 0.9 + 0.01
        return now.sin(), now - now.mean(-1, keepdim=True)


def train(layer: nn.Module, x: Tensor) -> list[Tensor]:
    y, state = layer(x)
    return [y, state, *torch.autograd.grad((y * y).sum() + state.sum(), layer.parameters())]


def check(cell: nn.Module, engine: str, batch_size: int = 3) -> rondo.Recurrent:
    x = torch.randn(batch_size, 4, 3, dtype=torch.float64)
    cell = cell.double()
    expected = train(rondo.Recurrent(cell, engine="plain"), x)
    layer = rondo.Recurrent(cell, engine=engine)
    for value, other in zip(train(layer, x), expected, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-11)
    return layer


def stack_bytes(source: str) -> int:
    """What the rows of the longest function of a source take."""
    functions = re.split(r"^static ", source, flags=re.MULTILINE)
    return max(
        sum(8 * int(size) for size in re.findall(r"^    double \w+_row\[(\d+)\];", function, re.M))
        for function in functions
    )


def test_large_rows_lie_in_the_workspace() -> None:
    layer = check(Turned(12, 2000), "cpu")
    program = layer._program()
    assert isinstance(program.run_backward, CompiledLoop)
    for loop in (program.run_forward, program.run_backward):
        assert 0 < stack_bytes(loop.source) <= STACK_BYTES
        assert int(re.findall(r"#define ROWS_BYTES (\d+)", loop.source)[0]) >= 5 * 16000


def test_small_rows_lie_on_the_stack() -> None:
    source = check(Turned(12, 20), "cpu").source
    assert "#define ROWS_BYTES 0\n" in source
    assert stack_bytes(source) > 0


@pytest.mark.slow
def test_megabytes_of_rows_on_a_small_stack() -> None:
    """300 joined values of 4096 numbers, in a thread that has 256 KB of stack."""
    done: list[Tensor] = []
    layer = rondo.Recurrent(Turned(300, 4096), engine="cpu")

    def run() -> None:
        done.extend(train(layer, torch.randn(2, 3, 3)))

    before = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert len(done) == 4


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize(
    "num_operations",
    slow_beyond([2 * MAX_WORK, 1200, 2400, 5000], [2 * MAX_WORK]),
)
def test_chains_of_operations(engine: str, num_operations: int) -> None:
    layer = check(Chain(num_operations), engine)
    assert str(layer.plan).count("\n") > num_operations / 2


@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_pieces_of_a_loop_on_threads(num_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rondo.compiler.cpu.MIN_WORK_PER_THREAD", 1)
    torch.set_num_threads(num_threads)
    for batch_size in (1, 5):
        check(Chain(600, 17), "cpu", batch_size)


class Around(nn.Module):
    """A module around another one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        return self.inner(h) * 0.99


class Deep(rondo.Cell):
    """Modules within modules."""

    def __init__(self, depth: int) -> None:
        super().__init__(3, 3)
        self.around: nn.Module = nn.Tanh()
        for _ in range(depth):
            self.around = Around(self.around)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.around(x + h)
        return h, h


def test_modules_within_modules() -> None:
    x = torch.randn(2, 3, 3)
    cell = Deep(150)
    y, _ = rondo.Recurrent(cell)(x)
    torch.testing.assert_close(y, rondo.Recurrent(cell, engine="plain")(x)[0])
