"""A drop-in's call that was seen before: one look-up, one node, one call of C."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import rondo
from cases import CELLS, make_cell
from rondo.compiler.state import flatten
from rondo.layers import remembered, torch_compat

Pair = tuple[nn.Module, nn.Module]


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each call that goes the long way."""
    found: list[int] = []
    long_way = torch_compat._long_way

    def counted(*args: Any) -> Any:
        found.append(1)
        return long_way(*args)

    monkeypatch.setattr(torch_compat, "_long_way", counted)
    return found


def pair(kind: str = "GRU", input_size: int = 3, hidden_size: int = 5, **options: Any) -> Pair:
    """Torch's layer and ours, with the same weights in float64."""
    torch.manual_seed(0)
    plain = getattr(nn, kind)(input_size, hidden_size, **options).double()
    layer = getattr(rondo, kind)(input_size, hidden_size, **options).double()
    layer.load_state_dict(plain.state_dict())
    return plain, layer


def tensors_of(returned: Any) -> list[Tensor]:
    output, last = returned
    return [output, *(last if isinstance(last, tuple) else (last,))]


def trained(layer: nn.Module, x: Tensor, hx: Any = None) -> list[Tensor]:
    """The results of a call and all gradients."""
    x = x.detach().clone().requires_grad_()
    state = [] if hx is None else [h.detach().clone().requires_grad_() for h in hx]
    given = None if hx is None else state[0] if len(state) == 1 else tuple(state)
    results = tensors_of(layer(x, given))
    weights = [torch.linspace(-1, 2, r.numel(), dtype=r.dtype).view(r.shape) for r in results]
    loss = sum((result * weight).sum() for result, weight in zip(results, weights, strict=True))
    gradients = torch.autograd.grad(loss, [x, *state, *layer.parameters()])
    return [*results, *gradients]


def learned(layer: nn.Module, *args: Any) -> None:
    """Have a layer see a call twice."""
    layer(*args)
    layer(*args)


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


SHAPES = [
    ("RNN", {}, (1, 1)),
    ("RNN", {"nonlinearity": "relu", "bias": False}, (3, 4)),
    ("LSTM", {"proj_size": 2, "num_layers": 2}, (2, 3)),
    ("LSTM", {"bidirectional": True, "batch_first": True}, (4, 2)),
    ("GRU", {"num_layers": 3, "batch_first": True}, (1, 5)),
    ("GRU", {"num_layers": 2, "bidirectional": True}, (9, 7)),
]


@pytest.mark.parametrize("has_state", [False, True])
@pytest.mark.parametrize(("kind", "options", "sizes"), SHAPES)
def test_a_call_seen_before_gives_what_torch_gives(
    kind: str,
    options: dict[str, Any],
    sizes: tuple[int, int],
    has_state: bool,
    long_ways: list[int],
) -> None:
    plain, layer = pair(kind, **options)
    batch_size = sizes[1]
    first = sizes[::-1] if options.get("batch_first") else sizes
    x = torch.randn(*first, 3, dtype=torch.float64)
    num = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    widths = [options.get("proj_size", 5), 5][: 2 if kind == "LSTM" else 1]
    hx = [torch.randn(num, batch_size, w, dtype=torch.float64) for w in widths]
    state = hx if has_state else None
    for _ in range(2):
        trained(layer, x, state)
    long_ways.clear()
    assert_same(trained(layer, x, state), trained(plain, x, state))
    given = None if state is None else hx[0] if len(hx) == 1 else tuple(hx)
    with torch.no_grad():
        learned(layer, x, given)
        long_ways.clear()
        assert_same(tensors_of(layer(x, given)), tensors_of(plain(x, given)))
    assert not long_ways


def test_rows_without_a_batch(long_ways: list[int]) -> None:
    plain, layer = pair("LSTM")
    x, hx = torch.randn(4, 3, dtype=torch.float64), [torch.randn(1, 5, dtype=torch.float64)] * 2
    trained(layer, x, hx), trained(layer, x, hx)
    long_ways.clear()
    assert_same(trained(layer, x, hx), trained(plain, x, hx))
    assert not long_ways


