/* Elementary functions of double without branches or tables, so that a loop of them becomes vector
 * code. Each is within 3 units in the last place; the coefficients are Taylor's. */

static inline double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* exp(r) - 1 for |r| <= ln 2 / 2. */
static inline double exp_minus_one_(double r) {
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    return (p * r) * r + r;
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. 2^n is made in two factors, so that
 * results below the least normal number come out right too. */
static inline double exp_(double x) {
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x;
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to a whole number */
    const double shifted = x * 1.4426950408889634 + magic;
    const double n = shifted - magic;
    const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
    const double p = exp_minus_one_(r) + 1.0;
    const int64_t whole = (int64_t)(to_bits(shifted) - 0x4338000000000000u);
    const int64_t half = whole >> 1;
    const double first = from_bits((uint64_t)(half + 1023) << 52);
    const double second = from_bits((uint64_t)(whole - half + 1023) << 52);
    return p * first * second;
}

static inline double sigmoid_(double x) { return 1.0 / (1.0 + exp_(-x)); }

/* tanh |x| = e / (e + 2) for e = exp(2 |x|) - 1 = 2^n (exp(r) - 1) + (2^n - 1), which cancels
 * nowhere; from |x| = 20 on it is 1. */
static inline double tanh_(double x) {
    const uint64_t sign = to_bits(x) & 0x8000000000000000u;
    double size = from_bits(to_bits(x) ^ sign);
    size = size > 20.0 ? 20.0 : size;
    const double magic = 6755399441055744.0; /* as in exp_ */
    const double shifted = size * 2.8853900817779268 + magic;
    const double n = shifted - magic;
    const double r = (2.0 * size - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
    const double p = exp_minus_one_(r);
    const double power = from_bits((to_bits(shifted) - 0x4338000000000000u + 1023u) << 52);
    const double e = p * power + (power - 1.0);
    return from_bits(to_bits(e / (e + 2.0)) | sign);
}
