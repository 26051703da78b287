/* Leases: deadlines on the loop's monotonic clock, keepalives, and expiry as a proposed revoke. */
#include "registry/store/internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now_ms(const struct store *s)
{
    return uv_now(s->loop);
}

/* --- the lessor follows the log --------------------------------------------------------------- */

void store_lease_granted(struct store *s, int64_t id, int64_t ttl_s)
{
    uv_update_time(s->loop);
    enum err e = lessor_add(s->lessor, id, ttl_s, now_ms(s));
    if (e != OK && s->stage_error == OK)
        s->stage_error = e; /* a lease that nobody watches would never end: stop instead */
}

void store_lease_gone(struct store *s, int64_t id)
{
    lessor_remove(s->lessor, id);
    /* Now and not behind the batch: by then the id may be another lease's. */
    for (struct pending **at = &s->keepalives; *at != NULL;) {
        struct pending *p = *at;
        if (p->lease != id) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        p->next = s->gone_keepalives;
        s->gone_keepalives = p;
    }
}

/* Keepalives that waited for the end of their lease learn that it is gone. After the apply, when
 * callbacks may submit again. */
static void answer_gone(struct store *s)
{
    while (s->gone_keepalives != NULL) {
        struct pending *p = s->gone_keepalives;
        s->gone_keepalives = p->next;
        struct store_response response = {0};
        response.lease.id = p->lease;
        store_answer(s, p->done, p->context, &response);
        free(p);
    }
}

/* --- expiry ----------------------------------------------------------------------------------- */

void store_lease_retry(struct store *s, int64_t id)
{
    lessor_retry(s->lessor, id);
}

static enum verdict propose_expiry(struct store *s, int64_t id)
{
    struct pending *p = store_pending_create(s, STORE_LEASE_REVOKE, NULL, NULL);
    if (p == NULL)
        return VERDICT_TOO_MANY_REQUESTS;
    p->is_internal = true;
    p->lease = id;
    struct state_command command = {.type = STATE_LEASE_REVOKE};
    command.lease.id = id;
    enum verdict v = store_propose(s, &command, p);
    if (v != VERDICT_OK)
        free(p);
    return v;
}

static void on_lease_timer(uv_timer_t *timer)
{
    struct store *s = timer->data;
    int64_t ids[STORE_EXPIRY_BATCH];
    size_t count = lessor_expired(s->lessor, now_ms(s), ids, ARRAY_COUNT(ids));
    bool failed = false;
    for (size_t i = 0; i < count; i++) {
        if (propose_expiry(s, ids[i]) != VERDICT_OK) {
            lessor_retry(s->lessor, ids[i]);
            failed = true;
        }
    }
    if (failed) /* a disk that failed or a full queue: not at once again */
        uv_timer_start(&s->lease_timer, on_lease_timer, STORE_RETRY_MS, 0);
    else
        store_lease_arm(s);
}

void store_lease_arm(struct store *s)
{
    if (s->is_closing)
        return;
    answer_gone(s);
    uint64_t wait = s->is_leading ? lessor_next_ms(s->lessor, now_ms(s)) : UINT64_MAX;
    if (wait == UINT64_MAX)
        uv_timer_stop(&s->lease_timer);
    else
        uv_timer_start(&s->lease_timer, on_lease_timer, wait, 0);
}

void store_lease_lead(struct store *s, bool is_leading)
{
    s->is_leading = is_leading;
    uv_update_time(s->loop);
    if (is_leading)
        lessor_promote(s->lessor, now_ms(s), s->election_timeout_ms);
    store_lease_arm(s);
}

enum err store_lease_init(struct store *s)
{
    s->min_lease_ttl_s = (s->election_timeout_ms * 3 / 2 + 999) / 1000;
    return lessor_create(&s->lessor);
}

/* --- requests --------------------------------------------------------------------------------- */

/* A positive number that no lease has. */
static int64_t choose_id(const struct store *s)
{
    for (;;) {
        int64_t id;
        int64_t ttl_s;
        randombytes_buf(&id, sizeof(id));
        id &= INT64_MAX;
        if (id != 0 && !state_lease(s->state, id, &ttl_s))
            return id;
    }
}

static void propose(struct store *s, const struct store_request *request,
                    const struct state_command *command, store_done_fn *done, void *context)
{
    bool takes_space = store_takes_space(command);
    enum verdict v = store_write_verdict(s, takes_space);
    struct pending *p = NULL;
    if (v == VERDICT_OK && takes_space && !store_space_take(s, command)) {
        store_space_refuse(s, done, context);
        return;
    }
    if (v == VERDICT_OK) {
        p = store_pending_create(s, request->type, done, context);
        if (p != NULL && command->type == STATE_LEASE_REVOKE)
            p->lease = command->lease.id;
        v = p == NULL ? VERDICT_TOO_MANY_REQUESTS : store_propose(s, command, p);
    }
    if (v != VERDICT_OK) {
        free(p);
        store_answer_verdict(s, done, context, v);
    } else if (command->type == STATE_LEASE_REVOKE) {
        /* Its end, should that come meanwhile, proposes no second one, which could meet a lease
         * that was granted under the same id behind the first. */
        lessor_note_revocation(s->lessor, command->lease.id);
    }
}

