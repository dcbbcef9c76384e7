"""The comparison with the plain loop at first use: what it finds, says, leaves alone, costs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.compiler import check as checking_module
from rondo.compiler import intercept, record_step, rows, views
from rondo.compiler.merge import _Merge
from rondo.layers.making import MismatchError

INPUT, H = 3, 4


class Base(nn.Module):
    """An Elman cell with a part that can be another one."""

    input_size, state_size = INPUT, H

    def __init__(self) -> None:
        super().__init__()
        self.U, self.W = nn.Linear(INPUT, H), nn.Linear(H, H)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.U(x) + self.part(x, h))
        return h, h

    def part(self, x: Tensor, h: Tensor) -> Tensor:
        return self.W(h)


class Divides(Base):
    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x / x.shape[0], h)


class Branches(Base):
    def part(self, x: Tensor, h: Tensor) -> Tensor:
        return self.W(h) if x.shape[0] > 7 else h


class ReadsNumpy(Base):
    def part(self, x: Tensor, h: Tensor) -> Tensor:
        return self.W(h) * (1 if abs(h.detach().numpy()).max() > 0.999 else -1)


class Clips(Base):
    def part(self, x: Tensor, h: Tensor) -> Tensor:
        z = self.W(h)
        if z.requires_grad:
            z.register_hook(lambda gradient: 0.1 * gradient)
        return z


class NoGradient(Base):
    def part(self, x: Tensor, h: Tensor) -> Tensor:
        with torch.no_grad():
            return self.W(h)


class Views(Base):
    def part(self, x: Tensor, h: Tensor) -> Tensor:
        heads = self.W(h).view(-1, 2, H // 2).transpose(1, 2)
        return heads.reshape(h.shape[0], -1)


class Outside(Base):
    def __init__(self) -> None:
        super().__init__()
        held = torch.randn(H, requires_grad=True)
        self.read = lambda: held

    def part(self, x: Tensor, h: Tensor) -> Tensor:
        return self.W(h) * torch.stack([self.read(), self.read()]).mean(0)


# ---- mistakes that the recorder and the kernels must not make, put back one by one ----

Sabotage = Callable[[pytest.MonkeyPatch], None]


def numbers_of_rows_are_sizes(patch: pytest.MonkeyPatch) -> None:
    """Any number that follows the number of rows is written `B`."""
    argument = _Merge.argument

    def as_size(self: Any, a: Any, b: Any, node: Any, is_size: bool) -> Any:
        return argument(self, a, b, node, True)

    patch.setattr(_Merge, "argument", as_size)
    patch.setattr(rows, "computes_with_rows", lambda operands: None)


def questions_about_rows_are_not_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(intercept.Watch, "_counted", lambda self, size: size)


def numpy_reads_are_not_seen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(intercept, "READS", {})


class DeafWatch(intercept.Watch):
    """Registers no hook, and computes everything with gradients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in intercept.HOOKS:
            return None
        with torch.set_grad_enabled(self.is_forward):
            return super().__torch_function__(func, types, args, kwargs)


def gradients_are_made_of_operations(patch: pytest.MonkeyPatch) -> None:
    """As if the derivative of the operations were that of the step."""
    patch.setattr(record_step, "Watch", DeafWatch)


def views_read_another_place(patch: pytest.MonkeyPatch) -> None:
    """As if nothing had been exchanged."""
    patch.setitem(views.VIEWS, torch.ops.aten.transpose, lambda node, place, shape: place)


def tensors_from_outside_are_constants(patch: pytest.MonkeyPatch) -> None:
    leaves = record_step._StepRecorder._all_leaves

    def of_the_cell_alone(self: Any) -> Any:
        given = {"x", *self.example.state}
        given |= {name.replace(".", "_") for name, _ in self.example.cell.named_parameters()}
        return {name: some for name, some in leaves(self).items() if name in given}

    patch.setattr(record_step._StepRecorder, "_all_leaves", of_the_cell_alone)


MISTAKES: dict[str, tuple[type[Base], Sabotage]] = {
    "a number of rows as a number": (Divides, numbers_of_rows_are_sizes),
    "a branch on the number of rows": (Branches, questions_about_rows_are_not_heard),
    "a value in numpy": (ReadsNumpy, numpy_reads_are_not_seen),
    "a hook": (Clips, gradients_are_made_of_operations),
    "no_grad": (NoGradient, gradients_are_made_of_operations),
    "a view in the loop": (Views, views_read_another_place),
    "a tensor from outside": (Outside, tensors_from_outside_are_constants),
}


