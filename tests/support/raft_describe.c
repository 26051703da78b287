#include "tests/support/raft_describe.h"

#include <inttypes.h>
#include <string.h>

const char *describe_role(enum raft_role role)
{
    static const char *const texts[] = {"StateFollower", "StateCandidate", "StateLeader",
                                        "StatePreCandidate"};
    return texts[role];
}

static void quote(struct strbuf *out, struct bytes text)
{
    static const char from[] = "\"\\\a\b\f\n\r\t\v", to[] = "\"\\abfnrtv";
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        const char *at = c != '\0' ? strchr(from, c) : NULL;
        if (at != NULL)
            strbuf_add_format(out, "\\%c", to[at - from]);
        else if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            strbuf_add_format(out, "\\x%02x", text.data[i]);
        else
            strbuf_add_char(out, c);
    }
    strbuf_add_char(out, '"');
}

static void describe_change(struct strbuf *out, const struct entry *e)
{
    struct configuration_change c;
    if (change_decode(&c, e->type, payload_bytes(e->payload)) != OK) {
        strbuf_add_str(out, " malformed");
        return;
    }
    for (size_t i = 0; i < c.item_count; i++)
        strbuf_add_format(out, " %c%" PRIu64, "vrul"[c.items[i].type], c.items[i].id);
}

void describe_entry(struct strbuf *out, const struct entry *e)
{
    static const char *const texts[] = {"EntryNormal", "EntryConfChange", "EntryConfChangeV2",
                                        "EntryNormal"};
    strbuf_add_format(out, "%" PRIu64 "/%" PRIu64 " %s", e->term, e->index, texts[e->type]);
    if (entry_is_change(e)) {
        describe_change(out, e);
        return;
    }
    strbuf_add_char(out, ' ');
    quote(out, payload_bytes(e->payload));
}

void describe_entries(struct strbuf *out, struct entries entries)
{
    for (size_t i = 0; i < entries.count; i++) {
        describe_entry(out, &entries.items[i]);
        strbuf_add_char(out, '\n');
    }
}

static void describe_ids(struct strbuf *out, const char *name, const struct id_set *set)
{
    strbuf_add_format(out, "%s:[", name);
    for (size_t i = 0; i < set->count; i++)
        strbuf_add_format(out, "%s%" PRIu64, i > 0 ? " " : "", set->ids[i]);
    strbuf_add_str(out, "] ");
}

static void describe_snapshot(struct strbuf *out, const struct snapshot *s)
{
    strbuf_add_format(out, "Index:%" PRIu64 " Term:%" PRIu64 " ConfState:", s->index, s->term);
    describe_ids(out, "Voters", &s->configuration.voters);
    describe_ids(out, "VotersOutgoing", &s->configuration.outgoing);
    describe_ids(out, "Learners", &s->configuration.learners);
    describe_ids(out, "LearnersNext", &s->configuration.learners_next);
    strbuf_add_format(out, "AutoLeave:%s", s->configuration.auto_leave ? "true" : "false");
}

static void describe_target(struct strbuf *out, uint64_t id)
{
    if (id == RAFT_NONE)
        strbuf_add_str(out, "None");
    else if (id == RAFT_APPEND_THREAD)
        strbuf_add_str(out, "AppendThread");
    else if (id == RAFT_APPLY_THREAD)
        strbuf_add_str(out, "ApplyThread");
    else
        strbuf_add_format(out, "%" PRIx64, id);
}

static void describe_header(struct strbuf *out, const struct raft_message *m)
{
    describe_target(out, m->from);
    strbuf_add_str(out, "->");
    describe_target(out, m->to);
    strbuf_add_format(out, " %s Term:%" PRIu64 " Log:%" PRIu64 "/%" PRIu64,
                      message_type_text(m->type), m->term, m->log_term, m->index);
    if (m->reject)
        strbuf_add_format(out, " Rejected (Hint: %" PRIu64 ")", m->reject_hint);
    if (m->commit != 0)
        strbuf_add_format(out, " Commit:%" PRIu64, m->commit);
    if (m->vote != 0)
        strbuf_add_format(out, " Vote:%" PRIu64, m->vote);
}

