/* The API over the store in memory, as a process: `api-standin URL...`, for clients and floods.
 *
 * Prints the ports it listens on, one a line, and serves until SIGTERM. */
#include "fake_store.h"

#include "registry/api.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    api_close(handle->data);
    uv_signal_stop(handle);
    uv_unref((uv_handle_t *)handle);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    struct metrics *metrics;
    struct strbuf error = STRBUF_EMPTY;
    struct api *api;
    if (argc < 2 || metrics_create(&metrics) != OK)
        return 2;
    struct store *store = fake_store_create();
    const char *const *urls = (const char *const *)&argv[1];
    struct api_config config = {.loop = loop,
                                .store = store,
                                .metrics = metrics,
                                .listen_urls = urls,
                                .listen_url_count = (size_t)argc - 1};
    if (api_create(&api, &config, &error) != OK) {
        fputs(strbuf_str(&error), stderr);
        return 1;
    }
    for (size_t i = 0; i < config.listen_url_count; i++)
        printf("%u\n", api_port(api, i));
    fflush(stdout);
    uv_signal_t term;
    uv_signal_init(loop, &term);
    term.data = api;
    uv_signal_start(&term, on_signal, SIGTERM);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&term, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    fake_store_destroy(store);
    metrics_destroy(metrics);
    strbuf_fini(&error);
    return uv_loop_close(loop) == 0 ? 0 : 3;
}
