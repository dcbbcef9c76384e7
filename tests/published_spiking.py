"""Cells whose forward pass has steps and whose gradient is another one, from papers.

Notation: Θ is the step function, a prime stands for the value after the step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Pair = tuple[Tensor, Tensor]


class FastSigmoidSpike(torch.autograd.Function):
    """Θ(v), with the gradient of a fast sigmoid: 1 / (1 + 10 |v|)²."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        out = torch.zeros_like(v)
        out[v > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        return grad_input / (10.0 * torch.abs(v) + 1.0) ** 2


class TriangleSpike(torch.autograd.Function):
    """Θ(v), with the gradient d max(0, 1 - |v|)."""

    @staticmethod
    def forward(v: Tensor, dampening: float) -> Tensor:
        return (v > 0).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        v, ctx.dampening = inputs
        ctx.save_for_backward(v)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return grad_output * ctx.dampening * torch.clamp(1 - v.abs(), min=0), None


class Binarise(torch.autograd.Function):
    """The sign of w, with the gradient of w where |w| is at most one."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return torch.where(w >= 0, 1.0, -1.0).to(w.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        return grad_output.masked_fill(w.abs() > 1, 0)


class LIF(nn.Module):
    """Neftci et al. 2019, Surrogate Gradient Learning: leaky neurons with synaptic currents.

    I' = α I + W x + V s;  U' = β U + I - s;  s = Θ(U - 1)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = {"mem": hidden_size, "syn": hidden_size}
        self.alpha, self.beta = 0.8, 0.9
        self.W = nn.Parameter(torch.randn(input_size, hidden_size))
        self.V = nn.Parameter(torch.randn(hidden_size, hidden_size))

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        mem, syn = state["mem"], state["syn"]
        out = FastSigmoidSpike.apply(mem - 1.0)
        rst = out.detach()
        new_syn = self.alpha * syn + torch.einsum("ab,bc->ac", x, self.W) + out @ self.V
        new_mem = (self.beta * mem + syn) * (1.0 - rst)
        return out, {"mem": new_mem, "syn": new_syn}


class AdaptiveLIF(nn.Module):
    """Bellec et al. 2018, Long Short-Term Memory in Networks of Spiking Neurons.

    b' = ρ b + (1 - ρ) z;  A = 1 + β b';  v' = α v + W x + V z - z A;  z' = Θ((v' - A) / A), where
    V has no diagonal
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size, hidden_size)
        self.alpha, self.rho, self.beta = 0.9, 0.95, 1.6
        self.W = nn.Linear(input_size, hidden_size, bias=False)
        self.V = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.register_buffer("off_diagonal", ~torch.eye(hidden_size, dtype=torch.bool))

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        v, b, z = state
        b = self.rho * b + (1 - self.rho) * z
        threshold = 1 + self.beta * b
        V = torch.where(self.off_diagonal, self.V, torch.zeros_like(self.V))
        v = self.alpha * v + self.W(x) + torch.mm(z, V.t()) - z * threshold
        z = TriangleSpike.apply((v - threshold) / threshold, 0.3)
        return z, (v, b, z)


class BinaryWeights(nn.Module):
    """Courbariaux et al. 2015, BinaryConnect: weights of ±1 forward, real ones learn.

    h' = tanh(scale (sign(W) x + sign(U) h) + b)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.W = nn.Parameter(torch.randn(hidden_size, input_size))
        self.U = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.b = nn.Parameter(torch.zeros(hidden_size))
        self.scale = 0.3

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        W, U = Binarise.apply(self.W), Binarise.apply(self.U)
        h = torch.tanh(self.scale * (F.linear(x, W) + F.linear(h, U)) + self.b)
        return h, h


class QuantisedGRU(nn.Module):
    """He et al. 2016, Effective Quantization Methods for RNNs: a GRU of few bits, straight through.

    Q(v) = round((2ᵏ - 1) v) / (2ᵏ - 1) for v in [0, 1], with the gradient of v, on weights and
    state of a GRU whose state lies in [0, 1]
    """

    def __init__(self, input_size: int, hidden_size: int, bits: int = 3) -> None:
        super().__init__()
        self.state_size, self.levels = hidden_size, 2**bits - 1
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.new = nn.Linear(input_size + hidden_size, hidden_size)

    def quantise(self, v: Tensor) -> Tensor:
        q = torch.round(v * self.levels) / self.levels
        return v + (q - v).detach()

    def weight_of(self, layer: nn.Linear) -> Tensor:
        w = torch.tanh(layer.weight)
        scale = w.detach().abs().max()
        return scale * (2 * self.quantise(w / (2 * scale) + 0.5) - 1)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        xh = torch.cat((x, h), -1)
        r, z = F.linear(xh, self.weight_of(self.gates), self.gates.bias).sigmoid().chunk(2, -1)
        xh = torch.cat((x, r * h), -1)
        n = torch.sigmoid(F.linear(xh, self.weight_of(self.new), self.new.bias))
        h = self.quantise(z * h + (1 - z) * n)
        return h, h
