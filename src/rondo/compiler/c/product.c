/* Products of rows with a packed matrix, and of rows with rows: a tile of the result stays in
 * registers while a panel is read. This is a library of its own, which all kernels of a type share.
 */

#if PAIRED
typedef uint32_t factor; /* a pair of bfloat16 */
#define MULTIPLY_ADD(sum, factor, weight) dot(sum, factor, weight)
#else
typedef real factor;
#define MULTIPLY_ADD(sum, factor, weight) ((sum) + (factor) * (weight))
#endif

#define TILE_ROWS 6
typedef void tile_function(
    int64_t, const real *const *, const real *, real *const *, int64_t);
typedef struct { int64_t panels; tile_function *function; } wide_tile;
typedef void sum_function(
    int64_t, const real *const *, int64_t, const real *, real *, int64_t, int64_t);

/* A processor begins two or more additions at a time, and each takes some turns, so that it needs
 * about so many sums to be busy. Where there are few rows, a tile takes several panels side by side;
 * each sum is added up in the order of the weights, so results do not depend on the number of rows. */
#define SUMS_AT_A_TIME 12

/* result = left * PANELS panels for ROWS rows and VECTORS vectors of columns of each. With few sums
 * there are registers left, and a turn of the loop adds two rows of whole panels. */
#define TILE(ROWS, VECTORS, PANELS)                                                           \
    static void tile_##ROWS##x##VECTORS##x##PANELS(                                           \
        int64_t depth, const real *const *left, const real *restrict panel,                   \
        real *const *result, int64_t column) {                                                \
        enum {                                                                                \
            is_small = VECTORS == PANEL_VECTORS && ROWS * VECTORS * PANELS < SUMS_AT_A_TIME,  \
            together = is_small ? 2 : 1                                                       \
        };                                                                                    \
        const int64_t panel_size = depth * VECTORS * LANES;                                   \
        vector sum[ROWS][PANELS][VECTORS] = {{{{0}}}};                                        \
        const real *row[ROWS];                                                                \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) row[r] = left[r];              \
        int64_t k = 0;                                                                        \
        for (; k + together <= depth; k += together)                                          \
            _Pragma("GCC unroll 8") for (int i = 0; i < together; ++i)                        \
                ADD_ROW_OF_PANELS(ROWS, VECTORS, PANELS, k + i);                              \
        for (; together > 1 && k < depth; ++k) ADD_ROW_OF_PANELS(ROWS, VECTORS, PANELS, k);   \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                                \
            _Pragma("GCC unroll 8") for (int p = 0; p < PANELS; ++p)                          \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                     \
                    *(vector *)(result[r] + column + (p * VECTORS + v) * LANES) =             \
                        sum[r][p][v];                                                         \
    }

#define ADD_ROW_OF_PANELS(ROWS, VECTORS, PANELS, K)                                           \
    do {                                                                                      \
        vector weight[PANELS][VECTORS];                                                       \
        _Pragma("GCC unroll 8") for (int p = 0; p < PANELS; ++p)                              \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                weight[p][v] = *(const vector *)(panel + p * panel_size + v * LANES);         \
        panel += VECTORS * LANES;                                                             \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) {                              \
            const factor one = ((const factor *)row[r])[K];                                   \
            _Pragma("GCC unroll 8") for (int p = 0; p < PANELS; ++p)                          \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                     \
                    sum[r][p][v] = MULTIPLY_ADD(sum[r][p][v], one, weight[p][v]);             \
        }                                                                                     \
    } while (0)

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

#define OF_ALL_ROWS(MACRO, ...)                                                               \
    MACRO(1, __VA_ARGS__) MACRO(2, __VA_ARGS__) MACRO(3, __VA_ARGS__)                         \
    MACRO(4, __VA_ARGS__) MACRO(5, __VA_ARGS__) MACRO(6, __VA_ARGS__)

