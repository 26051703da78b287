#include "wgctl/plan.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 16,
    /* 0.0.0.0/1 and 128.0.0.0/1 together are the usual way around the default route. */
    DEFAULT_ROUTE_MAX_LENGTH = 1,
};

/* Who has, or claims, a prefix. */
struct claim {
    struct ip_prefix prefix;
    const uint8_t *key;
};

struct planner {
    const struct plan_input *input;
    struct arena *arena;
    struct plan plan;
    size_t change_capacity;
    size_t refusal_capacity;
    const struct wg_peer **device; /* its peers by key */
    const struct plan_peer *
        *zone; /* its peers by key, without the device's own and repeated ones */
    size_t zone_count;
    /* Made when the first prefix has to be moved or added. */
    bool has_claims;
    struct claim *held; /* by the device's peers, by prefix */
    size_t held_count;
    struct claim *claimed; /* by the zone's peers, by prefix and key */
    size_t claimed_count;
};

/* --- Order. --- */

static int compare_keys(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, KEY_SIZE);
}

static int compare_device_peers(const void *a, const void *b)
{
    const struct wg_peer *const *p = a, *const *q = b;
    return compare_keys((*p)->public_key, (*q)->public_key);
}

static int compare_zone_peers(const void *a, const void *b)
{
    const struct plan_peer *const *p = a, *const *q = b;
    return compare_keys((*p)->key, (*q)->key);
}

static int compare_prefixes(const void *a, const void *b)
{
    _Static_assert(sizeof(struct ip_prefix) == 18, "memcmp needs a prefix without padding");
    return memcmp(a, b, sizeof(struct ip_prefix));
}

static int compare_claims(const void *a, const void *b)
{
    const struct claim *p = a, *q = b;
    int order = compare_prefixes(&p->prefix, &q->prefix);
    return order != 0 ? order : compare_keys(p->key, q->key);
}

/* --- Looking up. --- */

static const struct wg_peer *device_peer(const struct planner *p, const uint8_t *key)
{
    struct wg_peer wanted;
    memcpy(wanted.public_key, key, KEY_SIZE);
    const struct wg_peer *at = &wanted;
    const struct wg_peer **found = bsearch(&at, p->device, p->input->device->peer_count,
                                           sizeof(*p->device), compare_device_peers);
    return found != NULL ? *found : NULL;
}

static const struct plan_peer *zone_peer(const struct planner *p, const uint8_t *key)
{
    const struct plan_peer wanted = {.key = key};
    const struct plan_peer *at = &wanted;
    const struct plan_peer **found =
        bsearch(&at, p->zone, p->zone_count, sizeof(*p->zone), compare_zone_peers);
    return found != NULL ? *found : NULL;
}

/* The first of CLAIMS for PREFIX; *COUNT gets how many there are. */
static const struct claim *claims_of(const struct claim *claims, size_t claim_count,
                                     const struct ip_prefix *prefix, size_t *count)
{
    size_t low = 0, high = claim_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_prefixes(&claims[middle].prefix, prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *count = 0;
    while (low + *count < claim_count &&
           compare_prefixes(&claims[low + *count].prefix, prefix) == 0)
        ++*count;
    return *count > 0 ? &claims[low] : NULL;
}

static bool is_own(const struct planner *p, const uint8_t *key)
{
    const struct wg_device *d = p->input->device;
    return d->has_public_key && compare_keys(d->public_key, key) == 0;
}

static bool is_owned(const struct planner *p, const uint8_t *key)
{
    return p->input->owned != NULL && p->input->owned(p->input->context, key);
}

static bool is_alive(const struct planner *p, const struct wg_peer *peer)
{
    return wg_peer_liveness(peer, p->input->now_s) == WG_ALIVE;
}

/* --- Results. --- */

/* Room for one more in an array of the arena; what it outgrows stays there. */
static void *grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t more = *capacity > 0 ? *capacity * 2 : FIRST_CAPACITY;
    void *moved = arena_array(arena, more, size);
    if (moved == NULL)
        return NULL;
    if (count > 0)
        memcpy(moved, items, count * size);
    *capacity = more;
    return moved;
}

static enum err add_change(struct planner *p, const struct wgctl_peer_change *change)
{
    struct plan *plan = &p->plan;
    void *changes =
        grow(p->arena, plan->changes, plan->change_count, &p->change_capacity, sizeof(*change));
    if (changes == NULL)
        return ERR_NO_MEMORY;
    plan->changes = changes;
    plan->changes[plan->change_count++] = *change;
    return OK;
}

