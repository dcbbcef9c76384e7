"""The lines that drawn cells are made of, as data.

A step reads its state, computes z (B, H) from x and h by a *core*, changes z by *pieces*, takes a
new h from it by an *end*, and gives an *output* and the new state. In the lines `$H` is the width,
`$HALF` half of it, `$ORDER` a list of its columns in another order, and `$p` and `$q` are names of
the cell's that are drawn too. `draw(*shape)` gives numbers that are the same at every build.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Rows = Literal["alone", "whole", "mixed"]
"""What a row depends on: itself; also how many rows or steps there were; also the other rows."""


def short_repr(value: Any) -> str:
    """What makes a dataclass again, without what is as by default."""
    told = [
        f"{field.name}={getattr(value, field.name)!r}"
        for field in fields(value)
        if getattr(value, field.name) != field.default
    ]
    return f"{type(value).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class Piece:
    """Some lines of a step.

    Args:
        step: Lines of `forward`.
        setup: Lines of `__init__`.
        before: Lines before the class: what it reads from outside.
        outside: The names of tensors there that get a gradient, and where they are.
        change: A line that changes the cell between two calls.
        rows: What a row depends on.
        is_no_graph: Whether no graph holds all that it does: it reads values, or changes its cell.
        jumps: Whether rounding can change the result by much.
    """

    step: str
    setup: str = ""
    before: str = ""
    outside: tuple[tuple[str, str], ...] = ()
    change: str = ""
    rows: Rows = "alone"
    is_no_graph: bool = False
    jumps: bool = False

    __repr__ = short_repr


@dataclass(frozen=True, repr=False)
class StateForm:
    """A form of the state.

    Args:
        read: Lines that take h, and c where it has one, out of `state`.
        write: The new state.
        setup: Lines of `__init__`.
        methods: Lines of the class.
        update: Lines that compute the rest of the new state from z.
        before: Lines before the class.
    """

    read: str
    write: str
    setup: str = ""
    methods: str = ""
    update: str = ""
    before: str = ""

    __repr__ = short_repr


# ---- what the lines call ----


class ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is scaled: minus one reverses it."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * grad, None


class Spike(torch.autograd.Function):
    """One above zero, with the gradient of a smooth step, in the newer form."""

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return (z > 0).to(z.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad / (1 + z.abs()) ** 2


class SplitSign(torch.autograd.Function):
    """The modulus and the sign; only the modulus has a gradient, and it forgets the sign."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        sign = z.sign()
        ctx.mark_non_differentiable(sign)
        return z.abs(), sign

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Tensor:
        return grad


@dataclass
class HeldPair:
    """A state as a dataclass."""

    h: Tensor
    c: Tensor


pytree.register_dataclass(HeldPair)


# ---- states ----


def made(state: str) -> str:
    """A method that makes the state from zeros."""
    return f"""def initial_state(self, batch_size):
    like = next(self.parameters())
    zeros = like.new_zeros(batch_size, $H)
    return {state}"""


MIX_C = "c = 0.5 * c + 0.5 * torch.tanh(z)"

STATES = [
    StateForm("h = state", "h", "self.state_size = $H"),
    StateForm("h, c = state", "(h, c)", "self.state_size = ($H, $H)", update=MIX_C),
    StateForm("h, c = state\nh = h * c.cos()", "(h, h)", "self.state_size = ($H, $H)"),
    StateForm("h, c = state\nh = h + 0.1 * c", "(h, c)", "self.state_size = ($H, $H)"),
    StateForm(
        'h, c = state["$p"], state["$q"]',
        '{"$p": h, "$q": c}',
        'self.state_size = {"$p": $H, "$q": $H}',
        update=MIX_C,
    ),
    StateForm(
        "h, c = state.chunk(2, -1)",
        "torch.cat([h, c], -1)",
        "self.state_size = 2 * $H",
        update=MIX_C,
    ),
    StateForm("h, c = state", "[h, c]", methods=made("[zeros, zeros]"), update=MIX_C),
    StateForm("(h,) = state", "[h]", methods=made("[zeros]")),
    StateForm(
        "h, c = state.h, state.c",
        "State(h=h, c=c)",
        methods=made("State(zeros, zeros)"),
        update=MIX_C,
        before="class State(NamedTuple):\n    h: Tensor\n    c: Tensor",
    ),
    StateForm(
        "h, c = state.h, state.c",
        "HeldPair(h, c)",
        methods=made("HeldPair(zeros, zeros)"),
        update=MIX_C,
    ),
    StateForm(
        '(h, c), rest = state\ne = rest["int"]\nh = h + 0.1 * e',
        '((h, c), {"int": e})',
        methods=made('((zeros, zeros), {"int": zeros})'),
        update=MIX_C + "\ne = e - z.sigmoid()",
    ),
    StateForm(
        "h, n = state\nh = h * (1 + 0.1 * (n % 2))",
        "(h, n)",
        methods=made("(zeros, torch.zeros(batch_size, 1, dtype=torch.int64))"),
        update="n = n + 1",
    ),
    StateForm(
        "h, seen = state\nh = torch.where(seen, h, -h)",
        "(h, seen)",
        methods=made("(zeros, torch.zeros(batch_size, 1, dtype=torch.bool))"),
        update="seen = seen | (z[:, :1] > 0)",
    ),
    StateForm(
        "h, A = state\nh = h + 0.1 * torch.bmm(A, h.unsqueeze(2)).squeeze(2)",
        "(h, A)",
        methods=made("(zeros, like.new_zeros(batch_size, $H, $H))"),
        update="A = 0.5 * A + torch.tanh(z).unsqueeze(2) * h.unsqueeze(1)",
    ),
    StateForm(
        "h, c = state",
        "(h, c)",
        "self.$p = nn.Parameter(draw($H))",
        methods=made("(zeros, self.$p.expand(batch_size, -1))"),
        update=MIX_C,
    ),
    StateForm(
        "h = x.new_zeros(len(x), $H)",
        "()",
        methods="def initial_state_for(self, x):\n    return ()",
    ),
]
"""The last one is that of a cell without a state."""


