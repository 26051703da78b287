#include "dnsd/instance.h"

#include "dnsd/corefile/server_blocks.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"
#include "dnsd/rcu.h"
#include "dnsd/server.h"
#include "dnsd/sockets.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INSTANCE_ARENA_LIMIT = 256 << 20,
    INSTANCE_MAX_LISTENERS = 4096,
};

struct start_hook {
    instance_start_fn *fn;
    void *context;
    struct start_hook *next;
};

struct started_hook {
    instance_started_fn *fn;
    void *context;
    struct started_hook *next;
};

struct stop_hook {
    instance_stop_fn *fn;
    void *context;
    struct stop_hook *next;
};

struct slot {
    const char *name;
    void *value;
    void (*free_fn)(void *);
    struct slot *next;
};

struct instance {
    struct dnsd *dnsd;
    struct arena arena;
    struct core_file file;
    bool has_file;
    struct instance *previous;
    struct site **sites; /* block by block, key by key */
    size_t site_count;
    struct start_hook *start_hooks, **start_end;
    struct started_hook *started_hooks, **started_end;
    struct stop_hook *stop_hooks, **stop_end;
    struct slot *slots;
    struct listener **listeners;
    struct socket_set **sockets; /* of the listener with the same index; NULL: none, or handed on */
    size_t listener_count;
    bool is_retired; /* its stop hooks ran already */
};

/* --- accessors -------------------------------------------------------------------------------- */

struct dnsd *instance_dnsd(struct instance *inst)
{
    return inst->dnsd;
}

struct metrics *instance_metrics(struct instance *inst)
{
    return inst->dnsd->metrics;
}

struct arena *instance_arena(struct instance *inst)
{
    return &inst->arena;
}

const struct core_file *instance_corefile(const struct instance *inst)
{
    return &inst->file;
}

struct site *const *instance_sites(const struct instance *inst, size_t *count)
{
    *count = inst->site_count;
    return inst->sites;
}

struct instance *instance_previous(const struct instance *inst)
{
    return inst->previous;
}

static struct slot *slot_find(struct instance *inst, const char *name)
{
    struct slot *slot = inst->slots;
    while (slot != NULL && strcmp(slot->name, name) != 0)
        slot = slot->next;
    return slot;
}

void *instance_slot(struct instance *inst, const char *name)
{
    struct slot *slot = slot_find(inst, name);
    return slot != NULL ? slot->value : NULL;
}

enum err instance_set_slot(struct instance *inst, const char *name, void *value,
                           void (*free_fn)(void *))
{
    struct slot *slot = slot_find(inst, name);
    if (slot == NULL) {
        slot = arena_alloc(&inst->arena, sizeof(*slot));
        if (slot == NULL)
            return ERR_NO_MEMORY;
        slot->name = name;
        slot->next = inst->slots;
        inst->slots = slot;
    }
    slot->value = value;
    slot->free_fn = free_fn;
    return OK;
}

enum err instance_on_start(struct instance *inst, instance_start_fn *fn, void *context)
{
    struct start_hook *hook = arena_alloc(&inst->arena, sizeof(*hook));
    if (hook == NULL)
        return ERR_NO_MEMORY;
    *hook = (struct start_hook){.fn = fn, .context = context};
    *inst->start_end = hook;
    inst->start_end = &hook->next;
    return OK;
}

enum err instance_on_started(struct instance *inst, instance_started_fn *fn, void *context)
{
    struct started_hook *hook = arena_alloc(&inst->arena, sizeof(*hook));
    if (hook == NULL)
        return ERR_NO_MEMORY;
    *hook = (struct started_hook){.fn = fn, .context = context};
    *inst->started_end = hook;
    inst->started_end = &hook->next;
    return OK;
}

enum err instance_on_stop(struct instance *inst, instance_stop_fn *fn, void *context)
{
    struct stop_hook *hook = arena_alloc(&inst->arena, sizeof(*hook));
    if (hook == NULL)
        return ERR_NO_MEMORY;
    *hook = (struct stop_hook){.fn = fn, .context = context};
    *inst->stop_end = hook;
    inst->stop_end = &hook->next;
    return OK;
}

