"""Operations that kernels take apart, as data: functions of a row of `SIZE` numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import rondo

F = nn.functional
SIZE = 10
THREE = torch.linspace(-1, 1, 60).view(SIZE, 3, 2)
LIST = torch.tensor([1, 0, 3, 3, 9, 2, 7, 5, 4, 4])

Function = Callable[[Tensor], Tensor]

GROUPS: dict[str, list[Function]] = {
    "gates": [
        F.logsigmoid, F.mish, lambda a: F.celu(a, 1.3), F.selu, F.hardswish, F.tanhshrink,
        F.hardshrink, lambda a: F.softshrink(a, 0.2), lambda a: F.threshold(a, 0.1, 0.2),
        lambda a: F.prelu(a, a.new_full((1,), 0.2)), lambda a: F.glu(torch.cat([a, 2 * a], -1)),
    ],
    "divisions": [
        lambda a: torch.remainder(a, 0.7), lambda a: torch.remainder(a, -0.3), torch.frac,
        lambda a: torch.fmod(a, 0.7), lambda a: torch.remainder(a, a.flip(1).detach()),
        lambda a: a * torch.div(a.detach(), 0.3, rounding_mode="floor"),
        lambda a: a * torch.div(a.detach(), -0.3, rounding_mode="trunc"),
        lambda a: a * (a.detach() // a.roll(1, 1).detach()),
    ],
    "two numbers": [
        lambda a: torch.fmax(a, a.flip(1)), lambda a: torch.fmin(a, a.flip(1)),
        lambda a: torch.logaddexp(a, -2 * a), lambda a: torch.xlogy(a.relu(), a.abs() + 0.1),
        lambda a: torch.copysign(a, a.flip(1)), lambda a: torch.logit(a.sigmoid(), 0.3),
        lambda a: F.mse_loss(a, a.flip(1), reduction="none"),
        lambda a: F.smooth_l1_loss(a, a.flip(1), reduction="none", beta=0.5),
        lambda a: F.huber_loss(a, a.flip(1), reduction="none", delta=0.5),
    ],
    "numbers of other types": [
        lambda a: torch.where(a > 0, 1.0, 0.5) * a, lambda a: a * torch.tensor(0.3),
        lambda a: a * torch.arange(SIZE), lambda a: a * (a > 0),
        lambda a: a * (a > 0).sum(-1, True),
    ],
    "within a row": [
        lambda a: a.logsumexp(-1, keepdim=True), lambda a: a.std(-1, keepdim=True),
        lambda a: F.rms_norm(a, (SIZE,)), lambda a: a / a.norm(p=1, dim=-1, keepdim=True),
        lambda a: a / torch.linalg.vector_norm(a, torch.inf, -1, keepdim=True),
        lambda a: (a @ torch.linspace(0, 1, SIZE, dtype=a.dtype))[:, None],
        lambda a: a * (a > 0.5).any(-1, True), lambda a: a * (a > -0.5).all(-1, True),
        lambda a: F.cosine_similarity(a, a.flip(1))[:, None], lambda a: a[:, :4].prod(1, True),
        lambda a: a.view(-1, 2, 5).prod(1).repeat(1, 2),
        lambda a: torch.addmm(a, a, torch.eye(SIZE, dtype=a.dtype), beta=0.5, alpha=0.1),
    ],
    "side by side": [
        lambda a: a.flip(1), lambda a: a.roll(3, 1), lambda a: F.pad(a[:, 2:], (1, 1)),
        lambda a: F.pad(a, (-3, 3), value=0.5), lambda a: a[:, None, :5].repeat(1, 2, 1).flatten(1),
        lambda a: a.view(-1, 2, 5).roll((1, -2), (1, 2)).flatten(1),
        lambda a: a * torch.linspace(0, 1, 5, dtype=a.dtype).repeat(len(a), 2),
    ],
    "by number": [
        lambda a: a.index_select(1, LIST), lambda a: a.gather(1, LIST.expand(len(a), -1)),
        lambda a: a - a.max(-1, keepdim=True)[0], lambda a: a - a.min(-1, keepdim=True)[0],
        lambda a: a.view(-1, 2, 5).max(2)[0].repeat(1, 5), lambda a: a * a.argmax(-1, True),
        lambda a: a.cumsum(1), lambda a: a.cumprod(1), lambda a: a.index_fill(1, LIST[:3], 0.5),
        lambda a: a.index_add(1, LIST, a.flip(1)), lambda a: a.index_copy(1, LIST[:3], a[:, :3]),
        lambda a: a.view(-1, 2, 5).tril(1).flatten(1), lambda a: a.view(-1, 5, 2).triu().flatten(1),
        lambda a: torch.diag_embed(a[:, :5]).sum(1).repeat(1, 2),
        lambda a: a.view(-1, SIZE, 1).tril(-3).flatten(1),
    ],
    "products of rows": [
        lambda a: torch.bmm(a[:, :5, None], a[:, None, 5:7]).flatten(1),
        lambda a: torch.einsum("bi,bi->b", a, a.flip(1))[:, None] * 0.1,
        lambda a: F.bilinear(a[:, :3], a[:, 3:5], THREE.to(a.dtype)),
        lambda a: F.scaled_dot_product_attention(*[a.view(-1, 2, 5)] * 3).flatten(1),
        lambda a: torch.baddbmm(
            a.view(-1, 2, 5), a.view(-1, 2, 5), a.new_ones(5, 5).expand(len(a), 5, 5)
        ).flatten(1),
    ],
}  # fmt: skip
"""Functions that go into one kernel together."""

ON_CPU: dict[str, list[Function]] = {
    "powers": [lambda a: a / a.norm(p=3, dim=-1, keepdim=True), lambda a: a.norm(2.5, -1, True)],
}
"""Those that only kernels for CPUs know."""

SPECIAL = torch.tensor(
    [
        *(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.5, 30.0, -30.0, 800.0, -800.0),
        *(torch.inf, -torch.inf, torch.nan),
    ],
    dtype=torch.float64,
)
"""Numbers at which functions change, and those that are none."""

OF_ONE: dict[str, Function] = {
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "celu": lambda a: F.celu(a, 1.3),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "threshold": lambda a: F.threshold(a, 0.5, 7.0),
    "prelu": lambda a: F.prelu(a, a.new_full((1,), 0.2)),
    "remainder": lambda a: torch.remainder(a, -1.5),
    "frac": torch.frac,
    "divide, floor": lambda a: torch.div(a, 1.5, rounding_mode="floor"),
    "divide, trunc": lambda a: torch.div(a, 1.5, rounding_mode="trunc"),
    "nan_to_num": torch.nan_to_num,
    "nan_to_num with numbers": lambda a: torch.nan_to_num(a, 1.0, 2.0, 3.0),
    "logit": torch.logit,
    "logit, eps": lambda a: torch.logit(a, 0.1),
    "heaviside": lambda a: torch.heaviside(a, a.new_tensor(0.3)),
    "sinc": torch.sinc,
    "deg2rad": torch.deg2rad,
    "rad2deg": torch.rad2deg,
}

OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "remainder": torch.remainder,
    "fmod": torch.fmod,
    "divide, floor": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "logaddexp": torch.logaddexp,
    "xlogy": torch.xlogy,
    "copysign": torch.copysign,
    "smooth_l1": lambda a, b: F.smooth_l1_loss(a, b, reduction="none"),
    "huber": lambda a, b: F.huber_loss(a, b, reduction="none"),
}


class Applies(rondo.Cell):
    """h' = tanh(U x + the sum of W h + x passed through functions, each with weights)."""

    def __init__(self, functions: list[Function]) -> None:
        super().__init__(SIZE, SIZE)
        self.functions = functions
        self.U, self.W = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.share = nn.Parameter(torch.randn(len(functions), SIZE) / 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a = 2 * self.W(h) + x
        parts = [share * f(a) for f, share in zip(self.functions, self.share, strict=True)]
        h = torch.tanh(self.U(x) + sum(parts))
        return h, h
