/* ready: /ready says OK once every handler that has something to say has been ready.
 *
 * All addresses tell of all blocks that name the directive. A handler that was ready once is not
 * asked again, so /ready does not flap, unless it says that its readiness may end
 * (handler.ready_may_end). */
#include "base/log.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"
#include "dnsd/http.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char name[] = "ready";
static const char path[] = "/ready";

struct address {
    struct address *next;
    const char *text;
};

struct waiting {
    struct waiting *next;
    const struct site *site; /* before the start */
    struct handler *handler; /* after it; NULL once it was ready */
};

/* One per instance that names the directive, in its arena. */
struct ready {
    struct address *addresses;
    struct waiting *sites;
    pthread_mutex_t lock; /* addresses have a thread each */
    struct waiting *handlers;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of those that are not ready, sorted, with commas. Adds nothing when all are. */
static void list_waiting(struct ready *r, struct strbuf *out)
{
    size_t count = 0, capacity = 0;
    for (const struct waiting *w = r->handlers; w != NULL; w = w->next)
        capacity++;
    const char **names = calloc(capacity + 1, sizeof(*names));
    if (names == NULL) {
        out->failed = true;
        return;
    }
    for (struct waiting *w = r->handlers; w != NULL; w = w->next) {
        if (w->handler == NULL)
            continue;
        bool is_ready = w->handler->ready(w->handler);
        if (is_ready && !w->handler->ready_may_end)
            w->handler = NULL;
        else if (!is_ready)
            names[count++] = w->handler->name;
    }
    qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; i < count; i++)
        strbuf_add_format(out, i > 0 ? ",%s" : "%s", names[i]);
    free(names);
}

static void respond(void *context, struct http_response *response)
{
    struct ready *r = context;
    struct strbuf quoted = STRBUF_EMPTY;
    pthread_mutex_lock(&r->lock);
    list_waiting(r, &response->body);
    pthread_mutex_unlock(&r->lock);
    if (response->body.size == 0) {
        strbuf_add_str(&response->body, "OK");
        return;
    }
    response->status = HTTP_SERVICE_UNAVAILABLE;
    quote_add(&quoted, strbuf_str(&response->body));
    log_plugin(LOG_INFO, name, "Still waiting on: %s", strbuf_str(&quoted));
    strbuf_fini(&quoted);
}

static enum err collect_handlers(struct ready *r, struct instance *inst)
{
    for (const struct waiting *s = r->sites; s != NULL; s = s->next) {
        for (size_t i = 0; i < s->site->handler_count; i++) {
            if (s->site->handlers[i]->ready == NULL)
                continue;
            struct waiting *w = arena_alloc(instance_arena(inst), sizeof(*w));
            if (w == NULL)
                return ERR_NO_MEMORY;
            *w = (struct waiting){.handler = s->site->handlers[i], .next = r->handlers};
            r->handlers = w;
        }
    }
    return OK;
}

static enum err ready_start(void *context, struct instance *inst, struct strbuf *error UNUSED)
{
    struct ready *r = context;
    enum err err = collect_handlers(r, inst);
    for (const struct address *a = r->addresses; err == OK && a != NULL; a = a->next) {
        struct strbuf why = STRBUF_EMPTY;
        enum err opened = http_open(inst, a->text, NULL, &why);
        if (opened != OK) /* DNS is served all the same, as in CoreDNS, which does not say so */
            log_plugin(LOG_ERROR, name, "Failed to start readiness handler: %s",
                       why.size > 0 ? strbuf_str(&why) : err_text(opened));
        strbuf_fini(&why);
    }
    return err;
}

static void ready_stop(void *context, struct instance *inst, bool restarting UNUSED)
{
    http_route_remove(inst, path, context);
}

static enum err parse(struct setup *s, const char **address, struct strbuf *why)
{
    for (size_t line = 0; core_next(&s->cursor); line++) {
        struct setup_args args;
        const char *host, *port;
        size_t host_size;
        if (line > 0)
            return setup_once_error(why);
        enum err err = setup_args_read(s, &args);
        if (err != OK)
            return err;
        if (args.count > 1)
            return core_arg_error(&s->cursor, why);
        if (args.count == 0)
            continue;
        err = host_port_split(args.items[0], &host, &host_size, &port, why);
        if (err != OK)
            return err;
        *address = args.items[0];
    }
    return OK;
}

static enum err ready_create(struct ready **out, struct setup *s)
{
    struct ready *r = arena_alloc(s->arena, sizeof(*r));
    if (r == NULL)
        return ERR_NO_MEMORY;
    *r = (struct ready){0};
    pthread_mutex_init(&r->lock, NULL);
    enum err err = instance_on_start(s->instance, ready_start, r);
    if (err == OK)
        err = instance_on_stop(s->instance, ready_stop, r);
    if (err == OK)
        err = instance_set_slot(s->instance, name, r, NULL);
    if (err == OK)
        *out = r;
    return err;
}

static enum err add_address(struct ready *r, struct setup *s, const char *text)
{
    struct address **at = &r->addresses;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->text, text) == 0)
            return OK;
    struct address *a = arena_alloc(s->arena, sizeof(*a));
    if (a == NULL)
        return ERR_NO_MEMORY;
    *a = (struct address){.text = text};
    *at = a;
    return http_route_add(s->instance, text, path, respond, r);
}

enum err directive_ready_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    const char *address = ":8181";
    struct ready *r = instance_slot(s->instance, name);
    struct waiting *site = arena_alloc(s->arena, sizeof(*site));
    enum err err = site != NULL ? parse(s, &address, &why) : ERR_NO_MEMORY;
    if (err == OK && r == NULL)
        err = ready_create(&r, s);
    if (err == OK) {
        *site = (struct waiting){.site = s->site, .next = r->sites};
        r->sites = site;
        err = add_address(r, s, address);
    }
    return err == OK ? OK : setup_fail(s, name, err, &why);
}
