/* What a run is given, and what a part of it works with. */

typedef struct call {
    int64_t first_step, num_steps; /* those to run; with none, a chunk is added to the sums */
    int64_t begins, ends;        /* whether no steps were run before, and none follow */
    int64_t chunk_row;           /* the rows of their first chunk that were run before: of one part */
    int64_t chunk_goes_on;       /* whether the next run goes on with their last chunk: so too */
    void *const *tensors;
    const int64_t *strides;      /* of each matrix: between matrices, rows and columns */
    const void *const *previous; /* of each previous state: the initial one, that after a reset */
    const int64_t *batch_sizes;  /* the rows of each step of the batch, never growing */
    int64_t num_all_steps;       /* of the batch */
    int64_t num_rows;            /* of the batch */
    int64_t reverse;             /* run from the last step to the first */
    int64_t previous_reverse;    /* the previous states were made from the last step to the first */
    const uint8_t *resets;       /* a truth value for each packed row, or NULL */
    int64_t divert;              /* 1: after a step, move the state of reset rows to `to` */
    int64_t num_parts, team;     /* parts of the rows, and pieces of the work on a chunk of one */
    int64_t shares_steps;        /* whether the team shares every step too */
    int64_t num_threads;         /* that may be at work */
    int64_t chunk_rows;          /* the rows of a chunk of a part, if those of a step are no more */
    int64_t in_place;            /* whether matrices are read where they lie, and nothing is packed */
    int64_t state_unread;        /* nobody reads the state after the last step */
    const products *products;
    const pool *pool;
    char *workspace;             /* room as rondo_workspace_bytes says */
    /* the rest is set here */
    int64_t *starts, *bounds;    /* the first packed row of each step; the first row of each part */
    int64_t *is_new;             /* of each part: whether nothing was added to its totals yet */
    real *packed, *totals;       /* the packed matrices; the totals of each part */
    char *rooms, *desks;         /* the memory of each part and of each of its pieces */
} call;

/* What a piece of work on a part has. Of the part: for each row of a chunk its place among all packed
 * rows and the previous states, the values of the rows of a chunk and of those of a step, totals. Its
 * own: pointers to rows, a panel of them, rows that are too large for the stack. */
struct room {
    real *chunk, *local, *totals;
    int64_t *packed_rows;
    const real **previous;
    const real **left, **right;
    real *panel;
    char *rows;
    int64_t capacity, step_capacity;
    int64_t is_new, member, team;
    int64_t first_row, last_row; /* those of a step that fall to it */
    int64_t is_last;    /* whether no step follows, and nobody reads the state */
};

/* A part of a step, and how threads may share it. */
typedef struct {
    void (*run)(const call *, struct room *, int64_t, int64_t, int64_t, int64_t);
    enum { BY_ROWS, BY_COLUMNS } kind;
} step_part;

/* The rows of a chunk of a value that lies at `base`: at numbers of rows, or one after the other. */
static const real *const *rows_at(
    const real **table, const real *base, int64_t stride, const int64_t *at, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) table[r] = base + (at ? at[r] : r) * stride;
    return table;
}

/* Rows that begin so many numbers further on. */
static const real *const *rows_from(
    const real **table, const real *const *from, int64_t offset, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) table[r] = from[r] + offset;
    return table;
}

/* Where a sum over rows is added up: in the total itself where there is one part alone. */
static real *total_at(const call *c, int tensor, int64_t width, real *of_part, int64_t *stride) {
    const int is_direct = c->num_parts == 1 && width % LANES == 0;
    *stride = is_direct ? width : in_vectors(width);
    return is_direct ? c->tensors[tensor] : of_part;
}

/* Add the rows of a chunk to a sum; each piece of the work does some rows of the result. */
static void add_rows(
    const call *c, struct room *room, int tensor, int64_t rows, int64_t height, int64_t width,
    const real *const *left, const real *const *right, real *of_part) {
    const int64_t first = room->member * height / room->team;
    const int64_t last = (room->member + 1) * height / room->team;
    int64_t stride;
    real *const total = total_at(c, tensor, width, of_part, &stride);
    if (first < last)
        c->products->over_rows(
            rows, last - first, width, first ? rows_from(room->left, left, first, rows) : left,
            right, total + first * stride, stride, room->panel, room->is_new);
}

/* Rows of one 1, which add up what they are multiplied with. */
static const real *const *ones(const real **table, int64_t rows) {
    static const real one = 1;
    for (int64_t r = 0; r < rows; ++r) table[r] = &one;
    return table;
}
