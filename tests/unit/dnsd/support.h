/* Chains of real directives in memory: a Corefile is loaded as the daemon loads it, a source of
 * answers is put behind its handlers, and requests go in as wire bytes. Replies and log lines come
 * back as text, so that a test is a list of expected lines.
 *
 * Everything here fails the running test on trouble. One chain at a time. */
#ifndef WARREN_TESTS_DNSD_SUPPORT_H
#define WARREN_TESTS_DNSD_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "dnsd/instance.h"
#include "dnsd/query.h"
#include "dnsd/server.h"

struct chain;
struct store;

/* The registry of chains that are loaded from now on; NULL, as at first, for none. */
void chain_set_store(struct store *store);
/* Lets the loop do what it has to, without waiting. */
void chain_turn(struct chain *c);
/* The same for so long. */
void chain_wait(struct chain *c, unsigned ms);
/* COREFILE is called "Corefile" in messages. */
struct chain *chain_load(const char *corefile);
void chain_free(struct chain *c);
/* The message with which COREFILE is refused; valid until the next call. */
const char *chain_error(const char *corefile);
/* The routing table that chain_ask uses; a test may change it. */
struct listener *chain_listener(struct chain *c);
/* The site INDEX of the Corefile. */
const struct site *chain_site(const struct chain *c, size_t index);
/* Runs the start hooks (COREFILE's blocks must `bind 127.0.0.1` and name no port), the stop hooks.
 */
void chain_start(struct chain *c);
void chain_stop(struct chain *c);

/* What the handler behind the chain answers from now on: RECORDS are lines of "SECTION OWNER TTL
 * TYPE DATA", SECTION an (answer), ns or ar, OWNER "@" for the question's name; "" answers without
 * records. NULL passes on: nothing is written and the RCODE returned. It starts with SERVFAIL and
 * NULL. */
void chain_answers(struct chain *c, int rcode, const char *records);
/* The name under which it writes ("source"), and the error it leaves (none). */
void chain_answers_as(struct chain *c, const char *name);
void chain_answers_error(struct chain *c, const char *error);
/* Flags it sets beside those of a reply, and those it saw in the request's OPT. */
void chain_answers_flags(struct chain *c, uint16_t flags);
/* How often it was asked. */
unsigned chain_asked(const struct chain *c);

struct ask {
    const char *name;
    uint16_t type;
    uint16_t class_number; /* 0: IN */
    uint16_t flags;        /* DNS_FLAG_*; 0: RD */
    uint8_t opcode;
    const char *from; /* "127.0.0.1" */
    bool is_tcp;
    uint16_t udp_size; /* 0: no EDNS */
    bool is_do;
    const char *options; /* EDNS options in hexadecimal */
};

/* "NOERROR qr,aa,rd|an example.org. 300 A 192.0.2.1|ar ...|opt 1232 do 3:68656c6c6f"; "" for no
 * reply. Valid until the next call. Checks that ID, opcode and question are the request's. */
const char *chain_ask(struct chain *c, const struct ask *ask);
#define CHAIN_ASK(c, ...) chain_ask(c, &(struct ask){__VA_ARGS__})

/* The value of a series as the exposition shows it, -1 if it is not there:
 * chain_metric(c, "coredns_x{server=\"dns://:53\"}"). The chain's server is "dns://:53". */
double chain_metric(struct chain *c, const char *series);

/* Everything written to standard output since the last call, or since output_capture. */
void output_capture(void);
const char *output_take(void);
void output_release(void);

#endif