static void grant(struct store *s, const struct store_request *request, store_done_fn *done,
                  void *context)
{
    int64_t ttl_s = request->grant.ttl_s;
    if (ttl_s > LEASE_MAX_TTL_S) {
        store_answer_verdict(s, done, context, VERDICT_LEASE_TTL_TOO_LARGE);
        return;
    }
    if (ttl_s < (int64_t)s->min_lease_ttl_s)
        ttl_s = (int64_t)s->min_lease_ttl_s;
    struct state_command command = {.type = STATE_LEASE_GRANT};
    command.lease.id = request->grant.id != 0 ? request->grant.id : choose_id(s);
    command.lease.ttl_s = ttl_s;
    propose(s, request, &command, done, context);
}

static void keepalive(struct store *s, int64_t id, store_done_fn *done, void *context)
{
    struct store_response response = {.revision = state_revision(s->state)};
    response.lease.id = id;
    enum lessor_renewal renewal = lessor_renew(s->lessor, id, now_ms(s), &response.lease.ttl_s);
    if (renewal == LESSOR_EXPIRING) {
        struct pending *p = store_pending_create(s, STORE_LEASE_KEEPALIVE, done, context);
        if (p == NULL) {
            store_answer_verdict(s, done, context, VERDICT_TOO_MANY_REQUESTS);
            return;
        }
        p->lease = id;
        p->next = s->keepalives;
        s->keepalives = p;
        return;
    }
    if (renewal == LESSOR_UNKNOWN)
        response.lease.ttl_s = 0;
    store_answer(s, done, context, &response);
}

struct key_list {
    struct arena *arena;
    struct bytes *keys;
    size_t count;
    size_t capacity;
    bool failed;
};

static void add_key(void *context, struct bytes key)
{
    struct key_list *l = context;
    if (l->failed)
        return;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        struct bytes *grown = arena_array(l->arena, capacity, sizeof(*grown));
        if (grown == NULL) {
            l->failed = true;
            return;
        }
        if (l->count > 0)
            memcpy(grown, l->keys, l->count * sizeof(*grown));
        l->keys = grown;
        l->capacity = capacity;
    }
    l->keys[l->count++] = key;
}

static void time_to_live(struct store *s, int64_t id, bool keys, store_done_fn *done, void *context)
{
    struct store_response response = {0};
    struct lease_status *out = &response.time_to_live;
    struct arena arena;
    arena_init(&arena, STORE_ARENA_LIMIT);
    out->id = id;
    uint64_t remaining_ms;
    if (!state_lease(s->state, id, &out->granted_ttl_s)) {
        out->ttl_s = -1;
    } else {
        out->ttl_s = 0;
        if (lessor_remaining(s->lessor, id, now_ms(s), &remaining_ms))
            out->ttl_s = (int64_t)(remaining_ms / 1000);
        struct key_list list = {.arena = &arena};
        if (keys)
            state_each_lease_key(s->state, id, add_key, &list);
        out->keys = list.keys;
        out->key_count = list.count;
        if (list.failed)
            response.verdict = VERDICT_TOO_MANY_REQUESTS;
    }
    store_answer(s, done, context, &response);
    arena_fini(&arena);
}

static void list_leases(struct store *s, store_done_fn *done, void *context)
{
    struct store_response response = {0};
    size_t count = lessor_list(s->lessor, NULL, 0);
    int64_t *ids = malloc((count + 1) * sizeof(*ids));
    if (ids == NULL) {
        response.verdict = VERDICT_TOO_MANY_REQUESTS;
    } else {
        response.leases.count = lessor_list(s->lessor, ids, count);
        response.leases.ids = ids;
    }
    store_answer(s, done, context, &response);
    free(ids);
}

/* Deadlines are the leader's. Handing these on to it is not there yet. */
static bool is_for_leader(enum store_request_type type)
{
    return type == STORE_LEASE_KEEPALIVE || type == STORE_LEASE_TIME_TO_LIVE;
}

void store_lease_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                        void *context)
{
    if (!s->is_leading && is_for_leader(request->type))
        store_answer_verdict(s, done, context, VERDICT_NO_LEADER);
    else if (request->type == STORE_LEASE_GRANT) {
        grant(s, request, done, context);
    } else if (request->type == STORE_LEASE_REVOKE) {
        struct state_command command = {.type = STATE_LEASE_REVOKE};
        command.lease.id = request->lease.id;
        propose(s, request, &command, done, context);
    } else if (request->type == STORE_LEASE_KEEPALIVE) {
        keepalive(s, request->lease.id, done, context);
    } else if (request->type == STORE_LEASE_TIME_TO_LIVE) {
        time_to_live(s, request->lease.id, request->lease.keys, done, context);
    } else {
        list_leases(s, done, context);
    }
}
