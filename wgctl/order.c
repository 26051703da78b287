#include "order.h"

#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
    const struct wg_peer *const *p = a, *const *q = b;
    return memcmp((*p)->public_key, (*q)->public_key, KEY_SIZE);
}

static bool same_peer(const struct wg_device *a, const struct wg_peer *p, const struct wg_device *b,
                      const struct wg_peer *q)
{
    if (memcmp(p->public_key, q->public_key, KEY_SIZE) != 0 ||
        !ip_endpoint_equal(&p->endpoint, &q->endpoint) ||
        p->allowed_ip_count != q->allowed_ip_count)
        return false;
    for (uint32_t i = 0; i < p->allowed_ip_count; i++) {
        const struct ip_prefix *x = &a->allowed_ips[p->allowed_ip_start + i];
        const struct ip_prefix *y = &b->allowed_ips[q->allowed_ip_start + i];
        if (x->length != y->length || !ip_addr_equal(&x->addr, &y->addr))
            return false;
    }
    return true;
}

static void fill_sorted(const struct wg_peer **out, const struct wg_device *d)
{
    for (size_t i = 0; i < d->peer_count; i++)
        out[i] = &d->peers[i];
    qsort(out, d->peer_count, sizeof(*out), compare_keys);
}

/* All but the peers. */
static bool same_head(const struct wg_device *a, const struct wg_device *b)
{
    return a->peer_count == b->peer_count && a->allowed_ip_count == b->allowed_ip_count &&
           a->listen_port == b->listen_port && a->has_public_key == b->has_public_key &&
           (!a->has_public_key || memcmp(a->public_key, b->public_key, KEY_SIZE) == 0);
}

static bool same_order(const struct wg_device *a, const struct wg_device *b)
{
    for (size_t i = 0; i < a->peer_count; i++)
        if (memcmp(a->peers[i].public_key, b->peers[i].public_key, KEY_SIZE) != 0)
            return false;
    return true;
}

enum err same_but_for_order(bool *out, const struct wg_device *a, const struct wg_device *b)
{
    size_t count = a->peer_count;
    bool same = same_head(a, b);
    if (same && same_order(a, b)) {
        /* The usual change, of an endpoint: seen without sorting. */
        for (size_t i = 0; i < count && same; i++)
            same = same_peer(a, &a->peers[i], b, &b->peers[i]);
    } else if (same) {
        const struct wg_peer **sorted = calloc(2 * count, sizeof(*sorted));
        if (sorted == NULL)
            return ERR_NO_MEMORY;
        fill_sorted(sorted, a);
        fill_sorted(sorted + count, b);
        for (size_t i = 0; i < count && same; i++)
            same = same_peer(a, sorted[i], b, sorted[count + i]);
        free(sorted);
    }
    *out = same;
    return OK;
}
