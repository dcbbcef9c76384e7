"""`rondo.accelerate` and `rondo.restore`: what is replaced, and what is left with a word."""

from __future__ import annotations

import copy
import io
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic
from torch.nn.utils import prune

import rondo

PAIRS = {nn.RNN: rondo.RNN, nn.LSTM: rondo.LSTM, nn.GRU: rondo.GRU}


class Named(nn.GRU):
    """Another name for torch's class."""


class Doubled(nn.LSTM):
    """A subclass with a forward of its own."""

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        y, hx = super().forward(input, hx)
        return 2 * y, hx


class Stepwise(nn.Module):
    """A loop of Python over one of torch's cells."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        state, ys = None, []
        for step in x:
            state = self.cell(step, state)
            ys.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(ys), state


class Keeping(nn.Module):
    """Calls the forward that its layer had when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4)
        self.run = self.layer.forward

    def forward(self, x: Tensor) -> Any:
        return self.run(x)


def with_own_forward() -> nn.Module:
    """As a wrapper does that drops weights before each call."""
    layer = nn.RNN(3, 4)
    run = layer.forward
    layer.forward = lambda *given: run(*given)
    return layer


def parametrized() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0")


def prepared() -> nn.Module:
    layer = nn.LSTM(3, 4)
    layer.qconfig = torch.ao.quantization.default_dynamic_qconfig
    return layer


def quietly(make: Callable[[], nn.Module]) -> nn.Module:
    """What a deprecated function of torch's makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


LEFT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a subclass": (
        lambda: Named(3, 4),
        r"\(Named\): its class is derived from torch.nn.GRU; derive it from rondo.GRU$",
    ),
    "a subclass with a forward": (
        lambda: Doubled(3, 4),
        r"\(Doubled\): its class is derived from torch.nn.LSTM; derive it from rondo.LSTM$",
    ),
    "a forward of the instance": (with_own_forward, r"\(RNN\): a forward was set on the module"),
    "a forward that is kept": (Keeping, r"layer \(GRU\): its forward is kept as Keeping\.run; "),
    "an LSTM cell": (
        lambda: Stepwise(nn.LSTMCell(3, 4)),
        r"cell \(LSTMCell\): Python runs its loop; write one step .* by rondo\.Recurrent$",
    ),
    "a GRU cell": (lambda: Stepwise(nn.GRUCell(3, 4)), r"cell \(GRUCell\): Python runs its loop"),
    "parametrized weights": (parametrized, r"GRU\): its weights are parametrized; call rondo\."),
    "a scripted model": (
        lambda: quietly(lambda: torch.jit.script(nn.Sequential(nn.LSTM(3, 4)))),
        r"0 \(LSTM\): it is scripted; .* use torch.compile or torch.export in place of a script$",
    ),
    "a quantized model": (
        lambda: quietly(lambda: quantize_dynamic(nn.Sequential(nn.GRU(3, 4)))),
        r"0 \(GRU\): it is quantized; Rondo computes in floating point",
    ),
    "a prepared layer": (prepared, r"\(LSTM\): it is prepared for quantization"),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_left_to_torch_is_named_and_stays(kind: str) -> None:
    make, message = LEFT[kind]
    model, x = make(), torch.randn(5, 2, 3)
    classes, before = [type(part) for part in model.modules()], model(x)[0]
    with pytest.warns(rondo.EngineWarning, match=r"^rondo\.accelerate leaves to torch:\n") as seen:
        assert rondo.accelerate(model) is model
    (warning,) = seen
    assert re.search(message, str(warning.message))
    assert warning.filename == __file__
    assert [type(part) for part in model.modules()] == classes
    assert torch.equal(model(x)[0], before)


def whole_model() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "front": nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 4, num_layers=2)),
            "named": Named(3, 4),
            "own": rondo.GRU(3, 4),
            "loop": rondo.Recurrent(rondo.StackedCell(rondo.GRUCell(3, 4))),
            "plain": nn.RNN(3, 4, bidirectional=True),
            "cells": nn.ModuleList([nn.LSTMCell(3, 4)]),
        }
    )


def test_a_report_says_what_was_done() -> None:
    model = whole_model()
    same, report = rondo.accelerate(model, report=True)
    assert same is model
    assert str(report) == (
        "run by Rondo:\n"
        "  front.1 (LSTM)\n"
        "  own (GRU)\n"
        "  plain (RNN)\n"
        "left to torch:\n"
        "  named (Named): its class is derived from torch.nn.GRU; derive it from rondo.GRU\n"
        "  cells.0 (LSTMCell): Python runs its loop; write one step as a module with "
        "forward(x, state) and run it by rondo.Recurrent"
    )
    for part in report.replaced:
        assert type(model.get_submodule(part.path)) in PAIRS.values()
    empty = rondo.accelerate(nn.Linear(1, 1), report=True)[1]
    assert str(empty) == "run by Rondo:\n  nothing\nleft to torch:\n  nothing"


def test_one_warning_names_all_that_is_left() -> None:
    with pytest.warns(rondo.EngineWarning, match=r"named \(Named\)(.|\n)*cells\.0") as seen:
        rondo.accelerate(whole_model())
    assert len(seen) == 1


class Around(nn.Module):
    """A cell of Rondo's kind around one of torch's."""

    state_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.cell(x, h)
        return h, h


def test_what_rondo_runs_already_is_no_matter() -> None:
    model = nn.ModuleList([rondo.Recurrent(Around()), rondo.LSTM(3, 4), Subclassed(3, 4)])
    before = [type(part) for part in model.modules()]
    rondo.accelerate(model)  # a warning would be an error
    assert [type(part) for part in model.modules()] == before


class Subclassed(rondo.GRU):
    """What a subclass of torch's becomes by the advice that is given."""

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        y, hx = super().forward(input, hx)
        return -y, hx


