"""LSTMs before and after the usual one: the first, eight variations on it, the exponential one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from rondo.cells.cell import Cell, check_choice

GATES = {
    "vanilla": "ifgo",
    "NIG": "fgo",
    "NFG": "igo",
    "NOG": "ifg",
    "NIAF": "ifgo",
    "NOAF": "ifgo",
    "CIFG": "igo",
    "NP": "ifgo",
    "FGR": "ifgo",
}
"""The variants, and what each computes from x and h."""


class LSTM1997Cell(Cell):
    """The first LSTM: no forget gate, so a cell keeps its content with weight 1 for ever.

    i, g, o = W_ih x(t) + W_hh h(t-1) + b, each H wide;
    c(t) = c(t-1) + σ(i) (4 σ(g) - 2);  h(t) = σ(o) (2 σ(c(t)) - 1); the output is h(t).

    Hochreiter & Schmidhuber, "Long short-term memory", 1997. The paper cuts the gradient where it
    would flow back from i, g and o to h(t-1), so that it goes back in time through c alone; that is
    `truncate`. By default the whole gradient is taken. Memory cells that share gates (the paper's
    blocks) are left out.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of h, c and the output.
        bias: Whether there is b.
        truncate: Whether to cut the gradient as the paper does.

    Shape:
        x (B, I), state (h, c) of (B, H) each; output (B, H). `weight_ih` (3H, I), `weight_hh`
        (3H, H), `bias_ih` (3H), in the order i, g, o.

    Example:
        >>> import torch, rondo
        >>> y, (h, c) = rondo.Recurrent(rondo.LSTM1997Cell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, truncate: bool = False
    ) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self.truncate = truncate
        self._add_weights(3, bias=bias, recurrent_bias=False)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: the output h and the new state (h, c)."""
        h, c = state
        h = h.detach() if self.truncate else h
        i, g, o = (linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh)).chunk(3, -1)
        c = c + torch.sigmoid(i) * (4 * torch.sigmoid(g) - 2)
        h = torch.sigmoid(o) * (2 * torch.sigmoid(c) - 1)
        return h, (h, c)


class LSTMVariantCell(Cell):
    """The LSTM with peepholes, and eight cells that differ from it in one thing each.

    i = σ(W_i x(t) + R_i h(t-1) + p_i c(t-1) + b_i);  f likewise;  g = tanh(W_g x(t) + R_g h(t-1) +
    b_g);  c(t) = f c(t-1) + i g;  o = σ(W_o x(t) + R_o h(t-1) + p_o c(t) + b_o);
    h(t) = o tanh(c(t)); the output is h(t).

    Greff et al., "LSTM: a search space odyssey", 2017, whose finding is that none is better than
    the plain one, and that the forget gate and the output activation matter most.

    | variant | differs by |
    |---------|------------|
    | vanilla | nothing |
    | NIG     | no input gate: i = 1 |
    | NFG     | no forget gate: f = 1 |
    | NOG     | no output gate: o = 1 |
    | NIAF    | no input activation: g = a, the sum that the tanh would get |
    | NOAF    | no output activation: h = o c |
    | CIFG    | coupled gates: f = 1 - i |
    | NP      | no peepholes |
    | FGR     | full gate recurrence: i, f and o also get Q [i(t-1), f(t-1), o(t-1)] |

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of h, c and the output.
        variant: Its name in the paper.

    Shape:
        x (B, I), state (h, c) of (B, H) each, for FGR (h, c, i, f, o); output (B, H). With G of the
        gates i, f, g, o left, in this order: `weight_ih` (G H, I), `weight_hh` (G H, H), `bias_ih`
        (G H); `peephole_i`, `peephole_f`, `peephole_o` (H); for FGR `weight_gates` Q (3H, 3H).

    Example:
        >>> import torch, rondo
        >>> cell = rondo.LSTMVariantCell(3, 5, variant="CIFG")
        >>> y, (h, c) = rondo.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, *, variant: str = "vanilla") -> None:
        check_choice("variant", variant, GATES)
        super().__init__(input_size, hidden_size, (hidden_size,) * (5 if variant == "FGR" else 2))
        self.variant, self.gates = variant, GATES[variant]
        for gate in "ifo":
            seen = gate in self.gates and variant != "NP"
            peephole = nn.Parameter(torch.empty(hidden_size)) if seen else None
            self.register_parameter(f"peephole_{gate}", peephole)
        self.weight_gates: nn.Parameter | None = None
        if variant == "FGR":
            self.weight_gates = nn.Parameter(torch.empty(3 * hidden_size, 3 * hidden_size))
        self._add_weights(len(self.gates), bias=True, recurrent_bias=False)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step: the output h and the new state."""
        h, c, *gates_before = state
        a = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh)
        net = dict(zip(self.gates, a.chunk(len(self.gates), -1), strict=True))
        if self.weight_gates is not None:
            from_gates = linear(torch.cat(gates_before, -1), self.weight_gates).chunk(3, -1)
            net |= {gate: net[gate] + more for gate, more in zip("ifo", from_gates, strict=True)}
        i, f = self._gate("i", net, c), self._gate("f", net, c)
        f = 1 - i if self.variant == "CIFG" and i is not None else f
        g = net["g"] if self.variant == "NIAF" else torch.tanh(net["g"])
        c = _gated(f, c) + _gated(i, g)
        o = self._gate("o", net, c)
        h = _gated(o, c if self.variant == "NOAF" else torch.tanh(c))
        new = (h, c, i, f, o) if self.variant == "FGR" else (h, c)
        return h, new  # type: ignore[return-value]

    def _gate(self, name: str, net: dict[str, Tensor], c: Tensor) -> Tensor | None:
        if name not in net:
            return None
        peephole = getattr(self, f"peephole_{name}")
        return torch.sigmoid(net[name] if peephole is None else net[name] + peephole * c)


def _gated(gate: Tensor | None, value: Tensor) -> Tensor:
    """What a gate lets through; a gate that is not there lets everything through."""
    return value if gate is None else gate * value


class SLSTMCell(Cell):
    """The scalar LSTM of xLSTM: exponential gates, a normaliser n, a stabiliser m, heads.

    i, f, g, o = W x(t) + R h(t-1) + b, each H wide;  l = log σ(f);  m(t) = max(l + m(t-1), i);
    f' = exp(l + m(t-1) - m(t));  i' = exp(i - m(t));  c(t) = f' c(t-1) + i' tanh(g);
    n(t) = f' n(t-1) + i';  h(t) = σ(o) c(t) / n(t); the output is h(t).

    Beck et al., "xLSTM: extended long short-term memory", 2024, with its sigmoid form of the forget
    gate. m is there for the numbers' sake alone: c and n are kept divided by exp(m), h is the same
    for every m. The first m is -10000 in place of minus infinity: whatever c and n start with is
    forgotten then, as with the paper's zeros. A head is a block of R on its diagonal.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        num_heads: The blocks of R; H must be a multiple of it.

    Shape:
        x (B, I), state (h, c, n, m) of (B, H) each; output (B, H). `weight_ih` (4H, I) and
        `bias_ih` (4H) in the order i, f, g, o; `weight_hh` R (N, H/N, 4H/N) for N heads, columns in
        the same order.

    Example:
        >>> import torch, rondo
        >>> cell = rondo.SLSTMCell(3, 6, num_heads=2)
        >>> y, (h, c, n, m) = rondo.Recurrent(cell)(torch.ones(2, 7, 3))
        >>> y.shape, bool((y.abs() <= 1).all())
        (torch.Size([2, 7, 6]), True)
    """

    def __init__(self, input_size: int, hidden_size: int, *, num_heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, (hidden_size,) * 4)
        if not isinstance(num_heads, int) or num_heads < 1 or hidden_size % num_heads:
            raise ValueError(
                f"num_heads must divide hidden_size = {hidden_size}, got {num_heads!r}"
            )
        self.num_heads = num_heads
        size = hidden_size // num_heads
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(num_heads, size, 4 * size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """Zeros, but for m."""
        zeros = self.weight_ih.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros, zeros, torch.full_like(zeros, -1e4)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step: the output h and the new state (h, c, n, m)."""
        h, c, n, m = state
        from_x = linear(x, self.weight_ih, self.bias_ih).chunk(4, -1)
        i, f, g, o = (a + b for a, b in zip(from_x, self._from_heads(h), strict=True))
        kept = m - softplus(-f)  # log σ(f) + m
        m = torch.maximum(kept, i)
        keep, add = torch.exp(kept - m), torch.exp(i - m)
        c = keep * c + add * torch.tanh(g)
        n = keep * n + add
        h = torch.sigmoid(o) * c / n
        return h, (h, c, n, m)

    def _from_heads(self, h: Tensor) -> tuple[Tensor, ...]:
        """R h(t-1): i, f, g, o."""
        heads = h.unflatten(-1, (self.num_heads, -1)).transpose(0, 1)
        products = torch.bmm(heads, self.weight_hh).chunk(4, -1)
        return tuple(product.transpose(0, 1).flatten(1) for product in products)
