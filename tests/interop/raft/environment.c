#include "tests/interop/raft/environment.h"

#include "tests/support/raft_describe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a command answers: DONE, or why it failed, in etcd-io/raft's words, which transcripts hold.
 */
#define DONE ((const char *)NULL)

static const char *error_text(enum err error)
{
    switch ((int)error) {
    case ERR_REFUSED:
        return "raft proposal dropped";
    case ERR_NOT_FOUND:
        return "raft: cannot step as peer not found";
    case ERR_MALFORMED:
        return "raft: cannot step raft local message";
    default:
        return err_text(error);
    }
}

/* --- output ----------------------------------------------------------------------------------- */

static void say(struct environment *e, const char *text)
{
    if (!e->quiet)
        strbuf_add_str(e->out, text);
}

static void say_headline(struct environment *e, uint64_t id, const char *what)
{
    char text[128];
    snprintf(text, sizeof(text), "> %llu %s\n", (unsigned long long)id, what);
    say(e, text);
}

static void say_message(struct environment *e, const struct raft_message *m)
{
    if (e->quiet)
        return;
    describe_message(e->out, m);
    strbuf_add_char(e->out, '\n');
}

/* What is said from now on is indented once end_indent comes. */
static struct strbuf *begin_indent(struct environment *e, struct strbuf *inner)
{
    struct strbuf *outer = e->out;
    *inner = STRBUF_EMPTY;
    e->out = inner;
    return outer;
}

static void end_indent(struct environment *e, struct strbuf *outer, struct strbuf *inner)
{
    const char *at = strbuf_str(inner);
    while (*at != '\0') {
        size_t size = strcspn(at, "\n");
        strbuf_add_str(outer, "  ");
        strbuf_add(outer, at, size);
        strbuf_add_char(outer, '\n');
        at += size + (at[size] == '\n');
    }
    strbuf_fini(inner);
    e->out = outer;
}

/* --- arguments -------------------------------------------------------------------------------- */

static uint64_t number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return n;
}

static struct node *node_of(struct environment *e, uint64_t id)
{
    if (id == 0 || id > e->node_count) {
        fprintf(stderr, "no node %llu\n", (unsigned long long)id);
        exit(2);
    }
    return e->nodes[id - 1];
}

static struct node *first_node(struct environment *e, const struct dd_block *b)
{
    if (b->arg_count == 0) {
        fprintf(stderr, "line %u: %s needs a node\n", b->line, b->command);
        exit(2);
    }
    return node_of(e, number(b->args[0].key));
}

/* Arguments without values. */
static size_t ids_of(const struct dd_block *b, uint64_t ids[MAX_NODES])
{
    size_t count = 0;
    for (size_t i = 0; i < b->arg_count && count < MAX_NODES; i++) {
        if (b->args[i].value_count == 0)
            ids[count++] = number(b->args[i].key);
    }
    return count;
}

static bool flag(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "t") == 0 || strcmp(text, "1") == 0;
}

/* --- add-nodes -------------------------------------------------------------------------------- */

static unsigned never_later(void *context, unsigned below)
{
    (void)context, (void)below;
    return 0;
}

static void set_option(struct raft_config *c, struct snapshot *s, const char *key,
                       const char *value)
{
    if (strcmp(key, "voters") == 0)
        (void)id_set_add(&s->configuration.voters, number(value));
    else if (strcmp(key, "learners") == 0)
        (void)id_set_add(&s->configuration.learners, number(value));
    else if (strcmp(key, "inflight") == 0)
        c->max_inflight = number(value);
    else if (strcmp(key, "index") == 0)
        s->index = c->applied = number(value);
    else if (strcmp(key, "async-storage-writes") == 0)
        c->async_storage = flag(value);
    else if (strcmp(key, "prevote") == 0)
        c->pre_vote = flag(value);
    else if (strcmp(key, "checkquorum") == 0)
        c->check_quorum = flag(value);
    else if (strcmp(key, "max-committed-size-per-ready") == 0)
        c->max_applying_size = number(value);
    else if (strcmp(key, "disable-conf-change-validation") == 0)
        c->no_change_validation = flag(value);
    else if (strcmp(key, "step-down-on-removal") == 0)
        c->step_down_on_removal = flag(value);
    else if (strcmp(key, "max-message-size") == 0)
        c->max_message_size = number(value);
    else if (strcmp(key, "max-inflight-size") == 0)
        c->max_inflight_size = number(value);
    else if (strcmp(key, "max-uncommitted-size") == 0)
        c->max_uncommitted_size = number(value);
    else if (strcmp(key, "no-forwarding") == 0)
        c->no_forwarding = flag(value);
    else if (strcmp(key, "read-only") == 0)
        c->no_forget_leader = strcmp(value, "lease-based") == 0;
}

