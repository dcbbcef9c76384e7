/* Decoding of what a network trained with CTC gives: the likeliest path of each row, and the
   likeliest texts of a row by prefix beam search. `ctc_kernels.py` says what goes in and out.

   Texts that were kept at some step are a tree: a node is the text of its parent and one symbol
   more, so the same text is always the same node. Candidates come in the order of their places, beam
   by beam, first the beam as it is, then with each symbol more; of equal ones the first are kept. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int32_t parent, symbol, child, sibling; /* -1: none */
    int32_t beam;                           /* which beam has this text now */
    int32_t length;
} Node;

typedef struct {
    double blank, other, total; /* ln of the paths that end in a blank, in a symbol, of both */
    double next_blank, next_other, next_total; /* the same of the next step, if it stays as it is */
    int32_t node;
    int32_t host; /* the beam that grows to this text, or -1 */
} Beam;

typedef struct {
    double total;
    int32_t beam, symbol; /* symbol 0: the beam as it is */
} Candidate;

static double log_sum(double a, double b)
{
    double high = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

/* What each beam has at the next step if it stays as it is, with what grows to its text. */
static void stay(const Node *nodes, Beam *beams, int64_t num_beams, const double *logs)
{
    for (int64_t j = 0; j < num_beams; j++) {
        Beam *beam = beams + j;
        const Node *text = nodes + beam->node;
        beam->next_blank = beam->total + logs[0];
        beam->next_other = beam->other + logs[text->symbol];
        beam->host = -1;
        if (text->parent >= 0 && nodes[text->parent].beam >= 0) {
            const Beam *host = beams + nodes[text->parent].beam;
            int is_twice = nodes[host->node].symbol == text->symbol; /* needs a blank between */
            double added = (is_twice ? host->blank : host->total) + logs[text->symbol];
            if (added > -INFINITY) {
                beam->next_other = log_sum(beam->next_other, added);
                beam->host = nodes[text->parent].beam;
            }
        }
        beam->next_total = log_sum(beam->next_blank, beam->next_other);
    }
}

/* Adds a candidate to the best ones, behind equal ones; their number afterwards. */
static int64_t offer(Candidate *best, int64_t num_best, int64_t width, Candidate candidate)
{
    double least = num_best == width ? best[num_best - 1].total : -INFINITY;
    if (!(candidate.total > least)) return num_best;
    int64_t at = num_best == width ? num_best - 1 : num_best, after = at + 1;
    for (; at > 0 && best[at - 1].total < candidate.total; at--) best[at] = best[at - 1];
    best[at] = candidate;
    return after;
}

/* The best candidates for the next step; `ways` is room for a number a symbol. */
static int64_t choose(const Node *nodes, const Beam *beams, int64_t num_beams, const double *logs,
                      int64_t size, int64_t width, double *ways, Candidate *best)
{
    int64_t num_best = 0;
    for (int64_t i = 0; i < num_beams; i++) {
        const Beam *beam = beams + i;
        int32_t last = nodes[beam->node].symbol;
        for (int64_t k = 1; k < size; k++) ways[k] = beam->total + logs[k];
        if (last) ways[last] = beam->blank + logs[last];
        ways[0] = beam->host >= 0 && beam->host < i ? -INFINITY : beam->next_total;
        for (int64_t j = 0; j < num_beams; j++) /* what is a beam already counts once */
            if (beams[j].host == i)
                ways[nodes[beams[j].node].symbol] = i < j ? beams[j].next_total : -INFINITY;
        for (int64_t k = 0; k < size; k++)
            if (num_best < width || ways[k] > best[num_best - 1].total)
                num_best = offer(best, num_best, width, (Candidate){ways[k], i, k});
    }
    return num_best;
}

/* The node of a text with one symbol more, made where there is none. */
static int32_t child_of(Node *nodes, int32_t *num_nodes, int32_t parent, int32_t symbol)
{
    for (int32_t at = nodes[parent].child; at >= 0; at = nodes[at].sibling)
        if (nodes[at].symbol == symbol) return at;
    int32_t made = (*num_nodes)++;
    nodes[made] = (Node){parent, symbol, -1, nodes[parent].child, -1, nodes[parent].length + 1};
    return nodes[parent].child = made;
}

/* The beams that the best candidates become. */
static void renew(Node *nodes, int32_t *num_nodes, const Beam *beams, int64_t num_beams,
                  const Candidate *best, int64_t num_best, Beam *next)
{
    for (int64_t n = 0; n < num_best; n++) {
        int32_t node = beams[best[n].beam].node;
        if (best[n].symbol) node = child_of(nodes, num_nodes, node, best[n].symbol);
        const Beam *same = nodes[node].beam < 0 ? NULL : beams + nodes[node].beam;
        next[n].blank = same ? same->next_blank : -INFINITY;
        next[n].other = same ? same->next_other : best[n].total;
        next[n].total = best[n].total;
        next[n].node = node;
    }
    for (int64_t j = 0; j < num_beams; j++) nodes[beams[j].node].beam = -1;
    for (int64_t n = 0; n < num_best; n++) nodes[next[n].node].beam = n;
}

static void write(const Node *nodes, const Beam *beams, int64_t num_beams, int64_t num_steps,
                  int32_t *symbols, int64_t *lengths, double *totals)
{
    for (int64_t j = 0; j < num_beams; j++) {
        const Node *text = nodes + beams[j].node;
        lengths[j] = text->length;
        totals[j] = beams[j].total;
        for (; text->parent >= 0; text = nodes + text->parent)
            symbols[j * num_steps + text->length - 1] = text->symbol;
    }
}

int64_t rondo_beam_search(int64_t num_steps, int64_t size, int64_t width, const double *logs,
                          int32_t *symbols, int64_t *lengths, double *totals)
{
    Node *nodes = malloc((1 + width * num_steps) * sizeof(Node));
    Beam *beams = malloc(2 * width * sizeof(Beam)), *now = beams, *next = beams + width;
    Candidate *best = malloc(width * sizeof(Candidate));
    double *ways = malloc(size * sizeof(double));
    int64_t num_beams = -1;
    if (nodes && beams && best && ways) {
        int32_t num_nodes = 1;
        nodes[0] = (Node){-1, 0, -1, -1, 0, 0};
        now[0] = (Beam){.blank = 0.0, .other = -INFINITY, .total = 0.0, .node = 0};
        num_beams = 1;
        for (int64_t t = 0; t < num_steps; t++, logs += size) {
            stay(nodes, now, num_beams, logs);
            int64_t num_best = choose(nodes, now, num_beams, logs, size, width, ways, best);
            renew(nodes, &num_nodes, now, num_beams, best, num_best, next);
            Beam *old = now;
            now = next, next = old, num_beams = num_best;
        }
        write(nodes, now, num_beams, num_steps, symbols, lengths, totals);
    }
    free(nodes), free(beams), free(best), free(ways);
    return num_beams;
}

/* Integers in the order of the numbers: 0 and -0 are one, NaN of either sign is above all. The
   loops over them become vectors, which loops over numbers that may be NaN do not. */
static int32_t ordered(const float *number)
{
    int32_t bits;
    memcpy(&bits, number, sizeof bits);
    int32_t size = bits & INT32_MAX, is_below = bits < 0 & size <= 0x7f800000;
    return is_below ? -size : size;
}

static int32_t first_greatest(const float *numbers, int32_t size)
{
    int32_t most = INT32_MIN, first = size, is_above = 0;
    for (int32_t k = 0; k < size; k++) is_above |= !(numbers[k] <= numbers[0]);
    if (!is_above) return 0; /* the blank, as at most steps */
    for (int32_t k = 0; k < size; k++) {
        int32_t here = ordered(numbers + k);
        most = here > most ? here : most;
    }
    for (int32_t k = 0; k < size; k++) {
        int32_t here = ordered(numbers + k) == most ? k : size;
        first = here < first ? here : first;
    }
    return first;
}

void rondo_greedy(int64_t num_rows, int64_t num_steps, int64_t size, const int64_t *steps,
                  const float *logits, int32_t *symbols, int64_t *counts)
{
    for (int64_t row = 0; row < num_rows; row++) {
        int32_t before = 0;
        counts[row] = 0;
        for (int64_t t = 0; t < steps[row]; t++) {
            int32_t now = first_greatest(logits + (row * num_steps + t) * size, size);
            if (now && now != before) *symbols++ = now, counts[row]++;
            before = now;
        }
    }
}
