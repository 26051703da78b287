#include "zones/warren.h"

#include "warren/zone.h"

#include "base/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t service_wire[] = "\x0a_wireguard\x04_udp"; /* and the root label */

/* --- settings --------------------------------------------------------------------------------- */

/* LABEL.<zone>; fits, as the zone's name is bounded. */
static void name_below(struct dns_name_buf *out, const struct zones_warren *z, const char *label)
{
    struct dns_name_buf relative = {.size = (uint8_t)(strlen(label) + 2)};
    relative.wire[0] = (uint8_t)strlen(label);
    memcpy(relative.wire + 1, label, strlen(label) + 1); /* its NUL is the root label */
    enum err e = dns_name_join(out, dns_name_of(&relative), dns_name_of(&z->name));
    assert(e == OK);
    (void)e;
}

static void compose_soa(struct settings *s, const struct registry_zone *zone,
                        const struct dns_name_buf *mname, const struct dns_name_buf *rname)
{
    struct writer w = writer_of(s->soa, sizeof(s->soa));
    write_bytes(&w, mname->wire, mname->size);
    write_bytes(&w, rname->wire, rname->size);
    s->serial_at = (uint16_t)w.size;
    write_u32(&w, 0);
    write_u32(&w, zone->soa_refresh_s);
    write_u32(&w, zone->soa_retry_s);
    write_u32(&w, zone->soa_expire_s);
    write_u32(&w, zone->soa_minimum_s);
    assert(!w.failed);
    s->soa_size = (uint16_t)w.size;
}

static enum err settings_create(struct settings **out, const struct zones_warren *z,
                                const struct registry_zone *zone)
{
    struct settings *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    struct dns_name_buf mname = zone->soa_mname, rname = zone->soa_rname;
    if (mname.size == 0)
        name_below(&mname, z, "ns1");
    if (rname.size == 0)
        name_below(&rname, z, "hostmaster");
    compose_soa(s, zone, &mname, &rname);
    s->ttl_s = zone->ttl_s;
    s->negative_ttl_s = zone->ttl_s < zone->soa_minimum_s ? zone->ttl_s : zone->soa_minimum_s;
    s->ns_count = zone->ns_count;
    memcpy(s->ns, zone->ns, zone->ns_count * sizeof(zone->ns[0]));
    if (s->ns_count == 0)
        s->ns[s->ns_count++] = mname;
    *out = s;
    return OK;
}

static void advance(struct zones_warren *z, int64_t revision)
{
    if (revision <= z->revision)
        return;
    z->revision = revision;
    atomic_store_explicit(&z->serial, (uint32_t)revision, memory_order_relaxed);
}

enum err zones_warren_set_zone(struct zones_warren *z, const struct registry_zone *settings,
                               int64_t revision)
{
    struct settings *s;
    enum err e = settings_create(&s, z, settings);
    if (e != OK)
        return e;
    struct settings *old = atomic_load_explicit(&z->settings, memory_order_relaxed);
    atomic_store_explicit(&z->settings, s, memory_order_release);
    if (old != NULL)
        garbage_add(&z->garbage, &old->link);
    advance(z, revision);
    return OK;
}

/* --- life ------------------------------------------------------------------------------------- */

enum err zones_warren_create(struct zones_warren **out, struct dns_name name,
                             const uint8_t hash_key[static HASH_KEY_SIZE])
{
    if (name.size > ZONES_WARREN_MAX_NAME_SIZE)
        return ERR_LIMIT;
    struct zones_warren *z = calloc(1, sizeof(*z));
    if (z == NULL)
        return ERR_NO_MEMORY;
    memcpy(z->hash_key, hash_key, HASH_KEY_SIZE);
    z->name.size = name.size;
    memcpy(z->name.wire, name.wire, name.size);
    struct dns_name relative = {.wire = service_wire, .size = sizeof(service_wire)};
    enum err e = dns_name_join(&z->service, relative, name);
    assert(e == OK);
    z->list.suffix = dns_name_of(&z->service);

    /* Only a view writes there: as long as none is asked for, no memory is behind it. */
    z->view_prefixes = calloc(PEER_MAX_ALLOWED_IPS, sizeof(*z->view_prefixes));
    struct registry_zone *defaults = calloc(1, sizeof(*defaults)); /* large for a stack */
    z->listeners = calloc(1, sizeof(*z->listeners));
    if (defaults != NULL && z->view_prefixes != NULL && z->listeners != NULL) {
        *defaults = (struct registry_zone){.ttl_s = ZONE_DEFAULT_TTL_S,
                                           .soa_refresh_s = ZONE_DEFAULT_REFRESH_S,
                                           .soa_retry_s = ZONE_DEFAULT_RETRY_S,
                                           .soa_expire_s = ZONE_DEFAULT_EXPIRE_S,
                                           .soa_minimum_s = ZONE_DEFAULT_MINIMUM_S};
        e = zones_warren_set_zone(z, defaults, 0);
    } else {
        e = ERR_NO_MEMORY;
    }
    free(defaults);
    if (e != OK) {
        zones_warren_destroy(z);
        return e;
    }
    *out = z;
    return OK;
}

