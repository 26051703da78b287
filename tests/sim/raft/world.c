/* Runs: events in order of time, and then a world without faults in which all must end well. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void *grow(void *items, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return items;
    size_t larger = *capacity < 64 ? 64 : *capacity;
    while (larger < needed)
        larger *= 2;
    items = realloc(items, larger * size);
    assert(items != NULL);
    memset((char *)items + *capacity * size, 0, (larger - *capacity) * size);
    *capacity = larger;
    return items;
}

/* --- the queue: a binary heap ----------------------------------------------------------------- */

static inline bool before(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void queue_push(struct event_queue *q, const struct event *e)
{
    if (q->count == q->capacity)
        q->items = grow(q->items, &q->capacity, q->count + 1, sizeof(*q->items));
    size_t at = q->count++;
    while (at > 0 && before(e, &q->items[(at - 1) / 4])) {
        q->items[at] = q->items[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    q->items[at] = *e;
}

bool queue_pop(struct event_queue *q, struct event *out)
{
    if (q->count == 0)
        return false;
    *out = q->items[0];
    struct event last = q->items[--q->count];
    size_t at = 0;
    for (;;) {
        size_t child = 4 * at + 1, best = child;
        if (child >= q->count)
            break;
        for (size_t i = child + 1; i < child + 4 && i < q->count; i++) {
            if (before(&q->items[i], &q->items[best]))
                best = i;
        }
        if (!before(&q->items[best], &last))
            break;
        q->items[at] = q->items[best];
        at = best;
    }
    q->items[at] = last;
    return true;
}

void schedule(struct world *w, uint64_t delay, enum event_kind kind, uint32_t member,
              uint32_t value, void *object)
{
    struct event e = {.time = w->now + delay,
                      .order = w->order++,
                      .kind = kind,
                      .member = member,
                      .incarnation = w->members[member].incarnation,
                      .value = value,
                      .object = object};
    queue_push(&w->queue, &e);
}

/* --- shared values ---------------------------------------------------------------------------- */

static uint64_t set_hash(uint64_t hash, const struct id_set *set)
{
    hash = mix2(hash, set->count);
    for (size_t i = 0; i < set->count; i++)
        hash = mix2(hash, set->ids[i]);
    return hash;
}

struct configuration_box *box_create(const struct configuration_state *c)
{
    struct configuration_box *b = malloc(sizeof(*b));
    assert(b != NULL);
    *b = (struct configuration_box){.references = 1, .state = *c};
    b->hash = set_hash(
        set_hash(set_hash(set_hash(c->auto_leave, &c->voters), &c->outgoing), &c->learners),
        &c->learners_next);
    return b;
}

struct configuration_box *box_reference(struct configuration_box *b)
{
    if (b != NULL)
        b->references++;
    return b;
}

void box_release(struct configuration_box *b)
{
    if (b != NULL && --b->references == 0)
        free(b);
}

struct image *image_create(const struct machine *m, struct configuration_box *c)
{
    struct image *i = malloc(sizeof(*i));
    assert(i != NULL);
    *i = (struct image){.references = 1, .machine = *m, .configuration = box_reference(c)};
    return i;
}

struct image *image_reference(struct image *i)
{
    i->references++;
    return i;
}

void image_release(struct image *i)
{
    if (i == NULL || --i->references > 0)
        return;
    box_release(i->configuration);
    free(i);
}

/* --- events ----------------------------------------------------------------------------------- */

static bool is_of_process(enum event_kind kind)
{
    return kind == EVENT_TICK || kind == EVENT_DISK || kind == EVENT_APPLY || kind == EVENT_PUMP ||
           kind == EVENT_RESUME || kind == EVENT_STOP || kind == EVENT_CRASH;
}

/* Removed: it goes away, unless it is about to come back. */
static void member_stop(struct world *w, struct member *m)
{
    m->is_stopping = false;
    if (m->life != LIFE_UP || configuration_is_member(newest_configuration(w), m->id))
        return;
    if (admin_change_in_flight(w)) {
        m->is_stopping = true;
        schedule(w, 10 * TICK, EVENT_STOP, (uint32_t)m->id, 0, NULL);
        return;
    }
    member_crash(w, m);
    m->life = LIFE_GONE;
}

static void handle(struct world *w, const struct event *e)
{
    struct member *m = &w->members[e->member];
    switch (e->kind) {
    case EVENT_TICK:
        member_tick(w, m);
        break;
    case EVENT_PACKET:
        network_deliver(w, m, e->object);
        break;
    case EVENT_DISK:
        disk_event(w, m);
        break;
    case EVENT_APPLY:
        member_apply(w, m);
        break;
    case EVENT_PUMP:
        m->pump_scheduled = false;
        member_pump(w, m);
        break;
    case EVENT_RESUME:
        member_resume(w, m);
        break;
    case EVENT_START:
        if (m->life == LIFE_DOWN || m->life == LIFE_ASKING)
            member_start(w, m);
        break;
    case EVENT_REPORT:
        network_report(w, m, e->object);
        break;
    case EVENT_CLIENT:
        client_event(w, e->value, (uint64_t)(uintptr_t)e->object);
        break;
    case EVENT_FAULT:
        nemesis_event(w);
        break;
    case EVENT_LINKS_HEAL:
        if (e->value == (uint32_t)w->links_generation)
            nemesis_heal_links(w);
        break;
    case EVENT_ADMIN:
        admin_event(w);
        break;
    case EVENT_STOP:
        member_stop(w, m);
        break;
    case EVENT_CRASH:
        nemesis_crash(w, m);
        break;
    case EVENT_CAMPAIGN:
        if (m->life == LIFE_UP && m->paused_until <= w->now)
            member_called(w, m, raft_campaign(m->raft));
        break;
    case EVENT_KIND_COUNT:
        assert(false);
    }
}

/* Whether E has to wait until its member goes on. */
static bool waits(const struct world *w, const struct event *e)
{
    return w->members[e->member].paused_until > w->now &&
           (e->kind == EVENT_PACKET || e->kind == EVENT_APPLY || e->kind == EVENT_PUMP ||
            e->kind == EVENT_REPORT);
}

/* One event. False if there is none. */
static bool run_event(struct world *w)
{
    struct event e;
    do {
        if (!queue_pop(&w->queue, &e))
            return false;
        w->now = e.time;
    } while (is_of_process(e.kind) && e.incarnation != w->members[e.member].incarnation);
    if (waits(w, &e)) {
        e.time = w->members[e.member].paused_until;
        e.order = w->order++;
        queue_push(&w->queue, &e);
        return true;
    }
    w->number++;
    struct trace_line *line = &w->last[w->number % TRACE_LAST];
    *line = (struct trace_line){
        .number = w->number, .time = w->now, .kind = e.kind, .member = e.member, .value = e.value};
    w->line = line;
    handle(w, &e);
    const struct raft_status *s = &w->members[e.member].status;
    line->role = s->role;
    line->after_term = s->term;
    line->after_commit = s->commit;
    line->after_last = s->last_index;
    line->after_applied = s->applied;
    trace_mix(w, w->now << 8 ^ (uint64_t)e.kind << 6 ^ e.member);
    trace_mix(w, s->term << 34 ^ (uint64_t)s->role << 32 ^ s->commit << 16 ^ s->last_index);
    if (w->options->trace)
        trace_print(w, line);
    return true;
}

uint64_t leader_now(const struct world *w)
{
    uint64_t best = 0, term = 0;
    for (uint32_t i = 1; i < w->member_count; i++) {
        const struct member *m = &w->members[i];
        if (m->life == LIFE_UP && m->status.role == RAFT_LEADER && m->status.term >= term) {
            term = m->status.term;
            best = m->id;
        }
    }
    return best;
}

const struct configuration_state *newest_configuration(const struct world *w)
{
    static const struct configuration_state none;
    const struct configuration_box *best = NULL;
    uint64_t best_applied = 0;
    for (uint32_t i = 1; i < w->member_count; i++) {
        const struct member *m = &w->members[i];
        bool is_up = m->life == LIFE_UP;
        uint64_t applied = is_up ? m->machine.applied : m->disk.tables.applied;
        const struct configuration_box *box = is_up ? m->configuration : m->disk.configuration;
        if (box != NULL && (best == NULL || applied > best_applied)) {
            best = box;
            best_applied = applied;
        }
    }
    return best != NULL ? &best->state : &none;
}

/* --- runs ------------------------------------------------------------------------------------- */

static void clear(struct world *w)
{
    struct event e;
    while (queue_pop(&w->queue, &e)) {
        if (e.kind == EVENT_PACKET)
            packet_release(w, e.object);
        else if (e.kind == EVENT_REPORT)
            transfer_release(w, e.object);
    }
    for (uint32_t i = 1; i < w->member_count; i++)
        member_fini(w, &w->members[i]);
    memset(w->members, 0, sizeof(w->members));
    memset(w->cut, 0, sizeof(w->cut));
    memset(w->slow_until, 0, sizeof(w->slow_until));
    memset(w->last_delivery, 0, sizeof(w->last_delivery));
    memset(w->snapshots_on_way, 0, sizeof(w->snapshots_on_way));
    memset(w->last, 0, sizeof(w->last));
    memset(w->clients, 0, sizeof(w->clients));
    w->member_count = 1;
    w->attempts = 0;
    w->tokens = 0;
    w->now = w->order = w->number = 0;
    w->trace_hash = 0;
    w->is_healed = w->rollback_pending = false;
    w->flood_leader = 0;
    oracle_reset(&w->oracle);
}

/* The first members' logs begin behind entry 1, of term 1, which is committed. */
static void bootstrap(struct world *w)
{
    struct configuration_state c = {0};
    uint32_t count = w->profile.voters + w->profile.learners;
    for (uint32_t id = 1; id <= count; id++)
        id_set_add(id <= w->profile.voters ? &c.voters : &c.learners, id);
    struct configuration_box *box = box_create(&c);
    struct oracle *o = &w->oracle;
    struct machine machine = {.applied = 1};
    o->committed = grow(o->committed, &o->committed_capacity, 2, sizeof(*o->committed));
    o->commit = 1;
    o->committed[1] = (struct committed_entry){.term = 1,
                                               .chain = mix(1),
                                               .commit_term = 1,
                                               .state_hash = machine_hash(&machine),
                                               .configuration_hash = box->hash};
    for (uint32_t id = 1; id <= count; id++) {
        struct member *m = &w->members[id];
        member_init(w, m, id);
        m->disk.hard = (struct hard_state){.term = 1, .commit = 1};
        m->disk.base = m->disk.last = 1;
        m->disk.slots[1] = (struct slot){.term = 1, .chain = mix(1)};
        m->disk.tables = machine;
        m->disk.configuration = box_reference(box);
        m->life = LIFE_DOWN;
        member_start(w, m);
    }
    box_release(box);
}

/* No more faults: within so many ticks of an election all must be as one again. */
static void converge(struct world *w)
{
    const char *text = NULL;
    w->is_healed = true;
    w->heal_time = w->now;
    nemesis_heal(w);
    uint64_t limit = w->now + (uint64_t)w->profile.election_ticks * 200 * TICK, next = 0;
    while (w->now < limit) {
        if (!run_event(w))
            violated(w, "I10", "nothing happens any more");
        if (w->now < next)
            continue;
        next = w->now + TICK;
        if (oracle_converged(w, &text))
            return;
    }
    violated(w, "I10", "not converged %u ticks after the last fault: %s",
             w->profile.election_ticks * 200, text);
}

void world_run(struct world *w, uint64_t seed, const struct options *options)
{
    clear(w);
    w->seed = seed;
    w->options = options;
    w->random.state = mix(seed);
    w->line = &w->last[0];
    profile_draw(&w->profile, &w->random, options->profile, options->voters, seed);
    trace_world = w;
    bootstrap(w);
    if (!w->profile.async_storage)
        covered(w, COVERAGE_SYNC_STORAGE);
    clients_start(w);
    if (w->profile.fault_interval > 0)
        schedule(w, random_below(&w->random, 20 * TICK), EVENT_FAULT, 0, 0, NULL);
    if (w->profile.admin_interval > 0)
        schedule(w, random_below(&w->random, w->profile.admin_interval), EVENT_ADMIN, 0, 0, NULL);
    while (w->number < options->events && run_event(w))
        ;
    converge(w);
}

struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert(w != NULL);
    w->member_count = 1;
    return w;
}

void world_destroy(struct world *w)
{
    clear(w);
    while (w->packet_pool != NULL) {
        struct packet *p = w->packet_pool;
        w->packet_pool = p->next;
        entry_list_fini(&p->message.entries);
        free(p);
    }
    while (w->write_pool != NULL) {
        struct write *op = w->write_pool;
        w->write_pool = op->next;
        entry_list_fini(&op->entries);
        entry_list_fini(&op->committed);
        free(op->chains);
        free(op->responses);
        free(op);
    }
    while (w->applying_pool != NULL) {
        struct applying *a = w->applying_pool;
        w->applying_pool = a->next;
        free(a->responses);
        free(a);
    }
    free(w->queue.items);
    oracle_fini(&w->oracle);
    free(w);
}
