/* The committed log: commands to the state, its records to the journal, the watches and the
 * lessor, and the answer to whoever proposed. */
#include "registry/store/internal.h"

#include <assert.h>
#include <stdlib.h>

/* --- records ---------------------------------------------------------------------------------- */

/* The names that JOURNAL_META's rows of ours have. */
enum meta_row {
    META_REVISION = 1,
    META_COMPACTED = 2,
};

static void stage(struct store *s, const struct journal_effect *effects, size_t count,
                  bool in_apply)
{
    if (s->stage_error != OK)
        return;
    s->stage_error =
        in_apply ? node_stage(s->node, effects, count) : node_stage_more(s->node, effects, count);
}

static void stage_row(struct store *s, enum journal_table table, int64_t a, int64_t b,
                      int64_t value, bool is_removal, bool in_apply)
{
    struct journal_effect effect = {.table = table, .is_removal = is_removal};
    effect.row.a = a;
    effect.row.b = b;
    effect.row.value = value;
    stage(s, &effect, 1, in_apply);
}

static void stage_revision(struct store *s, const struct state_record *r, bool in_apply)
{
    struct journal_effect effect = {
        .table = JOURNAL_REVISIONS,
        .is_removal = r->type == STATE_REVISION_GONE,
    };
    effect.revision = (struct journal_revision){
        .main = r->revision.main,
        .sub = r->revision.sub,
    };
    if (!effect.is_removal) {
        const struct kv *kv = &r->revision.kv;
        effect.revision.is_delete = r->revision.is_delete;
        effect.revision.key = kv->key;
        effect.revision.value = kv->value;
        effect.revision.create_revision = kv->create_revision;
        effect.revision.version = kv->version;
        effect.revision.lease = kv->lease;
    }
    stage(s, &effect, 1, in_apply);
}

void store_stage_record(struct store *s, const struct state_record *r, bool in_apply)
{
    switch (r->type) {
    case STATE_META:
        stage_row(s, JOURNAL_META, META_REVISION, 0, r->meta.revision, false, in_apply);
        stage_row(s, JOURNAL_META, META_COMPACTED, 0, r->meta.compacted, false, in_apply);
        break;
    case STATE_LEASE:
    case STATE_LEASE_GONE:
        stage_row(s, JOURNAL_LEASES, r->lease.id, 0, r->lease.ttl_s, r->type == STATE_LEASE_GONE,
                  in_apply);
        break;
    case STATE_ALARM:
    case STATE_ALARM_GONE:
        stage_row(s, JOURNAL_ALARMS, (int64_t)r->alarm.member, (int64_t)r->alarm.type, 0,
                  r->type == STATE_ALARM_GONE, in_apply);
        break;
    case STATE_REVISION:
    case STATE_REVISION_GONE:
        stage_revision(s, r, in_apply);
        break;
    }
}

static void on_record(void *context, const struct state_record *r)
{
    struct store *s = context;
    store_stage_record(s, r, true);
    if (r->type == STATE_LEASE)
        store_lease_granted(s, r->lease.id, r->lease.ttl_s);
    else if (r->type == STATE_LEASE_GONE)
        store_lease_gone(s, r->lease.id);
    else if (r->type == STATE_REVISION)
        watch_hub_record(s->hub, r);
}

/* --- the start: rows of the tables to the state ----------------------------------------------- */

