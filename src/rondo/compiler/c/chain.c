/* Runs kernels one after the other, with copies of rows between them: all that a call of a network
 * does, in one call of C. */

#include <stdint.h>
#include <string.h>

/* An address that is to be written: so many bytes from a base. */
typedef struct {
    char **target;
    int64_t base, offset;
} link;

/* A kernel with its argument; or without one, rows that are copied or, in numbers of so many bytes,
 * added. Rows from nowhere are zeros. */
typedef struct {
    void (*run)(void *);
    void *argument;
    char *to;
    const char *from;
    int64_t to_stride, from_stride, row_bytes, num_rows, added_bytes;
} action;

typedef struct {
    int64_t num_links;
    const link *links;
    int64_t num_actions;
    const action *actions;
    char *const *bases;
} chain;

#define ADD(real)                                                                            \
    for (int64_t j = 0; j < a->row_bytes / (int64_t)sizeof(real); ++j)                       \
        ((real *)to)[j] += ((const real *)from)[j];

static void copy_whole_rows(const action *a) {
    for (int64_t r = 0; r < a->num_rows; ++r) {
        char *const to = a->to + r * a->to_stride;
        const char *const from = a->from + r * a->from_stride;
        if (!a->from) memset(to, 0, a->row_bytes);
        else if (!a->added_bytes) memcpy(to, from, a->row_bytes);
        else if (a->added_bytes == sizeof(float)) ADD(float)
        else ADD(double)
    }
}

/* Rows of one number each, as where a matrix is turned. */
#define COPY_NUMBERS(number)                                                                 \
    for (int64_t r = 0; r < a->num_rows; ++r)                                                \
        *(number *)(a->to + r * a->to_stride) = *(const number *)(a->from + r * a->from_stride);

static void copy_rows(const action *a) {
    const int is_copy = a->from && !a->added_bytes;
    if (is_copy && a->row_bytes == sizeof(uint32_t)) COPY_NUMBERS(uint32_t)
    else if (is_copy && a->row_bytes == sizeof(uint64_t)) COPY_NUMBERS(uint64_t)
    else copy_whole_rows(a);
}

void rondo_run_chain(const chain *c) {
    for (int64_t i = 0; i < c->num_links; ++i)
        *c->links[i].target = c->bases[c->links[i].base] + c->links[i].offset;
    for (const action *a = c->actions; a < c->actions + c->num_actions; ++a)
        if (a->run) a->run(a->argument);
        else copy_rows(a);
}
