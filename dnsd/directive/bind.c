/* bind: the addresses that a server block listens on, by address or by interface. */
#include "base/ip.h"
#include "base/log.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <errno.h>
#include <ifaddrs.h>
#include <string.h>

static const char name[] = "bind";

struct host_list {
    const char **items;
    size_t count;
};

static enum err list_add(struct host_list *l, struct arena *arena, const char *host)
{
    /* Grown one by one: lists are as long as a line of a Corefile, or as an interface's addresses.
     */
    const char **items = arena_array(arena, l->count + 1, sizeof(*items));
    if (items == NULL)
        return ERR_NO_MEMORY;
    if (l->count > 0)
        memcpy(items, l->items, l->count * sizeof(*items));
    items[l->count] = host;
    l->items = items;
    l->count++;
    return OK;
}

static bool list_has(const struct host_list *l, const char *host)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i], host) == 0)
            return true;
    return false;
}

/* Whether the entry belongs to the interface; an IPv4 address may carry a label "eth0:1". */
static bool is_of(const struct ifaddrs *entry, const char *interface)
{
    size_t size = strcspn(entry->ifa_name, ":");
    return strlen(interface) == size && memcmp(entry->ifa_name, interface, size) == 0;
}

static enum err add_address(struct host_list *out, struct arena *arena, const struct sockaddr *sa)
{
    struct ip_endpoint endpoint;
    char text[IP_ADDR_TEXT_SIZE];
    bool is_v6 = sa->sa_family == AF_INET6;
    size_t sa_size = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (ip_endpoint_from_sockaddr(&endpoint, sa, sa_size) != OK)
        return OK;
    /* fe80::/10 means nothing without an interface. */
    if (is_v6 && endpoint.addr.bytes[0] == 0xfe && (endpoint.addr.bytes[1] & 0xc0) == 0x80)
        return OK;
    size_t size = ip_addr_format(&endpoint.addr, text);
    const char *host = arena_copy(arena, text, size + 1);
    return host != NULL ? list_add(out, arena, host) : ERR_NO_MEMORY;
}

static enum err add_interface(struct host_list *out, struct arena *arena,
                              const struct ifaddrs *entries, const char *interface, bool *exists)
{
    *exists = false;
    for (const struct ifaddrs *e = entries; e != NULL; e = e->ifa_next) {
        if (!is_of(e, interface))
            continue;
        *exists = true;
        if (e->ifa_addr == NULL ||
            (e->ifa_addr->sa_family != AF_INET && e->ifa_addr->sa_family != AF_INET6))
            continue;
        enum err err = add_address(out, arena, e->ifa_addr);
        if (err != OK)
            return err;
    }
    return OK;
}

/* Arguments to addresses: an interface's name wins over an address. */
static enum err list_hosts(struct host_list *out, struct setup *s, const struct setup_args *args,
                           const struct ifaddrs *entries, struct strbuf *why)
{
    for (size_t i = 0; i < args->count; i++) {
        bool is_interface;
        struct ip_addr addr;
        const char *arg = args->items[i];
        enum err err = add_interface(out, s->arena, entries, arg, &is_interface);
        if (err == OK && !is_interface) {
            if (ip_addr_parse(&addr, arg, strlen(arg)) != OK) {
                strbuf_add_str(why, "not a valid IP address or interface name: ");
                quote_add(why, arg);
                return ERR_INVALID;
            }
            err = list_add(out, s->arena, arg);
        }
        if (err != OK)
            return err;
    }
    return OK;
}

static enum err parse_block(struct setup *s, struct setup_args *except, struct strbuf *why)
{
    while (core_next_block(&s->cursor)) {
        const char *option = core_val(&s->cursor);
        if (strcmp(option, "except") != 0) {
            strbuf_add_str(why, "invalid option ");
            quote_add(why, option);
            return ERR_INVALID;
        }
        enum err err = setup_args_read(s, except);
        if (err != OK)
            return err;
        if (except->count == 0) {
            strbuf_add_str(
                why, "at least one address or interface must be given to except subdirective");
            return ERR_INVALID;
        }
    }
    return OK;
}

/* One line and its block; what it names goes to the end of OUT. */
static enum err parse_line(struct host_list *out, struct setup *s, const struct ifaddrs *entries,
                           struct strbuf *why)
{
    struct setup_args args, except_args = {0};
    struct host_list hosts = {0}, except = {0};
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count == 0) {
        strbuf_add_str(why, "at least one address or interface name is expected");
        return ERR_INVALID;
    }
    err = parse_block(s, &except_args, why);
    if (err == OK)
        err = list_hosts(&hosts, s, &args, entries, why);
    if (err == OK)
        err = list_hosts(&except, s, &except_args, entries, why);
    for (size_t i = 0; err == OK && i < hosts.count; i++)
        if (!list_has(&except, hosts.items[i]))
            err = list_add(out, s->arena, hosts.items[i]);
    return err;
}

enum err directive_bind_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct host_list hosts = {0};
    struct ifaddrs *entries = NULL;
    enum err err = OK;
    if (getifaddrs(&entries) != 0) {
        log_plugin(LOG_WARNING, name,
                   "failed to get interfaces list, cannot bind by interface name: %s",
                   strerrordesc_np(errno));
        entries = NULL;
    }
    while (err == OK && core_next(&s->cursor))
        err = parse_line(&hosts, s, entries, &why);
    if (entries != NULL)
        freeifaddrs(entries);
    if (err != OK)
        return setup_fail(s, name, err, &why);
    s->site->listen_hosts = hosts.items;
    s->site->listen_host_count = hosts.count;
    return OK;
}
