/* cache: keeps replies, positive and negative apart, and answers from them while their TTL lasts.
 *
 * Behaves as CoreDNS 1.11.1's: the key is name, type and DO; TTLs are the smallest of the reply's,
 * raised to the configured minimum (5 s, so an answer with TTL 0 is kept for 5 s) and lowered to
 * the maximum; every record of a reply that passes gets that TTL; a reply from the cache has AA
 * set.
 *
 * Refreshing an item that is stale or popular (`serve_stale`, `prefetch`) runs the rest of the
 * chain on a copy of the query once the client's reply is written: our handlers answer from memory,
 * so that costs the client microseconds and needs no other thread. */
#include "dnsd/directive/cache_store.h"
#include "dnsd/directive/reply.h"
#include "dnsd/directive/series.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static const char name[] = "cache";

enum {
    MIN_TTL = 5,
    MAX_TTL = 3600,
    MAX_DENIAL_TTL = 1800,
    DEFAULT_CAPACITY = 10000,
    DEFAULT_PERCENTAGE = 10,
    MIN_PERCENTAGE = 10,
    MAX_PERCENTAGE = 90,
};

#define DEFAULT_PREFETCH_NS (60 * DURATION_SECOND)
#define DEFAULT_STALE_NS    (3600 * DURATION_SECOND)
#define MAX_SERVFAIL_NS     (300 * DURATION_SECOND)

enum half {
    SUCCESS,
    DENIAL,
    HALF_COUNT,
};

static const char *const half_names[HALF_COUNT] = {"success", "denial"};

enum series {
    SERIES_ENTRIES, /* by half, as hits and evictions */
    SERIES_HITS = SERIES_ENTRIES + HALF_COUNT,
    SERIES_EVICTIONS = SERIES_HITS + HALF_COUNT,
    SERIES_REQUESTS = SERIES_EVICTIONS + HALF_COUNT,
    SERIES_MISSES,
    SERIES_PREFETCHES,
    SERIES_DROPS,
    SERIES_SERVED_STALE,
    SERIES_COUNT,
};

/* One of the two caches and its limits. */
struct half_cache {
    struct cache_store *store;
    int64_t capacity;
    int64_t max_ttl; /* seconds */
    int64_t min_ttl;
    struct zone_list except; /* names that are not kept */
};

struct cache {
    struct handler base;
    struct zone_list zones;
    struct half_cache halves[HALF_COUNT];
    int64_t servfail_ns;
    int64_t prefetch; /* hits that make an item popular; 0: off */
    int64_t prefetch_pause_ns;
    int64_t prefetch_percentage;
    int64_t stale_ns; /* 0: off */
    bool verify_stale;
    bool keep_ttl;
    uint64_t seed; /* so that nobody can choose names that meet in one slot */
    const char *zones_label;
    struct metric_family *families[SERIES_COUNT];
    struct series_table series;
};

/* Keeps what passes. */
struct cache_writer {
    struct response_writer base;
    struct cache *cache;
    uint64_t key;
    bool is_do;
    bool is_ad;
    bool is_refresh;   /* nothing goes to the client */
    bool has_excepts;  /* refreshes do not look at the exceptions: the item was no exception */
    bool is_verifying; /* only NOERROR and NXDOMAIN pass */
    bool refreshed;
};

/* --- keys ------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t query_key(const struct cache *c, const struct query *q)
{
    uint64_t hash = c->seed ^ (uint64_t)query_type(q) << 1 ^ (uint64_t)query_do(q);
    size_t size = q->name.size;
    const uint8_t *at = q->name.wire;
    for (; size > 0; at += 8) {
        uint64_t word = 0;
        size_t step = size < 8 ? size : 8;
        memcpy(&word, at, step);
        hash = mix(hash ^ word, UINT64_C(0x9e3779b97f4a7c15));
        size -= step;
    }
    return mix(hash ^ c->seed, UINT64_C(0xd6e8feb86659fd93));
}

/* --- keeping --------------------------------------------------------------------------------- */

