typedef struct { int tensor; int64_t depth, width, batch, is_of_state; } matrix;
#define NUM_MATRICES 4
static const matrix MATRICES[] = {
    {33, 2, 3, 0, 0}, /* out_2_weight */
    {34, 3, 5, 0, 0}, /* out_0_weight */
    {35, 20, 5, 0, 1}, /* from_h_weight */
    {36, 20, 3, 0, 0}, /* from_x_weight */
};
#define NUM_STATES 2
#define FIRST_STATE 29
static const int64_t STATE_SIZES[] = {5, 5};
typedef struct { int tensor; int64_t size; } previous_state;
#define NUM_PREVIOUS 2
static const previous_state PREVIOUS[] = {
    {16, 5}, /* c */
    {17, 5}, /* h */
};
typedef struct { int tensor; int64_t height, width; } total;
#define NUM_TOTALS 10
static const total TOTALS[] = {
    {19, 2, 3}, /* grad_out_2_weight */
    {20, 1, 2}, /* sum */
    {21, 3, 5}, /* grad_out_0_weight */
    {22, 1, 3}, /* sum_1 */
    {23, 1, 5}, /* grad_norm_weight */
    {24, 1, 5}, /* grad_norm_bias */
    {25, 1, 5}, /* sum_6 */
    {26, 5, 20}, /* grad_from_h_weight */
    {27, 3, 20}, /* grad_from_x_weight */
    {28, 1, 20}, /* sum_7 */
};
#define TOTAL_ROWS 19
#define TOTALS_SIZE (2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3) + 1 * in_vectors(5) + 1 * in_vectors(5) + 1 * in_vectors(5) + 5 * in_vectors(20) + 3 * in_vectors(20) + 1 * in_vectors(20))
#define CHUNKED 1
#define HAS_OPENING 1
#define HAS_CLOSING 1
#define CHUNK_SIZE 240
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
    const float *restrict const grad_output_all = c->tensors[3];
    const float *restrict const add_4_all = c->tensors[4];
    float *restrict const mm_1_all = (float *)(room->chunk + 0 * room->capacity);
    float *restrict const mul_11_all = (float *)(room->chunk + 32 * room->capacity);
    float *restrict const mm_3_all = (float *)(room->chunk + 64 * room->capacity);
    const real *const matrix_0 = c->packed;
    const real *const matrix_1 = c->packed + packed_size(2, 3);
    c->products->of_rows_anywhere(rows, 2, 3, rows_at(room->left, grad_output_all + 0, 2, room->packed_rows + first, rows), matrix_0, (real *const *)rows_at(room->right, mm_1_all + first * 32 + 0, 32, 0, rows), 0, 1);
    for (int64_t r = 0; r < rows; ++r) {
        float *const mm_1_at = mm_1_all + (first + r) * 32;
        const float *const add_4_at = add_4_all + room->packed_rows[first + r] * 3;
        float *const mul_11_at = mul_11_all + (first + r) * 32;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 3; ++j0) {
            const real v0 = mm_1_at[j0];
            const real v1 = add_4_at[j0];
            const real v2 = v0 * v1;
            mul_11_at[j0] = (float)(v2);
        }
    }
    c->products->of_rows_anywhere(rows, 3, 5, rows_at(room->left, mul_11_all + first * 32 + 0, 32, 0, rows), matrix_1, (real *const *)rows_at(room->right, mm_3_all + first * 32 + 0, 32, 0, rows), 0, 1);
}

/* The parts of a step for some rows, which begin at `packed` among the rows of all
 * steps, at `row` in the batch and at `chunk_row` in the chunk. */