/* PREFIX NULL: about the whole peer. */
static enum err refuse(struct planner *p, const uint8_t *key, const struct ip_prefix *prefix,
                       const char *why)
{
    struct plan *plan = &p->plan;
    struct plan_refusal refusal = {.key = key, .why = why};
    void *refusals =
        grow(p->arena, plan->refusals, plan->refusal_count, &p->refusal_capacity, sizeof(refusal));
    if (refusals == NULL)
        return ERR_NO_MEMORY;
    if (prefix != NULL)
        refusal.prefix = *prefix;
    plan->refusals = refusals;
    plan->refusals[plan->refusal_count++] = refusal;
    return OK;
}

/* --- Whose prefix is it? --- */

static struct ip_prefix masked(const struct ip_prefix *prefix)
{
    struct ip_prefix out = *prefix;
    ip_prefix_mask(&out);
    return out;
}

/* What the zone claims and the device does not have. */
static enum err expect_routes(const struct planner *p)
{
    size_t count = 0, held = 0;
    if (p->input->routes_expected == NULL)
        return OK;
    struct ip_prefix *prefixes = arena_array(p->arena, p->claimed_count, sizeof(*prefixes));
    if (prefixes == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < p->claimed_count; i++) {
        const struct ip_prefix *prefix = &p->claimed[i].prefix;
        while (held < p->held_count && compare_prefixes(&p->held[held].prefix, prefix) < 0)
            held++;
        bool is_held = held < p->held_count && compare_prefixes(&p->held[held].prefix, prefix) == 0;
        bool is_repeated = count > 0 && compare_prefixes(&prefixes[count - 1], prefix) == 0;
        if (!is_held && !is_repeated)
            prefixes[count++] = *prefix;
    }
    p->input->routes_expected(p->input->context, prefixes, count);
    return OK;
}

static enum err make_claims(struct planner *p)
{
    const struct wg_device *d = p->input->device;
    size_t claimed = 0;
    for (size_t i = 0; i < p->zone_count; i++)
        claimed += p->zone[i]->allowed_ip_count;
    p->held = arena_array(p->arena, d->allowed_ip_count, sizeof(*p->held));
    p->claimed = arena_array(p->arena, claimed, sizeof(*p->claimed));
    if (p->held == NULL || p->claimed == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < d->peer_count; i++) {
        const struct wg_peer *peer = &d->peers[i];
        for (uint32_t k = 0; k < peer->allowed_ip_count; k++)
            p->held[p->held_count++] = (struct claim){
                .prefix = d->allowed_ips[peer->allowed_ip_start + k], .key = peer->public_key};
    }
    for (size_t i = 0; i < p->zone_count; i++)
        for (size_t k = 0; k < p->zone[i]->allowed_ip_count; k++)
            p->claimed[p->claimed_count++] = (struct claim){
                .prefix = masked(&p->zone[i]->allowed_ips[k]), .key = p->zone[i]->key};
    qsort(p->held, p->held_count, sizeof(*p->held), compare_claims);
    qsort(p->claimed, p->claimed_count, sizeof(*p->claimed), compare_claims);
    p->has_claims = true;
    return expect_routes(p);
}

static bool claims(const struct planner *p, const uint8_t *key, const struct ip_prefix *prefix)
{
    size_t count;
    const struct claim *claim = claims_of(p->claimed, p->claimed_count, prefix, &count);
    for (size_t i = 0; i < count; i++)
        if (compare_keys(claim[i].key, key) == 0)
            return true;
    return false;
}

/* Why PREFIX stays with its HOLDER, a peer of the device; NULL: it does not. */
static const char *why_kept(const struct planner *p, const struct ip_prefix *prefix,
                            const uint8_t *holder)
{
    if (is_alive(p, device_peer(p, holder)))
        return "another peer of the device, which is alive, has it";
    if (zone_peer(p, holder) == NULL)
        return is_owned(p, holder) ? NULL : "another peer of the device, not the zone's, has it";
    return claims(p, holder, prefix) ? "another peer of the zone has it" : NULL;
}

/* Why the peer with KEY, which does not have PREFIX, may not get it; NULL: it may. */
static const char *why_refused(const struct planner *p, const uint8_t *key,
                               const struct ip_prefix *prefix)
{
    const struct plan_input *in = p->input;
    size_t count;
    if (prefix->length <= DEFAULT_ROUTE_MAX_LENGTH)
        return "it would capture the default route";
    const struct claim *holder = claims_of(p->held, p->held_count, prefix, &count);
    const char *why = holder != NULL ? why_kept(p, prefix, holder->key) : NULL;
    if (why != NULL)
        return why;
    const struct claim *first = claims_of(p->claimed, p->claimed_count, prefix, &count);
    if (first != NULL && compare_keys(first->key, key) != 0)
        return "another peer of the zone claims it";
    if (in->routed_elsewhere != NULL && in->routed_elsewhere(in->context, prefix))
        return "it is routed to another interface";
    return NULL;
}