# ---- cores ----

CORES = [
    Piece(
        "z = self.$p(x) + self.$q(h)",
        "self.$p = nn.Linear(3, $H)\nself.$q = nn.Linear($H, $H, bias=False)",
    ),
    Piece("z = self.$p(torch.cat([x, h], -1))", "self.$p = nn.Linear(3 + $H, $H)"),
    Piece("z, _ = self.$p(x, (h, torch.tanh(h)))", "self.$p = nn.LSTMCell(3, $H)"),
    Piece("_, z = self.$p(x, (h, h.sin()))", "self.$p = nn.LSTMCell(3, $H, bias=False)"),
    Piece("z = self.$p(x, h)", "self.$p = nn.GRUCell(3, $H)"),
    Piece("z = self.$p(x, h)", "self.$p = nn.RNNCell(3, $H)"),
    Piece("z = self.$p(x, h)", 'self.$p = nn.RNNCell(3, $H, nonlinearity="relu")'),
    Piece(
        "z = self.$p(torch.cat((x, h), dim=1))",
        "self.$p = nn.Sequential(nn.Linear(3 + $H, 5), nn.Tanh(), nn.Linear(5, $H))",
    ),
    Piece(
        "z = x @ self.$p.T + h @ self.$q",
        "self.$p = nn.Parameter(draw($H, 3))\nself.$q = nn.Parameter(draw($H, $H))",
    ),
    Piece(
        "z = torch.addmm(self.$p[0], x, self.$p[1]).addmm(h, self.$p[2])",
        "self.$p = nn.ParameterList([draw($H), draw(3, $H), draw($H, $H)])",
    ),
    Piece(
        "z = self.$q(x)\nfor layer in self.$p:\n    z = z + layer(torch.tanh(z + h))",
        "self.$p = nn.ModuleList([nn.Linear($H, $H) for _ in range(2)])\n"
        "self.$q = nn.Linear(3, $H)",
    ),
    Piece(
        'z = self.$p["in"](x) * self.$p["gate"](h).sigmoid() + self.$p["in"].bias * h',
        'self.$p = nn.ModuleDict({"in": nn.Linear(3, $H), "gate": nn.Linear($H, $H)})',
    ),
    Piece(
        'z = torch.einsum("bi,bj,ijk->bk", x, h + 1, self.$p)',
        "self.$p = nn.Parameter(draw(3, $H, $H))",
    ),
    Piece("z = self.$p(x, h + 1)", "self.$p = nn.Bilinear(3, $H, $H)"),
    Piece(
        "u = self.$p(x)\nr = torch.sigmoid(u[:, :$H] + h)\nz = u[:, $H:] + r * self.$q(h)",
        "self.$p = nn.Linear(3, 2 * $H)\nself.$q = nn.Linear($H, $H)",
    ),
    Piece(
        "z = self.$q[0](x) + self.$q[1](h)",
        "self.$p = nn.ParameterDict({'a': draw($H, 3), 'b': draw($H, $H)})\n"
        "self.$q = [functools.partial(F.linear, weight=w) for w in self.$p.values()]",
    ),
    Piece(
        "z = self.$p(x).unflatten(1, ($HALF, 2)).mean(2).repeat(1, 2) + self.$q(h)",
        "self.$p = nn.Linear(3, $H)\n"
        "self.$q = nn.utils.parametrizations.weight_norm(nn.Linear($H, $H))",
    ),
]
EMBEDDING = Piece(
    "z = self.$p(x) + self.$q(h)", "self.$p = nn.Embedding(7, $H)\nself.$q = nn.Linear($H, $H)"
)
"""Its x holds whole numbers."""


