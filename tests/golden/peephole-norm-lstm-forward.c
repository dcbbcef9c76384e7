typedef struct { int tensor; int64_t depth, width, batch, is_of_state; } matrix;
#define NUM_MATRICES 4
static const matrix MATRICES[] = {
    {24, 3, 20, 0, 0}, /* from_x_weight */
    {25, 5, 20, 0, 0}, /* from_h_weight */
    {26, 5, 3, 0, 0}, /* out_0_weight */
    {27, 3, 2, 0, 0}, /* out_2_weight */
};
#define NUM_STATES 2
#define FIRST_STATE 20
static const int64_t STATE_SIZES[] = {5, 5};
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
#define HAS_CLOSING 1
#define CHUNK_SIZE 112
#define LOCAL_SIZE 80
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
    const float *restrict const x_all = c->tensors[7];
    float *restrict const addmm_product_all = (float *)(room->chunk + 0 * room->capacity);
    const real *const matrix_0 = c->packed;
    c->products->of_rows_anywhere(rows, 3, 20, rows_at(room->left, x_all + 0, 3, room->packed_rows + first, rows), matrix_0, (real *const *)rows_at(room->right, addmm_product_all + first * 48 + 0, 48, 0, rows), 0, 1);
}

/* The parts of a step for some rows, which begin at `packed` among the rows of all
 * steps, at `row` in the batch and at `chunk_row` in the chunk. */
static void step_part_0(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    float *restrict const h_all = c->tensors[20];
    float *restrict const mm_all = (float *)(room->local + 0 * room->step_capacity);
    const real *const matrix_1 = c->packed + packed_size(3, 20);
    c->products->of_rows(rows, 5, 20, h_all + row * 5 + 0, 5, matrix_1, mm_all + 0, 48, room->member, room->team);
}

