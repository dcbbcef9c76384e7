/* Runs kernels staggered over time. Each reads, step by step, what the one before it has written. So
 * the steps are cut into spans, and while a kernel runs over one, the kernel before it may run over
 * the next. Whoever has nothing to do takes a span for which all is there. So nobody waits for a
 * thread that has not come, and a span takes no other numbers whoever runs it. Behind share.c. */

#include <stdint.h>

/* Some steps, or none and the sums over those before: what the argument of a kernel begins with. */
typedef struct {
    int64_t first_step, num_steps, begins, ends, chunk_row, chunk_goes_on;
} span;

/* A kernel and its argument; how many of its spans are begun, and how many are done. */
typedef struct {
    void (*run)(void *);
    span *argument;
    int64_t begun, done;
    char other_lines[96]; /* of the cache */
} layer;

typedef struct {
    const pool *pool;
    int64_t num_threads, num_layers, num_spans;
    int64_t num_kept; /* of the first layers: a thread keeps to one of them */
    layer *layers;
    const span *spans;
} wavefront;

static int64_t now_at(const int64_t *count) { return __atomic_load_n(count, __ATOMIC_ACQUIRE); }

/* Whether a span is the next one of a layer, and all is there that it reads; sums read what is the
 * layer's own. */
static int is_ready(const wavefront *w, int64_t number, int64_t next) {
    const layer *const this = w->layers + number;
    if (next == w->num_spans || now_at(&this->done) != next) return 0;
    return number == 0 || !w->spans[next].num_steps || now_at(&this[-1].done) > next;
}

/* Do a span of a layer, unless somebody else has just taken it; returns whether it was done. */
static int do_span(const wavefront *w, int64_t number, int64_t next) {
    layer *const this = w->layers + number;
    if (!__atomic_compare_exchange_n(
            &this->begun, &next, next + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return 0;
    *this->argument = w->spans[next];
    this->run(this->argument);
    __atomic_store_n(&this->done, next + 1, __ATOMIC_RELEASE);
    return 1;
}

/* Take the span that should be done first; returns whether one was done. A thread keeps to its own
 * layer, whose weights are in its cache. Of the last layers, which are more than the threads, those
 * come first that have the longest way to go, so that all end together. */
static int do_any_span(const wavefront *w, int64_t *own) {
    int64_t best = -1, best_rank = INT64_MAX, its_next = 0;
    for (int64_t number = 0; number < w->num_layers; ++number) {
        const int64_t next = now_at(&w->layers[number].begun);
        int64_t rank = number == *own ? -1 : number;
        if (number >= w->num_kept) rank = number + next;
        if (rank >= best_rank || !is_ready(w, number, next)) continue;
        best = number;
        best_rank = rank;
        its_next = next;
    }
    if (best < 0 || !do_span(w, best, its_next)) return 0;
    *own = best;
    return 1;
}

/* Do spans until none is left to begin. */
static void do_spans(void *given, int64_t piece) {
    const wavefront *const w = given;
    const int64_t *const last_begun = &w->layers[w->num_layers - 1].begun;
    int64_t own = piece;
    for (int64_t turn = 0; now_at(last_begun) < w->num_spans; ++turn)
        if (do_any_span(w, &own)) turn = -1;
        else w->pool->wait(turn);
}

static void run_all(void *given) {
    wavefront *const w = given;
    w->pool->share(do_spans, w, w->num_threads);
}

void rondo_run_wavefront(wavefront *w) {
    for (int64_t number = 0; number < w->num_layers; ++number)
        w->layers[number].begun = w->layers[number].done = 0;
    w->pool->enter(run_all, w, w->num_threads);
}