/* dnsutil.MinimalTTL */
static int64_t minimal_ttl(const struct dns_message *m, enum reply_type type)
{
    if (type != REPLY_NO_ERROR && type != REPLY_NAME_ERROR && type != REPLY_NO_DATA)
        return MIN_TTL;
    int64_t ttl = MAX_TTL;
    size_t count = 0;
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        count += list->count;
        for (size_t i = 0; i < list->count; i++)
            ttl = list->rrs[i].ttl < ttl ? list->rrs[i].ttl : ttl;
    }
    return count > 0 ? ttl : MIN_TTL;
}

/* How long a reply of this type is kept. */
static int64_t keep_ns(const struct cache *c, const struct dns_message *reply, enum reply_type type)
{
    if (type == REPLY_SERVER_ERROR)
        return c->servfail_ns;
    bool is_denial = type == REPLY_NAME_ERROR || type == REPLY_NO_DATA;
    const struct half_cache *half = &c->halves[is_denial ? DENIAL : SUCCESS];
    int64_t ttl = minimal_ttl(reply, type);
    ttl = ttl < half->min_ttl ? half->min_ttl : ttl;
    ttl = ttl > half->max_ttl ? half->max_ttl : ttl;
    return ttl * DURATION_SECOND;
}

static bool is_kept(const struct dns_message *reply, enum reply_type type, int64_t ns)
{
    return (reply->flags & DNS_FLAG_TC) == 0 && type != REPLY_OTHER_ERROR && type != REPLY_META &&
           type != REPLY_UPDATE && ns > 0;
}

/* Whether the reply belongs to the query. */
static bool reply_matches(const struct query *q, const struct dns_message *reply)
{
    return reply->has_question && (reply->flags & DNS_FLAG_QR) != 0 &&
           dns_name_equal(reply->question.name, dns_name_of(&q->name)) &&
           reply->question.type == query_type(q);
}

static void entries_count(struct cache *c, const char *server)
{
    for (size_t i = 0; i < HALF_COUNT; i++) {
        struct metric_series *s = series_get(&c->series, server, SERIES_ENTRIES + i);
        if (s != NULL)
            metric_set(s, (double)cache_store_count(c->halves[i].store));
    }
}

static void reply_keep(struct cache_writer *w, const struct query *q,
                       const struct dns_message *reply, enum reply_type type, int64_t ns)
{
    struct cache *c = w->cache;
    enum half half = type == REPLY_NO_ERROR || type == REPLY_DELEGATION ? SUCCESS : DENIAL;
    const struct zone_list *except = &c->halves[half].except;
    if (w->has_excepts && zone_list_match(except, reply->question.name) < except->count)
        return;
    struct cache_item *item = cache_item_create(w->key, reply, q->origin,
                                                (uint32_t)(ns / DURATION_SECOND), monotonic_ns());
    if (item == NULL)
        return;
    bool evicted;
    cache_store_take(c->halves[half].store, item, &evicted);
    if (evicted)
        series_inc(&c->series, q->server, SERIES_EVICTIONS + (size_t)half);
    if (half == SUCCESS && w->is_refresh)
        cache_store_remove(c->halves[DENIAL].store, w->key);
}

/* Gives every record of LIST the TTL, in a copy. The copy's lack of memory leaves the TTLs alone.
 */
static void ttl_set(struct query *q, struct dns_rr_list *list, uint32_t ttl)
{
    struct dns_rr *rrs = list->count > 0 ? arena_array(q->arena, list->count, sizeof(*rrs)) : NULL;
    if (rrs == NULL)
        return;
    for (size_t i = 0; i < list->count; i++) {
        rrs[i] = list->rrs[i];
        rrs[i].ttl = ttl;
    }
    list->rrs = rrs;
}

static void cache_write(struct response_writer *self, struct query *q, struct dns_message *reply)
{
    struct cache_writer *w = (struct cache_writer *)self;
    struct cache *c = w->cache;
    if (w->is_verifying) {
        w->refreshed = reply->rcode == DNS_RCODE_NOERROR || reply->rcode == DNS_RCODE_NXDOMAIN;
        if (!w->refreshed)
            return;
    }
    query_set_plugin(q, name);
    enum reply_type type = reply_typify(reply);
    int64_t ns = keep_ns(c, reply, type);
    if (is_kept(reply, type, ns)) {
        if (reply_matches(q, reply)) {
            reply_keep(w, q, reply, type, ns);
            entries_count(c, q->server);
        } else {
            series_inc(&c->series, q->server, SERIES_DROPS);
        }
    }
    if (w->is_refresh)
        return;
    for (int i = 0; i < DNS_SECTION_COUNT; i++)
        ttl_set(q, &reply->sections[i], (uint32_t)(ns / DURATION_SECOND));
    reply->edns = NULL; /* hop by hop; the server adds the client's */
    if (!w->is_do && !w->is_ad)
        reply->flags &= (uint16_t)~DNS_FLAG_AD;
    self->outer->write(self->outer, q, reply);
}