static const char *add_node(struct environment *e, const struct raft_config *config,
                            const struct snapshot *s, bool bootstrap)
{
    struct node *n = calloc(1, sizeof(*n));
    assert(n != NULL && e->node_count < MAX_NODES);
    n->config = *config;
    n->config.id = e->node_count + 1;
    raft_memory_init(&n->storage);
    if (bootstrap)
        (void)raft_memory_install(&n->storage, s);
    raft_memory_add_history(&n->storage, s);
    n->config.configuration = s->configuration;
    n->config.storage = raft_memory_storage(&n->storage);
    enum err error = raft_create(&n->raft, &n->config);
    if (error != OK) {
        raft_memory_fini(&n->storage);
        free(n);
        return error_text(error);
    }
    e->nodes[e->node_count++] = n;
    return DONE;
}

static const char *run_add_nodes(struct environment *e, const struct dd_block *b)
{
    struct raft_config config = {.election_ticks = 3,
                                 .heartbeat_ticks = 1,
                                 .max_message_size = UINT64_MAX,
                                 .max_inflight = INT32_MAX,
                                 .random = never_later};
    struct snapshot s = {0};
    bool bootstrap = false;
    for (size_t i = 1; i < b->arg_count; i++) {
        for (size_t j = 0; j < b->args[i].value_count; j++)
            set_option(&config, &s, b->args[i].key, b->args[i].values[j]);
        bootstrap |= strcmp(b->args[i].key, "content") == 0;
    }
    bootstrap |=
        s.index > 0 || s.configuration.voters.count > 0 || s.configuration.learners.count > 0;
    if (bootstrap && s.index <= 1)
        return "index must be specified as > 1 due to bootstrap";
    s.term = bootstrap;
    const char *error = DONE;
    for (uint64_t i = number(b->args[0].key); i > 0 && error == DONE; i--)
        error = add_node(e, &config, &s, bootstrap);
    return error;
}

/* --- the storage's work ----------------------------------------------------------------------- */

static const char *store(struct node *n, const struct hard_state *hard, struct entries entries,
                         const struct snapshot *s)
{
    if (hard->term != 0 || hard->vote != 0 || hard->commit != 0)
        n->storage.hard_state = *hard;
    if (s != NULL) {
        if (entries.count > 0)
            return "can't apply snapshot and entries at the same time";
        return raft_memory_install(&n->storage, s)
                   ? DONE
                   : "requested index is older than the existing snapshot";
    }
    bool stored = raft_memory_append(&n->storage, entries);
    assert(stored);
    return DONE;
}

static void apply(struct node *n, struct entries entries)
{
    for (size_t i = 0; i < entries.count; i++) {
        const struct entry *entry = &entries.items[i];
        struct snapshot s = n->storage.history[n->storage.history_count - 1];
        s.index = entry->index;
        s.term = entry->term;
        if (entry_is_change(entry)) {
            struct configuration_change c;
            enum change_verdict verdict;
            enum err error = change_decode(&c, entry->type, payload_bytes(entry->payload));
            assert(error == OK);
            error = raft_apply_change(n->raft, &c, &verdict);
            assert(error == OK && verdict == CHANGE_OK);
            s.configuration = *raft_configuration(n->raft);
        }
        raft_memory_add_history(&n->storage, &s);
    }
}

static void put_on(struct message_list *list, const struct raft_message *m)
{
    struct raft_message copy;
    enum err error = message_copy(&copy, m);
    if (error == OK)
        error = message_list_take(list, &copy);
    assert(error == OK);
}

