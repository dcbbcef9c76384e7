/* x^y with the special cases of C. */
INLINED real pow_(real x, real y) {
    const real size = LIBM(fabs)(x);
    const int is_whole = LIBM(rint)(y) == y, is_odd = is_whole && LIBM(rint)(y / 2) != y / 2;
    const real power = size == 1 ? 1 : power_of_(size, y);
    const real with_sign = is_odd && LIBM(copysign)(1, x) < 0 ? -power : power;
    const real real_power = x < 0 && x > -INFINITY && !is_whole ? NAN : with_sign;
    return y == 0 || x == 1 ? 1 : real_power;
}
