typedef struct { int tensor; int64_t depth, width, batch; } matrix;
#define NUM_MATRICES 1
static const matrix MATRICES[] = {
    {9, 5, 15, 0}, /* t_1 */
};
#define NUM_STATES 1
#define FIRST_STATE 7
static const int64_t STATE_SIZES[] = {5};
#define LOCAL_SIZE 32

/* One step for some rows, which begin at `packed` among the rows of all steps, and at
 * `row` in the batch. */
static void step(
    product_function *product, void *const *tensors, const real *matrices, real *scratch,
    int64_t capacity,
    int64_t packed, int64_t row, int64_t rows) {
    const float *restrict const bias_hh_all = tensors[0];
    const float *restrict const addmm_all = tensors[1];
    float *restrict const out_getitem_5_all = tensors[2];
    float *restrict const sigmoid_all = tensors[3];
    float *restrict const sigmoid_1_all = tensors[4];
    float *restrict const tanh_all = tensors[5];
    float *restrict const add_3_all = tensors[6];
    float *restrict const h_all = tensors[7];
    float *restrict const addmm_1_product_all = (float *)(scratch + 0 * capacity);
    const real *const matrix_0 = matrices + 0;
    product(rows, 5, 15, h_all + row * 5 + 0, 5, matrix_0, addmm_1_product_all + 0, 32);
    for (int64_t r = 0; r < rows; ++r) {
        float *const addmm_1_product_at = addmm_1_product_all + r * 32;
        const float *const bias_hh_at = bias_hh_all;
        float *const out_getitem_5_at = out_getitem_5_all + (packed + r) * 5;
        const float *const addmm_at = addmm_all + (packed + r) * 15;
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
            const real v4 = addmm_at[j0];
            const real v6 = addmm_1_product_at[j0];
            const real v7 = bias_hh_at[j0];
            const real v8 = v6 + v7;
            const real v10 = v4 + v8;
            const real v11 = sigmoid_(v10);
            const real v12 = addmm_at[j0 + 5];
            const real v14 = addmm_1_product_at[j0 + 5];
            const real v15 = bias_hh_at[j0 + 5];
            const real v16 = v14 + v15;
            const real v18 = v12 + v16;
            const real v19 = sigmoid_(v18);
            const real v20 = addmm_at[j0 + 10];
            const real v22 = v11 * v2;
            const real v23 = v20 + v22;
            const real v24 = tanh_(v23);
            const real v25 = (real)1 - v19;
            const real v26 = v25 * v24;
            const real v27 = h_at[j0];
            const real v28 = v19 * v27;
            const real v29 = v26 + v28;
            out_getitem_5_at[j0] = (float)(v2);
            sigmoid_at[j0] = (float)(v11);
            sigmoid_1_at[j0] = (float)(v19);
            tanh_at[j0] = (float)(v24);
            add_3_at[j0] = (float)(v29);
            h_at[j0] = (float)(v29);
        }
    }
}

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

