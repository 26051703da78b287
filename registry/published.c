#include "registry/published.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64
};

void published_init(struct published *p)
{
    *p = (struct published){.peer_count = 0};
    arena_init(&p->arena, PUBLISHED_ARENA_SIZE);
}

void published_fini(struct published *p)
{
    arena_fini(&p->arena);
    free(p->peers);
    free(p->observations);
    *p = (struct published){.peer_count = 0};
}

/* Room for one more item of SIZE. */
static bool reserve(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return true;
    size_t more = *capacity > 0 ? *capacity * 2 : FIRST_CAPACITY;
    void *moved = reallocarray(*items, more, size);
    if (moved == NULL)
        return false;
    *items = moved;
    *capacity = more;
    return true;
}

static enum err add_peer(struct published *p, const uint8_t *key, struct bytes value)
{
    void *peers = p->peers;
    if (!reserve(&peers, &p->peer_capacity, p->peer_count, sizeof(*p->peers)))
        return ERR_NO_MEMORY;
    p->peers = peers;
    struct published_peer *peer = &p->peers[p->peer_count];
    enum err e = registry_peer_parse(&peer->peer, value, &p->arena, NULL);
    if (e == ERR_NO_MEMORY)
        return e;
    if (e != OK) {
        p->malformed_count++;
        return OK;
    }
    memcpy(peer->key, key, KEY_SIZE);
    p->peer_count++;
    return OK;
}

static enum err add_observation(struct published *p, const uint8_t *key, struct bytes value,
                                int64_t mod_revision)
{
    void *observations = p->observations;
    if (!reserve(&observations, &p->observation_capacity, p->observation_count,
                 sizeof(*p->observations)))
        return ERR_NO_MEMORY;
    p->observations = observations;
    struct published_observation *o = &p->observations[p->observation_count];
    enum err e = registry_observation_parse(&o->observation, value, NULL);
    if (e == ERR_NO_MEMORY)
        return e;
    if (e != OK) {
        p->malformed_count++;
        return OK;
    }
    memcpy(o->key, key, KEY_SIZE);
    o->mod_revision = mod_revision;
    p->observation_count++;
    return OK;
}

enum err published_add(struct published *p, struct bytes zone, struct bytes key_text,
                       struct bytes value, int64_t mod_revision)
{
    struct registry_key key;
    registry_key_parse_in(&key, zone, key_text);
    if (key.type == REGISTRY_KEY_PEER)
        return add_peer(p, key.peer, value);
    return key.type == REGISTRY_KEY_ENDPOINT ? add_observation(p, key.peer, value, mod_revision)
                                             : OK;
}

static int compare_peers(const void *a, const void *b)
{
    const struct published_peer *p = a, *q = b;
    return memcmp(p->key, q->key, KEY_SIZE);
}

/* By key; of one key live ones first, and the newest of each kind first. */
static int compare_observations(const void *a, const void *b)
{
    const struct published_observation *p = a, *q = b;
    int order = memcmp(p->key, q->key, KEY_SIZE);
    if (order != 0)
        return order;
    if (p->observation.is_idle != q->observation.is_idle)
        return p->observation.is_idle ? 1 : -1;
    return (p->mod_revision < q->mod_revision) - (p->mod_revision > q->mod_revision);
}

/* BEST is the first observation of the peer in that order, NULL without any. */
static struct ip_endpoint choose(const struct published_peer *peer,
                                 const struct published_observation *best)
{
    bool has_static = peer->peer.endpoint.addr.family != IP_NONE;
    if (best == NULL || (best->observation.is_idle && has_static))
        return peer->peer.endpoint;
    return best->observation.endpoint;
}

void published_finish(struct published *p)
{
    if (p->peer_count > 0)
        qsort(p->peers, p->peer_count, sizeof(*p->peers), compare_peers);
    if (p->observation_count > 0)
        qsort(p->observations, p->observation_count, sizeof(*p->observations),
              compare_observations);
    size_t at = 0;
    for (size_t i = 0; i < p->peer_count; i++) {
        struct published_peer *peer = &p->peers[i];
        while (at < p->observation_count &&
               memcmp(p->observations[at].key, peer->key, KEY_SIZE) < 0)
            at++;
        bool is_seen =
            at < p->observation_count && memcmp(p->observations[at].key, peer->key, KEY_SIZE) == 0;
        peer->endpoint = choose(peer, is_seen ? &p->observations[at] : NULL);
    }
}
