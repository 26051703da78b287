#include "tests/unit/consensus/core/cluster.h"

static unsigned no_delay(void *context, unsigned below)
{
    (void)context, (void)below;
    return 0;
}

struct raft_config cluster_config(void)
{
    return (struct raft_config){.election_ticks = 10,
                                .heartbeat_ticks = 1,
                                .max_message_size = UINT64_MAX,
                                .max_inflight = 256,
                                .async_storage = true,
                                .random = no_delay};
}

static struct raft *create(struct cluster *c, uint64_t id)
{
    struct member *m = member(c, id);
    struct raft_config config = c->config;
    struct raft *r;
    config.id = id;
    config.storage = raft_memory_storage(&m->storage);
    config.hard_state = m->storage.hard_state;
    config.configuration = m->configuration;
    config.applied = m->applied;
    assert_int_equal(raft_create(&r, &config), OK);
    return r;
}

void cluster_init(struct cluster *c, size_t count, const struct raft_config *config)
{
    *c = (struct cluster){.config = *config, .count = count};
    for (uint64_t id = 1; id <= count; id++)
        assert_true(id_set_add(&c->initial.voters, id));
    for (uint64_t id = 1; id <= count; id++) {
        raft_memory_init(&member(c, id)->storage);
        member(c, id)->configuration = c->initial;
        member(c, id)->raft = create(c, id);
    }
}

void add_member(struct cluster *c, uint64_t id)
{
    assert_int_equal(id, c->count + 1);
    c->count++;
    raft_memory_init(&member(c, id)->storage);
    member(c, id)->configuration = c->initial;
    member(c, id)->raft = create(c, id);
}

void cluster_fini(struct cluster *c)
{
    for (uint64_t id = 1; id <= c->count; id++) {
        struct member *m = member(c, id);
        crash(c, id);
        raft_memory_fini(&m->storage);
        for (size_t i = 0; i < MAX_APPLIED; i++)
            free(m->values[i]);
        for (size_t i = 0; i < m->read_count; i++)
            free(m->read_context[i]);
    }
    message_list_fini(&c->network);
}

struct member *member(struct cluster *c, uint64_t id)
{
    assert_in_range(id, 1, c->count);
    return &c->members[id - 1];
}

struct raft *raft_of(struct cluster *c, uint64_t id)
{
    assert_non_null(member(c, id)->raft);
    return member(c, id)->raft;
}

struct raft_status status_of(struct cluster *c, uint64_t id)
{
    struct raft_status s;
    raft_status(raft_of(c, id), &s);
    return s;
}

/* --- what a ready asks for -------------------------------------------------------------------- */

static void put_on(struct message_list *list, const struct raft_message *m)
{
    struct raft_message copy;
    assert_int_equal(message_copy(&copy, m), OK);
    assert_int_equal(message_list_take(list, &copy), OK);
}

static char *text_of(const struct payload *p)
{
    struct bytes b = payload_bytes(p);
    char *text = strndup(b.size > 0 ? (const char *)b.data : "", b.size);
    assert_non_null(text);
    return text;
}

void ready(struct cluster *c, uint64_t id)
{
    struct member *m = member(c, id);
    while (raft_has_ready(m->raft)) {
        struct raft_ready r;
        assert_int_equal(raft_ready(m->raft, &r), OK);
        for (size_t i = 0; i < r.message_count; i++) {
            const struct raft_message *out = &r.messages[i];
            put_on(out->type == MESSAGE_STORE   ? &m->to_store
                   : out->type == MESSAGE_APPLY ? &m->to_apply
                                                : &c->network,
                   out);
        }
        for (size_t i = 0; i < r.read_state_count; i++) {
            assert_true(m->read_count < MAX_READS);
            m->read_index[m->read_count] = r.read_states[i].index;
            m->read_context[m->read_count++] = text_of(r.read_states[i].context);
        }
    }
}

static void respond(struct cluster *c, const struct raft_message *work)
{
    for (size_t i = 0; i < work->response_count; i++)
        put_on(&c->network, &work->responses[i]);
}

