/* Functions of real numbers as torch defines them, NaN included. */

INLINED real relu_(real x) { return x <= 0 ? 0 : x; }
INLINED real silu_(real x) { return x * sigmoid_(x); }
INLINED real sign_(real x) { return (real)((x > 0) - (x < 0)); }
INLINED real maximum_(real a, real b) { return a > b || a != a ? a : b; }
INLINED real minimum_(real a, real b) { return a < b || a != a ? a : b; }
INLINED real clamp_min_(real x, real low) { return x < low ? low : x; }
INLINED real clamp_max_(real x, real high) { return x > high ? high : x; }

INLINED real softplus_(real x, real beta, real threshold) {
    return x * beta > threshold ? x : log1p_(exp_(x * beta)) / beta;
}

INLINED real gelu_(real x) {
    return (real)0.5 * x * (1 + erf_(x * (real)0.70710678118654752440));
}

INLINED real gelu_tanh_(real x) {
    const real inner = (real)0.79788456080286535588 * (x + (real)0.044715 * x * x * x);
    return (real)0.5 * x * (1 + tanh_(inner));
}
