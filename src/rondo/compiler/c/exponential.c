/* exp and what is made of it. Like all functions here without branches or tables, so that a loop of
 * them becomes vector code. Each is within 4 units in the last place, erfc within 5. */

INLINED real from_bits(bits from) {
    real value;
    memcpy(&value, &from, sizeof value);
    return value;
}

INLINED bits to_bits(real value) {
    bits to;
    memcpy(&to, &value, sizeof to);
    return to;
}

/* 2^n p for n = shifted - MAGIC. 2^n is made in two factors, so that results below the least normal
 * number come out right too. */
INLINED real scaled_(real p, real shifted) {
    const whole n = (whole)(to_bits(shifted) - to_bits(MAGIC));
    const whole half = n >> 1;
    const real first = from_bits((bits)(half + BIAS) << MANTISSA);
    const real second = from_bits((bits)(n - half + BIAS) << MANTISSA);
    return p * first * second;
}

/* exp(r) - 1 for |r| <= ln 2 / 2. */
INLINED real exp_minus_one_(real r) { return (exp_series_(r) * r) * r + r; }

/* exp(x - less) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; `less` is tiny. */
INLINED real exp_less_(real x, real less) {
    x = x > EXP_INFINITE ? EXP_INFINITE : x;
    x = x < EXP_ZERO ? EXP_ZERO : x;
    const real shifted = x * (real)1.4426950408889634 + MAGIC;
    const real n = shifted - MAGIC;
    const real r = ((x - n * LN2_HIGH) - n * LN2_LOW) - less;
    return scaled_(exp_minus_one_(r) + 1, shifted);
}

INLINED real exp_(real x) { return exp_less_(x, 0); }

INLINED real exp2_(real x) {
    x = x > EXP2_INFINITE ? EXP2_INFINITE : x;
    x = x < EXP2_ZERO ? EXP2_ZERO : x;
    const real shifted = x + MAGIC;
    const real r = (x - (shifted - MAGIC)) * (real)0.69314718055994531;
    return scaled_(exp_minus_one_(r) + 1, shifted);
}

INLINED real sigmoid_(real x) { return 1 / (1 + exp_(-x)); }

/* (exp(x) - 1) / 4 = (exp(r) - 1) 2^n / 4 + (2^n / 4 - 1/4), which cancels nowhere and is finite as
 * long as sinh(x) is. */
INLINED real quarter_expm1_(real x) {
    const real shifted = x * (real)1.4426950408889634 + MAGIC;
    const real n = shifted - MAGIC;
    const real p = exp_minus_one_((x - n * LN2_HIGH) - n * LN2_LOW);
    const real power = from_bits((to_bits(shifted) - to_bits(MAGIC) + BIAS - 2) << MANTISSA);
    return p * power + (power - (real)0.25);
}

INLINED real expm1_(real x) {
    real inner = x > SINH_INFINITE ? SINH_INFINITE : x;
    inner = inner < EXPM1_MINUS_ONE ? EXPM1_MINUS_ONE : inner;
    return x == 0 ? x : 4 * quarter_expm1_(inner);
}

/* tanh |x| = e / (e + 2) for e = exp(2 |x|) - 1. */
INLINED real tanh_(real x) {
    const real size = LIBM(fabs)(x);
    const real e = quarter_expm1_(2 * (size > TANH_ONE ? TANH_ONE : size));
    return LIBM(copysign)(e / (e + (real)0.5), x);
}

/* sinh |x| = (e + e / (e + 1)) / 2 for e = exp |x| - 1. */
INLINED real sinh_(real x) {
    const real size = LIBM(fabs)(x);
    const real e = quarter_expm1_(size > SINH_INFINITE ? SINH_INFINITE : size);
    return LIBM(copysign)(2 * (e + e / (4 * e + 1)), x);
}

INLINED real cosh_(real x) {
    const real size = LIBM(fabs)(x);
    const real e = quarter_expm1_(size > SINH_INFINITE ? SINH_INFINITE : size) + (real)0.25;
    return 2 * e + (real)0.125 / e;
}