static void free_observations(struct observation *o)
{
    while (o != NULL) {
        struct observation *next = o->next;
        free(o);
        o = next;
    }
}

static bool free_peer(void *context UNUSED, uint64_t slot)
{
    struct peer *p = index_entry(slot);
    free_observations(p->observations);
    free(p);
    return true;
}

static bool free_group(void *context UNUSED, uint64_t slot)
{
    struct group *g = index_entry(slot);
    list_fini(&g->list);
    free(g);
    return true;
}

void zones_warren_destroy(struct zones_warren *z)
{
    if (z == NULL)
        return;
    claims_fini(z);
    index_each(&z->by_key, free_peer, NULL);
    index_fini(&z->by_key);
    index_each(&z->by_group, free_group, NULL);
    index_fini(&z->by_group);
    list_fini(&z->list);
    free(atomic_load_explicit(&z->settings, memory_order_relaxed));
    free(z->view_prefixes);
    free(z->listeners);
    zones_warren_free(z->garbage);
    free(z);
}

struct zones_warren_garbage *zones_warren_reclaim(struct zones_warren *z)
{
    struct zones_warren_garbage *garbage = z->garbage;
    z->garbage = NULL;
    return garbage;
}

void zones_warren_free(struct zones_warren_garbage *g)
{
    while (g != NULL) {
        struct zones_warren_garbage *next = g->next;
        free(g);
        g = next;
    }
}

/* --- groups ----------------------------------------------------------------------------------- */

static uint64_t group_hash(const void *context, uint64_t slot)
{
    const struct group *g = index_entry(slot);
    return zone_hash(context, g->label, g->size);
}

static enum err group_create(struct group **out, struct zones_warren *z, const char *label,
                             size_t size)
{
    assert(size <= PEER_GROUP_MAX);
    struct group *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return ERR_NO_MEMORY;
    uint64_t hash = zone_hash(z, label, size);
    enum err e = index_reserve(&z->by_group, hash, group_hash, z, &z->garbage);
    if (e != OK) {
        free(g);
        return e;
    }
    g->list.suffix = dns_name_of(&z->service);
    g->size = (uint8_t)size;
    memcpy(g->label, label, size);
    index_insert(&z->by_group, hash, g, false);
    *out = g;
    return OK;
}

/* A group that no peer names any more goes. */
static void group_drop_unused(struct zones_warren *z, struct group *g)
{
    if (g->refs > 0)
        return;
    assert(g->list.count == 0);
    struct list_targets *targets = atomic_load_explicit(&g->list.targets, memory_order_relaxed);
    index_remove(&z->by_group, zone_hash(z, g->label, g->size), g);
    free(g->list.peers);
    free(g->list.spare);
    if (targets != NULL)
        garbage_add(&z->garbage, &targets->link);
    garbage_add(&z->garbage, &g->link);
}

static void drop_unused_groups(struct zones_warren *z, const struct peer *p)
{
    for (size_t i = 0; p != NULL && i < p->group_count; i++)
        group_drop_unused(z, p->groups[i].group);
}

/* The groups that a peer is in; one that is named twice counts once. */
struct group_set {
    size_t count;
    struct group *groups[PEER_MAX_GROUPS];
};

static void group_set_add(struct group_set *set, struct group *g)
{
    size_t i = 0;
    while (i < set->count && set->groups[i] != g)
        i++;
    set->groups[i] = g;
    set->count += i == set->count;
}

static void group_set_drop_unused(struct zones_warren *z, const struct group_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        group_drop_unused(z, set->groups[i]);
}

