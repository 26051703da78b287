/* loadbalance: puts address and MX records in another order for every reply, so that clients that
 * take the first one spread.
 *
 * CoreDNS moves addresses behind all other records, which breaks wgsd-client: it reads the endpoint
 * from the first additional record. The SRV answer of `wgsd` keeps its order. */
#include "base/log.h"

#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directive/weights.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_RELOAD_NS (30 * DURATION_SECOND)

static const char name[] = "loadbalance";

struct loadbalance {
    struct handler base;
    /* of the `weighted` policy; NULL with `round_robin` */
    struct weights *weights;
    int64_t reload_ns; /* 0: the file is read once */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread;
    bool is_stopping;
};

struct loadbalance_writer {
    struct response_writer base;
    struct loadbalance *loadbalance;
};

/* --- order ----------------------------------------------------------------------------------- */

enum rank {
    RANK_CNAME,
    RANK_REST,
    RANK_ADDRESS,
    RANK_MX,
    RANK_COUNT,
};

static enum rank rr_rank(const struct dns_rr *rr)
{
    switch (rr->type) {
    case DNS_TYPE_CNAME:
        return RANK_CNAME;
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        return RANK_ADDRESS;
    case DNS_TYPE_MX:
        return RANK_MX;
    default:
        return RANK_REST;
    }
}

static void swap(struct dns_rr *rrs, size_t i, size_t j)
{
    struct dns_rr rr = rrs[i];
    rrs[i] = rrs[j];
    rrs[j] = rr;
}

static void shuffle(struct dns_rr *rrs, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++)
        swap(rrs, i, i + (size_t)random_below(count - i));
}

/* Sorts LIST by rank into a copy; FROM gets where each rank starts. NULL when all are of one rank
 * that is not reordered, or without memory. */
static struct dns_rr *rank_sort(struct arena *arena, struct dns_rr_list *list,
                                size_t from[static RANK_COUNT + 1])
{
    size_t counts[RANK_COUNT] = {0};
    for (size_t i = 0; i < list->count; i++)
        counts[rr_rank(&list->rrs[i])]++;
    if (counts[RANK_REST] == list->count)
        return NULL;
    struct dns_rr *sorted = arena_array(arena, list->count, sizeof(*sorted));
    if (sorted == NULL)
        return NULL;
    size_t at[RANK_COUNT];
    from[0] = 0;
    for (size_t rank = 0; rank < RANK_COUNT; rank++) {
        at[rank] = from[rank];
        from[rank + 1] = from[rank] + counts[rank];
    }
    for (size_t i = 0; i < list->count; i++)
        sorted[at[rr_rank(&list->rrs[i])]++] = list->rrs[i];
    list->rrs = sorted;
    return sorted;
}

static void round_robin(struct arena *arena, struct dns_rr_list *list)
{
    size_t from[RANK_COUNT + 1];
    struct dns_rr *rrs = rank_sort(arena, list, from);
    if (rrs == NULL)
        return;
    shuffle(rrs + from[RANK_ADDRESS], from[RANK_ADDRESS + 1] - from[RANK_ADDRESS]);
    shuffle(rrs + from[RANK_MX], from[RANK_MX + 1] - from[RANK_MX]);
}

/* A list without addresses stays as it is. */
static void weighted(struct loadbalance *lb, struct arena *arena, struct dns_rr_list *list)
{
    size_t from[RANK_COUNT + 1];
    size_t i = 0;
    while (i < list->count && rr_rank(&list->rrs[i]) != RANK_ADDRESS)
        i++;
    struct dns_rr *rrs = i < list->count ? rank_sort(arena, list, from) : NULL;
    if (rrs == NULL)
        return;
    struct dns_rr *addresses = rrs + from[RANK_ADDRESS];
    size_t count = from[RANK_ADDRESS + 1] - from[RANK_ADDRESS];
    swap(addresses, 0, weights_choose(lb->weights, addresses, count));
}