static enum err record_of_row(struct state_record *out, const struct journal_effect *row,
                              int64_t meta[2])
{
    *out = (struct state_record){0};
    switch (row->table) {
    case JOURNAL_META:
        if (row->row.a != META_REVISION && row->row.a != META_COMPACTED)
            return ERR_MALFORMED;
        meta[row->row.a - META_REVISION] = row->row.value;
        return ERR_NOT_FOUND; /* not yet a record: both rows make one */
    case JOURNAL_LEASES:
        out->type = STATE_LEASE;
        out->lease.id = row->row.a;
        out->lease.ttl_s = row->row.value;
        return OK;
    case JOURNAL_ALARMS:
        if (row->row.b != ALARM_NOSPACE && row->row.b != ALARM_CORRUPT)
            return ERR_MALFORMED;
        out->type = STATE_ALARM;
        out->alarm.member = (uint64_t)row->row.a;
        out->alarm.type = (enum alarm_type)row->row.b;
        return OK;
    case JOURNAL_REVISIONS:
        out->type = STATE_REVISION;
        out->revision.main = row->revision.main;
        out->revision.sub = row->revision.sub;
        out->revision.is_delete = row->revision.is_delete;
        out->revision.kv = (struct kv){
            .key = row->revision.key,
            .value = row->revision.value,
            .create_revision = row->revision.create_revision,
            .mod_revision = row->revision.main,
            .version = row->revision.version,
            .lease = row->revision.lease,
        };
        return OK;
    }
    return ERR_MALFORMED;
}

/* The meta rows come before every other. */
static enum err restore_meta(struct store *s)
{
    if (s->loading_meta[0] == 0)
        return OK;
    struct state_record r = {.type = STATE_META};
    r.meta.revision = s->loading_meta[0];
    r.meta.compacted = s->loading_meta[1];
    s->loading_meta[0] = 0;
    return state_restore_record(s->state, &r);
}

static enum err load(void *context, const struct journal_effect *row)
{
    struct store *s = context;
    struct state_record r;
    enum err e = record_of_row(&r, row, s->loading_meta);
    if (e == ERR_NOT_FOUND)
        return OK;
    if (e == OK)
        e = restore_meta(s);
    if (e == OK)
        e = state_restore_record(s->state, &r);
    if (e == OK && r.type == STATE_LEASE)
        store_lease_granted(s, r.lease.id, r.lease.ttl_s);
    return e;
}

static enum err loaded(void *context)
{
    struct store *s = context;
    enum err e = restore_meta(s);
    return e == OK ? state_restore_finish(s->state) : e;
}

/* --- applying --------------------------------------------------------------------------------- */

static void fill_response(struct store_response *out, enum store_request_type type,
                          const struct state_result *result)
{
    out->verdict = result->verdict;
    out->revision = result->revision;
    if (result->verdict != VERDICT_OK)
        return;
    switch (type) {
    case STORE_PUT:
        out->put = result->put;
        break;
    case STORE_DELETE:
        out->del = result->del;
        break;
    case STORE_TXN:
        out->txn = result->txn;
        break;
    case STORE_LEASE_GRANT:
        out->lease.id = result->lease.id;
        out->lease.ttl_s = result->lease.ttl_s;
        break;
    case STORE_ALARM:
        out->alarms.alarms = result->alarm.alarms;
        out->alarms.count = result->alarm.count;
        break;
    case STORE_RANGE:
    case STORE_COMPACT:
    case STORE_LEASE_REVOKE:
    case STORE_LEASE_KEEPALIVE:
    case STORE_LEASE_TIME_TO_LIVE:
    case STORE_LEASE_LIST:
    case STORE_HASH:
    case STORE_DEFRAG:
        break;
    }
}

/* Of a command that was applied: nothing that a client would take for a refusal and try again. */
static enum verdict verdict_of_source(enum err e)
{
    return e == ERR_NO_MEMORY || e == ERR_LIMIT ? VERDICT_ANSWER_TOO_LARGE : VERDICT_UNREADABLE;
}

