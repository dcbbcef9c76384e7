/* size^y = 2^(y log2 size) for size >= 0, in double; the logarithm within 2^-37, by minimax. */
INLINED float power_of_(float size, float y) {
    const apart a = taken_apart_(size);
    const double f = a.f, s = f / (2 + f), z = s * s, half_square = f * f / 2;
    double p = 2.3582282255087877e-1;
    p = p * z + 2.8537303891340014e-1;
    p = p * z + 4.0000335210482425e-1;
    p = p * z + 6.6666665645753055e-1;
    const double log_f = f - (half_square - s * (half_square + z * p));
    const double log2_size = a.exponent + log_f * 1.4426950408889634;
    double w = y * (size > 0 && size < INFINITY ? log2_size : log_at_(size, 0));
    w = w > EXP2_INFINITE ? EXP2_INFINITE : w;
    w = w < EXP2_ZERO ? EXP2_ZERO : w;
    const float shifted = (float)w + MAGIC;
    const double r = (w - (shifted - MAGIC)) * 0.69314718055994531;
    double e = 1.9918379668679768e-4; /* (exp(r) - 1 - r) / r^2, minimax; 2^-34 */
    e = e * r + 1.3946079147467573e-3;
    e = e * r + 8.3332643431985372e-3;
    e = e * r + 4.1666269848283342e-2;
    e = e * r + 1.6666666860920755e-1;
    e = e * r + 5.0000000779355338e-1;
    return scaled_((float)(1 + (r + r * r * e)), shifted);
}