/* Finds or makes the groups of PEER. On failure those that were made are gone again. */
static enum err find_groups(struct zones_warren *z, const struct registry_peer *peer,
                            struct group_set *out)
{
    enum err e = OK;
    out->count = 0;
    for (size_t i = 0; e == OK && i < peer->group_count; i++) {
        size_t size = strlen(peer->groups[i]);
        struct group *g = zone_find_group(z, peer->groups[i], size);
        if (g == NULL)
            e = group_create(&g, z, peer->groups[i], size);
        if (e == OK)
            group_set_add(out, g);
    }
    if (e != OK)
        group_set_drop_unused(z, out);
    return e;
}

static struct group_ref *find_ref(struct peer *p, const struct group *g)
{
    for (size_t i = 0; p != NULL && i < p->group_count; i++)
        if (p->groups[i].group == g)
            return &p->groups[i];
    return NULL;
}

/* --- changing a peer -------------------------------------------------------------------------- */

static uint64_t peer_hash(const void *context, uint64_t slot)
{
    const struct peer *p = index_entry(slot);
    return zone_hash(context, p->key, KEY_SIZE);
}

static enum err prepare(struct zones_warren *z, uint64_t hash, const struct peer *old,
                        const struct peer *new)
{
    enum err e = OK;
    claims_foresee(z, new);
    if (old == NULL)
        e = index_reserve(&z->by_key, hash, peer_hash, z, &z->garbage);
    if (e == OK)
        e = list_prepare(&z->list);
    if (e == OK)
        e = claims_prepare(z, old, new);
    for (size_t i = 0; e == OK && old != NULL && i < old->group_count; i++)
        e = list_prepare(&old->groups[i].group->list);
    for (size_t i = 0; e == OK && new != NULL &&i < new->group_count; i++)
        e = list_prepare(&new->groups[i].group->list);
    return e;
}

static void list_change(struct zones_warren *z, struct peer *old, struct peer *new)
{
    uint32_t place = old != NULL ? old->place : PLACE_NONE;
    bool is_published = new != NULL &&peer_is_published(new);
    if (new != NULL)
        new->place = is_published ? place : PLACE_NONE;
    if (is_published && place == PLACE_NONE) {
        new->place = list_add(&z->list, new, &z->garbage);
    } else if (is_published) {
        list_replace(&z->list, place, new);
    } else if (place != PLACE_NONE) {
        struct peer *moved = list_remove(&z->list, place, &z->garbage);
        if (moved != NULL)
            moved->place = place;
    }
}

static void count_live_group(struct zones_warren *z, bool was_live, bool is_live)
{
    if (was_live != is_live)
        atomic_fetch_add_explicit(&z->live_groups, is_live ? 1 : UINT32_MAX, memory_order_relaxed);
}

/* NEW's membership, which may be OLD's already. */
static void group_enter(struct zones_warren *z, struct group_ref *ref, struct peer *old,
                        struct peer *new)
{
    struct list *list = &ref->group->list;
    const struct group_ref *was = find_ref(old, ref->group);
    ref->group->refs++;
    ref->place = was != NULL && peer_is_published(new) ? was->place : PLACE_NONE;
    if (!peer_is_published(new))
        return;
    if (ref->place != PLACE_NONE) {
        list_replace(list, ref->place, new);
        return;
    }
    ref->place = list_add(list, new, &z->garbage);
    count_live_group(z, list->count > 1, true);
}

/* OLD's membership, which NEW may go on with. */
static void group_leave(struct zones_warren *z, const struct group_ref *ref, struct peer *new)
{
    struct list *list = &ref->group->list;
    const struct group_ref *is = find_ref(new, ref->group);
    ref->group->refs--;
    if (ref->place == PLACE_NONE || (is != NULL && is->place != PLACE_NONE))
        return;
    struct peer *moved = list_remove(list, ref->place, &z->garbage);
    struct group_ref *moved_ref = find_ref(moved, ref->group);
    if (moved_ref != NULL)
        moved_ref->place = ref->place;
    count_live_group(z, true, list->count > 0);
}

static void tell_listeners(const struct zones_warren *z, const uint8_t key[static KEY_SIZE])
{
    for (const struct zones_warren_listener *l = *z->listeners; l != NULL; l = l->next)
        l->changed(l->context, key);
}