# ---- weights that change ----


def in_place(layer: nn.Module) -> None:
    with torch.no_grad():
        layer.weight_hh_l0.mul_(0.5)


def by_data(layer: nn.Module) -> None:
    layer.weight_ih_l0.data.mul_(-1)


def other_data(layer: nn.Module) -> None:
    layer.weight_hh_l0.data = layer.weight_hh_l0.detach() * 0.3


def turned_data(layer: nn.Module) -> None:
    layer.weight_hh_l0.data = layer.weight_hh_l0.detach().t().contiguous().t()


def by_numpy(layer: nn.Module) -> None:
    layer.bias_hh_l0.detach().numpy()[1] = 3


def by_a_fused_optimizer(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.Adam(layer.parameters(), lr=0.1, fused=True).step()


def by_a_state_dict(layer: nn.Module) -> None:
    layer.load_state_dict({name: 0.7 * value for name, value in layer.state_dict().items()})


def replaced(layer: nn.Module) -> None:
    layer.weight_ih_l0 = nn.Parameter(layer.weight_ih_l0.detach() * 2)


def of_another_type(layer: nn.Module) -> None:
    layer.float()


def there_and_back(layer: nn.Module) -> None:
    layer.float().double()


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        *(in_place, by_data, other_data, turned_data, by_numpy, by_a_fused_optimizer),
        *(by_a_state_dict, replaced, of_another_type, there_and_back),
    ],
)
def test_changed_weights_are_noticed(change: Callable[[nn.Module], None], grad: bool) -> None:
    plain, layer = pair("RNN", 5, 5)
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        learned(layer, x)
        layer(x)
        for one in (plain, layer):
            change(one)
        x = x.to(layer.weight_ih_l0.dtype)
        for _ in range(3):
            assert_same(tensors_of(layer(x)), tensors_of(plain(x)))


# ---- what leads off the short way ----


class Seeing(TorchDispatchMode):
    """A mode that sees every operator."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Watching(TorchFunctionMode):
    """A mode that sees every function."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


