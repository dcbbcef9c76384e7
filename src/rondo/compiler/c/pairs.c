/* Where a processor multiplies and adds pairs of bfloat16, the numbers of two rows of a matrix that
 * stand one above the other are packed side by side, and rows are rounded to bfloat16 before they are
 * multiplied. An odd row has zeros beside it. Elsewhere products multiply rows as they are. */

#if PAIRED

typedef struct { stored first, second; } pair;

/* Pairs of a column that are copied together: a line of the cache. */
#define PAIRS_TOGETHER 16

/* Copy some pairs of columns, of which the numbers of a column follow each other. */
static void pack_pairs_of_columns(
    int64_t columns, const stored *source, int64_t column_stride, pair *target, int64_t padded) {
    for (int64_t j = 0; j < columns; ++j)
        for (int64_t q = 0; q < PAIRS_TOGETHER; ++q)
            memcpy(target + q * padded + j, source + j * column_stride + 2 * q, sizeof(pair));
}

/* Copy the pairs of two rows, whose columns follow each other or not. */
static void pack_two_rows(
    int64_t columns, const stored *first, const stored *second, int64_t column_stride,
    pair *restrict target) {
    if (column_stride == 1)
        for (int64_t j = 0; j < columns; ++j) target[j] = (pair){first[j], second[j]};
    else
        for (int64_t j = 0; j < columns; ++j)
            target[j] = (pair){first[j * column_stride], second[j * column_stride]};
}

/* Pack one panel of a matrix; columns beyond its width are zero. */
static void pack_pairs(
    int64_t number, int64_t depth, int64_t width, const stored *matrix, int64_t row_stride,
    int64_t column_stride, real *packed) {
    const int64_t first = number * PANEL_COLUMNS, pairs = packed_depth(depth);
    const int64_t columns = at_most(width - first, PANEL_COLUMNS), padded = in_vectors(columns);
    const stored *const source = matrix + first * column_stride;
    pair *const target = (pair *)(packed + first * pairs);
    int64_t q = 0;
    for (; row_stride == 1 && 2 * (q + PAIRS_TOGETHER) <= depth; q += PAIRS_TOGETHER)
        pack_pairs_of_columns(
            columns, source + 2 * q, column_stride, target + q * padded, padded);
    for (; q < depth / 2; ++q)
        pack_two_rows(
            columns, source + 2 * q * row_stride, source + (2 * q + 1) * row_stride, column_stride,
            target + q * padded);
    for (int64_t j = 0; q < pairs && j < columns; ++j)
        target[q * padded + j] =
            (pair){source[2 * q * row_stride + j * column_stride], 0};
    for (q = 0; columns < padded && q < pairs; ++q)
        for (int64_t j = columns; j < padded; ++j) target[q * padded + j] = (pair){0, 0};
}

/* Round a row to bfloat16; an odd number has zero beside it. */
static void round_row(int64_t depth, const real *restrict row, stored *restrict rounded) {
    for (int64_t k = 0; k < depth; ++k) rounded[k] = to_stored(row[k]);
    if (depth % 2) rounded[depth] = 0;
}

/* As `of_rows` of the products. */
static void of_rows(
    const call *c, struct room *room, int64_t rows, int64_t depth, int64_t width, const real *left,
    int64_t left_stride, const real *packed, real *result, int64_t result_stride, int64_t share,
    int64_t shares) {
    const int64_t pairs = packed_depth(depth);
    stored *const rounded = (stored *)(room->rows + ROUNDED_AT);
    for (int64_t row = 0, now; row < rows; row += now) {
        now = at_most(rows - row, ROUNDED_ROWS);
        for (int64_t r = 0; r < now; ++r)
            round_row(depth, left + (row + r) * left_stride, rounded + r * 2 * pairs);
        c->products->of_rows(
            now, pairs, width, (const real *)rounded, pairs, packed,
            result + row * result_stride, result_stride, share, shares);
    }
}

#else
#define of_rows(c, room, ...) (c)->products->of_rows(__VA_ARGS__)
#endif

const int64_t rondo_paired = PAIRED; /* whether the library of products must be that of pairs */
