/* Elementary functions of float without branches or tables, so that a loop of them becomes vector
 * code. Each is within 2 units in the last place; coefficients after Cephes (Moshier, 1992). */

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

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. 2^n is made in two factors, so that
 * results below the least normal number come out right too. */
static inline float exp_(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    const float shifted = x * 1.44269504f + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + r + 1.0f;
    const int32_t whole = (int32_t)(to_bits(shifted) - 0x4b400000u);
    const int32_t half = whole >> 1;
    const float first = from_bits((uint32_t)(half + 127) << 23);
    const float second = from_bits((uint32_t)(whole - half + 127) << 23);
    return p * first * second;
}

static inline float sigmoid_(float x) { return 1.0f / (1.0f + exp_(-x)); }

/* Near zero a polynomial, since 1 - 2 / (exp(2x) + 1) cancels there. */
static inline float tanh_(float x) {
    const float size = x < 0.0f ? -x : x;
    const float large = 1.0f - 2.0f / (exp_(2.0f * size) + 1.0f);
    const float square = x * x;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    const float small = p * square * x + x;
    return size < 0.625f ? small : (x < 0.0f ? -large : large);
}