static void remove_first(struct message_list *list, struct raft_message *out)
{
    *out = list->items[0];
    list->count--;
    memmove(list->items, list->items + 1, list->count * sizeof(*list->items));
}

/* --- ready ------------------------------------------------------------------------------------ */

static const char *process_ready(struct environment *e, struct node *n)
{
    struct raft_ready ready;
    enum err error = raft_ready(n->raft, &ready);
    if (error != OK)
        return error_text(error);
    if (!e->quiet)
        describe_ready(e->out, &ready);
    if (!n->config.async_storage) {
        struct hard_state none = {0};
        const char *failure = store(n, ready.has_hard_state ? &ready.hard_state : &none,
                                    ready.entries, ready.snapshot);
        if (failure != DONE)
            return failure;
        apply(n, ready.committed);
    }
    for (size_t i = 0; i < ready.message_count; i++) {
        const struct raft_message *m = &ready.messages[i];
        if (m->type == MESSAGE_STORE)
            put_on(&n->store_work, m);
        else if (m->type == MESSAGE_APPLY)
            put_on(&n->apply_work, m);
        else
            put_on(&e->network, m);
    }
    error = n->config.async_storage ? OK : raft_advance(n->raft);
    return error == OK ? DONE : error_text(error);
}

static void respond(struct environment *e, const struct raft_message *work)
{
    say(e, "Responses:\n");
    for (size_t i = 0; i < work->response_count; i++) {
        say_message(e, &work->responses[i]);
        put_on(&e->network, &work->responses[i]);
    }
}

/* One message of a thread: what it is to do, then its responses go to the network. */
static const char *process_work(struct environment *e, struct node *n, struct message_list *list,
                                const char *nothing)
{
    struct raft_message m;
    if (list->count == 0) {
        say(e, nothing);
        return DONE;
    }
    remove_first(list, &m);
    struct raft_message *responses = m.responses;
    size_t count = m.response_count;
    m.responses = NULL;
    m.response_count = 0;
    say(e, "Processing:\n");
    say_message(e, &m);
    const char *failure = DONE;
    if (m.type == MESSAGE_STORE) {
        struct hard_state hard = {.term = m.term, .vote = m.vote, .commit = m.commit};
        failure = store(n, &hard, entry_list_view(&m.entries), m.snapshot);
    } else {
        apply(n, entry_list_view(&m.entries));
    }
    m.responses = responses;
    m.response_count = count;
    if (failure == DONE)
        respond(e, &m);
    message_fini(&m);
    return failure;
}

static const char *process_store(struct environment *e, struct node *n)
{
    return process_work(e, n, &n->store_work, "no append work to perform");
}

static const char *process_apply(struct environment *e, struct node *n)
{
    return process_work(e, n, &n->apply_work, "no apply work to perform");
}

typedef const char *work_fn(struct environment *e, struct node *n);

static const char *run_indented(struct environment *e, struct node *n, work_fn *work)
{
    struct strbuf inner;
    struct strbuf *outer = begin_indent(e, &inner);
    const char *failure = work(e, n);
    end_indent(e, outer, &inner);
    return failure;
}

/* For one node as it is, for several each under its headline. */
static const char *run_for_each(struct environment *e, const struct dd_block *b,
                                const char *headline, work_fn *work)
{
    uint64_t ids[MAX_NODES];
    size_t count = ids_of(b, ids);
    if (count == 1)
        return work(e, node_of(e, ids[0]));
    for (size_t i = 0; i < count; i++) {
        say_headline(e, ids[i], headline);
        const char *failure = run_indented(e, node_of(e, ids[i]), work);
        if (failure != DONE)
            return failure;
    }
    return DONE;
}

/* --- the network ------------------------------------------------------------------------------ */

static bool is_local(const struct raft_message *m)
{
    return m->from == m->to || m->from == RAFT_APPEND_THREAD || m->from == RAFT_APPLY_THREAD;
}

static bool is_wanted(const struct raft_message *m, uint64_t to, int type, bool drop)
{
    return m->to == to && !(drop && is_local(m)) && (type < 0 || (int)m->type == type);
}

static bool has_messages(const struct environment *e, uint64_t to)
{
    for (size_t i = 0; i < e->network.count; i++) {
        if (is_wanted(&e->network.items[i], to, -1, false))
            return true;
    }
    return false;
}