# ---- pieces ----

MATRIX = "self.$p = nn.Parameter(draw($H, $H))"
VECTOR = "self.$p = nn.Parameter(draw($H))"
ORDER = 'self.register_buffer("$p", torch.tensor($ORDER))'
LINEAR = "self.$p = nn.Linear($H, $H)"

VIEWS = [
    Piece("z = z.view(z.shape)"),
    Piece("z = z.reshape(z.shape[0], -1)"),
    Piece("z = z.view(-1, $H)"),
    Piece("z = z.view_as(h) * 1.5"),
    Piece("z = z.unflatten(-1, (2, $HALF)).flatten(1)"),
    Piece("z = z.reshape(-1, 2, $HALF).transpose(1, 2).reshape(-1, $H)"),
    Piece("z = z.reshape(len(z), 2, $HALF).mT.flatten(1)"),
    Piece("z = torch.cat(z.split($HALF + 1, -1)[::-1], -1)"),
    Piece("a, b = z.chunk(2, -1)\nz = torch.cat([a * b.sigmoid(), b], -1)"),
    Piece("z = torch.matmul(z.unsqueeze(1), self.$p).squeeze(1)", MATRIX),
    Piece("z = (self.$p @ z[:, :, None])[..., 0]", MATRIX),
    Piece("z = torch.cat([z[:, ::2], z[:, 1::2].tanh()], -1)"),
    Piece('z = torch.einsum("bi,ij->bj", z, self.$p)', MATRIX),
    Piece("z = torch.stack([z, -0.5 * z], -1).amax(-1)"),
    Piece("z = z.repeat(1, 2)[:, 1 : $H + 1]"),
    Piece("z = torch.stack(z.unbind(-1)[::-1], -1)"),
    Piece("z = z.roll(1, -1)"),
    Piece("z = z.flip(-1)"),
    Piece("z = F.pad(z, (1, 0))[:, :-1]"),
    Piece("z = F.pad(z.unfold(1, 2, 1).sum(-1), (0, 1))"),
    Piece("z = z.t().contiguous().t()"),
    Piece("z = z.squeeze() + 0.1 * z"),
    Piece("z = z[..., None].expand(-1, -1, 3).mean(-1)"),
    Piece("z = torch.tensor_split(z, 2, dim=1)[1].repeat(1, 2)"),
    Piece("z = z.movedim(0, -1).movedim(-1, 0)"),
    Piece("z = z.narrow(1, 1, 2).sum(1, keepdim=True) + z"),
    Piece("z = z.diff(dim=-1, prepend=z[:, :1])"),
    Piece("z = torch.hstack([z[:, 1:], z[:, :1]])"),
    Piece("z = (z.reshape(-1, 2, $HALF) * z.reshape(-1, $HALF, 2).mT).flatten(1)"),
    Piece("z = torch.view_as_real(torch.view_as_complex(z.reshape(-1, $HALF, 2)) * 1j).flatten(1)"),
    Piece("z = torch.complex(z, h).abs()"),
    Piece("z = torch.fft.irfft(torch.fft.rfft(z) * 0.5, n=$H)"),
]

