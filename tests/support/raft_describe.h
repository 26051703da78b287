/* Raft's messages, entries and states as the text that etcd-io/raft's transcripts show. */
#ifndef WARREN_TESTS_RAFT_DESCRIBE_H
#define WARREN_TESTS_RAFT_DESCRIBE_H

#include "base/strbuf.h"
#include "core/raft.h"

const char *describe_role(enum raft_role role);
void describe_entry(struct strbuf *out, const struct entry *e);
/* A line for each. */
void describe_entries(struct strbuf *out, struct entries entries);
/* One line, more for several entries, a snapshot or responses; no newline at the end. */
void describe_message(struct strbuf *out, const struct raft_message *m);
void describe_ready(struct strbuf *out, const struct raft_ready *r);
/* One line with its newline. */
void describe_progress(struct strbuf *out, const struct progress *p);

#endif