/* The messages wanted leave the network first: what they cause comes behind. */
static size_t deliver(struct environment *e, uint64_t to, int type, bool drop)
{
    struct message_list wanted = {0}, rest = {0};
    for (size_t i = 0; i < e->network.count; i++) {
        struct raft_message *m = &e->network.items[i];
        enum err error = message_list_take(is_wanted(m, to, type, drop) ? &wanted : &rest, m);
        assert(error == OK);
    }
    message_list_fini(&e->network);
    e->network = rest;
    for (size_t i = 0; i < wanted.count; i++) {
        say(e, drop ? "dropped: " : "");
        say_message(e, &wanted.items[i]);
        if (drop)
            continue;
        enum err error = raft_step(node_of(e, to)->raft, &wanted.items[i]);
        if (error != OK) {
            say(e, error_text(error));
            say(e, "\n");
        }
    }
    size_t count = wanted.count;
    message_list_fini(&wanted);
    return count;
}

static int type_of(const char *text)
{
    for (int i = 0; i < MESSAGE_TYPE_COUNT; i++) {
        if (strcmp(message_type_text((enum message_type)i), text) == 0)
            return i;
    }
    fprintf(stderr, "unknown message type %s\n", text);
    exit(2);
}

static const char *run_deliver(struct environment *e, const struct dd_block *b)
{
    const struct dd_arg *type = dd_arg(b, "type");
    int only = type != NULL ? type_of(type->values[0]) : -1;
    size_t count = 0;
    for (size_t i = 0; i < b->arg_count; i++) {
        const struct dd_arg *arg = &b->args[i];
        if (arg->value_count == 0)
            count += deliver(e, number(arg->key), only, false);
        for (size_t j = 0; strcmp(arg->key, "drop") == 0 && j < arg->value_count; j++)
            count += deliver(e, number(arg->values[j]), only, true);
    }
    if (count == 0)
        say(e, "no messages\n");
    return DONE;
}

/* --- stabilize -------------------------------------------------------------------------------- */

static const char *do_deliver(struct environment *e, struct node *n)
{
    (void)deliver(e, n->config.id, -1, false);
    return DONE;
}

static const char *do_all_store(struct environment *e, struct node *n)
{
    const char *failure = DONE;
    while (n->store_work.count > 0 && failure == DONE)
        failure = process_store(e, n);
    return failure;
}

static const char *do_all_apply(struct environment *e, struct node *n)
{
    while (n->apply_work.count > 0)
        (void)process_apply(e, n);
    return DONE;
}

static bool wants_ready(const struct environment *e, const struct node *n)
{
    (void)e;
    return raft_has_ready(n->raft);
}

static bool wants_messages(const struct environment *e, const struct node *n)
{
    return has_messages(e, n->config.id);
}

static bool wants_store(const struct environment *e, const struct node *n)
{
    (void)e;
    return n->store_work.count > 0;
}

static bool wants_apply(const struct environment *e, const struct node *n)
{
    (void)e;
    return n->apply_work.count > 0;
}

/* Round after round until nobody has anything to do. */
static const char *stabilize(struct environment *e, const uint64_t *ids, size_t count)
{
    static const struct {
        bool (*wants)(const struct environment *, const struct node *);
        work_fn *work;
        const char *headline;
    } phases[] = {
        {wants_ready, process_ready, "handling Ready"},
        {wants_messages, do_deliver, "receiving messages"},
        {wants_store, do_all_store, "processing append thread"},
        {wants_apply, do_all_apply, "processing apply thread"},
    };
    for (bool done = false; !done;) {
        done = true;
        for (size_t p = 0; p < ARRAY_COUNT(phases); p++) {
            for (size_t i = 0; i < count; i++) {
                struct node *n = node_of(e, ids[i]);
                if (!phases[p].wants(e, n))
                    continue;
                done = false;
                say_headline(e, ids[i], phases[p].headline);
                const char *failure = run_indented(e, n, phases[p].work);
                if (failure != DONE)
                    return failure;
            }
        }
    }
    return DONE;
}

