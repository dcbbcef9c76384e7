/* Products of rows with matrices that are read where they were given: for few rows a packed copy
 * would be read no more often than the matrix itself. Where a kernel looks for a packed matrix, it
 * finds the place of the matrix. Either the weights of a column of the result follow each other, or
 * those of a row. */

#define WIDE_BYTES (VECTOR_BYTES < 32 ? 32 : VECTOR_BYTES)
#define WIDE ((int64_t)(WIDE_BYTES / sizeof(real)))
#define TILE_ROWS 4
#define MAX_ROWS 16

typedef real wide __attribute__((vector_size(WIDE_BYTES), aligned(sizeof(real)), may_alias));
typedef real four __attribute__((vector_size(4 * sizeof(real))));
typedef real tile[TILE_ROWS][8];
typedef void tile_function(int64_t, const real *const *, const real *const *, tile);

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
static void by_columns(
    int64_t rows, int64_t depth, int64_t first, int64_t last, const real *const *left,
    place matrix, real *const *result) {
    const int64_t tile_columns = rows == 1 ? 8 : 4;
    for (int64_t column = first; column < last; column += tile_columns) {
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

/* result += left * DEPTH rows of the matrix for ROWS rows. */
#define LAYER(ROWS, DEPTH)                                                                    \
    static void layer_##ROWS##x##DEPTH(                                                       \
        int64_t j, int64_t last, const real *const *left, int64_t k, const real *matrix,      \
        int64_t stride, real *const *result) {                                                \
        real factor[ROWS][DEPTH];                                                             \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                                \
            _Pragma("GCC unroll 8") for (int d = 0; d < DEPTH; ++d)                           \
                factor[r][d] = left[r][k + d];                                                \
        for (; j + LANES <= last; j += LANES) {                                               \
            vector weight[DEPTH];                                                             \
            _Pragma("GCC unroll 8") for (int d = 0; d < DEPTH; ++d)                           \
                weight[d] = *(const vector *)(matrix + d * stride + j);                       \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) {                          \
                vector sum = *(const vector *)(result[r] + j);                                \
                _Pragma("GCC unroll 8") for (int d = 0; d < DEPTH; ++d)                       \
                    sum += factor[r][d] * weight[d];                                          \
                *(vector *)(result[r] + j) = sum;                                             \
            }                                                                                 \
        }                                                                                     \
        for (; j < last; ++j)                                                                 \
            for (int r = 0; r < ROWS; ++r)                                                    \
                for (int d = 0; d < DEPTH; ++d)                                               \
                    result[r][j] += factor[r][d] * matrix[d * stride + j];                    \
    }

LAYER(1, 4)
LAYER(2, 4)
LAYER(1, 1)
LAYER(2, 1)

/* The same where the weights of a row follow each other: the matrix is read once, some rows of it at
 * a time, and the results stay in the cache. */
static void by_rows(
    int64_t rows, int64_t depth, int64_t first, int64_t last, const real *const *left,
    place matrix, real *const *result) {
    for (int64_t r = 0; r < rows; ++r)
        memset(result[r] + first, 0, (last - first) * sizeof(real));
    for (int64_t k = 0, num; k < depth; k += num) {
        const real *const from = matrix.first + k * matrix.stride;
        num = depth - k < 4 ? 1 : 4;
        int64_t r = 0;
        for (; r + 2 <= rows; r += 2)
            (num == 4 ? layer_2x4 : layer_2x1)(
                first, last, left + r, k, from, matrix.stride, result + r);
        if (r < rows)
            (num == 4 ? layer_1x4 : layer_1x1)(
                first, last, left + r, k, from, matrix.stride, result + r);
    }
}

static void product_of_rows_anywhere(
    int64_t rows, int64_t depth, int64_t width, const real *const *left, const real *packed,
    real *const *result, int64_t share, int64_t shares) {
    place matrix = *(const place *)packed;
    const int64_t first = share_of_columns(width, share, shares);
    const int64_t last = share_of_columns(width, share + 1, shares);
    if (matrix.stride >= 0) {
        by_columns(rows, depth, first, last, left, matrix, result);
    } else {
        matrix.stride = ~matrix.stride;
        by_rows(rows, depth, first, last, left, matrix, result);
    }
}

static void product_of_rows(
    int64_t rows, int64_t depth, int64_t width, const real *left, int64_t left_stride,
    const real *packed, real *result, int64_t result_stride, int64_t share, int64_t shares) {
    const real *lefts[MAX_ROWS];
    real *results[MAX_ROWS];
    for (int64_t row = 0; row < rows; row += MAX_ROWS) {
        const int64_t num_rows = at_most(rows - row, MAX_ROWS);
        for (int64_t r = 0; r < num_rows; ++r) {
            lefts[r] = left + (row + r) * left_stride;
            results[r] = result + (row + r) * result_stride;
        }
        product_of_rows_anywhere(
            num_rows, depth, width, lefts, packed, results, share, shares);
    }
}

/* total += DEPTH columns of transposed left * rows of right, or = where it is new. */
#define OUTER(DEPTH)                                                                          \
    static void outer_##DEPTH(                                                                \
        int64_t width, const real *const *left, int64_t column, const real *const *right,     \
        real *restrict total, int64_t is_new) {                                               \
        real factor[DEPTH];                                                                   \
        _Pragma("GCC unroll 8") for (int d = 0; d < DEPTH; ++d) factor[d] = left[d][column];  \
        int64_t j = 0;                                                                        \
        for (; j + LANES <= width; j += LANES) {                                              \
            vector sum = {0};                                                                 \
            if (!is_new) sum = *(vector *)(total + j);                                        \
            _Pragma("GCC unroll 8") for (int d = 0; d < DEPTH; ++d)                           \
                sum += factor[d] * *(const vector *)(right[d] + j);                           \
            *(vector *)(total + j) = sum;                                                     \
        }                                                                                     \
        for (; j < width; ++j) {                                                              \
            real sum = is_new ? 0 : total[j];                                                 \
            for (int d = 0; d < DEPTH; ++d) sum += factor[d] * right[d][j];                   \
            total[j] = sum;                                                                   \
        }                                                                                     \
    }

OUTER(1)
OUTER(2)
OUTER(4)

/* For few rows: the total is written once, from its beginning to its end. */
static void product_over_rows(
    int64_t rows, int64_t height, int64_t width, const real *const *left,
    const real *const *right, real *total, int64_t stride, real *panel, int64_t is_new) {
    for (int64_t i = 0; i < height; ++i, total += stride)
        for (int64_t k = 0, num; k < rows; k += num) {
            num = rows - k < 2 ? 1 : rows - k < 4 ? 2 : 4;
            (num == 1 ? outer_1 : num == 2 ? outer_2 : outer_4)(
                width, left + k, i, right + k, total, is_new && !k);
        }
}

const products rondo_products_in_place = {
    product_of_rows, product_of_rows_anywhere, product_over_rows};
