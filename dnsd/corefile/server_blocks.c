#include "dnsd/corefile/server_blocks.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Zones of one Corefile: a key is one token, and a prefix becomes up to 128. */
    MAX_ZONES = 1 << 20,
};

static void add_key_text(struct strbuf *out, const struct zone_key *key)
{
    strbuf_add_format(out, "%s://%s:%s", transport_name(key->transport), key->zone, key->port);
}

/* Keys. */

struct zone_list {
    struct server_zone *items;
    size_t count;
    size_t capacity;
};

static enum err zone_list_add(struct zone_list *l, struct server_zone zone)
{
    if (l->count >= MAX_ZONES)
        return ERR_LIMIT;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : 2 * l->capacity;
        struct server_zone *items = reallocarray(l->items, capacity, sizeof(*items));
        if (items == NULL)
            return ERR_NO_MEMORY;
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = zone;
    return OK;
}

static enum err add_zone(struct zone_list *l, struct server_zone zone, struct arena *arena)
{
    struct strbuf text = STRBUF_EMPTY;
    add_key_text(&text, &zone.key);
    zone.text = text.failed ? NULL : arena_copy(arena, strbuf_str(&text), text.size + 1);
    strbuf_fini(&text);
    return zone.text != NULL ? zone_list_add(l, zone) : ERR_NO_MEMORY;
}

static enum err inspect_block(const struct core_block *block, size_t block_index,
                              const char *default_port, struct arena *arena, struct zone_list *l,
                              struct strbuf *error)
{
    size_t key_index = 0;
    for (size_t i = 0; i < block->key_count; i++) {
        struct zone_key *keys;
        size_t count;
        enum err err = zone_key_parse(block->keys[i], default_port, arena, &keys, &count, error);
        for (size_t j = 0; err == OK && j < count; j++)
            err =
                add_zone(l,
                         (struct server_zone){
                             .block_index = block_index, .key_index = key_index++, .key = keys[j]},
                         arena);
        if (err != OK)
            return err;
    }
    return OK;
}

enum err server_blocks_inspect(const struct core_file *file, const char *default_port,
                               struct arena *arena, struct server_zone **out, size_t *count,
                               struct strbuf *error)
{
    struct zone_list list = {0};
    struct strbuf reason = STRBUF_EMPTY;
    enum err err = OK;
    for (size_t i = 0; err == OK && i < file->block_count; i++)
        err = inspect_block(&file->blocks[i], i, default_port, arena, &list, &reason);
    struct server_zone *zones = NULL;
    if (err == OK) {
        zones = arena_array(arena, list.count, sizeof(*zones));
        if (zones == NULL)
            err = ERR_NO_MEMORY;
    }
    if (err == OK) {
        if (list.count > 0)
            memcpy(zones, list.items, list.count * sizeof(*zones));
        *out = zones;
        *count = list.count;
    } else {
        strbuf_add_format(error, "error inspecting server blocks: %s",
                          reason.size > 0 ? strbuf_str(&reason) : err_text(err));
    }
    free(list.items);
    strbuf_fini(&reason);
    return err;
}

/* Overlaps. */

static int compare_keys(const struct zone_key *a, const struct zone_key *b)
{
    int order = strcmp(a->zone, b->zone);
    if (order == 0)
        order = strcmp(a->port, b->port);
    return order != 0 ? order : (a->transport > b->transport) - (a->transport < b->transport);
}

static int compare_served(const void *a, const void *b)
{
    const struct served_zone *x = a, *y = b;
    int order = compare_keys(x->key, y->key);
    return order != 0 ? order : strcmp(x->host, y->host);
}

static int compare_served_keys(const void *a, const void *b)
{
    return compare_keys(((const struct served_zone *)a)->key, ((const struct served_zone *)b)->key);
}

/* What was seen so far: every zone on its address, and the latest one of each zone on whatever
 * address. Trees of tsearch; the nodes are the caller's array. */
struct overlap {
    void *served;
    void *latest;
};

static const struct served_zone *find(const struct served_zone *zone, void **tree,
                                      int (*compare)(const void *, const void *))
{
    const void *const *node = tfind(zone, tree, compare);
    return node != NULL ? *node : NULL;
}

static void add_served_text(struct strbuf *out, const struct served_zone *zone)
{
    add_key_text(out, zone->key);
    if (zone->host[0] != '\0')
        strbuf_add_format(out, " on %s", zone->host);
}

static enum err refuse(const struct served_zone *zone, const struct served_zone *other,
                       struct strbuf *error)
{
    strbuf_add_str(error, "cannot serve ");
    add_served_text(error, zone);
    if (other == NULL) {
        strbuf_add_str(error, " - it is already defined");
    } else {
        strbuf_add_str(error, " - zone overlap listener capacity with ");
        add_served_text(error, other);
    }
    return ERR_MALFORMED;
}

static enum err check_zone(struct overlap *o, const struct served_zone *zone, struct strbuf *error)
{
    struct served_zone everywhere = {.key = zone->key, .host = ""};
    if (find(zone, &o->served, compare_served) != NULL)
        return refuse(zone, NULL, error);
    const struct served_zone *latest = find(zone, &o->latest, compare_served_keys);
    if (latest != NULL && zone->host[0] == '\0')
        return refuse(zone, latest, error);
    if (latest != NULL && find(&everywhere, &o->served, compare_served) != NULL)
        return refuse(zone, &everywhere, error);
    return OK;
}

static enum err register_zone(struct overlap *o, const struct served_zone *zone)
{
    if (tsearch(zone, &o->served, compare_served) == NULL)
        return ERR_NO_MEMORY;
    const void **latest = tsearch(zone, &o->latest, compare_served_keys);
    if (latest == NULL)
        return ERR_NO_MEMORY;
    *latest = zone;
    return OK;
}

static void keep(void *zone)
{
    (void)zone; /* the caller's */
}

enum err server_blocks_check_overlap(const struct served_zone *zones, size_t count,
                                     struct strbuf *error)
{
    struct overlap o = {0};
    enum err err = OK;
    for (size_t i = 0; err == OK && i < count; i++) {
        err = check_zone(&o, &zones[i], error);
        if (err == OK)
            err = register_zone(&o, &zones[i]);
    }
    tdestroy(o.served, keep);
    tdestroy(o.latest, keep);
    return err;
}

/* Ports. */

enum err server_blocks_port(const char *port, uint16_t *out, struct strbuf *error)
{
    const char *digits = port + (*port == '+' || *port == '-');
    if (strspn(digits, "0123456789") == strlen(digits)) {
        long long number = strtoll(port, NULL, 10); /* saturates, which is out of range as well */
        if (number < 0 || number > UINT16_MAX) {
            strbuf_add_format(error, "address %s: invalid port", port);
            return ERR_MALFORMED;
        }
        *out = (uint16_t)number;
        return OK;
    }
    struct servent *service = getservbyname(port, "tcp");
    if (service == NULL) {
        strbuf_add_format(error, "lookup tcp/%s: unknown port", port);
        return ERR_MALFORMED;
    }
    *out = ntohs((uint16_t)service->s_port);
    return OK;
}