enum err setup_take_handler(struct setup *s, struct handler *handler)
{
    struct site *site = s->site;
    struct handler **grown =
        realloc(site->handlers, (site->handler_count + 1) * sizeof(struct handler *));
    if (grown == NULL)
        return ERR_NO_MEMORY;
    site->handlers = grown;
    site->handlers[site->handler_count++] = handler;
    return OK;
}

/* --- loading ---------------------------------------------------------------------------------- */

static enum err parse(struct instance *inst, const char *name, const char *text, size_t size,
                      struct strbuf *error)
{
    enum err e = core_file_parse(&inst->file, name, text, size, directive_is_known, error);
    if (e != OK)
        return e;
    inst->has_file = true;
    if (inst->file.block_count > 0)
        return OK;
    core_file_fini(&inst->file);
    inst->has_file = false;
    struct strbuf plain = STRBUF_EMPTY;
    strbuf_add_format(&plain, ".:%s {\nwhoami\nlog\n}\n", inst->dnsd->default_port);
    e = plain.failed ? ERR_NO_MEMORY
                     : core_file_parse(&inst->file, "Corefile", plain.data, plain.size,
                                       directive_is_known, error);
    strbuf_fini(&plain);
    inst->has_file = e == OK;
    return e;
}

static enum err make_site(struct instance *inst, const struct server_zone *zone)
{
    struct site *site = arena_alloc(&inst->arena, sizeof(*site));
    const char **hosts = arena_array(&inst->arena, 1, sizeof(*hosts));
    if (site == NULL || hosts == NULL)
        return ERR_NO_MEMORY;
    hosts[0] = "";
    *site = (struct site){
        .instance = inst,
        .key = zone->text,
        .zone = zone->key.zone,
        .port = zone->key.port,
        .transport = zone->key.transport,
        .listen_hosts = hosts,
        .listen_host_count = 1,
        .block = &inst->file.blocks[zone->block_index],
        .block_index = zone->block_index,
        .key_index = zone->key_index,
    };
    /* A zone that is no domain name (CoreDNS takes some) is listed but matches no query. */
    if (dns_name_from_text(&site->zone_name, site->zone, strlen(site->zone)) != OK)
        site->zone_name.size = 0;
    inst->sites[inst->site_count++] = site;
    return OK;
}

static enum err inspect_blocks(struct instance *inst, struct strbuf *error)
{
    struct server_zone *zones;
    size_t count;
    enum err e = server_blocks_inspect(&inst->file, inst->dnsd->default_port, &inst->arena, &zones,
                                       &count, error);
    if (e != OK)
        return e;
    inst->sites = arena_array(&inst->arena, count + 1, sizeof(struct site *));
    if (inst->sites == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; e == OK && i < count; i++)
        e = make_site(inst, &zones[i]);
    return e;
}

/* The sites of one block stand together; [first, end) of the block that holds FIRST. */
static size_t block_end(const struct instance *inst, size_t first)
{
    size_t end = first + 1;
    while (end < inst->site_count &&
           inst->sites[end]->block_index == inst->sites[first]->block_index)
        end++;
    return end;
}

static const struct core_directive *block_directive(const struct core_block *block,
                                                    const char *name)
{
    for (size_t i = 0; i < block->directive_count; i++)
        if (strcmp(block->directives[i].name, name) == 0)
            return &block->directives[i];
    return NULL;
}

static enum err block_keys(struct instance *inst, size_t first, const char *const **out,
                           size_t *count)
{
    size_t end = block_end(inst, first);
    const char **keys = arena_array(&inst->arena, end - first, sizeof(*keys));
    if (keys == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = first; i < end; i++)
        keys[i - first] = inst->sites[i]->key;
    *out = keys;
    *count = end - first;
    return OK;
}

static enum err run_setup(struct instance *inst, const struct directive *directive, size_t first,
                          const struct core_directive *tokens, struct strbuf *error)
{
    if (directive->setup == NULL) {
        strbuf_add_format(error,
                          "%s:%d - Error during parsing: directive '%s' is CoreDNS's but not "
                          "available in this version of Warren",
                          tokens->tokens[0].file, tokens->tokens[0].line, directive->name);
        return ERR_UNSUPPORTED;
    }
    struct setup s = {
        .instance = inst,
        .site = inst->sites[first],
        .arena = &inst->arena,
        .error = error,
    };
    core_cursor_init(&s.cursor, inst->file.name, tokens);
    enum err e = block_keys(inst, first, &s.keys, &s.key_count);
    if (e == OK)
        e = directive->setup(&s);
    if (e != OK && error->size == 0)
        strbuf_add_format(error, "plugin/%s: %s", directive->name, err_text(e));
    return e;
}

