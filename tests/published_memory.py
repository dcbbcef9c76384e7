"""Cells with a memory, attention, or a state of more than one axis, from papers.

Notation: σ is the logistic function, ⊗ the outer product, ⟨a, b⟩ the inner product, * a
convolution, [a, b] stands for concatenation, a prime for the value after the step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Pair = tuple[Tensor, Tensor]


class NTM(nn.Module):
    """Graves et al. 2014, Neural Turing Machines, addressing by content alone.

    w = softmax(β cos(k, M));  M' = M (1 - w ⊗ e) + w ⊗ a;  r = w M', with k, β, e, a from a GRU
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_slots: int = 3, width: int = 2
    ) -> None:
        super().__init__()
        self.hidden_size, self.num_slots, self.width = hidden_size, num_slots, width
        self.controller = nn.GRUCell(input_size + width, hidden_size)
        self.head = nn.Linear(hidden_size, 3 * width + 1)
        self.memory_bias = nn.Parameter(torch.randn(num_slots, width) / math.sqrt(width))

    def initial_state(self, batch_size: int) -> dict[str, Tensor]:
        zeros = self.memory_bias.new_zeros
        return {
            "h": zeros(batch_size, self.hidden_size),
            "read": zeros(batch_size, self.width),
            "memory": self.memory_bias.expand(batch_size, -1, -1).clone(),
        }

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        memory = state["memory"]
        h = self.controller(torch.cat([x, state["read"]], dim=1), state["h"])
        key, erase, add, strength = self.head(h).split([self.width] * 3 + [1], dim=1)
        match = F.cosine_similarity(memory + 1e-16, key.tanh().unsqueeze(1) + 1e-16, dim=-1)
        w = F.softmax(F.softplus(strength) * match, dim=1)
        memory = memory * (1 - torch.matmul(w.unsqueeze(-1), erase.sigmoid().unsqueeze(1)))
        memory = memory + torch.matmul(w.unsqueeze(-1), add.unsqueeze(1))
        read = torch.matmul(w.unsqueeze(1), memory).squeeze(1)
        return torch.cat([h, read], dim=1), {"h": h, "read": read, "memory": memory}


