/* errors: logs what went wrong with a query, and can fold repeated errors into one line per period.
 *
 * Errors that match a `consolidate` pattern are only counted. The first one of a series sets the
 * time when the count is logged; a thread per handler with patterns (started with the instance)
 * waits for it, and the stop hook logs what is left. */
#include "base/log.h"

#include "dnsd/directive/regex.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char name[] = "errors";

struct pattern {
    struct pattern *next; /* in the order of the Corefile */
    struct regex *regex;
    int64_t period_ns;
    enum log_level level;
    /* under the handler's lock: */
    uint32_t count;
    int64_t due_ns; /* when COUNT is to be logged, if it is not 0 */
};

struct errors {
    struct handler base;
    struct pattern *patterns;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread;
    bool is_stopping;
};

/* --- consolidation --------------------------------------------------------------------------- */

static void pattern_log(struct pattern *p)
{
    char period[DURATION_TEXT_SIZE];
    if (p->count > 0)
        log_plugin(p->level, name, "%u errors like '%s' occurred in last %s", p->count,
                   regex_text(p->regex), duration_text(p->period_ns, period));
    p->count = 0;
}

/* Logs what is due at NOW; returns when the next is, INT64_MAX for never. */
static int64_t patterns_log_due(struct errors *e, int64_t now)
{
    int64_t next = INT64_MAX;
    for (struct pattern *p = e->patterns; p != NULL; p = p->next) {
        if (p->count > 0 && p->due_ns <= now)
            pattern_log(p);
        else if (p->count > 0 && p->due_ns < next)
            next = p->due_ns;
    }
    return next;
}

