/* Bytes into a connection of the API, over the store in memory.
 *
 * The input is a list of steps: an octet that says what happens (bytes come, the client reads, time
 * passes, the store changes, answers are held or released), and for bytes two octets of length and
 * the bytes. The preface and an empty SETTINGS come first unless the first octet's top bit is set.
 */
#include "registry/api.h"
#include "registry/api/conn.h"
#include "registry/api/server.h"

#include "fake_store.h"

#include <assert.h>
#include <stdlib.h>

enum {
    WRITE_LIMIT = 64 << 10,
    MAX_STEPS = 200,
};

static void wake(struct conn *conn)
{
    (void)conn;
}

struct run {
    struct store *store;
    struct server server;
    struct conn *conn;
    bool is_over;
    unsigned puts;
};

static void feed(struct run *r, const uint8_t *data, size_t size)
{
    if (!r->is_over && !conn_feed(r->conn, bytes_of(data, size)))
        r->is_over = true;
    assert(r->conn->held_size <= SERVER_MAX_CONN_HELD);
}

static void fetch(struct run *r)
{
    struct outbuf out = {0};
    if (!conn_produce(r->conn, &out, WRITE_LIMIT))
        r->is_over = true;
    assert(outbuf_size(&out) <= WRITE_LIMIT + CONN_FRAME_RESERVE);
    outbuf_fini(&out);
}

static void happen(struct run *r, uint8_t what)
{
    switch (what % 8) {
    case 0:
        fetch(r);
        break;
    case 1:
        r->server.now_ms += (uint64_t)what * 1000;
        (void)server_run_deadlines(&r->server);
        server_tick(&r->server);
        break;
    case 2:
        if (r->puts++ < 20)
            fake_store_put(r->store, "a", "value", 5);
        break;
    case 3:
        fake_store_of(r->store)->hold = true;
        break;
    case 4:
        fake_store_of(r->store)->hold = false;
        fake_store_release(r->store);
        break;
    case 5:
        if (!conn_check_time(r->conn))
            r->is_over = true;
        break;
    default:
        break;
    }
}

static void play(struct run *r, const uint8_t *data, size_t size)
{
    for (size_t at = 0, steps = 0; at < size && steps < MAX_STEPS && !r->is_over; steps++) {
        uint8_t what = data[at++];
        if ((what & 0x40) == 0) {
            happen(r, what);
            continue;
        }
        if (size - at < 2)
            break;
        size_t length = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        if (length > size - at)
            length = size - at;
        feed(r, data + at, length);
        at += length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static struct metrics *metrics;
    if (metrics == NULL && metrics_create(&metrics) != OK)
        abort();
    struct run r = {.store = fake_store_create()};
    if (server_init(&r.server, r.store, metrics, 1000) != OK ||
        (r.server.wake = wake, conn_create(&r.conn, &r.server, NULL)) != OK)
        abort();
    if (size > 0 && (data[0] & 0x80) == 0)
        feed(&r, (const uint8_t *)greeting, sizeof(greeting) - 1);
    if (size > 0)
        play(&r, data + 1, size - 1);
    fetch(&r);
    conn_destroy(r.conn);
    assert(r.server.held_size == 0);
    server_stop(&r.server);
    fake_store_of(r.store)->hold = false;
    fake_store_release(r.store);
    assert(r.server.call_count == 0);
    server_fini(&r.server);
    fake_store_destroy(r.store);
    return 0;
}
