/* Proposals that followers hand on to us, their leader: each is taken once, however often it comes.
 *
 * A message of them says for which leader's term it is, and nobody else takes it; so what came in
 * this term is all that has to be remembered. A member numbers its proposals one by one from a
 * random start in each of its runs: numbers that are near to each other are of one run. One that is
 * too far behind to be told apart is not taken, and its proposer hears in time that its fate is
 * unknown. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define SAME_RUN (UINT64_C(1) << 32) /* numbers nearer than this */

static bool is_of_run(const struct heard *h, uint64_t origin, uint64_t number)
{
    return h->origin == origin && number - h->highest + SAME_RUN < 2 * SAME_RUN;
}

static struct heard *find(struct node *n, uint64_t origin, uint64_t number)
{
    struct heard *oldest = &n->heard[0];
    for (size_t i = 0; i < NODE_HEARD_RUNS; i++) {
        struct heard *h = &n->heard[i];
        if (is_of_run(h, origin, number))
            return h;
        if (h->last_use < oldest->last_use)
            oldest = h;
    }
    *oldest = (struct heard){.origin = origin, .highest = number - 1};
    return oldest;
}

static void clear_bit(struct heard *h, uint64_t number)
{
    uint64_t at = number % NODE_HEARD_NUMBERS;
    h->bits[at / 64] &= ~(UINT64_C(1) << at % 64);
}

/* The window moves up to NUMBER; what it comes to cover was not heard. */
static void move_up(struct heard *h, uint64_t number)
{
    uint64_t step = number - h->highest;
    if (step >= NODE_HEARD_NUMBERS)
        memset(h->bits, 0, sizeof(h->bits));
    for (uint64_t i = 1; i <= step && step < NODE_HEARD_NUMBERS; i++)
        clear_bit(h, h->highest + i);
    h->highest = number;
}

/* True the first time. */
static bool note(struct heard *h, uint64_t number)
{
    if (number - h->highest < SAME_RUN)
        move_up(h, number);
    else if (h->highest - number >= NODE_HEARD_NUMBERS)
        return false;
    uint64_t at = number % NODE_HEARD_NUMBERS;
    uint64_t bit = UINT64_C(1) << at % 64;
    bool is_new = (h->bits[at / 64] & bit) == 0;
    h->bits[at / 64] |= bit;
    return is_new;
}

static bool begin_term(struct node *n, uint64_t term)
{
    if (n->heard == NULL)
        n->heard = calloc(NODE_HEARD_RUNS, sizeof(*n->heard));
    else if (n->heard_term != term)
        memset(n->heard, 0, NODE_HEARD_RUNS * sizeof(*n->heard));
    n->heard_term = term;
    return n->heard != NULL;
}

bool node_hear(struct node *n, const struct raft_message *m, uint64_t term, struct entry_list *out)
{
    struct heard *h = NULL; /* the last one's: nearly always this one's, too */
    if (!begin_term(n, term) || entry_list_reserve(out, m->entries.count) != OK)
        return false;
    for (size_t i = 0; i < m->entries.count; i++) {
        const struct entry *e = &m->entries.items[i];
        struct envelope envelope;
        if (!node_envelope_read(&envelope, payload_bytes(e->payload)))
            continue;
        if (h == NULL || !is_of_run(h, envelope.origin, envelope.number))
            h = find(n, envelope.origin, envelope.number);
        h->last_use = ++n->heard_count;
        if (note(h, envelope.number) && entry_list_add(out, e) != OK)
            return false;
    }
    return out->count > 0;
}
