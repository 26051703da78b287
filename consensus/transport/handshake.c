#include "internal.h"

#include "base/cursor.h"

#include <sodium.h>
#include <string.h>

static enum err start_noise(struct connection *c, const uint8_t preamble[static PREAMBLE_SIZE])
{
    struct transport *t = c->t;
    uint8_t prologue[PROLOGUE_SIZE], ephemeral[NOISE_KEY_SIZE];
    prologue_write(prologue, preamble);
    randombytes_buf(ephemeral, sizeof(ephemeral));
    struct noise_config config = {
        .pattern = c->pattern,
        .is_initiator = c->is_dialed,
        .prologue = bytes_of(prologue, sizeof(prologue)),
        .static_private = t->secrets->private_key,
        .ephemeral_private = ephemeral,
        .remote_static = c->peer->is_bound ? c->peer->key : NULL,
        .psk = t->has_psk ? t->secrets->psk : NULL,
    };
    enum err e = noise_handshake_create(&c->handshake, &config);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    return e;
}

/* The next message of ours, behind what W has. */
static enum err write_message(struct connection *c, struct writer *w)
{
    uint8_t message[HANDSHAKE_MAX_SIZE];
    size_t size;
    enum err e = noise_handshake_write(c->handshake, BYTES_EMPTY, message, sizeof(message), &size);
    if (e != OK)
        return e;
    write_u16(w, (uint16_t)size);
    write_bytes(w, message, size);
    return OK;
}

void handshake_begin(struct connection *c)
{
    struct transport *t = c->t;
    const struct slot *s = &c->peer->slots[c->stream];
    uint8_t flight[PREAMBLE_SIZE + RECORD_HEADER_SIZE + HANDSHAKE_MAX_SIZE];
    struct writer w = writer_of(flight, sizeof(flight));
    c->pattern = c->peer->is_bound && !s->uses_psk ? NOISE_IK : NOISE_XXPSK3;
    if (c->pattern == NOISE_XXPSK3 && !t->has_psk) {
        connection_close(c, TRANSPORT_UNBOUND);
        return;
    }
    preamble_write(write_room(&w, PREAMBLE_SIZE), c->stream, c->pattern, t->config.cluster_id,
                   t->config.member_id, c->member_id);
    enum err e = start_noise(c, flight);
    if (e == OK)
        e = write_message(c, &w);
    if (e == OK) {
        c->state = CONNECTION_HANDSHAKE;
        connection_put(c, w.data, w.size);
    } else /* a bound key that is no key, or no memory */
        connection_close(c, e == ERR_MALFORMED ? TRANSPORT_KEY : TRANSPORT_NO_MEMORY);
}

/* --- the preamble of one that dialed us ------------------------------------------------------- */

/* From the cheapest to the dearest; nothing is computed for who is not in the table. */
static enum transport_reason judge(struct connection *c, const struct preamble *p)
{
    struct transport *t = c->t;
    const struct transport_owner *owner = &t->config.owner;
    c->cluster_id = p->cluster_id;
    c->member_id = p->from;
    c->stream = preamble_stream(p);
    c->pattern = preamble_pattern(p);
    if (p->cluster_id != t->config.cluster_id)
        return TRANSPORT_WRONG_CLUSTER;
    if (p->from == t->config.member_id)
        return TRANSPORT_SELF;
    if (p->to != t->config.member_id)
        return TRANSPORT_WRONG_MEMBER;
    c->peer = peer_find(t, p->from);
    if (c->peer == NULL)
        return owner->was_removed != NULL && owner->was_removed(owner->context, p->from)
                   ? TRANSPORT_REMOVED
                   : TRANSPORT_UNKNOWN_MEMBER;
    if (c->pattern == NOISE_IK && !c->peer->is_bound)
        return TRANSPORT_UNBOUND;
    if (c->pattern == NOISE_XXPSK3 && !t->has_psk)
        return TRANSPORT_PSK;
    return accept_may_compute(c) ? TRANSPORT_NO_REASON : TRANSPORT_BUSY;
}

