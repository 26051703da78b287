/* A state with a journal of its own, and short ways to say commands. */
#ifndef WARREN_TESTS_REGISTRY_STATE_FIXTURE_H
#define WARREN_TESTS_REGISTRY_STATE_FIXTURE_H

#include "registry/state/watch.h"
#include "tests/unit/registry/state/history.h"

struct fixture {
    struct state *state;
    struct history history;
    struct arena arena;
    struct watch_hub *hub;
    struct state_result result; /* of the last command */
    enum err source_error;
};

#define KEY(text) bytes_of(text, sizeof(text) - 1)

void fixture_init(struct fixture *f);
void fixture_fini(struct fixture *f);
/* By way of bytes. The result is in F and lives until the next command. */
enum verdict apply(struct fixture *f, const struct state_command *command);
enum verdict put(struct fixture *f, const char *key, const char *value);
enum verdict put_leased(struct fixture *f, const char *key, int64_t lease);
enum verdict put_request(struct fixture *f, struct kv_put_request request);
/* END NULL: the one key. */
enum verdict del(struct fixture *f, const char *key, const char *end);
enum verdict txn(struct fixture *f, struct kv_txn_request request);
enum verdict compact(struct fixture *f, int64_t revision);
enum verdict grant(struct fixture *f, int64_t id);
enum verdict revoke(struct fixture *f, int64_t id);
enum verdict alarm_change(struct fixture *f, enum alarm_action action, enum alarm_type type);
void purge(struct fixture *f);

struct kv_op op_put(const char *key, const char *value);
struct kv_op op_get(const char *key);
struct kv_op op_del(const char *key, const char *end);
struct kv_op op_txn(struct kv_txn_request request);

enum verdict range(struct fixture *f, struct kv_range_request request,
                   struct kv_range_response *out);
/* The keys of a range in the order answered, joined by commas. */
const char *keys(struct fixture *f, struct kv_range_request request);
/* The value of KEY at REVISION (0: now); NULL: not there. */
const char *value_at(struct fixture *f, const char *key, int64_t revision);

#endif
