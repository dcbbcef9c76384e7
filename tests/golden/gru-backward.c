typedef struct { int tensor; int64_t depth, width, batch, is_of_state; } matrix;
#define NUM_MATRICES 2
static const matrix MATRICES[] = {
    {14, 15, 5, 0, 1}, /* weight_hh */
    {15, 15, 3, 0, 0}, /* weight_ih */
};
#define NUM_STATES 1
#define FIRST_STATE 12
static const int64_t STATE_SIZES[] = {5};
typedef struct { int tensor; int64_t size; } previous_state;
#define NUM_PREVIOUS 1
static const previous_state PREVIOUS[] = {
    {6, 5}, /* h */
};
typedef struct { int tensor; int64_t height, width; } total;
#define NUM_TOTALS 4
static const total TOTALS[] = {
    {8, 5, 15}, /* grad_weight_hh */
    {9, 1, 15}, /* sum */
    {10, 3, 15}, /* grad_weight_ih */
    {11, 1, 15}, /* sum_1 */
};
#define TOTAL_ROWS 10
#define TOTALS_SIZE (5 * in_vectors(15) + 1 * in_vectors(15) + 3 * in_vectors(15) + 1 * in_vectors(15))
#define CHUNKED 1
#define HAS_OPENING 0
#define HAS_CLOSING 1
#define CHUNK_SIZE 64
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
}

/* The parts of a step for some rows, which begin at `packed` among the rows of all
 * steps, at `row` in the batch and at `chunk_row` in the chunk. */
static void step_part_0(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    const float *restrict const sigmoid_all = c->tensors[0];
    const float *restrict const getitem_5_all = c->tensors[1];
    const float *restrict const tanh_all = c->tensors[2];
    const float *restrict const sigmoid_1_all = c->tensors[3];
    const float *restrict const grad_output_all = c->tensors[4];
    float *restrict const grad_h_all = c->tensors[12];
    const real *const *const h_rows = room->previous + 0 * room->capacity;
    float *restrict const cat_all = (float *)(room->chunk + 0 * room->capacity);
    float *restrict const cat_1_all = (float *)(room->chunk + 32 * room->capacity);
    for (int64_t r = room->first_row; r < room->last_row; ++r) {
        const float *const grad_output_at = grad_output_all + (packed + r) * 5;
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        const float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        const float *const tanh_at = tanh_all + (packed + r) * 5;
        const float *const getitem_5_at = getitem_5_all + (packed + r) * 5;
        const float *const sigmoid_at = sigmoid_all + (packed + r) * 5;
        float *const cat_at = cat_all + (chunk_row + r) * 32;
        const float *const h_at = h_rows[chunk_row + r];
        float *const cat_1_at = cat_1_all + (chunk_row + r) * 32;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = grad_output_at[j0];
            const real v1 = grad_h_at[j0];
            const real v2 = v0 + v1;
            const real v3 = sigmoid_1_at[j0];
            const real v4 = (real)1 - v3;
            const real v5 = v2 * v4;
            const real v6 = tanh_at[j0];
            const real v7 = v6 * v6;
            const real v8 = (real)1 - v7;
            const real v9 = v5 * v8;
            const real v10 = getitem_5_at[j0];
            const real v11 = v9 * v10;
            const real v12 = sigmoid_at[j0];
            const real v13 = (real)1 - v12;
            const real v14 = v12 * v13;
            const real v15 = v11 * v14;
            const real v16 = h_at[j0];
            const real v17 = v2 * v16;
            const real v18 = v2 * v6;
            const real v19 = -v18;
            const real v20 = v17 + v19;
            const real v21 = v3 * v4;
            const real v22 = v20 * v21;
            const real v23 = v9 * v12;
            cat_at[j0] = (float)(v15);
            cat_at[j0 + 5] = (float)(v22);
            cat_at[j0 + 10] = (float)(v23);
            cat_1_at[j0] = (float)(v15);
            cat_1_at[j0 + 5] = (float)(v22);
            cat_1_at[j0 + 10] = (float)(v9);
        }
    }
}

static void step_part_1(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    float *restrict const cat_all = (float *)(room->chunk + 0 * room->capacity);
    float *restrict const mm_all = (float *)(room->local + 0 * room->step_capacity);
    const real *const matrix_0 = c->packed;
    c->products->of_rows(rows, 15, 5, cat_all + chunk_row * 32 + 0, 32, matrix_0, mm_all + 0, 32, room->member, room->team);
}

static void step_part_2(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    const float *restrict const sigmoid_1_all = c->tensors[3];
    const float *restrict const grad_output_all = c->tensors[4];
    float *restrict const grad_h_all = c->tensors[12];
    float *restrict const mm_all = (float *)(room->local + 0 * room->step_capacity);
    for (int64_t r = room->first_row; r < room->last_row; ++r) {
        const float *const grad_output_at = grad_output_all + (packed + r) * 5;
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        const float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        float *const mm_at = mm_all + r * 32;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = grad_output_at[j0];
            const real v1 = grad_h_at[j0];
            const real v2 = v0 + v1;
            const real v3 = sigmoid_1_at[j0];
            const real v4 = v2 * v3;
            const real v5 = mm_at[j0];
            const real v6 = v4 + v5;
            grad_h_at[j0] = (float)(v6);
        }
    }
}

#define NUM_STEP_PARTS 3
static const step_part STEP_PARTS[] = {
    {step_part_0, BY_ROWS},
    {step_part_1, BY_COLUMNS},
    {step_part_2, BY_ROWS},
};
#define PARTS_OF_LAST 1 /* where nobody reads the state */

/* What is done for rows of some steps after these steps. */
static void closing(
    const call *c, struct room *room, int64_t first, int64_t rows) {
    float *restrict const grad_x_all = c->tensors[7];
    float *restrict const cat_1_all = (float *)(room->chunk + 32 * room->capacity);
    const real *const matrix_1 = c->packed + packed_size(15, 5);
    c->products->of_rows_anywhere(rows, 15, 3, rows_at(room->left, cat_1_all + first * 32 + 0, 32, 0, rows), matrix_1, (real *const *)rows_at(room->right, grad_x_all + 0, 3, room->packed_rows + first, rows), 0, 1);
}

/* Add the rows of a chunk to the sums over all steps. */
static void add_up(
    const call *c, struct room *room, int64_t rows) {
    const float *restrict const x_all = c->tensors[5];
    const real *const *const h_rows = room->previous + 0 * room->capacity;
    float *restrict const cat_all = (float *)(room->chunk + 0 * room->capacity);
    float *restrict const cat_1_all = (float *)(room->chunk + 32 * room->capacity);
    add_rows(c, room, 8, rows, 5, 15, rows_from(room->left, h_rows + 0, 0, rows), rows_at(room->right, cat_all + 0 * 32 + 0, 32, 0, rows), room->totals);
    add_rows(c, room, 9, rows, 1, 15, ones(room->left, rows), rows_at(room->right, cat_all + 0 * 32 + 0, 32, 0, rows), room->totals + 5 * in_vectors(15));
    add_rows(c, room, 10, rows, 3, 15, rows_at(room->left, x_all + 0, 3, room->packed_rows + 0, rows), rows_at(room->right, cat_1_all + 0 * 32 + 0, 32, 0, rows), room->totals + 5 * in_vectors(15) + 1 * in_vectors(15));
    add_rows(c, room, 11, rows, 1, 15, ones(room->left, rows), rows_at(room->right, cat_1_all + 0 * 32 + 0, 32, 0, rows), room->totals + 5 * in_vectors(15) + 1 * in_vectors(15) + 3 * in_vectors(15));
}

