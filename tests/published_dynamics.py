"""Cells that are dynamical systems, or whose matrices have structure, from papers.

Notation: juxtaposed vectors are multiplied elementwise, i is the imaginary unit, a prime stands for
the value after the step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Pair = tuple[Tensor, Tensor]


class ODERNN(nn.Module):
    """Rubanova et al. 2019, Latent ODEs: between inputs the state follows an equation, by Euler.

    h ← h + Δt/n f(h), n times, with Δt the last column of the input;  h' = GRU(x, h)
    """

    def __init__(self, input_size: int, hidden_size: int, num_steps: int = 3) -> None:
        super().__init__()
        self.state_size, self.num_steps = hidden_size, num_steps
        self.f = nn.Sequential(nn.Linear(hidden_size, 5), nn.Tanh(), nn.Linear(5, hidden_size))
        self.gru = nn.GRUCell(input_size - 1, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        dt = x[:, -1:] / self.num_steps
        for _ in range(self.num_steps):
            h = h + dt * self.f(h)
        h = self.gru(x[:, :-1], h)
        return h, h


class CoRNN(nn.Module):
    """Rusch and Mishra 2021, Coupled Oscillatory Recurrent Neural Network.

    z' = z + Δt (tanh(W y + 𝒲 z + V x + b) - γ y - ε z);  y' = y + Δt z'
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.dt, self.gamma, self.epsilon = 0.4, 1.1, 0.7
        self.i2h = nn.Linear(input_size + 2 * hidden_size, hidden_size)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        y, z = state
        force = torch.tanh(self.i2h(torch.cat((x, z, y), 1)))
        z = z + self.dt * (force - self.gamma * y - self.epsilon * z)
        y = y + self.dt * z
        return y, (y, z)


