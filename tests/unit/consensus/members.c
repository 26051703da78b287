#include "tests/unit/consensus/members.h"

#include "consensus/transport/frame.h"
#include "consensus/transport/preamble.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* --- what members hear ------------------------------------------------------------------------ */

static void received(void *context, uint64_t from, uint16_t type, struct bytes bytes)
{
    struct member *m = context;
    m->received++;
    m->received_size += bytes.size;
    m->from = from;
    m->type = type;
    m->first_byte = bytes.size > 0 ? bytes.data[0] : 0;
    if (m->on_received != NULL)
        m->on_received(m, type, bytes);
}

static enum err bulk_received(void *context, uint64_t from, uint16_t type, struct bytes bytes)
{
    struct member *m = context;
    if (m->bulk_answer != OK)
        return m->bulk_answer;
    m->bulk_received++;
    m->bulk_received_size += bytes.size;
    m->from = from;
    m->type = type;
    if (m->on_bulk != NULL)
        m->on_bulk(m, type, bytes);
    return OK;
}

static void connected(void *context, uint64_t id, enum transport_stream stream,
                      const struct transport_agreed *agreed)
{
    struct member *m = context;
    (void)id;
    m->connects[stream]++;
    m->agreed = *agreed;
    /* With two members there is one other: lost and connected take turns. */
    if (m->world->count == 2)
        assert_false(m->is_connected[stream]);
    m->is_connected[stream] = true;
}

static void lost(void *context, uint64_t id, enum transport_stream stream,
                 enum transport_reason why)
{
    struct member *m = context;
    (void)id;
    m->losts[stream]++;
    m->lost_why = why;
    if (m->world->count == 2)
        assert_true(m->is_connected[stream]);
    m->is_connected[stream] = false;
}

static bool key_shown(void *context, uint64_t id, const uint8_t key[static MEMBER_KEY_SIZE])
{
    struct member *m = context;
    (void)id;
    m->keys_shown++;
    memcpy(m->shown, key, MEMBER_KEY_SIZE);
    return !m->refuses_keys;
}

static void bulk_drained(void *context, uint64_t id)
{
    struct member *m = context;
    (void)id;
    m->drained++;
}

static bool was_removed(void *context, uint64_t id)
{
    struct member *m = context;
    return id == m->removed_id;
}

static void refused_by(void *context, uint64_t id, enum transport_reason why)
{
    struct member *m = context;
    (void)id;
    m->refusals++;
    m->refused_why = why;
}

static void keep_line(void *context, enum log_level level, const char *line)
{
    struct member *m = context;
    (void)level;
    m->log_lines++;
    strbuf_add_format(&m->log, "%s\n", line);
    if (getenv("MEMBERS_LOG") != NULL)
        printf("  member %u: %s\n", (unsigned)m->id, line);
}

/* --- life ------------------------------------------------------------------------------------- */

void member_start(struct member *m)
{
    struct strbuf error = STRBUF_EMPTY;
    m->config.listen = &m->listen;
    m->config.listen_count = 1;
    enum err e = transport_create(&m->t, &m->config, &error);
    if (e != OK)
        fail_msg("%s", strbuf_str(&error));
    strbuf_fini(&error);
    m->listen.port = m->address.port = transport_port(m->t, 0);
    memset(m->is_connected, 0, sizeof(m->is_connected));
}

void member_stop(struct member *m)
{
    transport_destroy(m->t);
    m->t = NULL;
}

static void member_init(struct member *m, struct world *w, uint64_t id)
{
    *m = (struct member){.world = w, .id = id};
    assert_int_equal(ip_endpoint_parse(&m->listen, "127.0.0.1:0", 11), OK);
    (void)strcpy(m->address.host, "127.0.0.1");
    assert_int_equal(member_key_generate(&m->key), OK);
    m->config = (struct transport_config){
        .loop = &w->loop,
        .cluster_id = CLUSTER_ID,
        .member_id = id,
        .key = m->key,
        .psk = w->psk,
        .version_min = 1,
        .version_max = 1,
        .features = 100 + id,
        .handshake_timeout_ms = 1000,
        .ping_interval_ms = 200,
        .silence_limit_ms = 1000,
        .min_backoff_ms = 10,
        .max_backoff_ms = 50,
        .owner = {received, bulk_received, connected, lost, key_shown, bulk_drained, was_removed,
                  refused_by, keep_line, m},
    };
    member_start(m);
}

void world_init(struct world *w, size_t count)
{
    *w = (struct world){.count = count};
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    member_psk_from_token(w->psk, "a cluster token of enough bits");
    for (size_t i = 0; i < count; i++)
        member_init(&w->members[i], w, i + 1);
}

void world_fini(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        member_stop(m);
        member_key_destroy(m->key);
        strbuf_fini(&m->log);
    }
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

/* --- tables ----------------------------------------------------------------------------------- */

struct table world_table(struct world *w, bool is_bound)
{
    struct table t = {.count = w->count};
    for (size_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        t.rows[i] = (struct transport_member){
            .id = m->id,
            .is_bound = is_bound,
            .addresses = &m->address,
            .address_count = 1,
        };
        memcpy(t.rows[i].key, member_key_public(m->key), MEMBER_KEY_SIZE);
    }
    return t;
}

struct transport_member *table_row(struct table *t, uint64_t id)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].id == id)
            return &t->rows[i];
    fail();
    return &t->rows[0];
}

void table_remove(struct table *t, uint64_t id)
{
    *table_row(t, id) = t->rows[t->count - 1];
    t->count--;
}

void member_set(struct member *m, const struct table *t)
{
    assert_int_equal(transport_set_members(m->t, t->rows, t->count), OK);
}

