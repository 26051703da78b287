#include "wgctl/dry_run.h"

#include "wgctl/device.h"
#include "wgctl/route.h"

#include <time.h>

enum {
    ARENA_SIZE = 1 << 30 /* some millions of peers */
};

struct dry_run {
    const struct wgctl_dry_run *input;
    struct wgctl_routes *routes;
};

static bool routed_elsewhere(void *context, const struct ip_prefix *prefix)
{
    const struct dry_run *d = context;
    return wgctl_routes_elsewhere(d->routes, d->input->device, prefix);
}

static void routes_expected(void *context, const struct ip_prefix *prefixes, size_t count)
{
    const struct dry_run *d = context;
    wgctl_routes_expect(d->routes, d->input->device, prefixes, count);
}

static bool owned(void *context, const uint8_t *key)
{
    const struct dry_run *d = context;
    return d->input->owned != NULL && d->input->owned(d->input->context, key);
}

static void add_refusal(struct strbuf *out, const struct plan_refusal *r)
{
    char key[KEY_BASE64_SIZE];
    key_to_base64(key, r->key);
    strbuf_add_format(out, "# peer %.*s", KEY_BASE64_SIZE, key);
    if (r->prefix.addr.family != IP_NONE) {
        char prefix[IP_PREFIX_TEXT_SIZE];
        (void)ip_prefix_format(&r->prefix, prefix);
        strbuf_add_format(out, " allowed IP %s refused", prefix);
    }
    strbuf_add_format(out, ": %s\n", r->why);
}

static void add_plan(struct strbuf *out, const char *device, const struct plan *plan)
{
    for (size_t i = 0; i < plan->change_count; i++) {
        wgctl_change_format(out, device, &plan->changes[i]);
        strbuf_add_char(out, '\n');
    }
    for (size_t i = 0; i < plan->refusal_count; i++)
        add_refusal(out, &plan->refusals[i]);
}

static enum err decide(struct strbuf *out, struct dry_run *d, const struct wg_device *device)
{
    const struct wgctl_dry_run *in = d->input;
    struct plan_input input = {
        .device = device,
        .peers = in->peers,
        .peer_count = in->peer_count,
        .adopt = in->adopt,
        .now_s = time(NULL),
        .routed_elsewhere = routed_elsewhere,
        .routes_expected = routes_expected,
        .owned = owned,
        .context = d,
    };
    struct arena arena;
    struct plan plan;
    arena_init(&arena, ARENA_SIZE);
    enum err error = wgctl_plan(&plan, &input, &arena);
    if (error == OK)
        add_plan(out, in->device, &plan);
    arena_fini(&arena);
    return error == OK && out->failed ? ERR_NO_MEMORY : error;
}

enum err wgctl_dry_run(struct strbuf *out, const struct wgctl_dry_run *input, struct strbuf *why)
{
    struct dry_run d = {.input = input};
    struct wgctl *w = NULL;
    struct wg_device device;
    wg_device_init(&device);
    enum err error = wgctl_create(&w, input->socket_dir);
    if (error == OK)
        error = wgctl_routes_create(&d.routes);
    if (error == OK) {
        error = wgctl_read(w, input->device, &device);
        if (error != OK)
            strbuf_add_format(why, "cannot read device %s: %s (%s)", input->device, err_text(error),
                              wgctl_error(w));
    }
    if (error == OK)
        error = decide(out, &d, &device);
    if (error != OK && why->size == 0)
        strbuf_add_str(why, err_text(error));
    wgctl_routes_destroy(d.routes);
    wgctl_destroy(w);
    wg_device_fini(&device);
    return error;
}
