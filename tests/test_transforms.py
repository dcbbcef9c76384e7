"""The layers in graphs of torch (`torch.compile`, `torch.export`), on jagged input, all states."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

import rondo
from cases import CELLS, make_cell, slow_beyond
from commands import STUCK_S
from rondo.compiler import operators
from test_conformance import make_case

SIZES = [(2, 3), (3, 5), (7, 4)]  # batch_size, num_steps; two that differ make sizes dynamic
MODES = ["dense", "lengths", "resets"]
DROP_INS = {"rnn": rondo.RNN, "lstm": rondo.LSTM, "gru": rondo.GRU}


class Model(nn.Module):
    """A recurrent layer with something behind it."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 2)

    def forward(self, x: Tensor, lengths: Any = None, resets: Any = None) -> tuple[Tensor, Any]:
        given = {"lengths": lengths, "resets": resets}
        y, state = self.layer(x, **{k: v for k, v in given.items() if v is not None})
        return self.head(y), state


def recurrent_model(name: str, **options: Any) -> Model:
    cell = make_cell(name, 3, 4, torch.float32)
    width = cell(torch.zeros(1, 3), rondo.cells.initial_state(cell, torch.zeros(1, 3)))[0].shape[1]
    return Model(rondo.Recurrent(cell, **options), width)


def drop_in_model(name: str) -> Model:
    return Model(DROP_INS[name](3, 4, num_layers=2, bidirectional=True, batch_first=True), 8)


def arguments(mode: str, batch_size: int, num_steps: int) -> tuple[Any, ...]:
    x = torch.randn(batch_size, num_steps, 3)
    if mode == "lengths":
        return x, torch.randint(0, num_steps + 1, (batch_size,))
    if mode == "resets":
        return x, None, torch.rand(batch_size, num_steps) < 0.3
    return (x,)


def results(model: nn.Module, weights: nn.Module, given: tuple[Any, ...]) -> list[Tensor]:
    """Output, last state, every gradient."""
    x = given[0].clone().requires_grad_()
    y, state = model(x, *given[1:])
    leaves = pytree.tree_leaves(state)
    loss = y.square().sum() + sum((leaf * leaf.cos()).sum() for leaf in leaves)
    return [y, *leaves, *torch.autograd.grad(loss, [x, *weights.parameters()], allow_unused=True)]


def assert_same(got: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)


# ---- torch.compile ----


@pytest.fixture
def fresh_dynamo() -> Any:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        yield
    torch._dynamo.reset()


def check_compiled(model: Model, mode: str, backend: str) -> None:
    """One graph, in training and without gradients, that new sizes do not compile again."""
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for number, size in enumerate(SIZES):
        given = arguments(mode, *size)
        assert_same(results(compiled, model, given), results(model, model, given))
        with torch.no_grad():
            got, expected = (pytree.tree_leaves(m(*given)) for m in (compiled, model))
        assert_same(got, expected)
        assert counter.frame_count <= 2 * min(number + 1, 2)  # static, then dynamic


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param("normalised-weight", "resets", marks=pytest.mark.slow),
        ("lstm", "lengths"),
        *(pytest.param("elman", mode, marks=pytest.mark.slow) for mode in MODES),
    ],
)
@pytest.mark.usefixtures("fresh_dynamo")
def test_torch_compile(name: str, mode: str) -> None:
    check_compiled(recurrent_model(name, engine="reference"), mode, "aot_eager")


@pytest.mark.parametrize("name", slow_beyond(DROP_INS, ["lstm"]))
@pytest.mark.usefixtures("fresh_dynamo")
def test_torch_compile_of_the_drop_ins(name: str) -> None:
    check_compiled(drop_in_model(name), "dense", "aot_eager")


@pytest.mark.parametrize("mode", slow_beyond(["dense", "lengths", "resets"], ["lengths"]))
@pytest.mark.usefixtures("fresh_dynamo")
def test_torch_compile_with_checkpoints(mode: str) -> None:
    every = "auto" if mode == "lengths" else 2
    model = recurrent_model("gru", engine="reference", checkpoint_every=every)
    check_compiled(model, mode, "aot_eager")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("fresh_dynamo")
