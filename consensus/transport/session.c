#include "internal.h"

#include "base/cursor.h"

#include <string.h>

static uint32_t message_cost(size_t size)
{
    return (uint32_t)size + TRANSPORT_MESSAGE_COST;
}

void session_begin(struct connection *c)
{
    const struct transport_config *config = &c->t->config;
    c->state = CONNECTION_HELLO;
    c->last_received = now_ms(c->t);
    frame_reader_init(&c->frames, config->limits[c->stream].message, c->stream == TRANSPORT_BULK,
                      config->bulk_window);
    c->wants_hello = true;
    connection_mark_dirty(c);
}

static struct hello our_hello(const struct connection *c)
{
    const struct transport_config *config = &c->t->config;
    return (struct hello){
        .version_min = config->version_min,
        .version_max = config->version_max,
        .features = config->features,
        .message_limit = config->limits[c->stream].message,
        .window = c->stream == TRANSPORT_BULK ? config->bulk_window : 0,
    };
}

/* --- which connection stays ------------------------------------------------------------------- */

static bool was_dialed_by_lower_id(const struct connection *c)
{
    return c->is_dialed == (c->t->config.member_id < c->member_id);
}

/* Both sides come to the same answer: in a race the lower id's dial stays; otherwise the newer,
 * because its dialer would not have dialed if it still had the older one. */
static bool older_stays(const struct connection *older, const struct connection *newer)
{
    return now_ms(newer->t) - older->opened_at < RACE_MS && was_dialed_by_lower_id(older) &&
           !was_dialed_by_lower_id(newer);
}

/* The owner hears of the end of the older connections before it hears of C. */
static void tell_lost_of_older(struct connection *c)
{
    for (struct connection *o = c->t->connections; o != NULL; o = o->next)
        if (o != c && o->member_id == c->member_id && o->stream == c->stream)
            connection_tell_lost(o);
}

static void open_connection(struct connection *c)
{
    struct transport *t = c->t;
    struct slot *s = &c->peer->slots[c->stream];
    if (connection_is_half_open(c))
        t->half_open--;
    c->state = CONNECTION_OPEN;
    c->opened_at = c->last_ping = now_ms(t);
    s->open = c;
    if (s->dialing == c) {
        s->dialing = NULL;
        s->uses_psk = false;
    } else if (s->dialing != NULL && t->config.member_id > c->member_id)
        connection_close(s->dialing, TRANSPORT_DUPLICATE);
    c->is_told = true;
    t->counters.streams[c->stream].connected++;
    report_connected(c);
    t->config.owner.connected(t->config.owner.context, c->member_id, c->stream, &c->agreed);
    connection_mark_dirty(c);
}

static void promote(struct connection *c)
{
    struct connection *older = c->peer->slots[c->stream].open;
    if (older != NULL && older_stays(older, c)) {
        connection_close(c, TRANSPORT_DUPLICATE);
        return;
    }
    if (older != NULL)
        connection_close(older, TRANSPORT_REPLACED);
    tell_lost_of_older(c);
    if (c->state != CONNECTION_CLOSING) /* the owner may have changed the table */
        open_connection(c);
}

static void on_hello(struct connection *c, const struct hello *theirs)
{
    const struct transport_owner *owner = &c->t->config.owner;
    struct hello ours = our_hello(c);
    c->theirs = *theirs;
    c->credit = theirs->window;
    c->agreed.features = theirs->features;
    if (!hello_agree(&ours, theirs, &c->agreed.version)) {
        connection_close(c, TRANSPORT_VERSION);
        return;
    }
    if (!c->peer->is_bound && !owner->key_shown(owner->context, c->member_id, c->remote_key)) {
        connection_close(c, TRANSPORT_REFUSED);
        return;
    }
    if (c->state != CONNECTION_CLOSING)
        promote(c);
}

/* --- bulk ------------------------------------------------------------------------------------- */

static void taken(struct connection *c, size_t size)
{
    c->credit_due += message_cost(size);
    if (c->state == CONNECTION_CLOSING || c->credit_due < c->t->config.bulk_window / 2)
        return;
    c->gives_credit = true;
    connection_mark_dirty(c);
}

/* False: the owner does not take it now. */
static bool offer(struct connection *c, uint16_t type, struct bytes bytes)
{
    const struct transport_owner *owner = &c->t->config.owner;
    enum err e = owner->bulk_received(owner->context, c->member_id, type, bytes);
    if (e == OK) {
        c->t->counters.streams[TRANSPORT_BULK].messages_received++;
        taken(c, bytes.size);
    } else if (e != ERR_LIMIT)
        connection_close(c, TRANSPORT_REFUSED);
    return e != ERR_LIMIT;
}

