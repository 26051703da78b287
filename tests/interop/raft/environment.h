/* Several Raft cores with storages in memory and the messages between them, driven by the commands
 * of etcd-io/raft's transcripts. What happens is written to OUT as that project's test does. */
#ifndef WARREN_TESTS_INTEROP_RAFT_ENVIRONMENT_H
#define WARREN_TESTS_INTEROP_RAFT_ENVIRONMENT_H

#include "base/strbuf.h"
#include "core/raft.h"
#include "tests/support/datadriven.h"
#include "tests/support/raft_memory.h"

enum {
    MAX_NODES = 64
};

struct node {
    struct raft *raft;
    struct raft_config config;
    struct raft_memory storage;
    struct message_list store_work; /* MESSAGE_STORE */
    struct message_list apply_work; /* MESSAGE_APPLY */
};

struct environment {
    struct node *nodes[MAX_NODES]; /* by id - 1 */
    size_t node_count;
    struct message_list network;
    struct strbuf *out;
    bool quiet; /* log-level NONE: only errors are written */
};

/* Runs one command. OUT holds what it says, "ok" if nothing. */
void environment_run(struct environment *e, const struct dd_block *b, struct strbuf *out);
void environment_fini(struct environment *e);

#endif
