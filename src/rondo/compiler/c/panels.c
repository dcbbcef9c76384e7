/* A matrix is packed once a call into panels of a few vectors of columns, one below the other. */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define PANEL_VECTORS 4 /* 6 x 4 sums of 32 registers */
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define PANEL_VECTORS 2 /* 6 x 2 sums of 16 registers */
#else
#define VECTOR_BYTES 16
#define PANEL_VECTORS 2
#endif

#define LANES ((int64_t)(VECTOR_BYTES / sizeof(real)))

typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* result = left * matrix for some rows: rows, depth, width, left, its stride from row to row, packed
 * matrix, result, its stride. Rows of the result have room for whole vectors. */
typedef void product_function(
    int64_t, int64_t, int64_t, const real *, int64_t, const real *, real *, int64_t);

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* Numbers that a packed matrix takes. */
static int64_t packed_size(int64_t depth, int64_t width) {
    return depth * ((width + LANES - 1) / LANES) * LANES;
}

static int64_t num_panels(int64_t width) {
    return (width + PANEL_VECTORS * LANES - 1) / (PANEL_VECTORS * LANES);
}
