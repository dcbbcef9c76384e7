"""Products of pairs of bfloat16: an instruction of some processors, and plain C elsewhere.

They are chosen here whatever the processor is. Numbers are small integers where sums are exact.
"""

from __future__ import annotations

import copy
import ctypes
import platform
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell, relative_error, slow_beyond
from plain_loop import Sequences, run_layer, run_plain
from rondo.compiler import cpu
from rondo.compiler.c_compiler import FLAGS, FULLY, compiler
from rondo.compiler.render_c import render_c, render_product
from rondo.compiler.runtime import load
from test_cpu_engine import results

HALF = torch.bfloat16
EPS = torch.finfo(HALF).eps
INSTRUCTIONS = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512bf16", "-mfma")


@pytest.fixture(autouse=True)
def _paired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "PAIRED", True)


def integers(*sizes: int) -> Tensor:
    return torch.randint(-3, 4, sizes).to(HALF)


# ---- the library ----


class Pairs:
    """The library of products of pairs."""

    def __init__(self) -> None:
        source = render_product(torch.float32, paired=True)
        source += "\nconst int64_t lanes = LANES, panel = PANEL_COLUMNS;\n"
        self.library = load(source)
        self.lanes, self.panel = (
            ctypes.c_int64.in_dll(self.library, name).value for name in ("lanes", "panel")
        )
        number, pointer = ctypes.c_int64, ctypes.c_void_p
        functions = (pointer * 3).in_dll(self.library, "rondo_products")
        sizes, place = (number,) * 3, (number,) * 2
        self._of_rows = ctypes.CFUNCTYPE(
            None, *sizes, pointer, number, pointer, pointer, number, *place
        )(functions[0])
        self._of_rows_anywhere = ctypes.CFUNCTYPE(None, *sizes, *(pointer,) * 3, *place)(
            functions[1]
        )

    def packed(self, matrix: Tensor) -> Tensor:
        """A matrix as kernels pack it: panels of columns, whose rows stand in pairs."""
        depth, width = matrix.shape
        padded = nn.functional.pad(matrix, (0, -width % self.lanes, 0, depth % 2))
        pairs = torch.stack([padded[0::2], padded[1::2]], -1)
        return torch.cat([part.flatten() for part in pairs.split(self.panel, 1)])

    def of_rows(self, left: Tensor, matrix: Tensor, shares: int = 1) -> Tensor:
        """Rows that lie one behind the other."""
        rows, weights = in_pairs(left), self.packed(matrix)
        (num_rows, depth), width = rows.shape, matrix.shape[1]
        result = torch.full((num_rows, -(-width // self.lanes) * self.lanes), torch.nan)
        given = (rows.data_ptr(), depth // 2, weights.data_ptr(), result.data_ptr())
        for share in range(shares):
            self._of_rows(num_rows, depth // 2, width, *given, result.shape[1], share, shares)
        return result[:, :width]

    def of_rows_anywhere(self, left: Tensor, matrix: Tensor, shares: int = 1) -> Tensor:
        """Rows that lie anywhere; nothing may be written behind the width of the result."""
        rows, weights = in_pairs(left), self.packed(matrix)
        (num_rows, depth), width = rows.shape, matrix.shape[1]
        result = torch.full((num_rows, width + 1), 99.0)
        table = ctypes.c_void_p * num_rows
        from_, to = (table(*(row.data_ptr() for row in of)) for of in (rows, result))
        for share in range(shares):
            self._of_rows_anywhere(
                num_rows, depth // 2, width, from_, weights.data_ptr(), to, share, shares
            )
        assert (result[:, width] == 99).all()
        return result[:, :width]


def in_pairs(rows: Tensor) -> Tensor:
    return nn.functional.pad(rows, (0, rows.shape[1] % 2)).contiguous()


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs()


@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("width", [1, 8, 17, 70, 149, 260])
@pytest.mark.parametrize("depth", [1, 2, 7, 12])
def test_the_library_multiplies_exactly(pairs: Pairs, depth: int, width: int, shares: int) -> None:
    """All tiles and edges, odd depths and widths, shares of the columns."""
    matrix = integers(depth, width)
    for num_rows in (1, 2, 3, 4, 5, 6, 7, 13):
        left = integers(num_rows, depth)
        expected = left.float() @ matrix.float()
        assert torch.equal(pairs.of_rows(left, matrix, shares), expected)
        assert torch.equal(pairs.of_rows_anywhere(left, matrix, shares), expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="ARM rounds once a pair")
def test_plain_c_rounds_as_the_instruction_does(pairs: Pairs) -> None:
    """The upper half of a pair first, with a rounding; numbers below the least normal are zero."""
    left = torch.tensor([[0, 2.0**25, 1, -(2.0**25)]], dtype=HALF)
    assert pairs.of_rows(left, torch.ones(4, 1, dtype=HALF)).item() == 1  # else 0
    least = torch.finfo(torch.float32).tiny
    left = torch.tensor([[2.0**100, 1.0]], dtype=HALF)
    for number, expected in ((least, least * 2.0**100), (least / 2, 0)):
        column = torch.tensor([[number], [0]], dtype=HALF)
        assert pairs.of_rows(left, column).item() == expected


def test_numbers_that_are_none_stay_in_their_row(pairs: Pairs) -> None:
    left = torch.ones(3, 5, dtype=HALF)
    left[1, 4], left[2, 0] = torch.nan, torch.inf
    for multiply in (pairs.of_rows, pairs.of_rows_anywhere):
        result = multiply(left, torch.ones(5, 9, dtype=HALF))
        assert (result[0] == 5).all()
        assert result[1].isnan().all()
        assert (result[2] == torch.inf).all()


# ---- kernels ----


class Linear(rondo.Cell):
    """h = x + h W, which is exact for small integers."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.W = nn.Parameter(torch.zeros(size, size, dtype=HALF))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = x + h @ self.W
        return h, h


def is_paired(layer: rondo.Recurrent) -> bool:
    """Whether all kernels of a layer's last call multiply pairs."""
    run = layer._program().run_forward
    return all(loop.is_paired for loop in getattr(run, "loops", [run]))


def paired(cell: nn.Module, x: Tensor) -> rondo.Recurrent:
    """A layer whose kernels multiply pairs."""
    layer = rondo.Recurrent(cell, engine="cpu")
    with torch.no_grad():
        layer(x)
    assert is_paired(layer)
    return layer


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("size", [1, 9, 70])
def test_kernels_pack_and_round_every_row(size: int, is_transposed: bool) -> None:
    """Also more rows than are rounded at a time, and gradients, which read the matrix turned."""
    cell = Linear(size)
    matrix = integers(size, size) * (torch.rand(size, size) < 2 / size)
    cell.W = nn.Parameter(matrix.t().contiguous().t() if is_transposed else matrix)
    layer = paired(cell, torch.zeros(1, 1, size, dtype=HALF))
    for batch_size in (1, 7, 197):
        x = integers(batch_size, 2, size).requires_grad_()
        given = Sequences(x, integers(batch_size, size))
        got, expected = run_layer(layer, given), run_plain(cell, given)
        for name in ("output", "last state 0"):
            assert torch.equal(got[name], expected[name]), name
        for name, value in expected.items():
            assert relative_error(got[name], value.double()) <= 2 * EPS, name


class Differences(rondo.Cell):
    """The sum so far of differences of h, which a loop has to multiply step by step."""

    def __init__(self) -> None:
        super().__init__(16, 16, (16, 16))
        eye = torch.eye(16)
        self.W = nn.Parameter((eye - eye.roll(1, 0)).to(HALF))

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, total = state
        total = total + h @ self.W
        return total, (x * h, total)


def test_rows_are_rounded_as_the_plain_loop_rounds_them() -> None:
    """Both differ by multiples of 2^-7; what is not rounded, or otherwise, shows digits below."""
    x, h = ((1 + torch.rand(sizes) / 8).to(HALF) for sizes in ((5, 2, 16), (5, 16)))
    given, cell = Sequences(x, (h, torch.zeros_like(h))), Differences()
    with torch.no_grad():
        got, expected = run_layer(paired(cell, x), given), run_plain(cell, given)
    assert torch.equal(got["output"], expected["output"])


def assert_within_budget(cell: nn.Module, given: list[Sequences], **keywords: bool) -> None:
    """Over some draws, at most twice the error of the plain loop in bfloat16.

    Of one draw, a sum of numbers that nearly cancel out may be exact by chance.
    """
    reverse = keywords.pop("reverse", False)
    layer = rondo.Recurrent(cell, engine="cpu", reverse=reverse)
    wide = copy.deepcopy(cell).double()
    squares: dict[str, list[tuple[float, float]]] = {}
    for draw in given:
        got = run_layer(layer, draw, **keywords)
        plain = run_plain(cell, draw, reverse=reverse, **keywords)
        x = draw.x.detach().double().requires_grad_()
        for key, truth in run_plain(wide, replace(draw, x=x), reverse=reverse).items():
            errors = relative_error(got[key], truth), max(relative_error(plain[key], truth), EPS)
            squares.setdefault(key, []).append((errors[0] ** 2, errors[1] ** 2))
    assert is_paired(layer)
    for key, pairs_of_errors in squares.items():
        ours, theirs = map(sum, zip(*pairs_of_errors, strict=True))
        assert ours <= 4 * theirs, key


@pytest.mark.parametrize("mode", ["dense", "ragged", "resets", "reverse"])
@pytest.mark.parametrize("name", slow_beyond(CELLS, ["gru", "lstm", "peephole-norm-lstm"]))
def test_pairs_are_as_close_to_float64_as_torch_is(name: str, mode: str) -> None:
    for input_size, hidden_size in ((4, 7), (3, 34))[: 2 if mode == "dense" else 1]:
        lengths = torch.tensor([6, 0, 3, 4, 1]) if mode == "ragged" else None
        resets = torch.rand(5, 6) < 0.3 if mode == "resets" else None
        given = [
            Sequences(draw.to(HALF).requires_grad_(), lengths=lengths, resets=resets)
            for draw in torch.randn(4, 5, 6, input_size)
        ]
        cell = make_cell(name, input_size, hidden_size, HALF)
        assert_within_budget(cell, given, reverse=mode == "reverse")


def test_autocast_multiplies_pairs() -> None:
    cell = make_cell("lstm", 5, 33, torch.float32)
    given = [Sequences(draw.requires_grad_()) for draw in torch.randn(4, 7, 9, 5)]
    assert_within_budget(cell, given, autocast=True)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_threads_that_share_columns_change_nothing(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "MIN_WORK_PER_THREAD", 1)
    cell, x = make_cell("gru", 3, 99, HALF), torch.randn(batch_size, 6, 3).to(HALF)

    def on(num_threads: int, *, together: bool) -> list[Tensor]:
        torch.set_num_threads(num_threads)
        monkeypatch.setattr(cpu, "shares_steps", lambda *_: together)
        return results(paired(cell, x), x)

    alone = on(1, together=False)
    for together in (False, True):
        for a, b in zip(on(2, together=together), alone, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


# ---- the instruction ----


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What a compiler makes of a source for a processor with the instruction."""
    folder = tmp_path_factory.mktemp("assembly")

    def compiled(source: str) -> str:
        text, made = folder / "kernel.c", folder / "kernel.s"
        text.write_text(source)
        flags = [FULLY, *(flag for flag in FLAGS if flag != "-shared")]
        command = [*compiler(), *flags, *INSTRUCTIONS, "-S", str(text), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return made.read_text()

    try:
        compiled("#ifndef __AVX512BF16__\n#error no\n#endif\n")
    except AssertionError:
        pytest.skip("the compiler does not know -mavx512bf16")
    return compiled


def test_the_library_uses_the_instruction(assembly: Callable[[str], str]) -> None:
    """In the largest tile all sums stay in registers: one instruction for each."""
    text = assembly(render_product(torch.float32, paired=True))
    begin = text.index("tile_6x4x1:")
    tile = text[begin : text.index("ret", begin)]
    assert tile.count("vdpbf16ps") == 24
    assert "(%rsp)" not in tile


def test_kernels_are_paired_where_there_is_the_instruction(
    assembly: Callable[[str], str],
) -> None:
    layer = paired(make_cell("gru", 3, 5, HALF), torch.zeros(1, 1, 3, dtype=HALF))
    kernel = layer._program().run_forward.kernel
    for chosen, value in ((None, 1), (True, 1), (False, 0)):
        check = f'_Static_assert(PAIRED == {value}, "whether numbers are paired");'
        assembly(f"{render_c(kernel, paired=chosen)}\n{check}\n")
