"""Elman, LSTM and GRU against torch.nn with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import rondo

PAIRS = {
    "elman": (lambda i, h: rondo.ElmanCell(i, h, recurrent_bias=True), nn.RNN),
    "lstm": (lambda i, h: rondo.LSTMCell(i, h, recurrent_bias=True), nn.LSTM),
    "gru": (rondo.GRUCell, nn.GRU),
}


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (4, 11, 5, 19), (3, 50, 8, 32)], ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_same_weights_same_numbers(name: str, sizes: tuple[int, ...]) -> None:
    batch_size, num_steps, input_size, hidden_size = sizes
    make_cell, make_layer = PAIRS[name]
    cell, theirs = make_cell(input_size, hidden_size), make_layer(input_size, hidden_size)
    for key, parameter in cell.named_parameters():
        parameter.data.copy_(getattr(theirs, f"{key}_l0"))
    x = torch.randn(num_steps, batch_size, input_size, requires_grad=True)
    ours = rondo.Recurrent(cell, batch_first=False)
    y, last = ours(x)
    expected, expected_last = theirs(x)
    weight = torch.randn_like(y)
    gradients = torch.autograd.grad((y * weight).sum(), [x, *cell.parameters()])
    expected_gradients = torch.autograd.grad(
        (expected * weight).sum(),
        [x, *(getattr(theirs, f"{k}_l0") for k, _ in cell.named_parameters())],
    )
    lasts = last if isinstance(last, tuple) else (last,)
    expected_lasts = expected_last if isinstance(expected_last, tuple) else (expected_last,)
    for a, b in zip(
        [y, *lasts, *gradients],
        [expected, *(s[0] for s in expected_lasts), *expected_gradients],
        strict=True,
    ):
        assert (a - b).norm() <= 1e-6 * b.norm()


def test_packed_sequences() -> None:
    theirs = nn.LSTM(3, 4, batch_first=True)
    cell = rondo.LSTMCell(3, 4, recurrent_bias=True)
    for key, parameter in cell.named_parameters():
        parameter.data.copy_(getattr(theirs, f"{key}_l0"))
    x, lengths = torch.randn(3, 6, 3), torch.tensor([2, 6, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, (h, c) = rondo.Recurrent(cell)(packed)
    expected, (expected_h, expected_c) = theirs(packed)
    torch.testing.assert_close(y.data, expected.data)
    torch.testing.assert_close(h, expected_h[0])
    torch.testing.assert_close(c, expected_c[0])
    padded, (h_again, _) = rondo.Recurrent(cell)(x, lengths=lengths)
    torch.testing.assert_close(
        padded, nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)[0]
    )
    torch.testing.assert_close(h_again, h)


def test_bidirectional_ragged() -> None:
    theirs = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    cells = rondo.GRUCell(3, 4), rondo.GRUCell(3, 4)
    for cell, suffix in zip(cells, ("_l0", "_l0_reverse"), strict=True):
        for key, parameter in cell.named_parameters():
            parameter.data.copy_(getattr(theirs, key + suffix))
    x, lengths = torch.randn(4, 6, 3), torch.tensor([2, 6, 1, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, expected_h = theirs(packed)
    y, (h_forward, h_backward) = rondo.Bidirectional(*cells)(x, lengths=lengths)
    torch.testing.assert_close(y, nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)[0])
    torch.testing.assert_close(torch.stack([h_forward, h_backward]), expected_h)