static enum err run_setups(struct instance *inst, struct strbuf *error)
{
    for (size_t d = 0; d < directive_count; d++) {
        for (size_t i = 0; i < inst->site_count; i = block_end(inst, i)) {
            const struct core_directive *tokens =
                block_directive(inst->sites[i]->block, directives[d].name);
            if (tokens == NULL)
                continue;
            enum err e = run_setup(inst, &directives[d], i, tokens, error);
            if (e != OK)
                return e;
        }
    }
    return OK;
}

/* The handlers of a block form one chain, and all its sites share what its first one was given. */
static void share_block(struct instance *inst, size_t first)
{
    struct site *owner = inst->sites[first];
    for (size_t i = 0; i < owner->handler_count; i++)
        owner->handlers[i]->next = i + 1 < owner->handler_count ? owner->handlers[i + 1] : NULL;
    owner->first = owner->handler_count > 0 ? owner->handlers[0] : NULL;
    size_t end = block_end(inst, first);
    for (size_t i = first + 1; i < end; i++) {
        struct site *site = inst->sites[i];
        site->listen_hosts = owner->listen_hosts;
        site->listen_host_count = owner->listen_host_count;
        site->debug = owner->debug;
        site->stacktrace = owner->stacktrace;
        site->read_timeout_ms = owner->read_timeout_ms;
        site->write_timeout_ms = owner->write_timeout_ms;
        site->idle_timeout_ms = owner->idle_timeout_ms;
        site->first = owner->first;
    }
}

/* --- listeners -------------------------------------------------------------------------------- */