IN_PLACE = [
    Piece("z = z + 0.1\nz += 0.5 * h"),
    Piece("z = z + 0.1\nz.mul_(0.7)"),
    Piece("z = z - 0.1\nz.tanh_()"),
    Piece("z = z + 0.1\nz.sigmoid_()\nz = z - 0.5"),
    Piece("z = z.clone()\nz[:, :2] = z[:, :2].sigmoid()"),
    Piece("z = z + 0.1\nz[:, 0] = 0.5"),
    Piece("z = z + 0.1\nz.masked_fill_(z > 1, 1.0)"),
    Piece("z = z.clone()\nz[:, [0, 1]] = z[:, [1, 0]]"),
    Piece("z = z.clone()\nz[:, 1:] += z[:, :-1].clone()"),
    Piece("z = z.clone()\nz.clamp_(-1, 1)"),
    Piece(
        "out = torch.empty_like(z)\nout[:, :$HALF] = z[:, $HALF:].tanh()\n"
        "out[:, $HALF:] = z[:, :$HALF]\nz = out"
    ),
    Piece("out = torch.zeros_like(z)\nout[:, ::2] = z[:, ::2]\nz = out + 0.5 * z"),
    Piece("out = z.new_zeros(z.shape[0], $H)\nout[:, 1:] = z[:, :-1]\nz = out"),
    Piece("z = F.leaky_relu(z + 0.1, 0.1, inplace=True)"),
    Piece("z = self.$p(z + 0.1)", "self.$p = nn.ELU(inplace=True)"),
    Piece("z = z.clone()\na = z[:, :2]\na.mul_(0.5)"),
    Piece("z = z.clone()\nz[..., -1].sigmoid_()"),
    Piece("z = z + 0.1\nz.addcmul_(h, h, value=0.1)"),
    Piece("z = z + 0.1\nz.lerp_(h, 0.3)"),
    Piece("out = torch.empty_like(z)\nout.copy_(z.sin())\nz = out"),
    Piece("z = z + 0.1\nz.index_fill_(1, torch.tensor([0, 2]), 0.0)"),
    Piece("z = z + 0.1\nz.index_copy_(1, torch.tensor([1]), h[:, :1])"),
    Piece(
        "z = z + 0.1\nz.scatter_add_(1, torch.zeros_like(z[:, :2], dtype=torch.int64), h[:, :2])"
    ),
    Piece("g = h.clone()\ng *= 0.9\nz = z + g"),
    Piece("z = z.clone()\nz.t()[0] += 1"),
    Piece("z = z + 0.1\nz.reshape(-1, 2, $HALF)[:, 0] *= 0.5"),
    Piece("z = z + 0.1\nz.zero_()\nz += h"),
    Piece("z = z + 0.1\nz.unsqueeze(1)[:, 0, :2].neg_()"),
    Piece("z = z + 0.1\nfor k in range($HALF):\n    z[:, k] = z[:, k] * 0.5 + z[:, k + 1]"),
]

INDEXING = [
    Piece("z = z[:, $ORDER]"),
    Piece("z = z[:, self.$p]", ORDER),
    Piece("z = z.index_select(1, self.$p)", ORDER),
    Piece("z = z.gather(1, self.$p.expand(len(z), -1))", ORDER),
    Piece("z = z[:, torch.tensor($ORDER)]"),
    Piece("z = z[:, self.$p]", "self.$p = $ORDER"),
    Piece("z = z[:, self.$p]", "self.$p = np.array($ORDER)"),
    Piece("z = z + z[torch.arange(z.shape[0]), z.argmax(-1)].unsqueeze(-1)"),
    Piece("rows = torch.arange(len(z)).unsqueeze(1)\nz = z[rows, torch.tensor($ORDER)]"),
    Piece(
        "z = z + self.$p[(z[:, 0] > 0).long()]", "self.$p = nn.Parameter(draw(2, $H))", jumps=True
    ),
    Piece("z = z + self.$p((z[:, 0] > 0).long())", "self.$p = nn.Embedding(2, $H)", jumps=True),
    Piece("z = z + F.one_hot((z[:, 0] > 0).long(), $H)", jumps=True),
    Piece("z = torch.take_along_dim(z, z.argsort(-1), -1)"),
    Piece("z = z[..., [-1]] + z"),
    Piece(
        "z = z + z[:, self.$p].sum(-1, keepdim=True)",
        'self.register_buffer("$p", torch.arange($H) > 1)',
    ),
]

