/* Has our core live what etcd-io/raft lived, event by event (stdin, in the form of stream.go), and
 * compares the states behind each. Exit code 0: no difference; 1: the first one is told. */
#include "storage.h"
#include "wire.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_NODES = 16,
    MAX_FRAME = 1 << 24
};

struct node {
    struct model_storage storage;
    struct raft *raft;
};

struct replay {
    uint64_t episode;
    uint64_t event;
    uint64_t total;
    uint64_t draw; /* what the event in progress draws */
    unsigned op;
    struct node nodes[MAX_NODES];
};

static struct replay replay;

static const char *const op_texts[OP_COUNT] = {"reset",        "seed",
                                               "start",        "tick",
                                               "campaign",     "propose",
                                               "change",       "read",
                                               "transfer",     "forget",
                                               "unreachable",  "snapshot-status",
                                               "apply-change", "apply-nothing",
                                               "step",         "ready",
                                               "advance",      "store",
                                               "snapshot",     "compact",
                                               "available",    "election-timeout",
                                               "refused"};

/* An assertion of the core, or worse: says where, and dies of it. */
static void on_abort(int number)
{
    char text[200];
    int size = snprintf(text, sizeof(text), "episode %" PRIu64 " event %" PRIu64 " %s: signal %d\n",
                        replay.episode, replay.event, op_texts[replay.op], number);
    fflush(stdout);
    if (size > 0 && write(STDOUT_FILENO, text, (size_t)size) < 0)
        _exit(3);
    signal(number, SIG_DFL);
    raise(number);
}

static unsigned draw(void *context, unsigned below)
{
    const struct replay *r = context;
    return (unsigned)(r->draw % below);
}

/* --- results, as stream.go numbers them --------------------------------------------------------
 */

enum {
    RESULT_OK,
    RESULT_DROPPED,
    RESULT_LOCAL,
    RESULT_NOT_FOUND,
    RESULT_OTHER = 100
};

