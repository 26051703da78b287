/* A cluster of the real core in one process and one thread: members with fake disks, a fake
 * network, clocks that drift, clients, an administrator, and somebody who breaks things. One seed
 * is one run, event by event.
 *
 *   world.c      runs: events in order of time, healing, the end
 *   owner.c      the owner of a core: carries out what it hands out, as core/raft.h asks for
 *   disk.c       the journal: transactions in order, what is durable, what a crash leaves
 *   network.c    messages between members, streams of snapshots
 *   clients.c    writes and reads, retried, with outcomes that may stay unknown
 *   admin.c      changes of the membership
 *   nemesis.c    crashes, cuts, pauses, bad disks
 *   oracle.c     what must hold after each event: I1 to I11
 *
 * Times are in units of which TICK make one tick of a clock that does not drift. */
#ifndef WARREN_TESTS_SIM_RAFT_SIM_H
#define WARREN_TESTS_SIM_RAFT_SIM_H

#include "core/raft.h"
#include "tests/sim/raft/coverage.h"
#include "tests/sim/raft/machine.h"
#include "tests/sim/raft/random.h"

enum {
    TICK = 1000,
    MAX_MEMBERS = 48, /* of one run, ids 1 to MAX_MEMBERS - 1; a new member is a new id */
    MAX_CLIENTS = MACHINE_SESSIONS,
    TRACE_LAST = 64,
    CACHED_IMAGES = 4,
};

/* Bugs of an owner or its storage, which the simulator must find as well as the core's. Numbers
 * from 100: below are the core's own (consensus/core/mutant.h). */
#define OWNER_MUTANT_LIST(X)                                                                       \
    X(VOTE_REQUEST_AT_ONCE, 108, "asks for votes before its own term and vote are durable")        \
    X(RESPONSES_AT_ONCE, 109, "answers that wait for the storage are sent before it")              \
    X(FULL_DROPPED, 123, "a write that failed for want of space is dropped and acknowledged")      \
    X(FULL_REWRITTEN, 124, "a failed write is tried again with another payload")                   \
    X(SYNC_ERROR_IGNORED, 125, "a failed fsync is taken for a good one")                           \
    X(DAMAGE_TRUNCATED, 126, "a damaged log is cut off there, and the member carries on")          \
    X(ROLLBACK_UNDETECTED, 127, "a rolled-back disk is used as if nothing were")                   \
    X(WIPED_COMES_BACK, 117, "a wiped member comes back under its old id")                         \
    X(APPLIED_INDEX_APART, 120, "the applied index is in another transaction than the effects")    \
    X(SNAPSHOT_NOT_ATOMIC, 118, "a snapshot's tables and the reset of the log are two writes")     \
    X(SNAPSHOT_WITHOUT_SESSIONS, 119, "a snapshot without the sessions")                           \
    X(READ_BEFORE_APPLY, 122, "a read is answered before its index is applied")                    \
    X(APPLY_TWICE, 106, "entries below an installed snapshot are applied again")                   \
    X(UNKNOWN_REPORTED_FAILED, 129, "a forwarded proposal that was not answered is called failed")

enum owner_mutant {
#define X(name, number, text) OWNER_MUTANT_##name = number,
    OWNER_MUTANT_LIST(X)
#undef X
};

/* 0: none. Also what RAFT_MUTANT is in a core that is built for it (mutants.h). */
extern int raft_sim_mutant;

static inline bool mutant_is(enum owner_mutant m)
{
    return raft_sim_mutant == (int)m;
}

/* --- profiles --------------------------------------------------------------------------------- */

/* What a run is like; drawn from the seed, within what the profile says. Chances are in a
 * thousand, times in units. */
