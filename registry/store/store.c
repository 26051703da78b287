/* The store's life: opening the journal, its identity, the node, timers; status; the end. */
#include "registry/store/internal.h"

#include "base/hash.h"
#include "base/log.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_ELECTION_TIMEOUT_MS = 1000,
    SIZE_CHECK_MS = 1000,
    COMMIT_BUCKETS = 14, /* 1, 2, 4, ... 8192 ms, as etcd's */
};

/* --- identity --------------------------------------------------------------------------------- */

/* A non-zero 64-bit id out of what a bootstrap names, so that all members of one --initial-cluster
 * come to the same ids by themselves. */
static uint64_t id_of(const char *kind, const char *token, const char *const *texts, size_t count)
{
    crypto_generichash_state hash;
    uint8_t out[crypto_generichash_BYTES];
    (void)crypto_generichash_init(&hash, NULL, 0, sizeof(out));
    (void)crypto_generichash_update(&hash, (const uint8_t *)kind, strlen(kind) + 1);
    (void)crypto_generichash_update(&hash, (const uint8_t *)token, strlen(token) + 1);
    for (size_t i = 0; i < count; i++)
        (void)crypto_generichash_update(&hash, (const uint8_t *)texts[i], strlen(texts[i]) + 1);
    (void)crypto_generichash_final(&hash, out, sizeof(out));
    uint64_t id = 0;
    for (size_t i = 0; i < sizeof(id); i++)
        id = id << 8 | out[i];
    return id != 0 ? id : 1;
}

static enum err identify(struct store *s, const struct store_config *config, struct strbuf *error)
{
    struct journal_start start;
    journal_start(s->journal, &start);
    if (start.member_id == 0 && config->must_exist) {
        strbuf_add_format(error,
                          "registry: --initial-cluster-state existing, but %s holds no registry. "
                          "Joining a running cluster is not there yet; to begin a new one, leave "
                          "the flag out",
                          config->data_dir);
        return ERR_NOT_FOUND;
    }
    if (start.member_id == 0) {
        const char *token = config->cluster_token != NULL ? config->cluster_token : "";
        const char *named[] = {s->name};
        uint64_t cluster =
            id_of("warren cluster", token, config->peer_urls, config->peer_url_count);
        uint64_t member = id_of("warren member", token, named, 1) ^ cluster;
        start.cluster_id = cluster;
        start.member_id = member != 0 ? member : 1;
        struct id_set alone = {.count = 1, .ids = {start.member_id}};
        enum err e = node_bootstrap(s->journal, start.cluster_id, start.member_id, &alone, error);
        if (e != OK)
            return e;
    }
    s->member.id = start.member_id;
    return OK;
}

static enum err copy_urls(struct store *s, const char *const *urls, size_t count,
                          const char *const **out, size_t *out_count)
{
    *out = (const char *const *)s->urls + s->url_count;
    *out_count = count;
    for (size_t i = 0; i < count; i++) {
        s->urls[s->url_count] = strdup(urls[i]);
        if (s->urls[s->url_count] == NULL)
            return ERR_NO_MEMORY;
        s->url_count++;
    }
    return OK;
}

static enum err describe_member(struct store *s, const struct store_config *config)
{
    s->name = strdup(config->name != NULL ? config->name : "default");
    s->urls = calloc(config->peer_url_count + config->client_url_count + 1, sizeof(*s->urls));
    if (s->name == NULL || s->urls == NULL)
        return ERR_NO_MEMORY;
    s->member.name = s->name;
    enum err e = copy_urls(s, config->peer_urls, config->peer_url_count, &s->member.peer_urls,
                           &s->member.peer_url_count);
    if (e != OK)
        return e;
    return copy_urls(s, config->client_urls, config->client_url_count, &s->member.client_urls,
                     &s->member.client_url_count);
}