/* Levels but NONE concern only log text, which we do not have. False: there is no such level. */
static bool set_level(struct environment *e, const char *name)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            e->quiet = i == ARRAY_COUNT(names) - 1;
            return true;
        }
    }
    return false;
}

static const char bad_level[] = "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]";

static const char *run_stabilize(struct environment *e, const struct dd_block *b)
{
    uint64_t ids[MAX_NODES];
    size_t count = ids_of(b, ids);
    bool was_quiet = e->quiet;
    const struct dd_arg *level = dd_arg(b, "log-level");
    if (level != NULL && !set_level(e, level->values[0]))
        return bad_level;
    if (count == 0) {
        for (; count < e->node_count; count++)
            ids[count] = count + 1;
    }
    const char *failure = stabilize(e, ids, count);
    e->quiet = was_quiet;
    return failure;
}

/* --- changes of the configuration ------------------------------------------------------------- */

static const char *parse_change(const struct dd_block *b, struct configuration_change *c)
{
    static const char letters[] = "vrul"; /* in the order of change_type */
    for (const char *at = b->input; *(at += strspn(at, " \n")) != '\0';) {
        const char *letter = strchr(letters, *at);
        if (letter == NULL || c->item_count == CHANGE_MAX_ITEMS)
            return "unknown input";
        c->items[c->item_count++] = (struct change_item){
            .type = (enum change_type)(letter - letters), .id = strtoull(at + 1, NULL, 10)};
        at += strcspn(at, " \n");
    }
    const struct dd_arg *v1 = dd_arg(b, "v1"), *transition = dd_arg(b, "transition");
    c->is_v1 = v1 != NULL && flag(v1->values[0]);
    if (transition != NULL && strcmp(transition->values[0], "implicit") == 0)
        c->transition = CHANGE_IMPLICIT;
    else if (transition != NULL && strcmp(transition->values[0], "explicit") == 0)
        c->transition = CHANGE_EXPLICIT;
    else if (transition != NULL && strcmp(transition->values[0], "auto") != 0)
        return "unknown transition";
    if (c->is_v1 && (c->item_count > 1 || c->transition != CHANGE_AUTO))
        return "v1 conf change can only have one operation and no transition";
    return DONE;
}

static const char *run_propose_change(struct environment *e, const struct dd_block *b)
{
    struct configuration_change c = {0};
    const char *failure = parse_change(b, &c);
    if (failure != DONE)
        return failure;
    enum err error = raft_propose_change(first_node(e, b)->raft, &c);
    return error == OK ? DONE : error_text(error);
}

/* --- the small commands ----------------------------------------------------------------------- */

static const char *run_propose(struct environment *e, const struct dd_block *b)
{
    struct payload *p = payload_create(bytes_of_str(b->args[1].key));
    assert(p != NULL);
    enum err error = raft_propose(first_node(e, b)->raft, p);
    payload_release(p);
    return error == OK ? DONE : error_text(error);
}

static const char *run_campaign(struct environment *e, const struct dd_block *b)
{
    enum err error = raft_campaign(first_node(e, b)->raft);
    return error == OK ? DONE : error_text(error);
}

static const char *run_log(struct environment *e, const struct dd_block *b)
{
    const struct raft_memory *s = &first_node(e, b)->storage;
    if (e->quiet)
        return DONE;
    if (s->entries.count == 0)
        strbuf_add_format(e->out, "log is empty: first index=%" PRIu64 ", last index=%" PRIu64,
                          s->before + 1, s->before);
    describe_entries(e->out, entry_list_view(&s->entries));
    return DONE;
}

static const char *run_compact(struct environment *e, const struct dd_block *b)
{
    if (!raft_memory_compact(&first_node(e, b)->storage, number(b->args[1].key)))
        return "requested index is unavailable due to compaction";
    return run_log(e, b);
}

static const char *run_state(struct environment *e, const struct dd_block *b)
{
    (void)b;
    for (size_t i = 0; i < e->node_count && !e->quiet; i++) {
        struct raft_status s;
        raft_status(e->nodes[i]->raft, &s);
        const struct configuration_state *c = raft_configuration(e->nodes[i]->raft);
        strbuf_add_format(e->out, "%" PRIu64 ": %s %s Term:%" PRIu64 " Lead:%" PRIu64 "\n", s.id,
                          describe_role(s.role),
                          configuration_is_voter(c, s.id) ? "(Voter)" : "(Non-Voter)", s.term,
                          s.leader);
    }
    return DONE;
}