static uint64_t result_of(enum err error)
{
    switch ((int)error) {
    case OK:
        return RESULT_OK;
    case ERR_REFUSED:
        return RESULT_DROPPED;
    case ERR_MALFORMED:
        return RESULT_LOCAL;
    case ERR_NOT_FOUND:
        return RESULT_NOT_FOUND;
    default:
        return RESULT_OTHER + (uint64_t)error;
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void do_reset(struct reader *in)
{
    replay.episode = read_number(in);
    replay.event = 0;
    for (size_t i = 0; i < MAX_NODES; i++) {
        raft_destroy(replay.nodes[i].raft);
        replay.nodes[i].raft = NULL;
        model_storage_fini(&replay.nodes[i].storage);
    }
}

static void do_seed(struct reader *in, struct node *n)
{
    struct snapshot s;
    if (read_byte(in) == 0)
        return;
    read_snapshot(in, &s);
    model_storage_install(&n->storage, &s);
}

static uint64_t do_start(struct reader *in, struct node *n, uint64_t id)
{
    struct raft_config c = {.id = id, .random = draw, .random_context = &replay};
    c.storage = model_storage_interface(&n->storage);
    c.election_ticks = (unsigned)read_number(in);
    c.heartbeat_ticks = (unsigned)read_number(in);
    c.max_message_size = read_number(in);
    c.max_applying_size = read_number(in);
    c.max_uncommitted_size = read_number(in);
    c.max_inflight = read_number(in);
    c.max_inflight_size = read_number(in);
    c.hard_state.term = read_number(in);
    c.hard_state.vote = read_number(in);
    c.hard_state.commit = read_number(in);
    c.applied = read_number(in);
    c.async_storage = read_byte(in) != 0;
    c.check_quorum = read_byte(in) != 0;
    c.pre_vote = read_byte(in) != 0;
    c.no_forwarding = read_byte(in) != 0;
    c.no_change_validation = read_byte(in) != 0;
    c.step_down_on_removal = read_byte(in) != 0;
    c.no_forget_leader = read_byte(in) != 0;
    read_configuration(in, &c.configuration);
    raft_destroy(n->raft);
    n->raft = NULL;
    return result_of(raft_create(&n->raft, &c));
}

static uint64_t do_propose(struct reader *in, struct raft *r)
{
    struct payload *p = read_payload(in);
    enum err error = raft_propose(r, p);
    payload_release(p);
    return result_of(error);
}

static uint64_t do_change(struct reader *in, struct raft *r)
{
    struct configuration_change c = {0};
    if (read_byte(in) == 0)
        return result_of(raft_propose_change(r, NULL));
    c.is_v1 = read_byte(in) != 0;
    c.transition = (enum change_transition)read_number(in);
    c.item_count = read_number(in);
    if (c.item_count > CHANGE_MAX_ITEMS)
        abort();
    for (size_t i = 0; i < c.item_count; i++) {
        c.items[i].type = (enum change_type)read_number(in);
        c.items[i].id = read_number(in);
    }
    struct payload *context = read_payload(in);
    c.context = payload_bytes(context);
    enum err error = raft_propose_change(r, &c);
    payload_release(context);
    return result_of(error);
}

static uint64_t do_read(struct reader *in, struct raft *r)
{
    struct payload *p = read_payload(in);
    enum err error = raft_read_index(r, p);
    payload_release(p);
    return result_of(error);
}

static uint64_t apply(struct raft *r, const struct configuration_change *c)
{
    enum change_verdict verdict = CHANGE_OK;
    enum err error = raft_apply_change(r, c, &verdict);
    return error != OK ? RESULT_OTHER + (uint64_t)error : verdict;
}

static uint64_t do_apply_change(struct reader *in, struct raft *r)
{
    struct configuration_change c;
    enum entry_type type = (enum entry_type)read_number(in);
    struct payload *p = read_payload(in);
    if (p == NULL)
        return apply(r, NULL);
    enum err error = change_decode(&c, type, payload_bytes(p));
    uint64_t result = error == OK ? apply(r, &c) : RESULT_OTHER + (uint64_t)error;
    payload_release(p);
    return result;
}

/* As an owner does that refuses a change: a change of nobody. */
static uint64_t do_apply_nothing(struct raft *r)
{
    struct configuration_change c = {.is_v1 = true, .item_count = 1};
    return apply(r, &c);
}

static uint64_t do_step(struct reader *in, struct raft *r)
{
    struct raft_message m;
    read_message(in, &m);
    enum err error = raft_step(r, &m);
    message_fini(&m);
    return result_of(error);
}

static uint64_t do_store(struct reader *in, struct node *n)
{
    struct entry_list entries;
    struct snapshot s;
    if (read_byte(in) != 0) {
        /* The hard state: a restart tells it again. */
        for (int i = 0; i < 3; i++)
            (void)read_number(in);
    }
    if (read_byte(in) != 0) {
        read_snapshot(in, &s);
        model_storage_install(&n->storage, &s);
    }
    read_entries(in, &entries);
    model_storage_append(&n->storage, entry_list_view(&entries));
    entry_list_fini(&entries);
    return RESULT_OK;
}

static uint64_t do_input(struct reader *in, struct node *n)
{
    struct raft *r = n->raft;
    switch ((enum op)replay.op) {
    case OP_TICK:
        return result_of(raft_tick(r));
    case OP_CAMPAIGN:
        return result_of(raft_campaign(r));
    case OP_PROPOSE:
        return do_propose(in, r);
    case OP_CHANGE:
        return do_change(in, r);
    case OP_READ:
        return do_read(in, r);
    case OP_TRANSFER:
        return result_of(raft_transfer_leadership(r, read_number(in)));
    case OP_FORGET:
        return result_of(raft_forget_leader(r));
    case OP_UNREACHABLE:
        return result_of(raft_report_unreachable(r, read_number(in)));
    case OP_SNAPSHOT_STATUS: {
        uint64_t id = read_number(in);
        return result_of(raft_report_snapshot(r, id, read_byte(in) != 0));
    }
    case OP_APPLY_CHANGE:
        return do_apply_change(in, r);
    case OP_APPLY_NOTHING:
        return do_apply_nothing(r);
    case OP_STEP:
    case OP_REFUSED:
        return do_step(in, r);
    case OP_ADVANCE:
        return result_of(raft_advance(r));
    case OP_STORE:
        return do_store(in, n);
    case OP_SNAPSHOT:
        read_snapshot(in, &n->storage.snapshot);
        return RESULT_OK;
    case OP_COMPACT:
        model_storage_compact(&n->storage, read_number(in));
        return RESULT_OK;
    case OP_AVAILABLE:
        n->storage.unavailable = read_byte(in) == 0;
        return RESULT_OK;
    case OP_ELECTION_TIMEOUT:
        raft_set_election_timeout(r, (unsigned)read_number(in));
        return RESULT_OK;
    case OP_RESET:
    case OP_SEED:
    case OP_START:
    case OP_READY:
    case OP_COUNT:
        break;
    }
    abort();
}

/* --- comparing -------------------------------------------------------------------------------- */

/* True if there is no difference. */
static bool do_event(struct reader *in, const uint8_t *theirs, size_t their_size)
{
    static struct dump ours;
    struct raft_ready ready = {0};
    replay.op = read_byte(in);
    uint64_t id = read_byte(in);
    replay.draw = read_byte(in);
    if (replay.op >= OP_COUNT || id >= MAX_NODES)
        abort();
    struct node *n = &replay.nodes[id];
    if (replay.op == OP_RESET) {
        do_reset(in);
        return true;
    }
    if (replay.op == OP_SEED) {
        do_seed(in, n);
        return true;
    }
    ours.size = 0;
    uint64_t result;
    if (replay.op == OP_START)
        result = do_start(in, n, id);
    else if (n->raft == NULL)
        abort();
    else if (replay.op == OP_READY)
        result = result_of(raft_ready(n->raft, &ready));
    else
        result = do_input(in, n);
    if (n->raft != NULL)
        dump_state(&ours, n->raft, result);
    dump_ready(&ours, &ready);
    if (ours.size != their_size || memcmp(ours.data, theirs, their_size) != 0) {
        char where[160];
        snprintf(where, sizeof(where), "episode %" PRIu64 " event %" PRIu64 " %s: ", replay.episode,
                 replay.event, op_texts[replay.op]);
        if (n->raft == NULL)
            printf("the core does not start: %s\n", err_text((enum err)(result - RESULT_OTHER)));
        dump_report(where, theirs, their_size, &ours);
        return false;
    }
    replay.event++;
    replay.total++;
    return true;
}

/* --- frames ----------------------------------------------------------------------------------- */

struct frame {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* False at the end. A frame that is cut short is one, too: who sent it has died. */
static bool read_frame(struct frame *f)
{
    uint8_t head[4];
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
        return false;
    f->size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    if (f->size > MAX_FRAME)
        abort();
    if (f->capacity < f->size) {
        f->capacity = f->size * 2;
        free(f->data);
        f->data = malloc(f->capacity);
        if (f->data == NULL)
            abort();
    }
    return fread(f->data, 1, f->size, stdin) == f->size;
}

/* The two sides call the fields the same. */
static bool is_same_language(const struct frame *f)
{
    struct reader in = {.data = f->data, .size = f->size};
    for (unsigned i = 0; i < TAG_COUNT; i++) {
        struct payload *name = read_payload(&in);
        bool same = bytes_equal(payload_bytes(name), bytes_of_str(tag_text(i)));
        payload_release(name);
        if (!same)
            return false;
    }
    return in.at == in.size;
}

int main(void)
{
    struct frame event = {0}, state = {0};
    struct reader nothing = {.data = (const uint8_t[1]){0}, .size = 1};
    int code = 0;
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    setvbuf(stdin, NULL, _IOFBF, 1 << 18);
    if (!read_frame(&event) || !is_same_language(&event)) {
        printf("replay: not a stream of this version\n");
        return 2;
    }
    while (code == 0 && read_frame(&event) && read_frame(&state)) {
        struct reader in = {.data = event.data, .size = event.size};
        if (!do_event(&in, state.data, state.size))
            code = 1;
    }
    do_reset(&nothing);
    free(event.data);
    free(state.data);
    if (code == 0)
        printf("%" PRIu64 " events\n", replay.total);
    return code;
}