struct profile {
    const char *name;
    unsigned voters, learners;
    bool async_storage, check_quorum, pre_vote, no_forwarding;
    bool rollback; /* disks may be rolled back; members then ask all others at each start */
    bool fifo;     /* each link keeps its order */
    unsigned loss, duplication;
    unsigned poor_hints; /* rejections that hint lower than they could, as others' cores do */
    uint64_t delay_min, delay_spread, long_delay;
    unsigned long_delay_chance;
    uint64_t disk_min, disk_spread, slow_disk;
    unsigned slow_disk_chance;
    unsigned batching;  /* a ready is put off, so that several inputs come before it */
    unsigned drift_max; /* clocks run up to that many times faster or slower */
    unsigned clients;
    uint64_t think;
    bool flood;     /* writes come without waiting for answers, at the leader */
    unsigned reads; /* the share of reads */
    uint64_t fault_interval, admin_interval;
    bool simple_changes; /* of one voter, one upon the other, at whoever thinks it leads */
    unsigned compaction; /* at each write */
    unsigned keep_max;   /* entries behind a compaction */
    unsigned leader_bias;
    unsigned crash_new; /* of who just became leader */
    /* Weights of faults. */
    unsigned crash, crash_all, partition, isolate, one_way, pause, slow, full, io_error, transfer,
        campaign, forget, no_ticks, destroy, hostile, unreachable;
    unsigned election_ticks;
    uint64_t max_message_size, max_applying_size, max_uncommitted_size, max_inflight_size;
    size_t max_inflight;
};

/* NULL behind the last. */
const char *profile_name(unsigned at);
/* Whether there is one of NAME. NULL: by the seed. VOTERS 0: likewise. */
bool profile_draw(struct profile *out, struct random_source *r, const char *name, unsigned voters,
                  uint64_t seed);

/* --- values that several members share -------------------------------------------------------- */

struct configuration_box {
    size_t references;
    uint64_t hash;
    struct configuration_state state;
};

/* The machine as of one index: a snapshot's content. */
struct image {
    size_t references;
    struct machine machine;
    struct configuration_box *configuration;
};

struct packet {
    struct packet *next; /* in the pool */
    struct raft_message message;
    struct transfer *transfer; /* of a snapshot; NULL: a plain message */
    unsigned chunk;
};

/* One stream of a snapshot. */
struct transfer {
    size_t references;
    uint32_t from, to, from_incarnation, to_incarnation;
    unsigned chunks, received;
    bool is_cut, is_reported;
    struct packet *message;
    struct image *image;
};

/* --- disk ------------------------------------------------------------------------------------- */

struct slot {
    uint64_t term;
    uint64_t chain; /* hash of this entry and all before it */
    enum entry_type type;
    struct payload *payload;
};

struct durable_id {
    uint64_t term;
    uint64_t index;
};

struct disk {
    struct hard_state hard;
    uint64_t base; /* the last compacted index; slots[base] still tells term and chain */
    uint64_t last;
    struct slot *slots; /* by index */
    size_t capacity;
    struct machine tables;
    struct configuration_box *configuration; /* as of tables.applied */
    struct durable_id memory[MAX_MEMBERS];   /* what others said they have */
};

/* A transaction, and what waits for it. */
struct write {
    struct write *next;
    bool has_hard;
    struct hard_state hard;
    struct snapshot *snapshot; /* NULL: none */
    struct image *image;       /* its content */
    struct entry_list entries;
    uint64_t *chains;
    size_t chain_capacity;
    struct machine tables; /* effects up to here */
    struct configuration_box *configuration;
    struct durable_id *memory; /* NULL: as before */
    uint64_t compact_to;       /* 0: not */
    struct packet **responses;
    size_t response_count, response_capacity;
    bool is_turn; /* of a core without asynchronous storage: to be advanced behind it */
    struct entry_list committed;
};

/* --- members ---------------------------------------------------------------------------------- */

enum life {
    LIFE_UNUSED,
    LIFE_UP,
    LIFE_DOWN,      /* crashed or halted, will be started */
    LIFE_ASKING,    /* started, asks the others what they know of its disk */
    LIFE_DESTROYED, /* its disk is lost or must not be used: to be replaced */
    LIFE_GONE,      /* removed and stopped */
};

struct applying {
    struct applying *next;
    struct packet *message; /* entries; its responses */
    struct packet **responses;
    size_t response_count, response_capacity;
};

struct position {
    uint64_t term;
    uint64_t chain;
};

struct pending_read_of_client {
    bool active, has_index;
    uint64_t token, index;
    uint64_t leader_at_begin;
};