/* Held messages are within the window, which the frame reader keeps to. */
static void on_bulk(struct connection *c, uint16_t type, struct bytes bytes)
{
    if (!c->is_paused && c->held.head == NULL && offer(c, type, bytes))
        return;
    c->is_paused = c->is_paused || c->held.head == NULL;
    if (queue_push(&c->held, type, bytes) != OK)
        connection_close(c, TRANSPORT_NO_MEMORY);
}

void session_deliver_held(struct connection *c)
{
    c->is_resumed = false;
    c->is_paused = false;
    while (c->state == CONNECTION_OPEN && c->held.head != NULL) {
        const struct queued *m = c->held.head;
        if (!offer(c, m->type, bytes_of(m->data, m->size))) {
            c->is_paused = true;
            return;
        }
        queue_pop(&c->held);
    }
}

static void on_credit(struct connection *c, uint32_t credit)
{
    if (credit > UINT32_MAX - c->credit) {
        connection_close(c, TRANSPORT_MALFORMED);
        return;
    }
    c->credit += credit;
    connection_mark_dirty(c);
}

/* --- records in ------------------------------------------------------------------------------- */

static void on_message(struct connection *c, const struct frame *f)
{
    struct transport *t = c->t;
    if (c->stream == TRANSPORT_BULK) {
        on_bulk(c, f->type, f->message);
        return;
    }
    t->counters.streams[c->stream].messages_received++;
    t->config.owner.received(t->config.owner.context, c->member_id, f->type, f->message);
}

static void on_frame(struct connection *c, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_HELLO:
        on_hello(c, &f->hello);
        break;
    case FRAME_MESSAGE:
        on_message(c, f);
        break;
    case FRAME_PING:
        c->wants_pong = true;
        connection_mark_dirty(c);
        break;
    case FRAME_CREDIT:
        on_credit(c, f->credit);
        break;
    case FRAME_CLOSE:
        connection_closed_by_other(c, f->reason);
        break;
    default: /* a pong, a part of a message, something optional */
        break;
    }
}

static void on_record(struct connection *c, uint8_t *record, size_t size)
{
    struct frame f;
    if (noise_decrypt(c->session, BYTES_EMPTY, bytes_of(record, size), record) != OK) {
        /* The first record of who has another PSK, if it did not notice that before us. */
        bool is_psk = c->state == CONNECTION_HELLO && c->pattern == NOISE_XXPSK3;
        connection_close(c, is_psk ? TRANSPORT_PSK : TRANSPORT_MALFORMED);
        return;
    }
    if (++c->records_received % REKEY_RECORDS == 0)
        noise_rekey_receive(c->session);
    c->last_received = now_ms(c->t);
    enum err e = frame_read(&c->frames, bytes_of(record, size - NOISE_TAG_SIZE), &f);
    if (e == OK)
        on_frame(c, &f);
    else
        connection_close(c, e == ERR_NO_MEMORY ? TRANSPORT_NO_MEMORY : TRANSPORT_MALFORMED);
}

size_t session_consume(struct connection *c, uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    size_t record_size = read_u16(&r);
    if (r.failed)
        return 0;
    if (record_size == 0 && c->state == CONNECTION_HELLO) {
        uint8_t reason = read_u8(&r);
        if (!r.failed)
            connection_closed_by_other(c, reason);
        return r.failed ? 0 : REFUSAL_SIZE;
    }
    if (record_size <= NOISE_TAG_SIZE) {
        connection_close(c, TRANSPORT_MALFORMED);
        return size;
    }
    if (reader_left(&r) < record_size)
        return 0;
    on_record(c, data + RECORD_HEADER_SIZE, record_size);
    return RECORD_HEADER_SIZE + record_size;
}

/* --- records out ------------------------------------------------------------------------------ */

/* Encrypts the frame that lies behind the header's place at RECORD; gives the record's size. */
static size_t seal(struct connection *c, uint8_t *record, size_t frame_size)
{
    uint8_t *frame = record + RECORD_HEADER_SIZE;
    if (noise_encrypt(c->session, BYTES_EMPTY, bytes_of(frame, frame_size), frame) != OK) {
        connection_close(c, TRANSPORT_STOPPED); /* 2^64 records */
        return 0;
    }
    if (++c->records_sent % REKEY_RECORDS == 0)
        noise_rekey_send(c->session);
    struct writer w = writer_of(record, RECORD_HEADER_SIZE);
    write_u16(&w, (uint16_t)(frame_size + NOISE_TAG_SIZE));
    return RECORD_HEADER_SIZE + frame_size + NOISE_TAG_SIZE;
}