/* --- answering ------------------------------------------------------------------------------- */

static bool item_serves(const struct cache *c, const struct cache_item *item, const struct query *q,
                        int64_t now)
{
    if (item->type != query_type(q) || !dns_name_equal(item->name, dns_name_of(&q->name)))
        return false;
    int64_t ttl = cache_item_ttl(item, now);
    return ttl > 0 || (c->stale_ns > 0 && -ttl < c->stale_ns / DURATION_SECOND);
}

/* Denials come first. The item is the caller's to release. */
static struct cache_item *item_find(struct cache *c, const struct query *q, uint64_t key,
                                    int64_t now)
{
    static const enum half order[] = {DENIAL, SUCCESS};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        struct cache_item *item = cache_store_get(c->halves[order[i]].store, key);
        if (item == NULL)
            continue;
        if (item_serves(c, item, q, now)) {
            series_inc(&c->series, q->server, SERIES_HITS + (size_t)order[i]);
            return item;
        }
        cache_item_release(item);
    }
    series_inc(&c->series, q->server, SERIES_MISSES);
    return NULL;
}

static void reply_from_item(struct query *q, const struct cache_item *item, int64_t ttl)
{
    struct dns_message reply;
    bool is_ad = query_do(q) || (q->request.message.flags & DNS_FLAG_AD) != 0;
    dns_reply_init_rcode(&reply, &q->request.message, item->rcode);
    reply.flags |= DNS_FLAG_AA; /* some old stub resolvers discard anything else */
    reply.flags |= is_ad ? item->flags : (uint16_t)(item->flags & ~DNS_FLAG_AD);
    for (int i = 0; i < DNS_SECTION_COUNT; i++) {
        reply.sections[i] = item->sections[i];
        ttl_set(q, &reply.sections[i], (uint32_t)ttl);
    }
    q->origin = item->origin;
    q->plugin = name;
    query_write(q, &reply);
}

static int next_with_writer(struct cache *c, struct query *q, struct cache_writer *w)
{
    w->base = (struct response_writer){.write = cache_write, .outer = q->writer};
    w->cache = c;
    q->writer = &w->base;
    int rcode = handler_next(&c->base, q);
    q->writer = w->base.outer;
    return rcode;
}

/* Runs the rest of the chain for the store alone. Q is a copy that nobody else looks at. */
static void item_refresh(struct cache *c, struct query *q, uint64_t key,
                         const struct cache_item *item, int64_t now)
{
    struct cache_writer w = {.key = key, .is_do = query_do(q), .is_refresh = true};
    series_inc(&c->series, q->server, SERIES_PREFETCHES);
    q->proto = QUERY_TCP; /* nothing is to be cut for a client's sake */
    q->plugin = "";
    q->origin = NULL;
    next_with_writer(c, q, &w);
    /* the new item inherits the frequency of the old */
    for (int i = HALF_COUNT - 1; i >= 0; i--) {
        struct cache_item *fresh = cache_store_get(c->halves[i].store, key);
        if (fresh == NULL)
            continue;
        atomic_store(&fresh->last_hit_ns, now);
        atomic_store(&fresh->hits, atomic_load(&item->hits));
        cache_item_release(fresh);
        break;
    }
}

