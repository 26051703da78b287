/* A small state machine that could be a registry's: keys with revisions, compare-and-swap, and
 * sessions that make a command that is retried happen once. A plain value; equal states have equal
 * hashes, whatever way they came about. */
#ifndef WARREN_TESTS_SIM_RAFT_MACHINE_H
#define WARREN_TESTS_SIM_RAFT_MACHINE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MACHINE_KEYS = 16,
    MACHINE_SESSIONS = 16,
};

enum command_kind {
    COMMAND_PUT,
    COMMAND_ADD,
    COMMAND_SWAP, /* if the value is EXPECTED */
    COMMAND_KIND_COUNT
};

struct command {
    uint32_t client; /* whose session, below MACHINE_SESSIONS */
    uint32_t sequence;
    uint32_t attempt; /* of all attempts of the run, this one */
    uint16_t kind;
    uint16_t key;
    uint64_t value;
    uint64_t expected;
};

struct machine {
    uint64_t applied;
    uint64_t revision;
    uint64_t content; /* hash of keys and sessions, kept up to date */
    struct {
        uint64_t value;
        uint64_t revision;
    } keys[MACHINE_KEYS];
    struct {
        uint64_t sequence;
        uint64_t result;
    } sessions[MACHINE_SESSIONS];
};

enum machine_verdict {
    MACHINE_NOTHING, /* no command */
    MACHINE_DONE,
    MACHINE_REPEATED, /* done before */
    MACHINE_STALE     /* the session is further */
};

/* Applies the entry behind the last one. COMMAND may be NULL. */
enum machine_verdict machine_apply(struct machine *m, const struct command *command);
uint64_t machine_hash(const struct machine *m);
/* What CONTENT ought to be. */
uint64_t machine_content(const struct machine *m);

#endif
