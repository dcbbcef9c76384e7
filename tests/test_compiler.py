"""Tracing, planning and differentiating a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rondo
from cases import CELLS, PeepholeNormLSTM, make_cell
from rondo.compiler import Plan, TraceError, close_loops, plan, trace
from rondo.compiler.layouts import SHARED, SUMMED, Along, Mixed
from rondo.compiler.rows import row_layouts
from rondo.compiler.trace import named_tensors


class StepCell(nn.Module):
    """A cell out of a function, for steps that are hard to trace."""

    def __init__(self, step: Callable[[nn.Module, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.step = step
        self.input_size, self.state_size = 3, 3
        self.W = nn.Parameter(torch.eye(3))
        self.register_buffer("count", torch.zeros(3))

    def forward(self, x: Tensor, h: Tensor) -> Any:
        return self.step(self, x, h)


def trace_step(step: Callable[..., Any]) -> Any:
    cell = StepCell(step)
    with torch.no_grad():
        return trace(cell, named_tensors(cell), torch.zeros(1, 3), torch.zeros(1, 3))


def plan_of(step: Callable[..., Any]) -> Plan:
    return plan(close_loops(trace_step(step).graph))


def stages(plan: Plan) -> dict[str, list[str]]:
    return {
        stage: [node.op_name for node in getattr(plan, stage)]
        for stage in ("constants", "before", "loop", "after")
    }


# ---- trace ----


def test_an_lstm_is_a_small_graph_with_two_loops() -> None:
    graph = rondo.Recurrent(rondo.LSTMCell(3, 5)).graph
    assert [loop.target for loop in graph.loops] == ["h", "c"]
    assert len(graph.step.nodes) < 25
    assert "x: float32[B, 3]" in str(graph)


def test_equal_nodes_are_merged_and_double_transpositions_cancelled() -> None:
    def step(cell: Any, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = x @ cell.W.t() + h @ cell.W.t() + h @ cell.W.t().t()
        return h, h

    ops = [node.op_name for node in trace_step(step).graph.nodes]
    assert ops.count("t") == 1
    assert ops.count("mm") == 3


REFUSED = {
    "a branch on a value": (
        lambda cell, x, h: (h, h) if x.sum() > 0 else (x, h),
        r"reads the value .* \(by a branch.*test_compiler.py:\d+.* choose with torch.where",
    ),
    "a choice by value": (
        lambda cell, x, h: (h, torch.zeros_like(h).index_put((x > 0,), x[x > 0])),
        r"reads the value of a tensor \(by a mask",
    ),
    "whether two are equal": (
        lambda cell, x, h: (h, h) if torch.equal(x, h) else (x, h),
        r"reads the value of a tensor \(by torch.equal",
    ),
    "a value in numpy": (
        lambda cell, x, h: (x, h * float(h.detach().numpy().max())),
        r"reads the value of a tensor \(\.numpy\(\)",
    ),
    "a list of values": (
        lambda cell, x, h: (x, h * h.tolist()[0][0]),
        r"reads the value of a tensor \(\.tolist\(\)",
    ),
    "a text": (
        lambda cell, x, h: (x, h + len(str(h))),
        r"reads the value of a tensor \(printed",
    ),
    "no state": (lambda cell, x, h: x, r"must return \(output, new_state\), got float32\[B, 3\]"),
    "another form of state": (
        lambda cell, x, h: (x, (h, h)),
        r"must return a state like the one that it got, a tensor, got \(a tensor, a tensor\)",
    ),
    "another width of state": (
        lambda cell, x, h: (x, torch.cat([h, h], 1)),
        r"gets the state h as float32\[B, 3\] and returns it as float32\[B, 6\].*keeps its shape",
    ),
    "a buffer changed in place": (
        lambda cell, x, h: (x, h + cell.count.add_(1)),
        r"changes the buffer count in place, by add_ \(test_comp.* belongs into the",
    ),
    "its state changed in place": (
        lambda cell, x, h: (x, h.add_(x)),
        r"changes the state h that it gets in place, by add_",
    ),
    "an attribute changed": (
        lambda cell, x, h: (setattr(cell, "calls", 1), (x, h))[1],
        r"changes calls, which its cell holds",
    ),
    "the batch size in a number": (
        lambda cell, x, h: (x / x.shape[0], h),
        r"computes with the number of rows of the batch \(div\) \(test_compiler.py:\d+\)",
    ),
    "the batch size plus one": (
        lambda cell, x, h: (x, h + torch.ones(x.shape[0] + 1)[0]),
        r"computes with the number of rows of the batch \(ones\)",
    ),
    "as many operations as rows": (
        lambda cell, x, h: (x, sum(row for row in x.unbind(0)) + h),
        r"(does something else for another|computes with the) number of rows",
    ),
    "an output without the batch": (
        lambda cell, x, h: (x.sum(), h),
        r"must return an output \(B, ...\), got float32\[\]",
    ),
    "an output that is no tensor": (
        lambda cell, x, h: ((x, x), h),
        r"must return one tensor as its output, got a tuple of 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_step_that_is_no_graph_is_refused(case: str) -> None:
    step, message = REFUSED[case]
    with pytest.raises(TraceError, match=message):
        trace_step(step)


def test_a_tensor_from_outside_is_captured() -> None:
    outside = torch.tensor([1.0, 2.0, 3.0])
    layer = rondo.Recurrent(StepCell(lambda cell, x, h: (x * outside, h)))
    y, _ = layer(torch.ones(2, 4, 3))
    assert torch.equal(y, outside.expand(2, 4, 3))


def test_the_value_of_a_constant_may_be_read() -> None:
    step = trace_step(lambda cell, x, h: (x * torch.tensor(2.0).item(), h))
    assert [node.op_name for node in step.graph.nodes] == ["mul"]
    assert step.captured == ()


# ---- plan ----


def test_every_cell_is_planned_with_a_reason_for_every_node() -> None:
    for name in CELLS:
        text = str(rondo.Recurrent(make_cell(name, 3, 4, torch.float32)).plan)
        nodes = [line for line in text.splitlines() if " = " in line and line.startswith("  ")]
        assert nodes, name
        assert all("  # " in line for line in nodes), name


def test_the_input_product_is_before_and_the_output_network_after() -> None:
    planned = rondo.Recurrent(PeepholeNormLSTM(3, 4)).plan
    found = stages(planned)
    assert "addmm" in found["before"]
    assert found["loop"].count("mm") == 1
    assert found["after"].count("addmm") == 2
    assert "t" in found["constants"]


def test_weight_gradients_are_one_product_after_the_backward_loop() -> None:
    backward = rondo.Recurrent(rondo.GRUCell(3, 4)).backward_plan
    after = {node.name for node in backward.after}
    assert {"grad_weight_ih", "grad_weight_hh", "grad_bias_ih", "grad_bias_hh"} <= after
    assert "grad_x" in after
    assert [node.op_name for node in backward.loop].count("mm") == 1
    assert "grad_weight_hh" in str(backward)
    assert "one sum over all T*B rows" in str(backward)


def test_a_normalised_weight_is_a_constant() -> None:
    planned = rondo.Recurrent(make_cell("normalised-weight", 3, 4, torch.float32)).plan
    assert "div" in stages(planned)["constants"]


def test_a_memoryless_cell_has_an_empty_loop() -> None:
    assert rondo.Recurrent(make_cell("memoryless", 3, 4, torch.float32)).plan.loop == ()


def test_random_numbers_are_drawn_at_every_step() -> None:
    class Noisy(rondo.Cell):
        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            x = nn.functional.dropout(x, 0.5, self.training)
            return x, h

    layer = rondo.Recurrent(Noisy(8, 8), engine="reference")
    x = torch.ones(4, 16, 8, requires_grad=True)
    y, _ = layer(x)
    assert not torch.equal(y[:, 0], y[:, 1])
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())  # the backward pass has the masks of the forward pass
    layer.eval()
    assert torch.equal(layer(x)[0], x)


MIXING = {
    "batch norm": lambda cell, x, h: (x - x.mean(0), h + x),
    "a sum over the batch": lambda cell, x, h: (x, h + x.sum(0)),
    "rows times rows": lambda cell, x, h: ((x @ h.t()) @ x, h),
    "rows in reverse": lambda cell, x, h: (x, h.flip(0)),
    "a running sum": lambda cell, x, h: (x.cumsum(0), h),
    "an operation of the whole batch": lambda cell, x, h: (torch.linalg.qr(x)[0], h),
}


@pytest.mark.parametrize("case", MIXING)
def test_a_cell_that_mixes_rows_runs_as_it_is(case: str) -> None:
    cell = StepCell(MIXING[case])
    layer = rondo.Recurrent(cell)
    x = torch.randn(3, 4, 3, requires_grad=True)
    with pytest.warns(
        rondo.EngineWarning, match=r"StepCell runs in a plain loop, .*\(test_compiler.py:"
    ):
        y, last = layer(x)
    h, rows = torch.zeros(3, 3), []
    for t in range(4):
        y_t, h = cell(x[:, t], h)
        rows.append(y_t)
    expected = torch.stack(rows, 1)
    assert torch.equal(y, expected)
    assert torch.equal(last, h)
    torch.testing.assert_close(
        torch.autograd.grad(y.square().sum() + last.sum(), x),
        torch.autograd.grad(expected.square().sum() + h.sum(), x),
    )
    with pytest.raises(ValueError, match="needs a cell that treats every row on its own"):
        layer(x, lengths=torch.tensor([4, 2, 1]))
    for engine in ("reference", "cpu"):
        with pytest.raises(ValueError, match=f"engine='{engine}' cannot run StepCell"):
            rondo.Recurrent(cell, engine=engine)(x)
    with pytest.raises(ValueError, match="there is no graph of StepCell"):
        _ = layer.plan


@torch.library.custom_op("rondo_tests::sorted_numbers", mutates_args=())
def sorted_numbers(x: Tensor) -> Tensor:
    """An operation that nobody has told anything about."""
    return x.sort(-1).values


@sorted_numbers.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0].argsort(-1))


def _put_back(ctx: Any, gradient: Tensor) -> Tensor:
    (order,) = ctx.saved_tensors
    return torch.zeros_like(gradient).scatter(-1, order, gradient)


sorted_numbers.register_autograd(_put_back, setup_context=_keep)

UNKNOWN = {
    "of the state": lambda cell, x, h: (h, torch.tanh(sorted_numbers(h @ cell.W + x))),
    "of both": lambda cell, x, h: (sorted_numbers(x * h), h * torch.sigmoid(sorted_numbers(x + h))),
}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_not_known_is_tried(case: str, ragged: bool) -> None:
    """Operations without a rule treat rows apart where a trial shows it."""
    cell = StepCell(UNKNOWN[case]).double()
    layer = rondo.Recurrent(cell, checkpoint_every=2)
    x = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths = [4, 1, 3] if ragged else [4, 4, 4]
    with pytest.warns(rondo.EngineWarning, match="reference engine runs|reference engine: "):
        y, last = layer(x, torch.ones_like(x[:, 0]), lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        h = torch.ones(1, 3, dtype=torch.float64)
        for t in range(length):
            y_t, h = cell(x[row : row + 1, t], h)
            torch.testing.assert_close(y[row, t], y_t[0])
        torch.testing.assert_close(last[row], h[0])
    (got,) = torch.autograd.grad(y.sum() + last.sum(), x)
    assert torch.equal(got[1, lengths[1] :], torch.zeros_like(got[1, lengths[1] :]))


def test_layouts_of_rows() -> None:
    def step(cell: Any, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        product = cell.W @ h.t()  # (3, B)
        return product.t() * x, (h - h.mean(-1, keepdim=True)) @ cell.W

    graph = trace_step(step).graph
    found = {node.op_name: row_layouts(graph)[node.name] for node in graph.nodes}
    assert found["mm"] in (Along(0), Along(1))
    assert found["mean"] == Along(0)
    assert Mixed not in map(type, row_layouts(graph).values())
    backward = rondo.Recurrent(rondo.ElmanCell(2, 3)).backward_plan
    assert backward.layouts["grad_weight_hh"] == SUMMED
    assert backward.layouts["weight_hh"] == SHARED


ELEMENTWISE = [torch.tanh, torch.sigmoid, torch.relu, torch.exp, torch.abs, torch.square]


@st.composite
def random_steps(draw: st.DrawFn) -> Callable[..., Any]:
    """A step of random operations on x, h and a weight."""
    choices = draw(
        st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=8)
    )

    def step(cell: Any, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        values = [x, h, x * h]
        for kind, which in choices:
            a, b = values[which % len(values)], values[(which + kind) % len(values)]
            values.append(
                [
                    lambda a, b: a @ cell.W.t(),
                    lambda a, b: a + b,
                    lambda a, b: a * b,
                    lambda a, b: ELEMENTWISE[len(values) % 6](0.5 * torch.tanh(a)),
                    lambda a, b: torch.softmax(a, -1),
                    lambda a, b: torch.cat([a[:, 1:], b[:, :1]], 1),
                    lambda a, b: torch.where(a > b, a, -b),
                    lambda a, b: a - b.mean(1, keepdim=True),
                ][kind](a, b)
            )
        return values[-1], torch.tanh(values[-2] + 0.5 * h)

    return step


@settings(max_examples=12)
@given(random_steps())
def test_random_steps_equal_the_plain_loop(step: Callable[..., Any]) -> None:
    cell = StepCell(step).double()
    torch.manual_seed(3)
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    y, last = rondo.Recurrent(cell)(x)
    h, rows = torch.zeros(2, 3, dtype=torch.float64), []
    for t in range(3):
        y_t, h = cell(x[:, t], h)
        rows.append(y_t)
    expected = torch.stack(rows, 1)
    torch.testing.assert_close(y, expected)
    got = torch.autograd.grad(y.sum() + last.sum(), [x, cell.W], materialize_grads=True)
    want = torch.autograd.grad(expected.sum() + h.sum(), [x, cell.W], materialize_grads=True)
    torch.testing.assert_close(got, want)
