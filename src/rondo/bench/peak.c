/* How fast one thread multiplies and adds, and how fast it reads. What stands before it (the
 * kernels' panels.c) says how wide vectors are. Both functions write when they began and ended, in
 * seconds of one clock for all threads. */

#include <time.h>

#if defined(__AVX512F__) || defined(__aarch64__)
#define CHAINS 16
#else
#define CHAINS 12 /* and two factors: 16 registers hold no more */
#endif

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* What one round of multiply_add does: a multiplication and an addition for each number. */
int64_t rondo_flops_of_round(void) { return 2 * CHAINS * LANES; }

int64_t rondo_vector_bytes(void) { return VECTOR_BYTES; }

/* As many chains as registers hold, each of which waits for its own last result alone. */
void rondo_multiply_add(int64_t num_rounds, float factor, float summand, float *kept, double *span) {
    vector chain[CHAINS];
    for (int c = 0; c < CHAINS; ++c) chain[c] = (vector){0} + (float)c;
    const vector factors = (vector){0} + factor, summands = (vector){0} + summand;
    span[0] = now();
    for (int64_t round = 0; round < num_rounds; ++round)
        _Pragma("GCC unroll 16") for (int c = 0; c < CHAINS; ++c)
            chain[c] = chain[c] * factors + summands;
    span[1] = now();
    for (int c = 1; c < CHAINS; ++c) chain[0] += chain[c];
    *(vector *)kept = chain[0];
}

/* Reads `size` numbers, again and again; a multiple of eight vectors of them. */
void rondo_read(int64_t num_rounds, int64_t size, const float *numbers, float *kept, double *span) {
    vector sum[8] = {{0}};
    span[0] = now();
    for (int64_t round = 0; round < num_rounds; ++round) {
        __asm__ volatile("" ::: "memory"); /* or the compiler may read once for all rounds */
        for (int64_t i = 0; i < size; i += 8 * LANES)
            _Pragma("GCC unroll 8") for (int v = 0; v < 8; ++v)
                sum[v] += *(const vector *)(numbers + i + v * LANES);
    }
    span[1] = now();
    for (int v = 1; v < 8; ++v) sum[0] += sum[v];
    *(vector *)kept = sum[0];
}
