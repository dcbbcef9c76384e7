/* Elementary functions of double without branches or tables, so that a loop of them becomes vector
 * code. Each is within 2 units in the last place; coefficients of tanh after Cephes (Moshier,
 * 1992), those of exp are Taylor's. */

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

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. 2^n is made in two factors, so that
 * results below the least normal number come out right too. */
static inline double exp_(double x) {
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x;
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to a whole number */
    const double shifted = x * 1.4426950408889634 + magic;
    const double n = shifted - magic;
    const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
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
    p = (p * r) * r + r + 1.0;
    const int64_t whole = (int64_t)(to_bits(shifted) - 0x4338000000000000u);
    const int64_t half = whole >> 1;
    const double first = from_bits((uint64_t)(half + 1023) << 52);
    const double second = from_bits((uint64_t)(whole - half + 1023) << 52);
    return p * first * second;
}

static inline double sigmoid_(double x) { return 1.0 / (1.0 + exp_(-x)); }

/* Near zero a quotient of polynomials, since 1 - 2 / (exp(2x) + 1) cancels there. */
static inline double tanh_(double x) {
    const double size = x < 0.0 ? -x : x;
    const double large = 1.0 - 2.0 / (exp_(2.0 * size) + 1.0);
    const double square = x * x;
    double p = -9.64399179425052238628e-1;
    p = p * square - 9.92877231001918586564e1;
    p = p * square - 1.61468768441708447952e3;
    double q = square + 1.12811678491632931402e2;
    q = q * square + 2.23548839060100448583e3;
    q = q * square + 4.84406305325125486048e3;
    const double small = x + x * square * (p / q);
    return size < 0.625 ? small : (x < 0.0 ? -large : large);
}
