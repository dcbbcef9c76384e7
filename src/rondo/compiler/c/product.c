/* Products of rows with a packed matrix, and of rows with rows: a tile of the result stays in
 * registers while a panel is read. This is a library of its own, which all kernels of a type share.
 */

#define TILE_ROWS 6
typedef void tile_function(
    int64_t, const real *const *, const real *, real *const *, int64_t);
typedef void sum_function(
    int64_t, const real *const *, int64_t, const real *, real *, int64_t, int64_t);

/* result = left * panel for ROWS rows and VECTORS vectors of columns. */
#define TILE(ROWS, VECTORS)                                                                   \
    static void tile_##ROWS##x##VECTORS(                                                      \
        int64_t depth, const real *const *left, const real *restrict panel,                   \
        real *const *result, int64_t column) {                                                \
        vector sum[ROWS][VECTORS] = {{{0}}};                                                  \
        const real *row[ROWS];                                                                \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) row[r] = left[r];              \
        for (int64_t k = 0; k < depth; ++k, panel += VECTORS * LANES) {                       \
            vector weight[VECTORS];                                                           \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                weight[v] = *(const vector *)(panel + v * LANES);                             \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) {                          \
                const real factor = row[r][k];                                                \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                     \
                    sum[r][v] += factor * weight[v];                                          \
            }                                                                                 \
        }                                                                                     \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                                \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                *(vector *)(result[r] + column + v * LANES) = sum[r][v];                      \
    }

/* total += transposed left * panel, or = where it is new, for ROWS columns of left and VECTORS
 * vectors of columns. One column alone, mostly of ones, has registers left, so it is added up in
 * blocks of rows: then rounding grows more slowly with the number of rows. */
#define BLOCK_ROWS 16
#define SUM(ROWS, VECTORS)                                                                    \
    static void sum_##ROWS##x##VECTORS(                                                       \
        int64_t rows, const real *const *left, int64_t column, const real *restrict panel,    \
        real *restrict total, int64_t stride, int64_t is_new) {                               \
        vector sum[ROWS][VECTORS] = {{{0}}}, blocks[VECTORS] = {{0}};                         \
        for (int64_t k = 0; k < rows; ++k, panel += VECTORS * LANES) {                        \
            const real *const factors = left[k] + column;                                     \
            vector weight[VECTORS];                                                           \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                weight[v] = *(const vector *)(panel + v * LANES);                             \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                            \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                     \
                    sum[r][v] += factors[r] * weight[v];                                      \
            if (ROWS == 1 && k % BLOCK_ROWS == BLOCK_ROWS - 1)                                \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v) {                   \
                    blocks[v] += sum[0][v];                                                   \
                    sum[0][v] = (vector){0};                                                  \
                }                                                                             \
        }                                                                                     \
        if (ROWS == 1)                                                                        \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                sum[0][v] += blocks[v];                                                       \
        if (!is_new)                                                                          \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                            \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                     \
                    sum[r][v] += *(vector *)(total + r * stride + v * LANES);                 \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                                \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                *(vector *)(total + r * stride + v * LANES) = sum[r][v];                      \
    }

#define OF_ALL_ROWS(MACRO, VECTORS)                                                           \
    MACRO(1, VECTORS) MACRO(2, VECTORS) MACRO(3, VECTORS)                                     \
    MACRO(4, VECTORS) MACRO(5, VECTORS) MACRO(6, VECTORS)

