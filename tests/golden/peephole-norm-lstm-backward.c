typedef struct { int tensor; int64_t depth, width, batch; } matrix;
#define NUM_MATRICES 1
static const matrix MATRICES[] = {
    {20, 20, 5, 0}, /* from_h_weight */
};
#define NUM_STATES 2
#define FIRST_STATE 16
static const int64_t STATE_SIZES[] = {5, 5};
#define LOCAL_SIZE 32

/* One step for some rows, which begin at `packed` among the rows of all steps, and at
 * `row` in the batch. */
static void step(
    product_function *product, void *const *tensors, const real *matrices, real *scratch,
    int64_t capacity,
    int64_t packed, int64_t row, int64_t rows) {
    const float *restrict const scale_all = tensors[0];
    const float *restrict const norm_weight_all = tensors[1];
    const float *restrict const peephole_all = tensors[2];
    const float *restrict const tanh_1_all = tensors[3];
    const float *restrict const sigmoid_2_all = tensors[4];
    const float *restrict const mm_3_all = tensors[5];
    const float *restrict const mul_3_all = tensors[6];
    const float *restrict const c_all = tensors[7];
    const float *restrict const sigmoid_all = tensors[8];
    const float *restrict const div_all = tensors[9];
    const float *restrict const sigmoid_1_all = tensors[10];
    const float *restrict const tanh_all = tensors[11];
    float *restrict const mul_18_all = tensors[12];
    float *restrict const mul_25_all = tensors[13];
    float *restrict const mul_39_all = tensors[14];
    float *restrict const cat_all = tensors[15];
    float *restrict const grad_h_all = tensors[16];
    float *restrict const grad_c_all = tensors[17];
    float *restrict const mm_6_all = (float *)(scratch + 0 * capacity);
    float sum_3_row[1];
    float sum_4_row[1];
    const real *const matrix_0 = matrices + 0;
    for (int64_t r = 0; r < rows; ++r) {
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        const float *const mm_3_at = mm_3_all + (packed + r) * 5;
        const float *const scale_at = scale_all;
        const float *const sigmoid_2_at = sigmoid_2_all + (packed + r) * 5;
        const float *const tanh_1_at = tanh_1_all + (packed + r) * 5;
        float *const mul_18_at = mul_18_all + (packed + r) * 5;
        const float *const norm_weight_at = norm_weight_all;
        float *const sum_3_at = sum_3_row;
        const float *const mul_3_at = mul_3_all + (packed + r) * 5;
        float *const sum_4_at = sum_4_row;
        float *const mul_25_at = mul_25_all + (packed + r) * 5;
        float *const grad_c_at = grad_c_all + (row + r) * 5;
        const float *const div_at = div_all + (packed + r) * 1;
        const float *const c_at = c_all + (packed + r) * 5;
        const float *const sigmoid_at = sigmoid_all + (packed + r) * 5;
        float *const mul_39_at = mul_39_all + (packed + r) * 5;
        const float *const tanh_at = tanh_all + (packed + r) * 5;
        const float *const sigmoid_1_at = sigmoid_1_all + (packed + r) * 5;
        float *const cat_at = cat_all + (packed + r) * 20;
        const float *const peephole_at = peephole_all;
        real sum_3_sum = 0;
        real sum_4_sum = 0;
        #pragma omp simd reduction(+ : sum_3_sum, sum_4_sum)
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
            sum_3_sum += v12;
            const real v13 = mul_3_at[j0];
            const real v14 = v12 * v13;
            sum_4_sum += v14;
            const real v15 = v10 * v13;
            mul_18_at[j0] = (float)(v10);
            mul_25_at[j0] = (float)(v15);
        }
        sum_3_at[0] = (sum_3_sum);
        sum_4_at[0] = (sum_4_sum);
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = grad_c_at[j0];
            const real v1 = div_at[0];
            const real v2 = mul_18_at[j0];
            const real v3 = norm_weight_at[j0];
            const real v4 = v2 * v3;
            const real v5 = v4 * (real)5;
            const real v6 = sum_3_at[0];
            const real v7 = v5 - v6;
            const real v8 = mul_3_at[j0];
            const real v9 = sum_4_at[0];
            const real v10 = v8 * v9;
            const real v11 = v7 - v10;
            const real v12 = v1 * v11;
            const real v13 = v0 + v12;
            const real v14 = c_at[j0];
            const real v15 = v13 * v14;
            const real v16 = sigmoid_at[j0];
            const real v17 = (real)1 - v16;
            const real v18 = v16 * v17;
            const real v19 = v15 * v18;
            const real v20 = v19 * v14;
            const real v21 = tanh_at[j0];
            const real v22 = v13 * v21;
            const real v23 = sigmoid_1_at[j0];
            const real v24 = (real)1 - v23;
            const real v25 = v23 * v24;
            const real v26 = v22 * v25;
            const real v27 = v13 * v23;
            const real v28 = v21 * v21;
            const real v29 = (real)1 - v28;
            const real v30 = v27 * v29;
            const real v31 = grad_h_at[j0];
            const real v32 = mm_3_at[j0];
            const real v33 = v31 + v32;
            const real v34 = scale_at[0];
            const real v35 = v33 * v34;
            const real v36 = tanh_1_at[j0];
            const real v37 = v35 * v36;
            const real v38 = sigmoid_2_at[j0];
            const real v39 = (real)1 - v38;
            const real v40 = v38 * v39;
            const real v41 = v37 * v40;
            const real v42 = v13 * v16;
            const real v43 = peephole_at[j0];
            const real v44 = v19 * v43;
            const real v45 = v42 + v44;
            mul_39_at[j0] = (float)(v20);
            cat_at[j0] = (float)(v26);
            cat_at[j0 + 5] = (float)(v19);
            cat_at[j0 + 10] = (float)(v30);
            cat_at[j0 + 15] = (float)(v41);
            grad_c_at[j0] = (float)(v45);
        }
    }
    product(rows, 20, 5, cat_all + packed * 20 + 0, 20, matrix_0, mm_6_all + 0, 32);
    for (int64_t r = 0; r < rows; ++r) {
        float *const mm_6_at = mm_6_all + r * 32;
        float *const grad_h_at = grad_h_all + (row + r) * 5;
        #pragma omp simd
        for (int64_t j0 = 0; j0 < 5; ++j0) {
            const real v0 = mm_6_at[j0];
            grad_h_at[j0] = (float)(v0);
        }
    }
}