static void describe_indented(struct strbuf *out, const struct raft_message *m, int indent)
{
    strbuf_add_format(out, "%*s", indent, "");
    describe_header(out, m);
    if (m->entries.count == 1) {
        strbuf_add_str(out, " Entries:[");
        describe_entry(out, &m->entries.items[0]);
        strbuf_add_char(out, ']');
    } else if (m->entries.count > 1) {
        strbuf_add_str(out, " Entries:[");
        for (size_t i = 0; i < m->entries.count; i++) {
            strbuf_add_format(out, "\n%*s", indent + 2, "");
            describe_entry(out, &m->entries.items[i]);
        }
        strbuf_add_format(out, "\n%*s]", indent, "");
    }
    if (m->snapshot != NULL && m->snapshot->index != 0) {
        strbuf_add_format(out, "\n%*sSnapshot: ", indent + 2, "");
        describe_snapshot(out, m->snapshot);
    }
    if (m->response_count == 0)
        return;
    strbuf_add_str(out, " Responses:[");
    for (size_t i = 0; i < m->response_count; i++) {
        strbuf_add_char(out, '\n');
        describe_indented(out, &m->responses[i], indent + 2);
    }
    strbuf_add_format(out, "\n%*s]", indent, "");
}

void describe_message(struct strbuf *out, const struct raft_message *m)
{
    describe_indented(out, m, 0);
}

/* {index [octets]} for each, in numbers. */
static void describe_read_states(struct strbuf *out, const struct raft_ready *r)
{
    strbuf_add_str(out, "ReadStates [");
    for (size_t i = 0; i < r->read_state_count; i++) {
        struct bytes context = payload_bytes(r->read_states[i].context);
        strbuf_add_format(out, "%s{%" PRIu64 " [", i > 0 ? " " : "", r->read_states[i].index);
        for (size_t j = 0; j < context.size; j++)
            strbuf_add_format(out, "%s%u", j > 0 ? " " : "", context.data[j]);
        strbuf_add_str(out, "]}");
    }
    strbuf_add_str(out, "]\n");
}

static void describe_states(struct strbuf *out, const struct raft_ready *r)
{
    if (r->has_soft_state)
        strbuf_add_format(out, "Lead:%" PRIu64 " State:%s\n", r->leader, describe_role(r->role));
    if (r->has_hard_state) {
        strbuf_add_format(out, "HardState Term:%" PRIu64, r->hard_state.term);
        if (r->hard_state.vote != 0)
            strbuf_add_format(out, " Vote:%" PRIu64, r->hard_state.vote);
        strbuf_add_format(out, " Commit:%" PRIu64 "\n", r->hard_state.commit);
    }
    if (r->read_state_count > 0)
        describe_read_states(out, r);
}

void describe_ready(struct strbuf *out, const struct raft_ready *r)
{
    size_t before = out->size;
    strbuf_add_format(out, "Ready MustSync=%s:\n", r->must_sync ? "true" : "false");
    size_t header = out->size;
    describe_states(out, r);
    if (r->entries.count > 0) {
        strbuf_add_str(out, "Entries:\n");
        describe_entries(out, r->entries);
    }
    if (r->snapshot != NULL) {
        strbuf_add_str(out, "Snapshot ");
        describe_snapshot(out, r->snapshot);
        strbuf_add_char(out, '\n');
    }
    if (r->committed.count > 0) {
        strbuf_add_str(out, "CommittedEntries:\n");
        describe_entries(out, r->committed);
    }
    if (r->message_count > 0)
        strbuf_add_str(out, "Messages:\n");
    for (size_t i = 0; i < r->message_count; i++) {
        describe_message(out, &r->messages[i]);
        strbuf_add_char(out, '\n');
    }
    if (out->size == header) {
        out->size = before;
        strbuf_add_str(out, "<empty Ready>");
    }
}

void describe_progress(struct strbuf *out, const struct progress *p)
{
    static const char *const texts[] = {"StateProbe", "StateReplicate", "StateSnapshot"};
    strbuf_add_format(out, "%" PRIu64 ": %s match=%" PRIu64 " next=%" PRIu64, p->id,
                      texts[p->state], p->match, p->next);
    if (p->is_learner)
        strbuf_add_str(out, " learner");
    if (progress_is_paused(p))
        strbuf_add_str(out, " paused");
    if (p->pending_snapshot > 0)
        strbuf_add_format(out, " pendingSnap=%" PRIu64, p->pending_snapshot);
    if (!p->recent_active)
        strbuf_add_str(out, " inactive");
    if (p->inflights.count > 0) {
        strbuf_add_format(out, " inflight=%zu", p->inflights.count);
        if (inflights_full(&p->inflights))
            strbuf_add_str(out, "[full]");
    }
    strbuf_add_char(out, '\n');
}
