/* The naive twin: etcd's semantics with arrays that are searched from end to end and a history that
 * is never shortened. Obviously right, and slow. */
#ifndef WARREN_TESTS_REGISTRY_STATE_TWIN_H
#define WARREN_TESTS_REGISTRY_STATE_TWIN_H

#include "registry/state/state.h"

enum {
    TWIN_MAX_ROWS = 20000,
    TWIN_MAX_LEASES = 64,
    TWIN_MAX_ALARMS = 16,
};

struct twin_row {
    int64_t main;
    bool is_delete;
    struct kv kv;
};

struct twin {
    struct arena memory; /* everything, until the end */
    struct twin_row *rows;
    size_t row_count;
    int64_t revision;
    int64_t compacted;
    struct {
        int64_t id;
        int64_t ttl_s;
    } leases[TWIN_MAX_LEASES];
    size_t lease_count;
    struct alarm alarms[TWIN_MAX_ALARMS];
    size_t alarm_count;
};

void twin_init(struct twin *t);
void twin_fini(struct twin *t);
void twin_apply(struct twin *t, const struct state_command *command, struct state_result *result);
enum verdict twin_range(struct twin *t, const struct kv_range_request *request,
                        struct kv_range_response *out);
/* The row that says what KEY is at REVISION looking at the first ROW_COUNT rows; NULL if it is not
 * there. */
const struct twin_row *twin_row_at(const struct twin *t, struct bytes key, int64_t revision,
                                   size_t row_count);

#endif
