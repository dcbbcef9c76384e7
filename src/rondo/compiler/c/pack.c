/* Numbers of a column that are copied together: a line of the cache, or more. */
#define PACKED_TOGETHER 16

/* What GCC should compile with all its care, where the rest is compiled fast. */
#if defined(__GNUC__) && !defined(__clang__)
#define CAREFULLY __attribute__((optimize("O3")))
#else
#define CAREFULLY
#endif

/* Copy `rows` rows of some columns, of which those of a column follow each other. */
CAREFULLY static void pack_columns(
    int64_t rows, int64_t columns, const stored *source, int64_t column_stride, real *target,
    int64_t padded) {
    for (int64_t j = 0; j < columns; ++j)
        for (int64_t k = 0; k < rows; ++k)
            target[k * padded + j] = from_stored(source[j * column_stride + k]);
}

/* Copy a row, whose columns follow each other or not. */
CAREFULLY static void pack_row(
    int64_t columns, const stored *source, int64_t column_stride, real *target) {
    if (column_stride == 1)
        for (int64_t j = 0; j < columns; ++j) target[j] = from_stored(source[j]);
    else
        for (int64_t j = 0; j < columns; ++j) target[j] = from_stored(source[j * column_stride]);
}

/* Pack one panel of a matrix; columns beyond its width are zero. */
CAREFULLY static void pack_panel(
    int64_t number, int64_t depth, int64_t width, const stored *matrix, int64_t row_stride,
    int64_t column_stride, real *packed) {
    const int64_t first = number * PANEL_COLUMNS;
    const int64_t columns = at_most(width - first, PANEL_COLUMNS), padded = in_vectors(columns);
    const stored *const source = matrix + first * column_stride;
    real *const target = packed + first * depth;
    int64_t k = 0;
    for (; row_stride == 1 && k + PACKED_TOGETHER <= depth; k += PACKED_TOGETHER)
        pack_columns(
            PACKED_TOGETHER, columns, source + k, column_stride, target + k * padded, padded);
    for (; k < depth; ++k)
        pack_row(columns, source + k * row_stride, column_stride, target + k * padded);
    for (k = 0; columns < padded && k < depth; ++k)
        for (int64_t j = columns; j < padded; ++j) target[k * padded + j] = 0;
}

#if PAIRED
#define PACK_PANEL pack_pairs
#else
#define PACK_PANEL pack_panel
#endif

static int64_t all_panels(void) {
    int64_t total = 0;
    for (int m = 0; m < NUM_MATRICES; ++m) total += num_panels(MATRICES[m].width);
    return total;
}

/* Whether there is one step alone, of which nobody reads the state after it. */
static int is_last_alone(const call *c) { return c->state_unread && c->num_all_steps == 1; }

static void pack_numbered(const call *c, int64_t number) {
    real *packed = c->packed;
    for (int m = 0; m < NUM_MATRICES; ++m) {
        const matrix *this = &MATRICES[m];
        const int64_t panels = num_panels(this->width);
        if (number < panels) {
            if (this->is_of_state && is_last_alone(c)) return;
            const stored *source =
                (const stored *)c->tensors[this->tensor] + this->batch * c->strides[3 * m];
            PACK_PANEL(
                number, this->depth, this->width, source, c->strides[3 * m + 1],
                c->strides[3 * m + 2], packed);
            return;
        }
        number -= panels;
        packed += packed_size(this->depth, this->width);
    }
}

static void pack_piece(void *given, int64_t number) { pack_numbered(given, number); }

/* Put the places of the matrices where packed ones would be. */
static void place_matrices(const call *c) {
    real *packed = c->packed;
    for (int m = 0; m < NUM_MATRICES; ++m) {
        const int64_t *const strides = c->strides + 3 * m;
        const real *const first = (const real *)c->tensors[MATRICES[m].tensor];
        const place here = {
            first + MATRICES[m].batch * strides[0], strides[1] == 1 ? strides[2] : ~strides[1]};
        memcpy(packed, &here, sizeof here);
        packed += packed_size(MATRICES[m].depth, MATRICES[m].width);
    }
}
