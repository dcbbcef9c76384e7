/* Runs all steps. Rows of the batch are independent: each part takes some of them and runs the
 * whole sequence, so that the threads of a run never wait for each other in between. A part goes
 * through its steps in chunks: what can be done for all rows of a chunk together is done before its
 * steps (`opening`) and after them (`closing`), while what passes between them is in the cache. Where
 * there are more threads than rows, these two, and the sums over rows, are cut into pieces. */

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

/* The number of a step in the batch, in the order in which they run. */
static int64_t step_number(const call *c, int64_t number) {
    return c->first_step + (c->reverse ? c->num_steps - 1 - number : number);
}

static int64_t rows_of_part(const call *c, int64_t step, int64_t row, int64_t end) {
    const int64_t rows = at_most(c->batch_sizes[step], end) - row;
    return rows > 0 ? rows : 0;
}

/* The state that a row begins a step with. */
static const real *previous_row(const call *c, int number, int64_t step, int64_t row) {
    const int64_t size = PREVIOUS[number].size;
    const real *const next = c->tensors[PREVIOUS[number].tensor];
    if (c->resets && c->resets[c->starts[step] + row])
        return (const real *)c->previous[2 * number + 1] + row * size;
    const int64_t from = c->previous_reverse ? step + 1 : step - 1;
    if (from >= 0 && from < c->num_all_steps && row < c->batch_sizes[from])
        return next + (c->starts[from] + row) * size;
    return (const real *)c->previous[2 * number] + row * size;
}

/* Where the rows of a step lie, which follow `chunk_row` others of the chunk. */
static void find_rows(
    const call *c, struct room *room, int64_t step, int64_t row, int64_t chunk_row, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r)
        room->packed_rows[chunk_row + r] = c->starts[step] + row + r;
    for (int number = 0; number < NUM_PREVIOUS; ++number)
        for (int64_t r = 0; r < rows; ++r)
            room->previous[number * room->capacity + chunk_row + r] =
                previous_row(c, number, step, row + r);
}

/* Find the rows of the steps from `number` on that fit into a chunk beside those that are there;
 * returns the step after them. */
static int64_t find_chunk(
    const call *c, struct room *room, int64_t part, int64_t number, int64_t *chunk) {
    const int64_t row = c->bounds[part], end = c->bounds[part + 1];
    for (; number < c->num_steps; ++number) {
        const int64_t step = step_number(c, number);
        const int64_t rows = rows_of_part(c, step, row, end);
        if (!CHUNKED) continue;
        if (*chunk && *chunk + rows > c->chunk_rows) break;
        find_rows(c, room, step, row, *chunk, rows);
        *chunk += rows;
    }
    return number;
}

/* Call a function with data and the number of each piece. */
static void share(const call *c, piece_function *function, void *data, int64_t num_pieces) {
    if (c->num_threads > 1) c->pool->share(function, data, num_pieces);
    else
        for (int64_t piece = 0; piece < num_pieces; ++piece) function(data, piece);
}

/* A part of a step, in pieces. */
typedef struct {
    const call *c;
    const step_part *part;
    int64_t packed, row, chunk_row, rows;
} step_work;

static void step_piece(void *given, int64_t member) {
    const step_work *const work = given;
    const int64_t team = work->c->team;
    struct room room;
    room_of(work->c, 0, member, &room);
    room.first_row = work->part->kind == BY_ROWS ? member * work->rows / team : 0;
    room.last_row = work->part->kind == BY_ROWS ? (member + 1) * work->rows / team : work->rows;
    work->part->run(work->c, &room, work->packed, work->row, work->chunk_row, work->rows);
}

/* One step for some rows: by this thread alone, or shared by a team that has all rows. */
static void one_step(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    room->first_row = 0;
    room->last_row = rows;
    const step_part *const end = STEP_PARTS + (room->is_last ? PARTS_OF_LAST : NUM_STEP_PARTS);
    for (const step_part *part = STEP_PARTS; part < end; ++part) {
        if (c->shares_steps && (part->kind == BY_COLUMNS || rows > 1)) {
            step_work work = {c, part, packed, row, chunk_row, rows};
            share(c, step_piece, &work, c->team);
        } else {
            part->run(c, room, packed, row, chunk_row, rows);
        }
    }
}

static void run_steps(
    const call *c, struct room *room, int64_t part, int64_t chunk_row, int64_t number,
    int64_t last) {
    const int64_t row = c->bounds[part], end = c->bounds[part + 1];
    struct room alone = *room;
    alone.member = 0;
    alone.team = 1;
    for (; number < last; ++number) {
        const int64_t step = step_number(c, number), first = c->starts[step] + row;
        const int64_t rows = rows_of_part(c, step, row, end);
        if (rows == 0) continue;
        SPOIL(room->local, room->step_capacity * LOCAL_SIZE * sizeof(real));
        alone.is_last = c->state_unread && c->ends && number == c->num_steps - 1;
        if (c->resets && !c->divert) reset(c, first, row, rows);
        one_step(c, &alone, first, row, chunk_row, rows);
        if (c->resets && c->divert) reset(c, first, row, rows);
        chunk_row += rows;
    }
}