static void step_part_1(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    const float *restrict const peephole_all = c->tensors[0];
    const float *restrict const from_x_bias_all = c->tensors[1];
    const float *restrict const norm_bias_all = c->tensors[2];
    const float *restrict const norm_weight_all = c->tensors[3];
    const float *restrict const scale_all = c->tensors[4];
    float *restrict const sigmoid_all = c->tensors[8];
    float *restrict const sigmoid_1_all = c->tensors[9];
    float *restrict const tanh_all = c->tensors[10];
    float *restrict const add_2_all = c->tensors[11];
    float *restrict const sigmoid_2_all = c->tensors[12];
    float *restrict const native_layer_norm_mean_all = c->tensors[13];
    float *restrict const native_layer_norm_inverse_all = c->tensors[14];
    float *restrict const tanh_1_all = c->tensors[15];
    float *restrict const mul_4_all = c->tensors[16];
    float *restrict const h_all = c->tensors[20];
    float *restrict const c_all = c->tensors[21];
    float *restrict const addmm_product_all = (float *)(room->chunk + 0 * room->capacity);
    float *restrict const mm_all = (float *)(room->local + 0 * room->step_capacity);
    float *restrict const next_c_all = (float *)(room->local + 48 * room->step_capacity);
    float native_layer_norm_sum_row[1];
    float native_layer_norm_squares_row[1];
    for (int64_t r = room->first_row; r < room->last_row; ++r) {
        float *const addmm_product_at = addmm_product_all + (chunk_row + r) * 48;
        const float *const from_x_bias_at = from_x_bias_all;
        float *const mm_at = mm_all + r * 48;
        const float *const peephole_at = peephole_all;
        float *const c_at = c_all + (row + r) * 5;
        float *const sigmoid_at = sigmoid_all + (packed + r) * 5;
        float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        float *const tanh_at = tanh_all + (packed + r) * 5;
        float *const add_2_at = add_2_all + (packed + r) * 5;
        float *const sigmoid_2_at = sigmoid_2_all + (packed + r) * 5;
        float *const native_layer_norm_sum_at = native_layer_norm_sum_row;
        float *const next_c_at = next_c_all + r * 32;
        float *const native_layer_norm_mean_at = native_layer_norm_mean_all + (packed + r) * 1;
        float *const native_layer_norm_squares_at = native_layer_norm_squares_row;
        float *const native_layer_norm_inverse_at = native_layer_norm_inverse_all + (packed + r) * 1;
        const float *const norm_weight_at = norm_weight_all;
        const float *const norm_bias_at = norm_bias_all;
        float *const tanh_1_at = tanh_1_all + (packed + r) * 5;
        const float *const scale_at = scale_all;
        float *const mul_4_at = mul_4_all + (packed + r) * 5;
        float *const h_at = h_all + (row + r) * 5;
        real native_layer_norm_sum_sum = 0;
        #pragma omp simd reduction(+ : native_layer_norm_sum_sum)
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = addmm_product_at[j0 + 5];
            const real v1 = from_x_bias_at[j0 + 5];
            const real v2 = v0 + v1;
            const real v3 = mm_at[j0 + 5];
            const real v4 = v2 + v3;
            const real v6 = peephole_at[j0];
            const real v7 = c_at[j0];
            const real v8 = v6 * v7;
            const real v9 = v4 + v8;
            const real v10 = sigmoid_(v9);
            const real v11 = addmm_product_at[j0];
            const real v12 = from_x_bias_at[j0];
            const real v13 = v11 + v12;
            const real v14 = mm_at[j0];
            const real v15 = v13 + v14;
            const real v17 = sigmoid_(v15);
            const real v18 = addmm_product_at[j0 + 10];
            const real v19 = from_x_bias_at[j0 + 10];
            const real v20 = v18 + v19;
            const real v21 = mm_at[j0 + 10];
            const real v22 = v20 + v21;
            const real v24 = tanh_(v22);
            const real v25 = v10 * v7;
            const real v26 = v17 * v24;
            const real v27 = v25 + v26;
            const real v28 = addmm_product_at[j0 + 15];
            const real v29 = from_x_bias_at[j0 + 15];
            const real v30 = v28 + v29;
            const real v31 = mm_at[j0 + 15];
            const real v32 = v30 + v31;
            const real v34 = sigmoid_(v32);
            native_layer_norm_sum_sum += v27;
            sigmoid_at[j0] = (float)(v10);
            sigmoid_1_at[j0] = (float)(v17);
            tanh_at[j0] = (float)(v24);
            add_2_at[j0] = (float)(v27);
            sigmoid_2_at[j0] = (float)(v34);
            next_c_at[j0] = (float)(v27);
        }
        native_layer_norm_sum_at[0] = (native_layer_norm_sum_sum);
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 1; ++j0) {
            const real v0 = native_layer_norm_sum_at[0];
            const real v1 = v0 * (real)0.2;
            native_layer_norm_mean_at[j0] = (float)(v1);
        }
        real native_layer_norm_squares_sum = 0;
        #pragma omp simd reduction(+ : native_layer_norm_squares_sum)
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = add_2_at[j0];
            const real v1 = native_layer_norm_mean_at[0];
            const real v2 = v0 - v1;
            const real v3 = v2 * v2;
            native_layer_norm_squares_sum += v3;
        }
        native_layer_norm_squares_at[0] = (native_layer_norm_squares_sum);
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 1; ++j0) {
            const real v0 = native_layer_norm_squares_at[0];
            const real v1 = v0 * (real)0.2;
            const real v2 = v1 + (real)1e-05;
            const real v3 = 1 / LIBM(sqrt)(v2);
            native_layer_norm_inverse_at[j0] = (float)(v3);
        }
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = add_2_at[j0];
            const real v1 = native_layer_norm_mean_at[0];
            const real v2 = v0 - v1;
            const real v3 = native_layer_norm_inverse_at[0];
            const real v4 = v2 * v3;
            const real v5 = norm_weight_at[j0];
            const real v6 = v4 * v5;
            const real v7 = norm_bias_at[j0];
            const real v8 = v6 + v7;
            const real v9 = tanh_(v8);
            const real v10 = sigmoid_2_at[j0];
            const real v11 = v10 * v9;
            const real v12 = scale_at[0];
            const real v13 = v11 * v12;
            tanh_1_at[j0] = (float)(v9);
            mul_4_at[j0] = (float)(v13);
            h_at[j0] = (float)(v13);
        }
    }
}