REDUCTIONS = [
    Piece("z = z - z.mean(-1, keepdim=True)"),
    Piece("z = torch.softmax(z, -1)"),
    Piece("z = z / z.norm(dim=-1, keepdim=True)"),
    Piece("z = F.normalize(z, dim=-1)"),
    Piece("z = z + z.max(-1, keepdim=True).values"),
    Piece("z = z - torch.logsumexp(z, -1, keepdim=True)"),
    Piece("z = z.cumsum(-1) / $H"),
    Piece("z = z.sort(-1).values"),
    Piece("top, at = z.topk(2, -1)\nz = torch.zeros_like(z).scatter(1, at, top)"),
    Piece("z = z - z.amax(1, True)"),
    Piece("z = z * z.std(-1, keepdim=True)"),
    Piece("z = z + z.tanh().prod(-1, keepdim=True)"),
    Piece("z = z.tanh().cumprod(-1)"),
    Piece("z = z + z.median(-1, keepdim=True).values"),
    Piece("z = F.log_softmax(z, -1)"),
    Piece("z = F.layer_norm(z, ($H,))"),
    Piece("z = F.rms_norm(z, ($H,))"),
    Piece("z = z.sum(-1, keepdim=True) - z"),
    Piece("z = z * (z.argmax(-1, keepdim=True) + 1)", jumps=True),
    Piece("z = z + z.var(-1, unbiased=False, keepdim=True)"),
    Piece("z = z + (z > 0).sum(-1, keepdim=True)", jumps=True),
    Piece("z = z * (z > 0).any(-1, keepdim=True)", jumps=True),
    Piece("z = z.cummax(-1).values"),
    Piece("z = z.logcumsumexp(-1)"),
    Piece("values, indices = z.max(dim=1)\nz = z - values[:, None]"),
    Piece("z = z + torch.linalg.vector_norm(z, dim=1, keepdim=True)"),
    Piece("z = z / (1 + z.pow(2).mean(-1, keepdim=True)).sqrt()"),
    Piece("z = z + (z * h).sum(-1)[:, None]"),
    Piece("z = z + z.min(dim=-1, keepdim=True)[0]"),
    Piece("z = z + z.kthvalue(2, dim=-1, keepdim=True).values"),
    Piece("z = torch.cat([z.aminmax(dim=-1).max[:, None], z[:, 1:]], -1)"),
]

MODULES = [
    Piece("z = self.$p(z)", "self.$p = nn.LayerNorm($H)"),
    Piece("z = self.$p(z)", "self.$p = nn.RMSNorm($H)"),
    Piece("z = self.$p(z)", "self.$p = nn.GroupNorm(2, $H)", jumps=True),  # rounding decides
    Piece("z = self.$p(z)", "self.$p = nn.PReLU()"),
    Piece(
        "z = self.$p(z)", "self.$p = nn.Sequential(nn.Linear($H, 3), nn.GELU(), nn.Linear(3, $H))"
    ),
    Piece("z = self.$p(z)", "self.$p = nn.Dropout(0.0)"),
    Piece("z = F.dropout(z, 0.5, training=False)"),
    Piece("z = self.$p(z, h)", "self.$p = nn.Bilinear($H, $H, $H)"),
    Piece("z = self.$p(z, h)", "self.$p = nn.RNNCell($H, $H)"),
    Piece("z, _ = self.$p(z)", "self.$p = nn.LSTMCell($H, $H)"),
    Piece("z = self.$p(z)", "self.$p = nn.GRUCell($H, $H)"),
    Piece("z = self.$p(z)", "self.$p = nn.utils.parametrizations.weight_norm(nn.Linear($H, $H))"),
    Piece(
        "z = self.$p(z)",
        "self.$p = nn.utils.parametrizations.orthogonal("
        "nn.Linear($H, $H), use_trivialization=False)",
    ),
    Piece(
        "z = self.$p(z)",
        LINEAR + "\nprune.custom_from_mask(self.$p, 'weight', torch.eye($H))",
    ),
    Piece("z = self.$p(z.unsqueeze(1)).squeeze(1)", "self.$p = nn.Conv1d(1, 1, 3, padding=1)"),
    Piece(
        "tokens = z.reshape(-1, 2, $HALF)\nz = self.$p(tokens, tokens, tokens)[0].flatten(1)",
        "self.$p = nn.MultiheadAttention($HALF, 1, batch_first=True)",
    ),
    Piece(
        "z = self.$p[self.$q](z)",
        "self.$p = nn.ModuleDict({'a': nn.Tanh(), 'b': nn.SiLU()})\nself.$q = 'b'",
    ),
    Piece("z = self.$p(torch.cat([z, h], -1))", "self.$p = nn.GLU()"),
    Piece(
        "z = self.$q(self.$p(z))",
        LINEAR + "\nself.$q = nn.Linear($H, $H)\nself.$q.weight = self.$p.weight",
    ),
]

