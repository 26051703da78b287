/* One committed command: decoded, checked, executed, answered. */
#include "registry/state/internal.h"

#include <assert.h>

enum err change_put_request(struct change *c, const struct kv_put_request *r,
                            struct kv_put_response *out)
{
    struct kv old;
    bool exists = state_get(c->s, r->key, &old);
    struct bytes value = r->value;
    int64_t lease = r->lease;
    /* A transaction may delete the key between its check and here (etcd's duplicate check misses
     * deletions up to the last key): there is nothing to keep then. */
    if (r->ignore_value)
        value = exists ? old.value : BYTES_EMPTY;
    if (r->ignore_lease)
        lease = exists ? old.lease : 0;
    *out = (struct kv_put_response){.has_prev_kv = r->prev_kv && exists};
    if (out->has_prev_kv)
        out->prev_kv = old;
    return change_put(c, r->key, value, lease);
}

static enum verdict check_put(const struct state *s, const struct kv_put_request *r)
{
    struct kv kv;
    if (r->lease != 0 && lease_find(s, r->lease) == NULL)
        return VERDICT_LEASE_NOT_FOUND;
    if ((r->ignore_value || r->ignore_lease) && !state_get(s, r->key, &kv))
        return VERDICT_KEY_NOT_FOUND;
    return VERDICT_OK;
}

/* What a raised alarm refuses. */
static enum verdict check_alarms(const struct state *s, const struct state_command *command)
{
    bool is_change = command->type != STATE_ALARM_CHANGE &&
                     (command->type != STATE_TXN || !txn_is_read_only(&command->txn));
    if (is_change && alarm_is_raised(s, ALARM_CORRUPT))
        return VERDICT_CORRUPT;
    bool takes_space = command->type == STATE_PUT || command->type == STATE_LEASE_GRANT ||
                       (command->type == STATE_TXN && txn_has_put(&command->txn));
    if (takes_space && alarm_is_raised(s, ALARM_NOSPACE))
        return VERDICT_NO_SPACE;
    return VERDICT_OK;
}

static enum verdict apply_compact(struct change *c, int64_t revision)
{
    struct state *s = c->s;
    if (revision == 0 && s->compacted == 0)
        return VERDICT_OK; /* as etcd, which has compacted nothing up to -1 so far */
    if (revision <= s->compacted)
        return VERDICT_COMPACTED;
    if (revision > s->revision)
        return VERDICT_FUTURE_REVISION;
    s->compacted = revision;
    c->emitted = true;
    return VERDICT_OK;
}

static enum err apply_grant(struct change *c, int64_t id, int64_t ttl_s,
                            struct state_result *result)
{
    if (lease_find(c->s, id) != NULL) {
        result->verdict = VERDICT_LEASE_EXISTS;
        return OK;
    }
    if (ttl_s < 1)
        ttl_s = LEASE_MIN_TTL_S; /* the proposer raises it to the minimum it knows */
    enum err error = lease_insert(c->s, id, ttl_s);
    if (error != OK)
        return error;
    emit(c, &(struct state_record){.type = STATE_LEASE, .lease = {.id = id, .ttl_s = ttl_s}});
    c->emitted = true;
    result->lease.id = id;
    result->lease.ttl_s = ttl_s;
    return OK;
}

static enum err apply_revoke(struct change *c, int64_t id, struct state_result *result)
{
    struct lease *lease = lease_find(c->s, id);
    if (lease == NULL) {
        result->verdict = VERDICT_LEASE_NOT_FOUND;
        return OK;
    }
    enum err error = change_delete_keys_of(c, lease);
    if (error != OK)
        return error;
    lease_drop(c->s, lease);
    emit(c, &(struct state_record){.type = STATE_LEASE_GONE, .lease = {.id = id}});
    c->emitted = true;
    result->lease.id = id;
    return OK;
}

/* The alarms of one type, or all. */
static void answer_alarms(struct change *c, enum alarm_type type, struct state_result *result)
{
    const struct state *s = c->s;
    if (!c->answers || s->alarm_count == 0)
        return;
    struct alarm *alarms = arena_array(c->arena, s->alarm_count, sizeof(*alarms));
    if (alarms == NULL) {
        c->answer_error = ERR_NO_MEMORY;
        return;
    }
    for (size_t i = 0; i < s->alarm_count; i++) {
        if (type == ALARM_NONE || s->alarms[i].type == type)
            alarms[result->alarm.count++] = s->alarms[i];
    }
    result->alarm.alarms = alarms;
}

