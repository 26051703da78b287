/* warren ZONE [{ observe DEVICE  sync DEVICE [adopt]  expire DURATION }]: a zone of the registry.
 *
 * May stand several times in a block; all its zones are served by one handler, the longest zone
 * that holds a name answers it. The reverse names of their peers' addresses are answered too, where
 * the block is asked for them; any other name goes to the next handler.
 *
 * A zone is there because the Corefile names it: without settings in the registry it has the
 * default ones. Until its first load is complete it answers SERVFAIL and /ready waits for it.
 * /ready also names it while the registry takes no writes, which ends as that does. */
#include "zones/warren.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"
#include "dnsd/process.h"
#include "dnsd/query.h"
#include "dnsd/zone_devices.h"
#include "dnsd/zone_feed.h"

#include "registry/store.h"

#include <stdlib.h>
#include <string.h>

enum {
    WARREN_MAX_ZONES = 4096,
    WARREN_MAX_DEVICES = 64, /* of one zone */
    EXPIRE_MIN_S = 1,
    EXPIRE_DEFAULT_S = 24 * 3600,
};

static const char name[] = "warren";

struct warren_zone {
    struct dns_name_buf zone_name;
    struct zone_feed *feed;
    struct zone_device *devices; /* in the instance's arena */
    size_t device_count;
    int64_t expire_s; /* of idle observations */
    struct zone_devices *running;
};

struct warren {
    struct handler handler;
    const struct store *store;
    struct warren_zone *zones;
    size_t zone_count;
};

/* --- answering -------------------------------------------------------------------------------- */

static struct warren_zone *address_match(const struct warren *w, struct dns_name asked)
{
    for (size_t i = 0; i < w->zone_count; i++)
        if (zones_warren_has_address(zone_feed_zone(w->zones[i].feed), asked))
            return &w->zones[i];
    return NULL;
}

static bool is_in_arpa(struct dns_name asked)
{
    static const uint8_t arpa[] = "\4arpa";
    return asked.size >= sizeof(arpa) &&
           memcmp(asked.wire + asked.size - sizeof(arpa), arpa, sizeof(arpa)) == 0;
}

/* The zone that answers NAME: the longest that it is in, else one that has its address. A zone that
 * a reverse name is in, as all are in the root, leaves it to the zone that has the address. */
static struct warren_zone *match(const struct warren *w, struct dns_name asked)
{
    struct warren_zone *found = NULL;
    for (size_t i = 0; i < w->zone_count; i++) {
        struct warren_zone *z = &w->zones[i];
        bool is_longer = found == NULL || z->zone_name.size > found->zone_name.size;
        if (is_longer && dns_name_is_under(asked, dns_name_of(&z->zone_name)))
            found = z;
    }
    if (found != NULL &&
        (!is_in_arpa(asked) || zones_warren_has_address(zone_feed_zone(found->feed), asked)))
        return found;
    struct warren_zone *has_address = address_match(w, asked);
    return has_address != NULL ? has_address : found;
}

static int serve(struct handler *self, struct query *q)
{
    struct warren *w = (struct warren *)self;
    struct dns_name asked = dns_name_of(&q->name);
    struct warren_zone *z = match(w, asked);
    if (z == NULL)
        return handler_next(self, q);
    if (!zone_feed_is_loaded(z->feed)) {
        q->error = "the zone is not loaded from the registry yet";
        return DNS_RCODE_SERVFAIL;
    }
    uint16_t type = query_type(q);
    if (type == DNS_TYPE_AXFR || type == DNS_TYPE_IXFR)
        return DNS_RCODE_REFUSED; /* RFC 5936 section 2.2.1: an empty answer would be no refusal */
    struct dns_message reply;
    dns_reply_init(&reply, &q->request.message);
    enum err e = zones_warren_answer(zone_feed_zone(z->feed), asked, type, q->arena, &reply);
    if (e != OK) {
        q->error = err_text(e);
        return DNS_RCODE_SERVFAIL;
    }
    q->plugin = self->name;
    query_write(q, &reply);
    return reply.rcode;
}

/* On another thread. Not ready, too, while the registry takes no writes: what is answered then is
 * right as far as it goes, but it may be old. */
