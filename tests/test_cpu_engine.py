"""What only the cpu engine has: chunks, threads, operators, functions of its own, refusals."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rondo
from cases import CELLS, check_golden, make_cell, relative_error
from rondo.compiler import SeveralLoops, cpu
from rondo.compiler.c_last_step import matrices_of_state
from rondo.compiler.call import Call
from rondo.compiler.engines import engine_for
from rondo.compiler.kernel import Compute, Level, Load, Loop
from rondo.compiler.render_c import render_c
from rondo.compiler.runtime import load
from rondo.compiler.sharing import shares_steps
from rondo.data.seeds import seed_layers


def results(layer: nn.Module, x: Tensor, **keywords: Any) -> list[Tensor]:
    """Output, last state and every gradient, under a random projection."""
    x = x.clone().requires_grad_()
    y, state = layer(x, **keywords)
    leaves = [y, *torch.utils._pytree.tree_leaves(state)]
    seed_layers(3)
    loss = sum((leaf * torch.randn_like(leaf)).sum() for leaf in leaves)
    wanted = [x, *layer.parameters()]
    gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
    return [*(leaf.detach() for leaf in leaves), *gradients]


def assert_engines_agree(
    cell: nn.Module, x: Tensor, tolerance: float = 1e-10, **keywords: Any
) -> None:
    expected = results(rondo.Recurrent(cell, engine="reference"), x, **keywords)
    got = results(rondo.Recurrent(cell, engine="cpu"), x, **keywords)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


class BesselAround(rondo.Cell):
    """What no kernel does before and after the loop: torch does it, some steps at a time."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.step = rondo.GRUCell(hidden_size, hidden_size)
        self.from_x = nn.Linear(input_size, hidden_size)
        self.out = nn.Linear(hidden_size, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        _, h = self.step(torch.special.i0(self.from_x(x)), h)
        return self.out(torch.special.i0(self.out(h)) @ self.out.weight), h


@pytest.mark.parametrize("mode", ["dense", "ragged", "resets"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["gru", "peephole-norm-lstm", "normalised-weight", "around"])
def test_many_chunks_give_what_one_gives(
    name: str, reverse: bool, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(cpu, "CHUNK_ROWS", 7)
    torch.manual_seed(3)
    is_around = name == "around"
    cell = BesselAround(19, 7).double() if is_around else make_cell(name, 19, 7, torch.float64)
    x = torch.randn(5, 23, 19, dtype=torch.float64)
    keywords: dict[str, Tensor] = {}
    if mode == "ragged":
        keywords["lengths"] = torch.tensor([23, 0, 11, 12, 1])
    if mode == "resets":
        keywords["resets"] = torch.rand(5, 23) < 0.2
    layers = [
        rondo.Recurrent(cell, reverse=reverse, engine=engine) for engine in ("reference", "cpu")
    ]
    expected, got = (results(layer, x, **keywords) for layer in layers)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    program = layers[1]._program()
    for engine in (program.run_forward, program.run_backward):
        for loop in engine.loops if isinstance(engine, SeveralLoops) else [engine]:
            assert (loop.chunk_rows is not None) == is_around
            assert not is_around or loop.chunk_rows < 20


def test_the_number_of_threads_changes_no_bit() -> None:
    cell = make_cell("lstm", 9, 65, torch.float32)
    x = torch.randn(13, 40, 9)
    lengths = torch.randint(0, 41, (13,))
    before = torch.get_num_threads()
    try:
        found = []
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            found.append(rondo.Recurrent(cell, engine="cpu")(x, lengths=lengths)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("mode", ["dense", "ragged", "resets"])
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("name", ["gru", "peephole-norm-lstm", "around"])
def test_threads_beyond_the_rows_share_the_work(
    name: str, batch_size: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "MIN_WORK_PER_THREAD", 1)
    monkeypatch.setattr(cpu, "CHUNK_ROWS", 9)
    is_around = name == "around"
    cell = BesselAround(5, 7).double() if is_around else make_cell(name, 5, 7, torch.float64)
    x = torch.randn(batch_size, 23, 5, dtype=torch.float64)
    keywords: dict[str, Tensor] = {}
    if mode == "ragged":
        keywords["lengths"] = torch.tensor([17, 4][:batch_size])
    if mode == "resets":
        keywords["resets"] = torch.rand(batch_size, 23) < 0.2
    expected = results(rondo.Recurrent(cell, engine="reference"), x, **keywords)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        layer = rondo.Recurrent(cell, engine="cpu")
        found = [results(layer, x, **keywords) for _ in range(3)]
        with ThreadPoolExecutor(2) as threads:  # each has a pool of its own
            outputs = [*threads.map(lambda _: layer(x, **keywords)[0].detach(), range(4))]
    finally:
        torch.set_num_threads(before)
    for a, b in zip(found[0], expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    for got in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(got, found[0], strict=True))
    assert all(torch.equal(output, found[0][0]) for output in outputs)


@pytest.mark.parametrize("mode", ["dense", "ragged", "resets", "reverse"])
@pytest.mark.parametrize("name", ["lstm", "gru", "peephole-norm-lstm", "elman"])
def test_threads_that_share_each_step_change_no_bit(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(name, 5, 37, torch.float64)
    x = torch.randn(7, 23, 5, dtype=torch.float64)
    keywords: dict[str, Tensor] = {}
    if mode == "ragged":
        keywords["lengths"] = torch.tensor([17, 4, 23, 1, 9, 9, 2])
    if mode == "resets":
        keywords["resets"] = torch.rand(7, 23) < 0.2

    def run() -> list[Tensor]:
        layer = rondo.Recurrent(cell, engine="cpu", reverse=mode == "reverse")
        return results(layer, x, **keywords)

    reference = rondo.Recurrent(cell, engine="reference", reverse=mode == "reverse")
    expected, alone = results(reference, x, **keywords), run()
    asked: list[int] = []

    def shares(kernel: object, num_rows: int, num_steps: int, num_threads: int) -> bool:
        asked.append(num_rows)
        return True

    monkeypatch.setattr(cpu, "MIN_WORK_PER_THREAD", 1)
    monkeypatch.setattr(cpu, "shares_steps", shares)
    before = torch.get_num_threads()
    try:
        for num_threads in (2, 3, 8):
            torch.set_num_threads(num_threads)
            together = run()
            for a, b, c in zip(together, expected, alone, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
                assert a.shape == c.shape
            assert torch.equal(together[0], alone[0])
    finally:
        torch.set_num_threads(before)
    assert 7 in asked


def test_few_rows_of_many_weights_are_shared_by_columns() -> None:
    def choice(hidden_size: int, batch_size: int) -> bool:
        layer = rondo.Recurrent(rondo.LSTMCell(hidden_size, hidden_size), engine="cpu")
        with torch.no_grad():
            layer(torch.zeros(1, 1, hidden_size))
        return shares_steps(layer._program().run_forward.kernel, batch_size, 100, 2)

    assert [choice(16, rows) for rows in (1, 2, 64)] == [False, False, False]
    assert [choice(512, rows) for rows in (1, 2, 64)] == [True, True, False]


def test_a_step_alone_is_shared_where_sums_over_rows_are_large() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(512, 512), engine="cpu")
    layer(torch.zeros(1, 1, 512))[0].sum().backward()
    kernel = layer._program().run_backward.kernel
    assert [shares_steps(kernel, 64, steps, 2) for steps in (1, 1000)] == [True, False]


def test_the_last_step_reads_no_matrix_of_which_only_the_state_is_made() -> None:
    """In the gradient of a plain recurrent network, W_hh makes the gradient of the state alone."""
    layer = rondo.Recurrent(rondo.ElmanCell(5, 7), engine="cpu")
    for wants_input, names in ((False, ["weight_hh"]), (True, ["weight_hh"])):
        x = torch.zeros(2, 3, 5, requires_grad=wants_input)
        layer(x)[0].sum().backward()
        kernel = layer._program().run_backward.kernel
        assert [kernel.matrices[n].tensor for n in matrices_of_state(kernel)] == names


@pytest.mark.parametrize("name", CELLS)
def test_bfloat16_is_as_close_to_float64_as_torch_is(name: str) -> None:
    """Stored as bfloat16 and computed in float32: at most twice the error of bfloat16 in torch."""
    cell = make_cell(name, 4, 7, torch.bfloat16)
    x = torch.randn(3, 6, 4).bfloat16()
    got = results(rondo.Recurrent(cell, engine="cpu"), x)
    plain = results(rondo.Recurrent(cell, engine="reference"), x)
    exact = results(rondo.Recurrent(cell.double(), engine="reference"), x.double())
    for a, b, truth in zip(got, plain, exact, strict=True):
        assert a.dtype == torch.bfloat16
        budget = 2 * max(relative_error(b, truth), torch.finfo(torch.bfloat16).eps)
        assert relative_error(a, truth) <= budget


def test_sums_over_rows_lose_less_than_one_rounding() -> None:
    """320 positive terms, added one after the other, would lose 1.3 eps; in blocks they do not."""

    class Decay(rondo.Cell):
        def __init__(self) -> None:
            super().__init__(64, 64)
            self.rate = nn.Parameter(torch.full((64,), 0.3))

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.sigmoid(x + self.rate * h.detach())
            return h, h

    def gradient(cell: nn.Module, x: Tensor, engine: str) -> Tensor:
        loss = rondo.Recurrent(cell, engine=engine)(x)[0].sum()
        return torch.autograd.grad(loss, cell.rate)[0]

    x = torch.randn(16, 20, 64)
    exact = gradient(Decay().double(), x.double(), "reference")
    error = relative_error(gradient(Decay(), x, "cpu"), exact)
    assert error <= 0.8 * torch.finfo(torch.float32).eps


# ---- operators ----

OPERATORS: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "exponentials": [
        torch.exp, torch.tanh, torch.sigmoid, nn.functional.silu, nn.functional.softplus,
        torch.expm1, lambda a: torch.log(a.abs() + 0.1), lambda a: torch.log1p(a.square()),
    ],
    "activations": [
        torch.relu, nn.functional.gelu, lambda a: nn.functional.gelu(a, approximate="tanh"),
        nn.functional.leaky_relu, nn.functional.elu, nn.functional.hardtanh,
        nn.functional.softsign, nn.functional.relu6,
    ],
    "choices": [
        lambda a: a.clamp(-0.3, 0.4), lambda a: a.clamp_min(0.1), lambda a: a.clamp_max(0.1),
        lambda a: torch.where(a > 0.2, a, -a), lambda a: torch.maximum(a, -2 * a),
        lambda a: torch.minimum(a, a * a), torch.abs, torch.sign,
        lambda a: torch.where((a > 0) & ~(a > 0.5), a, a * 2), lambda a: a.masked_fill(a < 0, 0.3),
    ],
    "powers": [
        torch.square, lambda a: torch.sqrt(a.abs() + 0.1), lambda a: torch.rsqrt(a.abs() + 0.1),
        lambda a: a**3, lambda a: (a.abs() + 0.1) ** 1.7, lambda a: (a.abs() + 0.1) ** (a * 0.5),
        lambda a: 1 / (a.abs() + 1), lambda a: torch.reciprocal(a.abs() + 1), torch.erf,
        lambda a: (a.abs() + 0.1) ** -0.5, lambda a: (1 + a.abs()) ** -2, lambda a: 2.5**a,
        lambda a: a.relu() ** 2.0, lambda a: (a.abs() + 0.1) ** -1.0,
    ],
    "trigonometric": [
        torch.sin, torch.cos, torch.tan, torch.atan, lambda a: torch.asin(0.9 * a.tanh()),
        lambda a: torch.acos(0.9 * a.tanh()), lambda a: torch.atan2(a, a.exp() - 1.5),
    ],
    "hyperbolic": [
        torch.sinh, torch.cosh, torch.asinh, lambda a: torch.atanh(0.9 * a.tanh()),
        lambda a: torch.acosh(1.1 + a.abs()), lambda a: torch.hypot(a, 1 + a.square()),
        torch.exp2, lambda a: torch.log2(a.abs() + 0.1), lambda a: torch.log10(a.abs() + 0.1),
        torch.erfc,
    ],
    "within a row": [
        lambda a: torch.softmax(a, -1), lambda a: torch.log_softmax(a, -1),
        lambda a: a - a.mean(-1, keepdim=True), lambda a: a / (1 + a.amax(-1, keepdim=True).abs()),
        lambda a: a / (1 + a.norm(dim=-1, keepdim=True)), lambda a: a.var(-1, keepdim=True) + a,
        lambda a: nn.functional.layer_norm(a, a.shape[-1:]),
        lambda a: nn.functional.normalize(a, dim=-1),
    ],
    "shapes": [
        lambda a: torch.cat([a[:, 3:], a[:, :3]], 1), lambda a: a[:, :5].tanh().repeat(1, 2),
        lambda a: torch.stack(a.chunk(2, -1), -1).flatten(1),
        lambda a: a.unflatten(-1, (2, -1)).sum(1).unsqueeze(1).expand(-1, 2, -1).flatten(1),
        lambda a: a[:, ::2].sum(-1, keepdim=True) + a, lambda a: a[:, 1:2] * a,
    ],
}  # fmt: skip


class Applies(rondo.Cell):
    """h' = tanh(U x + sum over k of W h passed through the k-th function, with a weight)."""

    def __init__(self, functions: list[Callable[[Tensor], Tensor]], size: int) -> None:
        super().__init__(size, size)
        self.functions = functions
        self.U, self.W = nn.Linear(size, size), nn.Linear(size, size)
        self.share = nn.Parameter(torch.randn(len(functions), size))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a = self.W(h) + x
        parts = [share * f(a) for f, share in zip(self.functions, self.share, strict=True)]
        h = torch.tanh(self.U(x) + sum(parts))
        return h, h


@pytest.mark.parametrize("group", OPERATORS)
def test_covers_the_operators(group: str) -> None:
    torch.manual_seed(5)
    cell = Applies(OPERATORS[group], 10).double()
    assert_engines_agree(cell, torch.randn(3, 4, 10, dtype=torch.float64))


class Peepholes(rondo.Cell):
    """Rows and slices of one parameter, whose gradients are put together again."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.peephole = nn.Parameter(torch.randn(3, size))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        first, *_ = self.peephole.unbind()
        h = torch.tanh(x + first * h + self.peephole[1] * h.square() + self.peephole[2, :1])
        return h, h


def test_covers_parts_of_a_parameter() -> None:
    assert_engines_agree(Peepholes(5).double(), torch.randn(3, 4, 5, dtype=torch.float64))


class Truth(rondo.Cell):
    """A number as a truth value: whatever is not zero."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.where((0.3 * x).to(torch.bool), x + 0.5 * h, h)
        return h, h


class Variance(rondo.Cell):
    """The variance of a row, with a correction that may leave no degree of freedom."""

    def __init__(self, size: int, correction: float) -> None:
        super().__init__(size, size)
        self.correction = correction

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return (x + h).var(-1, correction=self.correction, keepdim=True) * x, h + x


@pytest.mark.parametrize(
    "cell", [Truth(3, 3), Variance(4, 1), Variance(4, 0.5), Variance(4, 4)], ids=str
)
@pytest.mark.filterwarnings("ignore:var")
@torch.no_grad()
def test_means_what_torch_means(cell: nn.Module) -> None:
    x = torch.tensor([0.0, 1.0, -2.0, 0.5, 3.0])[torch.randint(0, 5, (2, 6, cell.input_size))]
    got, _ = rondo.Recurrent(cell, engine="cpu")(x)
    expected, _ = rondo.Recurrent(cell, engine="reference")(x)
    torch.testing.assert_close(got, expected, equal_nan=True)


def test_resets_and_inputs_may_lie_anywhere() -> None:
    """Flags that are every other element of something, numbers behind a lazy negation."""
    cell = make_cell("gru", 3, 5, torch.float32)
    resets = torch.tensor([[True, False, False, True, True, True, False, False]])[:, ::2]
    z = torch.complex(torch.randn(1, 4, 3), torch.randn(1, 4, 3)).conj()
    assert z.imag.is_neg()
    got, expected = (
        rondo.Recurrent(cell, engine=engine)(z.imag, resets=resets)[0]
        for engine in ("cpu", "reference")
    )
    torch.testing.assert_close(got, expected)


class Multiplied(rondo.Cell):
    """A part of the input product multiplies a product with the state: it is saved for training."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.from_x, self.from_h = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        factor, gate, new = self.from_x(x).chunk(3, -1)
        h = torch.sigmoid(gate) * h + torch.tanh(new + factor * self.from_h(h))
        return h, h


@pytest.mark.parametrize("size", [5, 20])
def test_a_part_of_the_input_product_may_be_read_outside_the_kernel(size: int) -> None:
    assert_engines_agree(Multiplied(size).double(), torch.randn(3, 6, size, dtype=torch.float64))


class Flagged(rondo.Cell):
    """A state of truth values, before or behind one of numbers."""

    def __init__(self, flag_first: bool) -> None:
        super().__init__(3, 3)
        self.flag_first = flag_first
        self.W = nn.Parameter(torch.randn(3, 3))

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        flag, h = torch.zeros(batch_size, 3, dtype=torch.bool), self.W.new_zeros(batch_size, 3)
        return (flag, h) if self.flag_first else (h, flag)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        flag, h = state if self.flag_first else state[::-1]
        h = torch.where(flag ^ (x > 0.5), x, torch.tanh(h @ self.W + 0.2))
        new = (h > 0.1) & ~flag
        output = torch.where(new | flag, h, 2 * h)
        return output, (new, h) if self.flag_first else (h, new)


@pytest.mark.parametrize("flag_first", [True, False])
def test_a_state_may_be_truth_values(flag_first: bool) -> None:
    cell, x = Flagged(flag_first).double(), torch.randn(3, 6, 3, dtype=torch.float64)
    resets = torch.rand(3, 6) < 0.3
    for keywords in ({}, {"lengths": torch.tensor([6, 0, 3])}, {"resets": resets}):
        layers = [rondo.Recurrent(cell, engine=engine) for engine in ("cpu", "reference")]
        (got, new), (expected, last) = (layer(x, **keywords) for layer in layers)
        torch.testing.assert_close(got, expected)
        flag = 0 if flag_first else 1
        assert new[flag].dtype == torch.bool
        assert torch.equal(new[flag], last[flag])
        torch.testing.assert_close(new[1 - flag], last[1 - flag])
        gradients = [torch.autograd.grad(y.sin().sum(), cell.W) for y in (got, expected)]
        torch.testing.assert_close(*gradients)


class Halves(rondo.Cell):
    """What is taken apart after the loop: a kernel reads one part, torch alone the others."""

    def __init__(self) -> None:
        super().__init__(4, 4)
        self.W = nn.Linear(4, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (h * 1.5).chunk(2, -1)
        mean = nn.functional.layer_norm(h, (4,))
        output = torch.cat([torch.special.i0(first), second.tanh(), torch.special.i0(mean)], -1)
        return output, torch.tanh(x + self.W(h))


def test_parts_of_one_value_may_be_read_by_the_kernel_and_by_torch() -> None:
    assert_engines_agree(Halves().double(), torch.randn(3, 5, 4, dtype=torch.float64))


# ---- what is refused ----


class FloatProduct(rondo.Cell):
    """A product in float32 within a step of another type."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.W = nn.Parameter(torch.randn(size, size))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + (h.float() @ self.W.float()).to(h.dtype))
        return h, h


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_refuses_a_product_of_another_type(dtype: torch.dtype) -> None:
    layer = rondo.Recurrent(FloatProduct(3).to(dtype), engine="cpu")
    with pytest.raises(ValueError, match="float32 in a step of"):
        layer(torch.zeros(2, 3, 3, dtype=dtype))


class LogGamma(rondo.Cell):
    """A step with an operation that no kernel covers."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.lgamma(1.5 + (x + h).abs()).tanh()
        return h, h


def test_names_the_operator_that_is_not_covered() -> None:
    x = torch.randn(2, 3, 4)
    with pytest.raises(ValueError, match="engine='cpu' cannot run LogGamma: lgamma"):
        rondo.Recurrent(LogGamma(4, 4), engine="cpu")(x)


def test_the_reference_engine_says_why_it_runs() -> None:
    x = torch.randn(2, 3, 4, requires_grad=True)
    layer = rondo.Recurrent(LogGamma(4, 4))
    with pytest.warns(rondo.EngineWarning, match=r"LogGamma runs on the slower .* engine: lgamma"):
        y, _ = layer(x)
    expected, _ = rondo.Recurrent(LogGamma(4, 4), engine="reference")(x)
    torch.testing.assert_close(y, expected)


class MixesRows(rondo.Cell):
    """Takes the mean over the batch."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + h.mean(0, keepdim=True))
        return h, h


@pytest.mark.parametrize("training", [True, False])
def test_a_cell_that_mixes_rows_is_refused_or_said_to_be_slow(training: bool) -> None:
    x = torch.randn(2, 3, 4, requires_grad=training)
    with pytest.raises(ValueError, match=r"cannot run MixesRows: .*mean reduces over the rows"):
        rondo.Recurrent(MixesRows(4, 4), engine="cpu")(x)
    with pytest.warns(rondo.EngineWarning, match="mean reduces over the rows"):
        rondo.Recurrent(MixesRows(4, 4))(x)


def test_says_that_there_are_no_kernels_for_other_devices() -> None:
    plan = rondo.Recurrent(rondo.GRUCell(2, 3), engine="reference").plan
    engine = engine_for(plan, "auto", torch.device("xpu"))
    assert getattr(engine, "reason", None) == "there are no kernels for xpu"
    with pytest.raises(ValueError, match="it runs on the CPU, and the tensors are on cuda"):
        engine_for(plan, "cpu", torch.device("cuda"))


def test_the_engine_may_be_changed_later() -> None:
    x = torch.randn(2, 3, 4)
    layer = rondo.Recurrent(LogGamma(4, 4), engine="reference")
    layer(x)
    layer.engine = "cpu"
    with pytest.raises(ValueError, match="lgamma"):
        layer(x)
    layer.cell = rondo.GRUCell(4, 4)
    torch.testing.assert_close(layer(x), rondo.Recurrent(layer.cell, engine="reference")(x))


def test_refuses_an_unknown_engine() -> None:
    known = "engine must be one of auto, cpu, cuda, parallel, plain, reference, or "
    with pytest.raises(ValueError, match=rf"{known}.*, got 'gpu'"):
        rondo.Recurrent(rondo.GRUCell(2, 3), engine="gpu")


def test_shows_its_source() -> None:
    assert "static void step_part_0(" in rondo.Recurrent(rondo.GRUCell(2, 3)).source
    with pytest.raises(ValueError, match="there is no kernel, the reference engine runs this cell"):
        _ = rondo.Recurrent(rondo.GRUCell(2, 3), engine="reference").source


def test_the_plan_says_who_runs_what() -> None:
    layer = rondo.Recurrent(BesselAround(2, 3))
    lines = {line.split(":")[0].strip(): line for line in str(layer.plan).splitlines()}
    assert lines["i0"].endswith("torch runs it")
    assert lines["tanh"].endswith("the kernel runs it")
    backward = str(rondo.Recurrent(rondo.GRUCell(2, 3)).backward_plan)
    products = [line for line in backward.splitlines() if "= mm(" in line]
    assert len(products) == 4
    assert all(line.endswith("the kernel runs it") for line in products)
    reference = rondo.Recurrent(rondo.GRUCell(2, 3), engine="reference")
    assert "runs it" not in str(reference.plan)


class DoubleInput(rondo.Cell):
    """A type before the loop that its kernel does not know."""

    def __init__(self) -> None:
        super().__init__(2, 3)
        self.step = rondo.ElmanCell(2, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.step((x.double() + 0.1).float(), h)
        return y, h


def test_the_plan_says_why_a_stage_is_left_to_torch() -> None:
    layer = rondo.Recurrent(DoubleInput(), engine="cpu")
    assert "torch (no kernel does: " in str(layer.plan)
    assert "float64 in a step of float32) runs it" in str(layer.plan)
    x = torch.randn(2, 4, 2)
    expected, _ = rondo.Recurrent(layer.cell, engine="reference")(x)
    torch.testing.assert_close(layer(x)[0], expected)


@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize("name", ["gru", "peephole-norm-lstm"])
def test_generated_source_is_as_it_was(name: str, which: str) -> None:
    """To change it on purpose: remove the file, run this test twice and look at what changed."""
    layer = rondo.Recurrent(make_cell(name, 3, 5, torch.float32), engine="cpu")
    layer(torch.zeros(1, 1, 3, requires_grad=True))
    source = render_c(getattr(layer._program(), f"run_{which}").kernel)
    common = files("rondo.compiler").joinpath("c", "call.c").read_text()
    begin, end = source.index("typedef struct { int tensor"), source.index("/* How the memory")
    step = source[begin:end].replace(common, "")
    check_golden(f"{name}-{which}.c", step)


# ---- memory that nothing was written to ----


def without_writes(levels: tuple[Level, ...], names: set[str]) -> tuple[Level, ...]:
    """The same loops and products, but for what they write into some buffers."""

    def kept(loop: Loop) -> Loop:
        body = [i for i in loop.body if isinstance(i, Load | Compute) or i.buffer not in names]
        return replace(loop, body=tuple(body))

    return tuple(
        Level(
            tuple(kept(loop) for loop in level.loops),
            tuple(product for product in level.products if product.result not in names),
        )
        for level in levels
    )


@pytest.mark.parametrize("place", ["row", "local", "chunk", "output"])
def test_in_tests_memory_holds_nan_until_it_is_written(place: str) -> None:
    layer = rondo.Recurrent(make_cell("peephole-norm-lstm", 3, 5, torch.float64), engine="cpu")
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    assert not layer(x)[0].isnan().any()
    loop = layer._program().run_forward
    names = {buffer.name for buffer in loop.kernel.at(place)}
    assert names
    broken = replace(
        loop.kernel,
        opening=without_writes(loop.kernel.opening, names),
        levels=without_writes(loop.kernel.levels, names),
    )
    loop.binary = load(render_c(broken, spoils=True))
    assert layer(x)[0].isnan().any()


# ---- cells that nobody wrote ----


@st.composite
def random_cells(draw: st.DrawFn) -> nn.Module:
    """A cell whose step is a random program over its input and one or two states."""
    size = draw(st.integers(1, 19))
    num_states = draw(st.integers(1, 2))
    choices = st.sampled_from(
        [
            "tanh",
            "sigmoid",
            "relu",
            "mul",
            "add",
            "sub",
            "linear",
            "gate",
            "softmax",
            "norm",
            "where",
        ]
    )
    return RandomCell(size, num_states, tuple(draw(st.lists(choices, min_size=2, max_size=8))))


class RandomCell(rondo.Cell):
    """Applies its operations one after the other to the last two values that it has."""

    def __init__(self, size: int, num_states: int, operations: tuple[str, ...]) -> None:
        super().__init__(size, size, size if num_states == 1 else (size,) * num_states)
        self.operations = operations
        self.num_states = num_states
        self.linears = nn.ModuleList(nn.Linear(size, size) for _ in operations)
        self.scale = nn.Parameter(torch.randn(size))

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        states = (state,) if self.num_states == 1 else state
        values = [x, *states]
        for name, linear in zip(self.operations, self.linears, strict=True):
            a, b = values[-1], values[-2]
            values.append(self.apply_one(name, linear, a, b))
        new = torch.tanh(values[-1])
        output = values[-1] * self.scale + values[-2]
        if self.num_states == 1:
            return output, new
        return output, (new, 0.5 * states[0] + 0.1 * values[-2].tanh())

    def apply_one(self, name: str, linear: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        if name == "linear":
            return linear(a)
        if name == "gate":
            return torch.sigmoid(linear(b)) * a
        if name == "norm":
            return nn.functional.layer_norm(a + b, a.shape[-1:])
        if name == "where":
            return torch.where(a > b + 0.0137, a, 0.3 * b)  # equal values would be told by rounding
        if name in ("mul", "add", "sub"):
            return getattr(torch, name)(a, b)
        return torch.softmax(a, -1) if name == "softmax" else getattr(torch, name)(a)


def check_random_cell(cell: nn.Module) -> None:
    torch.manual_seed(2)
    x = torch.randn(3, 4, cell.input_size, dtype=torch.float64)
    assert_engines_agree(cell.double(), x, tolerance=1e-8)


@given(random_cells())
@settings(max_examples=8, deadline=None, derandomize=True)
def test_random_cells_agree(cell: nn.Module) -> None:
    check_random_cell(cell)


@pytest.mark.slow
@given(random_cells())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_hundred_random_cells_agree(cell: nn.Module) -> None:
    check_random_cell(cell)


@pytest.mark.parametrize(("at_once", "expected"), [(1, 1), (2, 2), (64, 5)])
def test_no_more_threads_are_used_than_can_be_at_work(
    monkeypatch: pytest.MonkeyPatch, at_once: int, expected: int
) -> None:
    used: list[int] = []

    def call(**sizes: Any) -> Call:
        used.append(sizes["num_threads"])
        return Call(**sizes)

    monkeypatch.setattr(cpu, "Call", call)
    monkeypatch.setattr(cpu, "MIN_WORK_PER_THREAD", 1)
    monkeypatch.setattr(cpu, "most_threads_at_once", lambda: at_once)
    torch.set_num_threads(5)
    rondo.Recurrent(rondo.GRUCell(5, 7), engine="cpu")(torch.randn(9, 4, 5))
    assert used[-1] == expected
