/* Where a processor multiplies and adds pairs of bfloat16, the numbers of two rows of a matrix that
 * stand one above the other are packed side by side, and rows are rounded to bfloat16 before they are
 * multiplied. An odd row has zeros beside it. Elsewhere products multiply rows as they are. */

#if PAIRED

/* Numbers of a column that are packed together: a line of the cache. */
#define HALVES_TOGETHER 32

/* Pack one panel of a matrix; columns beyond its width are zero. */
static void pack_pairs(
    int64_t number, int64_t depth, int64_t width, const stored *matrix, int64_t row_stride,
    int64_t column_stride, real *packed) {
    const int64_t first = number * PANEL_COLUMNS;
    const int64_t columns = at_most(width - first, PANEL_COLUMNS), padded = in_vectors(columns);
    const stored *const source = matrix + first * column_stride;
    stored *const target = (stored *)(packed + first * packed_depth(depth));
    for (int64_t k = 0; k < 2 * packed_depth(depth); k += HALVES_TOGETHER)
        for (int64_t j = 0; j < padded; ++j)
            for (int64_t i = k; i < at_most(k + HALVES_TOGETHER, 2 * packed_depth(depth)); ++i)
                target[(i / 2 * padded + j) * 2 + i % 2] =
                    j < columns && i < depth ? source[i * row_stride + j * column_stride] : 0;
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

/* As `of_rows_anywhere` of the products. */
static void of_rows_anywhere(
    const call *c, struct room *room, int64_t rows, int64_t depth, int64_t width,
    const real *const *left, const real *packed, real *const *result, int64_t share,
    int64_t shares) {
    const int64_t pairs = packed_depth(depth);
    stored *const rounded = (stored *)(room->rows + ROUNDED_AT);
    const real *lefts[ROUNDED_ROWS];
    for (int64_t row = 0, now; row < rows; row += now) {
        now = at_most(rows - row, ROUNDED_ROWS);
        for (int64_t r = 0; r < now; ++r) {
            round_row(depth, left[row + r], rounded + r * 2 * pairs);
            lefts[r] = (const real *)(rounded + r * 2 * pairs);
        }
        c->products->of_rows_anywhere(
            now, pairs, width, lefts, packed, result + row, share, shares);
    }
}

#else
#define of_rows(c, room, ...) (c)->products->of_rows(__VA_ARGS__)
#define of_rows_anywhere(c, room, ...) (c)->products->of_rows_anywhere(__VA_ARGS__)
#endif

const int64_t rondo_paired = PAIRED; /* whether the library of products must be that of pairs */
