/* sum += the products of a pair of bfloat16 and the pairs of a vector, as the instruction of x86 does
 * it: first those of the upper halves, then those of the lower, each rounded to the nearest float.
 * Numbers below the least normal float count as zero. That of ARM rounds once for both. */

#if defined(__AVX512BF16__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>
#endif

typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES)));

INLINED vector flushed(vector numbers) {
    const words bits = (words)numbers, is_normal = (words)((bits & 0x7f800000u) != 0);
    return (vector)(bits & (is_normal | 0x80000000u));
}

INLINED vector dot(vector sum, uint32_t pair, vector pairs) {
    const words left = (words){0} + pair, right = (words)pairs;
#if defined(__AVX512BF16__) && VECTOR_BYTES == 64
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && VECTOR_BYTES == 16
    return (vector)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)left, (bfloat16x8_t)right);
#else
    sum += flushed((vector)(left & 0xffff0000u)) * flushed((vector)(right & 0xffff0000u));
    sum = flushed(sum);
    sum += flushed((vector)(left << 16)) * flushed((vector)(right << 16));
    return flushed(sum);
#endif
}
