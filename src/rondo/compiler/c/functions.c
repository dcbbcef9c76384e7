/* Functions of real numbers as torch defines them, NaN included. */

static inline real relu_(real x) { return x <= 0 ? 0 : x; }
static inline real silu_(real x) { return x * sigmoid_(x); }
static inline real sign_(real x) { return (real)((x > 0) - (x < 0)); }
static inline real maximum_(real a, real b) { return a > b || a != a ? a : b; }
static inline real minimum_(real a, real b) { return a < b || a != a ? a : b; }
static inline real clamp_min_(real x, real low) { return x < low ? low : x; }
static inline real clamp_max_(real x, real high) { return x > high ? high : x; }

static inline real softplus_(real x, real beta, real threshold) {
    return x * beta > threshold ? x : LIBM(log1p)(exp_(x * beta)) / beta;
}

static inline real gelu_(real x) {
    return (real)0.5 * x * (1 + LIBM(erf)(x * (real)0.70710678118654752440));
}

static inline real gelu_tanh_(real x) {
    const real inner = (real)0.79788456080286535588 * (x + (real)0.044715 * x * x * x);
    return (real)0.5 * x * (1 + tanh_(inner));
}
