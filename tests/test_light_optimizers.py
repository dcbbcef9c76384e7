"""Optimisers that do not load TorchDynamo, and are otherwise those of torch."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from commands import STUCK_S
from rondo.training import light_optimizers
from rondo.training.light_optimizers import light

KINDS = {
    "adam": (torch.optim.Adam, {"lr": 0.1, "fused": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.9}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
}


@pytest.fixture(params=[False, True], ids=["alone", "dynamo"])
def has_dynamo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether TorchDynamo counts as loaded; another test may have loaded it."""
    monkeypatch.setattr(light_optimizers, "_is_loaded", lambda: request.param)
    return bool(request.param)


def trained(optimizer: Optimizer, weight: nn.Parameter, num_steps: int) -> Tensor:
    """The weight after some steps on a loss of its own."""
    for step in range(num_steps):
        optimizer.zero_grad()
        (weight.square() * (step + 1)).sum().backward()
        optimizer.step()
    return weight.detach().clone()


def made(kind: type[Optimizer], options: dict[str, Any]) -> tuple[Optimizer, nn.Parameter]:
    weight = nn.Parameter(torch.linspace(-1, 2, 7))
    return kind([weight], **options), weight


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("has_dynamo")
def test_steps_and_state_are_those_of_torch(name: str) -> None:
    kind, options = KINDS[name]
    assert light(kind) is not kind, "it does not work on this version of torch; see TRIED"
    plain, light_one = made(kind, options), made(light(kind), options)
    assert torch.equal(trained(*plain, 3), trained(*light_one, 3))
    state = copy.deepcopy(light_one[0].state_dict())
    assert str(state) == str(plain[0].state_dict())
    resumed, weight = made(light(kind), options)
    resumed.load_state_dict(state)
    with torch.no_grad():
        weight.copy_(light_one[1])
    assert torch.equal(trained(resumed, weight, 2), trained(*plain, 2))


@pytest.mark.usefixtures("has_dynamo")
def test_a_closure_has_gradients_and_the_mode_is_as_before() -> None:
    optimizer, weight = made(light(torch.optim.SGD), {"lr": 0.1})

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    before = weight.detach().clone()
    assert optimizer.step(closure) == before.square().sum()
    assert torch.allclose(weight, 0.8 * before)
    assert torch.is_grad_enabled()
    with torch.no_grad():
        optimizer.step()
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.usefixtures("has_dynamo")
def test_hooks_run_once(is_used: bool) -> None:
    """Torch puts hooks around the step of a class when the first optimiser of it is made."""
    kind = type("Own", (torch.optim.SGD,), {"step": torch.optim.SGD.step})
    if is_used:
        made(kind, {"lr": 0.1})
    optimizer, weight = made(light(kind), {"lr": 0.1})
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    trained(optimizer, weight, 2)
    assert calls == ["before", "after"] * 2


@pytest.mark.parametrize("version", ["2.14.0", "3.0.0+cpu"])
def test_on_a_torch_that_was_not_tried_the_class_is_that_of_torch(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    kind = type("Own", (torch.optim.SGD,), {})
    assert light(kind) is kind


def test_where_methods_are_wrapped_in_another_way_the_class_is_that_of_torch() -> None:
    def zero_grad(self: Optimizer, set_to_none: bool = True) -> None:
        """One that is not wrapped."""

    kind = type("Own", (torch.optim.SGD,), {"zero_grad": zero_grad})
    assert light(kind) is kind


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_under_torch_compile_it_is_as_torch() -> None:
    """A step that is compiled with its optimiser, which loads TorchDynamo."""
    found = []
    for kind in (torch.optim.Adam, light(torch.optim.Adam)):
        optimizer, weight = made(kind, {"lr": 0.1})

        def step(optimizer: Optimizer = optimizer, weight: nn.Parameter = weight) -> None:
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()

        compiled = torch.compile(step, backend="eager")
        step()  # before and after
        compiled()
        compiled()
        found.append(weight.detach().clone())
    assert torch.equal(*found)
    torch._dynamo.reset()


def test_a_training_does_not_load_dynamo(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from rondo.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'sympy', 'triton', 'matplotlib', 'scipy',"
        " 'tensorboard', 'lightning'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "sys.exit(code)\n"
    )
    words = [
        "train",
        "adding",
        "--length",
        "20",
        "--hidden-size",
        "4",
        "--sequences",
        "64",
        "--threads",
        "1",
    ]
    words += ["--set", "recipe.averaging_decay=0.9", "--run", str(tmp_path / "run")]
    words += ["--report", "false"]  # the report needs Matplotlib, after the training
    subprocess.run([sys.executable, "-c", code, *words], check=True, timeout=STUCK_S)
    assert (tmp_path / "run" / "model.safetensors").is_file()