#define NAMES(kind, VECTORS)                                                                  \
    {kind##_1x##VECTORS, kind##_2x##VECTORS, kind##_3x##VECTORS,                              \
     kind##_4x##VECTORS, kind##_5x##VECTORS, kind##_6x##VECTORS}

OF_ALL_ROWS(TILE, 1)
OF_ALL_ROWS(TILE, 2)
OF_ALL_ROWS(SUM, 1)
OF_ALL_ROWS(SUM, 2)
#if PANEL_VECTORS == 4
OF_ALL_ROWS(TILE, 3)
OF_ALL_ROWS(TILE, 4)
OF_ALL_ROWS(SUM, 3)
OF_ALL_ROWS(SUM, 4)
static tile_function *const TILES[][TILE_ROWS] = {
    NAMES(tile, 1), NAMES(tile, 2), NAMES(tile, 3), NAMES(tile, 4)};
static sum_function *const SUMS[][TILE_ROWS] = {
    NAMES(sum, 1), NAMES(sum, 2), NAMES(sum, 3), NAMES(sum, 4)};
#else
static tile_function *const TILES[][TILE_ROWS] = {NAMES(tile, 1), NAMES(tile, 2)};
static sum_function *const SUMS[][TILE_ROWS] = {NAMES(sum, 1), NAMES(sum, 2)};
#endif

/* Cuts a number of rows into tiles of about the same size: the first row of one. */
static inline int64_t first_of(int64_t tile, int64_t rows, int64_t num_tiles) {
    return tile * rows / num_tiles;
}

static void product_of_rows(
    int64_t rows, int64_t depth, int64_t width, const real *left, int64_t left_stride,
    const real *packed, real *result, int64_t result_stride) {
    const int64_t vectors = (width + LANES - 1) / LANES;
    const int64_t num_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t vector_ = 0; vector_ < vectors; vector_ += PANEL_VECTORS) {
        const int64_t panel_vectors = at_most(vectors - vector_, PANEL_VECTORS);
        const real *panel = packed + vector_ * LANES * depth;
        for (int64_t tile = 0; tile < num_tiles; ++tile) {
            const int64_t row = first_of(tile, rows, num_tiles);
            const int64_t tile_rows = first_of(tile + 1, rows, num_tiles) - row;
            const real *lefts[TILE_ROWS];
            real *results[TILE_ROWS];
            for (int64_t r = 0; r < tile_rows; ++r) {
                lefts[r] = left + (row + r) * left_stride;
                results[r] = result + (row + r) * result_stride;
            }
            TILES[panel_vectors - 1][tile_rows - 1](
                depth, lefts, panel, results, vector_ * LANES);
        }
    }
}

static void product_of_rows_anywhere(
    int64_t rows, int64_t depth, int64_t width, const real *const *left, const real *packed,
    real *const *result) {
    const int64_t num_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    real edge[TILE_ROWS][PANEL_COLUMNS], *edges[TILE_ROWS];
    for (int r = 0; r < TILE_ROWS; ++r) edges[r] = edge[r];
    for (int64_t first = 0; first < width; first += PANEL_COLUMNS) {
        const int64_t columns = at_most(width - first, PANEL_COLUMNS);
        const int64_t panel_vectors = (columns + LANES - 1) / LANES;
        const int whole = columns == panel_vectors * LANES;
        const real *panel = packed + first * depth;
        for (int64_t tile = 0; tile < num_tiles; ++tile) {
            const int64_t row = first_of(tile, rows, num_tiles);
            const int64_t tile_rows = first_of(tile + 1, rows, num_tiles) - row;
            TILES[panel_vectors - 1][tile_rows - 1](
                depth, left + row, panel, whole ? result + row : edges, whole ? first : 0);
            for (int64_t r = 0; !whole && r < tile_rows; ++r)
                memcpy(result[row + r] + first, edge[r], columns * sizeof(real));
        }
    }
}

static void product_over_rows(
    int64_t rows, int64_t height, int64_t width, const real *const *left,
    const real *const *right, real *total, int64_t stride, real *panel, int64_t is_new) {
    const int64_t num_tiles = (height + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t first = 0; first < width; first += PANEL_COLUMNS) {
        const int64_t columns = at_most(width - first, PANEL_COLUMNS);
        const int64_t padded = in_vectors(columns);
        for (int64_t k = 0; k < rows; ++k) {
            memcpy(panel + k * padded, right[k] + first, columns * sizeof(real));
            for (int64_t j = columns; j < padded; ++j) panel[k * padded + j] = 0;
        }
        for (int64_t tile = 0; tile < num_tiles; ++tile) {
            const int64_t row = first_of(tile, height, num_tiles);
            const int64_t tile_rows = first_of(tile + 1, height, num_tiles) - row;
            SUMS[padded / LANES - 1][tile_rows - 1](
                rows, left, row, panel, total + row * stride + first, stride, is_new);
        }
    }
}

const products rondo_products = {product_of_rows, product_of_rows_anywhere, product_over_rows};