def test_torch_compile_with_inductor(mode: str) -> None:
    check_compiled(recurrent_model("gru", reverse=True), mode, "inductor")


class WithConstants(rondo.Cell):
    """A step that reads a number of the module, and tensors from outside it."""

    outside = torch.tensor([1.0, 2.0, 3.0])

    def __init__(self) -> None:
        super().__init__(2, 3)
        self.U, self.W, self.scale = nn.Linear(2, 3), nn.Linear(3, 3), 2.0

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.U(x) + self.W(h) * self.outside + torch.tensor([0.1, 0.2, 0.3]))
        return h * self.scale, h


@pytest.mark.usefixtures("fresh_dynamo")
def test_a_compiled_graph_follows_what_the_step_reads() -> None:
    cell = WithConstants()
    layer = rondo.Recurrent(cell, engine="reference")
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 4, 2)
    torch.testing.assert_close(compiled(x), layer(x))
    cell.scale = 3.0
    torch.testing.assert_close(compiled(x), layer(x))
    cell.W.requires_grad_(False)
    compiled(x)[0].sum().backward()
    assert cell.W.weight.grad is None
    assert cell.U.weight.grad is not None


class Mixing(rondo.Cell):
    """A step whose rows see each other."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.W = nn.Linear(2, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.W(h) + x - x.mean(0))
        return h, h


@pytest.mark.usefixtures("fresh_dynamo")
def test_a_cell_that_mixes_rows_is_kept_out_of_graphs() -> None:
    layer = rondo.Recurrent(Mixing())
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 4, 2)
    message = "cannot take Mixing into a graph: .*torch.compiler.disable"
    with pytest.raises(Exception, match=message):
        compiled(x)
    with pytest.raises(ValueError, match=message):
        torch.export.export(layer, (x,))


@pytest.mark.usefixtures("fresh_dynamo")
def test_wrong_lengths_in_a_compiled_graph() -> None:
    layer = rondo.Recurrent(rondo.ElmanCell(2, 3), engine="reference")
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match="between 0 and T = 4, got 5"):
        compiled(torch.zeros(2, 4, 2), lengths=torch.tensor([5, 1]))


# ---- torch.export ----


def exported(model: nn.Module, mode: str, **options: Any) -> torch.export.ExportedProgram:
    rows, steps = torch.export.Dim("B"), torch.export.Dim("T")
    shapes = ({0: rows, 1: steps}, {0: rows}, {0: rows, 1: steps})
    given = arguments(mode, 2, 5)
    shapes = tuple(
        None if value is None else shape for value, shape in zip(given, shapes, strict=False)
    )
    return torch.export.export(model, given, dynamic_shapes=shapes, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strict", [False, True])
def test_torch_export(mode: str, strict: bool) -> None:
    model = recurrent_model("lstm", engine="reference")
    module = exported(model, mode, strict=strict).module()
    for size in [*SIZES, (1, 9)]:
        given = arguments(mode, *size)
        assert_same(pytree.tree_leaves(module(*given)), pytree.tree_leaves(model(*given)))
    module(*given)[0].sum().backward()
    model(*given)[0].sum().backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


@pytest.mark.parametrize("name", DROP_INS)
def test_torch_export_of_the_drop_ins(name: str) -> None:
    model = drop_in_model(name)
    module = exported(model, "dense").module()
    for size in SIZES:
        given = arguments("dense", *size)
        assert_same(pytree.tree_leaves(module(*given)), pytree.tree_leaves(model(*given)))
    assert model.layer(given[0])[0].requires_grad  # nothing of the trace stays in the layer


def test_a_gradient_that_was_not_exported_is_refused() -> None:
    model = recurrent_model("elman", engine="reference")
    (x,) = arguments("dense", 2, 3)
    with torch.no_grad():
        for_prediction = exported(model, "dense").module()
    with pytest.raises(RuntimeError, match="exported for inputs and parameters of which some need"):
        for_prediction(x)[0].sum().backward()
    for_weights = exported(model, "dense").module()
    with pytest.raises(RuntimeError, match="exported for inputs and parameters of which some need"):
        for_weights(x.requires_grad_())[0].sum().backward()


def test_a_saved_program_needs_its_cell_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recurrent_model("gru", engine="reference")
    file = io.BytesIO()
    torch.export.save(exported(model, "dense"), file)
    file.seek(0)
    (x,) = arguments("dense", 3, 4)
    expected, _ = model(x)
    monkeypatch.setattr(operators, "PROGRAMS", {})  # as in a new process
    loaded = torch.export.load(file).module()
    with pytest.raises(RuntimeError, match="no cell was compiled to the program reference-cpu-"):
        loaded(x)
    recurrent_model("gru", engine="reference")(x)
    torch.testing.assert_close(loaded(x)[0], expected)


LOAD_ELSEWHERE = """
import sys, torch, rondo
x, expected = torch.load(sys.argv[2], weights_only=True)
layer = rondo.Recurrent(rondo.GRUCell(3, 4))  # brings the operator that the saved graph names
loaded = torch.export.load(sys.argv[1]).module()
with torch.set_grad_enabled(sys.argv[3] == "True"):
    try:
        loaded(x)
    except RuntimeError as error:
        assert "no cell was compiled" in str(error), error
    else:
        raise AssertionError("nothing was compiled, and yet it ran")
    layer(x)
    torch.testing.assert_close(loaded(x), expected)