static enum err apply_alarm(struct change *c, enum alarm_action action, const struct alarm *alarm,
                            struct state_result *result)
{
    bool is_raised = alarm_find(c->s, *alarm) != NULL;
    struct state_record record = {.alarm = *alarm};
    switch (action) {
    case ALARM_GET:
        answer_alarms(c, alarm->type, result);
        return OK;
    case ALARM_ACTIVATE:
        if (alarm->type != ALARM_NONE && !is_raised) {
            enum err error = alarm_raise(c->s, *alarm);
            if (error != OK)
                return error;
            record.type = STATE_ALARM;
            is_raised = true;
        }
        break;
    case ALARM_DEACTIVATE:
        if (alarm_clear(c->s, *alarm))
            record.type = STATE_ALARM_GONE;
        break;
    }
    if (record.type != 0) {
        emit(c, &record);
        c->emitted = true;
    }
    if (is_raised) { /* now, or until just now */
        result->alarm.alarms = alarm;
        result->alarm.count = 1;
    }
    return OK;
}

static enum err execute(struct change *c, const struct state_command *command,
                        struct state_result *result)
{
    switch (command->type) {
    case STATE_PUT:
        result->verdict = check_put(c->s, &command->put);
        return result->verdict == VERDICT_OK ? change_put_request(c, &command->put, &result->put)
                                             : OK;
    case STATE_DELETE:
        return change_delete_range(c, command->del.key, command->del.range_end,
                                   command->del.prev_kv, &result->del);
    case STATE_TXN:
        return change_txn(c, &command->txn, &result->txn, &result->verdict);
    case STATE_COMPACT:
        result->verdict = apply_compact(c, command->compact.revision);
        return OK;
    case STATE_LEASE_GRANT:
        return apply_grant(c, command->lease.id, command->lease.ttl_s, result);
    case STATE_LEASE_REVOKE:
        return apply_revoke(c, command->lease.id, result);
    case STATE_ALARM_CHANGE:
        return apply_alarm(c, command->alarm.action, &command->alarm.alarm, result);
    }
    return ERR_MALFORMED;
}

static void finish(struct change *c)
{
    struct state *s = c->s;
    if (c->next_sub > 0)
        s->revision++;
    if (c->next_sub == 0 && !c->emitted)
        return;
    emit(c, &(struct state_record){
                .type = STATE_META,
                .meta = {.revision = s->revision, .compacted = s->compacted},
            });
}

enum err state_apply_command(struct state *s, const struct state_command *command,
                             const struct state_source *source, struct arena *arena,
                             const struct state_sink *sink, struct state_result *result,
                             enum err *source_error)
{
    struct change c = {
        .s = s, .source = source, .arena = arena, .sink = sink, .answers = result != NULL};
    struct state_result answer = {.verdict = VERDICT_OK};
    enum err error = check_command(command, KV_TXN_OPS_LIMIT, &answer.verdict);
    if (error != OK)
        return error;
    state_release_retired(s);
    if (answer.verdict == VERDICT_OK)
        answer.verdict = check_alarms(s, command);
    if (answer.verdict == VERDICT_OK) {
        error = execute(&c, command, &answer);
        if (error != OK)
            return error;
        finish(&c);
        if (c.answer_error == ERR_LIMIT && c.next_sub == 0) { /* it read only: it may say so */
            c.answer_error = OK;
            answer.verdict = VERDICT_TXN_TOO_LARGE;
        }
    }
    answer.revision = s->revision;
    if (source_error != NULL)
        *source_error = c.answer_error;
    if (result != NULL) {
        if (c.answer_error == OK)
            *result = answer;
        else
            *result = (struct state_result){.verdict = VERDICT_OK, .revision = answer.revision};
    }
    return OK;
}

enum err state_apply(struct state *s, struct bytes command, const struct state_source *source,
                     struct arena *arena, const struct state_sink *sink,
                     struct state_result *result, enum err *source_error)
{
    /* In the arena, for an answer may borrow from it. */
    struct state_command *decoded = arena_alloc(arena, sizeof(*decoded));
    if (decoded == NULL)
        return ERR_NO_MEMORY;
    enum err error = state_command_decode(decoded, command, arena);
    if (error != OK)
        return error;
    return state_apply_command(s, decoded, source, arena, sink, result, source_error);
}