class DeltaNet(nn.Module):
    """Schlag et al. 2021, Linear Transformers Are Secretly Fast Weight Programmers: the delta rule.

    q, k, v = W x, q and k of length one;  β = σ(w x);  S' = S + β (v - S k) ⊗ k;  y = S' q
    """

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(input_size, 3 * size, bias=False)
        self.beta = nn.Linear(input_size, 1)
        self.out = nn.Linear(size, size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.out.weight.new_zeros(batch_size, self.size, self.size)

    def forward(self, x: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.normalize(F.silu(q), dim=-1), F.normalize(F.silu(k), dim=-1)
        old = torch.einsum("bij,bj->bi", S, k)
        S = S + torch.einsum("bi,bj->bij", self.beta(x).sigmoid() * (v - old), k)
        return self.out(torch.einsum("bij,bj->bi", S, q)), S


class MLSTM(nn.Module):
    """Beck et al. 2024, xLSTM: the matrix memory with exponential gates, kept in range by m.

    m' = max(f̃ + m, ĩ);  i = exp(ĩ - m');  f = exp(f̃ + m - m')
    C' = f C + i v ⊗ k;  n' = f n + i k;  h = o C' q / max(|⟨n', q⟩|, exp(-m'))
    """

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(input_size, 3 * size)
        self.gates = nn.Linear(input_size, 2)
        self.out_gate = nn.Linear(input_size, size)

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        zeros = self.gates.weight.new_zeros
        size = self.size
        return zeros(batch_size, size, size), zeros(batch_size, size), zeros(batch_size, 1)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        C, n, m = state
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        k = k / math.sqrt(self.size)
        log_i, f = self.gates(x).chunk(2, dim=-1)
        log_f = F.logsigmoid(f)
        new_m = torch.maximum(log_f + m, log_i)
        i, f = torch.exp(log_i - new_m), torch.exp(log_f + m - new_m)
        C = f.unsqueeze(-1) * C + i.unsqueeze(-1) * (v.unsqueeze(-1) @ k.unsqueeze(-2))
        n = f * n + i * k
        scale = torch.maximum((n * q).sum(-1, keepdim=True).abs(), torch.exp(-new_m))
        h = torch.sigmoid(self.out_gate(x)) * (C @ q.unsqueeze(-1)).squeeze(-1) / scale
        return h, (C, n, new_m)


class RelationalMemory(nn.Module):
    """Santoro et al. 2018, Relational Recurrent Neural Networks.

    M̃ = LN(M + attention(M, [M, x]));  M̃ = LN(M̃ + MLP(M̃));  M' = σ(f) M + σ(i) tanh(M̃),
    with f, i from x and tanh(M)
    """

    def __init__(self, input_size: int, size: int, num_slots: int = 3, num_heads: int = 2) -> None:
        super().__init__()
        self.num_slots, self.size = num_slots, size
        self.embed = nn.Linear(input_size, size)
        self.attention = nn.MultiheadAttention(size, num_heads, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.mlp = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))
        self.gate_x, self.gate_m = nn.Linear(size, 2 * size), nn.Linear(size, 2 * size)

    def initial_state(self, batch_size: int) -> Tensor:
        eye = torch.eye(self.num_slots, self.size, dtype=self.embed.weight.dtype)
        return eye.unsqueeze(0).repeat(batch_size, 1, 1)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        token = self.embed(x).unsqueeze(1)
        both = torch.cat([memory, token], dim=1)
        seen, _ = self.attention(memory, both, both, need_weights=False)
        new = self.norms[0](memory + seen)
        new = self.norms[1](new + self.mlp(new))
        f, i = (self.gate_x(token) + self.gate_m(memory.tanh())).chunk(2, dim=-1)
        memory = torch.sigmoid(f + 1) * memory + torch.sigmoid(i) * torch.tanh(new)
        return memory.flatten(1), memory


class RIM(nn.Module):
    """Goyal et al. 2021, Recurrent Independent Mechanisms.

    Each block looks at [x, 0]; the k blocks that look least at 0 run a step of their own GRU and
    then look at the others; the rest keep their state.
    """

    def __init__(
        self, input_size: int, size: int, num_blocks: int = 3, num_active: int = 2
    ) -> None:
        super().__init__()
        self.shape, self.num_active = (num_blocks, size), num_active
        self.key, self.value = nn.Linear(input_size, size), nn.Linear(input_size, size)
        self.query = nn.Parameter(torch.randn(num_blocks, size, size) / math.sqrt(size))
        self.ih = nn.Parameter(torch.randn(num_blocks, size, 3 * size) / math.sqrt(size))
        self.hh = nn.Parameter(torch.randn(num_blocks, size, 3 * size) / math.sqrt(size))
        self.talk = nn.Linear(size, 3 * size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.query.new_zeros(batch_size, *self.shape)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        batch_size, (_, size) = x.shape[0], self.shape
        both = torch.stack([x, torch.zeros_like(x)], dim=1)
        query = torch.einsum("bnd,nde->bne", h + 1, self.query)
        scores = torch.softmax(query @ self.key(both).transpose(1, 2) / math.sqrt(size), dim=-1)
        active = scores[..., 0].topk(self.num_active, dim=1).indices
        mask = torch.zeros_like(h[..., 0]).scatter_(1, active, 1.0).unsqueeze(-1)
        seen = scores @ self.value(both)
        from_x = torch.einsum("bnd,nde->bne", seen, self.ih).chunk(3, dim=-1)
        from_h = torch.einsum("bnd,nde->bne", h, self.hh).chunk(3, dim=-1)
        r, z = (torch.sigmoid(a + b) for a, b in zip(from_x[:2], from_h[:2], strict=True))
        new = (1 - z) * torch.tanh(from_x[2] + r * from_h[2]) + z * h
        q, k, v = self.talk(new).chunk(3, dim=-1)
        new = new + torch.softmax(torch.bmm(q, k.mT) / math.sqrt(size), -1) @ v
        h = mask * new + (1 - mask) * h
        return h.reshape(batch_size, -1), h


class AttentionDecoder(nn.Module):
    """Bahdanau et al. 2015: a decoder that looks at what an encoder left, held by the cell.

    e = v · tanh(W s + U m);  c = softmax(e) m;  s' = GRU([x, c], s)
    """

    def __init__(self, input_size: int, hidden_size: int, memory_size: int = 3) -> None:
        super().__init__()
        self.state_size = hidden_size
        self.from_state = nn.Linear(hidden_size, hidden_size, bias=False)
        self.from_memory = nn.Linear(memory_size, hidden_size)
        self.v = nn.Linear(hidden_size, 1, bias=False)
        self.gru = nn.GRUCell(input_size + memory_size, hidden_size)
        self.memory: Tensor | None = None

    def attend(self, memory: Tensor) -> None:
        """Look at a memory (B, S, M) from now on."""
        self.memory = memory

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        query = self.from_state(s).unsqueeze(1)
        e = self.v(torch.tanh(query + self.from_memory(self.memory))).squeeze(-1)
        context = torch.bmm(e.softmax(-1).unsqueeze(1), self.memory).squeeze(1)
        s = self.gru(torch.cat([x, context], -1), s)
        return torch.cat([s, context], -1), s


class GraphGRU(nn.Module):
    """Li et al. 2018, Diffusion Convolutional Recurrent Neural Network: a GRU on a graph's nodes.

    Every product of a GRU is W_0 z + W_1 A z + W_2 A A z, with A the normalised adjacency.
    """

    def __init__(self, input_size: int, hidden_size: int, num_nodes: int = 3) -> None:
        super().__init__()
        self.num_nodes, self.hidden_size = num_nodes, hidden_size
        adjacency = torch.eye(num_nodes).roll(1, 0) + torch.eye(num_nodes)
        self.register_buffer("A", adjacency / adjacency.sum(1, keepdim=True))
        self.gates = nn.Linear(3 * (input_size + hidden_size), 2 * hidden_size)
        self.candidate = nn.Linear(3 * (input_size + hidden_size), hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.A.new_zeros(batch_size, self.num_nodes, self.hidden_size)

    def diffuse(self, z: Tensor) -> Tensor:
        hops = [z]
        for _ in range(2):
            hops.append(torch.einsum("nm,bmf->bnf", self.A, hops[-1]))
        return torch.cat(hops, dim=-1)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        gates = torch.sigmoid(self.gates(self.diffuse(torch.cat([x, h], -1))))
        r, u = gates[..., : self.hidden_size], gates[..., self.hidden_size :]
        new = torch.tanh(self.candidate(self.diffuse(torch.cat([x, r * h], -1))))
        h = u * h + (1.0 - u) * new
        return h, h


class ConvLSTM(nn.Module):
    """Shi et al. 2015, Convolutional LSTM Network, with peepholes.

    i, f = σ(W * [x, h] + V c + b);  c' = f c + i tanh(W * [x, h] + b);  o = σ(... + V c')
    """

    def __init__(self, channels: int, hidden: int, height: int = 3, width: int = 2) -> None:
        super().__init__()
        self.shape = (hidden, height, width)
        self.conv = nn.Conv2d(channels + hidden, 4 * hidden, kernel_size=3, padding="same")
        self.peep_i, self.peep_f, self.peep_o = (
            nn.Parameter(0.1 * torch.randn(1, *self.shape)) for _ in range(3)
        )

    def initial_state(self, batch_size: int) -> Pair:
        zeros = torch.zeros(batch_size, *self.shape, dtype=self.conv.weight.dtype)
        return zeros, zeros

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, c = state
        i, f, g, o = torch.chunk(self.conv(torch.cat((x, h), dim=1)), 4, dim=1)
        i, f = torch.sigmoid(i + self.peep_i * c), torch.sigmoid(f + self.peep_f * c)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + self.peep_o * c) * torch.tanh(c)
        return h, (h, c)