static void reply_order(struct loadbalance *lb, struct query *q, struct dns_message *reply)
{
    uint16_t type = query_type(q);
    if (lb->weights == NULL) {
        for (int i = 0; i < DNS_SECTION_COUNT; i++)
            round_robin(q->arena, &reply->sections[i]);
    } else if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA || type == DNS_TYPE_SRV) {
        weighted(lb, q->arena, &reply->sections[DNS_ANSWER]);
        weighted(lb, q->arena, &reply->sections[DNS_ADDITIONAL]);
    }
}

static void loadbalance_write(struct response_writer *self, struct query *q,
                              struct dns_message *reply)
{
    uint16_t type = query_type(q);
    query_set_plugin(q, name);
    if (reply->rcode == DNS_RCODE_NOERROR && type != DNS_TYPE_AXFR && type != DNS_TYPE_IXFR &&
        !reply_is_wgsd_srv(q))
        reply_order(((struct loadbalance_writer *)self)->loadbalance, q, reply);
    self->outer->write(self->outer, q, reply);
}

static int loadbalance_serve(struct handler *self, struct query *q)
{
    struct loadbalance_writer w = {
        .base = {.write = loadbalance_write, .outer = q->writer},
        .loadbalance = (struct loadbalance *)self,
    };
    q->writer = &w.base;
    int rcode = handler_next(self, q);
    q->writer = w.base.outer;
    return rcode;
}

/* --- reading the weights again --------------------------------------------------------------- */

/* Until the deadline or the stop; whether to go on. Under the lock. */
static bool reload_wait(struct loadbalance *lb, int64_t deadline)
{
    struct timespec until = {.tv_sec = (time_t)(deadline / DURATION_SECOND),
                             .tv_nsec = (long)(deadline % DURATION_SECOND)};
    while (!lb->is_stopping && monotonic_ns() < deadline)
        pthread_cond_timedwait(&lb->changed, &lb->lock, &until);
    return !lb->is_stopping;
}

static void *thread_main(void *context)
{
    struct loadbalance *lb = context;
    int64_t deadline = monotonic_ns();
    pthread_mutex_lock(&lb->lock);
    while (!__builtin_add_overflow(deadline, lb->reload_ns, &deadline) &&
           reload_wait(lb, deadline)) {
        struct strbuf error = STRBUF_EMPTY;
        pthread_mutex_unlock(&lb->lock);
        if (weights_update(lb->weights, &error) != OK)
            log_plugin(LOG_ERROR, name, "%s", strbuf_str(&error));
        strbuf_fini(&error);
        pthread_mutex_lock(&lb->lock);
    }
    pthread_mutex_unlock(&lb->lock);
    return NULL;
}

static enum err loadbalance_start(void *context, struct instance *inst UNUSED, struct strbuf *error)
{
    struct loadbalance *lb = context;
    struct strbuf why = STRBUF_EMPTY;
    enum err err = weights_update(lb->weights, &why);
    if (err == ERR_NOT_FOUND && lb->reload_ns > 0) {
        char period[DURATION_TEXT_SIZE];
        log_plugin(LOG_WARNING, name, "Failed to open weight file:%s. Will try again in %s",
                   strbuf_str(&why), duration_text(lb->reload_ns, period));
    } else if (err != OK) {
        strbuf_add_format(error, "plugin/loadbalance: %s", strbuf_str(&why));
        strbuf_fini(&why);
        return err;
    }
    strbuf_fini(&why);
    if (lb->reload_ns <= 0)
        return OK;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    int failure = pthread_create(&lb->thread, NULL, thread_main, lb);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    lb->has_thread = failure == 0;
    if (failure == 0)
        return OK;
    strbuf_add_format(error, "plugin/loadbalance: cannot start a thread: %s", strerror(failure));
    return err_from_errno(failure);
}