static bool is_ready(struct handler *self)
{
    const struct warren *w = (const struct warren *)self;
    if (!store_is_writable(w->store))
        return false;
    for (size_t i = 0; i < w->zone_count; i++)
        if (!zone_feed_is_loaded(w->zones[i].feed))
            return false;
    return true;
}

static void destroy(struct handler *self)
{
    struct warren *w = (struct warren *)self;
    for (size_t i = 0; i < w->zone_count; i++) {
        zone_devices_stop(w->zones[i].running);
        zone_feed_close(w->zones[i].feed);
    }
    free(w->zones);
    free(w);
}

/* --- devices ---------------------------------------------------------------------------------- */

static bool feed_is_loaded(const void *context)
{
    return zone_feed_is_loaded(context);
}

static enum err start_devices(struct warren_zone *z, const struct dnsd *dnsd)
{
    struct zone_devices_config config = {
        .loop = dnsd->loop,
        .store = dnsd->store,
        .zone = zone_feed_zone(z->feed),
        .zone_name = zone_feed_name(z->feed),
        .is_loaded = feed_is_loaded,
        .context = z->feed,
        .data_dir = dnsd->data_dir,
        .expire_s = z->expire_s,
        .devices = z->devices,
        .device_count = z->device_count,
    };
    return z->device_count > 0 ? zone_devices_start(&z->running, &config) : OK;
}

/* --- set-up ----------------------------------------------------------------------------------- */

static enum err parse_device(struct setup *s, struct warren_zone *z, struct zone_device **out,
                             const struct setup_args *args, struct strbuf *why)
{
    struct zone_device *d = z->devices;
    while (d < z->devices + z->device_count && strcmp(d->device, args->items[0]) != 0)
        d++;
    *out = d;
    if (d < z->devices + z->device_count)
        return OK;
    if (z->device_count == WARREN_MAX_DEVICES)
        return core_error(&s->cursor, why, "more than %d devices in one zone", WARREN_MAX_DEVICES);
    *d = (struct zone_device){.device = args->items[0]};
    z->device_count++;
    return OK;
}

static enum err parse_observe(struct setup *s, struct warren_zone *z, struct strbuf *why)
{
    struct setup_args args;
    struct zone_device *d;
    enum err e = setup_args_read(s, &args);
    if (e == OK && args.count != 1)
        e = core_arg_error(&s->cursor, why);
    if (e == OK)
        e = parse_device(s, z, &d, &args, why);
    if (e == OK && d->is_observed)
        e = core_error(&s->cursor, why, "%s is observed twice", d->device);
    if (e == OK)
        d->is_observed = true;
    return e;
}

static enum err parse_sync(struct setup *s, struct warren_zone *z, struct strbuf *why)
{
    struct setup_args args;
    struct zone_device *d;
    enum err e = setup_args_read(s, &args);
    if (e == OK && (args.count == 0 || args.count > 2 ||
                    (args.count == 2 && strcmp(args.items[1], "adopt") != 0)))
        e = core_arg_error(&s->cursor, why);
    if (e == OK)
        e = parse_device(s, z, &d, &args, why);
    if (e == OK && d->is_synced)
        e = core_error(&s->cursor, why, "%s is synced twice", d->device);
    if (e == OK) {
        d->is_synced = true;
        d->adopt = args.count == 2;
    }
    return e;
}

static enum err parse_expire(struct setup *s, struct warren_zone *z, struct strbuf *why)
{
    struct setup_args args;
    int64_t ns;
    enum err e = setup_args_read(s, &args);
    if (e == OK && args.count != 1)
        e = core_arg_error(&s->cursor, why);
    if (e != OK)
        return e;
    struct strbuf bad = STRBUF_EMPTY;
    e = duration_arg_parse(&ns, args.items[0], &bad);
    if (e == ERR_MALFORMED)
        e = core_error(&s->cursor, why, "%s", strbuf_str(&bad));
    strbuf_fini(&bad);
    if (e != OK)
        return e;
    if (ns / DURATION_SECOND < EXPIRE_MIN_S)
        return core_error(&s->cursor, why, "expire must be a second at least, not %s",
                          args.items[0]);
    z->expire_s = ns / DURATION_SECOND;
    return OK;
}