static void step_part_2(
    const call *c, struct room *room, int64_t packed, int64_t row, int64_t chunk_row,
    int64_t rows) {
    float *restrict const c_all = c->tensors[21];
    float *restrict const next_c_all = (float *)(room->local + 48 * room->step_capacity);
    for (int64_t r = room->first_row; r < room->last_row; ++r)
        memcpy(c_all + (row + r) * 5, next_c_all + r * 32, 5 * sizeof(real));
}

#define NUM_STEP_PARTS 3
static const step_part STEP_PARTS[] = {
    {step_part_0, BY_COLUMNS},
    {step_part_1, BY_ROWS},
    {step_part_2, BY_ROWS},
};
#define PARTS_OF_LAST 3 /* where nobody reads the state */

/* What is done for rows of some steps after these steps. */
static void closing(
    const call *c, struct room *room, int64_t first, int64_t rows) {
    const float *restrict const out_0_bias_all = c->tensors[5];
    const float *restrict const out_2_bias_all = c->tensors[6];
    float *restrict const mul_4_all = c->tensors[16];
    float *restrict const gelu_all = c->tensors[17];
    float *restrict const addmm_2_all = c->tensors[18];
    float *restrict const add_4_all = c->tensors[19];
    float *restrict const addmm_1_product_all = (float *)(room->chunk + 48 * room->capacity);
    float *restrict const addmm_2_product_all = (float *)(room->chunk + 80 * room->capacity);
    const real *const matrix_2 = c->packed + packed_size(3, 20) + packed_size(5, 20);
    const real *const matrix_3 = c->packed + packed_size(3, 20) + packed_size(5, 20) + packed_size(5, 3);
    c->products->of_rows_anywhere(rows, 5, 3, rows_at(room->left, mul_4_all + 0, 5, room->packed_rows + first, rows), matrix_2, (real *const *)rows_at(room->right, addmm_1_product_all + first * 32 + 0, 32, 0, rows), 0, 1);
    for (int64_t r = 0; r < rows; ++r) {
        float *const addmm_1_product_at = addmm_1_product_all + (first + r) * 32;
        const float *const out_0_bias_at = out_0_bias_all;
        float *const gelu_at = gelu_all + room->packed_rows[first + r] * 3;
        float *const add_4_at = add_4_all + room->packed_rows[first + r] * 3;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 3; ++j0) {
            const real v0 = addmm_1_product_at[j0];
            const real v1 = out_0_bias_at[j0];
            const real v2 = v0 + v1;
            const real v3 = gelu_(v2);
            const real v4 = v2 * (real)0.7071067811865476;
            const real v5 = erf_(v4);
            const real v6 = v5 + (real)1;
            const real v7 = v6 * (real)0.5;
            const real v8 = v2 * v2;
            const real v9 = v8 * ((real)-0.5);
            const real v10 = exp_(v9);
            const real v11 = v10 * (real)0.3989422804014327;
            const real v12 = v2 * v11;
            const real v13 = v7 + v12;
            gelu_at[j0] = (float)(v3);
            add_4_at[j0] = (float)(v13);
        }
    }
    c->products->of_rows_anywhere(rows, 3, 2, rows_at(room->left, gelu_all + 0, 3, room->packed_rows + first, rows), matrix_3, (real *const *)rows_at(room->right, addmm_2_product_all + first * 32 + 0, 32, 0, rows), 0, 1);
    for (int64_t r = 0; r < rows; ++r) {
        float *const addmm_2_product_at = addmm_2_product_all + (first + r) * 32;
        const float *const out_2_bias_at = out_2_bias_all;
        float *const addmm_2_at = addmm_2_all + room->packed_rows[first + r] * 2;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 2; ++j0) {
            const real v0 = addmm_2_product_at[j0];
            const real v1 = out_2_bias_at[j0];
            const real v2 = v0 + v1;
            addmm_2_at[j0] = (float)(v2);
        }
    }
}

/* Add the rows of a chunk to the sums over all steps. */
static void add_up(
    const call *c, struct room *room, int64_t rows) {
}