/* A copy of Q whose request may be changed without Q's noticing. */
static struct query *query_copy(const struct query *q)
{
    struct query *copy = arena_alloc(q->arena, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *q;
    if (copy->request.message.edns != NULL)
        copy->request.message.edns = &copy->request.edns;
    return copy;
}

/* Counts the hit: whether the item is asked for so often, and so near its end, that it is to be
 * renewed. */
static bool is_popular(const struct cache *c, struct cache_item *item, int64_t now, int64_t ttl)
{
    if (c->prefetch <= 0)
        return false;
    int64_t last = atomic_exchange(&item->last_hit_ns, now);
    int64_t hits = 1;
    if (now - last > c->prefetch_pause_ns)
        atomic_store(&item->hits, 1);
    else
        hits = atomic_fetch_add(&item->hits, 1) + 1;
    /* in CoreDNS's order of operations, for the same rounding */
    double threshold = ceil((double)c->prefetch_percentage / 100 * (double)item->ttl);
    return hits >= c->prefetch && ttl <= (int64_t)threshold;
}

/* serve_stale's "verify": the rest of the chain may answer instead. Whether it did. */
static bool stale_verify(struct cache *c, struct query *q, uint64_t key, int *rcode)
{
    struct cache_writer w = {.key = key, .is_do = query_do(q), .is_verifying = true};
    const char *error = q->error, *plugin = q->plugin, *origin = q->origin;
    *rcode = next_with_writer(c, q, &w);
    if (w.refreshed)
        return true;
    q->error = error;
    q->plugin = plugin;
    q->origin = origin;
    return false;
}

static int item_serve(struct cache *c, struct query *q, uint64_t key, struct cache_item *item,
                      int64_t now)
{
    int64_t ttl = cache_item_ttl(item, now);
    bool refresh = false;
    if (ttl < 0) {
        int rcode;
        if (c->verify_stale && stale_verify(c, q, key, &rcode))
            return rcode;
        now += ttl * DURATION_SECOND;
        ttl = 0;
        refresh = !c->verify_stale;
        series_inc(&c->series, q->server, SERIES_SERVED_STALE);
    } else {
        refresh = is_popular(c, item, now, ttl);
    }
    struct query *copy = refresh ? query_copy(q) : NULL;
    reply_from_item(q, item, c->keep_ttl ? item->ttl : ttl);
    if (copy != NULL)
        item_refresh(c, copy, key, item, now);
    return DNS_RCODE_NOERROR;
}

static int cache_serve(struct handler *self, struct query *q)
{
    struct cache *c = (struct cache *)self;
    if (zone_list_match(&c->zones, dns_name_of(&q->name)) == c->zones.count)
        return handler_next(self, q);
    int64_t now = monotonic_ns();
    uint64_t key = query_key(c, q);
    series_inc(&c->series, q->server, SERIES_REQUESTS);
    struct cache_item *item = item_find(c, q, key, now);
    if (item != NULL) {
        int rcode = item_serve(c, q, key, item, now);
        cache_item_release(item);
        return rcode;
    }
    struct cache_writer w = {
        .key = key,
        .is_do = query_do(q),
        .is_ad = (q->request.message.flags & DNS_FLAG_AD) != 0,
        .has_excepts = true,
    };
    return next_with_writer(c, q, &w);
}

static void cache_destroy(struct handler *self)
{
    struct cache *c = (struct cache *)self;
    for (size_t i = 0; i < HALF_COUNT; i++)
        cache_store_destroy(c->halves[i].store);
    series_table_fini(&c->series);
    free(c);
}

/* --- metrics --------------------------------------------------------------------------------- */

static struct metric_series *series_make(void *context, const char *server, size_t index)
{
    struct cache *c = context;
    if (index >= SERIES_REQUESTS) {
        const char *labels[] = {server, c->zones_label, ""};
        return metric_series(c->families[index], labels);
    }
    const char *labels[] = {server, half_names[index % HALF_COUNT], c->zones_label, ""};
    return metric_series(c->families[index], labels);
}

static const struct {
    enum series first;
    size_t count;
    enum metric_kind kind;
    const char *name;
    const char *help;
} family_specs[] = {
    {SERIES_ENTRIES, HALF_COUNT, METRIC_GAUGE, "coredns_cache_entries",
     "The number of elements in the cache."},
    {SERIES_HITS, HALF_COUNT, METRIC_COUNTER, "coredns_cache_hits_total",
     "The count of cache hits."},
    {SERIES_EVICTIONS, HALF_COUNT, METRIC_COUNTER, "coredns_cache_evictions_total",
     "The count of cache evictions."},
    {SERIES_REQUESTS, 1, METRIC_COUNTER, "coredns_cache_requests_total",
     "The count of cache requests."},
    {SERIES_MISSES, 1, METRIC_COUNTER, "coredns_cache_misses_total",
     "The count of cache misses. Deprecated, derive misses from cache hits/requests counters."},
    {SERIES_PREFETCHES, 1, METRIC_COUNTER, "coredns_cache_prefetch_total",
     "The number of times the cache has prefetched a cached item."},
    {SERIES_DROPS, 1, METRIC_COUNTER, "coredns_cache_drops_total",
     "The number responses that are not cached, because the reply is malformed."},
    {SERIES_SERVED_STALE, 1, METRIC_COUNTER, "coredns_cache_served_stale_total",
     "The number of requests served from stale cache entries."},
};

static enum err families_make(struct cache *c, struct metrics *m)
{
    static const char *const by_type[] = {"server", "type", "zones", "view"};
    static const char *const plain[] = {"server", "zones", "view"};
    for (size_t i = 0; i < ARRAY_COUNT(family_specs); i++) {
        bool typed = family_specs[i].count > 1;
        struct metric_family *f = metrics_family(
            m, family_specs[i].kind, family_specs[i].name, family_specs[i].help,
            typed ? by_type : plain, typed ? ARRAY_COUNT(by_type) : ARRAY_COUNT(plain), NULL, 0);
        if (f == NULL)
            return ERR_NO_MEMORY;
        for (size_t j = 0; j < family_specs[i].count; j++)
            c->families[family_specs[i].first + j] = f;
    }
    return OK;
}

/* --- setup ----------------------------------------------------------------------------------- */

static enum err refuse(struct strbuf *why, const char *format, ...) PRINTF_LIKE(2, 3);
static enum err refuse(struct strbuf *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_add_format_args(why, format, args);
    va_end(args);
    return ERR_INVALID;
}

static enum err ttl_parse(const char *text, int64_t *ttl, struct strbuf *why)
{
    int64_t value;
    enum err err = int_parse(&value, text, why);
    if (err != OK)
        return err;
    if (value <= 0)
        return refuse(why, "cache TTL can not be zero or negative: %lld", (long long)value);
    *ttl = value;
    return OK;
}

/* success|denial CAPACITY [TTL [MINTTL]] */
static enum err half_parse(struct setup *s, const struct setup_args *args, struct half_cache *half,
                           struct strbuf *why)
{
    if (args->count == 0)
        return core_arg_error(&s->cursor, why);
    enum err err = int_parse(&half->capacity, args->items[0], why);
    if (err == OK && args->count > 1)
        err = ttl_parse(args->items[1], &half->max_ttl, why);
    if (err != OK || args->count <= 2)
        return err;
    int64_t min_ttl;
    err = int_parse(&min_ttl, args->items[2], why);
    if (err != OK)
        return err;
    if (min_ttl < 0)
        return refuse(why, "cache min TTL can not be negative: %lld", (long long)min_ttl);
    half->min_ttl = min_ttl > UINT32_MAX ? UINT32_MAX : min_ttl;
    return OK;
}

static enum err success_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                              struct strbuf *why)
{
    return half_parse(s, args, &c->halves[SUCCESS], why);
}

