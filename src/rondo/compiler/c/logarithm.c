/* log and what is made of it. */

/* x = 2^exponent (1 + f), sqrt(1/2) <= 1 + f < sqrt(2). */
typedef struct { real exponent, f; } apart;

INLINED apart taken_apart_(real x) {
    const int is_small = x < LEAST_NORMAL;
    const real factor = (real)((bits)1 << MANTISSA);
    const bits from_root = to_bits(is_small ? x * factor : x) - ROOT_HALF;
    const bits exponent = (from_root + ((bits)BIAS << MANTISSA)) >> MANTISSA;
    const bits mantissa = from_root & (((bits)1 << MANTISSA) - 1);
    const real less = MAGIC + BIAS + (is_small ? MANTISSA : 0);
    return (apart){from_bits(to_bits(MAGIC) + exponent) - less, from_bits(mantissa + ROOT_HALF) - 1};
}

/* f - log(1 + f), by log(1 + f) = 2 atanh(s), s = f / (2 + f). */
INLINED real log_less_(real f) {
    const real s = f / (2 + f), z = s * s, half_square = f * f / 2;
    return half_square - s * (half_square + z * log_series_(z));
}

/* The logarithm of x: y, where x is a positive number. */
INLINED real log_at_(real x, real y) {
    return x > 0 ? (x < INFINITY ? y : x) : (x == 0 ? -INFINITY : NAN);
}

INLINED real log_(real x) {
    const apart a = taken_apart_(x);
    const real less = log_less_(a.f) - a.exponent * LN2_LOW;
    return log_at_(x, a.exponent * LN2_HIGH - (less - a.f));
}

INLINED real log2_(real x) {
    const apart a = taken_apart_(x);
    return log_at_(x, a.exponent + (a.f - log_less_(a.f)) * (real)1.4426950408889634);
}

INLINED real log10_(real x) { return log_(x) * (real)0.43429448190325183; }

/* log(u) for u = 1 + x, and what the rounding of u lost. */
INLINED real log1p_(real x) {
    const real u = 1 + x;
    const real lost = (x > 1 ? 1 - (u - x) : x - (u - 1)) / u;
    const real y = log_(u) + (u > 0 && u < INFINITY ? lost : 0);
    return u == 1 ? x : y;
}

/* asinh |x| = log1p(|x| + x^2 / (1 + sqrt(x^2 + 1))). */
INLINED real asinh_(real x) {
    const real size = LIBM(fabs)(x);
    const int is_large = size > SQUARE_INFINITE;
    const real more = size * size / (1 + LIBM(sqrt)(size * size + 1));
    const real y = log1p_(is_large ? size : size + more);
    return LIBM(copysign)(is_large ? y + (real)0.69314718055994531 : y, x);
}

/* acosh(x) = log1p(t + sqrt(2 t + t^2)), t = x - 1. */
INLINED real acosh_(real x) {
    const int is_large = x > SQUARE_INFINITE;
    const real t = x - 1;
    const real y = log1p_(is_large ? x : t + LIBM(sqrt)(2 * t + t * t));
    return x < 1 ? NAN : is_large ? y + (real)0.69314718055994531 : y;
}

/* atanh |x| = log1p(2 |x| / (1 - |x|)) / 2. */
INLINED real atanh_(real x) {
    const real size = LIBM(fabs)(x);
    return LIBM(copysign)(log1p_(2 * size / (1 - size)) / 2, x);
}
