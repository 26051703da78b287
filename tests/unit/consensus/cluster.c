#include "tests/unit/consensus/cluster.h"

#include "base/crc32c.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATIENCE_MS = 30000,
};

struct packet {
    struct packet *next;
    uint64_t due_ms;
    size_t from, to;
    uint16_t type;
    size_t size;
    uint8_t data[];
};

uint64_t cluster_random(struct cluster *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

/* --- the link --------------------------------------------------------------------------------- */

static void post(struct cluster *c, size_t from, size_t to, uint16_t type, struct bytes bytes)
{
    struct packet *p = malloc(sizeof(*p) + bytes.size);
    assert_non_null(p);
    *p = (struct packet){
        .due_ms = uv_now(&c->loop) + (c->delay_ms > 0 ? cluster_random(c) % c->delay_ms : 0),
        .from = from,
        .to = to,
        .type = type,
        .size = bytes.size,
    };
    memcpy(p->data, bytes.data, bytes.size);
    struct packet **end = &c->packets;
    while (*end != NULL)
        end = &(*end)->next;
    *end = p;
}

static enum err on_send(void *context, uint64_t to, uint16_t type, struct bytes bytes)
{
    struct member *m = context;
    struct cluster *c = m->cluster;
    size_t from = m->id - 1;
    assert_in_range(to, 1, CLUSTER_MAX);
    if (to > c->count || c->members[to - 1].node == NULL)
        return ERR_CLOSED;
    if (c->cuts[from][to - 1] || cluster_random(c) % 100 < c->loss)
        return OK; /* lost without a word */
    post(c, from, to - 1, type, bytes);
    if (cluster_random(c) % 100 < c->repeat)
        post(c, from, to - 1, type, bytes);
    return OK;
}

static void deliver(struct cluster *c, struct packet *p)
{
    struct member *to = &c->members[p->to];
    if (to->node != NULL && !c->cuts[p->from][p->to]) {
        enum err e = node_receive(to->node, p->from + 1, p->type, bytes_of(p->data, p->size));
        assert_int_equal(e, OK);
    }
    free(p);
}

static void deliver_due(struct cluster *c)
{
    for (struct packet **at = &c->packets; *at != NULL;) {
        struct packet *p = *at;
        if (p->due_ms > uv_now(&c->loop)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        deliver(c, p);
        at = &c->packets;
    }
}

static void on_clock(uv_timer_t *timer)
{
    deliver_due(timer->data);
}

void cluster_cut(struct cluster *c, size_t a, size_t b)
{
    c->cuts[a][b] = true;
}

void cluster_isolate(struct cluster *c, size_t member)
{
    for (size_t i = 0; i < c->count; i++)
        c->cuts[i][member] = c->cuts[member][i] = i != member;
}

void cluster_heal(struct cluster *c)
{
    memset(c->cuts, 0, sizeof(c->cuts));
    c->loss = c->repeat = 0;
}

/* --- the machine ------------------------------------------------------------------------------ */

static enum err load(void *context, const struct journal_effect *row)
{
    struct member *m = context;
    *(row->row.a == 1 ? &m->count : &m->digest) = row->row.value;
    return OK;
}

static void note_committed(struct cluster *c, uint64_t index, int64_t id)
{
    assert_in_range(index, 1, CLUSTER_MAX_ENTRIES - 1);
    if (c->committed[index] == 0)
        c->committed[index] = id;
    assert_int_equal(c->committed[index], id);
}

static enum err stage(struct member *m)
{
    struct journal_effect effects[2] = {{.table = JOURNAL_META}, {.table = JOURNAL_META}};
    effects[0].row.a = 1;
    effects[0].row.value = m->count;
    effects[1].row.a = 2;
    effects[1].row.value = m->digest;
    return node_stage(m->node, effects, 2);
}

static enum err apply(void *context, uint64_t index, uint64_t term UNUSED, struct bytes command,
                      void *proposal)
{
    struct member *m = context;
    struct cluster *c = m->cluster;
    int64_t id;
    assert_int_equal(command.size, sizeof(id));
    memcpy(&id, command.data, sizeof(id));
    assert_in_range(id, 1, c->command_count);
    note_committed(c, index, id);
    struct command *known = &c->commands[id];
    assert_true(known->index == 0 || known->index == index);
    assert_int_not_equal(known->fate, FATE_REFUSED);
    known->index = index;
    if (proposal != NULL) {
        assert_ptr_equal(proposal, known);
        assert_int_equal(known->fate, FATE_WAITING);
        known->fate = FATE_APPLIED;
        c->acknowledged++;
    }
    m->count++;
    uint64_t chained[] = {(uint64_t)m->digest, index, (uint64_t)id};
    m->digest = crc32c(0, chained, sizeof(chained));
    return stage(m);
}

static enum err changed(void *context, uint64_t index,
                        const struct configuration_change *change UNUSED,
                        enum change_verdict verdict, const struct configuration_state *now UNUSED,
                        void *proposal UNUSED)
{
    struct member *m = context;
    note_committed(m->cluster, index, -1);
    m->changes++;
    m->last_verdict = verdict;
    return OK;
}

static void dropped(void *context, void *proposal, enum err why)
{
    struct member *m = context;
    struct cluster *c = m->cluster;
    struct command *known = proposal;
    if (proposal == c) { /* a change's */
        c->change_why = why;
        c->changes_dropped++;
        return;
    }
    assert_int_equal(known->fate, FATE_WAITING);
    known->why = why;
    known->fate = why == ERR_REFUSED ? FATE_REFUSED : FATE_UNKNOWN;
    if (why == ERR_REFUSED)
        assert_int_equal(known->index, 0);
}

static void on_role(void *context, bool is_leader, uint64_t leader UNUSED, uint64_t term UNUSED)
{
    struct member *m = context;
    m->is_leader = is_leader;
}

static uint64_t on_random(void *context)
{
    struct member *m = context;
    return cluster_random(m->cluster);
}

/* --- life ------------------------------------------------------------------------------------- */

void cluster_init(struct cluster *c, size_t count, size_t voters, uint64_t seed)
{
    *c = (struct cluster){.count = count, .random = seed * 2654435761u + 1, .delay_ms = 4};
    assert_int_equal(uv_loop_init(&c->loop), 0);
    assert_int_equal(uv_timer_init(&c->loop, &c->clock), 0);
    c->clock.data = c;
    assert_int_equal(uv_timer_start(&c->clock, on_clock, 1, 1), 0);
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    for (size_t i = 0; i < count; i++) {
        struct member *m = &c->members[i];
        m->cluster = c;
        m->id = i + 1;
        (void)snprintf(m->dir, sizeof(m->dir), "%s/warren-cluster-XXXXXX", base);
        assert_non_null(mkdtemp(m->dir));
    }
    for (size_t i = 0; i < count; i++) {
        struct id_set first = {0};
        struct strbuf error = STRBUF_EMPTY;
        struct journal *j;
        struct journal_config config = {
            .data_dir = c->members[i].dir, .loop = &c->loop, .free_space_floor = 1};
        for (size_t k = 0; i < voters && k < voters; k++)
            assert_true(id_set_add(&first, k + 1));
        assert_int_equal(journal_open(&j, &config, &error), OK);
        assert_int_equal(i < voters ? node_bootstrap(j, 77, i + 1, &first, &error)
                                    : journal_set_identity(j, 77, i + 1, &error),
                         OK);
        journal_close(j);
        strbuf_fini(&error);
    }
}

void cluster_start(struct cluster *c, size_t member)
{
    struct member *m = &c->members[member];
    struct strbuf error = STRBUF_EMPTY;
    struct journal_config journal = {
        .data_dir = m->dir, .loop = &c->loop, .free_space_floor = 1, .vfs = m->vfs};
    enum err e = journal_open(&m->journal, &journal, &error);
    m->count = m->digest = 0;
    m->is_leader = false;
    struct node_config config = {
        .loop = &c->loop,
        .journal = m->journal,
        .machine = {.load = load,
                    .apply = apply,
                    .dropped = dropped,
                    .changed = changed,
                    .on_role = on_role,
                    .context = m},
        .link = {.send = on_send, .context = m},
        .heartbeat_interval_ms = CLUSTER_HEARTBEAT_MS,
        .election_timeout_ms = CLUSTER_ELECTION_MS,
        .random = on_random,
        .random_context = m,
    };
    if (e == OK)
        e = node_create(&m->node, &config, &error);
    if (e != OK)
        print_error("%s", strbuf_str(&error));
    assert_int_equal(e, OK);
    strbuf_fini(&error);
}

void cluster_start_all(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->members[i].node == NULL)
            cluster_start(c, i);
}

void cluster_stop(struct cluster *c, size_t member)
{
    struct member *m = &c->members[member];
    if (m->node == NULL)
        return;
    struct node *n = m->node;
    m->node = NULL;
    node_destroy(n);
    journal_close(m->journal);
    m->is_leader = false;
}

static void remove_folder(const char *dir)
{
    char path[400];
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        (void)remove(path);
    }
    if (d != NULL)
        closedir(d);
    (void)rmdir(dir);
}

