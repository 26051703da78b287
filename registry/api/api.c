#include "registry/api.h"

#include "sockets.h"

#include <stdlib.h>
#include <string.h>

/* --- flushing --------------------------------------------------------------------------------- */

static void wake(struct conn *conn)
{
    client_mark_ready(conn->owner);
}

static void on_deadline(uv_timer_t *timer);

static void arm_deadline(struct api *a, uint64_t at_ms)
{
    if (at_ms == a->deadline_ms || a->server.is_closing)
        return;
    a->deadline_ms = at_ms;
    if (at_ms == UINT64_MAX)
        (void)uv_timer_stop(&a->deadline);
    else
        (void)uv_timer_start(&a->deadline, on_deadline, at_ms - a->server.now_ms, 0);
}

/* Sends what the turn has produced. A client that becomes ready again has its turn with the next.
 */
static void flush(struct api *a)
{
    a->server.now_ms = uv_now(a->loop);
    for (size_t turns = a->ready_count; turns > 0 && a->first_ready != NULL; turns--) {
        struct client *c = a->first_ready;
        a->first_ready = c->next_ready;
        if (a->first_ready == NULL)
            a->last_ready = &a->first_ready;
        a->ready_count--;
        c->is_ready = false;
        client_flush(c);
    }
    if (a->first_ready == NULL)
        (void)uv_idle_stop(&a->idle);
    arm_deadline(a, server_run_deadlines(&a->server));
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being there keeps the loop from waiting */
}

static void on_check(uv_check_t *check)
{
    flush(check->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    flush(prepare->data);
}

void api_flush_soon(struct api *a)
{
    if (!a->server.is_closing)
        (void)uv_idle_start(&a->idle, on_idle);
}

/* --- time ------------------------------------------------------------------------------------- */

static void on_deadline(uv_timer_t *timer)
{
    struct api *a = timer->data;
    a->deadline_ms = UINT64_MAX;
    a->server.now_ms = uv_now(a->loop);
    arm_deadline(a, server_run_deadlines(&a->server));
}

static void on_tick(uv_timer_t *timer)
{
    struct api *a = timer->data;
    a->server.now_ms = uv_now(a->loop);
    server_tick(&a->server);
    struct client *next;
    for (struct client *c = a->clients; c != NULL; c = next) {
        next = c->next;
        client_check_time(c);
    }
    for (size_t i = 0; i < a->listener_count; i++)
        listener_resume(&a->listeners[i]);
}

/* --- life ------------------------------------------------------------------------------------- */

static void release(struct api *a)
{
    server_fini(&a->server);
    outbuf_fini(&a->scratch);
    free(a->listeners);
    free(a);
}

void api_handle_closed(struct api *a)
{
    if (--a->open_handles == 0)
        release(a);
}

static void on_closed(uv_handle_t *handle)
{
    api_handle_closed(handle->data);
}

static void on_http1_closed(void *context)
{
    api_handle_closed(context);
}

static enum err start_handles(struct api *a)
{
    enum err e = http1_create(&a->http1, &a->server, a->loop);
    if (e != OK)
        return e;
    /* These cannot fail. */
    (void)uv_check_init(a->loop, &a->check);
    (void)uv_prepare_init(a->loop, &a->prepare);
    (void)uv_idle_init(a->loop, &a->idle);
    (void)uv_timer_init(a->loop, &a->tick);
    (void)uv_timer_init(a->loop, &a->deadline);
    a->check.data = a->prepare.data = a->idle.data = a->tick.data = a->deadline.data = a;
    a->open_handles += 6; /* http1 is one */
    (void)uv_check_start(&a->check, on_check);
    (void)uv_prepare_start(&a->prepare, on_prepare);
    (void)uv_timer_start(&a->tick, on_tick, SOCKETS_TICK_MS, SOCKETS_TICK_MS);
    return OK;
}

static enum err open_listeners(struct api *a, const struct api_config *config, struct strbuf *error)
{
    enum err e = OK;
    for (size_t i = 0; i < config->listen_url_count && e == OK; i++) {
        e = listener_open(&a->listeners[i], a, config->listen_urls[i], error);
        if (e == OK)
            a->listener_count++;
    }
    return e;
}

static enum err start_listeners(struct api *a)
{
    enum err e = OK;
    for (size_t i = 0; i < a->listener_count && e == OK; i++)
        e = listener_start(&a->listeners[i]);
    return e;
}

static struct api *allocate(const struct api_config *config)
{
    struct api *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->listeners = calloc(config->listen_url_count + 1, sizeof(struct listener));
    if (a->listeners == NULL) {
        free(a);
        return NULL;
    }
    a->loop = config->loop;
    a->last_ready = &a->first_ready;
    a->deadline_ms = UINT64_MAX;
    return a;
}

enum err api_create(struct api **out, const struct api_config *config, struct strbuf *error)
{
    struct api *a = allocate(config);
    if (a == NULL)
        return ERR_NO_MEMORY;
    enum err e = server_init(&a->server, config->store, config->metrics, uv_now(a->loop));
    if (e != OK) {
        free(a->listeners);
        free(a);
        return e;
    }
    a->server.wake = wake;
    if (config->max_txn_ops > 0)
        a->server.max_txn_ops = config->max_txn_ops;
    if (config->max_request_size > 0)
        a->server.max_request_size = config->max_request_size;
    e = open_listeners(a, config, error);
    if (e == OK)
        e = start_handles(a);
    if (e != OK) {
        for (size_t i = 0; i < a->listener_count; i++)
            listener_close(&a->listeners[i]);
        server_stop(&a->server);
        release(a);
        return e;
    }
    e = start_listeners(a);
    if (e != OK) {
        strbuf_add_str(error, "listen-client-urls: the event loop refuses a socket\n");
        api_close(a);
        return e;
    }
    *out = a;
    return OK;
}

void api_close(struct api *a)
{
    a->server.now_ms = uv_now(a->loop);
    a->server.is_closing = true;
    while (a->clients != NULL)
        client_shut_down(a->clients);
    for (size_t i = 0; i < a->listener_count; i++)
        listener_close(&a->listeners[i]);
    server_stop(&a->server);
    uv_close((uv_handle_t *)&a->check, on_closed);
    uv_close((uv_handle_t *)&a->prepare, on_closed);
    uv_close((uv_handle_t *)&a->idle, on_closed);
    uv_close((uv_handle_t *)&a->tick, on_closed);
    uv_close((uv_handle_t *)&a->deadline, on_closed);
    http1_close(a->http1, on_http1_closed, a);
}

uint16_t api_port(const struct api *a, size_t index)
{
    return a->listeners[index].port;
}