static const char *run_status(struct environment *e, const struct dd_block *b)
{
    const struct raft *r = first_node(e, b)->raft;
    struct raft_status s;
    raft_status(r, &s);
    const struct progress *p;
    for (size_t i = 0; s.role == RAFT_LEADER && (p = raft_progress(r, i)) != NULL; i++) {
        if (!e->quiet)
            describe_progress(e->out, p);
    }
    return DONE;
}

static const char *tick(struct node *n, unsigned times)
{
    enum err error = OK;
    for (; times > 0 && error == OK; times--)
        error = raft_tick(n->raft);
    return error == OK ? DONE : error_text(error);
}

static const char *run_tick_election(struct environment *e, const struct dd_block *b)
{
    return tick(first_node(e, b), first_node(e, b)->config.election_ticks);
}

static const char *run_tick_heartbeat(struct environment *e, const struct dd_block *b)
{
    return tick(first_node(e, b), first_node(e, b)->config.heartbeat_ticks);
}

static const char *run_transfer(struct environment *e, const struct dd_block *b)
{
    struct node *from = node_of(e, number(dd_arg(b, "from")->values[0]));
    enum err error = raft_transfer_leadership(from->raft, number(dd_arg(b, "to")->values[0]));
    return error == OK ? DONE : error_text(error);
}

static const char *run_forget_leader(struct environment *e, const struct dd_block *b)
{
    enum err error = raft_forget_leader(first_node(e, b)->raft);
    return error == OK ? DONE : error_text(error);
}

static const char *run_send_snapshot(struct environment *e, const struct dd_block *b)
{
    struct node *from = first_node(e, b);
    struct raft_status s;
    raft_status(from->raft, &s);
    struct raft_message m = {.type = MESSAGE_SNAPSHOT,
                             .term = s.term,
                             .from = s.id,
                             .to = number(b->args[1].key),
                             .snapshot = &from->storage.history[from->storage.history_count - 1]};
    put_on(&e->network, &m);
    if (!e->quiet)
        describe_message(e->out, &m);
    return DONE;
}

static const char *run_set_timeout(struct environment *e, const struct dd_block *b)
{
    raft_set_election_timeout(first_node(e, b)->raft,
                              (unsigned)number(dd_arg(b, "timeout")->values[0]));
    return DONE;
}

static const char *run_unreachable(struct environment *e, const struct dd_block *b)
{
    enum err error = raft_report_unreachable(first_node(e, b)->raft, number(b->args[1].key));
    return error == OK ? DONE : error_text(error);
}

/* --- commands that etcd-io/raft's own transcripts do not have --------------------------------- */

static const char *run_read_index(struct environment *e, const struct dd_block *b)
{
    struct payload *p = payload_create(bytes_of_str(b->args[1].key));
    assert(p != NULL);
    enum err error = raft_read_index(first_node(e, b)->raft, p);
    payload_release(p);
    return error == OK ? DONE : error_text(error);
}

static const char *run_report_snapshot(struct environment *e, const struct dd_block *b)
{
    bool failed = strcmp(b->args[2].key, "failed") == 0;
    enum err error = raft_report_snapshot(first_node(e, b)->raft, number(b->args[1].key), failed);
    return error == OK ? DONE : error_text(error);
}

static bool is_duplicable(const struct raft_message *m, uint64_t to)
{
    return m->to == to && !is_local(m);
}

static const char *run_duplicate(struct environment *e, const struct dd_block *b)
{
    uint64_t to = number(b->args[0].key);
    for (size_t i = 0, count = e->network.count; i < count; i++) {
        if (is_duplicable(&e->network.items[i], to))
            put_on(&e->network, &e->network.items[i]);
    }
    return DONE;
}