class IndRNN(nn.Module):
    """Li et al. 2018, Independently Recurrent Neural Network: h' = max(0, W x + u h + b)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.W = nn.Linear(input_size, hidden_size)
        self.u = nn.Parameter(torch.empty(hidden_size).uniform_(-1, 1))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.W(x).addcmul(self.u, h).relu_()
        return h, h


class LMU(nn.Module):
    """Voelker et al. 2019, Legendre Memory Units.

    u = e_x x + e_h h + e_m m;  m' = A m + B u;  h' = tanh(W_x x + W_h h + W_m m'), with A and B
    those of the Legendre polynomials, held for one step of 1 / θ
    """

    def __init__(self, input_size: int, hidden_size: int, order: int = 3, theta: int = 6) -> None:
        super().__init__()
        self.state_size = (hidden_size, order)
        q = torch.arange(order, dtype=torch.float64)
        rows, columns = torch.meshgrid(q, q, indexing="ij")
        sign = torch.where(rows < columns, -1.0, (-1.0) ** (rows - columns + 1))
        A = sign * (2 * rows + 1) / theta
        B = ((-1.0) ** q * (2 * q + 1) / theta)[:, None]
        held = torch.matrix_exp(F.pad(torch.cat([A, B], 1), (0, 0, 0, 1)))
        self.register_buffer("A", held[:order, :order].to(torch.get_default_dtype()))
        self.register_buffer("B", held[:order, order:].to(torch.get_default_dtype()))
        self.encode = nn.Linear(input_size + hidden_size + order, 1, bias=False)
        self.kernel = nn.Linear(input_size + hidden_size + order, hidden_size)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, m = state
        u = self.encode(torch.cat((x, h, m), dim=1))
        m = F.linear(m, self.A) + F.linear(u, self.B)
        h = torch.tanh(self.kernel(torch.cat((x, h, m), dim=1)))
        return h, (h, m)


class EchoState(nn.Module):
    """Jaeger 2001, Echo State Networks, leaky: only the readout learns.

    h' = (1 - a) h + a tanh(W_in x + W h);  y = V h'
    """

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.3) -> None:
        super().__init__()
        self.state_size, self.leak = hidden_size, leak
        W = torch.randn(hidden_size, hidden_size) * (torch.rand(hidden_size, hidden_size) < 0.6)
        self.register_buffer("W", 0.9 * W / torch.linalg.eigvals(W).abs().max())
        self.register_buffer("W_in", torch.rand(hidden_size, input_size) - 0.5)
        self.readout = nn.Linear(hidden_size, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.tanh(self.W_in.mm(x.t()) + self.W.mm(h.t())).t()
        h = torch.lerp(h, new, self.leak)
        return self.readout(h), h


class UnitaryRNN(nn.Module):
    """Arjovsky et al. 2016, Unitary Evolution Recurrent Neural Networks; the state is complex.

    z = D_3 R_2 F⁻¹ D_2 Π R_1 F D_1 h + V x, with D diagonal of modulus one, R a reflection, F the
    Fourier transform, Π a permutation;  h' = z / |z| max(0, |z| + b);  y = W [Re h', Im h']
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.phases = nn.Parameter(math.pi * (2 * torch.rand(3, hidden_size) - 1))
        complex_dtype = torch.get_default_dtype().to_complex()
        self.reflections = nn.Parameter(torch.randn(2, hidden_size, dtype=complex_dtype))
        self.V = nn.Parameter(torch.randn(input_size, hidden_size, dtype=complex_dtype))
        self.bias = nn.Parameter(0.1 * torch.randn(hidden_size))
        self.register_buffer("permutation", torch.randperm(hidden_size))
        self.out = nn.Linear(2 * hidden_size, 2)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.V.new_ones(batch_size, self.hidden_size) / math.sqrt(2 * self.hidden_size)

    def reflect(self, h: Tensor, v: Tensor) -> Tensor:
        v = v / v.norm()
        return h - 2 * (h @ v.conj()).unsqueeze(-1) * v

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        d1, d2, d3 = torch.exp(1j * self.phases)
        z = torch.fft.fft(d1 * h, norm="ortho")
        z = self.reflect(z, self.reflections[0])[:, self.permutation]
        z = torch.fft.ifft(d2 * z, norm="ortho")
        z = d3 * self.reflect(z, self.reflections[1]) + x.to(self.V.dtype) @ self.V
        modulus = z.abs() + 1e-6
        h = z / modulus * F.relu(modulus + self.bias)
        return self.out(torch.view_as_real(h).flatten(1)), h


class RotationRNN(nn.Module):
    """Jing et al. 2017, Tunable Efficient Unitary Neural Networks, by rotations of pairs, real.

    h ← rotation of each pair (2 j, 2 j + 1), then of each pair (2 j + 1, 2 j + 2), by turns;
    h' = modReLU(h + V x)
    """

    def __init__(self, input_size: int, hidden_size: int, capacity: int = 2) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.angles = nn.Parameter(math.pi * torch.rand(capacity, hidden_size // 2))
        self.V = nn.Linear(input_size, hidden_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden_size).uniform_(-0.01, 0.01))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        for layer, angle in enumerate(self.angles):
            cos, sin = angle.cos(), angle.sin()
            a, b = h[:, ::2], h[:, 1::2]
            h = torch.stack((cos * a - sin * b, sin * a + cos * b), dim=-1).view(h.size(0), -1)
            h = torch.roll(h, 1 if layer % 2 == 0 else -1, dims=1)
        z = h + self.V(x)
        h = torch.sign(z) * F.relu(torch.abs(z) + self.bias)
        return h, h


class OrthogonalRNN(nn.Module):
    """Lezcano-Casado and Martínez-Rubio 2019: an orthogonal matrix by the exponential map.

    U = exp(A - Aᵀ);  h' = tanh(W x + U h)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.utils.parametrizations.orthogonal(
            nn.Linear(hidden_size, hidden_size, bias=False), orthogonal_map="matrix_exp"
        )

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.W(x) + self.U(h))
        return h, h


class TensorTrainRNN(nn.Module):
    """Yang et al. 2017, Tensor-Train Recurrent Neural Networks: the input's matrix as two cores.

    W[i j, k l] = Σ_r G_1[i, k, r] G_2[r, j, l];  h' = tanh(W x + U h + b)
    """

    def __init__(self, input_size: int, hidden_size: int, rank: int = 2) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.left = nn.Parameter(torch.randn(2, 2, rank) / 2)
        self.right = nn.Parameter(torch.randn(rank, input_size // 2, hidden_size // 2) / 2)
        self.U = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        x = x.view(x.shape[0], 2, -1)
        z = torch.einsum("bij,ikr,rjl->bkl", x, self.left, self.right)
        h = torch.tanh(z.reshape(h.shape) + self.U(h))
        return h, h
