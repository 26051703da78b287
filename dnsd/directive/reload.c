/* reload: watches the Corefile and has the process load it anew when its meaning changed.
 *
 * "Meaning" is the digest of its parsed tokens, imported files and environment included. A version
 * that failed to load is not tried again until the file changes once more. */
#include "dnsd/directive/reload.h"

#include "base/log.h"
#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"
#include "dnsd/process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MIN_INTERVAL     (2 * DURATION_SECOND)
#define MIN_JITTER       (1 * DURATION_SECOND)
#define DEFAULT_INTERVAL (30 * DURATION_SECOND)
#define DEFAULT_JITTER   (15 * DURATION_SECOND)

enum {
    HASH_TEXT_SIZE = 2 * RELOAD_HASH_SIZE + 1
};

static const char name[] = "reload";

/* One per instance that names the directive, in its arena. */
struct reload {
    struct instance *instance;
    int64_t interval_ns; /* jitter included; the last block's counts */
    uint8_t hash[RELOAD_HASH_SIZE];
    struct metric_family *version;
    struct metric_series *failed;
    atomic_bool has_asked; /* for a reload, at least once */
    bool announces;        /* the started hook logs the hash */
    int stop_fd;           /* readable once the watcher is to end */
    pthread_t watcher;
    bool is_watching;
};

/* --- the digest ------------------------------------------------------------------------------ */

static void hash_text(crypto_hash_sha512_state *state, const char *text)
{
    crypto_hash_sha512_update(state, (const unsigned char *)text, strlen(text));
}

