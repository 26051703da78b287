#include "base/wg.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 16
};

void wg_device_init(struct wg_device *d)
{
    *d = (struct wg_device){0};
}

void wg_device_fini(struct wg_device *d)
{
    free(d->peers);
    free(d->allowed_ips);
    wg_device_init(d);
}

void wg_device_clear(struct wg_device *d)
{
    *d = (struct wg_device){
        .peers = d->peers,
        .peer_capacity = d->peer_capacity,
        .allowed_ips = d->allowed_ips,
        .allowed_ip_capacity = d->allowed_ip_capacity,
    };
}

/* Makes room for one more of COUNT items of SIZE bytes in *ITEMS, by doubling up to MAX. */
static enum err grow(void **items, size_t *capacity, size_t count, size_t size, size_t max)
{
    size_t more = *capacity < FIRST_CAPACITY ? FIRST_CAPACITY : *capacity * 2;

    if (count >= max)
        return ERR_LIMIT;
    if (count < *capacity)
        return OK;
    if (more > max)
        more = max;
    void *moved = reallocarray(*items, more, size);
    if (!moved)
        return ERR_NO_MEMORY;
    *items = moved;
    *capacity = more;
    return OK;
}

enum err wg_device_add_peer(struct wg_device *d, struct wg_peer **out)
{
    void *peers = d->peers;
    enum err e = grow(&peers, &d->peer_capacity, d->peer_count, sizeof *d->peers, WG_MAX_PEERS);

    if (e != OK)
        return e;
    d->peers = peers;
    d->peers[d->peer_count] = (struct wg_peer){.allowed_ip_start = (uint32_t)d->allowed_ip_count};
    *out = &d->peers[d->peer_count++];
    return OK;
}

enum err wg_device_add_allowed_ip(struct wg_device *d, const struct ip_prefix *prefix)
{
    void *allowed_ips = d->allowed_ips;
    enum err e;

    if (d->peer_count == 0)
        return ERR_INVALID;
    e = grow(&allowed_ips, &d->allowed_ip_capacity, d->allowed_ip_count, sizeof *d->allowed_ips,
             WG_MAX_ALLOWED_IPS);
    if (e != OK)
        return e;
    d->allowed_ips = allowed_ips;
    d->allowed_ips[d->allowed_ip_count++] = *prefix;
    d->peers[d->peer_count - 1].allowed_ip_count++;
    return OK;
}

static bool same_allowed_ips(const struct wg_device *a, const struct wg_peer *of_a,
                             const struct wg_device *b, const struct wg_peer *of_b)
{
    _Static_assert(sizeof(struct ip_prefix) == 18, "memcmp needs a prefix without padding");

    if (of_a->allowed_ip_count != of_b->allowed_ip_count)
        return false;
    return of_a->allowed_ip_count == 0 ||
           memcmp(&a->allowed_ips[of_a->allowed_ip_start], &b->allowed_ips[of_b->allowed_ip_start],
                  of_a->allowed_ip_count * sizeof(struct ip_prefix)) == 0;
}

bool wg_device_same_published(const struct wg_device *a, const struct wg_device *b)
{
    if (a->has_public_key != b->has_public_key || a->listen_port != b->listen_port ||
        a->peer_count != b->peer_count)
        return false;
    if (a->has_public_key && memcmp(a->public_key, b->public_key, KEY_SIZE) != 0)
        return false;
    for (size_t i = 0; i < a->peer_count; i++) {
        const struct wg_peer *of_a = &a->peers[i], *of_b = &b->peers[i];

        if (memcmp(of_a->public_key, of_b->public_key, KEY_SIZE) != 0 ||
            !ip_endpoint_equal(&of_a->endpoint, &of_b->endpoint) ||
            !same_allowed_ips(a, of_a, b, of_b))
            return false;
    }
    return true;
}

enum wg_liveness wg_peer_liveness(const struct wg_peer *peer, int64_t now_s)
{
    if (peer->last_handshake_sec == 0 && peer->last_handshake_nsec == 0)
        return WG_NEVER;
    return peer->last_handshake_sec > now_s - WG_SESSION_S ? WG_ALIVE : WG_SILENT;
}
