/* Products of rows with matrices that are read where they were given: for few rows a packed copy
 * would be read no more often than the matrix itself. The weights of a column of the result follow
 * each other. Where a kernel looks for a packed matrix, it finds the place of the matrix. */

#define WIDE_BYTES (VECTOR_BYTES < 32 ? 32 : VECTOR_BYTES)
#define WIDE ((int64_t)(WIDE_BYTES / sizeof(real)))
#define TILE_ROWS 4

typedef real wide __attribute__((vector_size(WIDE_BYTES), aligned(sizeof(real)), may_alias));
typedef real four __attribute__((vector_size(4 * sizeof(real))));
typedef real tile[TILE_ROWS][8];
typedef void tile_function(int64_t, const real *const *, const real *const *, tile);

typedef struct {
    const real *first;
    int64_t stride; /* from the weights of a column to those of the next */
} place;

static inline __attribute__((always_inline)) four in_fours(wide lanes) {
    four sum, part;
    memcpy(&sum, &lanes, sizeof sum);
    _Pragma("GCC unroll 4") for (int64_t i = 1; i < WIDE / 4; ++i) {
        memcpy(&part, (const char *)&lanes + i * sizeof part, sizeof part);
        sum += part;
    }
    return sum;
}

/* The sums of the lanes of four vectors. */
static inline __attribute__((always_inline)) four sums_of(const wide *lanes) {
    const four a = in_fours(lanes[0]), b = in_fours(lanes[1]);
    const four c = in_fours(lanes[2]), d = in_fours(lanes[3]);
    const four ab = (four){a[0], b[0], a[1], b[1]} + (four){a[2], b[2], a[3], b[3]};
    const four cd = (four){c[0], d[0], c[1], d[1]} + (four){c[2], d[2], c[3], d[3]};
    return (four){ab[0], ab[1], cd[0], cd[1]} + (four){ab[2], ab[3], cd[2], cd[3]};
}

/* result = left * COLUMNS columns for ROWS rows. */
#define TILE(ROWS, COLUMNS)                                                                   \
    static void tile_##ROWS##x##COLUMNS(                                                      \
        int64_t depth, const real *const *left, const real *const *columns, tile result) {    \
        wide sums[ROWS][COLUMNS] = {{{0}}};                                                   \
        int64_t k = 0;                                                                        \
        for (; k + WIDE <= depth; k += WIDE)                                                  \
            _Pragma("GCC unroll 8") for (int c = 0; c < COLUMNS; ++c) {                       \
                const wide weights = *(const wide *)(columns[c] + k);                         \
                _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                        \
                    sums[r][c] += weights * *(const wide *)(left[r] + k);                     \
            }                                                                                 \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                                \
            _Pragma("GCC unroll 8") for (int c = 0; c < COLUMNS; c += 4) {                    \
                const four sum = sums_of(sums[r] + c);                                        \
                memcpy(result[r] + c, &sum, sizeof sum);                                      \
            }                                                                                 \
        for (; k < depth; ++k)                                                                \
            for (int r = 0; r < ROWS; ++r)                                                    \
                for (int c = 0; c < COLUMNS; ++c) result[r][c] += left[r][k] * columns[c][k]; \
    }

TILE(1, 8)
TILE(2, 4)
TILE(3, 4)
TILE(4, 4)
static tile_function *const TILES[] = {tile_1x8, tile_2x4, tile_3x4, tile_4x4};

/* Rows of the result have room for their width alone. */
static void product_of_rows_anywhere(
    int64_t rows, int64_t depth, int64_t width, const real *const *left, const real *packed,
    real *const *result, int64_t share, int64_t shares) {
    const place matrix = *(const place *)packed;
    const int64_t tile_columns = rows == 1 ? 8 : 4;
    const int64_t last = share_of_columns(width, share + 1, shares);
    for (int64_t column = share_of_columns(width, share, shares); column < last;
         column += tile_columns) {
        const int64_t num_columns = at_most(last - column, tile_columns);
        const real *columns[8];
        for (int64_t c = 0; c < 8; ++c) /* beyond the last one that one again */
            columns[c] = matrix.first + (column + at_most(c, num_columns - 1)) * matrix.stride;
        for (int64_t row = 0; row < rows; row += TILE_ROWS) {
            const int64_t num_rows = at_most(rows - row, TILE_ROWS);
            tile sums;
            TILES[num_rows - 1](depth, left + row, columns, sums);
            for (int64_t r = 0; r < num_rows; ++r)
                memcpy(result[row + r] + column, sums[r], num_columns * sizeof(real));
        }
    }
}

static void product_of_rows(
    int64_t rows, int64_t depth, int64_t width, const real *left, int64_t left_stride,
    const real *packed, real *result, int64_t result_stride, int64_t share, int64_t shares) {
    const real *lefts[TILE_ROWS * 4];
    real *results[TILE_ROWS * 4];
    for (int64_t row = 0; row < rows; row += TILE_ROWS * 4) {
        const int64_t num_rows = at_most(rows - row, TILE_ROWS * 4);
        for (int64_t r = 0; r < num_rows; ++r) {
            lefts[r] = left + (row + r) * left_stride;
            results[r] = result + (row + r) * result_stride;
        }
        product_of_rows_anywhere(
            num_rows, depth, width, lefts, packed, results, share, shares);
    }
}

const products rondo_products_in_place = {product_of_rows, product_of_rows_anywhere, NULL};

/* Put the places of a kernel's matrices where it looks for packed ones: of each its place, then its
 * depth and width. The kernel has run once. */
void rondo_put_places(call *c, int64_t num_matrices, const int64_t *matrices) {
    real *packed = c->packed;
    for (int64_t m = 0; m < num_matrices; ++m, matrices += 4) {
        const place here = {(const real *)matrices[0], matrices[1]};
        memcpy(packed, &here, sizeof here);
        packed += packed_size(matrices[2], matrices[3]);
    }
    c->products = &rondo_products_in_place;
}
