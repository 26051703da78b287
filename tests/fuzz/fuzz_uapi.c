/* Fuzz target: the text of a userspace device, whole and cut in pieces, which must not differ. The
 * first byte gives the size of the pieces. */
#include "wgctl/userspace.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err parse(struct wg_device *device, struct failure *why, const uint8_t *data,
                      size_t size, size_t part)
{
    static struct public_key_cache cache;
    struct uapi_parser p;
    enum err error = OK;
    why->text[0] = '\0';
    uapi_parser_init(&p, device, &cache, why);
    for (size_t at = 0; at < size && error == OK; at += part) {
        size_t n = size - at < part ? size - at : part;
        uint8_t *exact = malloc(n);
        if (exact == NULL)
            abort();
        memcpy(exact, data + at, n);
        error = uapi_parser_feed(&p, exact, n);
        free(exact);
    }
    return error == OK ? uapi_parser_finish(&p) : error;
}

static bool same(const struct wg_device *a, const struct wg_device *b)
{
    if (!wg_device_same_published(a, b) || a->fwmark != b->fwmark)
        return false;
    for (size_t i = 0; i < a->peer_count; i++) {
        const struct wg_peer *p = &a->peers[i], *q = &b->peers[i];
        if (p->rx_bytes != q->rx_bytes || p->tx_bytes != q->tx_bytes ||
            p->last_handshake_sec != q->last_handshake_sec ||
            p->last_handshake_nsec != q->last_handshake_nsec ||
            p->persistent_keepalive != q->persistent_keepalive ||
            p->has_preshared_key != q->has_preshared_key)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || sodium_init() < 0)
        return 0;
    size_t part = (size_t)data[0] + 1;
    data++;
    size--;
    struct wg_device whole, pieces;
    struct failure why_whole, why_pieces;
    wg_device_init(&whole);
    wg_device_init(&pieces);
    enum err error = parse(&whole, &why_whole, data, size, size > 0 ? size : 1);
    if (parse(&pieces, &why_pieces, data, size, part) != error ||
        strcmp(why_whole.text, why_pieces.text) != 0)
        abort();
    if (error == OK && !same(&whole, &pieces))
        abort();
    wg_device_fini(&whole);
    wg_device_fini(&pieces);
    return 0;
}