"""


@pytest.mark.parametrize("with_gradient", slow_beyond([False, True], [True]))
def test_a_saved_program_runs_in_a_process_that_called_its_cell(
    with_gradient: bool, tmp_path: Path
) -> None:
    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = rondo.Recurrent(rondo.GRUCell(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)[0]

    model = Output()
    with torch.set_grad_enabled(with_gradient):
        torch.export.save(exported(model, "dense"), tmp_path / "model.pt2")
    (x,) = arguments("dense", 3, 4)
    torch.save((x, model(x).detach()), tmp_path / "case.pt")
    files = [str(tmp_path / name) for name in ("model.pt2", "case.pt")]
    command = [sys.executable, "-c", LOAD_ELSEWHERE, *files, str(with_gradient)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=STUCK_S, check=False)
    assert done.returncode == 0, done.stderr


# ---- jagged nested tensors ----


def rows_of(nested: Tensor) -> list[Tensor]:
    return list(nested.unbind())


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", DROP_INS)
def test_torch_checkpoint_from_the_first_call_on(name: str, reentrant: bool) -> None:
    layer, x = DROP_INS[name](3, 5), torch.randn(7, 2, 3, requires_grad=True)
    y, _ = checkpoint(layer, x, use_reentrant=reentrant)
    y.sum().backward()
    kept, again = x.grad, x.detach().requires_grad_(True)
    layer(again)[0].sum().backward()
    torch.testing.assert_close(kept, again.grad)


def test_hooks_on_saved_tensors_from_the_first_call_on() -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(2, 7, 3)
    with torch.autograd.graph.save_on_cpu():
        y, _ = layer(x)
    assert layer.source  # a kernel ran
    gradients = torch.autograd.grad(y.sum(), list(layer.parameters()))
    expected = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("lengths", [[3, 0, 5], [1], [0, 0]], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_jagged_nested_tensors(lengths: list[int], reverse: bool) -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 4), reverse=reverse, engine="reference")
    rows = [torch.randn(length, 3) for length in lengths]
    x = torch.nested.nested_tensor(rows, layout=torch.jagged, requires_grad=True)
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).requires_grad_()
    y, state, states = layer(x, return_states=True)
    expected = layer(padded, lengths=torch.tensor(lengths), return_states=True)
    assert y.offsets() is x.offsets()
    assert (y + y).shape == y.shape  # the ragged dimension is that of x
    assert_same(list(state), list(expected[1]))
    pairs = [(y, expected[0]), *zip(states, expected[2], strict=True)]
    for nested, dense in pairs:
        assert_same(rows_of(nested), [row[:n] for row, n in zip(dense, lengths, strict=True)])
    weight = torch.randn(sum(lengths), 4)
    (y.values() * weight).sum().backward()
    in_rows = torch.cat([row[:n] for row, n in zip(expected[0], lengths, strict=True)])
    (in_rows * weight).sum().backward()
    gradients = [row[:n] for row, n in zip(padded.grad, lengths, strict=True)]
    assert_same(rows_of(x.grad), gradients)


@pytest.mark.parametrize("name", DROP_INS)
def test_jagged_nested_tensors_in_the_drop_ins(name: str) -> None:
    layer = drop_in_model(name).layer
    rows = [torch.randn(length, 3) for length in (2, 5, 1)]
    x = torch.nested.nested_tensor(rows, layout=torch.jagged, requires_grad=True)
    y, last = layer(x)
    packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    expected, expected_last = layer(packed)
    assert_same(rows_of(y), nn.utils.rnn.unpack_sequence(expected))
    assert_same(pytree.tree_leaves(last), pytree.tree_leaves(expected_last))
    weights = list(layer.parameters())
    assert_same(
        list(torch.autograd.grad(y.values().sum(), weights)),
        list(torch.autograd.grad(expected.data.sum(), weights)),
    )


def test_a_nested_tensor_with_gaps() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(2, 3), engine="reference")
    values = torch.randn(9, 2)
    values[2] = torch.nan
    x = torch.nested.nested_tensor_from_jagged(
        values, offsets=torch.tensor([0, 3, 3, 9]), lengths=torch.tensor([2, 0, 6])
    )
    y, _ = layer(x)
    assert (y.values()[2] == 0).all()
    torch.testing.assert_close(y.values()[3:], layer(values[None, 3:])[0][0])


def test_wrong_nested_tensors_are_refused() -> None:
    x = torch.nested.nested_tensor([torch.zeros(2, 3)], layout=torch.jagged)
    layer = rondo.Recurrent(rondo.ElmanCell(3, 4))
    with pytest.raises(ValueError, match="a nested tensor has its own lengths and takes no"):
        layer(x, lengths=torch.tensor([2]))
    layer.batch_first = False
    for wrong in (layer, rondo.GRU(3, 4)):
        with pytest.raises(ValueError, match="the layer needs batch_first=True"):
            wrong(x)


# ---- all states ----


def states_by_hand(layer: rondo.Recurrent, case: dict[str, Any]) -> Any:
    """The state after every step (B, T, ...) of the plain loop, zero where padded."""
    rows = []
    for b, length in enumerate(case["lengths"].tolist()):
        now = start = pytree.tree_map(lambda leaf, b=b: leaf[b : b + 1], case["state"])
        blank = pytree.tree_map(torch.zeros_like, start)
        steps = [blank] * case["x"].shape[1]
        for t in reversed(range(length)) if layer.reverse else range(length):
            _, now = layer.cell(case["x"][b : b + 1, t], start if case["resets"][b, t] else now)
            steps[t] = now
        rows.append(pytree.tree_map(lambda *leaves: torch.stack(leaves, 1), *steps))
    return pytree.tree_map(lambda *leaves: torch.cat(leaves), *rows)


class OldState(rondo.Cell):
    """States that pass through, that are the input, and one that is another; a state as output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, input_size, {"output": 2, "x": input_size, "a": 3, "b": 3})
        self.W = nn.Linear(input_size, 3)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        a = torch.tanh(self.W(state["x"]) + state["b"])
        return state["x"], {"output": state["output"], "x": x, "a": a, "b": a}


