/* The rows of the registry's state: what apply changes, what a snapshot holds, what a restore
 * reads.
 *
 * One vocabulary for the three, so that "load the tables, replay the tail", "install a snapshot"
 * and "carry the effects of a commit" are the same code. A snapshot is its mutable records first
 * (meta, leases, alarms), then every retained revision in (main, sub) order. */
#ifndef WARREN_REGISTRY_STATE_RECORD_H
#define WARREN_REGISTRY_STATE_RECORD_H

#include "base/err.h"
#include "registry/kv.h"

enum state_record_type {
    STATE_META = 1,      /* the newest and the compacted revision */
    STATE_LEASE,         /* a lease was granted */
    STATE_LEASE_GONE,    /* revoked or expired */
    STATE_ALARM,         /* raised */
    STATE_ALARM_GONE,    /* disarmed */
    STATE_REVISION,      /* one change of one key */
    STATE_REVISION_GONE, /* compaction dropped that change */
};

struct state_record {
    enum state_record_type type;
    union {
        struct {
            int64_t revision;
            int64_t compacted; /* 0: never compacted (HashKV says -1) */
        } meta;
        struct {
            int64_t id;
            int64_t ttl_s;
        } lease; /* STATE_LEASE_GONE: the id alone */
        struct alarm alarm;
        struct {
            int64_t main;
            int64_t sub;
            bool is_delete; /* then kv holds the key and mod_revision alone */
            struct kv kv;
            /* Only in what apply emits: the key's value just before, for watches. */
            bool has_prev;
            struct kv prev;
        } revision; /* STATE_REVISION_GONE: main and sub alone */
    };
};

/* Where records go. Everything a record points to is borrowed for the call. Apply's records cannot
 * be refused: a sink that has no room any more remembers that it failed. */
struct state_sink {
    void (*record)(void *context, const struct state_record *record);
    void *context;
};

#endif