static enum err denial_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                             struct strbuf *why)
{
    return half_parse(s, args, &c->halves[DENIAL], why);
}

/* C as Go's %q prints a byte: a quoted character of Latin-1. */
static void quote_byte(struct strbuf *out, unsigned char c)
{
    char text[3] = {(char)c};
    struct strbuf quoted = STRBUF_EMPTY;
    if (c == '\'' || c == '"') {
        strbuf_add_str(out, c == '"' ? "'\"'" : "'\\''");
        return;
    }
    if (c >= 0x80) {
        text[0] = (char)(0xc0 | c >> 6);
        text[1] = (char)(0x80 | (c & 0x3f));
    }
    quote_add(&quoted, text);
    if (quoted.size >= 2)
        strbuf_add_format(out, "'%.*s'", (int)quoted.size - 2, strbuf_str(&quoted) + 1);
    strbuf_fini(&quoted);
}

static enum err percentage_parse(struct cache *c, const char *text, struct strbuf *why)
{
    size_t size = strlen(text);
    if (size == 0 || text[size - 1] != '%') {
        strbuf_add_str(why, "last character of percentage should be `%`, but is: ");
        quote_byte(why, size > 0 ? (unsigned char)text[size - 1] : 0);
        return ERR_INVALID;
    }
    struct strbuf digits = STRBUF_EMPTY;
    int64_t value = 0;
    strbuf_add(&digits, text, size - 1);
    enum err err = digits.failed ? ERR_NO_MEMORY : int_parse(&value, strbuf_str(&digits), why);
    strbuf_fini(&digits);
    if (err != OK)
        return err;
    if (value < MIN_PERCENTAGE || value > MAX_PERCENTAGE)
        return refuse(why, "percentage should fall in range [10, 90]: %lld", (long long)value);
    c->prefetch_percentage = value;
    return OK;
}