def plain(cell: nn.Module, x: Tensor) -> list[Tensor]:
    h, outputs = x.new_zeros(len(x), H), []
    for step in x.unbind(1):
        y, h = cell(step, h)
        outputs.append(y)
    return with_gradients(torch.stack(outputs, 1), cell, x)


def with_gradients(y: Tensor, cell: nn.Module, x: Tensor) -> list[Tensor]:
    leaves = [x, *cell.parameters()]
    return [y, *torch.autograd.grad(y.square().sum(), leaves, materialize_grads=True)]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_at_first_use(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, sabotage = MISTAKES[mistake]
    cell, x = kind(), torch.randn(4, 6, INPUT, requires_grad=True)
    assert rondo.check(cell, x), "nothing is wrong yet"
    sabotage(monkeypatch)
    report = rondo.check(cell, x)
    assert not report
    assert "equal to the plain loop  NO: the " in str(report)
    engine = "cpu" if report.engine == "cpu" else "reference"
    with pytest.raises(MismatchError, match=f"{kind.__name__} does not give .* is off by .*report"):
        rondo.Recurrent(cell, engine=engine)(x)
    with pytest.warns(rondo.EngineWarning, match=f"{kind.__name__} runs in a plain loop"):
        y, _ = rondo.Recurrent(cell)(x)
    for got, right in zip(with_gradients(y, cell, x), plain(cell, x), strict=True):
        assert torch.equal(got, right)


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    compare = checking_module._compare
    monkeypatch.setattr(checking_module, "_compare", lambda s: calls.append(s) or compare(s))
    x = torch.randn(2, 4, INPUT)
    with rondo.checking(False):
        rondo.Recurrent(Base())(x)
    monkeypatch.setenv("RONDO_CHECK", "0")
    rondo.Recurrent(Base())(x)
    assert calls == []
    with rondo.checking(True):
        layer = rondo.Recurrent(Base())
        layer(x)
        layer(x)
    assert len(calls) == 1


def test_it_leaves_everything_as_it_was() -> None:
    """Random numbers, gradients, buffers, attributes, hooks on parameters."""
    import random

    class Noisy(Base):
        def part(self, x: Tensor, h: Tensor) -> Tensor:
            return nn.functional.dropout(self.W(h), 0.3)

    cell, seen = Noisy(), list[Tensor]()
    cell.W.weight.register_hook(seen.append)
    torch.manual_seed(1)
    before = torch.get_rng_state(), random.getstate()
    attributes = {name: dict(vars(part)) for name, part in cell.named_modules()}
    rondo.check(cell, torch.randn(0, 0, INPUT))
    rondo.Recurrent(cell)(torch.zeros(2, 0, INPUT))
    assert torch.equal(before[0], torch.get_rng_state())
    assert random.getstate() == before[1]
    assert {name: dict(vars(part)) for name, part in cell.named_modules()} == attributes
    assert seen == []
    assert all(parameter.grad is None for parameter in cell.parameters())


def test_a_hook_on_a_parameter_acts_once() -> None:
    """On the whole gradient, as in a plain loop: not on each step's, and not while recording."""
    cell, x = Base(), torch.randn(2, 6, INPUT)
    expected = torch.autograd.grad(rondo.Recurrent(cell)(x)[0].sum(), cell.W.weight)[0]
    calls: list[Tensor] = []
    cell.W.weight.register_hook(lambda gradient: calls.append(gradient) or 3 * gradient)
    rondo.Recurrent(cell)(x)[0].sum().backward()
    assert len(calls) == 1
    torch.testing.assert_close(cell.W.weight.grad, 3 * expected)


def test_a_hook_on_the_state_that_a_step_gets() -> None:
    """It acts on what the output of the step before gets too, which no graph of a step shows."""

    class HooksOldState(Base):
        def part(self, x: Tensor, h: Tensor) -> Tensor:
            if h.requires_grad and h.grad_fn is not None:
                h.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
            return self.W(h)

    cell, x = HooksOldState(), torch.randn(2, 6, INPUT, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rondo.EngineWarning)
        y, _ = rondo.Recurrent(cell)(x)
    for got, right in zip(with_gradients(y, cell, x), plain(cell, x), strict=True):
        torch.testing.assert_close(got, right)


def test_warnings_point_at_the_users_line() -> None:
    class Reads(Base):
        def part(self, x: Tensor, h: Tensor) -> Tensor:
            return self.W(h) if h.sum() > 0 else h

    layer, x = rondo.Recurrent(Reads()), torch.randn(2, 4, INPUT)
    with pytest.warns(rondo.EngineWarning) as told:
        layer(x)  # this line
    (warning,) = told
    line = Path(__file__).read_text().splitlines()[warning.lineno - 1]
    assert (Path(warning.filename), line.strip()) == (Path(__file__), "layer(x)  # this line")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)  # it was told once