void session_say_close(struct connection *c, enum transport_reason why)
{
    uint8_t record[RECORD_HEADER_SIZE + FRAME_MAX_CONTROL_SIZE + NOISE_TAG_SIZE];
    struct writer w = writer_of(record + RECORD_HEADER_SIZE, FRAME_MAX_CONTROL_SIZE);
    frame_write_close(&w, (uint8_t)why);
    if (noise_encrypt(c->session, BYTES_EMPTY, bytes_of(w.data, w.size), w.data) != OK)
        return;
    struct writer header = writer_of(record, RECORD_HEADER_SIZE);
    write_u16(&header, (uint16_t)(w.size + NOISE_TAG_SIZE));
    uv_buf_t buffer =
        uv_buf_init((char *)record, (unsigned)(RECORD_HEADER_SIZE + w.size + NOISE_TAG_SIZE));
    (void)uv_try_write((uv_stream_t *)&c->tcp, &buffer, 1);
}

static bool write_control(struct connection *c, struct writer *w)
{
    if (c->wants_hello) {
        struct hello hello = our_hello(c);
        c->wants_hello = false;
        frame_write_hello(w, &hello);
    } else if (c->wants_pong) {
        c->wants_pong = false;
        frame_write_pong(w);
    } else if (c->wants_ping) {
        c->wants_ping = false;
        frame_write_ping(w);
    } else if (c->gives_credit) {
        c->gives_credit = false;
        frame_reader_give_credit(&c->frames, c->credit_due);
        frame_write_credit(w, c->credit_due);
        c->credit_due = 0;
    } else
        return false;
    return true;
}

static void first_is_sent(struct connection *c)
{
    struct transport *t = c->t;
    struct slot *s = &c->peer->slots[c->stream];
    queue_pop(&c->out);
    c->out_started = false;
    c->out_offset = 0;
    t->counters.streams[c->stream].messages_sent++;
    if (!s->was_full || c->out.size > t->config.limits[c->stream].queue / 2)
        return;
    s->was_full = false;
    if (c->stream == TRANSPORT_BULK && t->config.owner.bulk_drained != NULL)
        t->config.owner.bulk_drained(t->config.owner.context, c->member_id);
}

static bool write_part_of_queue(struct connection *c, struct writer *w)
{
    const struct queued *m = c->out.head;
    if (m == NULL || c->state != CONNECTION_OPEN)
        return false;
    struct bytes body = bytes_of(m->data, m->size);
    if (c->out_started) {
        c->out_offset += frame_write_more(w, body, c->out_offset);
    } else {
        uint32_t cost = message_cost(m->size);
        if (c->stream == TRANSPORT_BULK && cost > c->credit)
            return false;
        c->credit -= c->stream == TRANSPORT_BULK ? cost : 0;
        c->out_started = true;
        c->out_offset = frame_write_message(w, m->type, body);
    }
    return true;
}

/* Fills the scratch buffer with records; gives their size. */
static size_t fill(struct connection *c)
{
    struct transport *t = c->t;
    size_t used = 0;
    while (used < FLUSH_SIZE && c->state != CONNECTION_CLOSING) {
        uint8_t *record = t->scratch + used;
        struct writer w = writer_of(record + RECORD_HEADER_SIZE, FRAME_MAX_SIZE);
        if (!write_control(c, &w) && !write_part_of_queue(c, &w))
            break;
        used += seal(c, record, w.size);
        if (c->state != CONNECTION_CLOSING && c->out_started && c->out_offset == c->out.head->size)
            first_is_sent(c);
    }
    return used;
}

void session_flush(struct connection *c)
{
    if (c->session == NULL || c->pending_writes > 0 || c->state == CONNECTION_CLOSING)
        return;
    size_t used = fill(c);
    if (used == 0 || c->state == CONNECTION_CLOSING)
        return;
    connection_put(c, c->t->scratch, used);
    /* More waits: the next turn of the loop, so that other connections have theirs. */
    if (used >= FLUSH_SIZE && c->state != CONNECTION_CLOSING && c->pending_writes == 0)
        connection_mark_dirty(c);
}