static size_t consume_preamble(struct connection *c, const uint8_t *data, size_t size)
{
    struct preamble p;
    if (size < PREAMBLE_SIZE)
        return 0;
    enum err e = preamble_read(&p, data);
    enum transport_reason why = e == OK                ? judge(c, &p)
                                : e == ERR_UNSUPPORTED ? TRANSPORT_VERSION
                                                       : TRANSPORT_MALFORMED;
    if (why == TRANSPORT_NO_REASON && start_noise(c, data) != OK)
        why = TRANSPORT_NO_MEMORY;
    if (why == TRANSPORT_NO_REASON)
        c->state = CONNECTION_HANDSHAKE;
    else
        connection_close(c, why);
    return PREAMBLE_SIZE;
}

/* --- Noise messages --------------------------------------------------------------------------- */

/* What a message that is not authentic says: with IK, another key on either side; with XXpsk3 only
 * the last message has the PSK in it. */
static enum transport_reason not_authentic(const struct connection *c, bool was_last)
{
    if (c->pattern == NOISE_IK)
        return TRANSPORT_KEY;
    return was_last ? TRANSPORT_PSK : TRANSPORT_MALFORMED;
}

/* The key that the other side shows, as soon as it does. */
static enum transport_reason check_key(const struct connection *c)
{
    const uint8_t *key = noise_handshake_remote_static(c->handshake);
    if (key == NULL)
        return TRANSPORT_NO_REASON;
    if (sodium_memcmp(key, c->t->public_key, NOISE_KEY_SIZE) == 0)
        return TRANSPORT_SELF;
    if (c->peer->is_bound && sodium_memcmp(key, c->peer->key, NOISE_KEY_SIZE) != 0)
        return TRANSPORT_KEY;
    return TRANSPORT_NO_REASON;
}

static enum transport_reason answer(struct connection *c)
{
    uint8_t flight[RECORD_HEADER_SIZE + HANDSHAKE_MAX_SIZE];
    struct writer w = writer_of(flight, sizeof(flight));
    if (!noise_handshake_writes_next(c->handshake))
        return TRANSPORT_NO_REASON;
    if (write_message(c, &w) != OK)
        return TRANSPORT_MALFORMED;
    connection_put(c, w.data, w.size);
    return TRANSPORT_NO_REASON;
}

static enum transport_reason finish(struct connection *c)
{
    if (c->state == CONNECTION_CLOSING || !noise_handshake_is_done(c->handshake))
        return TRANSPORT_NO_REASON;
    memcpy(c->remote_key, noise_handshake_remote_static(c->handshake), sizeof(c->remote_key));
    if (noise_handshake_split(c->handshake, &c->session) != OK)
        return TRANSPORT_NO_MEMORY;
    noise_handshake_destroy(c->handshake);
    c->handshake = NULL;
    session_begin(c);
    return TRANSPORT_NO_REASON;
}

static enum transport_reason step(struct connection *c, struct bytes message)
{
    uint8_t payload[HANDSHAKE_MAX_SIZE]; /* none is defined: passed over */
    size_t size;
    bool was_last = !c->is_dialed && c->handshake_messages++ > 0;
    if (noise_handshake_read(c->handshake, message, payload, sizeof(payload), &size) != OK)
        return not_authentic(c, was_last);
    enum transport_reason why = check_key(c);
    if (why == TRANSPORT_NO_REASON)
        why = answer(c);
    return why == TRANSPORT_NO_REASON ? finish(c) : why;
}

static size_t consume_message(struct connection *c, const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    size_t message_size = read_u16(&r);
    if (r.failed)
        return 0;
    if (message_size > HANDSHAKE_MAX_SIZE) {
        connection_close(c, TRANSPORT_MALFORMED);
        return size;
    }
    if (message_size == 0) {
        uint8_t reason = read_u8(&r);
        if (!r.failed)
            connection_closed_by_other(c, reason);
        return r.failed ? 0 : REFUSAL_SIZE;
    }
    const uint8_t *message = read_bytes(&r, message_size);
    if (message == NULL)
        return 0;
    enum transport_reason why = step(c, bytes_of(message, message_size));
    if (why != TRANSPORT_NO_REASON)
        connection_close(c, why);
    return RECORD_HEADER_SIZE + message_size;
}

size_t handshake_consume(struct connection *c, const uint8_t *data, size_t size)
{
    return c->state == CONNECTION_PREAMBLE ? consume_preamble(c, data, size)
                                           : consume_message(c, data, size);
}
