/* wgsd ZONE DEVICE [{ self [IP:PORT] [CIDR...] }]: DNS-SD for the peers of a local WireGuard
 * device.
 *
 * May stand several times in a block; all its zones are served by one handler, the longest zone
 * that holds a name answers it, and a name in none of them goes to the next handler. */
#include "zones/wgsd.h"
#include "dnsd/device.h"
#include "dnsd/directives.h"
#include "dnsd/rcu.h"

#include "base/log.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WGSD_MAX_ZONES = 4096
};

/* What a reader sees of the device: published whole, so that view and failure belong together. */
struct wgsd_state {
    struct zones_wgsd_view *view; /* NULL while the device is unreadable */
    char failure[];               /* why it is */
};

struct wgsd_zone {
    const char *text; /* as messages name it */
    const char *device;
    struct zones_wgsd *zone;
    struct wgsd_state *state; /* RCU; NULL: there was no memory for it */
    struct device_subscription *subscription;
    /* From the parser. */
    struct ip_endpoint self_endpoint;
    struct ip_prefix *self_allowed_ips;
    size_t self_allowed_ip_count;
    bool has_self;
};

struct wgsd {
    struct handler handler;
    struct wgsd_zone *zones;
    size_t zone_count;
    uint8_t hash_key[HASH_KEY_SIZE];
};

/* --- publishing ------------------------------------------------------------------------------- */

struct zone_context {
    struct wgsd *wgsd;
    struct wgsd_zone *zone;
};

static void publish(struct wgsd_zone *z, struct wgsd_state *state)
{
    struct wgsd_state *old = z->state;
    rcu_assign_pointer(z->state, state);
    if (old == NULL)
        return;
    synchronize_rcu();
    zones_wgsd_view_destroy(old->view);
    free(old);
}

static struct wgsd_state *state_create(struct zones_wgsd_view *view, const char *failure)
{
    size_t size = strlen(failure) + 1;
    struct wgsd_state *state = malloc(sizeof(*state) + size);
    if (state == NULL)
        return NULL;
    state->view = view;
    memcpy(state->failure, failure, size);
    return state;
}

/* Called by the device's watch thread, and once by setup. */
static void device_event(void *context, const struct wgctl_watch_event *event)
{
    struct zone_context *c = context;
    struct zones_wgsd_view *view = NULL;
    if (event->liveness_only)
        return; /* handshakes are not published */
    enum err e = event->error;
    if (e == OK)
        e = zones_wgsd_view_create(&view, c->zone->zone, event->device, c->wgsd->hash_key);
    const char *failure = e == OK ? "" : event->error != OK ? event->detail : err_text(e);
    struct wgsd_state *state = state_create(view, failure);
    if (state == NULL)
        zones_wgsd_view_destroy(view);
    publish(c->zone, state);
}

/* --- answering -------------------------------------------------------------------------------- */

static struct wgsd_zone *match(const struct wgsd *w, struct dns_name name)
{
    struct wgsd_zone *found = NULL;
    uint8_t found_size = 0;
    for (size_t i = 0; i < w->zone_count; i++) {
        struct wgsd_zone *z = &w->zones[i];
        uint8_t size = zones_wgsd_zone(z->zone).size;
        if (size > found_size && zones_wgsd_owns(z->zone, name)) {
            found = z;
            found_size = size;
        }
    }
    return found;
}

static int serve(struct handler *self, struct query *q)
{
    struct wgsd *w = (struct wgsd *)self;
    struct dns_name name = dns_name_of(&q->name);
    struct wgsd_zone *z = match(w, name);
    if (z == NULL)
        return handler_next(self, q);
    const struct wgsd_state *state = rcu_dereference(z->state);
    struct dns_message reply;
    dns_reply_init(&reply, &q->request.message);
    enum err e = zones_wgsd_answer(z->zone, state != NULL ? state->view : NULL, name, query_type(q),
                                   &q->local.addr, q->arena, &reply);
    if (e != OK) {
        const char *text = state == NULL               ? err_text(ERR_NO_MEMORY)
                           : state->failure[0] != '\0' ? state->failure
                                                       : err_text(e);
        q->error = arena_copy(q->arena, text, strlen(text) + 1);
        return DNS_RCODE_SERVFAIL;
    }
    q->plugin = self->name;
    query_write(q, &reply);
    return reply.rcode;
}