struct member {
    uint64_t id;
    enum life life;
    uint32_t incarnation;
    struct raft *raft;
    struct disk disk;
    struct disk old_disk; /* of a while ago, to roll back to */
    bool has_old_disk, is_rolled_back;
    bool has_damage; /* of the disk; found at the next start */
    bool lost_sync;  /* a mutant's: an fsync failed and nobody knows */
    bool is_behind;  /* the others remember more of its disk than is there */
    bool asked[MAX_MEMBERS];

    /* The owner's memory, lost in a crash. */
    struct machine machine;
    struct configuration_box *configuration;
    struct position *view; /* the log with what is being written, by index */
    size_t view_capacity;
    uint64_t view_last;
    struct hard_state handed_hard;
    struct write *queue, **queue_tail;
    size_t in_flight; /* of the queue */
    size_t queue_count;
    struct write *stored, **stored_tail; /* durable, the owner not yet told */
    struct applying *applying, **applying_tail;
    uint64_t applying_size;
    bool apply_scheduled;
    bool turn_busy, pump_scheduled;
    struct image *images[CACHED_IMAGES]; /* newest first, of what was received and made */
    struct durable_id memory[MAX_MEMBERS];
    bool memory_changed;
    bool disk_was_full;
    unsigned snapshots_pending; /* handed out, not installed: the core's configuration is theirs */
    bool configuration_changed; /* to be compared with the core's, once none is pending */
    uint64_t snapshot_floor;    /* applied by an installed snapshot up to here */
    struct {
        bool active;
        uint64_t sequence;
    } pending_writes[MAX_CLIENTS];
    struct pending_read_of_client pending_reads[MAX_CLIENTS];
    uint32_t indexed_reads; /* bits of clients: those that have_index */

    /* The world's. */
    uint64_t tick_period, paused_until, no_ticks_until, full_until, slow_disk_until;
    unsigned missed_ticks;
    bool fail_next_write;
    bool is_stopping;
    uint64_t replacement; /* id of who replaces it; 0: none yet */
    struct random_source random;

    /* The oracle's. */
    struct raft_status status; /* at the last look */
    uint64_t seen_term, seen_commit, seen_applied;
    uint64_t led_term;  /* the last term that it led in this incarnation */
    uint64_t led_first; /* first index of it */
    bool completeness_due;
    uint64_t transferee;
    enum raft_role seen_role;
    bool was_learner;
};

/* --- clients ---------------------------------------------------------------------------------- */

struct client {
    bool is_waiting, is_read, was_unknown, is_final;
    uint32_t sequence;
    struct command command;
    uint32_t target;
    uint32_t target_incarnation;
    uint64_t wake; /* only this one of its events counts */
    uint64_t token;
    uint64_t floor; /* of a read: what it may not be older than */
    uint64_t reading_since;
};

/* --- events ----------------------------------------------------------------------------------- */

enum event_kind {
    EVENT_TICK,
    EVENT_PACKET,
    EVENT_DISK,
    EVENT_APPLY,
    EVENT_PUMP,
    EVENT_RESUME,
    EVENT_START,
    EVENT_REPORT,
    EVENT_CLIENT,
    EVENT_FAULT,
    EVENT_LINKS_HEAL,
    EVENT_ADMIN,
    EVENT_STOP,
    EVENT_CRASH,    /* and start soon, */
    EVENT_CAMPAIGN, /* and campaign */
    EVENT_KIND_COUNT
};

struct event {
    uint64_t time;
    uint64_t order;
    enum event_kind kind;
    uint32_t member;
    uint32_t incarnation;
    uint32_t value;
    void *object;
};

struct event_queue {
    struct event *items;
    size_t count;
    size_t capacity;
};

void queue_push(struct event_queue *q, const struct event *e);
bool queue_pop(struct event_queue *q, struct event *out);

struct trace_line {
    uint64_t number, time;
    enum event_kind kind;
    uint32_t member;
    uint32_t value;
    bool has_message;
    enum message_type type;
    bool reject;
    uint64_t from, to, term, log_term, index, commit;
    size_t entry_count;
    /* Behind it: */
    enum raft_role role;
    uint64_t after_term, after_commit, after_last, after_applied;
    const char *note;
};

/* --- the oracle's memory ---------------------------------------------------------------------- */

/* Whatever was once at (index, term). */
struct variant {
    struct variant *next, *pool_next;
    uint64_t term, payload_hash, chain;
    bool is_change;
    bool had_majority;
};

