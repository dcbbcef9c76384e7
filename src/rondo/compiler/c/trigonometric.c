/* sin, cos, tan up to |x| = FAR, beyond which a kernel asks the C library, and their inverses. */

#define FAR 65536
#define HALF_PI (real)1.5707963267948966
#define PI (real)3.1415926535897932

/* size = r + quadrant pi / 2, |r| <= pi / 4 and a little. pi / 2 is 33 bits, 33 bits and the rest;
 * times a number up to FAR the first two are exact in double. */
typedef struct { real r; bits quadrant; } turned;

INLINED turned turned_back_(real size) {
    const real shifted = size * (real)0.63661977236758134 + MAGIC;
    const double n = shifted - MAGIC;
    const double r = ((size - n * 1.5707963267341256) - n * 6.077100506303966e-11) -
                     n * 2.0222662487959506e-21;
    return (turned){(real)r, to_bits(shifted)};
}

INLINED real near_sin_(real r) { return r + r * (r * r) * sin_series_(r * r); }

INLINED real near_cos_(real r) {
    const real z = r * r;
    return 1 - (z / 2 - z * z * cos_series_(z));
}

/* sin(r + quadrant pi / 2). */
INLINED real sin_of_(real r, bits quadrant) {
    const real y = quadrant & 1 ? near_cos_(r) : near_sin_(r);
    return quadrant & 2 ? -y : y;
}

INLINED real sin_(real x) {
    const turned at = turned_back_(LIBM(fabs)(x));
    return from_bits(to_bits(sin_of_(at.r, at.quadrant)) ^ (to_bits(x) & SIGN));
}

INLINED real cos_(real x) {
    const turned at = turned_back_(LIBM(fabs)(x));
    return sin_of_(at.r, at.quadrant + 1);
}

INLINED real tan_(real x) {
    const turned at = turned_back_(LIBM(fabs)(x));
    const real s = near_sin_(at.r), c = near_cos_(at.r);
    const real y = (at.quadrant & 1 ? -c : s) / (at.quadrant & 1 ? s : c);
    return from_bits(to_bits(y) ^ (to_bits(x) & SIGN));
}

/* atan(a / b) for a >= 0, b >= 0, by atan(a / b) = pi / 4 + atan((a - b) / (a + b)) between
 * tan(pi / 8) and tan(3 pi / 8), and pi / 2 - atan(b / a) beyond. */
INLINED real atan_of_(real a, real b) {
    const int is_low = a <= b * (real)0.41421356237309505, is_high = a * (real)0.41421356237309505 > b;
    const real t = (is_low ? a : is_high ? -b : a - b) / (is_low ? b : is_high ? a : a + b);
    const real more = t * (t * t) * atan_series_(t * t);
    const real share = is_low ? 0 : is_high ? 1 : (real)0.5;
    return share * HALF_PI + (t + (more + share * HALF_PI_LOW));
}

INLINED real atan_(real x) { return LIBM(copysign)(atan_of_(LIBM(fabs)(x), 1), x); }

INLINED real atan2_(real y, real x) {
    real a = LIBM(fabs)(y), b = LIBM(fabs)(x);
    const int is_far = a == INFINITY && b == INFINITY;
    a = is_far ? 1 : a;
    b = is_far || (a == 0 && b == 0) ? 1 : b;
    const real angle = atan_of_(a, b);
    const real whole_angle = LIBM(copysign)(1, x) < 0 ? PI - (angle - 2 * HALF_PI_LOW) : angle;
    return LIBM(copysign)(whole_angle, y);
}

/* asin |x|, as asin(s) for |x| <= 1/2, beyond as pi / 2 - 2 asin(s), s = sqrt((1 - |x|) / 2). */
typedef struct { real angle; int is_rest; } arc;

INLINED arc arc_(real size) {
    const int is_rest = size > (real)0.5;
    const real z = is_rest ? (1 - size) / 2 : size * size;
    const real s = is_rest ? LIBM(sqrt)(z) : size;
    return (arc){s + s * z * asin_series_(z), is_rest};
}

INLINED real asin_(real x) {
    const arc a = arc_(LIBM(fabs)(x));
    return LIBM(copysign)(a.is_rest ? HALF_PI - (2 * a.angle - HALF_PI_LOW) : a.angle, x);
}

INLINED real acos_(real x) {
    const arc a = arc_(LIBM(fabs)(x));
    const real rest = x < 0 ? PI - (2 * a.angle - 2 * HALF_PI_LOW) : 2 * a.angle;
    return a.is_rest ? rest : HALF_PI - (LIBM(copysign)(a.angle, x) - HALF_PI_LOW);
}

INLINED real hypot_(real x, real y) {
    const real a = LIBM(fabs)(x), b = LIBM(fabs)(y);
    const real large = a > b ? a : b, small = a > b ? b : a;
    const real t = small / large;
    const real size = large * LIBM(sqrt)(1 + t * t);
    return a == INFINITY || b == INFINITY ? INFINITY : a + b == 0 ? 0 : size;
}