@pytest.mark.parametrize(
    ("mode", "reverse", "every"),
    [("dense", False, None), ("ragged-resets", True, None), ("ragged-resets", False, 2)],
)
@pytest.mark.parametrize(
    ("name", "engine"),
    [*((name, "reference") for name in [*CELLS, "old-state"])]
    + [(name, "cpu") for name in ("gru", "lstm", "normalised-weight", "memoryless", "old-state")],
)
def test_all_states(
    name: str, engine: str, mode: str, reverse: bool, every: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS, "old-state", OldState)
    case = make_case(name, (3, 5, 4, 7), mode, torch.float64)
    options = {"reverse": reverse, "engine": engine, "checkpoint_every": every}
    layer = rondo.Recurrent(case["cell"], **options)
    given = {"lengths": case["lengths"]} if "ragged" in mode else {}
    given |= {"resets": case["resets"]} if "resets" in mode else {}
    y, last, states = layer(case["x"], case["state"], return_states=True, **given)
    torch.testing.assert_close((y, last), layer(case["x"], case["state"], **given))
    torch.testing.assert_close(states, expected := states_by_hand(layer, case))
    inputs = [case["x"], *pytree.tree_leaves(case["state"]), *layer.parameters()]
    gradients = []
    for some in (states, expected):
        torch.manual_seed(1)
        leaves = pytree.tree_leaves(some)
        loss = sum((leaf * torch.randn(leaf.shape, dtype=leaf.dtype)).sum() for leaf in leaves)
        gradients.append(torch.autograd.grad(loss, inputs, materialize_grads=True))
    torch.testing.assert_close(*gradients)


