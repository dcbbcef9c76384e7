/* Elementary functions of float without branches or tables, so that a loop of them becomes vector
 * code. Each is within 3 units in the last place; coefficients after Cephes (Moshier, 1992). */

static inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* exp(r) - 1 for |r| <= ln 2 / 2. */
static inline float exp_minus_one_(float r) {
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * r) * r + r;
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. 2^n is made in two factors, so that
 * results below the least normal number come out right too. */
static inline float exp_(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    const float shifted = x * 1.44269504f + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p = exp_minus_one_(r) + 1.0f;
    const int32_t whole = (int32_t)(to_bits(shifted) - 0x4b400000u);
    const int32_t half = whole >> 1;
    const float first = from_bits((uint32_t)(half + 127) << 23);
    const float second = from_bits((uint32_t)(whole - half + 127) << 23);
    return p * first * second;
}

static inline float sigmoid_(float x) { return 1.0f / (1.0f + exp_(-x)); }

/* tanh |x| = e / (e + 2) for e = exp(2 |x|) - 1 = 2^n (exp(r) - 1) + (2^n - 1), which cancels
 * nowhere; from |x| = 10 on it is 1. */
static inline float tanh_(float x) {
    const uint32_t sign = to_bits(x) & 0x80000000u;
    float size = from_bits(to_bits(x) ^ sign);
    size = size > 10.0f ? 10.0f : size;
    const float magic = 12582912.0f; /* as in exp_ */
    const float shifted = size * 2.88539008f + magic;
    const float n = shifted - magic;
    const float r = (2.0f * size - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p = exp_minus_one_(r);
    const float power = from_bits((to_bits(shifted) - 0x4b400000u + 127u) << 23);
    const float e = p * power + (power - 1.0f);
    return from_bits(to_bits(e / (e + 2.0f)) | sign);
}