static void destroy(struct handler *self)
{
    struct wgsd *w = (struct wgsd *)self;
    for (size_t i = 0; i < w->zone_count; i++) {
        struct wgsd_zone *z = &w->zones[i];
        device_unsubscribe(z->subscription);
        publish(z, NULL);
        zones_wgsd_destroy(z->zone);
        free(z->self_allowed_ips);
    }
    free(w->zones);
    free(w);
}

/* --- set-up ----------------------------------------------------------------------------------- */

static enum err fail(struct setup *s, enum err e)
{
    /* CoreDNS's plugin.Error: the directive's name before whatever went wrong. */
    struct strbuf text = STRBUF_EMPTY;
    strbuf_add_str(&text, "plugin/wgsd: ");
    strbuf_add_str(&text, strbuf_str(s->error));
    strbuf_clear(s->error);
    strbuf_add_str(s->error, strbuf_str(&text));
    strbuf_fini(&text);
    return e;
}

/* Go's net.SplitHostPort, as far as it decides whether an argument is an endpoint. */
static bool split_host_port(const char *text, const char **host, size_t *host_size,
                            const char **port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || end + 1 != colon)
            return false;
        if (memchr(text + 1, '[', (size_t)(end - text - 1)) != NULL ||
            strpbrk(end + 1, "[]") != NULL)
            return false;
        *host = text + 1;
        *host_size = (size_t)(end - text - 1);
    } else {
        if (memchr(text, ':', (size_t)(colon - text)) != NULL || strpbrk(text, "[]") != NULL)
            return false;
        *host = text;
        *host_size = (size_t)(colon - text);
    }
    *port = colon + 1;
    return true;
}

/* Go's strconv.Atoi: a sign and decimal digits, within int64. */
static bool parse_port(const char *text, uint16_t *port, const char **why)
{
    const char *digits = text + (text[0] == '+' || text[0] == '-');
    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
        *why = "invalid syntax";
        return false;
    }
    uint64_t value = 0;
    uint64_t limit = (uint64_t)INT64_MAX + (text[0] == '-');
    for (const char *c = digits; *c != '\0'; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (value > (limit - digit) / 10) {
            *why = "value out of range";
            return false;
        }
        value = value * 10 + digit;
    }
    *port = (uint16_t)(text[0] == '-' ? 0 - value : value); /* wgsd emits it modulo 65536 */
    return true;
}

static enum err parse_self_endpoint(struct setup *s, struct wgsd_zone *z, const char *host,
                                    size_t host_size, const char *port)
{
    const char *why;
    uint16_t number;
    if (!parse_port(port, &number, &why)) {
        strbuf_add_format(s->error,
                          "error converting self endpoint port: strconv.Atoi: parsing \"%s\": %s",
                          port, why);
        return fail(s, ERR_INVALID);
    }
    struct ip_addr addr;
    if (ip_addr_parse(&addr, host, host_size) != OK) {
        strbuf_add_format(s->error, "invalid self endpoint IP address: %.*s", (int)host_size, host);
        return fail(s, ERR_INVALID);
    }
    z->self_endpoint = (struct ip_endpoint){.addr = ip_unmap(addr), .port = number};
    return OK;
}

/* A CIDR as Go's net.ParseCIDR masks it. */
static bool parse_cidr(struct ip_prefix *out, const char *text)
{
    if (ip_prefix_parse(out, text, strlen(text)) != OK)
        return false;
    ip_prefix_mask(out);
    return true;
}

static enum err parse_self(struct setup *s, struct wgsd_zone *z)
{
    const char **args;
    size_t count;
    enum err e = core_remaining_args(&s->cursor, s->arena, &args, &count);
    if (e != OK)
        return e;
    z->has_self = true;
    size_t first = 0;
    const char *host, *port;
    size_t host_size;
    if (count > 0 && split_host_port(args[0], &host, &host_size, &port)) {
        e = parse_self_endpoint(s, z, host, host_size, port);
        if (e != OK)
            return e;
        first = 1;
    }
    if (count == first)
        return OK;
    struct ip_prefix *prefixes = calloc(count - first, sizeof(*prefixes));
    if (prefixes == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = first; i < count; i++) {
        if (!parse_cidr(&prefixes[i - first], args[i])) {
            free(prefixes);
            strbuf_add_format(s->error,
                              "invalid self allowed-ip '%s' err: invalid CIDR address: %s", args[i],
                              args[i]);
            return fail(s, ERR_INVALID);
        }
    }
    free(z->self_allowed_ips);
    z->self_allowed_ips = prefixes;
    z->self_allowed_ip_count = count - first;
    return OK;
}