def in_vmap(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.vmap(lambda one: layer(one)[0])(torch.stack([x, -x]))


def captured_in_vmap(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.vmap(lambda one: one * layer(x)[0].sum())(torch.arange(3.0).double())


def in_grad(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.func.grad(lambda one: layer(one)[0].sum())(x)


def in_forward_mode(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        return torch.autograd.forward_ad.unpack_dual(layer(dual)[0]).tangent


def in_a_dispatch_mode(layer: nn.Module, x: Tensor) -> Tensor:
    with Seeing() as mode:
        result = layer(x)[0]
    assert mode.seen
    return result


def in_a_function_mode(layer: nn.Module, x: Tensor) -> Tensor:
    with Watching() as mode:
        result = layer(x)[0]
    assert mode.seen
    return result


def in_autocast(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(x)[0].double()


def in_inference_mode(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        result = layer(x)[0]
        assert result.is_inference()
    return result


def of_a_subclass(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.as_subclass(Marked))[0].as_subclass(Tensor)


class Marked(Tensor):
    """A tensor of another class."""


def without_numbers(layer: nn.Module, x: Tensor) -> Tensor:
    meta = copy.deepcopy(layer).to("meta")
    return torch.zeros(meta(x.to("meta"))[0].shape)


def in_pieces(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.transpose(0, 1).contiguous().transpose(0, 1))[0]


def negative(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(torch._neg_view(x))[0]


def with_saved_tensor_hooks(layer: nn.Module, x: Tensor) -> Tensor:
    packed: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (packed.append(t), t)[1], lambda t: t):
        result = layer(x)[0]
    assert packed
    return result


def parametrized(layer: nn.Module, x: Tensor) -> Tensor:
    class Halved(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight / 2

    parametrize.register_parametrization(layer, "weight_hh_l0", Halved())
    return layer(x)[0]


def called_with_others(layer: nn.Module, x: Tensor) -> Tensor:
    others = {name: value * 0.5 for name, value in layer.named_parameters()}
    return torch.func.functional_call(layer, others, (x,))[0]


def frozen(layer: nn.Module, x: Tensor) -> Tensor:
    layer.weight_hh_l0.requires_grad_(False)
    result = layer(x)[0]
    result.sum().backward()
    assert layer.weight_hh_l0.grad is None
    return torch.cat([result.flatten(), layer.weight_ih_l0.grad.flatten()])


@pytest.mark.parametrize(
    "use",
    [
        *(in_vmap, captured_in_vmap, in_grad, in_forward_mode, in_a_dispatch_mode),
        *(in_a_function_mode, in_autocast, in_inference_mode, of_a_subclass, without_numbers),
        *(in_pieces, negative, with_saved_tensor_hooks, parametrized, called_with_others, frozen),
    ],
)
def test_what_else_may_happen_to_a_call_seen_before(
    use: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    layer = rondo.GRU(3, 5).double()
    fresh = copy.deepcopy(layer)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    learned(layer, x)
    torch.testing.assert_close(use(layer, x), use(fresh, x))


def test_wrong_input_is_refused_as_before() -> None:
    layer = rondo.GRU(3, 5)
    x = torch.randn(2, 4, 3)
    learned(layer, x)
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        layer(x, torch.zeros(1, 3, 5))
    with pytest.raises(RuntimeError, match=r"input\.size"):
        layer(torch.randn(2, 4, 4))
    with pytest.raises(ValueError, match="dtype"):
        layer(x.double())


def test_settings_that_change_are_noticed() -> None:
    plain, layer = pair("GRU", num_layers=2)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    learned(layer, x)
    plain.batch_first = layer.batch_first = True
    assert_same(tensors_of(layer(x)), tensors_of(plain(x)))
    plain.dropout = layer.dropout = 1.0
    for _ in range(3):
        assert_same(tensors_of(layer(x)), tensors_of(plain(x)))
    layer.eval(), plain.eval()
    for _ in range(3):
        assert_same(tensors_of(layer(x)), tensors_of(plain(x)))


def test_hooks_on_weights_are_called() -> None:
    layer, seen = rondo.GRU(3, 5), []
    x = torch.randn(2, 4, 3)
    learned(layer, x)
    layer.weight_hh_l0.register_hook(lambda gradient: seen.append(gradient))
    layer(x)[0].sum().backward()
    torch.testing.assert_close(seen[0], layer.weight_hh_l0.grad)


# ---- graphs ----


def test_two_graphs_live_at_the_same_time(long_ways: list[int]) -> None:
    plain, layer = pair("LSTM", num_layers=2)
    inputs = [torch.randn(2, 3, 3, dtype=torch.float64) for _ in range(2)]
    learned(layer, inputs[0])
    long_ways.clear()
    found = []
    for one in (layer, plain):
        first, second = (one(x)[0].square().sum() for x in inputs)
        parameters = list(one.parameters())
        later = torch.autograd.grad(second, parameters, retain_graph=True)
        sooner = torch.autograd.grad(first, parameters)
        found.append([*later, *sooner, *torch.autograd.grad(second, parameters)])
    assert_same(*found)
    assert not long_ways


def test_weights_that_change_before_the_backward_pass_are_refused() -> None:
    layer, x = rondo.GRU(3, 5), torch.randn(2, 4, 3)
    learned(layer, x)
    loss = layer(x)[0].sum()
    in_place(layer)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_graph_is_gone_after_its_backward_pass() -> None:
    layer, x = rondo.GRU(3, 5), torch.randn(2, 4, 3)
    learned(layer, x)
    loss = layer(x)[0].sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_gradients_of_one_result_alone(wanted: int, long_ways: list[int]) -> None:
    plain, layer = pair("LSTM", num_layers=2, bidirectional=True)
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    learned(layer, x)
    long_ways.clear()
    found = []
    for one in (layer, plain):
        result = tensors_of(one(x))[wanted]
        found.append(list(torch.autograd.grad(result.square().sum(), list(one.parameters()))))
    assert_same(*found)
    assert not long_ways


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_second_derivatives(kind: str, options: dict[str, Any]) -> None:
    _, layer = pair(kind, 2, 2, **options)
    x = torch.randn(2, 1, 2, dtype=torch.float64, requires_grad=True)
    learned(layer, x)
    weights = list(layer.parameters())[:2]

    def called(x: Tensor, *_: Tensor) -> Tensor:
        return layer(x)[0]

    assert torch.autograd.gradgradcheck(called, (x, *weights))


def test_several_gradients_at_once() -> None:
    plain, layer = pair("GRU", num_layers=2)
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    learned(layer, x)
    seeds = torch.eye(10, dtype=torch.float64).view(10, 2, 1, 5)
    found = torch.autograd.grad(layer(x)[0], list(layer.parameters()), seeds, is_grads_batched=True)
    expected = [
        torch.stack(rows)
        for rows in zip(
            *(torch.autograd.grad(plain(x)[0], list(plain.parameters()), seed) for seed in seeds),
            strict=True,
        )
    ]
    assert_same(list(found), expected)


def test_threads_in_the_same_layer(long_ways: list[int]) -> None:
    plain, layer = pair("LSTM", 8, 16, num_layers=2)
    inputs = [torch.randn(3, 2, 8, dtype=torch.float64) for _ in range(4)]
    expected = [trained(plain, x) for x in inputs]
    trained(layer, inputs[0]), trained(layer, inputs[0])
    long_ways.clear()
    found: list[list[list[Tensor]]] = [[] for _ in inputs]

    def work(number: int) -> None:
        for _ in range(20):
            found[number].append(trained(layer, inputs[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, one in zip(found, expected, strict=True):
        assert len(results) == 20
        for result in results:
            assert_same(result, one)
    assert not long_ways


# ---- what is kept ----


def test_a_layer_goes_with_its_last_reference() -> None:
    layer, x = rondo.GRU(3, 5), torch.randn(2, 4, 3)
    learned(layer, x)
    layer(x)[0].sum().backward()
    gone = weakref.ref(layer)
    gc.disable()
    try:
        del layer
        assert gone() is None
    finally:
        gc.enable()


def test_copies_and_pickles_begin_anew() -> None:
    layer, x = rondo.GRU(3, 5), torch.randn(2, 4, 3)
    learned(layer, x)
    expected = layer(x)[0]
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert "_rondo" not in vars(other)
        for _ in range(3):
            torch.testing.assert_close(other(x)[0], expected)


def test_what_is_remembered_can_be_let_go(long_ways: list[int]) -> None:
    layer, x = rondo.GRU(3, 5), torch.randn(2, 4, 3)
    learned(layer, x)
    rondo.clear_cache()
    long_ways.clear()
    layer(x)
    assert long_ways


def test_a_layer_remembers_so_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MAX_REMEMBERED", 4)
    layer = rondo.GRU(3, 5)
    for num_steps in range(1, 12):
        learned(layer, torch.randn(num_steps, 2, 3))
    memory = layer.__dict__["_rondo"][1].memory
    assert 0 < len(memory.found) <= len(memory.seen) <= 4


# ---- cells of any kind ----


def looped(cell: nn.Module, **options: Any) -> tuple[rondo.Recurrent, rondo.Recurrent]:
    """The plain loop over a cell, and the layer."""
    return rondo.Recurrent(cell, engine="plain", **options), rondo.Recurrent(cell, **options)


def trained_loop(layer: rondo.Recurrent, x: Tensor, state: Any = None) -> list[Tensor]:
    """The results of a call of a loop, and the gradients of x, the state and the weights."""
    x = x.detach().clone().requires_grad_()
    given, form = ([], None) if state is None else flatten(state)
    leaves = [leaf.detach().clone().requires_grad_() for leaf in given]
    output, last = layer(x, None if form is None else form.unflatten(leaves))
    results = [output, *flatten(last)[0]]
    weights = [torch.linspace(-1, 2, r.numel(), dtype=r.dtype).view(r.shape) for r in results]
    loss = sum((result * weight).sum() for result, weight in zip(results, weights, strict=True))
    wanted = [x, *leaves, *layer.parameters()]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return [*results, *gradients]


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_gives_the_same_when_it_was_seen_before(name: str) -> None:
    plain, layer = looped(make_cell(name, 3, 5, torch.float64))
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    expected = trained_loop(plain, x)
    for _ in range(3):
        assert_same(trained_loop(layer, x), expected)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(layer(x), plain(x))


COMMON_CELLS = ["gru", "lstm", "elman"]


@pytest.fixture
def long_loops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each call of a loop that goes the long way."""
    found: list[int] = []
    long_way = rondo.Recurrent._long_way

    def counted(*args: Any, **options: Any) -> Any:
        found.append(1)
        return long_way(*args, **options)

    monkeypatch.setattr(rondo.Recurrent, "_long_way", counted)
    return found


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"batch_first": False}])
@pytest.mark.parametrize("name", COMMON_CELLS)
def test_loops_take_the_short_way(
    name: str, options: dict[str, Any], long_loops: list[int]
) -> None:
    plain, layer = looped(make_cell(name, 3, 5, torch.float64), **options)
    x, state = torch.randn(2, 4, 3, dtype=torch.float64), None
    for _ in range(2):
        for _ in range(2):
            trained_loop(layer, x, state)
        long_loops.clear()
        found = trained_loop(layer, x, state)
        assert not long_loops
        assert_same(found, trained_loop(plain, x, state))
        state = layer(x)[1]


class Scaled(nn.Module):
    """A cell with a number, a list and a learned initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, dtype=torch.float64))
        self.begin = nn.Parameter(torch.randn(4, dtype=torch.float64))
        self.scale, self.offsets = 1.0, [0.5, 2.0]

    def initial_state(self, batch_size: int) -> Tensor:
        return self.begin.expand(batch_size, 4).contiguous()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(h @ self.weight * self.scale + x + self.offsets[1])
        return h, h


def change_number(cell: Scaled) -> None:
    cell.scale = 0.25


def change_list(cell: Scaled) -> None:
    cell.offsets[1] = -1.0


def change_weight(cell: Scaled) -> None:
    cell.weight.data.neg_()


def replace_weight(cell: Scaled) -> None:
    cell.weight = nn.Parameter(cell.weight.detach() * 2)


def change_begin(cell: Scaled) -> None:
    cell.begin.detach().numpy()[...] = 0.3


def hook(cell: Scaled) -> None:
    cell.register_forward_hook(lambda module, args, result: (result[0] * 2, result[1]))


@pytest.mark.parametrize(
    "change",
    [change_number, change_list, change_weight, replace_weight, change_begin, hook],
)
def test_what_changes_of_a_cell_is_noticed(change: Callable[[Scaled], None]) -> None:
    cell = Scaled()
    plain, layer = looped(cell)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    for _ in range(3):
        trained_loop(layer, x)
    change(cell)
    for _ in range(3):
        assert_same(trained_loop(layer, x), trained_loop(plain, x))


def test_a_random_initial_state_is_drawn_once_a_call() -> None:
    class Drawn(rondo.GRUCell):
        def initial_state(self, batch_size: int) -> Tensor:
            return torch.randn(batch_size, 5)

    layer, x = rondo.Recurrent(Drawn(3, 5)), torch.randn(2, 4, 3)
    for number in range(4):
        torch.manual_seed(number)
        found = layer(x if number < 3 else x.clone().requires_grad_())[1]
        torch.manual_seed(number)
        torch.testing.assert_close(found, layer(x, torch.randn(2, 5))[1])


def test_second_derivatives_of_a_loop() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(2, 2).double())
    x = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        layer(x)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))