struct committed_entry {
    uint64_t term, chain, commit_term;
    uint64_t state_hash; /* 0: not applied anywhere */
    uint64_t configuration_hash;
};

struct oracle {
    struct committed_entry *committed; /* by index */
    size_t committed_capacity;
    uint64_t commit;           /* the highest, of any member ever */
    struct variant **variants; /* by index */
    size_t variants_capacity, variants_count;
    struct variant *variant_pool, *variant_free; /* in use, and not */
    struct {
        uint64_t leader;
        uint32_t incarnation;
    } * leaders; /* by term */
    size_t leaders_capacity;
    struct {
        uint64_t term, candidate;
    } granted[MAX_MEMBERS][8]; /* the last votes of each, a ring by term */
    uint8_t *refused;          /* by attempt */
    size_t refused_capacity;
    uint64_t joint_by_term; /* whose term entered the joint configuration in force */
    uint64_t newest_configuration_hash, rejected_pre_votes;
};

/* --- the world -------------------------------------------------------------------------------- */

struct options {
    const char *profile;
    unsigned voters;
    uint64_t events;
    bool trace;
    bool quiet;
};

struct world {
    uint64_t seed;
    const struct options *options;
    struct profile profile;
    struct random_source random;
    uint64_t now, order, number;
    uint64_t trace_hash;
    struct event_queue queue;
    struct member members[MAX_MEMBERS];
    uint32_t member_count; /* ids below it are used; 0 is nobody */
    struct client clients[MAX_CLIENTS];
    uint32_t attempts;
    uint64_t tokens;
    uint8_t cut[MAX_MEMBERS][MAX_MEMBERS]; /* from, to */
    uint64_t slow_until[MAX_MEMBERS][MAX_MEMBERS];
    uint64_t last_delivery[MAX_MEMBERS][MAX_MEMBERS]; /* with fifo */
    uint64_t links_generation;
    bool is_healed;
    uint64_t heal_time;
    bool rollback_pending;
    uint64_t flood_leader, flood_commit, flood_since;
    struct oracle oracle;
    struct coverage_counts coverage;
    struct packet *packet_pool;
    struct write *write_pool;
    struct applying *applying_pool;
    struct trace_line last[TRACE_LAST];
    struct trace_line *line; /* of the event under way */
    uint64_t snapshots_on_way[MAX_MEMBERS];
};

static inline void covered(struct world *w, enum coverage c)
{
    w->coverage.of[c]++;
}

static inline void trace_mix(struct world *w, uint64_t value)
{
    w->trace_hash = (w->trace_hash ^ value) * UINT64_C(0xff51afd7ed558ccd);
    w->trace_hash ^= w->trace_hash >> 32;
}

static inline struct member *member_of(struct world *w, uint64_t id)
{
    return id > 0 && id < w->member_count ? &w->members[id] : NULL;
}

/* world.c */
struct world *world_create(void);
void world_destroy(struct world *w);
/* One run from its seed to its end. */
void world_run(struct world *w, uint64_t seed, const struct options *options);
void schedule(struct world *w, uint64_t delay, enum event_kind kind, uint32_t member,
              uint32_t value, void *object);
uint64_t leader_now(const struct world *w); /* of the highest term; 0: none */
struct configuration_box *box_create(const struct configuration_state *c);
struct configuration_box *box_reference(struct configuration_box *b);
void box_release(struct configuration_box *b);
struct image *image_create(const struct machine *m, struct configuration_box *c);
struct image *image_reference(struct image *i);
void image_release(struct image *i);
void *grow(void *items, size_t *capacity, size_t needed, size_t size);
/* The freshest applied configuration of all. */
const struct configuration_state *newest_configuration(const struct world *w);

