/* The error of a product that rounds to p. Without an instruction for it: by halves (Dekker, 1971). */
INLINED double lost_(double a, double b, double p) {
#if defined __FMA__ || defined __aarch64__ || defined FP_FAST_FMA
    return __builtin_fma(a, b, -p);
#else
    const double big_a = a * 134217729, big_b = b * 134217729;
    const double ah = big_a - (big_a - a), bh = big_b - (big_b - b);
    const double al = a - ah, bl = b - bh;
    return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
}

/* size^y = exp(y log(size)) for size >= 0. All is carried as a double and a correction to it:
 * log(1 + f) = 2 s + s z (2/3 + z q(z)), s = f / (2 + f), z = s^2; q within 2^-66 of log, by minimax. */
INLINED double power_of_(double size, double y) {
    const apart a = taken_apart_(size);
    const double g = 2 + a.f, g_low = a.f - (g - 2);
    const double s = a.f / g, s_low = -(lost_(s, g, a.f) + s * g_low) / g;
    const double z = s * s, z_low = lost_(s, s, z) + 2 * s * s_low;
    double q = 1.3196313322258742e-1;
    q = q * z + 1.3256821145347827e-1;
    q = q * z + 1.5386757082812325e-1;
    q = q * z + 1.8181784375566336e-1;
    q = q * z + 2.2222222519779192e-1;
    q = q * z + 2.8571428570100721e-1;
    q = q * z + 4.0000000000002253e-1;
    q = q * z;
    const double u = 0.66666666666666663 + q;
    const double u_low = (q - (u - 0.66666666666666663)) + 3.700743415417188e-17;
    const double v = z * u, v_low = lost_(z, u, v) + (z * u_low + z_low * u);
    const double w = s * v, w_low = lost_(s, v, w) + (s * v_low + s_low * v);
    const double high = a.exponent * LN2_HIGH, first = high + 2 * s, second = first + w;
    const double low = (((2 * s - (first - high)) + (w - (second - first))) + 2 * s_low + w_low) +
                       a.exponent * LN2_LOW;
    const double log_size = log_at_(size, second + low), log_low = low - (log_size - second);
    const double product = y * log_size;
    const double product_low = lost_(y, log_size, product) + y * log_low;
    return exp_less_(product, product < 1000 && product > -1000 ? -product_low : 0);
}