#define NAMES(kind, END)                                                                      \
    {kind##_1x##END, kind##_2x##END, kind##_3x##END,                                          \
     kind##_4x##END, kind##_5x##END, kind##_6x##END}

OF_ALL_ROWS(TILE, 1, 1)
OF_ALL_ROWS(TILE, 2, 1)
OF_ALL_ROWS(SUM, 1)
OF_ALL_ROWS(SUM, 2)
#if PANEL_VECTORS == 4
OF_ALL_ROWS(TILE, 3, 1)
OF_ALL_ROWS(TILE, 4, 1)
OF_ALL_ROWS(SUM, 3)
OF_ALL_ROWS(SUM, 4)
TILE(1, 4, 3)
static tile_function *const TILES[][TILE_ROWS] = {
    NAMES(tile, 1x1), NAMES(tile, 2x1), NAMES(tile, 3x1), NAMES(tile, 4x1)};
static sum_function *const SUMS[][TILE_ROWS] = {
    NAMES(sum, 1), NAMES(sum, 2), NAMES(sum, 3), NAMES(sum, 4)};
static const wide_tile WIDE_TILES[] = {{3, tile_1x4x3}};
#else
TILE(1, 2, 4)
TILE(2, 2, 3)
TILE(3, 2, 2)
static tile_function *const TILES[][TILE_ROWS] = {NAMES(tile, 1x1), NAMES(tile, 2x1)};
static sum_function *const SUMS[][TILE_ROWS] = {NAMES(sum, 1), NAMES(sum, 2)};
static const wide_tile WIDE_TILES[] = {{4, tile_1x2x4}, {3, tile_2x2x3}, {2, tile_3x2x2}};
#endif
#define NUM_WIDE_TILES ((int64_t)(sizeof WIDE_TILES / sizeof WIDE_TILES[0]))

/* Cuts a number of rows into tiles of about the same size: the first row of one. */
static inline int64_t first_of(int64_t tile, int64_t rows, int64_t num_tiles) {
    return tile * rows / num_tiles;
}

/* A few rows times as many panels from `first` on as wide tiles take; returns the column after. */
static int64_t product_of_few_rows(
    int64_t rows, int64_t depth, int64_t first, int64_t last, const real *const *left,
    const real *packed, real *const *result) {
    const wide_tile tile = WIDE_TILES[rows - 1];
    for (; first + tile.panels * PANEL_COLUMNS <= last; first += tile.panels * PANEL_COLUMNS)
        tile.function(depth, left, packed + first * depth, result, first);
    return first;
}

/* Pointers to some rows that lie one after the other. */
static inline void point_to(
    const real **lefts, const real *left, int64_t left_stride, real **results, real *result,
    int64_t result_stride, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) {
        lefts[r] = left + r * left_stride;
        results[r] = result + r * result_stride;
    }
}

static void product_of_rows(
    int64_t rows, int64_t depth, int64_t width, const real *left, int64_t left_stride,
    const real *packed, real *result, int64_t result_stride, int64_t share, int64_t shares) {
    const int64_t num_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const int64_t last = share_of_columns(width, share + 1, shares);
    int64_t first = share_of_columns(width, share, shares);
    const real *lefts[TILE_ROWS];
    real *results[TILE_ROWS];
    if (rows <= NUM_WIDE_TILES) {
        point_to(lefts, left, left_stride, results, result, result_stride, rows);
        first = product_of_few_rows(rows, depth, first, last, lefts, packed, results);
    }
    for (; first < last; first += PANEL_COLUMNS) {
        const int64_t vectors = in_vectors(at_most(width - first, PANEL_COLUMNS)) / LANES;
        const real *panel = packed + first * depth;
        for (int64_t tile = 0; tile < num_tiles; ++tile) {
            const int64_t row = first_of(tile, rows, num_tiles);
            const int64_t tile_rows = first_of(tile + 1, rows, num_tiles) - row;
            point_to(
                lefts, left + row * left_stride, left_stride, results,
                result + row * result_stride, result_stride, tile_rows);
            TILES[vectors - 1][tile_rows - 1](depth, lefts, panel, results, first);
        }
    }
}

static void product_of_rows_anywhere(
    int64_t rows, int64_t depth, int64_t width, const real *const *left, const real *packed,
    real *const *result, int64_t share, int64_t shares) {
    const int64_t num_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const int64_t last = share_of_columns(width, share + 1, shares);
    int64_t first = share_of_columns(width, share, shares);
    real edge[TILE_ROWS][PANEL_COLUMNS], *edges[TILE_ROWS];
    for (int r = 0; r < TILE_ROWS; ++r) edges[r] = edge[r];
    if (rows <= NUM_WIDE_TILES)
        first = product_of_few_rows(rows, depth, first, last, left, packed, result);
    for (; first < last; first += PANEL_COLUMNS) {
        const int64_t columns = at_most(width - first, PANEL_COLUMNS);
        const int64_t panel_vectors = in_vectors(columns) / LANES;
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