static void commit(struct zones_warren *z, uint64_t hash, struct peer *old, struct peer *new)
{
    if (old == NULL)
        index_insert(&z->by_key, hash, new, false);
    else if (new != NULL)
        index_replace(&z->by_key, hash, old, new, false);
    else
        index_remove(&z->by_key, hash, old);
    claims_commit(z, old, new);
    list_change(z, old, new);
    for (size_t i = 0; new != NULL &&i < new->group_count; i++)
        group_enter(z, &new->groups[i], old, new);
    for (size_t i = 0; old != NULL && i < old->group_count; i++)
        group_leave(z, &old->groups[i], new);
    drop_unused_groups(z, old);
    if (new != NULL) {
        new->observations = old != NULL ? old->observations : NULL;
        z->peer_memory += peer_size(new);
        z->peer_count++;
    }
    if (old != NULL) {
        z->peer_memory -= peer_size(old);
        z->peer_count--;
        garbage_add(&z->garbage, &old->link);
    }
}

/* Takes NEW in place of OLD; either may be NULL. On failure NEW is freed and nothing has changed.
 * HASH is their key's. */
static enum err take_change(struct zones_warren *z, uint64_t hash, struct peer *old,
                            struct peer *new)
{
    enum err e = prepare(z, hash, old, new);
    if (e == OK) {
        commit(z, hash, old, new);
        tell_listeners(z, new != NULL ? new->key : old->key);
    } else {
        drop_unused_groups(z, new);
        free(new);
    }
    index_unreserve(&z->by_key);
    index_unreserve(&z->by_name);
    index_unreserve(&z->by_address);
    return e;
}

/* --- the published endpoint ------------------------------------------------------------------- */

static bool is_better(const struct observation *o, const struct observation *best)
{
    if (best == NULL || o->is_idle != best->is_idle)
        return best == NULL || best->is_idle;
    return o->mod_revision > best->mod_revision;
}

/* The live observation with the highest mod_revision, else FIXED, else the newest idle observation.
 * INSTEAD (NULL: none) stands in for WITHOUT (NULL: none) among OBSERVATIONS. */
static struct ip_endpoint published_endpoint(const struct observation *observations,
                                             const struct observation *without,
                                             const struct observation *instead,
                                             const struct ip_endpoint *fixed)
{
    const struct observation *best = instead;
    for (const struct observation *o = observations; o != NULL; o = o->next)
        if (o != without && is_better(o, best))
            best = o;
    bool has_fixed = fixed->addr.family != IP_NONE;
    if (best == NULL || (best->is_idle && has_fixed))
        return *fixed;
    return best->endpoint;
}

/* The peer's new shape, with its groups. */
static enum err compose(struct zones_warren *z, struct peer **out,
                        const uint8_t key[static KEY_SIZE], const struct registry_peer *peer,
                        const struct ip_endpoint *endpoint)
{
    struct group_set set;
    enum err e = find_groups(z, peer, &set);
    if (e != OK)
        return e;
    e = peer_create(out, key, peer, set.count, endpoint);
    if (e != OK) {
        group_set_drop_unused(z, &set);
        return e;
    }
    for (size_t i = 0; i < set.count; i++)
        (*out)->groups[i] = (struct group_ref){.group = set.groups[i], .place = PLACE_NONE};
    return OK;
}

enum err zones_warren_set_peer(struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                               const struct registry_peer *peer, int64_t revision)
{
    static const struct registry_peer no_record;
    uint64_t hash = zone_hash(z, key, KEY_SIZE);
    struct peer *old = zone_find_peer_hashed(z, hash, key), *new = NULL;
    const struct observation *observations = old != NULL ? old->observations : NULL;
    enum err e = OK;
    if (peer == NULL && (old == NULL || !old->has_record)) {
        advance(z, revision);
        return OK;
    }
    struct ip_endpoint endpoint = published_endpoint(
        observations, NULL, NULL, peer != NULL ? &peer->endpoint : &no_record.endpoint);
    if (peer != NULL)
        e = compose(z, &new, key, peer, &endpoint);
    else if (observations != NULL)
        e = peer_create(&new, key, NULL, 0, &endpoint);
    if (e == OK && new != NULL)
        new->generation = z->generation;
    if (e == OK)
        e = take_change(z, hash, old, new);
    if (e == OK)
        advance(z, revision);
    return e;
}

/* --- observations ----------------------------------------------------------------------------- */

static struct observation **find_observation(struct peer *p,
                                             const uint8_t observer[static KEY_SIZE])
{
    struct observation **at = &p->observations;
    while (*at != NULL && memcmp((*at)->observer, observer, KEY_SIZE) != 0)
        at = &(*at)->next;
    return at;
}

