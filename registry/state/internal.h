/* What the files of the state machine share. */
#ifndef WARREN_REGISTRY_STATE_INTERNAL_H
#define WARREN_REGISTRY_STATE_INTERNAL_H

#include "registry/state/item.h"
#include "registry/state/state.h"

enum {
    LEASE_ENTRY_SIZE = 2 + 8 /* flags, key size, the id as eight bytes that order as it does */
};

struct lease {
    uint8_t entry[LEASE_ENTRY_SIZE]; /* first: a lease is an entry of the tree of leases */
    int64_t id;
    int64_t ttl_s;
    struct tree keys; /* the items of the attached keys */
};

/* How far something that looks at all keys has come between two of its steps: the last key that it
 * looked at. A cursor does not live that long. */
struct walk {
    uint8_t *key;
    size_t size; /* 0: nothing yet; no key is empty */
    size_t capacity;
};

struct state {
    int64_t revision;
    int64_t compacted; /* 0: never */
    struct tree items;
    struct tree leases;
    size_t lease_count;
    struct alarm *alarms; /* by rising member and type */
    size_t alarm_count;
    size_t alarm_capacity;

    /* Items that were replaced but may be borrowed by an answer: freed by the next change. */
    void **retired;
    size_t retired_count;
    size_t retired_capacity;

    /* How far the purge is. */
    int64_t purging; /* the compacted revision of the pass that runs, or ran last */
    bool purge_runs;
    struct walk purge_at;

    /* Of a restore: the place of the last revision record. */
    int64_t restored_main;
    int64_t restored_sub;
    bool restored_leased; /* some record had a lease */
};

/* A command that is being applied. */
struct change {
    struct state *s;
    const struct state_source *source;
    struct arena *arena;
    const struct state_sink *sink;
    int64_t next_sub;      /* 0: nothing changed yet */
    bool emitted;          /* a record that is no revision */
    bool answers;          /* somebody wants the result */
    enum err answer_error; /* the answer failed, the change did not */
};

/* The revision that a reader inside CHANGE sees. */
static inline int64_t change_revision(const struct change *c)
{
    return c->next_sub > 0 ? c->s->revision + 1 : c->s->revision;
}

static inline void emit(struct change *c, const struct state_record *record)
{
    c->sink->record(c->sink->context, record);
}

/* --- keys (state.c) --- */

enum err state_retire(struct state *s, void *entry) MUST_CHECK;
void state_release_retired(struct state *s);
enum err change_put(struct change *c, struct bytes key, struct bytes value, int64_t lease);
/* Deletes the live keys of a range; PREVS (in the arena, NULL: not wanted) gets what was there. */
enum err change_delete_range(struct change *c, struct bytes key, struct bytes range_end,
                             bool want_prevs, struct kv_delete_response *out);
enum err change_delete_keys_of(struct change *c, struct lease *lease);

/* --- walks in steps (walk.c) --- */

void walk_fini(struct walk *w);
/* ERR_NO_MEMORY leaves it where it was. */
enum err walk_note(struct walk *w, struct bytes key);
/* To the first key behind the noted one. */
void walk_resume(const struct walk *w, const struct state *s, struct tree_cursor *c);

/* --- leases (lease.c) --- */

struct lease *lease_find(const struct state *s, int64_t id);
enum err lease_insert(struct state *s, int64_t id, int64_t ttl_s);
void lease_drop(struct state *s, struct lease *lease);
enum err lease_attach(struct state *s, int64_t id, void *entry) MUST_CHECK;
void lease_detach(struct state *s, int64_t id, struct bytes key);

/* --- alarms (alarm.c) --- */

bool alarm_is_raised(const struct state *s, enum alarm_type type);
const struct alarm *alarm_find(const struct state *s, struct alarm alarm);
enum err alarm_raise(struct state *s, struct alarm alarm) MUST_CHECK;
bool alarm_clear(struct state *s, struct alarm alarm);

/* --- requests (check.c, range.c, txn.c) --- */

/* As state_check_command, with ERR_NO_MEMORY. */
enum err check_command(const struct state_command *command, size_t max_txn_ops,
                       enum verdict *verdict) MUST_CHECK;
bool txn_has_put(const struct kv_txn_request *request);
bool txn_is_read_only(const struct kv_txn_request *request);

/* What reads of one range share. */
struct view {
    const struct state *s;
    int64_t revision; /* that is read at */
    bool is_newest;   /* then the tree alone answers */
    const struct state_source *source;
    struct arena *arena;
    struct state_budget *budget; /* NULL: none */
};

/* The key's version at the view's revision; false if it did not exist then. */
bool view_version(const struct view *v, const struct item *item, size_t *index);
enum err view_fetch(const struct view *v, const struct item *item, size_t index, struct kv *out);
bool range_is_filtered(const struct kv_range_request *r);
bool range_passes(const struct kv_range_request *r, const struct kv *kv);
/* Whether the first keys of the range, as many as the limit says, are the answer. As in etcd, a
 * limit cuts before the sort if only the target asks for one, and after it if the order does. */
bool range_is_cut_early(const struct kv_range_request *r);
/* The order of two struct kv that the request in CONTEXT asks for; never 0. */
int range_compare(const void *a, const void *b, void *context);
enum verdict range_check_revision(const struct state *s, int64_t revision, int64_t now);
/* NOW is the newest revision that the reader sees. BUDGET NULL: none; ERR_LIMIT beyond it. */
enum err range_answer(const struct state *s, const struct kv_range_request *request, int64_t now,
                      const struct state_source *source, struct arena *arena,
                      struct state_budget *budget, struct kv_range_response *out,
                      enum verdict *verdict) MUST_CHECK;
size_t range_count_newest(const struct state *s, struct bytes key, struct bytes end);
enum err change_txn(struct change *c, const struct kv_txn_request *request,
                    struct kv_txn_response *out, enum verdict *verdict);
enum err change_put_request(struct change *c, const struct kv_put_request *request,
                            struct kv_put_response *out);

/* Whether the key's version INDEX is history that a compaction at COMPACTED keeps: everything from
 * there on, and what the key was then. */
static inline bool version_is_retained(const struct item *item, size_t index, int64_t compacted)
{
    struct place p = item_version(item, index);
    if (place_main(p) >= compacted)
        return true;
    return !place_deleted(p) && item_versions_until(item, compacted) == index + 1;
}

/* Whether a cursor's KEY is still inside a range that was sought from its begin. */
static inline bool before_end(struct bytes key, struct bytes from, struct bytes end)
{
    if (end.size == 0)
        return bytes_equal(key, from);
    return (end.size == 1 && end.data[0] == 0) || bytes_compare(key, end) < 0;
}

#endif
