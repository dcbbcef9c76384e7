"""`rondo.RNN`, `rondo.LSTM`, `rondo.GRU` beside torch's, by torch's own inputs and by more."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.testing._internal.common_modules import module_db
from torch.utils import _pytree as pytree

import rondo
from rondo.layers import torch_compat

PAIRS = {nn.RNN: rondo.RNN, nn.LSTM: rondo.LSTM, nn.GRU: rondo.GRU}
CLASSES = list(PAIRS)


def torch_cases(kind: str) -> list[Any]:
    """What torch tests its own modules with: class and case."""
    found = []
    for info in module_db:
        if info.module_cls in PAIRS:
            function = getattr(info, f"module_{kind}_func")
            cases = function(
                info, device="cpu", dtype=torch.float64, requires_grad=True, training=True
            )
            for number, case in enumerate(cases):
                name = f"{info.module_cls.__name__}-{number}"
                found.append(pytest.param(info.module_cls, case, id=name))
    return found


def pair(cls: type, *args: Any, **kwargs: Any) -> tuple[nn.Module, nn.Module]:
    """Rondo's module and torch's with the same weights, in float64."""
    theirs = cls(*args, **kwargs).double()
    ours = PAIRS[cls](*args, **kwargs).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def outcomes(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Everything that a call gives, then the gradients of all that it depends on, twice."""
    leaves, form = pytree.tree_flatten((args, kwargs))
    leaves = [
        leaf.detach().clone().requires_grad_() if isinstance(leaf, Tensor) else leaf
        for leaf in leaves
    ]
    args, kwargs = pytree.tree_unflatten(leaves, form)
    results = [r for r in pytree.tree_leaves(module(*args, **kwargs)) if isinstance(r, Tensor)]
    inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)] + list(module.parameters())
    torch.manual_seed(4)
    loss = sum((r * torch.randn_like(r)).sum() for r in results)
    gradients = torch.autograd.grad(loss, inputs, create_graph=True)
    second = sum((g * torch.randn_like(g)).sum() for g in gradients)
    twice = torch.autograd.grad(second, inputs, materialize_grads=True, allow_unused=True)
    return [*results, *gradients, *twice]


@pytest.mark.parametrize(("cls", "case"), torch_cases("inputs"))
def test_torchs_own_inputs(cls: type, case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, gradients and second gradients are torch's; without kernels to compile for each."""
    ours, theirs = pair(cls, *case.constructor_input.args, **case.constructor_input.kwargs)
    monkeypatch.setattr(torch_compat, "ENGINE", "reference")
    given = case.forward_input.args, case.forward_input.kwargs
    for a, b in zip(outcomes(ours, *given), outcomes(theirs, *given), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("cls", "case"), torch_cases("error_inputs"))
def test_torchs_own_errors(cls: type, case: Any) -> None:
    """Wrong inputs fail with torch's error and text."""
    made = case.module_error_input

    def run() -> None:
        module = PAIRS[cls](*made.constructor_input.args, **made.constructor_input.kwargs)
        module(*made.forward_input.args, **made.forward_input.kwargs)

    with pytest.raises(case.error_type, match=case.error_regex):
        run()


@pytest.mark.parametrize("cls", CLASSES)
def test_every_argument(cls: type) -> None:
    """Layers, directions, no bias, unsorted packed sequences with a state."""
    options = {"num_layers": 2, "bidirectional": True, "bias": False}
    if cls is nn.LSTM:
        options["proj_size"] = 3
    ours, theirs = pair(cls, 4, 5, **options)
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    packed = pack_padded_sequence(x, torch.tensor([2, 7, 4]), enforce_sorted=False)
    h = torch.randn(4, 3, 3 if cls is nn.LSTM else 5, dtype=torch.float64)
    hx: Any = (h, torch.randn(4, 3, 5, dtype=torch.float64)) if cls is nn.LSTM else h
    for given in ((packed,), (packed, hx), (x, hx), (x[:, 0],)):
        got, expected = ours(*given), theirs(*given)
        if isinstance(got[0], PackedSequence):
            assert torch.equal(got[0].unsorted_indices, expected[0].unsorted_indices)
            got, expected = (got[0].data, got[1]), (expected[0].data, expected[1])
        for a, b in zip(pytree.tree_leaves(got), pytree.tree_leaves(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cls", CLASSES)
def test_dropout_between_layers(cls: type) -> None:
    ours, theirs = pair(cls, 3, 4, num_layers=2, dropout=0.5)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    torch.testing.assert_close(ours.eval()(x)[0], theirs.eval()(x)[0])


@pytest.mark.parametrize("cls", CLASSES)
def test_copies_pickles_and_moves(cls: type) -> None:
    ours = PAIRS[cls](3, 4)
    x = torch.randn(5, 2, 3)
    expected = ours(x)[0]
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(copied(x)[0], expected)
        assert "_rondo" not in copied.__getstate__()
    assert repr(ours) == repr(cls(3, 4))
    assert list(ours.state_dict()) == list(cls(3, 4).state_dict())
    assert ours.double()(x.double())[0].dtype == torch.float64


def test_weight_norm_is_followed() -> None:
    ours, theirs = pair(nn.GRU, 3, 4)
    for module in (ours, theirs):
        nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    with torch.no_grad():
        for module in (ours, theirs):
            module.parametrizations.weight_hh_l0.original0.mul_(2)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    ours(x)[0].sum().backward()
    assert ours.parametrizations.weight_hh_l0.original0.grad is not None


# ---- where torch.nn fails ----


@pytest.mark.parametrize("cls", CLASSES)
def test_no_steps(cls: type) -> None:
    y, state = PAIRS[cls](3, 4, num_layers=2)(torch.zeros(0, 2, 3))
    assert y.shape == (0, 2, 4)
    for leaf in pytree.tree_leaves(state):
        assert torch.equal(leaf, torch.zeros(2, 2, 4))


@pytest.mark.parametrize("cls", CLASSES)
def test_vmap(cls: type) -> None:
    ours, _ = pair(cls, 3, 4)
    x = torch.randn(6, 5, 2, 3, dtype=torch.float64)
    together = torch.func.vmap(lambda one: ours(one)[0])(x)
    for one, y in zip(x, together, strict=True):
        torch.testing.assert_close(y, ours(one)[0])


@pytest.mark.parametrize("cls", CLASSES)
def test_per_sample_gradients(cls: type) -> None:
    ours, _ = pair(cls, 3, 4)
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    weights = dict(ours.named_parameters())

    def loss(weights: dict[str, Tensor], one: Tensor) -> Tensor:
        return torch.func.functional_call(ours, weights, (one,))[0].square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for number, one in enumerate(x):
        expected = torch.autograd.grad(loss(weights, one), list(weights.values()))
        for gradient, name in zip(expected, weights, strict=True):
            torch.testing.assert_close(per_sample[name][number], gradient)


@pytest.mark.parametrize("cls", CLASSES)
def test_forward_mode(cls: type) -> None:
    ours, _ = pair(cls, 3, 4)
    x, direction = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    _, slope = torch.func.jvp(lambda x: ours(x)[0], (x,), (direction,))
    step = 1e-6
    numeric = (ours(x + step * direction)[0] - ours(x - step * direction)[0]) / (2 * step)
    torch.testing.assert_close(slope, numeric, rtol=1e-6, atol=1e-8)
