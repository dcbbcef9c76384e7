/* Callers that share work of their own with each other's helpers, then children that do the same.
 * Every piece must be done once, before its caller goes on. Built behind share.c and pool.c. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PIECES_HERE = 40, NUM_INNER = 3 };

typedef struct {
    int64_t num_threads, num_pieces, depth;
    int64_t counts[MAX_PIECES_HERE * NUM_INNER];
} task;

typedef struct {
    task *of;
    int64_t first;
} inner;

static void inner_piece(void *given, int64_t piece) {
    const inner *const i = given;
    ++i->of->counts[i->first + piece];
}

static void outer_piece(void *given, int64_t piece) {
    inner i = {given, piece * NUM_INNER};
    rondo_pool.share(inner_piece, &i, NUM_INNER);
}

static void run_task(void *given) {
    task *const t = given;
    rondo_pool.share(outer_piece, t, t->num_pieces);
}

static void *call_again_and_again(void *given) {
    const int64_t num_threads = *(int64_t *)given;
    for (int round = 0; round < 300; ++round) {
        task t = {.num_threads = num_threads, .num_pieces = round % MAX_PIECES_HERE};
        rondo_pool.enter(run_task, &t, num_threads);
        for (int64_t n = 0; n < MAX_PIECES_HERE * NUM_INNER; ++n)
            if (t.counts[n] != (n < t.num_pieces * NUM_INNER)) {
                printf("piece %d was done %d times\n", (int)n, (int)t.counts[n]);
                exit(1);
            }
        if (round % 50 == 0) usleep(1000); /* helpers fall asleep */
    }
    return NULL;
}

static void callers(int64_t num_threads) {
    pthread_t threads[3];
    for (int n = 0; n < 3; ++n) pthread_create(threads + n, NULL, call_again_and_again, &num_threads);
    call_again_and_again(&num_threads);
    for (int n = 0; n < 3; ++n) pthread_join(threads[n], NULL);
}

int main(int argc, char **argv) {
    const int64_t num_threads = argc > 1 ? atoi(argv[1]) : 2;
    const int forks = argc > 2 ? atoi(argv[2]) : 3;
    callers(num_threads);
    for (int n = 0; n < forks; ++n) {
        const pid_t child = fork();
        int status = 1;
        if (child == 0) {
            alarm(60);
            callers(num_threads);
            _exit(0);
        }
        if (waitpid(child, &status, 0) != child || status) {
            printf("a child ended with %d\n", status);
            return 1;
        }
    }
    printf("every piece was done once\n");
}
