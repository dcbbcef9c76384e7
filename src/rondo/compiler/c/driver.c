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

/* Runs all steps. Rows of the batch are independent: each part takes some of them and runs the
 * whole sequence, so that the threads of a call never wait for each other after the packing. */

typedef struct {
    void *const *tensors;
    const int64_t *strides;     /* of each matrix: from row to row, from column to column */
    const int64_t *batch_sizes; /* the rows of each step, never growing */
    int64_t num_steps;
    int64_t reverse;            /* run from the last step to the first */
    const uint8_t *resets;      /* a truth value for each packed row, or NULL */
    int64_t divert;             /* 1: after a step, move the state of reset rows to `to` */
    int64_t num_parts;
    const int64_t *bounds;      /* the first row of each part, and the number of rows */
    real *packed;               /* the packed matrices */
    product_function *product;
    real *scratch;              /* room for the local values of all parts */
    int64_t next_panel, done_panels, next_part;
} call;

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

/* Threads take panels as they come; a panel that was taken is finished by who took it, so waiting
 * for all of them ends, however many threads there are. */
static void pack_all(call *c) {
    const int64_t total = all_panels();
    int64_t number;
    while ((number = __atomic_fetch_add(&c->next_panel, 1, __ATOMIC_RELAXED)) < total) {
        pack_numbered(c, number);
        __atomic_add_fetch(&c->done_panels, 1, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&c->done_panels, __ATOMIC_ACQUIRE) < total) {}
}

/* Rows that are reset: before a step the state is the initial one again; in the backward pass,
 * after a step, the gradient of the state belongs to the initial state. */
static void reset(const call *c, int64_t packed, int64_t row, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) {
        if (!c->resets[packed + r]) continue;
        for (int s = 0; s < NUM_STATES; ++s) {
            const int64_t size = STATE_SIZES[s];
            real *state = (real *)c->tensors[FIRST_STATE + s] + (row + r) * size;
            real *to = (real *)c->tensors[FIRST_STATE + NUM_STATES + s] + (row + r) * size;
            for (int64_t j = 0; j < size; ++j) {
                if (c->divert) {
                    to[j] += state[j];
                    state[j] = 0;
                } else {
                    state[j] = to[j];
                }
            }
        }
    }
}

static void run_part(const call *c, int64_t part) {
    const int64_t row = c->bounds[part], end = c->bounds[part + 1];
    real *scratch = c->scratch + part * 16 + row * LOCAL_SIZE;
    int64_t first = 0;
    if (c->reverse)
        for (int64_t t = 0; t < c->num_steps; ++t) first += c->batch_sizes[t];
    for (int64_t number = 0; number < c->num_steps; ++number) {
        const int64_t size = c->batch_sizes[c->reverse ? c->num_steps - 1 - number : number];
        const int64_t rows = at_most(size, end) - row;
        if (c->reverse) first -= size;
        if (rows > 0) {
            if (c->resets && !c->divert) reset(c, first + row, row, rows);
            step(c->product, c->tensors, c->packed, scratch, end - row, first + row, row, rows);
            if (c->resets && c->divert) reset(c, first + row, row, rows);
        }
        if (!c->reverse) first += size;
    }
}

static void work(void *data) {
    call *c = data;
    pack_all(c);
    int64_t part;
    while ((part = __atomic_fetch_add(&c->next_part, 1, __ATOMIC_RELAXED)) < c->num_parts)
        run_part(c, part);
}

/* Give each part about as many steps of rows to do: rows are sorted, longest first. */
static void divide(const call *c, int64_t num_rows, int64_t *bounds) {
    int64_t total = 0, so_far = 0, part = 1, length = c->num_steps;
    for (int64_t t = 0; t < c->num_steps; ++t) total += c->batch_sizes[t];
    bounds[0] = 0;
    for (int64_t row = 0; row < num_rows; ++row) {
        while (length > 0 && c->batch_sizes[length - 1] <= row) --length;
        while (part < c->num_parts && so_far * c->num_parts >= part * total) bounds[part++] = row;
        so_far += length;
    }
    while (part <= c->num_parts) bounds[part++] = num_rows;
}

/* Numbers that the packed matrices take, and the local values of a number of rows and parts. */
int64_t rondo_packed_numbers(void) {
    int64_t total = 0;
    for (int m = 0; m < NUM_MATRICES; ++m)
        total += packed_size(MATRICES[m].depth, MATRICES[m].width);
    return total;
}

int64_t rondo_scratch_numbers(int64_t num_rows, int64_t num_parts) {
    return num_rows * LOCAL_SIZE + 16 * (num_parts + 1);
}

typedef void parallel_function(void (*)(void *), void *, unsigned, unsigned);

/* Run some steps. `parallel` runs a function on several threads (GOMP_parallel); without it, one
 * thread does all parts. `bounds` has room for one number more than there are parts. */
void rondo_run(
    void *const *tensors, const int64_t *strides, const int64_t *batch_sizes, int64_t num_steps,
    int64_t num_rows, int64_t reverse, const uint8_t *resets, int64_t divert, int64_t num_parts,
    int64_t *bounds, real *packed, int64_t pack, product_function *product, real *scratch,
    parallel_function *parallel) {
    call c = {tensors, strides, batch_sizes, num_steps, reverse, resets, divert, num_parts,
              bounds, packed, product, scratch, pack ? 0 : all_panels(), pack ? 0 : all_panels(), 0};
    divide(&c, num_rows, bounds);
    if (num_parts > 1 && parallel)
        parallel(work, &c, (unsigned)num_parts, 0);
    else
        work(&c);
}
