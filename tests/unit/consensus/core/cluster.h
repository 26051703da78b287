/* Several cores with asynchronous storage in memory, for tests that say what is delivered, what is
 * durable and who crashes.
 *
 * What a ready hands out waits in a member's queues until the test lets it happen: `store` makes
 * everything handed out durable and releases the responses, `apply` applies it, `deliver` steps
 * what the network holds for one member. `settle` does all of it until nothing is left. */
#ifndef WARREN_TESTS_UNIT_CONSENSUS_CORE_CLUSTER_H
#define WARREN_TESTS_UNIT_CONSENSUS_CORE_CLUSTER_H

#include "base/attr.h"
#include "core/raft.h"
#include "tests/support/raft_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MAX_MEMBERS = 8,
    MAX_APPLIED = 256,
    MAX_READS = 64
};

struct member {
    struct raft *raft; /* NULL: crashed */
    struct raft_memory storage;
    struct message_list to_store;
    struct message_list to_apply;
    struct configuration_state configuration; /* of what is applied, durable */
    uint64_t applied;
    char *values[MAX_APPLIED]; /* by index; NULL: none */
    uint64_t read_index[MAX_READS];
    char *read_context[MAX_READS];
    size_t read_count;
};

struct cluster {
    struct raft_config config;          /* of all; the tests change it before cluster_init */
    struct member members[MAX_MEMBERS]; /* by id - 1 */
    size_t count;
    struct configuration_state initial;
    struct message_list network;
    bool cut[MAX_MEMBERS + 1][MAX_MEMBERS + 1]; /* from, to: lost */
};

/* A config with small numbers, PreVote and CheckQuorum off. */
struct raft_config cluster_config(void);
/* COUNT members, all voters, with empty logs. */
void cluster_init(struct cluster *c, size_t count, const struct raft_config *config);
void cluster_fini(struct cluster *c);
struct member *member(struct cluster *c, uint64_t id);
struct raft *raft_of(struct cluster *c, uint64_t id);
struct raft_status status_of(struct cluster *c, uint64_t id);
/* One more member that knows what the cluster began with. */
void add_member(struct cluster *c, uint64_t id);

/* Takes everything that is ready; nothing is durable or delivered by it. */
void ready(struct cluster *c, uint64_t id);
void store(struct cluster *c, uint64_t id);
void apply(struct cluster *c, uint64_t id);
/* Ready and stored, until there is neither. */
void persist(struct cluster *c, uint64_t id);
/* To one member, in order. Returns how many. */
size_t deliver(struct cluster *c, uint64_t to);
size_t deliver_type(struct cluster *c, uint64_t to, enum message_type type);
/* Drops what is on its way to one member; 0: to all. */
void lose(struct cluster *c, uint64_t to);
void settle(struct cluster *c);
/* Cuts, or heals, both directions between ID and all others. */
void isolate(struct cluster *c, uint64_t id, bool is_cut);
/* What was not stored is gone. */
void crash(struct cluster *c, uint64_t id);
void restart(struct cluster *c, uint64_t id);

void elect(struct cluster *c, uint64_t id);
void tick(struct cluster *c, uint64_t id, unsigned times);
/* False if it was refused. */
bool propose(struct cluster *c, uint64_t id, const char *text);
/* "v4 r1 l5": add voter, remove, add learner. */
bool propose_change(struct cluster *c, uint64_t id, const char *text);
/* The term of the entry in a member's durable log; 0: none. */
uint64_t stored_term(struct cluster *c, uint64_t id, uint64_t index);
/* A message of the type on its way to TO; NULL: none. */
const struct raft_message *in_flight(const struct cluster *c, uint64_t to, enum message_type type);
/* That no two members applied different entries at one index. */
void assert_same_applied(const struct cluster *c);
/* Whether a member has applied an entry with this payload. */
bool has_applied(struct cluster *c, uint64_t id, const char *text);

#endif
