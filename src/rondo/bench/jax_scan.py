"""Cells in JAX: `lax.scan` over the steps, the input product before it.

The cells are those of torch.nn, and an LSTM with layer norm and peepholes as a user writes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rondo.bench.contenders import Contender, Results


def of_cell(name: str, cell: str, parameters: Mapping[str, Tensor], x: Tensor,
            grad_y: Tensor) -> Contender:  # fmt: skip
    """A contender that runs one of `CELLS` with these parameters in JAX.

    Raises:
        ImportError: Where JAX is not installed.
    """
    for variable in ("NPROC", "PJRT_NPROC"):  # read once, when JAX starts its threads
        os.environ[variable] = str(torch.get_num_threads())
    import jax
    import numpy as np

    def to_jax(value: Tensor) -> Any:
        return jax.numpy.asarray(value.detach().numpy())

    def to_torch(value: Any) -> Tensor:
        return torch.from_numpy(np.array(value))

    def both(weights: Any, x: Any, grad_y: Any) -> Any:
        y, backward = jax.vjp(lambda weights: _outputs(cell, weights, x), weights)
        return y, backward(grad_y)[0]

    weights = {key: to_jax(value) for key, value in parameters.items()}
    jax_x, jax_grad_y = to_jax(x), to_jax(grad_y)
    run_forward = jax.jit(lambda weights, x: _outputs(cell, weights, x))
    run_both = jax.jit(both)

    def forward() -> Any:
        return run_forward(weights, jax_x).block_until_ready()

    def training() -> Any:
        return jax.block_until_ready(run_both(weights, jax_x, jax_grad_y))

    def results() -> Results:
        y, gradients = training()
        found = {"output": to_torch(forward()), "output in training": to_torch(y)}
        return found | {f"gradient of {key}": to_torch(g) for key, g in gradients.items()}

    return Contender(name, forward, training, results)


CELLS = ("GRU", "RNN", "LSTM", "NormPeepholeLSTM")
"""The cells that are written here, by the names of their classes."""


def _outputs(cell: str, weights: Any, x: Any) -> Any:
    """The outputs (T, B, H) of all steps."""
    from jax import lax, nn
    from jax import numpy as jnp

    def rnn(h: Any, from_x: Any) -> Any:
        h = jnp.tanh(from_x + h @ weights["weight_hh"].T)
        return h, h

    def gru(h: Any, from_x: Any) -> Any:
        from_h = h @ weights["weight_hh"].T + weights["bias_hh"]
        (x_r, x_z, x_n), (h_r, h_z, h_n) = jnp.split(from_x, 3, -1), jnp.split(from_h, 3, -1)
        r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
        h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * h
        return h, h

    def lstm(state: Any, from_x: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(from_x + h @ weights["weight_hh"].T, 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def norm_peephole_lstm(state: Any, from_x: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(from_x + h @ weights["weight_hh"].T, 4, -1)
        i = nn.sigmoid(i + weights["peephole"][0] * c)
        f = nn.sigmoid(f + weights["peephole"][1] * c)
        c = f * c + i * jnp.tanh(g)
        o = nn.sigmoid(o + weights["peephole"][2] * c)
        normed = nn.standardize(c, epsilon=1e-5) * weights["norm.weight"] + weights["norm.bias"]
        h = o * jnp.tanh(normed)
        return (h, c), h

    h = jnp.zeros((x.shape[1], weights["weight_hh"].shape[1]), x.dtype)
    steps = (gru, h), (rnn, h), (lstm, (h, h)), (norm_peephole_lstm, (h, h))
    step, state = dict(zip(CELLS, steps, strict=True))[cell]
    from_x = x @ weights["weight_ih"].T + weights["bias_ih"]
    if cell in ("RNN", "LSTM"):
        from_x = from_x + weights["bias_hh"]
    return lax.scan(step, state, from_x)[1]
