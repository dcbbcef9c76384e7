/* Threads that share work. A caller cuts its work into pieces and begins with them at once, and
 * helpers that have nothing else to do take pieces too. The caller waits for pieces that somebody
 * has begun, never for a helper that has not come: where other programs keep the processors busy, or
 * no thread can be made, it does all pieces itself. This is a library of its own, which all kernels
 * of a process share.
 *
 * There are helpers of two kinds. Torch's OpenMP threads stay awake for a while after each operation
 * of torch, and keep a processor from any other thread: on a machine that does nothing else they are
 * there first. But OpenMP has all its threads come together at the end of a region, and one that the
 * system has put aside is waited for. So where they come late, and where there are none (in a child
 * that was forked; where torch has another OpenMP), helpers of our own do the work. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

enum {
    LINE_BYTES = 128,        /* two lines of the cache, which some processors load together */
    MAX_HELPERS = 1023,
    NUM_JOBS = 64,           /* at a time; a further caller works alone */
    STACK_BYTES = 8 << 20,   /* of a helper */
    AWAKE_NS = 200000,       /* how long a helper of our own looks for work before it sleeps */
    TURNS_BEFORE_YIELD = 2000, /* of who waits for others */
    LATE_NS = 300000,        /* where OpenMP's threads end a region that much later than the caller */
    FIRST_PAUSE_NS = 10000000, LAST_PAUSE_NS = 2000000000, /* they are left alone for so long */
};

/* Work in pieces. The ticket says all that one must know to take a piece: from the lowest bits on,
 * the next piece, the number of pieces, and how many jobs had this place before, so that nobody takes
 * a piece of a job by the ticket of another. */
typedef struct {
    uint64_t ticket;
    int64_t done; /* pieces */
    int64_t in_use;
    piece_function *function;
    void *data;
} __attribute__((aligned(LINE_BYTES))) job;

#define PIECE_BITS 20
#define MAX_PIECES ((INT64_C(1) << PIECE_BITS) - 1)

static job jobs[NUM_JOBS];
static uint32_t num_published __attribute__((aligned(LINE_BYTES))); /* jobs, so far */
static int64_t num_helpers, num_asleep;
static pthread_mutex_t start_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

typedef void parallel_function(void (*)(void *), void *, unsigned, unsigned);
static parallel_function *openmp; /* GOMP_parallel, or NULL */
static int has_shared;            /* whether work was ever shared */
static __thread int is_in_team;   /* whether OpenMP's threads help this one */

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