def test_the_modules_are_swapped_in_place() -> None:
    model = nn.ModuleDict({"a": nn.Sequential(nn.LSTM(3, 4), nn.Linear(4, 2)), "b": nn.GRU(3, 4)})
    parameters, before = list(model.parameters()), copy.deepcopy(model)
    assert rondo.accelerate(model) is model
    assert type(model["a"][0]) is rondo.LSTM
    assert type(model["b"]) is rondo.GRU
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == list(before.state_dict())
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(model["b"](x)[0], before["b"](x)[0])
    assert type(rondo.accelerate(nn.RNN(1, 2))) is rondo.RNN


@pytest.mark.parametrize("hook", ["weight_norm", "spectral_norm", "prune"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_weights_that_hooks_make_before_each_call_are_those_that_run(hook: str) -> None:
    layer = nn.GRU(3, 4).double()
    if hook == "weight_norm":
        nn.utils.weight_norm(layer, "weight_hh_l0")
    elif hook == "spectral_norm":
        nn.utils.spectral_norm(layer, "weight_hh_l0", n_power_iterations=20)
    else:
        prune.random_unstructured(layer, "weight_hh_l0", 0.5)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    rondo.accelerate(layer)
    y, _ = layer(x)
    cell = rondo.GRUCell(3, 4).double()
    made = {name: getattr(layer, f"{name}_l0") for name, _ in cell.named_parameters()}
    expected, _ = torch.func.functional_call(
        rondo.Recurrent(cell, batch_first=False, engine="reference"),
        {f"cell.{name}": value for name, value in made.items()},
        (x,),
    )
    torch.testing.assert_close(y, expected)
    wanted = [p for p in layer.parameters() if p.requires_grad]
    for got, want in zip(
        torch.autograd.grad(y.sum(), wanted, retain_graph=True, allow_unused=True),
        torch.autograd.grad(expected.sum(), wanted, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


# ---- back to torch ----


def pickled(model: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(model))


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def by_state_dict(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    fresh.load_state_dict(torch.load(file))
    return fresh


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, saved, by_state_dict])
@pytest.mark.parametrize("cls", PAIRS)
def test_accelerated_and_restored_models_are_copied_and_saved(
    cls: type[nn.Module], copied: Callable[[nn.Module], nn.Module]
) -> None:
    model, x = nn.Sequential(cls(3, 4, bidirectional=True)), torch.randn(5, 2, 3)
    names, expected = list(model.state_dict()), model(x)[0]
    rondo.accelerate(model)
    torch.testing.assert_close(model(x)[0], expected)
    again = copied(model)
    assert type(again[0]) is PAIRS[cls]
    assert torch.equal(again(x)[0], model(x)[0])
    for one in (model, again):
        assert rondo.restore(one) is one
        assert type(one[0]) is cls
        assert "_rondo" not in vars(one[0])
        assert list(one.state_dict()) == names
        assert torch.equal(one(x)[0], expected)
    assert torch.equal(copied(model)(x)[0], expected)


def test_a_restored_model_trains_and_is_accelerated_again() -> None:
    model, x = rondo.accelerate(nn.Sequential(nn.LSTM(3, 4))), torch.randn(5, 2, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for turn in (rondo.restore, rondo.accelerate, rondo.restore):
        model(x)[0].square().sum().backward()
        optimizer.step()
        before = model(x)[0]
        turn(model)
        torch.testing.assert_close(model(x)[0], before)


def test_what_cannot_be_restored_is_named() -> None:
    own = rondo.GRU(3, 4)
    own.forward = rondo.GRU(3, 4).forward
    model = nn.ModuleDict({"a": Subclassed(3, 4), "b": own, "c": rondo.RNN(3, 4)})
    with pytest.warns(rondo.EngineWarning, match=r"a \(Subclassed\)\n  b \(GRU\)$") as seen:
        rondo.restore(model)
    assert len(seen) == 1
    assert [type(part) for part in model.values()] == [Subclassed, rondo.GRU, nn.RNN]


# ---- quantization, which knows torch's classes alone ----

DEPRECATED = "ignore:.*(quantization is|tensors with dtype .* are) deprecated"


@pytest.mark.filterwarnings(DEPRECATED)
@pytest.mark.parametrize("wanted", [None, {nn.LSTM}, {rondo.LSTM}], ids=str)
@pytest.mark.parametrize(
    "make", [lambda: rondo.accelerate(nn.LSTM(3, 8)), lambda: rondo.LSTM(3, 8)]
)
def test_quantization_never_skips_a_drop_in_without_a_word(
    make: Callable[[], nn.Module], wanted: set[type] | None
) -> None:
    model = nn.Sequential(make())
    words = r"rondo\.LSTM stays in .* call rondo\.restore\(model\)"
    with pytest.warns(UserWarning, match=words):
        quantize_dynamic(model, wanted)
    with pytest.warns(UserWarning, match=words) as seen:
        model[0].qconfig = torch.ao.quantization.default_dynamic_qconfig
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.filterwarnings(DEPRECATED)
def test_a_restored_model_is_quantized() -> None:
    model, x = nn.Sequential(rondo.LSTM(3, 8)), torch.randn(5, 2, 3)
    expected = model(x)[0]
    quantized = quantize_dynamic(rondo.restore(model), {nn.LSTM})
    assert "quantized" in type(quantized[0]).__module__
    torch.testing.assert_close(quantized(x)[0], expected, atol=0.05, rtol=0)
