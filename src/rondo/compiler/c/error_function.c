/* erf and erfc. */

/* erfc(x) = exp(-x^2) times a polynomial over x + ERFC_CENTRE, for x >= 0. x^2 = h^2 + (x - h) (x + h),
 * where h is the upper half of x, whose square is exact. */
INLINED real erfc_of_(real x) {
    x = x > ERFC_ZERO ? ERFC_ZERO : x;
    const real h = from_bits(to_bits(x) & ~(bits)LOWER_HALF);
    const real power = exp_(-h * h);
    const real p = erfc_series_((x - ERFC_CENTRE) / (x + ERFC_CENTRE)) / (x + ERFC_CENTRE);
    return (power + power * exp_minus_one_((h - x) * (h + x))) * p;
}

/* erf(x) for |x| < 1. */
INLINED real near_erf_(real x) { return x + x * erf_series_(x * x); }

INLINED real erf_(real x) {
    const real size = LIBM(fabs)(x);
    return LIBM(copysign)(size < 1 ? near_erf_(size) : 1 - erfc_of_(size), x);
}

INLINED real erfc_(real x) {
    const real size = LIBM(fabs)(x);
    const real y = erfc_of_(size);
    return size < (real)0.65 ? 1 - near_erf_(x) : x < 0 ? 2 - y : y;
}