static void step_part_0(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    const float *restrict const scale_all = c->tensors[0];
    const float *restrict const norm_weight_all = c->tensors[1];
    const float *restrict const peephole_all = c->tensors[2];
    const float *restrict const tanh_1_all = c->tensors[5];
    const float *restrict const sigmoid_2_all = c->tensors[6];
    const float *restrict const getitem_6_all = c->tensors[7];
    const float *restrict const getitem_5_all = c->tensors[8];
    const float *restrict const add_2_all = c->tensors[9];
    const float *restrict const sigmoid_1_all = c->tensors[10];
    const float *restrict const tanh_all = c->tensors[11];
    const float *restrict const sigmoid_all = c->tensors[12];
    float *restrict const grad_h_all = c->tensors[29];
    float *restrict const grad_c_all = c->tensors[30];
    const real *const *const c_rows = room->previous + 0 * room->capacity;
    float *restrict const mm_3_all = (float *)(room->chunk + 64 * room->capacity);
    float *restrict const mul_16_all = (float *)(room->chunk + 96 * room->capacity);
    float *restrict const cat_all = (float *)(room->chunk + 128 * room->capacity);
    float *restrict const mul_23_all = (float *)(room->chunk + 176 * room->capacity);
    float *restrict const mul_37_all = (float *)(room->chunk + 208 * room->capacity);
    float sum_2_row[1];
    float sum_3_row[1];
    for (int64_t r = room->first_row; r < room->last_row; ++r) {
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        float *const mm_3_at = mm_3_all + (chunk_row + r) * 32;
        const float *const scale_at = scale_all;
        const float *const sigmoid_2_at = sigmoid_2_all + (packed + r) * 5;
        const float *const tanh_1_at = tanh_1_all + (packed + r) * 5;
        float *const mul_16_at = mul_16_all + (chunk_row + r) * 32;
        const float *const norm_weight_at = norm_weight_all;
        float *const sum_2_at = sum_2_row;
        const float *const add_2_at = add_2_all + (packed + r) * 5;
        const float *const getitem_5_at = getitem_5_all + (packed + r) * 1;
        const float *const getitem_6_at = getitem_6_all + (packed + r) * 1;
        float *const sum_3_at = sum_3_row;
        float *const mul_23_at = mul_23_all + (chunk_row + r) * 32;
        float *const grad_c_at = grad_c_all + (row + r) * 5;
        const float *const tanh_at = tanh_all + (packed + r) * 5;
        const float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        float *const cat_at = cat_all + (chunk_row + r) * 48;
        const float *const c_at = c_rows[chunk_row + r];
        const float *const sigmoid_at = sigmoid_all + (packed + r) * 5;
        float *const mul_37_at = mul_37_all + (chunk_row + r) * 32;
        const float *const peephole_at = peephole_all;
        real sum_2_sum = 0;
        real sum_3_sum = 0;
        #pragma omp simd reduction(+ : sum_2_sum, sum_3_sum)
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = grad_h_at[j0];
            const real v1 = mm_3_at[j0];
            const real v2 = v0 + v1;
            const real v3 = scale_at[0];
            const real v4 = v2 * v3;
            const real v5 = sigmoid_2_at[j0];
            const real v6 = v4 * v5;
            const real v7 = tanh_1_at[j0];
            const real v8 = v7 * v7;
            const real v9 = (real)1 - v8;
            const real v10 = v6 * v9;
            const real v11 = norm_weight_at[j0];
            const real v12 = v10 * v11;
            sum_2_sum += v12;
            const real v13 = add_2_at[j0];
            const real v14 = getitem_5_at[0];
            const real v15 = v13 - v14;
            const real v16 = getitem_6_at[0];
            const real v17 = v15 * v16;
            const real v18 = v12 * v17;
            sum_3_sum += v18;
            const real v19 = v10 * v17;
            mul_16_at[j0] = (float)(v10);
            mul_23_at[j0] = (float)(v19);
        }
        sum_2_at[0] = (sum_2_sum);
        sum_3_at[0] = (sum_3_sum);
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = grad_c_at[j0];
            const real v1 = getitem_6_at[0];
            const real v2 = v1 / (real)5;
            const real v3 = mul_16_at[j0];
            const real v4 = norm_weight_at[j0];
            const real v5 = v3 * v4;
            const real v6 = v5 * (real)5;
            const real v7 = sum_2_at[0];
            const real v8 = v6 - v7;
            const real v9 = add_2_at[j0];
            const real v10 = getitem_5_at[0];
            const real v11 = v9 - v10;
            const real v12 = v11 * v1;
            const real v13 = sum_3_at[0];
            const real v14 = v12 * v13;
            const real v15 = v8 - v14;
            const real v16 = v2 * v15;
            const real v17 = v0 + v16;
            const real v18 = tanh_at[j0];
            const real v19 = v17 * v18;
            const real v20 = sigmoid_1_at[j0];
            const real v21 = (real)1 - v20;
            const real v22 = v20 * v21;
            const real v23 = v19 * v22;
            const real v24 = c_at[j0];
            const real v25 = v17 * v24;
            const real v26 = sigmoid_at[j0];
            const real v27 = (real)1 - v26;
            const real v28 = v26 * v27;
            const real v29 = v25 * v28;
            const real v30 = v17 * v20;
            const real v31 = v18 * v18;
            const real v32 = (real)1 - v31;
            const real v33 = v30 * v32;
            const real v34 = grad_h_at[j0];
            const real v35 = mm_3_at[j0];
            const real v36 = v34 + v35;
            const real v37 = scale_at[0];
            const real v38 = v36 * v37;
            const real v39 = tanh_1_at[j0];
            const real v40 = v38 * v39;
            const real v41 = sigmoid_2_at[j0];
            const real v42 = (real)1 - v41;
            const real v43 = v41 * v42;
            const real v44 = v40 * v43;
            const real v45 = v29 * v24;
            const real v46 = v17 * v26;
            const real v47 = peephole_at[j0];
            const real v48 = v29 * v47;
            const real v49 = v46 + v48;
            cat_at[j0] = (float)(v23);
            cat_at[j0 + 5] = (float)(v29);
            cat_at[j0 + 10] = (float)(v33);
            cat_at[j0 + 15] = (float)(v44);
            mul_37_at[j0] = (float)(v45);
            grad_c_at[j0] = (float)(v49);
        }
    }
}