static void install(struct member *m, const struct snapshot *s)
{
    assert_true(raft_memory_install(&m->storage, s));
    raft_memory_add_history(&m->storage, s);
    m->configuration = s->configuration;
    m->applied = s->index;
}

void store(struct cluster *c, uint64_t id)
{
    struct member *m = member(c, id);
    struct message_list work = m->to_store;
    m->to_store = (struct message_list){0};
    for (size_t i = 0; i < work.count; i++) {
        const struct raft_message *w = &work.items[i];
        if (w->term != 0 || w->vote != 0 || w->commit != 0)
            m->storage.hard_state =
                (struct hard_state){.term = w->term, .vote = w->vote, .commit = w->commit};
        if (w->snapshot != NULL)
            install(m, w->snapshot);
        assert_true(raft_memory_append(&m->storage, entry_list_view(&w->entries)));
        respond(c, w);
    }
    message_list_fini(&work);
}

static void apply_entry(struct member *m, const struct entry *e)
{
    struct snapshot s = {.index = e->index, .term = e->term};
    assert_int_equal(e->index, m->applied + 1);
    assert_true(e->index < MAX_APPLIED);
    if (entry_is_change(e)) {
        struct configuration_change change;
        assert_int_equal(change_decode(&change, e->type, payload_bytes(e->payload)), OK);
        assert_int_equal(raft_apply_change(m->raft, &change, NULL), OK);
        m->configuration = *raft_configuration(m->raft);
    } else if (e->payload != NULL) {
        free(m->values[e->index]);
        m->values[e->index] = text_of(e->payload);
    }
    m->applied = e->index;
    s.configuration = m->configuration;
    raft_memory_add_history(&m->storage, &s);
}

void apply(struct cluster *c, uint64_t id)
{
    struct member *m = member(c, id);
    struct message_list work = m->to_apply;
    m->to_apply = (struct message_list){0};
    for (size_t i = 0; i < work.count; i++) {
        for (size_t j = 0; j < work.items[i].entries.count; j++)
            apply_entry(m, &work.items[i].entries.items[j]);
        respond(c, &work.items[i]);
    }
    message_list_fini(&work);
}

static bool is_own(const struct raft_message *m)
{
    return m->from == m->to || m->from == RAFT_APPEND_THREAD || m->from == RAFT_APPLY_THREAD;
}

static size_t deliver_if(struct cluster *c, uint64_t to, int type, bool own_only)
{
    struct message_list wanted = {0}, rest = {0};
    for (size_t i = 0; i < c->network.count; i++) {
        struct raft_message *m = &c->network.items[i];
        bool is_wanted =
            m->to == to && (type < 0 || (int)m->type == type) && (!own_only || is_own(m));
        assert_int_equal(message_list_take(is_wanted ? &wanted : &rest, m), OK);
    }
    message_list_fini(&c->network);
    c->network = rest;
    for (size_t i = 0; i < wanted.count && member(c, to)->raft != NULL; i++) {
        const struct raft_message *m = &wanted.items[i];
        if (!is_own(m) && c->cut[m->from][to])
            continue;
        enum err error = raft_step(raft_of(c, to), m);
        assert_true(error == OK || error == ERR_REFUSED || error == ERR_NOT_FOUND);
    }
    size_t count = wanted.count;
    message_list_fini(&wanted);
    return count;
}

void persist(struct cluster *c, uint64_t id)
{
    do {
        ready(c, id);
        store(c, id);
        apply(c, id);
    } while (deliver_if(c, id, -1, true) > 0 || raft_has_ready(raft_of(c, id)));
}

size_t deliver(struct cluster *c, uint64_t to)
{
    return deliver_if(c, to, -1, false);
}

size_t deliver_type(struct cluster *c, uint64_t to, enum message_type type)
{
    return deliver_if(c, to, (int)type, false);
}

void lose(struct cluster *c, uint64_t to)
{
    struct message_list rest = {0};
    for (size_t i = 0; i < c->network.count; i++) {
        struct raft_message *m = &c->network.items[i];
        if ((to != 0 && m->to != to) || is_own(m))
            assert_int_equal(message_list_take(&rest, m), OK);
    }
    message_list_fini(&c->network);
    c->network = rest;
}