void world_join(struct world *w, bool is_bound)
{
    struct table t = world_table(w, is_bound);
    for (size_t i = 0; i < w->count; i++)
        member_set(&w->members[i], &t);
}

/* --- time ------------------------------------------------------------------------------------- */

static void on_nothing(uv_timer_t *timer)
{
    (void)timer;
}

void world_turn(struct world *w)
{
    uv_timer_t timer;
    assert_int_equal(uv_timer_init(&w->loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_nothing, 5, 0), 0);
    (void)uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

void world_run_ms(struct world *w, unsigned ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;
    while (uv_hrtime() < end)
        world_turn(w);
}

bool world_is_connected(const struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        for (size_t j = 0; j < w->count; j++) {
            struct transport_peer_status s;
            if (i == j)
                continue;
            if (w->members[i].t == NULL ||
                transport_peer_status(w->members[i].t, w->members[j].id, &s) != OK ||
                !s.streams[0].is_connected || !s.streams[1].is_connected)
                return false;
        }
    }
    return true;
}

/* --- a puppet --------------------------------------------------------------------------------- */

void puppet_connect(struct puppet *p, struct member *m)
{
    struct sockaddr_storage address;
    *p = (struct puppet){.world = m->world};
    socklen_t size = ip_endpoint_to_sockaddr(&m->listen, &address);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&address, size), 0);
}

void puppet_close(struct puppet *p)
{
    close(p->fd);
    noise_session_destroy(p->session);
}

void puppet_send(struct puppet *p, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0 && !p->is_over) {
        ssize_t n = send(p->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            world_turn(p->world);
        else if (n < 0)
            p->is_over = true;
        else {
            at += n;
            size -= (size_t)n;
        }
    }
}

void puppet_read(struct puppet *p, size_t size)
{
    uint64_t began_at = uv_hrtime();
    assert_true(size <= sizeof(p->in));
    while (p->in_size < size && !p->is_over) {
        ssize_t n = recv(p->fd, p->in + p->in_size, size - p->in_size, MSG_DONTWAIT);
        if (n > 0)
            p->in_size += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            world_turn(p->world);
        else
            p->is_over = true;
        if (uv_hrtime() - began_at > 20000000000U)
            fail_msg("the puppet hears nothing");
    }
}

void puppet_skip(struct puppet *p, size_t size)
{
    assert_true(size <= p->in_size);
    memmove(p->in, p->in + size, p->in_size - size);
    p->in_size -= size;
}

static void send_hello(struct puppet *p, enum transport_stream stream)
{
    uint8_t frame[FRAME_HELLO_SIZE];
    struct writer w = writer_of(frame, sizeof(frame));
    struct hello hello = {1, 1, 7, 1 << 20, stream == TRANSPORT_BULK ? 1 << 20 : 0};
    frame_write_hello(&w, &hello);
    puppet_send_frame(p, w.data, w.size);
}

void puppet_handshake(struct puppet *p, struct member *as, struct member *to,
                      enum transport_stream stream, bool says_hello)
{
    uint8_t preamble[PREAMBLE_SIZE], prologue[PROLOGUE_SIZE], ephemeral[NOISE_KEY_SIZE];
    uint8_t message[2 + HANDSHAKE_MAX_SIZE], payload[HANDSHAKE_MAX_SIZE];
    size_t size, payload_size;
    struct noise_handshake *h;
    preamble_write(preamble, stream, NOISE_IK, CLUSTER_ID, as->id, to->id);
    prologue_write(prologue, preamble);
    randombytes_buf(ephemeral, sizeof(ephemeral));
    struct noise_config config = {
        .pattern = NOISE_IK,
        .is_initiator = true,
        .prologue = bytes_of(prologue, sizeof(prologue)),
        .static_private = member_key_private(as->key),
        .ephemeral_private = ephemeral,
        .remote_static = member_key_public(to->key),
    };
    assert_int_equal(noise_handshake_create(&h, &config), OK);
    assert_int_equal(noise_handshake_write(h, BYTES_EMPTY, message + 2, sizeof(message) - 2, &size),
                     OK);
    message[0] = 0;
    message[1] = (uint8_t)size;
    puppet_send(p, preamble, sizeof(preamble));
    puppet_send(p, message, size + 2);
    puppet_read(p, 2);
    assert_false(p->is_over);
    size = p->in[1];
    puppet_read(p, 2 + size);
    assert_int_equal(
        noise_handshake_read(h, bytes_of(p->in + 2, size), payload, sizeof(payload), &payload_size),
        OK);
    puppet_skip(p, 2 + size);
    assert_int_equal(noise_handshake_split(h, &p->session), OK);
    noise_handshake_destroy(h);
    if (says_hello)
        send_hello(p, stream);
}

void puppet_send_frame(struct puppet *p, const void *frame, size_t size)
{
    static uint8_t record[2 + NOISE_MAX_MESSAGE_SIZE];
    assert_int_equal(noise_encrypt(p->session, BYTES_EMPTY, bytes_of(frame, size), record + 2), OK);
    size += NOISE_TAG_SIZE;
    record[0] = (uint8_t)(size >> 8);
    record[1] = (uint8_t)size;
    puppet_send(p, record, size + 2);
}

size_t puppet_read_frame(struct puppet *p, uint8_t out[static NOISE_MAX_MESSAGE_SIZE])
{
    puppet_read(p, 2);
    if (p->is_over)
        return 0;
    size_t size = (size_t)p->in[0] << 8 | p->in[1];
    puppet_read(p, 2 + size);
    if (p->is_over)
        return 0;
    assert_int_equal(noise_decrypt(p->session, BYTES_EMPTY, bytes_of(p->in + 2, size), out), OK);
    puppet_skip(p, 2 + size);
    return size - NOISE_TAG_SIZE;
}