def test_a_report_of_a_cell_that_no_graph_holds() -> None:
    class Reads(Base):
        def part(self, x: Tensor, h: Tensor) -> Tensor:
            return self.W(h) * h.max().item()

    report = rondo.check(Reads(), torch.randn(2, 4, INPUT))
    assert (report.engine, report.rows_apart) == ("plain", False)
    assert report.reason is not None
    assert "reads the value of a tensor (by a branch on it, .item()" in report.reason
    assert "test_check.py:" in report.reason


@pytest.mark.parametrize(
    ("cell", "x", "kind", "message"),
    [
        (
            torch.tanh,
            torch.zeros(2, 3, INPUT),
            TypeError,
            "cell must be a module, an instance and no class, got",
        ),
        (
            Base(),
            torch.zeros(INPUT),
            ValueError,
            r"x must be a batch of sequences \(B, T, ...\), got \(3,\)",
        ),
        (Base(), [0.0], ValueError, r"x must be a batch of sequences \(B, T, ...\), got list"),
        (nn.Linear(INPUT, H), torch.zeros(2, 3, INPUT), TypeError, "Linear has no initial state"),
    ],
)
def test_wrong_arguments(cell: Any, x: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        rondo.check(cell, x)


class Magnifies(Base):
    """A gate of exponentials, which magnifies what bfloat16 rounds away."""

    def part(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.exp(4 * self.W(h)) / torch.exp(4 * self.U(x)) - 1


def test_a_cell_that_magnifies_rounding_is_no_mistake() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        assert rondo.check(Magnifies().to(dtype), torch.randn(4, 6, INPUT).to(dtype))


@pytest.mark.parametrize("factor", [2.0, 0.0])
def test_a_mistake_in_half_precision_is_found(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One weight that is doubled or gone is more than rounding, also in bfloat16."""
    program = checking_module._Case.program

    def with_another_weight(case: Any) -> Any:
        first, *rest = case.stand_ins
        other = (first.detach() * factor).requires_grad_(first.requires_grad)
        return program(replace(case, stand_ins=[other, *rest]))

    monkeypatch.setattr(checking_module._Case, "program", with_another_weight)
    assert not rondo.check(Base().bfloat16(), torch.randn(4, 6, INPUT).bfloat16())


def test_a_state_whose_keys_come_in_another_order() -> None:
    """In the plain loop too: each tensor is carried under its own name."""

    class Swaps(nn.Module):
        def forward(self, x: Tensor, state: dict[str, Tensor]) -> Any:
            if x.sum() > 1e9:  # no graph
                return x, state
            return state["a"], {"b": state["b"] * 0.5, "a": state["a"] + x}

    x, start = torch.randn(3, 4, 2), {"a": torch.ones(3, 2), "b": torch.full((3, 2), 8.0)}
    lengths, resets = torch.tensor([4, 1, 2]), torch.zeros(3, 4, dtype=torch.bool)
    resets[0, 2] = True
    layer = rondo.Recurrent(Swaps(), engine="plain")
    _, last = layer(x, start, resets=resets)
    torch.testing.assert_close(last["a"][0], 1 + x[0, 2:].sum(0))
    torch.testing.assert_close(last["b"][0], torch.full((2,), 2.0))
    _, last = layer(x[1:2], {k: v[1:2] for k, v in start.items()}, lengths=lengths[1:2])
    torch.testing.assert_close(last["a"][0], 1 + x[1, 0])
    torch.testing.assert_close(last["b"][0], torch.full((2,), 4.0))