void settle(struct cluster *c)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (uint64_t id = 1; id <= c->count; id++) {
            struct member *m = member(c, id);
            if (m->raft == NULL)
                continue;
            busy |= raft_has_ready(m->raft) || m->to_store.count > 0 || m->to_apply.count > 0;
            ready(c, id);
            store(c, id);
            apply(c, id);
            busy |= deliver(c, id) > 0;
        }
    }
}

void isolate(struct cluster *c, uint64_t id, bool is_cut)
{
    for (size_t other = 1; other <= MAX_MEMBERS; other++) {
        if (other != id)
            c->cut[id][other] = c->cut[other][id] = is_cut;
    }
}

void crash(struct cluster *c, uint64_t id)
{
    struct member *m = member(c, id);
    raft_destroy(m->raft);
    m->raft = NULL;
    message_list_fini(&m->to_store);
    message_list_fini(&m->to_apply);
    /* Our own answers on their way are gone with it. */
    struct message_list rest = {0};
    for (size_t i = 0; i < c->network.count; i++) {
        if (c->network.items[i].to != id)
            assert_int_equal(message_list_take(&rest, &c->network.items[i]), OK);
    }
    message_list_fini(&c->network);
    c->network = rest;
}

void restart(struct cluster *c, uint64_t id)
{
    assert_null(member(c, id)->raft);
    member(c, id)->raft = create(c, id);
}

/* --- doing things ----------------------------------------------------------------------------- */

void elect(struct cluster *c, uint64_t id)
{
    assert_int_equal(raft_campaign(raft_of(c, id)), OK);
    settle(c);
    assert_int_equal(status_of(c, id).role, RAFT_LEADER);
}

void tick(struct cluster *c, uint64_t id, unsigned times)
{
    for (; times > 0; times--)
        assert_int_equal(raft_tick(raft_of(c, id)), OK);
}

bool propose(struct cluster *c, uint64_t id, const char *text)
{
    struct payload *p = payload_create(bytes_of_str(text));
    assert_non_null(p);
    enum err error = raft_propose(raft_of(c, id), p);
    payload_release(p);
    assert_true(error == OK || error == ERR_REFUSED);
    return error == OK;
}

bool propose_change(struct cluster *c, uint64_t id, const char *text)
{
    struct configuration_change change = {0};
    for (const char *at = text; *at != '\0'; at += strcspn(at, " "), at += *at == ' ') {
        change.items[change.item_count++] =
            (struct change_item){.type = *at == 'v'   ? CHANGE_ADD_VOTER
                                         : *at == 'l' ? CHANGE_ADD_LEARNER
                                                      : CHANGE_REMOVE,
                                 .id = strtoull(at + 1, NULL, 10)};
    }
    enum err error = raft_propose_change(raft_of(c, id), &change);
    assert_true(error == OK || error == ERR_REFUSED);
    return error == OK;
}

uint64_t stored_term(struct cluster *c, uint64_t id, uint64_t index)
{
    const struct raft_memory *m = &member(c, id)->storage;
    if (index <= m->before || index > m->before + m->entries.count)
        return 0;
    return m->entries.items[index - m->before - 1].term;
}

const struct raft_message *in_flight(const struct cluster *c, uint64_t to, enum message_type type)
{
    for (size_t i = 0; i < c->network.count; i++) {
        if (c->network.items[i].to == to && c->network.items[i].type == type)
            return &c->network.items[i];
    }
    return NULL;
}

void assert_same_applied(const struct cluster *c)
{
    for (size_t index = 0; index < MAX_APPLIED; index++) {
        const char *value = NULL;
        for (size_t i = 0; i < c->count; i++) {
            const char *own = c->members[i].values[index];
            if (own != NULL && value != NULL)
                assert_string_equal(own, value);
            value = own != NULL ? own : value;
        }
    }
}

bool has_applied(struct cluster *c, uint64_t id, const char *text)
{
    for (size_t i = 0; i < MAX_APPLIED; i++) {
        const char *value = member(c, id)->values[i];
        if (value != NULL && strcmp(value, text) == 0)
            return true;
    }
    return false;
}
