"""What every kernel in Triton's language has in common: functions of numbers, and the barrier.

Rendered kernels import it; nothing else does, for it needs Triton. Functions hold for float32, in
which kernels compute. On a GPU they run in parallel for all numbers of a tile, so that they have no
branches.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)
"""Whether Triton's interpreter runs the kernels, on the CPU."""

BEGIN_ANEW = tl.constexpr(1)
"""Resets: rows begin a step with another state."""

DIVERT = tl.constexpr(2)
"""Resets: after a step the gradients of the state of some rows are gathered elsewhere."""


@triton.jit
def greater(a, b):  # type: ignore[no-untyped-def]
    """The greater of two numbers; NaN if one is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def smaller(a, b):  # type: ignore[no-untyped-def]
    """The smaller of two numbers; NaN if one is."""
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def multiplied(a, b):  # type: ignore[no-untyped-def]
    """The product of two numbers."""
    return a * b


@triton.jit
def exp_series(r):  # type: ignore[no-untyped-def]
    """(exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2, to 2^-28."""
    p = 1.39505905e-3 * r + 8.36888973e-3
    p = p * r + 4.16662041e-2
    p = p * r + 1.66665188e-1
    return p * r + 0.50000001


@triton.jit
def exp(x):  # type: ignore[no-untyped-def]
    """For x = k ln 2 + r it is 2^k times that of r; GPUs' own loses digits where x is large."""
    x = smaller(greater(x, -105.0), 89.0)
    k = tl.floor(x * 1.44269504 + 0.5)
    r = (x - k * 0.693145752) - k * 1.42860677e-6
    half = tl.floor(k * 0.5)  # 2^k itself may be infinite where exp(x) is not
    return (1.0 + (r + r * r * exp_series(r))) * tl.exp2(half) * tl.exp2(k - half)


@triton.jit
def expm1(x):  # type: ignore[no-untyped-def]
    """For x = k ln 2 + r it is 2^k (exp(r) - 1) + (2^k - 1): nothing is lost near 0."""
    inner = smaller(greater(x, -105.0), 88.0)
    k = tl.floor(inner * 1.44269504 + 0.5)
    r = (inner - k * 0.693145752) - k * 1.42860677e-6
    power = tl.exp2(k)
    near = power * (r + r * r * exp_series(r)) + (power - 1.0)
    return tl.where(x > 87.0, exp(x), near)


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    """Near 0 a polynomial, elsewhere u / (u + 2) with u = exp(2 |x|) - 1 and the sign of x."""
    z = x * x
    p = -0.0060018004 * z + 0.0209314239
    p = p * z - 0.0538370164
    p = p * z + 0.13332679
    near = x + x * z * (p * z - 0.333333281)
    u = expm1(smaller(2.0 * tl.abs(x), 30.0))
    size = u / (u + 2.0)
    return tl.where(z < 0.390625, near, tl.where(x < 0, -size, size))


@triton.jit
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + exp(-x))