static void step_part_1(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    float *restrict const cat_all = (float *)(room->chunk + 128 * room->capacity);
    float *restrict const mm_6_all = (float *)(room->local + 0 * room->step_capacity);
    const real *const matrix_2 = c->packed + packed_size(2, 3) + packed_size(3, 5);
    c->products->of_rows(rows, 20, 5, cat_all + chunk_row * 48 + 0, 48, matrix_2, mm_6_all + 0, 32, room->member, room->team);
}

static void step_part_2(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    float *restrict const grad_h_all = c->tensors[29];
    float *restrict const mm_6_all = (float *)(room->local + 0 * room->step_capacity);
    for (int64_t r = room->first_row; r < room->last_row; ++r) {
        float *const mm_6_at = mm_6_all + r * 32;
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = mm_6_at[j0];
            grad_h_at[j0] = (float)(v0);
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
    float *restrict const grad_x_all = c->tensors[18];
    float *restrict const cat_all = (float *)(room->chunk + 128 * room->capacity);
    const real *const matrix_3 = c->packed + packed_size(2, 3) + packed_size(3, 5) + packed_size(20, 5);
    c->products->of_rows_anywhere(rows, 20, 3, rows_at(room->left, cat_all + first * 48 + 0, 48, 0, rows), matrix_3, (real *const *)rows_at(room->right, grad_x_all + 0, 3, room->packed_rows + first, rows), 0, 1);
}

/* Add the rows of a chunk to the sums over all steps. */
static void add_up(
    const call *c, struct room *room, int64_t rows) {
    const float *restrict const grad_output_all = c->tensors[3];
    const float *restrict const gelu_all = c->tensors[13];
    const float *restrict const mul_4_all = c->tensors[14];
    const float *restrict const x_all = c->tensors[15];
    const real *const *const h_rows = room->previous + 1 * room->capacity;
    float *restrict const mul_11_all = (float *)(room->chunk + 32 * room->capacity);
    float *restrict const mul_16_all = (float *)(room->chunk + 96 * room->capacity);
    float *restrict const cat_all = (float *)(room->chunk + 128 * room->capacity);
    float *restrict const mul_23_all = (float *)(room->chunk + 176 * room->capacity);
    float *restrict const mul_37_all = (float *)(room->chunk + 208 * room->capacity);
    add_rows(c, room, 19, rows, 2, 3, rows_at(room->left, grad_output_all + 0, 2, room->packed_rows + 0, rows), rows_at(room->right, gelu_all + 0, 3, room->packed_rows + 0, rows), room->totals);
    add_rows(c, room, 20, rows, 1, 2, ones(room->left, rows), rows_at(room->right, grad_output_all + 0, 2, room->packed_rows + 0, rows), room->totals + 2 * in_vectors(3));
    add_rows(c, room, 21, rows, 3, 5, rows_at(room->left, mul_11_all + 0 * 32 + 0, 32, 0, rows), rows_at(room->right, mul_4_all + 0, 5, room->packed_rows + 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2));
    add_rows(c, room, 22, rows, 1, 3, ones(room->left, rows), rows_at(room->right, mul_11_all + 0 * 32 + 0, 32, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5));
    add_rows(c, room, 23, rows, 1, 5, ones(room->left, rows), rows_at(room->right, mul_23_all + 0 * 32 + 0, 32, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3));
    add_rows(c, room, 24, rows, 1, 5, ones(room->left, rows), rows_at(room->right, mul_16_all + 0 * 32 + 0, 32, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3) + 1 * in_vectors(5));
    add_rows(c, room, 25, rows, 1, 5, ones(room->left, rows), rows_at(room->right, mul_37_all + 0 * 32 + 0, 32, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3) + 1 * in_vectors(5) + 1 * in_vectors(5));
    add_rows(c, room, 26, rows, 5, 20, rows_from(room->left, h_rows + 0, 0, rows), rows_at(room->right, cat_all + 0 * 48 + 0, 48, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3) + 1 * in_vectors(5) + 1 * in_vectors(5) + 1 * in_vectors(5));
    add_rows(c, room, 27, rows, 3, 20, rows_at(room->left, x_all + 0, 3, room->packed_rows + 0, rows), rows_at(room->right, cat_all + 0 * 48 + 0, 48, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3) + 1 * in_vectors(5) + 1 * in_vectors(5) + 1 * in_vectors(5) + 5 * in_vectors(20));
    add_rows(c, room, 28, rows, 1, 20, ones(room->left, rows), rows_at(room->right, cat_all + 0 * 48 + 0, 48, 0, rows), room->totals + 2 * in_vectors(3) + 1 * in_vectors(2) + 3 * in_vectors(5) + 1 * in_vectors(3) + 1 * in_vectors(5) + 1 * in_vectors(5) + 1 * in_vectors(5) + 5 * in_vectors(20) + 3 * in_vectors(20));
}

