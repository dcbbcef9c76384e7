"""Gated cells from papers, written as their authors would write them in PyTorch.

Notation: σ is the logistic function, juxtaposed vectors are multiplied elementwise, [a, b] stands
for concatenation, a prime for the value after the step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Pair = tuple[Tensor, Tensor]


class WrappedLSTM(nn.Module):
    """Hochreiter and Schmidhuber 1997, with Gers' forget gate of 2000, by torch's own cell.

    i, f, o = σ(W x + U h + b);  g = tanh(W_g x + U_g h + b_g);  c' = f c + i g;  h' = o tanh(c')
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, c = self.cell(x, state)
        return h, (h, c)


class WrappedGRU(nn.Module):
    """Cho et al. 2014, by torch's own cell.

    r, z = σ(W x + U h + b);  n = tanh(W_n x + r (U_n h));  h' = (1 - z) n + z h
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.cell(x, h)
        return h, h


class SRU(nn.Module):
    """Lei et al. 2018, Simple Recurrent Units for Highly Parallelizable Recurrence.

    f = σ(W_f x + v_f c + b_f);  c' = f c + (1 - f) W x
    r = σ(W_r x + v_r c + b_r);  h = r c' + (1 - r) W_x x
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.weight = nn.Parameter(torch.empty(input_size, 4 * hidden_size))
        self.weight_c = nn.Parameter(torch.empty(2 * hidden_size).uniform_(-1, 1))
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        u = (x @ self.weight).view(x.size(0), -1, 4)
        v_f, v_r = self.weight_c.chunk(2)
        b_f, b_r = self.bias.chunk(2)
        f = torch.sigmoid(u[..., 1] + c * v_f + b_f)
        r = torch.sigmoid(u[..., 2] + c * v_r + b_r)
        c = u[..., 0] + (c - u[..., 0]) * f
        return (c - u[..., 3]) * r + u[..., 3], c


class QRNN(nn.Module):
    """Bradbury et al. 2017, Quasi-Recurrent Neural Networks: filters of width two, fo-pooling.

    z = tanh(W [x_before, x]);  f, o = σ(W [x_before, x]);  c' = f c + (1 - f) z;  h = o c'
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = {"c": hidden_size, "previous": input_size}
        self.filters = nn.Conv1d(input_size, 3 * hidden_size, kernel_size=2)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        window = torch.stack((state["previous"], x), dim=-1)
        z, f, o = self.filters(window).squeeze(-1).chunk(3, dim=1)
        z, f, o = z.tanh(), f.sigmoid(), o.sigmoid()
        c = f * state["c"] + (1 - f) * z
        return o * c, {"c": c, "previous": x}


class GRUD(nn.Module):
    """Che et al. 2018, Recurrent Neural Networks for Multivariate Time Series with Missing Values.

    The input holds values, a mask m of those that were seen, and the gaps δ since they were.
    γ = exp(-max(0, W δ + b));  x̂ = m x + (1 - m)(γ_x last + (1 - γ_x) mean);  h̃ = γ_h h
    r, z = σ(W x̂ + U h̃ + V m + b);  n = tanh(W x̂ + U (r h̃) + V m + b);  h' = (1 - z) h̃ + z n
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        num_values = input_size // 3
        self.state_size = (hidden_size, num_values)
        self.register_buffer("mean", torch.linspace(-0.5, 0.5, num_values))
        self.decay_x = nn.Parameter(torch.rand(num_values))
        self.decay_x_bias = nn.Parameter(torch.zeros(num_values))
        self.decay_h = nn.Linear(num_values, hidden_size)
        self.gates = nn.Linear(2 * num_values + hidden_size, 2 * hidden_size)
        self.candidate = nn.Linear(2 * num_values + hidden_size, hidden_size)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, last = state
        value, mask, gap = torch.chunk(x, 3, dim=1)
        gamma_x = torch.exp(-F.relu(self.decay_x * gap + self.decay_x_bias))
        gamma_h = torch.exp(-F.relu(self.decay_h(gap)))
        last = mask * value + (1 - mask) * last
        value = mask * value + (1 - mask) * (gamma_x * last + (1 - gamma_x) * self.mean)
        h = gamma_h * h
        r, z = self.gates(torch.cat((value, h, mask), 1)).sigmoid().chunk(2, 1)
        n = torch.tanh(self.candidate(torch.cat((value, r * h, mask), 1)))
        h = (1 - z) * h + z * n
        return h, (h, last)


class PhasedLSTM(nn.Module):
    """Neil et al. 2016, Phased LSTM; the time of each step is the last column of the input.

    φ = ((t - s) mod τ) / τ;  k = 2 φ / r below r / 2, 2 - 2 φ / r below r, α φ above
    c' = k c̃ + (1 - k) c;  h' = k h̃ + (1 - k) h, where h̃, c̃ are an LSTM's
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.lstm = nn.LSTMCell(input_size - 1, hidden_size)
        self.log_period = nn.Parameter(torch.empty(hidden_size).uniform_(0, 2))
        self.shift = nn.Parameter(torch.rand(hidden_size))
        self.ratio_on, self.leak = 0.4, 0.001

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, c = state
        time, x = x[:, -1:], x[:, :-1]
        period = self.log_period.exp()
        phase = torch.remainder(time - self.shift, period) / period
        falling = torch.where(
            phase < self.ratio_on, 2 - 2 * phase / self.ratio_on, self.leak * phase
        )
        k = torch.where(phase < self.ratio_on / 2, 2 * phase / self.ratio_on, falling)
        new_h, new_c = self.lstm(x, (h, c))
        h = k * new_h + (1 - k) * h
        c = k * new_c + (1 - k) * c
        return h, (h, c)


class Clockwork(nn.Module):
    """Koutník et al. 2014, A Clockwork RNN; the state holds how many steps there were.

    h' = tanh(W x + U h + b) in the groups whose period divides t, h in the others; U lets a group
    read itself and slower ones.
    """

    def __init__(
        self, input_size: int, hidden_size: int, periods: tuple[int, ...] = (1, 2)
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        size = hidden_size // len(periods)
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Parameter(torch.empty(hidden_size, hidden_size))
        nn.init.orthogonal_(self.U)
        self.register_buffer("periods", torch.tensor(periods).repeat_interleave(size))
        self.register_buffer("mask", (self.periods[:, None] <= self.periods).to(self.U.dtype))

    def initial_state(self, batch_size: int) -> Pair:
        return self.U.new_zeros(batch_size, self.hidden_size), self.periods.new_zeros(batch_size, 1)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, t = state
        new = torch.tanh(self.W(x) + F.linear(h, self.U * self.mask))
        h = torch.where(t % self.periods == 0, new, h)
        return h, (h, t + 1)


class MogrifierLSTM(nn.Module):
    """Melis et al. 2020, Mogrifier LSTM: x and h scale each other before an LSTM sees them.

    x ← 2 σ(Q h) x and h ← 2 σ(R x) h by turns, five rounds
    """

    def __init__(self, input_size: int, hidden_size: int, num_rounds: int = 5) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.lstm = nn.LSTMCell(input_size, hidden_size)
        sizes = [(hidden_size, input_size), (input_size, hidden_size)]
        self.rounds = nn.ModuleList([nn.Linear(*sizes[i % 2]) for i in range(num_rounds)])

    def mogrify(self, x: Tensor, h: Tensor) -> Pair:
        for i, layer in enumerate(self.rounds):
            if i % 2 == 0:
                x = 2 * torch.sigmoid(layer(h)) * x
            else:
                h = 2 * torch.sigmoid(layer(x)) * h
        return x, h

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        x, h = self.mogrify(x, state[0])
        h, c = self.lstm(x, (h, state[1]))
        return h, (h, c)


class HyperLSTM(nn.Module):
    """Ha et al. 2017, HyperNetworks: a small LSTM scales the rows of the weights of a larger one.

    ĥ', ĉ' = LSTM([h, x], (ĥ, ĉ));  gate = LN(d_h(ĥ') W_h h + d_x(ĥ') W_x x + b(ĥ'))
    """

    def __init__(
        self, input_size: int, hidden_size: int, hyper_size: int = 3, rank: int = 2
    ) -> None:
        super().__init__()
        self.sizes = {"main": hidden_size, "hyper": hyper_size}
        self.hyper = nn.LSTMCell(hidden_size + input_size, hyper_size)
        self.from_h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.from_x = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.embed = nn.ModuleDict({k: nn.Linear(hyper_size, 4 * rank) for k in ("h", "x", "b")})
        self.scale = nn.ModuleDict(
            {
                k: nn.ModuleList([nn.Linear(rank, hidden_size, bias=False) for _ in range(4)])
                for k in self.embed
            }
        )
        self.norms = nn.ModuleList([nn.LayerNorm(hidden_size) for _ in range(4)])
        self.norm_c = nn.LayerNorm(hidden_size)

    def initial_state(self, batch_size: int) -> tuple[Pair, Pair]:
        zeros = self.from_h.weight.new_zeros
        main, hyper = zeros(batch_size, self.sizes["main"]), zeros(batch_size, self.sizes["hyper"])
        return (main, main), (hyper, hyper)

    def forward(self, x: Tensor, state: tuple[Pair, Pair]) -> tuple[Tensor, tuple[Pair, Pair]]:
        (h, c), hyper_state = state
        hyper_state = self.hyper(torch.cat([h, x], dim=-1), hyper_state)
        codes = {k: embed(hyper_state[0]).chunk(4, -1) for k, embed in self.embed.items()}
        from_h, from_x = self.from_h(h).chunk(4, -1), self.from_x(x).chunk(4, -1)
        gates = []
        for i, norm in enumerate(self.norms):
            d_h, d_x, b = (self.scale[k][i](codes[k][i]) for k in ("h", "x", "b"))
            gates.append(norm(d_h * from_h[i] + d_x * from_x[i] + b))
        i, f, g, o = gates
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
        return h, ((h, c), hyper_state)


class FastGRNN(nn.Module):
    """Kusupati et al. 2018, FastGRNN: one product of low rank for the gate and the candidate.

    p = W_1 W_2 x + U_1 U_2 h;  z = σ(p + b_z);  n = tanh(p + b_n);  h' = (ζ (1 - z) + ν) n + z h
    """

    def __init__(self, input_size: int, hidden_size: int, rank: int = 2) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.W1 = nn.Parameter(0.5 * torch.randn(rank, input_size))
        self.W2 = nn.Parameter(0.5 * torch.randn(hidden_size, rank))
        self.U1 = nn.Parameter(0.5 * torch.randn(rank, hidden_size))
        self.U2 = nn.Parameter(0.5 * torch.randn(hidden_size, rank))
        self.bias_gate = nn.Parameter(torch.ones(1, hidden_size))
        self.bias_update = nn.Parameter(torch.ones(1, hidden_size))
        self.zeta = nn.Parameter(torch.ones(1, 1))
        self.nu = nn.Parameter(-4 * torch.ones(1, 1))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        p = torch.matmul(torch.matmul(x, self.W1.t()), self.W2.t())
        p = p + torch.matmul(torch.matmul(h, self.U1.t()), self.U2.t())
        z = torch.sigmoid(p + self.bias_gate)
        n = torch.tanh(p + self.bias_update)
        h = z * h + (torch.sigmoid(self.zeta) * (1.0 - z) + torch.sigmoid(self.nu)) * n
        return h, h


class WeightNormGRU(nn.Module):
    """Salimans and Kingma 2016, Weight Normalization, on both matrices of a GRU.

    W = g v / |v|, row by row
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = hidden_size
        norm = nn.utils.parametrizations.weight_norm
        self.ih = norm(nn.Linear(input_size, 3 * hidden_size))
        self.hh = norm(nn.Linear(hidden_size, 3 * hidden_size))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        r_x, z_x, n_x = self.ih(x).chunk(3, 1)
        r_h, z_h, n_h = self.hh(h).chunk(3, 1)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        h = n + z * (h - n)
        return h, h


class BatchNormLSTM(nn.Module):
    """Cooijmans et al. 2017, Recurrent Batch Normalization; in training the rows mix.

    i, f, o, g = BN(W x) + BN(U h) + b;  c' = σ(f) c + σ(i) tanh(g);  h' = σ(o) tanh(BN(c'))
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.ih = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.hh = nn.Linear(hidden_size, 4 * hidden_size)
        self.norm_x = nn.BatchNorm1d(4 * hidden_size)
        self.norm_h = nn.BatchNorm1d(4 * hidden_size)
        self.norm_c = nn.BatchNorm1d(hidden_size)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, c = state
        i, f, o, g = torch.split(self.norm_x(self.ih(x)) + self.norm_h(self.hh(h)), h.size(1), 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * self.norm_c(c).tanh()
        return h, (h, c)


class ZoneoutLSTM(nn.Module):
    """Krueger et al. 2017, Zoneout, with the recurrent dropout of Semeniuta et al. 2016.

    c' = f c + i dropout(g);  h', c' keep each unit of h, c with probability p; on average in `eval`
    """

    def __init__(self, input_size: int, hidden_size: int, keep: float = 0.3) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.gates = nn.Linear(input_size + hidden_size, 4 * hidden_size)
        self.keep = keep

    def zoneout(self, old: Tensor, new: Tensor) -> Tensor:
        if self.training:
            return torch.where(torch.rand_like(new) < self.keep, old, new)
        return self.keep * old + (1 - self.keep) * new

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, c = state
        i, f, g, o = self.gates(torch.cat((x, h), dim=1)).chunk(4, dim=1)
        g = F.dropout(torch.tanh(g), 0.25, self.training)
        new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
        new_h = torch.sigmoid(o) * torch.tanh(new_c)
        h, c = self.zoneout(h, new_h), self.zoneout(c, new_c)
        return h, (h, c)