/* *P publishes ENDPOINT from now on, and becomes what takes its place if it did not already. */
static enum err publish(struct zones_warren *z, uint64_t hash, struct peer **p,
                        const struct ip_endpoint *endpoint)
{
    struct ip_endpoint was;
    struct peer *new;
    peer_published_endpoint(*p, &was);
    if (ip_endpoint_equal(&was, endpoint))
        return OK;
    enum err e = peer_clone(&new, *p, endpoint);
    if (e == OK)
        e = take_change(z, hash, *p, new);
    if (e == OK)
        *p = new;
    return e;
}

static enum err end_observation(struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                                const uint8_t observer[static KEY_SIZE])
{
    uint64_t hash = zone_hash(z, key, KEY_SIZE);
    struct peer *p = zone_find_peer_hashed(z, hash, key);
    struct observation *gone = p != NULL ? *find_observation(p, observer) : NULL;
    if (gone == NULL)
        return OK;
    struct ip_endpoint fixed;
    enum err e;
    peer_static_endpoint(p, &fixed);
    struct ip_endpoint endpoint = published_endpoint(p->observations, gone, NULL, &fixed);
    bool is_last = p->observations == gone && gone->next == NULL;
    if (is_last && !p->has_record) {
        e = take_change(z, hash, p, NULL);
    } else {
        e = publish(z, hash, &p, &endpoint);
        if (e == OK)
            *find_observation(p, observer) = gone->next;
    }
    if (e != OK)
        return e;
    z->observation_count--;
    free(gone);
    return OK;
}

/* TAKEN becomes the observation by its observer. On failure it is the caller's still. */
static enum err take_observation(struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                                 struct observation *taken)
{
    uint64_t hash = zone_hash(z, key, KEY_SIZE);
    struct peer *p = zone_find_peer_hashed(z, hash, key);
    enum err e;
    if (p == NULL) {
        e = peer_create(&p, key, NULL, 0, &taken->endpoint);
        if (e == OK)
            e = take_change(z, hash, NULL, p);
    } else {
        struct ip_endpoint fixed;
        peer_static_endpoint(p, &fixed);
        struct ip_endpoint endpoint = published_endpoint(
            p->observations, *find_observation(p, taken->observer), taken, &fixed);
        e = publish(z, hash, &p, &endpoint);
    }
    if (e != OK)
        return e;
    struct observation **at = find_observation(p, taken->observer);
    struct observation *old = *at;
    taken->next = old != NULL ? old->next : NULL;
    *at = taken;
    z->observation_count += old == NULL;
    free(old);
    return OK;
}

enum err zones_warren_set_observation(struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                                      const uint8_t observer[static KEY_SIZE],
                                      const struct registry_observation *observation,
                                      int64_t mod_revision)
{
    enum err e;
    if (observation == NULL) {
        e = end_observation(z, key, observer);
    } else {
        struct observation *o = calloc(1, sizeof(*o));
        if (o == NULL)
            return ERR_NO_MEMORY;
        memcpy(o->observer, observer, KEY_SIZE);
        o->endpoint = observation->endpoint;
        o->endpoint.scope_id = 0;
        o->is_idle = observation->is_idle;
        o->mod_revision = mod_revision;
        o->generation = z->generation;
        e = take_observation(z, key, o);
        if (e != OK)
            free(o);
    }
    if (e == OK)
        advance(z, mod_revision);
    return e;
}

/* --- saying everything anew ------------------------------------------------------------------- */

static bool age_peer(void *context, uint64_t slot)
{
    const struct zones_warren *z = context;
    struct peer *p = index_entry(slot);
    p->generation = z->generation;
    for (struct observation *o = p->observations; o != NULL; o = o->next)
        o->generation = z->generation;
    return true;
}

void zones_warren_begin_reload(struct zones_warren *z)
{
    /* What an unfinished reload has said is as old as the rest. */
    if (z->is_reloading)
        index_each(&z->by_key, age_peer, z);
    z->is_reloading = true;
    z->has_stale = z->peer_count > 0;
    z->generation = !z->generation;
}

enum err zones_warren_expect(struct zones_warren *z, size_t count)
{
    if (z->peer_count > 0)
        return OK;
    enum err e = index_expect(&z->by_key, count);
    if (e == OK)
        e = index_expect(&z->by_name, count);
    return e == OK ? index_expect(&z->by_address, count) : e;
}

void zones_warren_prefetch(const struct zones_warren *z, const uint8_t key[static KEY_SIZE])
{
    index_prefetch(&z->by_key, zone_hash(z, key, KEY_SIZE));
}

struct sweep {
    struct zones_warren *z;
    enum err error;
};