FUNCTIONS = [
    Piece(f"z = {call}")
    for call in (
        *(
            "F.softplus(z)",
            "F.logsigmoid(z)",
            "F.gelu(z, approximate='tanh')",
            "F.silu(z)",
            "F.elu(z)",
        ),
        *("F.selu(z)", "F.hardtanh(z)", "F.hardswish(z)", "F.mish(z)"),
        *(
            "F.tanhshrink(z)",
            "F.softsign(z)",
            "F.softshrink(z, 0.1)",
            "torch.erf(z)",
            "torch.sin(z)",
        ),
        *("torch.atan(z)", "torch.asinh(z)", "torch.expm1(-z.abs())", "torch.log1p(z.abs())"),
        *("(1 + z**2).sqrt()", "1 / (2 + z.cos())", "torch.maximum(z, h)", "torch.hypot(z, h + 2)"),
        *("torch.atan2(z, h + 2)", "torch.nan_to_num(z)", "torch.lerp(z, h, 0.25)", "z**3 / 9"),
        *("torch.addcdiv(z, h, 2 + h.abs())", "torch.logaddexp(z, h)", "2 ** (-z.abs())", "-z"),
        *("torch.where(z > 0, z, 0.1 * z)", "torch.where(z.isnan(), 0.0, z)", "z.clamp(min=-0.5)"),
        *(
            "torch.rsqrt(1 + z.square())",
            "torch.sinc(z)",
            "torch.special.expit(z)",
            "z.double().to(z.dtype)",
        ),
        *("z @ torch.eye($H, dtype=z.dtype)", "z * torch.arange($H) / $H", "z + torch.ones($H)"),
    )
]

GRADIENTS = [
    Piece("if z.requires_grad:\n    z.register_hook(lambda g: g.clamp(-0.05, 0.05))"),
    Piece("if z.requires_grad:\n    z.register_hook(lambda g: 0.5 * g)"),
    Piece("if z.requires_grad:\n    z.retain_grad()"),
    Piece("z = ScaleGradient.apply(z, -1.0)"),
    Piece("z = Spike.apply(z) + 0.1 * z", jumps=True),
    Piece("size, sign = SplitSign.apply(z)\nz = size * sign", jumps=True),
    Piece("z = z + (z.round() - z).detach()", jumps=True),
    Piece("with torch.no_grad():\n    g = torch.sigmoid(self.$p(z))\nz = z * g", LINEAR),
    Piece("z = z * z.data.sigmoid()"),
    Piece("z = 0.5 * z + 0.5 * z.detach()"),
    Piece("z = z + z @ self.$p.data", MATRIX),
    Piece("z = z * self.$p.detach()", VECTOR),
    Piece("z = 0.3 * h.detach() + z"),
    Piece(
        "z = self.$p(z)",
        LINEAR + "\nself.$p.register_full_backward_hook("
        "lambda m, ins, outs: tuple(None if g is None else 0.5 * g for g in ins))",
    ),
    Piece(
        "z = self.$p(z)",
        LINEAR + "\nself.$p.register_full_backward_pre_hook("
        "lambda m, outs: tuple(None if g is None else 0.5 * g for g in outs))",
    ),
    Piece(
        "z = self.$p(z)", LINEAR + "\nself.$p.register_forward_hook(lambda m, args, out: 0.5 * out)"
    ),
    Piece(
        "z = self.$p(z)",
        LINEAR + "\nself.$p.register_forward_pre_hook(lambda m, args: (args[0].sin(),))",
    ),
    Piece("z = z * self.$p", VECTOR + "\nself.$p.register_hook(lambda g: 0.5 * g)"),
    Piece("z = self.$p(z)", LINEAR + "\nself.$p.weight.requires_grad_(False)"),
    Piece("z = torch.utils.checkpoint.checkpoint(self.$p, z, use_reentrant=False)", LINEAR),
]

OUTSIDE = [
    Piece(
        "z = z + shift",
        before="shift = draw($H).requires_grad_()",
        outside=(("shift", "shift"),),
    ),
    Piece(
        "z = z @ self.$p[0]",
        "self.$p = held",
        before="held = [draw($H, $H).requires_grad_()]",
        outside=(("held", "held[0]"),),
    ),
    Piece(
        "z = z * derived",
        before="leaf = draw($H).requires_grad_()\nderived = leaf + 1",
        outside=(("leaf", "leaf"),),
    ),
    Piece(
        "weight = torch.softmax((memory * z[:, None]).sum(-1), -1)\n"
        "z = z + (weight[..., None] * memory).sum(1)",
        before="memory = draw(1, 5, $H).requires_grad_()",
        outside=(("memory", "memory"),),
    ),
    Piece("z = z * self.$p", "self.$p = draw($H)"),
    Piece(
        "z = z * torch.as_tensor(self.$p, dtype=z.dtype)",
        "self.$p = np.linspace(0.5, 1.5, $H)",
        change="cell.$p[0] = 3.0",
    ),
    Piece(
        "z = z * self.$p.gain",
        "self.$p = SimpleNamespace(gain=draw($H))",
        change="cell.$p.gain = 2 * cell.$p.gain",
    ),
    Piece("z = self.$q(z)", MATRIX + "\nself.$q = functools.partial(F.linear, weight=self.$p)"),
    Piece("z = z @ self.$q.weight", MATRIX + "\nself.$q = SimpleNamespace(weight=self.$p)"),
    Piece("z = z @ self.$q[0]", MATRIX + "\nself.$q = [self.$p]"),
    Piece("z = z @ self.$q['w']", MATRIX + "\nself.$q = {'w': self.$p}"),
    Piece("z = self.$q(z)", LINEAR + "\nself.$q = self.$p.forward"),
    Piece("z = self.$q[0](z)", LINEAR + "\nself.$q = [self.$p]"),
    Piece("z = self.$q(z)", LINEAR + "\nlayer = self.$p\nself.$q = lambda value: layer(value)"),
]

