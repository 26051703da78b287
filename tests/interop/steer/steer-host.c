/* steer-host: observe and sync of many devices in one process, around a registry in memory.
 *
 *   steer-host ZONE DATA_DIR observe=DEVICE sync=DEVICE adopt=DEVICE ...
 *
 * Userspace devices are found by their sockets, which know no network namespaces, so one process
 * stands for a daemon on each machine. Standard input: "put KEY VALUE", "delete KEY", "dump" (all
 * keys and values, then a line "."); its end is the end. */
#include "tests/unit/dnsd/fake_store.h"

#include "dnsd/steer.h"
#include "registry/published.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEVICES = 16,
    READ_SIZE = 1 << 16,
};

struct zones_warren {
    struct store *store;
    const char *name;
};

struct host {
    uv_loop_t loop;
    struct zones_warren zone;
    struct steer_observe *observers[MAX_DEVICES];
    struct steer_sync *syncs[MAX_DEVICES];
    size_t observer_count;
    size_t sync_count;
    uv_idle_t settled;
    uv_pipe_t input;
    struct strbuf line;
    char buffer[READ_SIZE];
};

static void die(const char *what)
{
    fprintf(stderr, "steer-host: %s\n", what);
    exit(2);
}

/* --- The zone, from the keys. --- */

struct collector {
    struct published published;
    const char *zone;
};

static void collect(void *context, const struct kv *kv)
{
    struct collector *c = context;
    if (published_add(&c->published, bytes_of_str(c->zone), kv->key, kv->value, kv->mod_revision) !=
        OK)
        die("no memory");
}

void zones_warren_each_peer(const struct zones_warren *z,
                            bool (*each)(void *context, const struct zones_warren_peer_view *peer),
                            void *context)
{
    struct collector c = {.zone = z->name};
    published_init(&c.published);
    fake_store_each(z->store, collect, &c);
    published_finish(&c.published);
    for (size_t i = 0; i < c.published.peer_count; i++) {
        const struct published_peer *p = &c.published.peers[i];
        struct zones_warren_peer_view view = {
            .key = p->key,
            .name = p->peer.name,
            .owns_name = true,
            .allowed_ips = p->peer.allowed_ips,
            .allowed_ip_count = p->peer.allowed_ip_count,
            .endpoint = p->endpoint,
            .keepalive_s = p->peer.keepalive_s,
            .has_keepalive = p->peer.has_keepalive,
        };
        if (!each(context, &view))
            break;
    }
    published_fini(&c.published);
}

static void on_settled(uv_idle_t *handle)
{
    struct host *h = handle->data;
    uv_idle_stop(handle);
    for (size_t i = 0; i < h->sync_count; i++)
        steer_sync_zone_changed(h->syncs[i]);
}

static void on_change(void *context)
{
    struct host *h = context;
    uv_idle_start(&h->settled, on_settled);
}

/* --- Standard input. --- */

static void print_key(void *context, const struct kv *kv)
{
    (void)context;
    printf("%.*s %.*s\n", (int)kv->key.size, (const char *)kv->key.data, (int)kv->value.size,
           (const char *)kv->value.data);
}

static void obey(struct host *h, char *line)
{
    char *key = strchr(line, ' ');
    char *value = key != NULL ? strchr(key + 1, ' ') : NULL;
    if (strcmp(line, "dump") == 0) {
        fake_store_each(h->zone.store, print_key, NULL);
        puts(".");
        fflush(stdout);
    } else if (strncmp(line, "put ", 4) == 0 && value != NULL) {
        *value++ = '\0';
        fake_store_put(h->zone.store, key + 1, value, 0);
    } else if (strncmp(line, "delete ", 7) == 0) {
        fake_store_delete(h->zone.store, key + 1);
    } else {
        die(line);
    }
}

static void stop(struct host *h)
{
    for (size_t i = 0; i < h->observer_count; i++)
        steer_observe_stop(h->observers[i]);
    for (size_t i = 0; i < h->sync_count; i++)
        steer_sync_stop(h->syncs[i]);
    uv_close((uv_handle_t *)&h->settled, NULL);
    uv_close((uv_handle_t *)&h->input, NULL);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct host *h = handle->data;
    (void)size;
    *out = uv_buf_init(h->buffer, sizeof(h->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct host *h = stream->data;
    if (size < 0) {
        stop(h);
        return;
    }
    for (ssize_t i = 0; i < size; i++) {
        if (buffer->base[i] != '\n') {
            strbuf_add_char(&h->line, buffer->base[i]);
            continue;
        }
        obey(h, h->line.data);
        strbuf_clear(&h->line);
    }
}

static void add_device(struct host *h, const char *data_dir, const char *item)
{
    const char *device = strchr(item, '=');
    if (device++ == NULL || h->observer_count == MAX_DEVICES || h->sync_count == MAX_DEVICES)
        die(item);
    bool adopt = strncmp(item, "adopt=", 6) == 0;
    if (strncmp(item, "observe=", 8) == 0) {
        struct steer_observe_config config = {
            .loop = &h->loop, .store = h->zone.store, .zone = h->zone.name, .device = device};
        if (steer_observe_start(&h->observers[h->observer_count++], &config) != OK)
            die("observe");
    } else if (adopt || strncmp(item, "sync=", 5) == 0) {
        struct steer_sync_config config = {.loop = &h->loop,
                                           .zone = &h->zone,
                                           .zone_name = h->zone.name,
                                           .device = device,
                                           .adopt = adopt,
                                           .data_dir = data_dir};
        if (steer_sync_start(&h->syncs[h->sync_count++], &config) != OK)
            die("sync");
    } else {
        die(item);
    }
}

int main(int argc, char **argv)
{
    static struct host h;
    if (argc < 4 || uv_loop_init(&h.loop) != 0)
        return 2;
    h.zone = (struct zones_warren){.store = fake_store_new(&h.loop), .name = argv[1]};
    uv_idle_init(&h.loop, &h.settled);
    uv_pipe_init(&h.loop, &h.input, 0);
    h.settled.data = h.input.data = &h;
    for (int i = 3; i < argc; i++)
        add_device(&h, argv[2], argv[i]);
    fake_store_on_change(h.zone.store, on_change, &h);
    if (uv_pipe_open(&h.input, 0) != 0)
        die("standard input is no pipe");
    uv_read_start((uv_stream_t *)&h.input, on_alloc, on_read);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    fake_store_on_change(h.zone.store, NULL, NULL);
    fake_store_free(h.zone.store);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    strbuf_fini(&h.line);
    return uv_loop_close(&h.loop) == 0 ? 0 : 1;
}
