typedef struct { int tensor; int64_t depth, width, batch; } matrix;
#define NUM_MATRICES 1
static const matrix MATRICES[] = {
    {10, 15, 5, 0}, /* weight_hh */
};
#define NUM_STATES 1
#define FIRST_STATE 8
static const int64_t STATE_SIZES[] = {5};
#define LOCAL_SIZE 32

/* One step for some rows, which begin at `packed` among the rows of all steps, and at
 * `row` in the batch. */
static void step(
    product_function *product, void *const *tensors, const real *matrices, real *scratch,
    int64_t capacity,
    int64_t packed, int64_t row, int64_t rows) {
    const float *restrict const sigmoid_all = tensors[0];
    const float *restrict const getitem_5_all = tensors[1];
    const float *restrict const tanh_all = tensors[2];
    const float *restrict const sigmoid_1_all = tensors[3];
    const float *restrict const grad_output_all = tensors[4];
    const float *restrict const h_all = tensors[5];
    float *restrict const cat_all = tensors[6];
    float *restrict const cat_1_all = tensors[7];
    float *restrict const grad_h_all = tensors[8];
    float *restrict const mm_all = (float *)(scratch + 0 * capacity);
    const real *const matrix_0 = matrices + 0;
    for (int64_t r = 0; r < rows; ++r) {
        const float *const grad_output_at = grad_output_all + (packed + r) * 5;
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        const float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        const float *const tanh_at = tanh_all + (packed + r) * 5;
        const float *const getitem_5_at = getitem_5_all + (packed + r) * 5;
        const float *const sigmoid_at = sigmoid_all + (packed + r) * 5;
        float *const cat_at = cat_all + (packed + r) * 15;
        const float *const h_at = h_all + (packed + r) * 5;
        float *const cat_1_at = cat_1_all + (packed + r) * 15;
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
    product(rows, 15, 5, cat_all + packed * 15 + 0, 15, matrix_0, mm_all + 0, 32);
    for (int64_t r = 0; r < rows; ++r) {
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