/* --- Allowed IPs. --- */

/* Whether PEER (NULL: none) has exactly what ZONE says, in that order: the usual case. */
static bool same_ips(const struct planner *p, const struct plan_peer *zone,
                     const struct wg_peer *peer)
{
    size_t count = peer != NULL ? peer->allowed_ip_count : 0;
    if (count != zone->allowed_ip_count)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct ip_prefix wanted = masked(&zone->allowed_ips[i]);
        if (compare_prefixes(&wanted, &p->input->device->allowed_ips[peer->allowed_ip_start + i]) !=
            0)
            return false;
    }
    return true;
}

/* The allowed IPs that PEER has, sorted. */
static struct ip_prefix *sorted_ips(struct planner *p, const struct wg_peer *peer)
{
    const struct ip_prefix *ips = &p->input->device->allowed_ips[peer->allowed_ip_start];
    struct ip_prefix *out = arena_array(p->arena, peer->allowed_ip_count, sizeof(*out));
    if (out == NULL || peer->allowed_ip_count == 0)
        return out;
    memcpy(out, ips, peer->allowed_ip_count * sizeof(*out));
    qsort(out, peer->allowed_ip_count, sizeof(*out), compare_prefixes);
    return out;
}

struct wanted_ip {
    struct ip_prefix prefix;
    size_t index; /* in the registry's list */
    bool drop;
};

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted_ip *p = a, *q = b;
    int order = compare_prefixes(&p->prefix, &q->prefix);
    return order != 0 ? order : (p->index > q->index) - (p->index < q->index);
}

