/* What the elementary functions need to know of double: its bits, and polynomials. These are
 * minimax, by Remez; beside each stands its greatest error relative to the function it serves. */

typedef uint64_t bits;
typedef int64_t whole;

#define MANTISSA 52
#define BIAS 1023
#define SIGN 0x8000000000000000u
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to a whole number */
#define LEAST_NORMAL 2.2250738585072014e-308
#define ROOT_HALF 0x3fe6a09e667f3bcdu /* the bits of sqrt(1/2) */
#define LOWER_HALF 0x7ffffffu /* of a mantissa: the square of what is left is exact */

#define LN2_HIGH 0.6931471805592082 /* 40 bits: times an exponent it is exact */
#define LN2_LOW 7.371002565167799e-13
#define HALF_PI_LOW 6.123233995736766e-17 /* pi/2 less the double next to it */

#define EXP_INFINITE 710.0
#define EXP_ZERO -746.0
#define EXP2_INFINITE 1025.0
#define EXP2_ZERO -1076.0
#define SINH_INFINITE 710.7
#define EXPM1_MINUS_ONE -38.0
#define TANH_ONE 20.0
#define SQUARE_INFINITE 1e150 /* from here on squares come near infinity */
#define ERFC_ZERO 27.3
#define ERFC_CENTRE 3.75

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2; 2^-64. */
INLINED double exp_series_(double r) {
    double p = 2.0926871503816418e-9;
    p = p * r + 2.5112239675158352e-8;
    p = p * r + 2.7557233591727085e-7;
    p = p * r + 2.7557234238330532e-6;
    p = p * r + 2.4801587373455909e-5;
    p = p * r + 1.9841269897055903e-4;
    p = p * r + 1.3888888888858614e-3;
    p = p * r + 8.3333333333167406e-3;
    p = p * r + 4.1666666666666727e-2;
    p = p * r + 1.6666666666666685e-1;
    return p * r + 5.0000000000000000e-1;
}

/* (log((1 + s) / (1 - s)) - 2 s) / s^3 at z = s^2, s <= 0.172; 2^-60. */
INLINED double log_series_(double z) {
    double p = 1.4795979818211499e-1;
    p = p * z + 1.5314051641192900e-1;
    p = p * z + 1.8183564118226575e-1;
    p = p * z + 2.2222198580270541e-1;
    p = p * z + 2.8571428742292493e-1;
    p = p * z + 3.9999999999415192e-1;
    return p * z + 6.6666666666667340e-1;
}

/* (sin(r) - r) / r^3 at z = r^2, r <= pi/4 + 0.009; 2^-58. */
INLINED double sin_series_(double z) {
    double p = 1.5893123146232948e-10;
    p = p * z - 2.5050696287569717e-8;
    p = p * z + 2.7557313308025642e-6;
    p = p * z - 1.9841269828736909e-4;
    p = p * z + 8.3333333333211260e-3;
    return p * z - 1.6666666666666627e-1;
}

/* (cos(r) - 1 + r^2/2) / r^4 at z = r^2, r <= pi/4 + 0.009; 2^-64. */
INLINED double cos_series_(double z) {
    double p = -1.1355931222783398e-11;
    p = p * z + 2.0875651118271717e-9;
    p = p * z - 2.7557313818348118e-7;
    p = p * z + 2.4801587287621036e-5;
    p = p * z - 1.3888888888871119e-3;
    return p * z + 4.1666666666666581e-2;
}

/* (atan(t) - t) / t^3 at z = t^2, t <= tan(pi/8); 2^-60. */
INLINED double atan_series_(double z) {
    double p = -1.7920789795466307e-2;
    p = p * z + 3.8076988854719898e-2;
    p = p * z - 5.0397942440293941e-2;
    p = p * z + 5.8479978103785371e-2;
    p = p * z - 6.6631188968979627e-2;
    p = p * z + 7.6920615099134865e-2;
    p = p * z - 9.0908978295074439e-2;
    p = p * z + 1.1111110785903767e-1;
    p = p * z - 1.4285714280243969e-1;
    p = p * z + 1.9999999999954038e-1;
    return p * z - 3.3333333333333198e-1;
}

/* (asin(s) - s) / s^3 at z = s^2, s <= 1/2; 2^-56. */
INLINED double asin_series_(double z) {
    double p = 3.1951950038529311e-2;
    p = p * z - 1.6283286987297529e-2;
    p = p * z + 1.9566679045397210e-2;
    p = p * z + 6.5136208924183479e-3;
    p = p * z + 1.2172611624114685e-2;
    p = p * z + 1.3884703959760202e-2;
    p = p * z + 1.7359760112004925e-2;
    p = p * z + 2.2371754266887062e-2;
    p = p * z + 3.0381959299968102e-2;
    p = p * z + 4.4642856824239435e-2;
    p = p * z + 7.5000000003421344e-2;
    return p * z + 1.6666666666665386e-1;
}

/* (erf(x) - x) / x at z = x^2, x <= 1; 2^-57. */
INLINED double erf_series_(double z) {
    double p = -7.7794629717615971e-10;
    p = p * z + 1.3710988704190523e-8;
    p = p * z - 1.6206318752969208e-7;
    p = p * z + 1.6447132699786621e-6;
    p = p * z - 1.4924712439534814e-5;
    p = p * z + 1.2055293586936950e-4;
    p = p * z - 8.5483259297662443e-4;
    p = p * z + 5.2239776061308420e-3;
    p = p * z - 2.6866170643113415e-2;
    p = p * z + 1.1283791670944200e-1;
    p = p * z - 3.7612638903183521e-1;
    return p * z + 1.2837916709551256e-1;
}

/* (x + 3.75) exp(x^2) erfc(x) at t = (x - 3.75) / (x + 3.75), 0 <= x <= 27; 2^-59. */
INLINED double erfc_series_(double t) {
    double p = -1.1915628601940178e-9;
    p = p * t - 4.3757921971266605e-9;
    p = p * t + 6.0384409945443964e-9;
    p = p * t + 3.9622580362883581e-8;
    p = p * t - 3.0794264202164109e-8;
    p = p * t - 2.6378362135447530e-7;
    p = p * t + 2.8285756902390714e-7;
    p = p * t + 1.6563931234491660e-6;
    p = p * t - 3.2908774704343169e-6;
    p = p * t - 8.9041642213707276e-6;
    p = p * t + 3.7472147290081881e-5;
    p = p * t + 1.0594063703809425e-5;
    p = p * t - 3.4864694137009839e-4;
    p = p * t + 7.9482308529697592e-4;
    p = p * t + 9.8633809102212041e-4;
    p = p * t - 1.2535880039481440e-2;
    p = p * t + 4.9118778614359364e-2;
    p = p * t - 1.3195540117862548e-1;
    p = p * t + 2.7906204903382298e-1;
    p = p * t - 4.9047029120767616e-1;
    p = p * t + 7.3631892522175102e-1;
    p = p * t - 9.5874157665290960e-1;
    return p * t + 1.0919229095627891;
}