ATTRIBUTES = [
    Piece(
        "z = z * self.$p.gain", "self.$p = SimpleNamespace(gain=0.7)", change="cell.$p.gain = 0.2"
    ),
    Piece(
        "z = z * self.$p.inner.gain",
        "self.$p = SimpleNamespace(inner=SimpleNamespace(gain=0.7))",
        change="cell.$p.inner.gain = 0.2",
    ),
    Piece(
        "z = z * self.$p.gain",
        "self.$p = Config()",
        before="@dataclass\nclass Config:\n    gain: float = 0.7",
        change="cell.$p.gain = 0.2",
    ),
    Piece("z = z * self.$p['gain']", "self.$p = {'gain': 0.7}", change="cell.$p['gain'] = 0.2"),
    Piece("z = z * self.$p[1]", "self.$p = [0.5, 0.7]", change="cell.$p[1] = 0.2"),
    Piece("z = z * self.gain", "type(self).gain = 0.7", change="type(cell).gain = 0.2"),
    Piece("z = z * self.$p", "self.$p = 0.7", change="cell.$p = 0.2"),
    Piece("z = self.$p(z)", "self.$p = torch.tanh", change="cell.$p = torch.sin"),
    Piece("z = self.$p(z)", "self.$p = nn.Tanh()", change="cell.$p = nn.Softsign()"),
    Piece("if self.training:\n    z = 0.5 * z", change="cell.eval()"),
    Piece("z = self.$p(z)", LINEAR, change="cell.$p.weight.data.mul_(0.5)"),
    Piece("z = self.$p(z)", LINEAR, change="cell.$p.weight.detach().numpy()[:] *= 0.5"),
    Piece("z = self.$p(z)", LINEAR, change="cell.$p.weight.requires_grad_(False)"),
    Piece(
        "z = self.$p(z)",
        LINEAR,
        change="cell.$p.weight = nn.Parameter(cell.$p.weight.detach() * 0.5)",
    ),
    Piece("z = z * self.$p", 'self.register_buffer("$p", draw($H))', change="cell.$p.mul_(0.5)"),
    Piece("z = z + torch.ones(z.shape[0], 1, dtype=z.dtype)"),
    Piece("z = z + self.$p.expand(z.shape[0], -1)", VECTOR),
    Piece("z = z + self.$p.repeat(len(z), 1)", VECTOR),
    Piece("z = torch.stack([torch.tanh(row) for row in z])"),
]

EVERYDAY = [
    *(VIEWS + IN_PLACE + INDEXING + REDUCTIONS + MODULES),
    *(FUNCTIONS + GRADIENTS + OUTSIDE + ATTRIBUTES),
]
"""What must never be refused."""

COUNTS = [
    Piece("z = z / z.shape[0]", rows="whole"),
    Piece("z = z * (1 + 1 / len(x))", rows="whole"),
    Piece("if x.size(0) > 2:\n    z = torch.sigmoid(z)", rows="whole"),
    Piece(
        "self.$p += 1\nz = z * (1 + 0.1 * (self.$p % 3))",
        "self.$p = 0",
        rows="whole",
        is_no_graph=True,
    ),
    Piece(
        "self.$p.append(1)\nz = z + 0.1 * (len(self.$p) % 2)",
        "self.$p = []",
        rows="whole",
        is_no_graph=True,
    ),
    Piece(
        "self.$p.add_(1)\nz = z * (1 + 0.1 * (self.$p.item() % 3))",
        'self.register_buffer("$p", torch.zeros(()))',
        rows="whole",
        is_no_graph=True,
    ),
    Piece(
        "if self.$p is not None and self.$p.shape == z.shape:\n    z = z + 0.1 * self.$p\n"
        "self.$p = z.detach()",
        "self.$p = None",
        rows="whole",
        is_no_graph=True,
    ),
]