enum err store_set_client_urls(struct store *s, const char *const *urls, size_t count)
{
    assert(count == s->member.client_url_count);
    char **own = s->urls + s->member.peer_url_count;
    for (size_t i = 0; i < count; i++) {
        char *copy = strdup(urls[i]);
        if (copy == NULL)
            return ERR_NO_MEMORY;
        free(own[i]);
        own[i] = copy;
    }
    return OK;
}

static void on_health(void *context, enum journal_health health)
{
    struct store *s = context;
    if (health == JOURNAL_OK)
        log_line(LOG_INFO, "registry: the disk is all right again");
    else
        log_line(health == JOURNAL_HALTED ? LOG_ERROR : LOG_WARNING, "registry: %s",
                 journal_failure(s->journal));
    if (health == JOURNAL_LOW)
        store_space_low(s);
    store_note_health(s);
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* etcd's two, by which an operator judges a disk. A transaction here is both: its log entries and
 * their effects share one sync. */
static enum err make_commit_times(struct store *s)
{
    static const char *const names[] = {"etcd_disk_wal_fsync_duration_seconds",
                                        "etcd_disk_backend_commit_duration_seconds"};
    static const char *const helps[] = {"The latency distributions of fsync called by WAL.",
                                        "The latency distributions of commit called by backend."};
    double bounds[COMMIT_BUCKETS];
    for (size_t i = 0; i < COMMIT_BUCKETS; i++)
        bounds[i] = 0.001 * (double)(1u << i);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct metric_family *f = metrics_family(s->metrics, METRIC_HISTOGRAM, names[i], helps[i],
                                                 NULL, 0, bounds, COMMIT_BUCKETS);
        s->commit_times[i] = f != NULL ? metric_series(f, NULL) : NULL;
        if (s->commit_times[i] == NULL)
            return ERR_NO_MEMORY;
    }
    return OK;
}

static enum err make_metrics(struct store *s)
{
    if (s->metrics == NULL)
        return OK;
    s->health_gauge =
        metrics_single(s->metrics, METRIC_GAUGE, "warren_journal_health",
                       "State of the disk: 0 all right, 1 low on space, 2 full, 3 failed and "
                       "not written to until a restart.");
    s->writable_gauge = metrics_single(s->metrics, METRIC_GAUGE, "warren_registry_writable",
                                       "Whether puts are taken. 1 if they are, 0 otherwise.");
    s->stale_gauge =
        metrics_single(s->metrics, METRIC_GAUGE, "warren_registry_stale_seconds",
                       "How old the answers from the registry may be: seconds since puts "
                       "stopped being taken, 0 while they are.");
    if (s->health_gauge == NULL || s->writable_gauge == NULL || s->stale_gauge == NULL)
        return ERR_NO_MEMORY;
    return make_commit_times(s);
}

static void on_commit(void *context, double seconds)
{
    struct store *s = context;
    for (size_t i = 0; i < ARRAY_COUNT(s->commit_times); i++)
        metric_observe(s->commit_times[i], seconds);
}

void store_note_health(struct store *s)
{
    bool is_writable = store_write_verdict(s, true) == VERDICT_OK;
    if (is_writable)
        s->stopped_at_ms = 0;
    else if (s->stopped_at_ms == 0)
        s->stopped_at_ms = uv_now(s->loop);
    atomic_store(&s->is_writable, is_writable);
    if (s->metrics == NULL)
        return;
    metric_set(s->health_gauge, (double)journal_health(s->journal));
    metric_set(s->writable_gauge, is_writable);
    metric_set(s->stale_gauge,
               is_writable ? 0 : (double)(uv_now(s->loop) - s->stopped_at_ms) / 1000);
}

bool store_is_writable(const struct store *s)
{
    return atomic_load(&s->is_writable);
}

/* --- life ------------------------------------------------------------------------------------- */