static enum err parse_block(struct setup *s, struct warren_zone *z, struct strbuf *why)
{
    while (core_next_block(&s->cursor)) {
        const char *option = core_val(&s->cursor);
        enum err e;
        if (strcmp(option, "observe") == 0)
            e = parse_observe(s, z, why);
        else if (strcmp(option, "sync") == 0)
            e = parse_sync(s, z, why);
        else if (strcmp(option, "expire") == 0)
            e = parse_expire(s, z, why);
        else
            e = core_error(&s->cursor, why, "unknown option '%s' (observe, sync, expire)", option);
        if (e != OK)
            return e;
    }
    return OK;
}

/* Opened here already, so that the zone loads while the rest of the Corefile is read. */
static enum err open_zone(struct setup *s, struct warren *w, const char *text, struct strbuf *why,
                          struct warren_zone **out)
{
    struct dns_name_buf written;
    if (w->zone_count == WARREN_MAX_ZONES)
        return core_error(&s->cursor, why, "more than %d zones in one server block",
                          WARREN_MAX_ZONES);
    struct warren_zone *grown = realloc(w->zones, (w->zone_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return ERR_NO_MEMORY;
    w->zones = grown;
    struct warren_zone *z = &w->zones[w->zone_count];
    *z = (struct warren_zone){.expire_s = EXPIRE_DEFAULT_S};
    if (dns_name_from_text(&written, text, strlen(text)) != OK)
        return core_error(&s->cursor, why, "'%s' is not a domain name", text);
    dns_name_lower(&z->zone_name, dns_name_of(&written));
    for (size_t i = 0; i < w->zone_count; i++)
        if (dns_name_same(dns_name_of(&w->zones[i].zone_name), dns_name_of(&z->zone_name)))
            return core_error(&s->cursor, why, "duplicate zone name %s", text);
    z->devices = arena_array(s->arena, WARREN_MAX_DEVICES, sizeof(*z->devices));
    if (z->devices == NULL)
        return ERR_NO_MEMORY;
    enum err e = zone_feed_open(&z->feed, instance_dnsd(s->instance), dns_name_of(&z->zone_name));
    if (e == ERR_LIMIT)
        return core_error(&s->cursor, why, "'%s' is too long for the names below it", text);
    if (e == ERR_INVALID)
        return core_error(&s->cursor, why, "'%s' has a slash, which no zone of the registry has",
                          text);
    if (e != OK)
        return e;
    w->zone_count++;
    *out = z;
    return OK;
}

static enum err parse_zone(struct setup *s, struct warren *w, struct strbuf *why)
{
    struct setup_args args;
    struct warren_zone *z = NULL;
    enum err e = setup_args_read(s, &args);
    if (e == OK && args.count != 1)
        e = core_arg_error(&s->cursor, why);
    if (e == OK)
        e = open_zone(s, w, args.items[0], why, &z);
    return e == OK ? parse_block(s, z, why) : e;
}

static enum err parse(struct setup *s, struct warren *w, struct strbuf *why)
{
    enum err e = OK;
    struct dnsd *dnsd = instance_dnsd(s->instance);
    if (dnsd->store == NULL && dnsd->process != NULL)
        e = process_need_store(dnsd->process, why);
    if (e == OK && dnsd->store == NULL) {
        strbuf_add_str(why, "no registry runs in this process");
        e = ERR_INVALID;
    }
    w->store = dnsd->store;
    while (e == OK && core_next(&s->cursor))
        e = parse_zone(s, w, why);
    for (size_t i = 0; e == OK && i < w->zone_count; i++)
        e = start_devices(&w->zones[i], dnsd);
    return e;
}

enum err directive_warren_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct warren *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return setup_fail(s, name, ERR_NO_MEMORY, &why);
    w->handler = (struct handler){
        .name = name, .serve = serve, .destroy = destroy, .ready = is_ready, .ready_may_end = true};
    enum err e = parse(s, w, &why);
    if (e != OK) {
        destroy(&w->handler);
        return setup_fail(s, name, e, &why);
    }
    strbuf_fini(&why);
    return setup_add_handler(s, name, &w->handler);
}
