/* Products of rows with a packed matrix: a tile of the result stays in registers while a panel is
 * read. This is a library of its own, which all kernels of a type share. */

#define TILE_ROWS 6
typedef void tile_function(int64_t, const real *, int64_t, const real *, real *, int64_t);

/* result = left * panel for ROWS rows and VECTORS vectors of columns. */
#define TILE(ROWS, VECTORS)                                                                   \
    static void tile_##ROWS##x##VECTORS(                                                      \
        int64_t depth, const real *restrict left, int64_t left_stride,                        \
        const real *restrict panel, real *restrict result, int64_t result_stride) {           \
        vector sum[ROWS][VECTORS] = {{{0}}};                                                  \
        for (int64_t k = 0; k < depth; ++k, panel += VECTORS * LANES) {                       \
            vector weight[VECTORS];                                                           \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                weight[v] = *(const vector *)(panel + v * LANES);                             \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) {                          \
                const real factor = left[r * left_stride + k];                                \
                _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                     \
                    sum[r][v] += factor * weight[v];                                          \
            }                                                                                 \
        }                                                                                     \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r)                                \
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v)                         \
                *(vector *)(result + r * result_stride + v * LANES) = sum[r][v];              \
    }

#define TILES_OF(VECTORS)                                                                     \
    TILE(1, VECTORS) TILE(2, VECTORS) TILE(3, VECTORS)                                        \
    TILE(4, VECTORS) TILE(5, VECTORS) TILE(6, VECTORS)

#define TILE_NAMES(VECTORS)                                                                   \
    {tile_1x##VECTORS, tile_2x##VECTORS, tile_3x##VECTORS,                                    \
     tile_4x##VECTORS, tile_5x##VECTORS, tile_6x##VECTORS}

TILES_OF(1)
TILES_OF(2)
#if PANEL_VECTORS == 4
TILES_OF(3)
TILES_OF(4)
static tile_function *const TILES[][TILE_ROWS] = {
    TILE_NAMES(1), TILE_NAMES(2), TILE_NAMES(3), TILE_NAMES(4)};
#else
static tile_function *const TILES[][TILE_ROWS] = {TILE_NAMES(1), TILE_NAMES(2)};
#endif

void rondo_product(
    int64_t rows, int64_t depth, int64_t width, const real *left, int64_t left_stride,
    const real *packed, real *result, int64_t result_stride) {
    if (rows == 0) return;
    const int64_t vectors = (width + LANES - 1) / LANES;
    const int64_t num_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t vector_ = 0; vector_ < vectors; vector_ += PANEL_VECTORS) {
        const int64_t panel_vectors = at_most(vectors - vector_, PANEL_VECTORS);
        const real *panel = packed + vector_ * LANES * depth;
        for (int64_t tile = 0; tile < num_tiles; ++tile) {
            const int64_t row = tile * rows / num_tiles;
            const int64_t tile_rows = (tile + 1) * rows / num_tiles - row;
            TILES[panel_vectors - 1][tile_rows - 1](
                depth, left + row * left_stride, left_stride, panel,
                result + row * result_stride + vector_ * LANES, result_stride);
        }
    }
}
