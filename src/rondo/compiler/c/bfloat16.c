/* Numbers that lie in memory as bfloat16, the upper half of a float, and are computed as float; in
 * pairs where the processor multiplies and adds them so. */

#ifndef PAIRED
#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define PAIRED 1
#else
#define PAIRED 0
#endif
#endif

INLINED float from_stored(uint16_t half) { return from_bits((uint32_t)half << 16); }

/* Rounds to the nearest, ties to even; NaN stays NaN. */
INLINED uint16_t to_stored(float value) {
    const uint32_t bits = to_bits(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (uint16_t)(value != value ? (bits >> 16) | 0x40u : rounded);
}
