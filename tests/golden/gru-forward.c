typedef struct { int tensor; int64_t depth, width, batch, is_of_state; } matrix;
#define NUM_MATRICES 2
static const matrix MATRICES[] = {
    {10, 3, 15, 0, 0}, /* weight_ih */
    {11, 5, 15, 0, 0}, /* weight_hh */
};
#define NUM_STATES 1
#define FIRST_STATE 8
static const int64_t STATE_SIZES[] = {5};
typedef struct { int tensor; int64_t size; } previous_state;
#define NUM_PREVIOUS 0
static const previous_state PREVIOUS[] = {
    {0}, /* none */
};
typedef struct { int tensor; int64_t height, width; } total;
#define NUM_TOTALS 0
static const total TOTALS[] = {
    {0}, /* none */
};
#define TOTAL_ROWS 0
#define TOTALS_SIZE (0)
#define CHUNKED 1
#define HAS_OPENING 1
#define HAS_CLOSING 0
#define CHUNK_SIZE 32
#define LOCAL_SIZE 32
#define ROWS_BYTES 0

/* How kernels are helped by other threads: what the library of the pool gives to them. */
typedef void piece_function(void *, int64_t);

typedef struct {
    /* Call a function with data, which may share work with up to so many threads. */
    void (*enter)(void (*)(void *), void *, int64_t);
    /* Within it: call a function with data and the number of each piece of so many, on several
     * threads; returns when all pieces are done. */
    void (*share)(piece_function *, void *, int64_t);
    /* Wait a little for another thread, after so many times before. */
    void (*wait)(int64_t);
} pool;


/* What is done for rows of some steps before these steps; the first is number
 * `first` of the chunk. */
static void opening(
    const call *c, struct room *room, int64_t first, int64_t rows) {
    const float *restrict const x_all = c->tensors[2];
    float *restrict const addmm_product_all = (float *)(room->chunk + 0 * room->capacity);
    const real *const matrix_0 = c->packed;
    c->products->of_rows_anywhere(rows, 3, 15, rows_at(room->left, x_all + 0, 3, room->packed_rows + first, rows), matrix_0, (real *const *)rows_at(room->right, addmm_product_all + first * 32 + 0, 32, 0, rows), 0, 1);
}

/* The parts of a step for some rows, which begin at `packed` among the rows of all
 * steps, at `row` in the batch and at `chunk_row` in the chunk. */
static void step_part_0(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    float *restrict const h_all = c->tensors[8];
    float *restrict const addmm_1_product_all = (float *)(room->local + 0 * room->step_capacity);
    const real *const matrix_1 = c->packed + packed_size(3, 15);
    c->products->of_rows(rows, 5, 15, h_all + row * 5 + 0, 5, matrix_1, addmm_1_product_all + 0, 32, room->member, room->team);
}

static void step_part_1(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    const float *restrict const bias_hh_all = c->tensors[0];
    const float *restrict const bias_ih_all = c->tensors[1];
    float *restrict const out_getitem_5_all = c->tensors[3];
    float *restrict const sigmoid_all = c->tensors[4];
    float *restrict const sigmoid_1_all = c->tensors[5];
    float *restrict const tanh_all = c->tensors[6];
    float *restrict const add_3_all = c->tensors[7];
    float *restrict const h_all = c->tensors[8];
    float *restrict const addmm_product_all = (float *)(room->chunk + 0 * room->capacity);
    float *restrict const addmm_1_product_all = (float *)(room->local + 0 * room->step_capacity);
    for (int64_t r = room->first_row; r < room->last_row; ++r) {
        float *const addmm_1_product_at = addmm_1_product_all + r * 32;
        const float *const bias_hh_at = bias_hh_all;
        float *const out_getitem_5_at = out_getitem_5_all + (packed + r) * 5;
        float *const addmm_product_at = addmm_product_all + (chunk_row + r) * 32;
        const float *const bias_ih_at = bias_ih_all;
        float *const sigmoid_at = sigmoid_all + (packed + r) * 5;
        float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        float *const tanh_at = tanh_all + (packed + r) * 5;
        float *const h_at = h_all + (row + r) * 5;
        float *const add_3_at = add_3_all + (packed + r) * 5;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = addmm_1_product_at[j0 + 10];
            const real v1 = bias_hh_at[j0 + 10];
            const real v2 = v0 + v1;
            const real v4 = addmm_product_at[j0];
            const real v5 = bias_ih_at[j0];
            const real v6 = v4 + v5;
            const real v8 = addmm_1_product_at[j0];
            const real v9 = bias_hh_at[j0];
            const real v10 = v8 + v9;
            const real v12 = v6 + v10;
            const real v13 = sigmoid_(v12);
            const real v14 = addmm_product_at[j0 + 5];
            const real v15 = bias_ih_at[j0 + 5];
            const real v16 = v14 + v15;
            const real v18 = addmm_1_product_at[j0 + 5];
            const real v19 = bias_hh_at[j0 + 5];
            const real v20 = v18 + v19;
            const real v22 = v16 + v20;
            const real v23 = sigmoid_(v22);
            const real v24 = addmm_product_at[j0 + 10];
            const real v25 = bias_ih_at[j0 + 10];
            const real v26 = v24 + v25;
            const real v28 = v13 * v2;
            const real v29 = v26 + v28;
            const real v30 = tanh_(v29);
            const real v31 = (real)1 - v23;
            const real v32 = v31 * v30;
            const real v33 = h_at[j0];
            const real v34 = v23 * v33;
            const real v35 = v32 + v34;
            out_getitem_5_at[j0] = (float)(v2);
            sigmoid_at[j0] = (float)(v13);
            sigmoid_1_at[j0] = (float)(v23);
            tanh_at[j0] = (float)(v30);
            add_3_at[j0] = (float)(v35);
            h_at[j0] = (float)(v35);
        }
    }
}

#define NUM_STEP_PARTS 2
static const step_part STEP_PARTS[] = {
    {step_part_0, BY_COLUMNS},
    {step_part_1, BY_ROWS},
};
#define PARTS_OF_LAST 2 /* where nobody reads the state */

/* What is done for rows of some steps after these steps. */
static void closing(
    const call *c, struct room *room, int64_t first, int64_t rows) {
}

/* Add the rows of a chunk to the sums over all steps. */
static void add_up(
    const call *c, struct room *room, int64_t rows) {
}