def test_all_states_of_packed_sequences_and_steps_first() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 4), batch_first=False, engine="reference")
    x, lengths = torch.randn(5, 3, 3), torch.tensor([2, 5, 3])
    _, _, (_, c) = layer(x, lengths=lengths, return_states=True)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    _, _, (_, packed_c) = layer(packed, return_states=True)
    assert isinstance(packed_c, PackedSequence)
    torch.testing.assert_close(pad_packed_sequence(packed_c)[0], c)


def test_all_states_of_both_directions() -> None:
    layer = rondo.Bidirectional(rondo.LSTMCell(3, 4), rondo.GRUCell(3, 4))
    x, lengths = torch.randn(3, 5, 3), torch.tensor([2, 5, 3])
    y, state, ((h, c), backward_h) = layer(x, lengths=lengths, return_states=True)
    torch.testing.assert_close((y, state), layer(x, lengths=lengths))
    torch.testing.assert_close(torch.cat([h, backward_h], -1), y)
    _, _, (_, forward_c) = layer.forward_layer(x, lengths=lengths, return_states=True)
    torch.testing.assert_close(c, forward_c)


def test_all_states_of_other_dtypes() -> None:
    class Counter(rondo.Cell):
        def initial_state(self, batch_size: int) -> dict[str, Tensor]:
            return {
                "n": torch.zeros(batch_size, dtype=torch.int64),
                "h": torch.zeros(batch_size, 1),
            }

        def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
            n = state["n"] + (x[:, 0] > 0)
            return x * n[:, None], {"n": n, "h": state["h"] + x}

    x = torch.tensor([[1.0, -1.0, 2.0]])[..., None]
    with torch.no_grad():
        _, _, states = rondo.Recurrent(Counter(1, 1), engine="reference")(x, return_states=True)
    assert states["n"].tolist() == [[1, 1, 2]]
    assert states["h"].tolist() == [[[1.0], [0.0], [2.0]]]


@pytest.mark.parametrize("name", [*DROP_INS, "own"])
def test_a_trace_of_torch_jit_holds_the_steps_of_its_example(name: str) -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5)) if name == "own" else DROP_INS[name](3, 5)
    layer(torch.randn(4, 2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of torch.jit and of sizes that a trace fixes
        traced = torch.jit.trace(layer, torch.randn(4, 2, 3))
    x = torch.randn(4, 2, 3)
    (found, _), (expected, _) = traced(x), layer(x)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(y.sum(), layer.parameters()) for y in (found, expected)]
    torch.testing.assert_close(*gradients)
    with pytest.raises(RuntimeError, match="size"):
        traced(torch.randn(5, 2, 3))