/* The first message to the node goes behind all others. */
static const char *run_rotate(struct environment *e, const struct dd_block *b)
{
    uint64_t to = number(b->args[0].key);
    struct message_list *l = &e->network;
    for (size_t i = 0; i < l->count; i++) {
        if (!is_duplicable(&l->items[i], to))
            continue;
        struct raft_message m = l->items[i];
        memmove(&l->items[i], &l->items[i + 1], (l->count - i - 1) * sizeof(m));
        l->items[l->count - 1] = m;
        break;
    }
    return DONE;
}

/* What is left of a list without what TO was to get from itself. */
static void forget_own(struct message_list *list, uint64_t to)
{
    struct message_list rest = {0};
    for (size_t i = 0; i < list->count; i++) {
        struct raft_message *m = &list->items[i];
        if (m->to == to && is_local(m))
            continue;
        enum err error = message_list_take(&rest, m);
        assert(error == OK);
    }
    message_list_fini(list);
    *list = rest;
}

/* A crash: what was not processed is gone, what the storage holds is where it goes on. */
static const char *run_restart(struct environment *e, const struct dd_block *b)
{
    struct node *n = first_node(e, b);
    const struct snapshot *newest = &n->storage.history[n->storage.history_count - 1];
    if (newest->index < n->storage.before)
        newest = &n->storage.installed;
    n->config.hard_state = n->storage.hard_state;
    n->config.configuration = newest->configuration;
    n->config.applied = newest->index;
    raft_destroy(n->raft);
    message_list_fini(&n->store_work);
    message_list_fini(&n->apply_work);
    forget_own(&e->network, n->config.id);
    enum err error = raft_create(&n->raft, &n->config);
    assert(error == OK);
    return DONE;
}

static const char *run_log_level(struct environment *e, const struct dd_block *b)
{
    return set_level(e, b->args[0].key) ? DONE : bad_level;
}

static const char *run_process_ready(struct environment *e, const struct dd_block *b)
{
    return run_for_each(e, b, "handling Ready", process_ready);
}

static const char *run_process_append(struct environment *e, const struct dd_block *b)
{
    return run_for_each(e, b, "processing append thread", process_store);
}

static const char *run_process_apply(struct environment *e, const struct dd_block *b)
{
    return run_for_each(e, b, "processing apply thread", process_apply);
}

static const char *run_breakpoint(struct environment *e, const struct dd_block *b)
{
    (void)e, (void)b;
    return DONE;
}

/* --- running ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *(*run)(struct environment *e, const struct dd_block *b);
} commands[] = {
    {"_breakpoint", run_breakpoint},
    {"add-nodes", run_add_nodes},
    {"campaign", run_campaign},
    {"compact", run_compact},
    {"deliver-msgs", run_deliver},
    {"duplicate-msgs", run_duplicate},
    {"forget-leader", run_forget_leader},
    {"log-level", run_log_level},
    {"process-append-thread", run_process_append},
    {"process-apply-thread", run_process_apply},
    {"process-ready", run_process_ready},
    {"propose", run_propose},
    {"propose-conf-change", run_propose_change},
    {"raft-log", run_log},
    {"raft-state", run_state},
    {"read-index", run_read_index},
    {"report-snapshot", run_report_snapshot},
    {"report-unreachable", run_unreachable},
    {"restart", run_restart},
    {"rotate-msgs", run_rotate},
    {"send-snapshot", run_send_snapshot},
    {"set-randomized-election-timeout", run_set_timeout},
    {"stabilize", run_stabilize},
    {"status", run_status},
    {"tick-election", run_tick_election},
    {"tick-heartbeat", run_tick_heartbeat},
    {"transfer-leadership", run_transfer},
};

void environment_run(struct environment *e, const struct dd_block *b, struct strbuf *out)
{
    const char *failure = "unknown command";
    e->out = out;
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, b->command) == 0)
            failure = commands[i].run(e, b);
    }
    if (failure != DONE)
        strbuf_add_str(out, failure);
    if (out->size == 0)
        strbuf_add_str(out, "ok");
}

void environment_fini(struct environment *e)
{
    for (size_t i = 0; i < e->node_count; i++) {
        struct node *n = e->nodes[i];
        raft_destroy(n->raft);
        raft_memory_fini(&n->storage);
        message_list_fini(&n->store_work);
        message_list_fini(&n->apply_work);
        free(n);
    }
    message_list_fini(&e->network);
    *e = (struct environment){0};
}