/* trace.c */
void trace_message(struct trace_line *line, const struct raft_message *m);
void trace_print(const struct world *w, const struct trace_line *line);
void trace_print_last(const struct world *w);
/* Says what is wrong, with the seed and the last events, and ends the program (exit code 1). */
void violated(struct world *w, const char *invariant, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
extern struct world *trace_world; /* for a signal's handler */

/* owner.c */
void member_start(struct world *w, struct member *m);
void member_crash(struct world *w, struct member *m);
void member_pump(struct world *w, struct member *m);
/* Behind each call into the core. */
void member_called(struct world *w, struct member *m, enum err error);
void member_tick(struct world *w, struct member *m);
void member_step(struct world *w, struct member *m, const struct raft_message *message);
enum err member_propose_change(struct world *w, struct member *m,
                               const struct configuration_change *c);
void member_stored(struct world *w, struct member *m);
/* Goes on after a pause. */
void member_resume(struct world *w, struct member *m);
void member_apply(struct world *w, struct member *m);
void member_keep_image(struct member *m, struct image *i);
struct image *member_find_image(const struct member *m, uint64_t index);
void member_init(struct world *w, struct member *m, uint64_t id);
void member_fini(struct world *w, struct member *m);
void member_drop_memory(struct world *w, struct member *m);

/* disk.c */
void disk_fini(struct disk *d);
void disk_copy(struct disk *to, const struct disk *from);
struct raft_storage disk_storage(struct member *m);
struct write *write_create(struct world *w);
void write_release(struct world *w, struct write *op);
void disk_submit(struct world *w, struct member *m, struct write *op);
void disk_event(struct world *w, struct member *m);
/* A prefix of what is being written survives. */
void disk_crash(struct world *w, struct member *m);
bool disk_has(const struct world *w, const struct member *m, uint64_t index, uint64_t chain);

/* network.c */
struct packet *packet_create(struct world *w, const struct raft_message *m);
void packet_release(struct world *w, struct packet *p);
void network_send(struct world *w, struct member *from, const struct raft_message *m);
void network_send_snapshot(struct world *w, struct member *from, const struct raft_message *m);
void network_deliver(struct world *w, struct member *to, struct packet *p);
void network_report(struct world *w, struct member *from, struct transfer *t);
void transfer_release(struct world *w, struct transfer *t);

/* clients.c */
void clients_start(struct world *w);
void client_event(struct world *w, uint32_t client, uint64_t wake);
/* The member applied a command, or knows a read's index. */
void client_applied(struct world *w, struct member *m, const struct command *c, uint64_t index,
                    enum machine_verdict verdict);
void client_read_index(struct world *w, struct member *m, uint64_t token, uint64_t index);
void client_check_reads(struct world *w, struct member *m);
void client_leader_changed(struct world *w, struct member *m);
bool clients_idle(const struct world *w);
const struct command *command_of(const struct payload *p);

/* admin.c */
void admin_event(struct world *w);
bool admin_content(struct world *w);
/* Whether a change of the configuration may still be committed. */
bool admin_change_in_flight(struct world *w);

/* nemesis.c */
void nemesis_event(struct world *w);
void nemesis_crash(struct world *w, struct member *m);
void nemesis_heal_links(struct world *w);
void nemesis_heal(struct world *w);
/* Whether the cluster can lose this member for good. */
bool nemesis_may_destroy(struct world *w, const struct member *m);

/* oracle.c */
void oracle_reset(struct oracle *o);
void oracle_fini(struct oracle *o);
uint64_t oracle_chain(uint64_t before, const struct entry *e, uint64_t *payload_hash);
uint64_t view_chain(const struct world *w, const struct member *m, uint64_t index);
uint64_t view_term(const struct world *w, const struct member *m, uint64_t index);
/* ENTRY is put into M's log behind what has the chain BEFORE. Returns the chain. */
uint64_t oracle_entry(struct world *w, struct member *m, uint64_t before, const struct entry *e);
void oracle_called(struct world *w, struct member *m);
void oracle_pumped(struct world *w, struct member *m);
void oracle_applied(struct world *w, struct member *m, uint64_t index, uint64_t term);
void oracle_sends(struct world *w, struct member *m, const struct raft_message *message);
void oracle_received(struct world *w, struct member *m, const struct raft_message *message);
void oracle_installed(struct world *w, struct member *m, const struct snapshot *s);
void oracle_started(struct world *w, struct member *m);
void oracle_acked(struct world *w, uint64_t index);
void oracle_truncates(struct world *w, struct member *m, uint64_t from);
/* Whether the run has converged; if not, TEXT says why. */
bool oracle_converged(struct world *w, const char **text);

#endif