static enum err listen_endpoint(const struct site *site, const char *host, struct ip_endpoint *out,
                                struct strbuf *error)
{
    uint16_t port;
    enum err e = server_blocks_port(site->port, &port, error);
    if (e != OK)
        return e;
    *out = (struct ip_endpoint){.port = port};
    if (host[0] == '\0')
        return OK;
    struct strbuf text = STRBUF_EMPTY;
    strbuf_add_format(&text, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    e = text.failed ? ERR_NO_MEMORY : ip_endpoint_parse(out, text.data, text.size);
    strbuf_fini(&text);
    if (e != OK)
        strbuf_add_format(error, "lookup %s: no such host", host);
    return e;
}

static const char *listen_address(struct arena *arena, const struct site *site,
                                  const struct ip_endpoint *endpoint)
{
    char text[IP_ENDPOINT_TEXT_SIZE];
    if (endpoint->addr.family == IP_NONE)
        snprintf(text, sizeof(text), ":%u", endpoint->port);
    else
        ip_endpoint_format(endpoint, text);
    const char *transport = transport_name(site->transport);
    size_t size = strlen(transport) + strlen(text) + 4;
    char *address = arena_alloc(arena, size);
    if (address != NULL)
        snprintf(address, size, "%s://%s", transport, text);
    return address;
}

static struct listener *find_listener(const struct instance *inst, const char *address)
{
    for (size_t i = 0; i < inst->listener_count; i++)
        if (strcmp(inst->listeners[i]->address, address) == 0)
            return inst->listeners[i];
    return NULL;
}

static enum err add_listener(struct instance *inst, const char *address,
                             const struct ip_endpoint *endpoint, struct listener **out)
{
    if (inst->listener_count == INSTANCE_MAX_LISTENERS)
        return ERR_LIMIT;
    struct listener *l = arena_alloc(&inst->arena, sizeof(*l));
    if (l == NULL)
        return ERR_NO_MEMORY;
    *l = (struct listener){.address = address,
                           .endpoint = *endpoint,
                           .read_timeout_ms = SERVER_READ_TIMEOUT_MS,
                           .write_timeout_ms = SERVER_WRITE_TIMEOUT_MS,
                           .idle_timeout_ms = SERVER_IDLE_TIMEOUT_MS};
    l->sites = arena_array(&inst->arena, inst->site_count, sizeof(struct site *));
    if (l->sites == NULL)
        return ERR_NO_MEMORY;
    inst->listeners[inst->listener_count++] = l;
    *out = l;
    return OK;
}

static void listener_add_site(struct listener *l, struct site *site)
{
    if (site->read_timeout_ms != 0)
        l->read_timeout_ms = site->read_timeout_ms;
    if (site->write_timeout_ms != 0)
        l->write_timeout_ms = site->write_timeout_ms;
    if (site->idle_timeout_ms != 0)
        l->idle_timeout_ms = site->idle_timeout_ms;
    for (struct handler *h = site->first; h != NULL; h = h->next)
        l->serves_chaos |= strcmp(h->name, "chaos") == 0;
    /* `bind` may name one address twice. */
    if (l->site_count == 0 || l->sites[l->site_count - 1] != site)
        l->sites[l->site_count++] = site;
}

static enum err group_sites(struct instance *inst, struct strbuf *error)
{
    inst->listeners = arena_array(&inst->arena, INSTANCE_MAX_LISTENERS, sizeof(struct listener *));
    inst->sockets = arena_array(&inst->arena, INSTANCE_MAX_LISTENERS, sizeof(struct socket_set *));
    if (inst->listeners == NULL || inst->sockets == NULL)
        return ERR_NO_MEMORY;
    memset(inst->sockets, 0, INSTANCE_MAX_LISTENERS * sizeof(struct socket_set *));
    for (size_t i = 0; i < inst->site_count; i++) {
        struct site *site = inst->sites[i];
        for (size_t h = 0; h < site->listen_host_count; h++) {
            struct ip_endpoint endpoint;
            enum err e = listen_endpoint(site, site->listen_hosts[h], &endpoint, error);
            if (e != OK)
                return e;
            const char *address = listen_address(&inst->arena, site, &endpoint);
            if (address == NULL)
                return ERR_NO_MEMORY;
            struct listener *l = find_listener(inst, address);
            if (l == NULL)
                e = add_listener(inst, address, &endpoint, &l);
            if (e != OK)
                return e;
            listener_add_site(l, site);
        }
    }
    return OK;
}

static enum err check_overlap(struct instance *inst, struct strbuf *error)
{
    size_t count = 0;
    for (size_t i = 0; i < inst->site_count; i++)
        count += inst->sites[i]->listen_host_count;
    struct served_zone *served = calloc(count + 1, sizeof(*served));
    struct zone_key *keys = calloc(inst->site_count + 1, sizeof(*keys));
    enum err e = ERR_NO_MEMORY;
    if (served != NULL && keys != NULL) {
        size_t n = 0;
        for (size_t i = 0; i < inst->site_count; i++) {
            const struct site *site = inst->sites[i];
            keys[i] = (struct zone_key){
                .zone = site->zone, .port = site->port, .transport = site->transport};
            for (size_t h = 0; h < site->listen_host_count; h++)
                served[n++] = (struct served_zone){.key = &keys[i], .host = site->listen_hosts[h]};
        }
        e = server_blocks_check_overlap(served, n, error);
    }
    free(served);
    free(keys);
    return e;
}

static enum err refuse_transports(struct instance *inst, struct strbuf *error)
{
    for (size_t i = 0; i < inst->site_count; i++) {
        const struct site *site = inst->sites[i];
        /* tls:// without the tls directive is plain DNS on its port, as in CoreDNS. */
        if (site->transport == TRANSPORT_DNS || site->transport == TRANSPORT_TLS)
            continue;
        strbuf_add_format(error,
                          "cannot serve %s://%s:%s - transport %s is not available in this "
                          "version of Warren",
                          transport_name(site->transport), site->zone, site->port,
                          transport_name(site->transport));
        return ERR_UNSUPPORTED;
    }
    return OK;
}

static enum err make_listeners(struct instance *inst, struct strbuf *error)
{
    for (size_t i = 0; i < inst->site_count; i = block_end(inst, i))
        share_block(inst, i);
    enum err e = refuse_transports(inst, error);
    if (e == OK)
        e = group_sites(inst, error);
    if (e == OK)
        e = check_overlap(inst, error);
    for (size_t i = 0; e == OK && i < inst->listener_count; i++)
        e = listener_index(inst->listeners[i], &inst->arena);
    return e;
}

enum err instance_load(struct instance **out, struct dnsd *dnsd, const char *name, const char *text,
                       size_t size, struct instance *previous, struct strbuf *error)
{
    struct instance *inst = calloc(1, sizeof(*inst));
    if (inst == NULL)
        return ERR_NO_MEMORY;
    inst->dnsd = dnsd;
    inst->previous = previous;
    inst->start_end = &inst->start_hooks;
    inst->started_end = &inst->started_hooks;
    inst->stop_end = &inst->stop_hooks;
    arena_init(&inst->arena, INSTANCE_ARENA_LIMIT);
    enum err e = parse(inst, name, text, size, error);
    if (e == OK)
        e = inspect_blocks(inst, error);
    if (e == OK)
        e = run_setups(inst, error);
    if (e == OK)
        e = make_listeners(inst, error);
    if (e != OK) {
        if (error->size == 0)
            strbuf_add_str(error, err_text(e));
        instance_destroy(inst);
        return e;
    }
    *out = inst;
    return OK;
}

/* --- life ------------------------------------------------------------------------------------- */

static struct socket_set *previous_sockets(const struct instance *inst, const char *address)
{
    const struct instance *previous = inst->previous;
    for (size_t i = 0; previous != NULL && i < previous->listener_count; i++)
        if (previous->sockets[i] != NULL && strcmp(previous->listeners[i]->address, address) == 0)
            return previous->sockets[i];
    return NULL;
}

/* Opens what is new; the rest is taken from the previous instance by take_over. */
static enum err open_sockets(struct instance *inst, struct strbuf *error)
{
    for (size_t i = 0; i < inst->listener_count; i++) {
        const struct listener *l = inst->listeners[i];
        if (previous_sockets(inst, l->address) != NULL)
            continue;
        enum err e =
            sockets_open(&inst->sockets[i], inst->dnsd->pool, l, inst->dnsd->workers, error);
        if (e != OK)
            return e;
    }
    return OK;
}

static void close_sockets(struct instance *inst)
{
    for (size_t i = 0; i < inst->listener_count; i++) {
        if (inst->sockets[i] != NULL)
            sockets_close(inst->sockets[i]);
        inst->sockets[i] = NULL;
    }
}

/* New sockets first, since only starting their threads can fail; then those of the previous
 * instance change hands. */
static enum err take_over(struct instance *inst)
{
    for (size_t i = 0; i < inst->listener_count; i++) {
        if (inst->sockets[i] == NULL)
            continue;
        enum err e = sockets_serve(inst->sockets[i], inst->listeners[i]);
        if (e != OK)
            return e;
    }
    struct instance *previous = inst->previous;
    for (size_t p = 0; previous != NULL && p < previous->listener_count; p++) {
        for (size_t i = 0; i < inst->listener_count && previous->sockets[p] != NULL; i++) {
            if (strcmp(previous->listeners[p]->address, inst->listeners[i]->address) != 0)
                continue;
            inst->sockets[i] = previous->sockets[p];
            previous->sockets[p] = NULL;
            enum err e = sockets_serve(inst->sockets[i], inst->listeners[i]);
            assert(e == OK); /* its workers run already */
            (void)e;
        }
    }
    return OK;
}

static void set_debug(const struct instance *inst)
{
    bool is_debug = false;
    for (size_t i = 0; i < inst->site_count; i++)
        is_debug |= inst->sites[i]->debug;
    log_set_debug(is_debug);
}

enum err instance_start(struct instance *inst, struct strbuf *error)
{
    set_debug(inst);
    enum err e = OK;
    for (struct start_hook *hook = inst->start_hooks; e == OK && hook != NULL; hook = hook->next)
        e = hook->fn(hook->context, inst, error);
    if (e == OK)
        e = open_sockets(inst, error);
    if (e == OK)
        e = take_over(inst);
    if (e != OK) {
        if (error->size == 0)
            strbuf_add_str(error, err_text(e));
        close_sockets(inst);
        if (inst->previous != NULL)
            set_debug(inst->previous);
        return e;
    }
    inst->previous = NULL;
    return OK;
}

void instance_started(struct instance *inst)
{
    for (struct started_hook *hook = inst->started_hooks; hook != NULL; hook = hook->next)
        hook->fn(hook->context, inst);
}

static void run_stop_hooks(struct instance *inst, bool restarting)
{
    for (struct stop_hook *hook = inst->stop_hooks; hook != NULL; hook = hook->next)
        hook->fn(hook->context, inst, restarting);
}

void instance_retire(struct instance *inst)
{
    run_stop_hooks(inst, false);
    inst->is_retired = true;
}

void instance_stop(struct instance *inst, bool restarting)
{
    if (!restarting && !inst->is_retired)
        instance_retire(inst);
    close_sockets(inst);
    synchronize_rcu();
    if (restarting)
        run_stop_hooks(inst, true);
}

bool instance_listens(const struct instance *inst)
{
    return inst->listener_count > 0;
}

void instance_destroy(struct instance *inst)
{
    if (inst == NULL)
        return;
    /* Slots first: their servers may still ask the handlers (ready). */
    for (struct slot *slot = inst->slots; slot != NULL; slot = slot->next)
        if (slot->free_fn != NULL)
            slot->free_fn(slot->value);
    for (size_t i = 0; i < inst->site_count; i++) {
        struct site *site = inst->sites[i];
        for (size_t h = 0; h < site->handler_count; h++)
            site->handlers[h]->destroy(site->handlers[h]);
        free(site->handlers);
    }
    if (inst->has_file)
        core_file_fini(&inst->file);
    arena_fini(&inst->arena);
    free(inst);
}

/* --- description ------------------------------------------------------------------------------ */

static int compare_zone_text(const void *a, const void *b)
{
    const struct site *const *sa = a, *const *sb = b;
    return strcmp((*sa)->zone, (*sb)->zone);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t size = strlen(text), suffix_size = strlen(suffix);
    return size >= suffix_size && strcmp(text + size - suffix_size, suffix) == 0;
}

/* RFC 1035 section 2.3.1's preferred syntax, which the root and reverse zones need not follow. */
static bool is_preferred_syntax(const char *zone)
{
    size_t size = strlen(zone);
    if (strcmp(zone, ".") == 0 || ends_with(zone, ".in-addr.arpa.") ||
        ends_with(zone, ".ip6.arpa."))
        return true;
    for (size_t start = 0; start < size;) {
        const char *label = zone + start;
        size_t label_size = strcspn(label, ".");
        if (label_size == 0 || label[label_size] != '.' || !is_letter(label[0]))
            return false;
        for (size_t i = 1; i < label_size; i++) {
            bool is_digit = label[i] >= '0' && label[i] <= '9';
            if (!is_letter(label[i]) && !is_digit && (label[i] != '-' || i + 1 == label_size))
                return false;
        }
        start += label_size + 1;
    }
    return size > 0;
}

static void describe_listener(const struct listener *l, struct strbuf *out)
{
    struct site **sorted = calloc(l->site_count + 1, sizeof(struct site *));
    if (sorted == NULL)
        return;
    memcpy(sorted, l->sites, l->site_count * sizeof(struct site *));
    qsort(sorted, l->site_count, sizeof(struct site *), compare_zone_text);
    for (size_t i = 0; i < l->site_count; i++) {
        const char *zone = sorted[i]->zone;
        const char *scheme = sorted[i]->transport == TRANSPORT_TLS ? "tls://" : "";
        if (!is_preferred_syntax(zone)) {
            strbuf_add_str(out, "Warning: Domain ");
            quote_add(out, zone);
            strbuf_add_str(out, " does not follow RFC1035 preferred syntax\n");
        }
        strbuf_add_format(out, "%s%s:%u", scheme, zone, l->endpoint.port);
        if (l->endpoint.addr.family != IP_NONE) {
            char ip[IP_ADDR_TEXT_SIZE];
            ip_addr_format(&l->endpoint.addr, ip);
            strbuf_add_format(out, " on %s", ip);
        }
        strbuf_add_char(out, '\n');
    }
    free(sorted);
}

void instance_describe(const struct instance *inst, struct strbuf *out)
{
    for (size_t i = 0; i < inst->listener_count; i++)
        describe_listener(inst->listeners[i], out);
}