MIXED = [
    Piece(line, rows="mixed")
    for line in (
        *("z = z - z.mean(0)", "z = F.softmax(z, 0)", "z = z.flip(0)", "z = z + 0.1 * z.sum()"),
        *("z = z / (1 + z.norm())", "z = torch.cat([z[:1]] * z.shape[0])", "z = z.roll(1, 0)"),
        *("z = z @ (z.T @ z) / 10", "z = z.sort(0).values", "z = z.cumsum(0)", "z = z - z[-1]"),
        *("z = z.t().reshape(-1, $H)",),
    )
]

SIDE_EFFECTS = [
    Piece("self.$p = z", "self.$p = None", is_no_graph=True),
    Piece("self.$p.append(z.detach())", "self.$p = []", is_no_graph=True),
    Piece("self.$p = z.detach().abs().max().item()", "self.$p = 0.0", is_no_graph=True),
    Piece("self.$p = f'{z[0, 0].item():.3f}'", "self.$p = ''", is_no_graph=True),
]

VALUES = [
    Piece("if z.abs().max() > 1e6:\n    z = z / 1e6", is_no_graph=True),
    Piece("assert torch.isfinite(z).all()", is_no_graph=True),
    Piece("if torch.isnan(z).any():\n    raise RuntimeError('nan in the state')", is_no_graph=True),
    Piece("z = z + torch.from_numpy(np.tanh(z.detach().numpy()))", is_no_graph=True),
    Piece("z = z + torch.tensor(z.tolist(), dtype=z.dtype)", is_no_graph=True),
    Piece(
        "z = z * self.$p.item()",
        "self.$p = nn.Parameter(draw())",
        change="cell.$p.data.mul_(0.5)",
        is_no_graph=True,
    ),
    Piece(
        "z = z * float(self.$p)",
        'self.register_buffer("$p", draw())',
        change="cell.$p.fill_(0.5)",
        is_no_graph=True,
    ),
    Piece(
        "z = torch.stack([row if row[0] > 0 else -row for row in z])", is_no_graph=True, jumps=True
    ),
    Piece("z = z.masked_select(z == z).view(-1, $H)", is_no_graph=True),
    Piece("z = z.clone()\nz[z < 0] *= 0.1", is_no_graph=True),
    Piece("z = z * (1 + 0.1 * z.detach().sum().tanh().item())", rows="mixed", is_no_graph=True),
    Piece("if z.sum() > 0:\n    z = -z", rows="mixed", is_no_graph=True, jumps=True),
]

SELDOM = [*COUNTS, *MIXED, *SIDE_EFFECTS, *VALUES]
"""What some ways of calling may refuse."""


# ---- the end of a step ----

ENDS = [
    "h = torch.tanh(z)",
    "h = 0.5 * h + 0.5 * torch.tanh(z)",
    "h = torch.sigmoid(z) * torch.tanh(z)",
    "h = z.clamp(-1, 1)",
    "h = torch.lerp(h, torch.tanh(z), 0.5)",
    "h = (z + 0.1).tanh_()",
]

OUTPUTS = [
    Piece("h"),
    Piece("z"),
    Piece("h[:, :2]"),
    Piece("h[:, ::2]"),
    Piece("h[:, 0]"),
    Piece("h.sum(-1)"),
    Piece("h.view(-1, 2, $HALF)"),
    Piece("h.unsqueeze(-1)"),
    Piece("h.chunk(2, -1)[1]"),
    Piece("h[:, :1].expand(-1, 3)"),
    Piece("h.t().contiguous().t()"),
    Piece("h.detach()"),
    Piece("torch.cat([h, z], -1)"),
    Piece("torch.cat([h, z, h * z, z.sum(-1, keepdim=True), h[:, :1]], -1)"),
    Piece("torch.stack([h, -h, z], 1)"),
    Piece("self.$p(h)", "self.$p = nn.Linear($H, 2)"),
    Piece("self.$p(h).log_softmax(-1)", "self.$p = nn.Linear($H, 3)"),
    Piece("x"),
    Piece("torch.zeros(len(h), 2, dtype=h.dtype)"),
    Piece("torch.complex(h, -h)"),
    Piece("h.double()"),
    Piece("h > 0", jumps=True),
    Piece("h.argmax(-1)", jumps=True),
]

NAMES = (
    *(
        "next_h",
        "grad_h",
        "addmm_product",
        "h",
        "x",
        "z",
        "int",
        "for",
        "out",
        "0",
        "while",
        "tanh",
    ),
    *(
        "add",
        "state",
        "step",
        "i",
        "B",
        "total",
        "mul_1",
        "lambda",
        "return",
        "double_t",
        "y",
        "loss",
    ),
    *("static", "void", "restrict", "weight_hh", "sum", "exp", "None_", "self_"),
)
"""Names that a cell may give its parts; some are words of C or Python, or a compiler's own."""
