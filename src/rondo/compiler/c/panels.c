/* A matrix is packed once a run into panels of a few vectors of columns, one below the other. */

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

#ifndef PAIRED
#define PAIRED 0
#endif

#define LANES ((int64_t)(VECTOR_BYTES / sizeof(real)))
#define PANEL_COLUMNS (PANEL_VECTORS * LANES)

typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* What the library of products gives to a kernel. `left`, `right` and `result` are the rows of a
 * value where they lie one after the other (a pointer and a stride) or anywhere (pointers). */
typedef struct {
    /* result = left * matrix: rows, depth, width, left, its stride, packed matrix, result, its
     * stride; then which of how many shares of the columns is done. Rows of the result have room for
     * whole vectors. */
    void (*of_rows)(
        int64_t, int64_t, int64_t, const real *, int64_t, const real *, real *, int64_t, int64_t,
        int64_t);
    /* The same for rows anywhere, whose result has room for its width alone. */
    void (*of_rows_anywhere)(
        int64_t, int64_t, int64_t, const real *const *, const real *, real *const *, int64_t,
        int64_t);
    /* total += transposed left * right, or = where it is new: rows, height, width, left, right,
     * the total and its stride, room for a panel of `rows` rows, whether it is new. Rows of the
     * total have room for whole vectors. */
    void (*over_rows)(
        int64_t, int64_t, int64_t, const real *const *, const real *const *, real *, int64_t,
        real *, int64_t);
} products;

/* Where a matrix lies that is read in place. Either the weights of each column follow each other and
 * columns are `stride` apart, or those of each row do, and rows are ~stride apart. */
typedef struct {
    const real *first;
    int64_t stride;
} place;

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t in_vectors(int64_t width) { return (width + LANES - 1) / LANES * LANES; }

/* Numbers that a column of a packed matrix takes, in which two of bfloat16 may have the place of one. */
static inline int64_t packed_depth(int64_t depth) { return PAIRED ? (depth + 1) / 2 : depth; }

/* Numbers that a packed matrix takes. */
static int64_t packed_size(int64_t depth, int64_t width) {
    return packed_depth(depth) * in_vectors(width);
}

static int64_t num_panels(int64_t width) { return (width + PANEL_COLUMNS - 1) / PANEL_COLUMNS; }

/* The first column of a share of the columns of a matrix, in whole panels. */
static inline int64_t share_of_columns(int64_t width, int64_t number, int64_t shares) {
    if (number == 0) return 0;
    return number == shares ? width : number * num_panels(width) / shares * PANEL_COLUMNS;
}