static enum err init_handles(struct store *s)
{
    uv_timer_t *timers[] = {&s->lease_timer, &s->retry_timer, &s->compaction_timer, &s->stall_timer,
                            &s->space_timer};
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++) {
        (void)uv_timer_init(s->loop, timers[i]); /* cannot fail */
        timers[i]->data = s;
        s->open_handles++;
    }
    (void)uv_idle_init(s->loop, &s->background);
    s->background.data = s;
    s->open_handles++;
    return OK;
}

static enum err create_parts(struct store *s, const struct store_config *config,
                             struct strbuf *error)
{
    enum err e = describe_member(s, config);
    if (e == OK)
        e = make_metrics(s);
    if (e == OK)
        e = state_create(&s->state);
    if (e == OK)
        e = watch_hub_create(&s->hub, s->state);
    if (e == OK)
        e = store_lease_init(s);
    struct journal_config journal = {
        .data_dir = config->data_dir,
        .loop = s->loop,
        .vfs = config->vfs,
    };
    if (e == OK)
        e = journal_open(&s->journal, &journal, error);
    if (e == OK)
        e = identify(s, config, error);
    uint64_t heartbeat_ms = config->heartbeat_interval_ms > 0 ? config->heartbeat_interval_ms
                            : s->election_timeout_ms >= 10    ? s->election_timeout_ms / 10
                                                              : 1;
    struct node_config node = {
        .loop = s->loop,
        .journal = s->journal,
        .machine = store_machine(s),
        .election_timeout_ms = (unsigned)s->election_timeout_ms,
        .heartbeat_interval_ms = (unsigned)heartbeat_ms,
    };
    if (e == OK)
        e = node_create(&s->node, &node, error);
    return e;
}

static void start(struct store *s)
{
    struct node_status status;
    node_status(s->node, &status);
    s->term = status.term;
    journal_on_health(s->journal, on_health, s);
    if (s->metrics != NULL)
        journal_on_commit(s->journal, on_commit, s);
    if (journal_health(s->journal) != JOURNAL_OK)
        on_health(s, journal_health(s->journal)); /* it was so already when we began to listen */
    store_note_health(s);
    store_lease_lead(s, status.leader == status.member_id);
    uv_timer_start(&s->space_timer, store_space_tick, SIZE_CHECK_MS, SIZE_CHECK_MS);
    if (s->compaction_retention_s > 0 || s->compaction_revisions > 0) {
        uint64_t interval = store_compaction_interval_ms(s);
        uv_timer_start(&s->compaction_timer, store_compaction_tick, 0, interval);
    }
    store_space_measure(s);
    if (state_compacted(s->state) > 0)
        store_compacted(s);
    store_background(s);
}

static void destroy(struct store *s)
{
    watch_hub_destroy(s->hub);
    lessor_destroy(s->lessor);
    state_destroy(s->state);
    arena_fini(&s->apply_arena);
    arena_fini(&s->read_arena);
    arena_fini(&s->catch_up_arena);
    arena_fini(&s->step_arena);
    store_purge_close(s);
    strbuf_fini(&s->command);
    for (size_t i = 0; i < s->url_count; i++)
        free(s->urls[i]);
    free(s->urls);
    free(s->name);
    free(s->hooks);
    free(s);
}

static void on_closed(uv_handle_t *handle)
{
    struct store *s = handle->data;
    if (--s->open_handles == 0)
        destroy(s);
}

static void close_handles(struct store *s)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&s->lease_timer,      (uv_handle_t *)&s->retry_timer,
                              (uv_handle_t *)&s->compaction_timer, (uv_handle_t *)&s->stall_timer,
                              (uv_handle_t *)&s->space_timer,      (uv_handle_t *)&s->background};
    for (size_t i = 0; i < ARRAY_COUNT(handles); i++)
        uv_close(handles[i], on_closed);
}

