/* Runs a kernel whose weights were packed before, unless the memory that they were packed from has
 * changed since. A fingerprint of all its bytes tells: CHAINS vectors take in the memory, block after
 * block, by steps that could be undone, each of which depends on all before. So a change within one
 * word of eight bytes always shows; of all others about one in 2^64 does not. */

#include <sched.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define CHAINS 4
#define BLOCK_BYTES (CHAINS * VECTOR_BYTES)

typedef uint64_t vector __attribute__((vector_size(VECTOR_BYTES)));
typedef struct { vector chains[CHAINS]; } fingerprint;

typedef struct {
    int64_t num_pieces;
    const char *const *pieces;      /* where the memory begins */
    const int64_t *sizes;           /* its bytes */
    void *then;                     /* the fingerprint when the weights were packed, anywhere */
    void (*run)(void *);            /* what runs the kernel */
    void *call;                     /* its argument */
    const void **x, **y;            /* where it finds what a step reads, or NULL, and writes */
    int busy;                       /* whether a thread runs a step */
} guarded;

static inline __attribute__((always_inline)) void add_block(fingerprint *sum, const char *block) {
    for (int c = 0; c < CHAINS; ++c) {
        vector part;
        memcpy(&part, block + c * VECTOR_BYTES, VECTOR_BYTES);
        part ^= sum->chains[c];
        sum->chains[c] = ((part << 23) | (part >> 41)) + sum->chains[(c + CHAINS - 1) % CHAINS];
    }
}

/* The end of a piece is filled up with zeros: its size never changes. */
static void add_piece(fingerprint *sum, const char *piece, int64_t size) {
    fingerprint local = *sum; /* in registers */
    char last[BLOCK_BYTES] = {0};
    for (; size >= BLOCK_BYTES; size -= BLOCK_BYTES, piece += BLOCK_BYTES) add_block(&local, piece);
    memcpy(last, piece, size);
    add_block(&local, last);
    *sum = local;
}

static fingerprint fingerprint_of(const guarded *g) {
    fingerprint sum;
    for (int c = 0; c < CHAINS; ++c)
        for (int64_t i = 0; i < (int64_t)(VECTOR_BYTES / sizeof(uint64_t)); ++i)
            sum.chains[c][i] = (8 * c + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (int64_t i = 0; i < g->num_pieces; ++i) add_piece(&sum, g->pieces[i], g->sizes[i]);
    return sum;
}

int64_t rondo_fingerprint_bytes(void) { return sizeof(fingerprint); }

/* Note what the memory holds. */
void rondo_remember(const guarded *g) {
    const fingerprint sum = fingerprint_of(g);
    memcpy(g->then, &sum, sizeof sum);
}

/* Run the kernel; returns whether the memory is as it was, and else does nothing. */
int rondo_run_unless_changed(const guarded *g) {
    if (g->num_pieces) {
        const fingerprint sum = fingerprint_of(g);
        if (memcmp(g->then, &sum, sizeof sum)) return 0;
    }
    g->run(g->call);
    return 1;
}

/* Run a step from x to y; threads take turns. */
static void begin_step(guarded *g, const void *x, const void *y) {
    while (__atomic_exchange_n(&g->busy, 1, __ATOMIC_ACQUIRE)) sched_yield();
    if (g->x) *g->x = x;
    *g->y = y;
}

int rondo_step_unless_changed(guarded *g, const void *x, const void *y) {
    begin_step(g, x, y);
    const int has_run = rondo_run_unless_changed(g);
    __atomic_store_n(&g->busy, 0, __ATOMIC_RELEASE);
    return has_run;
}

void rondo_step(guarded *g, const void *x, const void *y) {
    begin_step(g, x, y);
    g->run(g->call);
    __atomic_store_n(&g->busy, 0, __ATOMIC_RELEASE);
}
