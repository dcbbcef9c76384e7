"""Weights of torch, Keras and neon, against the steps of these libraries written in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from rondo.cells import convert, initial_state

I, H = 3, 5  # noqa: E741
Step = Callable[..., Any]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def columns(a: np.ndarray, gate: int) -> np.ndarray:
    return a[..., gate * H : (gate + 1) * H]


# ---- Keras: x @ kernel + h @ recurrent_kernel + bias ----


def keras_simple_rnn(w: list[np.ndarray], x: np.ndarray, h: np.ndarray) -> Any:
    kernel, recurrent, bias = w
    return np.tanh(x @ kernel + h @ recurrent + bias)


def keras_lstm(w: list[np.ndarray], x: np.ndarray, state: Any) -> Any:
    h, c = state
    kernel, recurrent, bias = w
    a = x @ kernel + h @ recurrent + bias
    i, f = sigmoid(columns(a, 0)), sigmoid(columns(a, 1))
    c = f * c + i * np.tanh(columns(a, 2))
    return sigmoid(columns(a, 3)) * np.tanh(c), c


def keras_gru_reset_after(w: list[np.ndarray], x: np.ndarray, h: np.ndarray) -> Any:
    kernel, recurrent, (bias, recurrent_bias) = w
    from_x, from_h = x @ kernel + bias, h @ recurrent + recurrent_bias
    z = sigmoid(columns(from_x, 0) + columns(from_h, 0))
    r = sigmoid(columns(from_x, 1) + columns(from_h, 1))
    candidate = np.tanh(columns(from_x, 2) + r * columns(from_h, 2))
    return z * h + (1 - z) * candidate


def keras_gru_reset_before(w: list[np.ndarray], x: np.ndarray, h: np.ndarray) -> Any:
    kernel, recurrent, bias = w
    from_x = x @ kernel + bias
    z = sigmoid(columns(from_x, 0) + h @ columns(recurrent, 0))
    r = sigmoid(columns(from_x, 1) + h @ columns(recurrent, 1))
    candidate = np.tanh(columns(from_x, 2) + (r * h) @ columns(recurrent, 2))
    return z * h + (1 - z) * candidate


# ---- neon: columns of a batch, matrices (gates, inputs) read from one buffer ----


def neon_parts(buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gates = buffer.shape[1]
    return (
        buffer[:I].reshape(gates, I),
        buffer[I:-1].reshape(gates, H),
        buffer[-1:].reshape(gates, 1),
    )


def neon_recurrent(w: list[np.ndarray], x: np.ndarray, h: np.ndarray) -> Any:
    W, R, b = neon_parts(w[0])
    return np.tanh(W @ x.T + R @ h.T + b).T


def neon_lstm(w: list[np.ndarray], x: np.ndarray, state: Any) -> Any:
    h, c = (value.T for value in state)
    W, R, b = neon_parts(w[0])
    a = W @ x.T + R @ h + b
    i, f, o = sigmoid(a[:H]), sigmoid(a[H : 2 * H]), sigmoid(a[2 * H : 3 * H])
    c = f * c + i * np.tanh(a[3 * H :])
    return (o * np.tanh(c)).T, c.T


def neon_gru(w: list[np.ndarray], x: np.ndarray, h: np.ndarray) -> Any:
    W, R, b = neon_parts(w[0])
    h = h.T
    r = sigmoid(W[:H] @ x.T + R[:H] @ h + b[:H])
    z = sigmoid(W[H : 2 * H] @ x.T + R[H : 2 * H] @ h + b[H : 2 * H])
    candidate = np.tanh(W[2 * H :] @ x.T + R[2 * H :] @ (r * h) + b[2 * H :])
    return ((1 - z) * h + z * candidate).T


def keras_shapes(gates: int, *bias: int) -> list[tuple[int, ...]]:
    return [(I, gates * H), (H, gates * H), (*bias, gates * H)]


def neon_shapes(gates: int) -> list[tuple[int, ...]]:
    return [(I + H + 1, gates * H)]


def gru(update: str, reset: str) -> rondo.GRUCell:
    return rondo.GRUCell(I, H, update=update, reset=reset)


FOREIGN: dict[str, tuple[Callable[[], rondo.Cell], Step, list[tuple[int, ...]]]] = {
    "keras SimpleRNN": (lambda: rondo.ElmanCell(I, H), keras_simple_rnn, keras_shapes(1)),
    "keras LSTM": (lambda: rondo.LSTMCell(I, H), keras_lstm, keras_shapes(4)),
    "keras LSTM to two biases": (
        lambda: rondo.LSTMCell(I, H, recurrent_bias=True),
        keras_lstm,
        keras_shapes(4),
    ),
    "keras GRU": (lambda: gru("old", "after"), keras_gru_reset_after, keras_shapes(3, 2)),
    "keras GRU to new": (lambda: gru("new", "after"), keras_gru_reset_after, keras_shapes(3, 2)),
    "keras GRU before": (lambda: gru("old", "before"), keras_gru_reset_before, keras_shapes(3)),
    "neon Recurrent": (lambda: rondo.ElmanCell(I, H), neon_recurrent, neon_shapes(1)),
    "neon LSTM": (lambda: rondo.LSTMCell(I, H), neon_lstm, neon_shapes(4)),
    "neon GRU": (lambda: gru("new", "before"), neon_gru, neon_shapes(3)),
    "neon GRU to old": (lambda: gru("old", "before"), neon_gru, neon_shapes(3)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_weights_of_another_library_give_its_step(name: str) -> None:
    make, step, shapes = FOREIGN[name]
    weights = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    cell = make().double()
    if "keras" in name:
        convert.load_keras(cell, weights)
        back = convert.to_keras(cell)
    else:
        convert.load_neon(cell, weights[0])
        back = [convert.to_neon(cell)]
    x = torch.randn(2, I, dtype=torch.float64)
    state = pytree.tree_map(torch.randn_like, initial_state(cell, x))
    _, new = cell(x, state)
    arrays = [weight.numpy() for weight in weights]
    expected = step(arrays, x.numpy(), pytree.tree_map(Tensor.numpy, state))
    for a, b in zip(pytree.tree_leaves(new), pytree.tree_leaves(expected), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-12, atol=1e-13)
    for a, b in zip(back, weights, strict=True):
        torch.testing.assert_close(a, b)


MODULES: dict[str, tuple[Callable[[], rondo.Cell], type[nn.Module]]] = {
    "elman": (lambda: rondo.ElmanCell(I, H), nn.RNNCell),
    "lstm": (lambda: rondo.LSTMCell(I, H), nn.LSTMCell),
    "lstm, two biases": (lambda: rondo.LSTMCell(I, H, recurrent_bias=True), nn.LSTMCell),
    "gru": (lambda: gru("old", "after"), nn.GRUCell),
    "gru, new": (lambda: gru("new", "after"), nn.GRUCell),
}


@pytest.mark.parametrize("name", MODULES)
def test_torch_and_back(name: str) -> None:
    make, module = MODULES[name]
    theirs, again = module(I, H), module(I, H)
    cell = convert.load_torch(make(), theirs)
    again.load_state_dict(convert.to_torch(cell))
    x = torch.randn(2, I)
    state = pytree.tree_map(torch.randn_like, initial_state(cell, x))
    _, new = cell(x, state)
    for other in (theirs, again):
        torch.testing.assert_close(new, other(x, state))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("proj_size", [0, 2])
def test_a_layer_of_a_torch_network(proj_size: int, reverse: bool) -> None:
    theirs = nn.LSTM(I, H, num_layers=1, bidirectional=True, proj_size=proj_size, batch_first=True)
    cell = convert.load_torch(rondo.LSTMCell(I, H, proj_size=proj_size), theirs, reverse=reverse)
    x, width = torch.randn(2, 6, I), proj_size or H
    y, _ = rondo.Recurrent(cell, reverse=reverse)(x)
    torch.testing.assert_close(y, theirs(x)[0][..., width * reverse : width * (1 + reverse)])


@pytest.mark.parametrize("reset", ["after", "before"])
def test_the_two_signs_of_z_say_the_same(reset: str) -> None:
    cell = gru("old", reset)
    other = convert.with_update(cell, "new")
    assert other.update == "new"
    x, h = torch.randn(2, I), torch.randn(2, H)
    torch.testing.assert_close(other(x, h)[0], cell(x, h)[0])
    torch.testing.assert_close(convert.with_update(other, "old").state_dict(), cell.state_dict())


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "reset gate": (
        lambda: convert.load_torch(gru("old", "before"), nn.GRUCell(I, H)),
        "the reset gate after the product, the cell before it.* make the cell with reset='after'",
    ),
    "reset gate of neon": (
        lambda: convert.load_neon(gru("old", "after"), torch.zeros(I + H + 1, 3 * H)),
        "make the cell with reset='before'",
    ),
    "another cell": (
        lambda: convert.to_keras(rondo.MGUCell(I, H)),  # type: ignore[arg-type]
        "only ElmanCell, LSTMCell and GRUCell .* got MGUCell",
    ),
    "peepholes": (
        lambda: convert.to_torch(rondo.LSTMCell(I, H, peepholes=True)),
        "no peepholes",
    ),
    "sizes": (
        lambda: convert.load_torch(rondo.LSTMCell(I, H), nn.LSTMCell(I + 1, H)),
        r"weight_ih of the cell is \(20, 3\), the weights give \(20, 4\)",
    ),
    "gates": (
        lambda: convert.load_torch(rondo.GRUCell(I, H), nn.LSTMCell(I, H)),
        "20 rows are not 3 gates of one size",
    ),
    "nonlinearity": (
        lambda: convert.load_torch(rondo.ElmanCell(I, H), nn.RNN(I, H, nonlinearity="relu")),
        "RNN has nonlinearity 'relu', the cell 'tanh'",
    ),
    "no such layer": (
        lambda: convert.load_torch(rondo.GRUCell(I, H), nn.GRU(I, H), layer=1),
        "GRU has no weight_ih_l1",
    ),
    "the buffer of neon": (
        lambda: convert.load_neon(rondo.LSTMCell(I, H), torch.zeros(4 * H, I + H + 1)),
        r"must be \(I \+ H \+ 1, gates\) = \(9, 20\), got \(20, 9\)",
    ),
    "too many arrays": (
        lambda: convert.load_keras(rondo.LSTMCell(I, H), [torch.zeros(1)] * 4),
        "a kernel, a recurrent kernel and a bias, got 4",
    ),
    "no bias": (
        lambda: convert.load_torch(rondo.LSTMCell(I, H, bias=False), nn.LSTMCell(I, H)),
        "the weights have a bias, and the cell has none",
    ),
    "a projection to Keras": (
        lambda: convert.to_keras(rondo.LSTMCell(I, H, proj_size=2)),
        "Keras has no projection",
    ),
    "a projection to neon": (
        lambda: convert.to_neon(rondo.LSTMCell(I, H, proj_size=2)),
        "neon has no projection",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()
