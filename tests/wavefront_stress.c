/* Callers that run layers staggered over time, at the same time, then children that do the same. Each
 * number must be what the layers give one after the other. Built behind share.c, pool.c and
 * wavefront.c. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_LAYERS = 7, MOST_STEPS = 97 };

/* The argument of a kernel, which begins with a span. */
typedef struct {
    span steps;
    const int64_t *from;
    int64_t *to, state;
    int64_t num_begun, num_ended;
} toy;

static void run_toy(void *given) {
    toy *const t = given;
    if (t->steps.begins) t->state = 1;
    t->num_begun += t->steps.begins;
    for (int64_t s = t->steps.first_step; s < t->steps.first_step + t->steps.num_steps; ++s)
        t->to[s] = t->state = t->state * 31 % 1000003 + t->from[s];
    t->num_ended += t->steps.ends;
}

static void one_round(int64_t num_threads, int round) {
    static const int64_t input[MOST_STEPS] = {3, 1, 4, 1, 5, 9, 2, 6};
    const int64_t num_layers = 1 + round % MOST_LAYERS, num_spans = 1 + round % MOST_STEPS;
    int64_t found[MOST_LAYERS][MOST_STEPS], expected[MOST_LAYERS][MOST_STEPS];
    toy toys[MOST_LAYERS];
    layer layers[MOST_LAYERS];
    span spans[MOST_STEPS];
    for (int64_t n = 0, at = 0; n < num_spans; ++n) {
        const int64_t next = (n + 1) * MOST_STEPS / num_spans;
        spans[n] = (span){at, next - at, n == 0, n == num_spans - 1, 0, 0};
        at = next;
    }
    for (int64_t n = 0; n < num_layers; ++n) {
        toys[n] = (toy){{0, MOST_STEPS, 1, 1, 0, 0}, n ? expected[n - 1] : input, expected[n], 0, 0, 0};
        run_toy(toys + n);
        toys[n] = (toy){{0, 0, 0, 0, 0, 0}, n ? found[n - 1] : input, found[n], 0, 0, 0};
        layers[n] = (layer){run_toy, &toys[n].steps, 0, 0, {0}};
    }
    const int64_t kept = round % 3 ? num_layers : num_layers / 2;
    wavefront w = {&rondo_pool, num_threads, num_layers, num_spans, kept, layers, spans};
    for (int again = 0; again < 2; ++again) {
        memset(found, 0, sizeof found);
        rondo_run_wavefront(&w);
        for (int64_t n = 0; n < num_layers; ++n)
            if (memcmp(found[n], expected[n], sizeof found[n]) || toys[n].num_begun != again + 1 ||
                toys[n].num_ended != again + 1) {
                printf("layer %d of %d is wrong in round %d\n", (int)n, (int)num_layers, round);
                exit(1);
            }
    }
}

static void *call_again_and_again(void *given) {
    for (int round = 0; round < 300; ++round) {
        one_round(*(int64_t *)given, round);
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
    int64_t num_threads = argc > 1 ? atoi(argv[1]) : 2;
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
    printf("all layers are right\n");
}
