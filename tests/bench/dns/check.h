/* Queries and the verdict on their answers.
 *
 * All queries of one run have one size and differ in two places, the id and the peer's label, so a
 * query is a copy of the template with those two overwritten. A question is held byte for byte
 * against the one that was sent (servers must keep its case); owners and targets are compared
 * without case. */
#ifndef WARREN_TESTS_BENCH_DNS_CHECK_H
#define WARREN_TESTS_BENCH_DNS_CHECK_H

#include "peers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUERY_CAPACITY 320

struct query_template {
    uint8_t bytes[QUERY_CAPACITY];
    size_t size;
    size_t question_end;
    size_t label_at; /* 0: the name has no peer in it (PTR) */
    uint16_t type;
};

/* TYPE: SRV, A, AAAA, TXT or PTR by number. EDNS_SIZE 0: no OPT. Exits when ZONE is no domain name.
 */
void query_template_init(struct query_template *t, uint16_t type, const char *zone,
                         uint16_t edns_size);

void query_fill(const struct query_template *t, uint8_t query[static QUERY_CAPACITY], uint16_t id,
                const struct peer *peer);

enum verdict {
    ANSWER_GOOD,
    ANSWER_BAD,   /* malformed, another question, wrong data, a missing additional address */
    ANSWER_EMPTY, /* well-formed, but without the answer: NODATA, NXDOMAIN, SERVFAIL, REFUSED, ...
                   */
};

/* REPLY's id has been matched already. */
enum verdict answer_check(const struct query_template *t, const uint8_t *query,
                          const struct peer *peer, const uint8_t *reply, size_t reply_size);

#endif