void cluster_fini(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++) {
        cluster_stop(c, i);
        remove_folder(c->members[i].dir);
    }
    assert_int_equal(c->reads_waiting, 0);
    for (int64_t id = 1; id <= c->command_count; id++)
        assert_int_not_equal(c->commands[id].fate, FATE_WAITING);
    while (c->packets != NULL) {
        struct packet *p = c->packets;
        c->packets = p->next;
        free(p);
    }
    uv_close((uv_handle_t *)&c->clock, NULL);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&c->loop), 0);
}

/* --- running ---------------------------------------------------------------------------------- */

void cluster_run_ms(struct cluster *c, uint64_t ms)
{
    uv_update_time(&c->loop);
    uint64_t end = uv_now(&c->loop) + ms;
    while (uv_now(&c->loop) < end)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
}

void cluster_run_until(struct cluster *c, bool (*is_so)(struct cluster *c))
{
    uv_update_time(&c->loop);
    uint64_t end = uv_now(&c->loop) + PATIENCE_MS;
    while (!is_so(c)) {
        assert_true(uv_now(&c->loop) < end);
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    }
}

size_t cluster_leader(struct cluster *c)
{
    size_t best = CLUSTER_MAX;
    uint64_t term = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct node_status s;
        if (c->members[i].node == NULL)
            continue;
        node_status(c->members[i].node, &s);
        if (s.is_leader && s.term >= term) {
            best = i;
            term = s.term;
        }
    }
    return best;
}