/* What is done with the rows of a chunk from `begin` to `end`, in pieces. */
typedef struct {
    const call *c;
    int64_t part, begin, end;
    void (*stage)(const call *, struct room *, int64_t, int64_t);
} chunk_work;

static void stage_piece(void *given, int64_t piece) {
    const chunk_work *const work = given;
    const int64_t all = work->end - work->begin, first = piece * all / work->c->team;
    const int64_t rows = (piece + 1) * all / work->c->team - first;
    struct room room;
    room_of(work->c, work->part, piece, &room);
    if (rows) work->stage(work->c, &room, work->begin + first, rows);
}

static void sum_piece(void *given, int64_t piece) {
    const chunk_work *const work = given;
    struct room room;
    room_of(work->c, work->part, piece, &room);
    add_up(work->c, &room, work->end);
}

/* Add the rows of a chunk to the sums over all steps. */
static void add_chunk(const call *c, int64_t part, int64_t rows) {
    chunk_work work = {c, part, 0, rows, NULL};
    if (!TOTAL_ROWS || !rows) return;
    share(c, sum_piece, &work, c->team);
    c->is_new[part] = 0;
}

static void run_part(void *given, int64_t part) {
    const call *const c = given;
    struct room room;
    room_of(c, part, 0, &room);
    if (!c->num_steps) add_chunk(c, part, c->chunk_row);
    for (int64_t number = 0, next; number < c->num_steps; number = next) {
        const int64_t begin = number ? 0 : c->chunk_row;
        chunk_work work = {c, part, begin, begin, opening};
        if (!begin) SPOIL(room.chunk, room.capacity * CHUNK_SIZE * sizeof(real));
        next = find_chunk(c, &room, part, number, &work.end);
        if (HAS_OPENING && work.end > begin) share(c, stage_piece, &work, c->team);
        run_steps(c, &room, part, begin, number, next);
        work.stage = closing;
        if (HAS_CLOSING && work.end > begin) share(c, stage_piece, &work, c->team);
        if (!c->chunk_goes_on || next < c->num_steps) add_chunk(c, part, work.end);
    }
}

/* One row of a total: those of all parts, added in order. */
static void add_row(const call *c, const total *this, const real *from, int64_t row) {
    int64_t stride;
    if (total_at(c, this->tensor, this->width, NULL, &stride)) return; /* it is there already */
    real *const to = (real *)c->tensors[this->tensor] + row * this->width;
    memset(to, 0, this->width * sizeof(real));
    for (int64_t part = 0; part < c->num_parts; ++part, from += TOTALS_SIZE) {
        if (c->is_new[part]) continue;
        _Pragma("omp simd") for (int64_t j = 0; j < this->width; ++j) to[j] += from[j];
    }
}

static void total_piece(void *given, int64_t piece) {
    const call *const c = given;
    int64_t first = piece * TOTAL_ROWS / c->num_threads, begin = 0;
    const int64_t last = (piece + 1) * TOTAL_ROWS / c->num_threads;
    const real *from = c->totals;
    for (const total *this = TOTALS; first < last; begin += this->height, ++this) {
        for (; first < at_most(begin + this->height, last); ++first)
            add_row(c, this, from + (first - begin) * in_vectors(this->width), first - begin);
        from += this->height * in_vectors(this->width);
    }
}

/* Give each part about as many steps of rows to do: rows are sorted, longest first, and each goes to
 * the part in which the middle of its steps lies. */
RARE void divide(call *c) {
    int64_t total = 0, so_far = 0, part = 1, length = c->num_steps;
    const int64_t *const sizes = c->batch_sizes + c->first_step;
    for (int64_t t = 0; t < c->num_steps; ++t) total += sizes[t];
    c->bounds[0] = 0;
    for (int64_t row = 0; row < c->num_rows; ++row) {
        while (length > 0 && sizes[length - 1] <= row) --length;
        while (part < c->num_parts && (2 * so_far + length) * c->num_parts >= 2 * part * total)
            c->bounds[part++] = row;
        so_far += length;
    }
    while (part <= c->num_parts) c->bounds[part++] = c->num_rows;
}

static void run_all(void *given) {
    call *const c = given;
    if (c->in_place) place_matrices(c);
    else if (c->begins && NUM_MATRICES) share(c, pack_piece, c, all_panels());
    share(c, run_part, c, c->num_parts);
    if (c->ends && TOTAL_ROWS) share(c, total_piece, c, c->num_threads);
}

/* Run some steps. Between the runs of the steps of a batch the workspace stays as it is. */
void rondo_run(call *c) {
    const int64_t bytes = lay_out(c);
    if (c->begins) SPOIL(c->workspace, bytes);
    c->starts[0] = 0;
    for (int64_t t = 0; t < c->num_all_steps; ++t)
        c->starts[t + 1] = c->starts[t] + c->batch_sizes[t];
    for (int64_t part = 0; c->begins && part < c->num_parts; ++part) c->is_new[part] = 1;
    divide(c);
    c->pool->enter(run_all, c, c->num_threads);
}
