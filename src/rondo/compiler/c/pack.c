/* Pack one panel of a matrix; columns beyond its width are zero. */
static void pack_panel(
    int64_t number, int64_t depth, int64_t width, const stored *matrix, int64_t row_stride,
    int64_t column_stride, real *packed) {
    const int64_t first = number * PANEL_VECTORS * LANES;
    const int64_t columns = at_most(width - first, PANEL_VECTORS * LANES);
    const int64_t padded = (columns + LANES - 1) / LANES * LANES;
    const stored *source = matrix + first * column_stride;
    real *target = packed + first * depth;
    for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < columns; ++j)
            target[k * padded + j] = from_stored(source[k * row_stride + j * column_stride]);
        for (int64_t j = columns; j < padded; ++j) target[k * padded + j] = 0;
    }
}

static int64_t all_panels(void) {
    int64_t total = 0;
    for (int m = 0; m < NUM_MATRICES; ++m) total += num_panels(MATRICES[m].width);
    return total;
}

static void pack_numbered(const call *c, int64_t number) {
    real *packed = c->packed;
    for (int m = 0; m < NUM_MATRICES; ++m) {
        const matrix *this = &MATRICES[m];
        const int64_t panels = num_panels(this->width);
        if (number < panels) {
            const stored *source =
                (const stored *)c->tensors[this->tensor] + this->batch * c->strides[3 * m];
            pack_panel(
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
