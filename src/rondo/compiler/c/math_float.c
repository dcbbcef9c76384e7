/* What the elementary functions need to know of float: its bits, and polynomials. These are
 * minimax, by Remez; beside each stands its greatest error relative to the function it serves. */

typedef uint32_t bits;
typedef int32_t whole;

#define MANTISSA 23
#define BIAS 127
#define SIGN 0x80000000u
#define MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to a whole number */
#define LEAST_NORMAL 1.17549435e-38f
#define ROOT_HALF 0x3f3504f3u /* the bits of sqrt(1/2) */
#define LOWER_HALF 0xfffu /* of a mantissa: the square of what is left is exact */

#define LN2_HIGH 0.693145752f /* 15 bits: times an exponent it is exact */
#define LN2_LOW 1.42860677e-6f
#define HALF_PI_LOW -4.37113883e-8f /* pi/2 less the float next to it */

#define EXP_INFINITE 89.0f
#define EXP_ZERO -104.0f
#define EXP2_INFINITE 129.0f
#define EXP2_ZERO -151.0f
#define SINH_INFINITE 89.7f
#define EXPM1_MINUS_ONE -18.0f
#define TANH_ONE 10.0f
#define SQUARE_INFINITE 1e18f /* from here on squares come near infinity */
#define ERFC_ZERO 10.1f
#define ERFC_CENTRE 3.0f

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2; 2^-28. */
INLINED float exp_series_(float r) {
    float p = 1.39505905e-3f;
    p = p * r + 8.36888973e-3f;
    p = p * r + 4.16662041e-2f;
    p = p * r + 1.66665188e-1f;
    return p * r + 5.0000001e-1f;
}

/* (log((1 + s) / (1 - s)) - 2 s) / s^3 at z = s^2, s <= 0.172; 2^-30. */
INLINED float log_series_(float z) {
    float p = 2.98718488e-1f;
    p = p * z + 3.99775376e-1f;
    return p * z + 6.66667764e-1f;
}

/* (sin(r) - r) / r^3 at z = r^2, r <= pi/4 + 0.009; 2^-28. */
INLINED float sin_series_(float z) {
    float p = -1.95098864e-4f;
    p = p * z + 8.33212461e-3f;
    return p * z - 1.66666541e-1f;
}

/* (cos(r) - 1 + r^2/2) / r^4 at z = r^2, r <= pi/4 + 0.009; 2^-33. */
INLINED float cos_series_(float z) {
    float p = 2.44247041e-5f;
    p = p * z - 1.38872434e-3f;
    return p * z + 4.16666442e-2f;
}

/* (atan(t) - t) / t^3 at z = t^2, t <= tan(pi/8); 2^-30. */
INLINED float atan_series_(float z) {
    float p = -6.08334796e-2f;
    p = p * z + 1.0596007e-1f;
    p = p * z - 1.42438579e-1f;
    p = p * z + 1.99984905e-1f;
    return p * z - 3.33333155e-1f;
}

/* (asin(s) - s) / s^3 at z = s^2, s <= 1/2; 2^-28. */
INLINED float asin_series_(float z) {
    float p = 4.22183468e-2f;
    p = p * z + 2.4147923e-2f;
    p = p * z + 4.54769815e-2f;
    p = p * z + 7.49524322e-2f;
    return p * z + 1.66667539e-1f;
}

/* (erf(x) - x) / x at z = x^2, x <= 1; 2^-30. */
INLINED float erf_series_(float z) {
    float p = 7.85384983e-5f;
    p = p * z - 8.0102027e-4f;
    p = p * z + 5.18833048e-3f;
    p = p * z - 2.68538146e-2f;
    p = p * z + 1.12835852e-1f;
    p = p * z - 3.76126258e-1f;
    return p * z + 1.28379166e-1f;
}

/* (x + 3) exp(x^2) erfc(x) at t = (x - 3) / (x + 3), 0 <= x <= 10.2; 2^-29. */
INLINED float erfc_series_(float t) {
    float p = -3.25319545e-4f;
    p = p * t - 4.83160291e-4f;
    p = p * t + 3.08031963e-3f;
    p = p * t - 1.22644268e-3f;
    p = p * t - 2.68398245e-2f;
    p = p * t + 1.19529071e-1f;
    p = p * t - 3.10466009e-1f;
    p = p * t + 5.90228298e-1f;
    p = p * t - 8.83394486e-1f;
    return p * t + 1.07400691f;
}