/* Answers the proposer, unless it has to wait for the purge. */
static void answer_pending(struct store *s, struct pending *p, const struct state_result *result,
                           enum err source_error)
{
    if (p->is_internal) {
        free(p);
        return;
    }
    struct store_response response = {.verdict = p->refusal};
    if (p->refusal == VERDICT_OK)
        fill_response(&response, p->type, result);
    if (source_error != OK) /* the change is made; what it replaced cannot be told */
        response.verdict = verdict_of_source(source_error);
    /* A compaction that changed nothing has nothing to wait for. */
    if (p->is_physical && response.verdict == VERDICT_OK && s->purge.is_on) {
        p->revision = response.revision;
        p->next = s->compactions;
        s->compactions = p;
        return;
    }
    store_answer(s, p->done, p->context, &response);
    free(p);
}

static enum err apply(void *context, uint64_t index UNUSED, uint64_t term, struct bytes command,
                      void *proposal)
{
    struct store *s = context;
    struct pending *p = proposal;
    assert(!s->is_applying);
    s->is_applying = true;
    s->term = term;
    arena_reset(&s->apply_arena);
    struct state_sink sink = {.record = on_record, .context = s};
    struct state_result result = {0};
    enum err source_error = OK;
    bool is_answered = p != NULL && !p->is_internal;
    int64_t compacted = state_compacted(s->state);
    enum err e =
        state_apply(s->state, command, is_answered ? &s->source : NULL, &s->apply_arena, &sink,
                    is_answered ? &result : NULL, is_answered ? &source_error : NULL);
    if (e == OK)
        e = s->stage_error;
    s->is_applying = false;
    if (e != OK)
        return e;
    watch_hub_commit(s->hub);
    if (state_compacted(s->state) != compacted)
        store_compacted(s);
    if (p != NULL)
        answer_pending(s, p, &result, source_error);
    return OK;
}

static enum verdict verdict_of_drop(enum err why)
{
    if (why == ERR_CLOSED)
        return VERDICT_FATE_UNKNOWN;
    if (why == ERR_IO)
        return VERDICT_DISK_FAILED;
    if (why == ERR_NO_SPACE)
        return VERDICT_NO_SPACE;
    return why == ERR_REFUSED ? VERDICT_NO_LEADER : VERDICT_TOO_MANY_REQUESTS;
}

static void dropped(void *context, void *proposal, enum err why)
{
    struct store *s = context;
    struct pending *p = proposal;
    if (p->type == STORE_LEASE_REVOKE)
        store_lease_retry(s, p->lease);
    if (!p->is_internal) {
        store_answer_verdict(s, p->done, p->context, verdict_of_drop(why));
    }
    free(p);
}

/* A hook may add or remove hooks; one that is added runs from the next time on. */
static void settled(void *context)
{
    struct store *s = context;
    for (size_t i = s->hook_count; i-- > 0;)
        if (i < s->hook_count)
            s->hooks[i].fn(s->hooks[i].context);
    store_note_health(s); /* an alarm may have come or gone */
    store_lease_arm(s);
    store_background(s);
    store_space_measure(s);
}

static void on_role(void *context, bool is_leader, uint64_t leader UNUSED, uint64_t term)
{
    struct store *s = context;
    s->term = term;
    if (is_leader != s->is_leading)
        store_lease_lead(s, is_leader);
}

struct node_machine store_machine(struct store *s)
{
    return (struct node_machine){
        .load = load,
        .loaded = loaded,
        .apply = apply,
        .dropped = dropped,
        .settled = settled,
        .on_role = on_role,
        .context = s,
    };
}

/* --- proposing -------------------------------------------------------------------------------- */

enum verdict store_propose(struct store *s, const struct state_command *command,
                           struct pending *tag)
{
    strbuf_clear(&s->command);
    state_command_encode(&s->command, command);
    if (s->command.failed)
        return VERDICT_TOO_MANY_REQUESTS;
    if (s->command.size > STORE_MAX_PROPOSAL_SIZE)
        return VERDICT_REQUEST_TOO_LARGE;
    enum err e = node_propose(s->node, bytes_of(s->command.data, s->command.size), tag);
    if (e == OK)
        return VERDICT_OK;
    return e == ERR_IO ? VERDICT_HALTED : verdict_of_drop(e);
}