/* prefetch AMOUNT [DURATION [PERCENTAGE%]] */
static enum err prefetch_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                               struct strbuf *why)
{
    int64_t amount;
    if (args->count == 0 || args->count > 3)
        return core_arg_error(&s->cursor, why);
    enum err err = int_parse(&amount, args->items[0], why);
    if (err != OK)
        return err;
    if (amount < 0)
        return refuse(why, "prefetch amount should be positive: %lld", (long long)amount);
    c->prefetch = amount;
    if (args->count > 1)
        err = duration_parse(args->items[1], &c->prefetch_pause_ns, why);
    if (err == OK && args->count > 2)
        err = percentage_parse(c, args->items[2], why);
    return err;
}

/* serve_stale [DURATION [immediate|verify]] */
static enum err serve_stale_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                                  struct strbuf *why)
{
    if (args->count > 2)
        return core_arg_error(&s->cursor, why);
    c->stale_ns = DEFAULT_STALE_NS;
    c->verify_stale = false;
    if (args->count > 0) {
        enum err err = duration_parse(args->items[0], &c->stale_ns, why);
        if (err != OK)
            return err;
        if (c->stale_ns < 0)
            return refuse(why, "invalid negative duration for serve_stale");
    }
    if (args->count < 2 || strcasecmp(args->items[1], "immediate") == 0)
        return OK;
    c->verify_stale = strcasecmp(args->items[1], "verify") == 0;
    if (c->verify_stale)
        return OK;
    strbuf_add_str(why, "invalid value for serve_stale refresh mode: ");
    for (const char *at = args->items[1]; *at != '\0'; at++)
        strbuf_add_char(why, *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at);
    return ERR_INVALID;
}

/* servfail DURATION; RFC 2308 section 7.1 allows five minutes. */
static enum err servfail_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                               struct strbuf *why)
{
    int64_t ns;
    if (args->count != 1)
        return core_arg_error(&s->cursor, why);
    enum err err = duration_parse(args->items[0], &ns, why);
    if (err != OK)
        return err;
    if (ns < 0)
        return refuse(why, "invalid negative ttl for servfail");
    if (ns > MAX_SERVFAIL_NS)
        return refuse(why, "caching SERVFAIL responses over 5 minutes is not permitted");
    c->servfail_ns = ns;
    return OK;
}

/* disable success|denial [ZONES...] */
static enum err disable_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                              struct strbuf *why)
{
    static const char *const root[] = {"."};
    if (args->count < 1)
        return core_arg_error(&s->cursor, why);
    for (size_t i = 0; i < HALF_COUNT; i++) {
        if (strcmp(args->items[0], half_names[i]) != 0)
            continue;
        if (args->count == 1)
            return zone_list_init(&c->halves[i].except, s->arena, root, 1);
        return zone_list_init(&c->halves[i].except, s->arena, args->items + 1, args->count - 1);
    }
    return refuse(why, "cache type for disable must be \"success\" or \"denial\"");
}

static enum err keepttl_parse(struct setup *s, const struct setup_args *args, struct cache *c,
                              struct strbuf *why)
{
    if (args->count != 0)
        return core_arg_error(&s->cursor, why);
    c->keep_ttl = true;
    return OK;
}