static void *thread_main(void *context)
{
    struct errors *e = context;
    pthread_mutex_lock(&e->lock);
    while (!e->is_stopping) {
        int64_t next = patterns_log_due(e, monotonic_ns());
        if (next == INT64_MAX) {
            pthread_cond_wait(&e->changed, &e->lock);
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)(next / DURATION_SECOND),
                                 .tv_nsec = (long)(next % DURATION_SECOND)};
        pthread_cond_timedwait(&e->changed, &e->lock, &until);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

static enum err errors_start(void *context, struct instance *inst UNUSED, struct strbuf *error)
{
    struct errors *e = context;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    int failure = pthread_create(&e->thread, NULL, thread_main, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    e->has_thread = failure == 0;
    if (failure == 0)
        return OK;
    strbuf_add_format(error, "plugin/errors: cannot start a thread: %s", strerror(failure));
    return err_from_errno(failure);
}

static void thread_stop(struct errors *e)
{
    pthread_mutex_lock(&e->lock);
    e->is_stopping = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (e->has_thread)
        pthread_join(e->thread, NULL);
    e->has_thread = false;
}

static void errors_stop(void *context, struct instance *inst UNUSED, bool restarting UNUSED)
{
    struct errors *e = context;
    thread_stop(e);
    patterns_log_due(e, INT64_MAX);
}

/* Counts one more like P. False once the handler is stopping: then the error is logged itself. */
static bool pattern_count(struct errors *e, struct pattern *p)
{
    pthread_mutex_lock(&e->lock);
    bool counts = !e->is_stopping;
    if (counts && ++p->count == 1) {
        int64_t now = monotonic_ns();
        if (p->period_ns <= 0)
            p->due_ns = now;
        else if (__builtin_add_overflow(now, p->period_ns, &p->due_ns))
            p->due_ns = INT64_MAX - 1;
        pthread_cond_signal(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    return counts;
}

/* --- serving --------------------------------------------------------------------------------- */

static bool is_consolidated(struct errors *e, const char *text)
{
    for (struct pattern *p = e->patterns; p != NULL; p = p->next) {
        if (regex_match(p->regex, text))
            return pattern_count(e, p);
    }
    return false;
}

static int errors_serve(struct handler *self, struct query *q)
{
    int rcode = handler_next(self, q);
    if (q->error == NULL || is_consolidated((struct errors *)self, q->error))
        return rcode;
    char qname[DNS_NAME_TEXT_SIZE];
    char type[DNS_MNEMONIC_SIZE];
    dns_name_to_text(dns_name_of(&q->name), qname);
    log_plugin(LOG_ERROR, name, "%d %s %s: %s", rcode, qname, dns_type_text(query_type(q), type),
               q->error);
    return rcode;
}

static void errors_destroy(struct handler *self)
{
    struct errors *e = (struct errors *)self;
    thread_stop(e);
    while (e->patterns != NULL) {
        struct pattern *p = e->patterns;
        e->patterns = p->next;
        regex_destroy(p->regex);
        free(p);
    }
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static struct errors *errors_create(void)
{
    pthread_condattr_t attributes;
    struct errors *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->base = (struct handler){.name = name, .serve = errors_serve, .destroy = errors_destroy};
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return e;
}

/* --- setup ----------------------------------------------------------------------------------- */

static enum err level_parse(struct setup *s, const char *text, enum log_level *out,
                            struct strbuf *why)
{
    static const struct {
        const char *text;
        enum log_level level;
    } levels[] = {
        {"warning", LOG_WARNING},
        {"error", LOG_ERROR},
        {"info", LOG_INFO},
        {"debug", LOG_DEBUG},
    };
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (strcmp(text, levels[i].text) == 0) {
            *out = levels[i].level;
            return OK;
        }
    }
    return core_error(&s->cursor, why, "unknown log level argument in consolidate: %s", text);
}

/* REASON as one of the parser's errors. Consumes it. */
static enum err refuse(struct setup *s, enum err error, struct strbuf *reason, struct strbuf *why)
{
    if (error == ERR_MALFORMED)
        error = core_error(&s->cursor, why, "%s", strbuf_str(reason));
    strbuf_fini(reason);
    return error;
}

/* consolidate DURATION REGEX [LEVEL] */
static enum err consolidate_parse(struct setup *s, struct pattern *p, struct strbuf *why)
{
    struct setup_args args;
    struct strbuf reason = STRBUF_EMPTY;
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count < 2 || args.count > 3)
        return core_arg_error(&s->cursor, why);
    err = duration_parse(args.items[0], &p->period_ns, &reason);
    if (err == OK)
        err = regex_create(&p->regex, args.items[1], &reason);
    if (err != OK)
        return refuse(s, err, &reason, why);
    p->level = LOG_ERROR;
    return args.count == 3 ? level_parse(s, args.items[2], &p->level, why) : OK;
}

static enum err block_parse(struct setup *s, struct errors *e, struct strbuf *why)
{
    struct pattern **end = &e->patterns;
    while (core_next_block(&s->cursor)) {
        const char *field = core_val(&s->cursor);
        if (strcmp(field, "stacktrace") == 0) {
            s->site->stacktrace = true;
        } else if (strcmp(field, "consolidate") == 0) {
            struct pattern *p = calloc(1, sizeof(*p));
            if (p == NULL)
                return ERR_NO_MEMORY;
            *end = p; /* errors_destroy frees it from here on */
            end = &p->next;
            enum err err = consolidate_parse(s, p, why);
            if (err != OK)
                return err;
        } else {
            struct strbuf expected = STRBUF_EMPTY;
            strbuf_add_format(&expected, "Unknown field %s", field);
            enum err err = core_syntax_error(&s->cursor, strbuf_str(&expected), why);
            strbuf_fini(&expected);
            return err;
        }
    }
    return OK;
}

static enum err errors_parse(struct setup *s, struct errors *e, struct strbuf *why)
{
    for (int line = 0; core_next(&s->cursor); line++) {
        struct setup_args args;
        if (line > 0)
            return setup_once_error(why);
        enum err err = setup_args_read(s, &args);
        if (err != OK)
            return err;
        if (args.count > 1)
            return core_arg_error(&s->cursor, why);
        if (args.count == 1 && strcmp(args.items[0], "stdout") != 0)
            return core_error(&s->cursor, why, "invalid log file: %s", args.items[0]);
        err = block_parse(s, e, why);
        if (err != OK)
            return err;
    }
    return OK;
}

enum err directive_errors_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct errors *e = errors_create();
    if (e == NULL)
        return setup_add_handler(s, name, NULL);
    enum err err = errors_parse(s, e, &why);
    if (err != OK) {
        errors_destroy(&e->base);
        return setup_fail(s, name, err, &why);
    }
    err = setup_add_handler(s, name, &e->base);
    if (err != OK || e->patterns == NULL)
        return err;
    err = instance_on_start(s->instance, errors_start, e);
    if (err == OK)
        err = instance_on_stop(s->instance, errors_stop, e);
    return err == OK ? OK : setup_fail(s, name, err, &why);
}