enum err store_open(struct store **out, const struct store_config *config, struct strbuf *error)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->loop = config->loop;
    s->metrics = config->metrics;
    s->quota_size = config->quota_size > 0 ? config->quota_size : STORE_DEFAULT_QUOTA_SIZE;
    s->election_timeout_ms =
        config->election_timeout_ms > 0 ? config->election_timeout_ms : DEFAULT_ELECTION_TIMEOUT_MS;
    s->compaction_retention_s = config->compaction_retention_s;
    s->compaction_revisions = config->compaction_revisions;
    size_t answer_size = config->max_answer_size > 0 ? config->max_answer_size : STORE_ARENA_LIMIT;
    arena_init(&s->apply_arena, answer_size);
    arena_init(&s->read_arena, answer_size);
    arena_init(&s->catch_up_arena, STORE_ARENA_LIMIT);
    arena_init(&s->step_arena, answer_size);
    s->max_answer_size = answer_size;
    store_reads_init(s);
    store_history_init(s);
    enum err e = init_handles(s);
    if (e == OK)
        e = create_parts(s, config, error);
    if (e != OK) {
        if (error->size == 0)
            strbuf_add_format(error, "registry: %s: %s", config->data_dir, err_text(e));
        store_close(s);
        return e;
    }
    start(s);
    *out = s;
    return OK;
}

static void drop_list(struct store *s, struct pending **list, enum verdict v)
{
    while (*list != NULL) {
        struct pending *p = *list;
        *list = p->next;
        store_answer_verdict(s, p->done, p->context, v);
        free(p);
    }
}

void store_close(struct store *s)
{
    s->is_closing = true;
    if (s->node != NULL) {
        store_watches_close(s);
        drop_list(s, &s->keepalives, VERDICT_STOPPED);
        drop_list(s, &s->gone_keepalives, VERDICT_STOPPED);
        drop_list(s, &s->compactions, VERDICT_STOPPED);
        store_reads_close(s);
        node_destroy(s->node);
        s->node = NULL;
    }
    if (s->journal != NULL)
        journal_close(s->journal);
    s->journal = NULL;
    close_handles(s);
}

/* --- hooks and status ------------------------------------------------------------------------- */

enum err store_on_settled(struct store *s, void (*fn)(void *context), void *context)
{
    if (s->hook_count == s->hook_capacity) {
        size_t capacity = s->hook_capacity == 0 ? 8 : s->hook_capacity * 2;
        struct settled_hook *grown = realloc(s->hooks, capacity * sizeof(*grown));
        if (grown == NULL)
            return ERR_NO_MEMORY;
        s->hooks = grown;
        s->hook_capacity = capacity;
    }
    s->hooks[s->hook_count++] = (struct settled_hook){.fn = fn, .context = context};
    return OK;
}

void store_off_settled(struct store *s, void *context)
{
    for (size_t i = s->hook_count; i-- > 0;) {
        if (s->hooks[i].context != context)
            continue;
        memmove(&s->hooks[i], &s->hooks[i + 1], (s->hook_count - i - 1) * sizeof(s->hooks[0]));
        s->hook_count--;
        return;
    }
}

void store_status(struct store *s, struct store_status *out)
{
    struct node_status node;
    struct journal_stats stats;
    node_status(s->node, &node);
    journal_stats(s->journal, &stats);
    *out = (struct store_status){
        .cluster_id = node.cluster_id,
        .member_id = node.member_id,
        .leader = node.leader,
        .term = node.term,
        .raft_index = node.last_index,
        .raft_applied = node.applied,
        .revision = state_revision(s->state),
        .compact_revision = state_compacted(s->state),
        .database_size = stats.database_size,
        .in_use_size = stats.in_use_size,
        .quota_size = s->quota_size,
        .failure = journal_failure(s->journal),
        .members = &s->member,
        .member_count = 1,
        .key_count = state_key_count(s->state),
        .watch_count = watch_hub_count(s->hub),
    };
    out->alarm_count = state_alarms(s->state, &out->alarms);
}