/* What ZONE lists, by prefix, repeated ones marked to be dropped. */
static struct wanted_ip *wanted_of(struct planner *p, const struct plan_peer *zone)
{
    size_t count = zone->allowed_ip_count;
    struct wanted_ip *wanted = arena_array(p->arena, count, sizeof(*wanted));
    if (wanted == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        wanted[i] = (struct wanted_ip){.prefix = masked(&zone->allowed_ips[i]), .index = i};
    qsort(wanted, count, sizeof(*wanted), compare_wanted);
    for (size_t i = 1; i < count; i++)
        wanted[i].drop = compare_prefixes(&wanted[i - 1].prefix, &wanted[i].prefix) == 0;
    return wanted;
}

struct ip_list {
    struct ip_prefix *ips;
    size_t count;
    bool differs; /* from what the device has */
};

/* Drops of WANTED what is refused; what PEER has already is not asked about. *KEPT counts those. */
static enum err drop_refused(struct planner *p, const struct plan_peer *zone,
                             const struct wg_peer *peer, struct wanted_ip *wanted, size_t *kept)
{
    size_t had_count = peer != NULL ? peer->allowed_ip_count : 0;
    struct ip_prefix *had = peer != NULL ? sorted_ips(p, peer) : NULL;
    if (peer != NULL && had == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < zone->allowed_ip_count; i++) {
        struct wanted_ip *w = &wanted[i];
        if (w->drop)
            continue;
        if (had_count > 0 &&
            bsearch(&w->prefix, had, had_count, sizeof(*had), compare_prefixes) != NULL) {
            ++*kept;
            continue;
        }
        enum err error = p->has_claims ? OK : make_claims(p);
        if (error != OK)
            return error;
        const char *why = why_refused(p, zone->key, &w->prefix);
        w->drop = why != NULL;
        error = why != NULL ? refuse(p, zone->key, &w->prefix, why) : OK;
        if (error != OK)
            return error;
    }
    return OK;
}

/* What the device is to have of ZONE's allowed IPs, in the registry's order. */
static enum err list_ips(struct planner *p, const struct plan_peer *zone,
                         const struct wg_peer *peer, struct ip_list *out)
{
    size_t count = zone->allowed_ip_count;
    size_t kept = 0;
    *out = (struct ip_list){.differs = false};
    if (same_ips(p, zone, peer) && peer != NULL)
        return OK;
    struct wanted_ip *wanted = wanted_of(p, zone);
    bool *drop = arena_array(p->arena, count, sizeof(*drop));
    out->ips = arena_array(p->arena, count, sizeof(*out->ips));
    if (wanted == NULL || drop == NULL || out->ips == NULL)
        return ERR_NO_MEMORY;
    enum err error = drop_refused(p, zone, peer, wanted, &kept);
    if (error != OK)
        return error;
    for (size_t i = 0; i < count; i++)
        drop[wanted[i].index] = wanted[i].drop;
    for (size_t i = 0; i < count; i++)
        if (!drop[i])
            out->ips[out->count++] = masked(&zone->allowed_ips[i]);
    out->differs =
        out->count != kept || kept != (peer != NULL ? (size_t)peer->allowed_ip_count : 0);
    return OK;
}

/* --- Peers. --- */

static bool same_endpoint(const struct ip_endpoint *a, const struct ip_endpoint *b)
{
    struct ip_endpoint x = *a, y = *b;
    x.addr = ip_unmap(x.addr);
    y.addr = ip_unmap(y.addr);
    return ip_endpoint_equal(&x, &y);
}

/* An adopted peer that is alive is not touched, but that its list waits is said. */
static enum err say_waiting(struct planner *p, const struct plan_peer *zone,
                            const struct wg_peer *peer)
{
    size_t refusals = p->plan.refusal_count;
    struct ip_list list;
    enum err error = list_ips(p, zone, peer, &list);
    p->plan.refusal_count = refusals; /* nothing is done now, so nothing is refused */
    if (error == OK && list.differs)
        error = refuse(p, zone->key, NULL, "it is alive: its allowed IPs wait until it is not");
    return error;
}

static enum err plan_zone_peer(struct planner *p, const struct plan_peer *zone)
{
    const struct wg_peer *peer = device_peer(p, zone->key);
    bool adopt = p->input->adopt;
    if (peer == NULL && !adopt)
        return OK;
    if (peer != NULL && is_alive(p, peer))
        return adopt ? say_waiting(p, zone, peer) : OK;
    struct wgctl_peer_change change = {.update_only = peer != NULL};
    memcpy(change.public_key, zone->key, KEY_SIZE);
    change.has_endpoint = zone->endpoint.addr.family != IP_NONE &&
                          (peer == NULL || !same_endpoint(&peer->endpoint, &zone->endpoint));
    if (change.has_endpoint)
        change.endpoint = zone->endpoint;
    if (adopt) {
        uint16_t keepalive_s = peer != NULL ? peer->persistent_keepalive : 0;
        change.has_keepalive = zone->has_keepalive && zone->keepalive_s != keepalive_s;
        change.keepalive_s = change.has_keepalive ? zone->keepalive_s : 0;
        struct ip_list list;
        enum err error = list_ips(p, zone, peer, &list);
        if (error != OK)
            return error;
        change.replace_allowed_ips = list.differs;
        change.allowed_ips = list.differs ? list.ips : NULL;
        change.allowed_ip_count = list.differs ? list.count : 0;
    }
    bool is_needed =
        peer == NULL || change.has_endpoint || change.has_keepalive || change.replace_allowed_ips;
    return is_needed ? add_change(p, &change) : OK;
}

/* A peer of the device that is not the zone's. */
static enum err plan_stranger(struct planner *p, const struct wg_peer *peer)
{
    if (!is_owned(p, peer->public_key))
        return OK;
    if (is_alive(p, peer))
        return refuse(p, peer->public_key, NULL, "it is alive: its removal waits until it is not");
    struct wgctl_peer_change change = {.remove = true};
    memcpy(change.public_key, peer->public_key, KEY_SIZE);
    return add_change(p, &change);
}

/* --- All of it. --- */

static enum err sort_peers(struct planner *p)
{
    const struct plan_input *in = p->input;
    size_t count = in->device->peer_count;
    p->device = arena_array(p->arena, count, sizeof(const struct wg_peer *));
    p->zone = arena_array(p->arena, in->peer_count, sizeof(const struct plan_peer *));
    if (p->device == NULL || p->zone == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        p->device[i] = &in->device->peers[i];
    qsort(p->device, count, sizeof(*p->device), compare_device_peers);
    size_t zone_count = 0;
    for (size_t i = 0; i < in->peer_count; i++)
        if (!is_own(p, in->peers[i].key))
            p->zone[zone_count++] = &in->peers[i];
    qsort(p->zone, zone_count, sizeof(*p->zone), compare_zone_peers);
    for (size_t i = 0; i < zone_count; i++)
        if (i == 0 || compare_keys(p->zone[i]->key, p->zone[p->zone_count - 1]->key) != 0)
            p->zone[p->zone_count++] = p->zone[i];
    return OK;
}

enum err wgctl_plan(struct plan *out, const struct plan_input *input, struct arena *arena)
{
    struct planner p = {.input = input, .arena = arena};
    enum err error = sort_peers(&p);
    for (size_t i = 0; error == OK && input->adopt && i < input->device->peer_count; i++)
        if (zone_peer(&p, p.device[i]->public_key) == NULL)
            error = plan_stranger(&p, p.device[i]);
    for (size_t i = 0; error == OK && i < p.zone_count; i++)
        error = plan_zone_peer(&p, p.zone[i]);
    if (error == OK)
        *out = p.plan;
    return error;
}