@triton.jit
def log_of(u, rest):  # type: ignore[no-untyped-def]
    """The logarithm of an ordinary positive number, and something small added to it.

    With u = 2^k (1 + f) and s = f / (2 + f) it is k ln 2 + f - f^2/2 + s (f^2/2 + s^2 p(s^2)),
    sqrt(1/2) <= 1 + f < sqrt(2); p is good to 2^-30.
    """
    bits = u.to(tl.int32, bitcast=True) + (0x3F800000 - 0x3F3504F3)
    k = ((bits >> 23) - 127).to(tl.float32)
    f = ((bits & 0x7FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = z * ((0.298718488 * z + 0.399775376) * z + 0.666667764)
    half = 0.5 * f * f
    return k * 0.693145752 - ((half - (s * (half + r) + (k * 1.42860677e-6 + rest))) - f)


@triton.jit
def log(x):  # type: ignore[no-untyped-def]
    """The natural logarithm."""
    is_ordinary = (x > 1.2e-38) & (x < 3e38)
    return tl.where(is_ordinary, log_of(x, 0.0), tl.log(x))


@triton.jit
def log1p(x):  # type: ignore[no-untyped-def]
    """The logarithm of 1 + x, to which what 1 + x loses of x is added."""
    u = 1.0 + x
    is_ordinary = (u > 1.2e-38) & (u < 3e38)
    return tl.where(is_ordinary, log_of(u, (x - (u - 1.0)) / u), tl.log(u))


@triton.jit
def softplus(x, beta, threshold):  # type: ignore[no-untyped-def]
    """log(1 + exp(beta x)) / beta, and x itself beyond the threshold."""
    return tl.where(x * beta > threshold, x, log1p(exp(x * beta)) / beta)


@triton.jit
def elu(x, alpha, scale, input_scale):  # type: ignore[no-untyped-def]
    """Scale times x where that is positive, and times alpha (exp(x) - 1) elsewhere."""
    return scale * tl.where(x > 0, x, alpha * expm1(x * input_scale))


@triton.jit
def gelu(x):  # type: ignore[no-untyped-def]
    """The number times the probability that a normal one is smaller."""
    return 0.5 * x * (1.0 + tl.erf(x * 0.70710678118654752))


@triton.jit
def gelu_tanh(x):  # type: ignore[no-untyped-def]
    """The same, approximated with tanh."""
    return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


@triton.jit
def sign(x):  # type: ignore[no-untyped-def]
    """1, 0 or -1; 0 of NaN, as in torch."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0))


@triton.jit
def factor(x, dtype: tl.constexpr):  # type: ignore[no-untyped-def]
    """A factor of a product; the interpreter has products of bfloat16 in no other way."""
    x = x.to(dtype)
    if INTERPRETED:
        x = x.to(tl.float32)
    return x


@triton.jit
def depth_of_left(begin, SIZE: tl.constexpr, GROUPS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The numbers of SIZE columns of a left factor, of which each group of warps takes some."""
    of_group = begin + tl.arange(0, GROUPS) * (SIZE // GROUPS)
    return of_group[:, None, None] + tl.arange(0, SIZE // GROUPS)[None, None, :]


@triton.jit
def depth_of_right(begin, SIZE: tl.constexpr, GROUPS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The numbers of SIZE rows of a matrix, of which each group of warps takes some."""
    of_group = begin + tl.arange(0, GROUPS) * (SIZE // GROUPS)
    return of_group[:, None, None] + tl.arange(0, SIZE // GROUPS)[None, :, None]


@triton.jit
def load_state(now, start, index, mask, is_reset, RESETS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Elements of the state with which rows begin a step."""
    value = tl.load(now + index, mask=mask, other=0.0, cache_modifier=".cg")
    if RESETS == BEGIN_ANEW:
        anew = tl.load(start + index, mask=mask & is_reset, other=0.0)
        value = tl.where(is_reset, anew, value)
    return value


@triton.jit
def store_state(  # type: ignore[no-untyped-def]
    now, after, gathered, index, value, is_live, is_inside, is_reset, RESETS: tl.constexpr
):
    """Store elements of the next state; rows that rest keep theirs."""
    if RESETS == DIVERT:
        total = tl.load(gathered + index, mask=is_live, other=0.0)
        tl.store(gathered + index, total + tl.where(is_reset, value, 0.0), mask=is_live)
        value = tl.where(is_reset, 0.0, value)
    resting = tl.load(now + index, mask=is_inside, other=0.0, cache_modifier=".cg")
    tl.store(after + index, tl.where(is_live, value, resting), mask=is_inside)


@triton.jit
def barrier(counter, goal):  # type: ignore[no-untyped-def]
    """Wait until all programs have come here so often that the counter has reached a goal.

    To add nothing reads the counter, and what the others wrote before they came is known then.
    """
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release", scope="gpu")
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < goal:
        pass
    tl.debug_barrier()
