/* Several members in one process, each a node over a real journal in a folder of its own, joined by
 * a link that loses, delays, repeats and reorders messages, and can be cut one way.
 *
 * Each member's machine keeps the number of commands and a digest of them; whatever runs, it is
 * checked with each apply that an index holds the same command everywhere, that no command is at
 * two indexes, that a proposal refused for certain is at none, and that a read that was allowed
 * sees all that was acknowledged before it was asked. */
#ifndef WARREN_TESTS_CONSENSUS_CLUSTER_H
#define WARREN_TESTS_CONSENSUS_CLUSTER_H

#include "consensus/node.h"

#include <uv.h>

enum {
    CLUSTER_MAX = 6,
    CLUSTER_MAX_COMMANDS = 20000,
    CLUSTER_MAX_ENTRIES = 40000,
    CLUSTER_HEARTBEAT_MS = 20,
    CLUSTER_ELECTION_MS = 200,
};

enum fate {
    FATE_NONE,
    FATE_WAITING,
    FATE_APPLIED,
    FATE_REFUSED, /* certainly not */
    FATE_UNKNOWN,
};

struct cluster;

struct member {
    struct cluster *cluster;
    uint64_t id;
    char dir[64];
    const char *vfs;
    struct journal *journal;
    struct node *node;
    bool is_leader;
    int64_t count; /* the machine: commands applied, and their digest */
    int64_t digest;
    size_t changes;
    enum change_verdict last_verdict;
};

struct command {
    enum fate fate;
    enum err why;
    uint64_t index; /* where it was applied; 0: nowhere */
};

struct packet;

struct cluster {
    uv_loop_t loop;
    uv_timer_t clock;
    struct member members[CLUSTER_MAX];
    size_t count;
    struct packet *packets;
    bool cuts[CLUSTER_MAX][CLUSTER_MAX]; /* [from][to] */
    unsigned loss, repeat;               /* of 100 messages */
    unsigned delay_ms;                   /* at most */
    uint64_t random;

    struct command commands[CLUSTER_MAX_COMMANDS]; /* by id; 0 is none */
    int64_t command_count;
    int64_t committed[CLUSTER_MAX_ENTRIES]; /* the command at each index; -1: a change */
    int64_t acknowledged;
    size_t reads_allowed, reads_refused, reads_waiting;
    enum err change_why; /* of the last change that was dropped */
    size_t changes_dropped;
};

/* COUNT members, of which the first VOTERS begin the cluster; none runs yet. */
void cluster_init(struct cluster *c, size_t count, size_t voters, uint64_t seed);
/* Stops all, and removes the folders. */
void cluster_fini(struct cluster *c);
void cluster_start(struct cluster *c, size_t member);
void cluster_start_all(struct cluster *c);
/* Without handing over or telling anybody. */
void cluster_stop(struct cluster *c, size_t member);
uint64_t cluster_random(struct cluster *c);

/* Cuts the way from A to B. */
void cluster_cut(struct cluster *c, size_t a, size_t b);
/* Both ways between MEMBER and all others. */
void cluster_isolate(struct cluster *c, size_t member);
void cluster_heal(struct cluster *c);

void cluster_run_ms(struct cluster *c, uint64_t ms);
/* Fails the test after half a minute. */
void cluster_run_until(struct cluster *c, bool (*is_so)(struct cluster *c));
/* The leader of the highest term that runs, or CLUSTER_MAX. */
size_t cluster_leader(struct cluster *c);
/* Runs until there is one that all others that run and are not cut off follow. */
size_t cluster_elect(struct cluster *c);

/* Proposes a new command; its id, or 0 if it was refused at once. */
int64_t cluster_propose(struct cluster *c, size_t member);
/* Asks for a read, and checks what it sees. */
void cluster_read(struct cluster *c, size_t member);
/* Heals, and runs until all that run, and belong to the cluster, have the same state and a new
 * command is in it. */
void cluster_converge(struct cluster *c);

#endif