static enum err option_parse(struct setup *s, struct cache *c, struct strbuf *why)
{
    static const struct {
        const char *name;
        enum err (*parse)(struct setup *, const struct setup_args *, struct cache *,
                          struct strbuf *);
    } options[] = {
        {"success", success_parse},   {"denial", denial_parse},
        {"prefetch", prefetch_parse}, {"serve_stale", serve_stale_parse},
        {"servfail", servfail_parse}, {"disable", disable_parse},
        {"keepttl", keepttl_parse},
    };
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        if (strcmp(core_val(&s->cursor), options[i].name) != 0)
            continue;
        struct setup_args args;
        enum err err = setup_args_read(s, &args);
        return err == OK ? options[i].parse(s, &args, c, why) : err;
    }
    return core_arg_error(&s->cursor, why);
}

/* The zones, comma-separated, as metrics name them. */
static enum err zones_label_set(struct cache *c, struct arena *arena)
{
    struct strbuf label = STRBUF_EMPTY;
    for (size_t i = 0; i < c->zones.count; i++) {
        if (i > 0)
            strbuf_add_char(&label, ',');
        strbuf_add_str(&label, c->zones.texts[i]);
    }
    if (!label.failed)
        c->zones_label = arena_copy(arena, strbuf_str(&label), label.size + 1);
    strbuf_fini(&label);
    return c->zones_label != NULL ? OK : ERR_NO_MEMORY;
}

/* cache [TTL] [ZONES...] */
static enum err line_parse(struct setup *s, struct cache *c, struct strbuf *why)
{
    struct setup_args args;
    struct strbuf no_number = STRBUF_EMPTY;
    int64_t ttl;
    size_t skip = 0;
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count > 0 && int_parse(&ttl, args.items[0], &no_number) == OK) {
        err = ttl_parse(args.items[0], &ttl, why);
        c->halves[SUCCESS].max_ttl = c->halves[DENIAL].max_ttl = ttl;
        skip = 1;
    }
    strbuf_fini(&no_number);
    if (err == OK)
        err = zone_list_from_args(&c->zones, s, args.items + skip, args.count - skip);
    if (err == OK)
        err = zones_label_set(c, s->arena);
    while (err == OK && core_next_block(&s->cursor))
        err = option_parse(s, c, why);
    return err;
}

static enum err cache_parse(struct setup *s, struct cache *c, struct strbuf *why)
{
    for (int line = 0; core_next(&s->cursor); line++) {
        if (line > 0)
            return setup_once_error(why);
        enum err err = line_parse(s, c, why);
        if (err != OK)
            return err;
    }
    for (size_t i = 0; i < HALF_COUNT; i++) {
        enum err err = cache_store_create(&c->halves[i].store, c->halves[i].capacity);
        if (err != OK)
            return err;
    }
    return OK;
}

static struct cache *cache_create(void)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->base = (struct handler){.name = name, .serve = cache_serve, .destroy = cache_destroy};
    for (size_t i = 0; i < HALF_COUNT; i++) {
        c->halves[i].capacity = DEFAULT_CAPACITY;
        c->halves[i].min_ttl = MIN_TTL;
        c->halves[i].max_ttl = i == SUCCESS ? MAX_TTL : MAX_DENIAL_TTL;
    }
    c->servfail_ns = MIN_TTL * DURATION_SECOND;
    c->prefetch_pause_ns = DEFAULT_PREFETCH_NS;
    c->prefetch_percentage = DEFAULT_PERCENTAGE;
    if (getrandom(&c->seed, sizeof(c->seed), 0) != (ssize_t)sizeof(c->seed))
        c->seed = (uint64_t)monotonic_ns() ^ (uint64_t)(uintptr_t)c;
    series_table_init(&c->series, SERIES_COUNT, series_make, c);
    return c;
}

enum err directive_cache_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct cache *c = cache_create();
    if (c == NULL)
        return setup_add_handler(s, name, NULL);
    enum err err = families_make(c, instance_metrics(s->instance));
    if (err == OK)
        err = cache_parse(s, c, &why);
    if (err != OK) {
        cache_destroy(&c->base);
        return setup_fail(s, name, err, &why);
    }
    return setup_add_handler(s, name, &c->base);
}