static enum err parse_block(struct setup *s, struct wgsd_zone *z)
{
    while (core_next_block(&s->cursor)) {
        enum err e = OK;
        if (strcmp(core_val(&s->cursor), "self") == 0) {
            e = parse_self(s, z);
        } else {
            e = core_arg_error(&s->cursor, s->error);
            return fail(s, e);
        }
        if (e != OK)
            return e;
    }
    return OK;
}

/* ZONE made absolute, its case kept. */
static const char *fully_qualified(struct setup *s, const char *zone)
{
    size_t size = strlen(zone);
    bool has_dot = size > 0 && zone[size - 1] == '.';
    char *text = arena_alloc(s->arena, size + 2);
    if (text != NULL)
        snprintf(text, size + 2, "%s%s", zone, has_dot ? "" : ".");
    return text;
}

static enum err parse_zone(struct setup *s, struct wgsd *w)
{
    const char **args;
    size_t count;
    enum err e = core_remaining_args(&s->cursor, s->arena, &args, &count);
    if (e != OK)
        return e;
    if (count != 2) {
        strbuf_add_format(s->error, "expected 2 args, got %zu", count);
        return fail(s, ERR_INVALID);
    }
    if (w->zone_count == WGSD_MAX_ZONES) {
        strbuf_add_format(s->error, "more than %d zones in one server block", WGSD_MAX_ZONES);
        return fail(s, ERR_LIMIT);
    }
    const char *text = fully_qualified(s, args[0]);
    if (text == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < w->zone_count; i++) {
        if (strcmp(w->zones[i].text, text) == 0) {
            strbuf_add_format(s->error, "duplicate zone name %s", text);
            return fail(s, ERR_INVALID);
        }
    }
    struct wgsd_zone *grown = realloc(w->zones, (w->zone_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return ERR_NO_MEMORY;
    w->zones = grown;
    struct wgsd_zone *z = &w->zones[w->zone_count++];
    *z = (struct wgsd_zone){.text = text, .device = args[1]};
    return parse_block(s, z);
}

static enum err open_zone(struct setup *s, struct wgsd *w, struct wgsd_zone *z)
{
    struct dns_name_buf name;
    if (dns_name_from_text(&name, z->text, strlen(z->text)) != OK) {
        strbuf_add_format(s->error, "'%s' is not a domain name", z->text);
        return fail(s, ERR_INVALID);
    }
    struct zones_wgsd_config config = {
        .zone = dns_name_of(&name),
        .has_self = z->has_self,
        .self_endpoint = z->self_endpoint,
        .self_allowed_ips = z->self_allowed_ips,
        .self_allowed_ip_count = z->self_allowed_ip_count,
    };
    enum err e = zones_wgsd_create(&z->zone, &config);
    if (e != OK)
        return e;
    struct zone_context *context = arena_alloc(s->arena, sizeof(*context));
    if (context == NULL)
        return ERR_NO_MEMORY;
    *context = (struct zone_context){.wgsd = w, .zone = z};
    return device_subscribe(&z->subscription, z->device, "wgsd", device_event, context);
}

enum err directive_wgsd_setup(struct setup *s)
{
    struct wgsd *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NO_MEMORY;
    w->handler = (struct handler){.name = "wgsd", .serve = serve, .destroy = destroy};
    randombytes_buf(w->hash_key, sizeof(w->hash_key));
    enum err e = OK;
    while (e == OK && core_next(&s->cursor))
        e = parse_zone(s, w);
    /* Only now: the array of zones no longer moves. */
    for (size_t i = 0; e == OK && i < w->zone_count; i++)
        e = open_zone(s, w, &w->zones[i]);
    if (e == OK)
        e = setup_take_handler(s, &w->handler);
    if (e != OK)
        destroy(&w->handler);
    return e;
}