/* Wait a little for another thread, which may need this processor. */
static inline void wait_a_turn(int64_t turn) {
    if (turn > TURNS_BEFORE_YIELD) sched_yield();
    else relax();
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Take a piece of a job and do it; returns whether there was one. */
static int do_piece(job *j) {
    uint64_t ticket = __atomic_load_n(&j->ticket, __ATOMIC_ACQUIRE);
    do {
        if ((ticket & MAX_PIECES) >= (ticket >> PIECE_BITS & MAX_PIECES)) return 0;
    } while (!__atomic_compare_exchange_n(
        &j->ticket, &ticket, ticket + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    j->function(j->data, (int64_t)(ticket & MAX_PIECES));
    __atomic_fetch_add(&j->done, 1, __ATOMIC_RELEASE);
    return 1;
}

/* Do the pieces of all jobs; returns whether there were any. */
static int do_any_piece(void) {
    int has_worked = 0;
    for (job *j = jobs; j < jobs + NUM_JOBS; ++j)
        while (do_piece(j)) has_worked = 1;
    return has_worked;
}

/* ---- helpers of our own ---- */

/* Wait until more jobs were published than a helper has seen. */
static void wait_for_jobs(uint32_t seen) {
    const int64_t end = now_ns() + AWAKE_NS;
    do {
        for (int turn = 0; turn < 64; ++turn) {
            if (__atomic_load_n(&num_published, __ATOMIC_ACQUIRE) != seen) return;
            relax();
        }
    } while (now_ns() < end);
    pthread_mutex_lock(&sleep_mutex);
    __atomic_fetch_add(&num_asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&num_published, __ATOMIC_SEQ_CST) == seen)
        pthread_cond_wait(&wake, &sleep_mutex);
    __atomic_fetch_sub(&num_asleep, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&sleep_mutex);
}

static void *help(void *unused) {
    for (;;) {
        const uint32_t seen = __atomic_load_n(&num_published, __ATOMIC_ACQUIRE);
        if (!do_any_piece()) wait_for_jobs(seen);
    }
    return unused;
}

/* In a child that was forked nobody helps, and nobody else is at work. */
static void begin_again(void) {
    const pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    const pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    openmp = NULL;
    num_helpers = num_asleep = 0;
    start_mutex = sleep_mutex = mutex;
    wake = condition;
    for (job *j = jobs; j < jobs + NUM_JOBS; ++j) j->ticket = j->in_use = 0;
}

/* Signals are for the threads of the program. */
static int start_helper(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, &attributes, help, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !failed;
}

static void have_helpers(int64_t wanted) {
    if (wanted > MAX_HELPERS) wanted = MAX_HELPERS;
    if (__atomic_load_n(&num_helpers, __ATOMIC_RELAXED) >= wanted) return;
    pthread_mutex_lock(&start_mutex);
    while (num_helpers < wanted && start_helper())
        __atomic_fetch_add(&num_helpers, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&start_mutex);
}

/* ---- the threads of OpenMP ---- */

static int64_t pause_ns = FIRST_PAUSE_NS, late_ns, no_openmp_before; /* late_ns: the last time */

/* Use OpenMP's threads too, by its function GOMP_parallel. */
void rondo_use_openmp(parallel_function *function) { openmp = function; }

/* Whether work was ever shared, so that there are threads which a forked child lacks. */
int rondo_has_shared(void) { return has_shared; }

__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(NULL, NULL, begin_again);
}

typedef struct {
    void (*function)(void *);
    void *data;
    pthread_t caller;
    int64_t end_ns; /* when the caller came to the end, or 0 */
} __attribute__((aligned(LINE_BYTES))) region; /* it is read all the time */

static void run_region(void *given) {
    region *const r = given;
    is_in_team = 1;
    if (pthread_equal(pthread_self(), r->caller)) {
        r->function(r->data);
        __atomic_store_n(&r->end_ns, now_ns(), __ATOMIC_RELEASE);
    } else {
        uint32_t seen = __atomic_load_n(&num_published, __ATOMIC_ACQUIRE);
        for (int64_t turn = 0; !__atomic_load_n(&r->end_ns, __ATOMIC_ACQUIRE); ++turn) {
            const uint32_t now = __atomic_load_n(&num_published, __ATOMIC_ACQUIRE);
            if (turn == 0 || now != seen) {
                seen = now;
                do_any_piece();
                turn = 0;
            }
            wait_a_turn(turn);
        }
    }
    is_in_team = 0;
}

/* OpenMP's threads came late: leave them alone, for longer if that happens again and again. */
static void pause_openmp(int64_t now) {
    const int64_t before = __atomic_exchange_n(&late_ns, now, __ATOMIC_RELAXED);
    int64_t pause = __atomic_load_n(&pause_ns, __ATOMIC_RELAXED);
    pause = now - before < 4 * pause ? 2 * pause : pause / 2;
    pause = pause < FIRST_PAUSE_NS ? FIRST_PAUSE_NS : pause > LAST_PAUSE_NS ? LAST_PAUSE_NS : pause;
    __atomic_store_n(&pause_ns, pause, __ATOMIC_RELAXED);
    __atomic_store_n(&no_openmp_before, now + pause, __ATOMIC_RELAXED);
}

static void run_in_openmp(void (*function)(void *), void *data, int64_t num_threads) {
    region r = {function, data, pthread_self(), 0};
    openmp(run_region, &r, (unsigned)num_threads, 0);
    const int64_t now = now_ns();
    if (now - r.end_ns > LATE_NS) pause_openmp(now);
}

/* ---- callers ---- */

/* Call a function, which may share work with up to so many threads, itself one of them. */
static void enter(void (*function)(void *), void *data, int64_t num_threads) {
    if (num_threads > 1) __atomic_store_n(&has_shared, 1, __ATOMIC_RELAXED);
    if (num_threads > 1 && openmp && !is_in_team &&
        now_ns() >= __atomic_load_n(&no_openmp_before, __ATOMIC_RELAXED)) {
        run_in_openmp(function, data, num_threads);
    } else {
        if (num_threads > 1) have_helpers(num_threads - 1);
        function(data);
    }
}

static job *free_job(void) {
    for (job *j = jobs; j < jobs + NUM_JOBS; ++j)
        if (!__atomic_load_n(&j->in_use, __ATOMIC_RELAXED) &&
            !__atomic_exchange_n(&j->in_use, 1, __ATOMIC_ACQUIRE))
            return j;
    return NULL;
}

static void publish(job *j, int64_t num_pieces) {
    const uint64_t before = __atomic_load_n(&j->ticket, __ATOMIC_RELAXED); /* some still look at it */
    const uint64_t count = (before >> 2 * PIECE_BITS) + 1;
    const uint64_t ticket = count << 2 * PIECE_BITS | (uint64_t)num_pieces << PIECE_BITS;
    __atomic_store_n(&j->ticket, ticket, __ATOMIC_RELEASE);
    __atomic_fetch_add(&num_published, 1, __ATOMIC_SEQ_CST);
    if (is_in_team || !__atomic_load_n(&num_asleep, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&sleep_mutex);
    for (int64_t piece = 1; piece < num_pieces && piece <= num_asleep; ++piece)
        pthread_cond_signal(&wake);
    pthread_mutex_unlock(&sleep_mutex);
}

/* Call `function` with `data` and each number of a piece; returns when all pieces are done. */
static void share(piece_function *function, void *data, int64_t num_pieces) {
    job *const j = num_pieces > 1 && num_pieces <= MAX_PIECES ? free_job() : NULL;
    if (!j) {
        for (int64_t piece = 0; piece < num_pieces; ++piece) function(data, piece);
        return;
    }
    j->function = function;
    j->data = data;
    j->done = 0;
    publish(j, num_pieces);
    while (do_piece(j)) {}
    for (int64_t turn = 0; __atomic_load_n(&j->done, __ATOMIC_ACQUIRE) < num_pieces; ++turn)
        wait_a_turn(turn);
    __atomic_store_n(&j->in_use, 0, __ATOMIC_RELEASE);
}

const pool rondo_pool = {enter, share, wait_a_turn};
