"""The elementary functions of kernels: how near they are, and what they give at the ends."""

from __future__ import annotations

import functools
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import mpmath
import pytest
import torch
from torch import Tensor

import rondo
from rondo.compiler import c_compiler

UNARY = (
    *("exp", "exp2", "expm1", "sigmoid", "tanh", "sinh", "cosh"),
    *("log", "log2", "log10", "log1p", "asinh", "acosh", "atanh"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "erf", "erfc"),
)
BINARY = ("pow", "atan2", "hypot")
DTYPES = (torch.float32, torch.float64)
FAR = 65536  # up to here sin, cos and tan are the kernel's own

EXACT: dict[str, Callable[..., object]] = {
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "erfc": lambda x: mpmath.erfc(x) if x < 40 else mpmath.mpf(0),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "log2": lambda x: mpmath.log(x, 2),
    "pow": mpmath.power,
}
"""What mpmath calls otherwise than torch."""


UNITS = {"erfc": 5}


class Functions(rondo.Cell):
    """All functions of the input; the state is carried along, zero."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (x - h).chunk(2, -1)
        values = [getattr(torch, name)(first) for name in UNARY]
        values += [getattr(torch, name)(first, second) for name in BINARY]
        return torch.cat(values, -1), 0 * h


@functools.cache
def layer() -> rondo.Recurrent:
    return rondo.Recurrent(Functions(16, 16), engine="cpu")


@torch.no_grad()
def apply(x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
    """Each function of numbers (N,), by name; N is a multiple of 8."""
    y = torch.zeros_like(x) if y is None else y
    given = torch.cat([x.view(1, -1, 8), y.view(1, -1, 8)], -1)
    parts = layer()(given)[0].split(8, -1)
    return dict(zip((*UNARY, *BINARY), (part.flatten() for part in parts), strict=True))


def some_of_all(dtype: torch.dtype, num: int) -> Tensor:
    """Numbers of all magnitudes, and more of them where functions bend."""
    integer = {torch.float32: torch.int32, torch.float64: torch.int64}[dtype]
    ends = torch.iinfo(integer)
    anything = torch.randint(ends.min, ends.max, (num,), dtype=integer).view(dtype)
    widths = torch.tensor([1e-3, 1, 1, 1.5, 10, 10, 30, 90, 720, FAR], dtype=torch.float64)
    spread = (2 * torch.rand(len(widths), num, dtype=torch.float64) - 1) * widths[:, None]
    return torch.cat([anything, spread.flatten().to(dtype)])


def errors(got: Tensor, exact: Tensor) -> Tensor:
    """How far numbers are from the exact ones, in units in the last place of their type."""
    limits = torch.finfo(got.dtype)
    size = exact.abs().clamp(limits.tiny, limits.max)
    unit = torch.exp2(size.log2().floor()) * limits.eps
    rounded = exact.to(got.dtype)
    same = (got == rounded) | (got.isnan() & rounded.isnan())
    return torch.where(same, 0.0, ((got.double() - exact) / unit).abs())


@pytest.fixture(scope="module")
def float_results() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    torch.manual_seed(1)
    x = some_of_all(torch.float32, 40000)
    y = x[torch.randperm(len(x))]
    return x, y, apply(x, y)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_float32_is_within_a_few_units(
    name: str, float_results: tuple[Tensor, Tensor, dict[str, Tensor]]
) -> None:
    """Beside torch in float64."""
    x, y, results = float_results
    arguments = (x.double(), y.double()) if name in BINARY else (x.double(),)
    is_right = errors(results[name], getattr(torch, name)(*arguments)) < UNITS.get(name, 4)
    if name == "sigmoid":  # 1 / (1 + exp(-x)) ends where exp(-x) does, as in torch
        is_right |= x < -88
    assert is_right.all(), f"{name} of {x[~is_right][:5]}, {y[~is_right][:5]}"


@pytest.fixture(scope="module")
def double_results() -> tuple[list[float], list[float], dict[str, list[float]]]:
    torch.manual_seed(2)
    x = some_of_all(torch.float64, 96)
    y = torch.cat([x[:96], 3 * torch.randn(len(x) - 96, dtype=torch.float64)])
    results = {name: values.tolist() for name, values in apply(x, y).items()}
    return x.tolist(), y.tolist(), results


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_float64_is_within_a_few_units(
    name: str, double_results: tuple[list[float], list[float], dict[str, list[float]]]
) -> None:
    """Beside mpmath with 50 digits."""
    first, second, results = double_results
    for x, y, got in zip(first, second, results[name], strict=True):
        if name == "sigmoid" and x < -708:
            continue
        arguments = (x, y) if name in BINARY else (x,)
        error = error_beside_mpmath(name, got, arguments)
        assert error < UNITS.get(name, 4), f"{name} of {arguments}: {got}"


def error_beside_mpmath(name: str, got: float, arguments: tuple[float, ...]) -> float:
    """The distance from the exact value in units in the last place; 0 for the right NaN."""
    function = EXACT.get(name) or getattr(mpmath, name)
    with mpmath.workdps(50):
        try:
            exact = function(*map(mpmath.mpf, arguments))
        except (ValueError, ZeroDivisionError):
            exact = mpmath.nan
        if any(map(math.isnan, arguments)) or isinstance(exact, mpmath.mpc) or exact != exact:
            return 0.0 if math.isnan(got) else math.inf
        if got == float(exact):
            return 0.0
        size = min(max(abs(float(exact)), 2.0**-1022), 2.0**1023)
        return float(abs(mpmath.mpf(got) - exact) / math.ulp(size))


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_far_from_zero_are_turned_back_right(dtype: torch.dtype) -> None:
    """Beside numbers near zero in the same row, and alone."""
    x = torch.tensor([1e30, 3.0, -7e4, 1e5, 65535.5, -65537.0, 1e15, -0.0], dtype=dtype)
    results = apply(x)
    for name in ("sin", "cos", "tan"):
        for number, got in zip(x.double().tolist(), results[name].tolist(), strict=True):
            exact = float(getattr(mpmath, name)(mpmath.mpf(number)))
            assert got == pytest.approx(exact, rel=4 * torch.finfo(dtype).eps, abs=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_the_ends_of_the_line_are_as_in_torch(name: str, dtype: torch.dtype) -> None:
    """Infinities, NaN and zeros with their signs, the least numbers and the edges of domains."""
    limits = torch.finfo(dtype)
    ends = [0.0, math.inf, math.nan, 1.0, limits.tiny, limits.smallest_normal / 8, limits.max, 1e4]
    x = torch.tensor([sign * end for end in ends for sign in (1, -1)], dtype=dtype)
    got, expected = apply(x)[name], getattr(torch, name)(x.double()).to(dtype)
    torch.testing.assert_close(got, expected, equal_nan=True, atol=limits.tiny, rtol=4 * limits.eps)
    is_number = ~expected.isnan()
    assert torch.equal(got[is_number].signbit(), expected[is_number].signbit())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_pairs_of_special_numbers_are_as_in_c(name: str, dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    sizes = [0.0, math.inf, math.nan, 0.5, 1.0, 2.0, 3.0, limits.tiny / 4, limits.max, 0.75]
    numbers = torch.tensor([sign * size for size in sizes for sign in (1, -1)], dtype=dtype)
    x, y = (grid.flatten() for grid in torch.meshgrid(numbers, numbers, indexing="ij"))
    got = apply(x, y)[name]
    # one by one: torch's vector code is not always C's
    expected = torch.stack(
        [getattr(torch, name)(a, b) for a, b in zip(x.double(), y.double(), strict=True)]
    ).to(dtype)
    torch.testing.assert_close(got, expected, equal_nan=True, atol=limits.tiny, rtol=4 * limits.eps)
    is_number = ~expected.isnan()
    assert torch.equal(got[is_number].signbit(), expected[is_number].signbit())


@pytest.mark.slow
def test_loops_of_functions_become_vector_code(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("the notes of gcc are needed")
    for dtype in DTYPES:
        apply(torch.zeros(8, dtype=dtype))
        source = layer()._program().run_forward.source
        (tmp_path / "kernel.c").write_text(source)
        flags = [c_compiler.BRIEFLY, *c_compiler.FLAGS, *c_compiler.machine_flags()]
        command = ["gcc", *flags, "-fopt-info-vec-optimized", "kernel.c"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        notes = re.findall(r"kernel.c:(\d+):\d+: optimized: loop vectorized", done.stderr)
        vectorised = {int(note) - below for note in notes for below in (0, 1)}  # or its first line
        lines = source.splitlines()
        own = [
            number + 2  # the line after the pragma, counted from 1
            for number, line in enumerate(lines)
            if "#pragma omp simd" in line and "if (num_far)" not in lines[number - 1]
        ]
        assert len(own) > 1
        assert set(own) <= vectorised