static bool is_reachable(const struct cluster *c, size_t member)
{
    size_t cut = 0;
    for (size_t i = 0; i < c->count; i++)
        cut += c->cuts[i][member] || c->cuts[member][i];
    return c->members[member].node != NULL && cut + 1 < c->count;
}

static bool is_led(struct cluster *c)
{
    size_t leader = cluster_leader(c);
    if (leader == CLUSTER_MAX || !is_reachable(c, leader))
        return false;
    for (size_t i = 0; i < c->count; i++) {
        struct node_status s;
        if (!is_reachable(c, i))
            continue;
        node_status(c->members[i].node, &s);
        if (s.halted || !configuration_is_member(&s.configuration, i + 1))
            continue;
        if (s.leader != leader + 1)
            return false;
    }
    return true;
}

size_t cluster_elect(struct cluster *c)
{
    cluster_run_until(c, is_led);
    return cluster_leader(c);
}

/* --- clients ---------------------------------------------------------------------------------- */

int64_t cluster_propose(struct cluster *c, size_t member)
{
    int64_t id = c->command_count + 1;
    struct command *command = &c->commands[id];
    assert_true(id < CLUSTER_MAX_COMMANDS);
    if (c->members[member].node == NULL)
        return 0;
    c->command_count = id;
    command->fate = FATE_WAITING;
    enum err e = node_propose(c->members[member].node, bytes_of(&id, sizeof(id)), command);
    if (e == OK)
        return id;
    command->fate = FATE_REFUSED;
    command->why = e;
    return 0;
}

struct read {
    struct member *member;
    int64_t acknowledged;
};

static void on_read(void *context, enum err outcome)
{
    struct read *r = context;
    struct cluster *c = r->member->cluster;
    c->reads_waiting--;
    if (outcome == OK) {
        c->reads_allowed++;
        assert_true(r->member->count >= r->acknowledged);
    } else
        c->reads_refused++;
    free(r);
}

void cluster_read(struct cluster *c, size_t member)
{
    struct member *m = &c->members[member];
    if (m->node == NULL)
        return;
    struct read *r = malloc(sizeof(*r));
    assert_non_null(r);
    *r = (struct read){.member = m, .acknowledged = c->acknowledged};
    c->reads_waiting++;
    node_read(m->node, on_read, r);
}

static bool is_same_everywhere(struct cluster *c)
{
    const struct member *first = NULL;
    uint64_t applied = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct node_status s;
        const struct member *m = &c->members[i];
        if (m->node == NULL)
            continue;
        node_status(m->node, &s);
        if (s.halted || !configuration_is_member(&s.configuration, m->id))
            continue;
        if (first == NULL) {
            first = m;
            applied = s.applied;
        }
        if (s.applied != applied || s.last_index != applied)
            return false;
        assert_int_equal(m->digest, first->digest);
        assert_int_equal(m->count, first->count);
    }
    return true;
}

void cluster_converge(struct cluster *c)
{
    cluster_heal(c);
    int64_t id;
    do {
        size_t leader = cluster_elect(c);
        id = cluster_propose(c, leader);
        for (int i = 0; i < 100 && c->commands[id].fate == FATE_WAITING; i++)
            cluster_run_ms(c, 10);
    } while (id == 0 || c->commands[id].fate != FATE_APPLIED);
    cluster_run_until(c, is_same_everywhere);
}