static const struct observation *stale_observation(const struct zones_warren *z,
                                                   const struct peer *p)
{
    const struct observation *o = p->observations;
    while (o != NULL && o->generation == z->generation)
        o = o->next;
    return o;
}

/* Removing changes slots where they are and never makes a new table: the walk goes on safely. */
static bool sweep_peer(void *context, uint64_t slot)
{
    struct sweep *sweep = context;
    struct zones_warren *z = sweep->z;
    const struct peer *p = index_entry(slot);
    uint8_t key[KEY_SIZE], observer[KEY_SIZE];
    memcpy(key, p->key, KEY_SIZE);
    if (p->has_record && p->generation != z->generation)
        sweep->error = zones_warren_set_peer(z, key, NULL, z->revision);
    while (sweep->error == OK && (p = zone_find_peer(z, key)) != NULL) {
        const struct observation *o = stale_observation(z, p);
        if (o == NULL)
            break;
        memcpy(observer, o->observer, KEY_SIZE);
        sweep->error = end_observation(z, key, observer);
    }
    return sweep->error == OK;
}

enum err zones_warren_end_reload(struct zones_warren *z)
{
    struct sweep sweep = {.z = z};
    if (z->has_stale)
        index_each(&z->by_key, sweep_peer, &sweep);
    z->is_reloading = sweep.error != OK;
    return sweep.error;
}

/* --- views ------------------------------------------------------------------------------------ */

int64_t zones_warren_revision(const struct zones_warren *z)
{
    return z->revision;
}

static void view_of(const struct zones_warren *z, const struct peer *p,
                    struct zones_warren_peer_view *out)
{
    const struct item *prefix = peer_first_prefix(p);
    for (size_t i = 0; i < p->prefix_count; i++, prefix = item_next(prefix))
        peer_prefix(prefix, &z->view_prefixes[i]);
    *out = (struct zones_warren_peer_view){
        .key = p->key,
        .has_record = p->has_record,
        .name = (const char *)peer_name(p)->bytes,
        .owns_name = peer_owns_name(z, p),
        .allowed_ips = z->view_prefixes,
        .allowed_ip_count = p->prefix_count,
        .keepalive_s = p->keepalive_s,
        .has_keepalive = p->has_keepalive,
    };
    peer_published_endpoint(p, &out->endpoint);
}

bool zones_warren_peer(const struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                       struct zones_warren_peer_view *out)
{
    const struct peer *p = zone_find_peer(z, key);
    if (p == NULL)
        return false;
    view_of(z, p, out);
    return true;
}

struct each_peer {
    const struct zones_warren *z;
    bool (*each)(void *context, const struct zones_warren_peer_view *peer);
    void *context;
};

static bool each_peer(void *context, uint64_t slot)
{
    const struct each_peer *e = context;
    struct zones_warren_peer_view view;
    view_of(e->z, index_entry(slot), &view);
    return e->each(e->context, &view);
}

void zones_warren_each_peer(const struct zones_warren *z,
                            bool (*each)(void *context, const struct zones_warren_peer_view *peer),
                            void *context)
{
    struct each_peer e = {.z = z, .each = each, .context = context};
    index_each(&z->by_key, each_peer, &e);
}

void zones_warren_listen(const struct zones_warren *z, struct zones_warren_listener *listener)
{
    listener->next = *z->listeners;
    *z->listeners = listener;
}

void zones_warren_unlisten(const struct zones_warren *z, struct zones_warren_listener *listener)
{
    struct zones_warren_listener **at = z->listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
}

size_t zones_warren_peer_count(const struct zones_warren *z)
{
    return z->peer_count;
}

size_t zones_warren_published_count(const struct zones_warren *z)
{
    return z->list.count;
}

static bool add_group_memory(void *context, uint64_t slot)
{
    const struct group *g = index_entry(slot);
    *(size_t *)context += sizeof(*g) + list_memory(&g->list);
    return true;
}

size_t zones_warren_memory(const struct zones_warren *z)
{
    size_t size = sizeof(*z) + sizeof(struct settings) + z->peer_memory + list_memory(&z->list) +
                  index_memory(&z->by_key) + index_memory(&z->by_name) +
                  index_memory(&z->by_address) + index_memory(&z->by_group) +
                  z->observation_count * sizeof(struct observation) +
                  z->dispute_count * sizeof(struct dispute);
    index_each(&z->by_group, add_group_memory, &size);
    return size;
}

struct dns_name zones_warren_name(const struct zones_warren *z)
{
    return dns_name_of(&z->name);
}