static void thread_stop(struct loadbalance *lb)
{
    pthread_mutex_lock(&lb->lock);
    lb->is_stopping = true;
    pthread_cond_signal(&lb->changed);
    pthread_mutex_unlock(&lb->lock);
    if (lb->has_thread)
        pthread_join(lb->thread, NULL);
    lb->has_thread = false;
}

static void loadbalance_stop(void *context, struct instance *inst UNUSED, bool restarting UNUSED)
{
    thread_stop(context);
}

static void loadbalance_destroy(struct handler *self)
{
    struct loadbalance *lb = (struct loadbalance *)self;
    thread_stop(lb);
    weights_destroy(lb->weights);
    pthread_cond_destroy(&lb->changed);
    pthread_mutex_destroy(&lb->lock);
    free(lb);
}

static struct loadbalance *loadbalance_create(void)
{
    pthread_condattr_t attributes;
    struct loadbalance *lb = calloc(1, sizeof(*lb));
    if (lb == NULL)
        return NULL;
    lb->base =
        (struct handler){.name = name, .serve = loadbalance_serve, .destroy = loadbalance_destroy};
    pthread_mutex_init(&lb->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lb->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return lb;
}

/* --- setup ----------------------------------------------------------------------------------- */

static enum err reload_parse(struct setup *s, struct loadbalance *lb, struct strbuf *why)
{
    struct setup_args args;
    struct strbuf reason = STRBUF_EMPTY;
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count < 1)
        return core_error(&s->cursor, why, "reload duration value is missing");
    if (args.count > 1)
        return core_error(&s->cursor, why, "unexpected argument");
    err = duration_parse(args.items[0], &lb->reload_ns, &reason);
    strbuf_fini(&reason);
    return err == ERR_MALFORMED
               ? core_error(&s->cursor, why, "invalid reload duration '%s'", args.items[0])
               : err;
}

/* weighted FILE { reload DURATION } */
static enum err weighted_parse(struct setup *s, const struct setup_args *args,
                               struct loadbalance *lb, struct strbuf *why)
{
    if (args->count < 2)
        return core_error(&s->cursor, why, "missing weight file argument");
    if (args->count > 2)
        return core_error(&s->cursor, why, "unexpected argument(s)");
    lb->reload_ns = DEFAULT_RELOAD_NS;
    while (core_next_block(&s->cursor)) {
        if (strcmp(core_val(&s->cursor), "reload") != 0)
            return core_error(&s->cursor, why, "unknown property '%s'", core_val(&s->cursor));
        enum err err = reload_parse(s, lb, why);
        if (err != OK)
            return err;
    }
    return weights_create(&lb->weights, args->items[1]);
}

/* loadbalance [round_robin | weighted FILE]; only the first line counts. */
static enum err loadbalance_parse(struct setup *s, struct loadbalance *lb, struct strbuf *why)
{
    struct setup_args args;
    core_next(&s->cursor);
    enum err err = setup_args_read(s, &args);
    if (err != OK || args.count == 0)
        return err;
    if (strcmp(args.items[0], "round_robin") == 0) {
        if (args.count == 1)
            return OK;
        return core_error(&s->cursor, why, "unknown property for %s", args.items[0]);
    }
    if (strcmp(args.items[0], "weighted") == 0)
        return weighted_parse(s, &args, lb, why);
    strbuf_add_format(why, "unknown policy: %s", args.items[0]);
    return ERR_INVALID;
}

enum err directive_loadbalance_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct loadbalance *lb = loadbalance_create();
    if (lb == NULL)
        return setup_add_handler(s, name, NULL);
    enum err err = loadbalance_parse(s, lb, &why);
    if (err != OK) {
        loadbalance_destroy(&lb->base);
        return setup_fail(s, name, err, &why);
    }
    err = setup_add_handler(s, name, &lb->base);
    if (err != OK || lb->weights == NULL)
        return err;
    err = instance_on_start(s->instance, loadbalance_start, lb);
    if (err == OK)
        err = instance_on_stop(s->instance, loadbalance_stop, lb);
    return err == OK ? OK : setup_fail(s, name, err, &why);
}