/* The octets of the UTF-8 sequence at TEXT (RFC 3629 section 4), 0 if it is none. */
static size_t rune_size(const unsigned char *text)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < size; i++) {
        if (text[i] < low || text[i] > high) /* also stops at the final NUL */
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

/* Go's encoding/json escapes what HTML and JavaScript would trip over, too. */
static const char *json_escape(const unsigned char *rune, size_t size, char out[static 8])
{
    static const struct {
        char c;
        const char *text;
    } named[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\r', "\\r"},
                 {'\t', "\\t"}, {'\b', "\\b"},  {'\f', "\\f"}};
    if (size == 3 && rune[0] == 0xe2 && rune[1] == 0x80 && (rune[2] == 0xa8 || rune[2] == 0xa9))
        return rune[2] == 0xa8 ? "\\u2028" : "\\u2029";
    if (size != 1)
        return NULL;
    for (size_t i = 0; i < ARRAY_COUNT(named); i++)
        if (named[i].c == (char)*rune)
            return named[i].text;
    if (*rune >= ' ' && *rune != '<' && *rune != '>' && *rune != '&')
        return NULL;
    snprintf(out, 8, "\\u%04x", *rune);
    return out;
}

static void hash_string(crypto_hash_sha512_state *state, const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD, Go's reading of an invalid octet */
    const unsigned char *at = (const unsigned char *)text;
    hash_text(state, "\"");
    while (*at != '\0') {
        char escaped[8];
        size_t size = rune_size(at);
        const char *instead = size > 0 ? json_escape(at, size, escaped) : replacement;
        if (instead != NULL)
            hash_text(state, instead);
        else
            crypto_hash_sha512_update(state, at, size);
        at += size > 0 ? size : 1;
    }
    hash_text(state, "\"");
}

static void hash_directive(crypto_hash_sha512_state *state, const struct core_file *f,
                           const struct core_directive *d)
{
    hash_string(state, d->name);
    hash_text(state, ":[");
    for (size_t i = 0; i < d->token_count; i++) {
        const struct core_token *t = &d->tokens[i];
        char line[32];
        snprintf(line, sizeof(line), ",\"Line\":%d,\"Text\":", t->line);
        hash_text(state, i > 0 ? ",{\"File\":" : "{\"File\":");
        hash_string(state, strcmp(t->file, f->name) == 0 ? "" : t->file);
        hash_text(state, line);
        hash_string(state, t->text);
        hash_text(state, "}");
    }
    hash_text(state, "]");
}

static int compare_directives(const void *a, const void *b)
{
    const struct core_directive *const *da = a, *const *db = b;
    return strcmp((*da)->name, (*db)->name);
}

static enum err hash_block(crypto_hash_sha512_state *state, const struct core_file *f,
                           const struct core_block *block)
{
    const struct core_directive **sorted = calloc(block->directive_count + 1, sizeof(*sorted));
    if (sorted == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < block->directive_count; i++)
        sorted[i] = &block->directives[i];
    qsort(sorted, block->directive_count, sizeof(*sorted), compare_directives);
    hash_text(state, "{\"Keys\":[");
    for (size_t i = 0; i < block->key_count; i++) {
        if (i > 0)
            hash_text(state, ",");
        hash_string(state, block->keys[i]);
    }
    hash_text(state, "],\"Tokens\":{");
    for (size_t i = 0; i < block->directive_count; i++) {
        if (i > 0)
            hash_text(state, ",");
        hash_directive(state, f, sorted[i]);
    }
    hash_text(state, "}}");
    free(sorted);
    return OK;
}

enum err reload_hash(const struct core_file *f, uint8_t out[static RELOAD_HASH_SIZE])
{
    crypto_hash_sha512_state state;
    enum err err = OK;
    crypto_hash_sha512_init(&state);
    hash_text(&state, f->block_count > 0 ? "[" : "null");
    for (size_t i = 0; err == OK && i < f->block_count; i++) {
        if (i > 0)
            hash_text(&state, ",");
        err = hash_block(&state, f, &f->blocks[i]);
    }
    if (f->block_count > 0)
        hash_text(&state, "]");
    if (err == OK)
        crypto_hash_sha512_final(&state, out);
    return err;
}

/* --- watching -------------------------------------------------------------------------------- */

/* On the main thread. The instance that asked may be gone by now; the series is not. */
static void reload_failed(void *context, const char *error)
{
    metric_inc(context);
    log_plugin(LOG_ERROR, name, "Corefile changed but reload failed: %s", error);
}

/* coredns_reload_version_info names the version that was last tried. */
static void publish_version(const struct reload *r)
{
    char text[HASH_TEXT_SIZE];
    const char *values[] = {"sha512", sodium_bin2hex(text, sizeof(text), r->hash, sizeof(r->hash))};
    metric_family_clear(r->version);
    struct metric_series *s = metric_series(r->version, values);
    if (s != NULL)
        metric_set(s, 1);
}

static bool any_directive(const char *directive UNUSED)
{
    return true; /* whether it exists is for the load to say */
}

/* The digest of the Corefile as it is now. False when there is none to tell. */
static bool hash_source(const struct reload *r, const struct strbuf *text,
                        uint8_t out[static RELOAD_HASH_SIZE])
{
    struct process *p = instance_dnsd(r->instance)->process;
    struct strbuf error = STRBUF_EMPTY;
    struct core_file file;
    enum err err = core_file_parse(&file, process_source_name(p), strbuf_str(text), text->size,
                                   any_directive, &error);
    if (err == OK) {
        err = reload_hash(&file, out);
        core_file_fini(&file);
    } else {
        log_plugin(LOG_WARNING, name, "Corefile parse failed: %s",
                   error.size > 0 ? strbuf_str(&error) : err_text(err));
    }
    strbuf_fini(&error);
    return err == OK;
}

static void check_source(struct reload *r)
{
    struct process *p = instance_dnsd(r->instance)->process;
    struct strbuf text = STRBUF_EMPTY, error = STRBUF_EMPTY;
    uint8_t hash[RELOAD_HASH_SIZE];
    /* A file that cannot be read just now is left for the next time, silently, as in CoreDNS. */
    if (process_read_source(p, &text, &error) == OK && hash_source(r, &text, hash) &&
        memcmp(hash, r->hash, sizeof(hash)) != 0) {
        atomic_store(&r->has_asked, true);
        if (process_request_reload(p, strbuf_str(&text), text.size, reload_failed, r->failed)) {
            memcpy(r->hash, hash, sizeof(hash));
            publish_version(r);
        }
    }
    strbuf_fini(&text);
    strbuf_fini(&error);
}

static void *watch_loop(void *context)
{
    struct reload *r = context;
    struct pollfd stop = {.fd = r->stop_fd, .events = POLLIN};
    int64_t next_ns = monotonic_ns();
    for (;;) {
        next_ns += r->interval_ns;
        /* poll(2) counts milliseconds in an int, so a long interval takes several calls. */
        for (int64_t left_ns; (left_ns = next_ns - monotonic_ns()) > 0;) {
            int64_t ms = left_ns / 1000000 + 1;
            if (poll(&stop, 1, ms < 1000000 ? (int)ms : 1000000) != 0)
                return NULL;
        }
        check_source(r);
    }
}

static void start_watching(struct reload *r)
{
    sigset_t all, old;
    r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = r->stop_fd < 0 ? errno : 0;
    if (error == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the main thread */
        error = pthread_create(&r->watcher, NULL, watch_loop, r);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    r->is_watching = error == 0;
    if (error != 0)
        log_plugin(LOG_ERROR, name, "cannot watch the Corefile: %s", strerrordesc_np(error));
    if (error != 0 && r->stop_fd >= 0)
        close(r->stop_fd);
}

static void stop_watching(struct reload *r)
{
    if (!r->is_watching)
        return;
    r->is_watching = false;
    (void)eventfd_write(r->stop_fd, 1);
    pthread_join(r->watcher, NULL);
    close(r->stop_fd);
}

/* --- hooks ----------------------------------------------------------------------------------- */

/* CoreDNS logs the hash at the start and after a reload of its own making, not after SIGUSR1. */
static enum err reload_start(void *context, struct instance *inst, struct strbuf *error UNUSED)
{
    struct reload *r = context;
    struct instance *previous = instance_previous(inst);
    struct reload *old = previous != NULL ? instance_slot(previous, name) : NULL;
    r->announces = old == NULL || atomic_load(&old->has_asked);
    return reload_hash(instance_corefile(inst), r->hash);
}

static void reload_started(void *context, struct instance *inst)
{
    struct reload *r = context;
    char text[HASH_TEXT_SIZE];
    if (r->announces)
        log_plugin(LOG_INFO, name, "Running configuration SHA512 = %s",
                   sodium_bin2hex(text, sizeof(text), r->hash, sizeof(r->hash)));
    if (instance_dnsd(inst)->process != NULL)
        start_watching(r);
}

static void reload_stop(void *context, struct instance *inst UNUSED, bool restarting UNUSED)
{
    stop_watching(context);
}

/* --- setup ----------------------------------------------------------------------------------- */

enum err reload_metrics_init(struct metric_series **failed, struct metrics *m)
{
    struct metric_series *s = metrics_single(m, METRIC_COUNTER, "coredns_reload_failed_total",
                                             "Counter of the number of failed reload attempts.");
    if (s == NULL)
        return ERR_NO_MEMORY;
    *failed = s;
    return OK;
}

static enum err reload_create(struct reload **out, struct setup *s)
{
    static const char *const labels[] = {"hash", "value"};
    struct reload *r = arena_alloc(s->arena, sizeof(*r));
    if (r == NULL)
        return ERR_NO_MEMORY;
    memset(r, 0, sizeof(*r));
    r->instance = s->instance;
    r->stop_fd = -1;
    atomic_init(&r->has_asked, false);
    r->version = metrics_family(
        instance_metrics(s->instance), METRIC_GAUGE, "coredns_reload_version_info",
        "A metric with a constant '1' value labeled by hash, and value which type of hash "
        "generated.",
        labels, ARRAY_COUNT(labels), NULL, 0);
    enum err err = r->version != NULL
                       ? reload_metrics_init(&r->failed, instance_metrics(s->instance))
                       : ERR_NO_MEMORY;
    if (err == OK)
        err = instance_on_start(s->instance, reload_start, r);
    if (err == OK)
        err = instance_on_started(s->instance, reload_started, r);
    if (err == OK)
        err = instance_on_stop(s->instance, reload_stop, r);
    if (err == OK)
        err = instance_set_slot(s->instance, name, r, NULL);
    if (err == OK)
        *out = r;
    return err;
}

static enum err parse_duration(const struct setup_args *args, size_t index, int64_t minimum,
                               const char *what, int64_t *out, struct strbuf *why)
{
    char text[DURATION_TEXT_SIZE];
    if (index < args->count) {
        enum err err = duration_parse(args->items[index], out, why);
        if (err != OK)
            return err;
    }
    if (*out < minimum) {
        strbuf_add_format(why, "%s value must be greater or equal to %s", what,
                          duration_text(minimum, text));
        return ERR_INVALID;
    }
    return OK;
}

/* Only the first line of the directive counts. */
static enum err parse(struct setup *s, int64_t *interval_ns, struct strbuf *why)
{
    struct setup_args args;
    int64_t interval = DEFAULT_INTERVAL, jitter = DEFAULT_JITTER;
    (void)core_next(&s->cursor); /* the directive's name */
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count > 2)
        return core_arg_error(&s->cursor, why);
    err = parse_duration(&args, 0, MIN_INTERVAL, "interval", &interval, why);
    if (err == OK)
        err = parse_duration(&args, 1, MIN_JITTER, "jitter", &jitter, why);
    if (err != OK)
        return err;
    if (jitter > interval / 2)
        jitter = interval / 2;
    *interval_ns = interval + (int64_t)random_below((uint64_t)jitter) - jitter / 2;
    return OK;
}

enum err directive_reload_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct reload *r = instance_slot(s->instance, name);
    int64_t interval_ns = 0;
    enum err err = parse(s, &interval_ns, &why);
    if (err == OK && r == NULL)
        err = reload_create(&r, s);
    if (err != OK)
        return setup_fail(s, name, err, &why);
    r->interval_ns = interval_ns;
    return OK;
}
