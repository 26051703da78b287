/* prometheus: counts queries of the blocks that name it and exposes everything at /metrics.
 *
 * All addresses expose the same registry. A handler stands early in the chain, so that what it
 * measures is the whole of the later handlers' work. */
#include "dnsd/directive/prometheus.h"

#include "base/log.h"
#include "dnsd/directive/health.h"
#include "dnsd/directive/process_metrics.h"
#include "dnsd/directive/reload.h"
#include "dnsd/directive/reply.h"
#include "dnsd/directive/report.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"
#include "dnsd/http.h"
#include "dnsd/server.h"

#include <stdlib.h>
#include <string.h>

static const char name[] = "prometheus";
static const char path[] = "/metrics";

struct address {
    struct address *next;
    const char *text;
};

struct measured_site {
    struct measured_site *next;
    const struct site *site; /* the block's first */
};

/* One per instance that names the directive; in the instance's arena, so that it outlives the
 * server that scrapes it. */
struct prometheus {
    struct instance *instance;
    struct prometheus *previous; /* of the instance being replaced, until this one serves */
    struct metrics *metrics;
    struct report_families families;
    struct report_table dropped;
    struct process_metrics process;
    pthread_mutex_t process_lock; /* addresses have a thread each */
    struct metric_family *plugin_enabled;
    struct address *addresses;
    struct measured_site *sites;
    bool has_started;
    bool has_stopped;
};

/* --- queries --------------------------------------------------------------------------------- */

struct prometheus_handler {
    struct handler base;
    struct report_table table;
    struct zone_list zones;
};

struct recorder {
    struct response_writer base;
    int rcode;
    size_t size;
};

static void record_write(struct response_writer *self, struct query *q, struct dns_message *reply)
{
    struct recorder *r = (struct recorder *)self;
    r->rcode = reply->rcode;
    r->size += dns_message_size(reply);
    r->base.outer->write(r->base.outer, q, reply);
}

static int prometheus_serve(struct handler *self, struct query *q)
{
    struct prometheus_handler *h = (struct prometheus_handler *)self;
    struct recorder r = {.base = {.write = record_write, .outer = q->writer}};
    int64_t start_ns = monotonic_ns();
    q->writer = &r.base;
    int rcode = handler_next(self, q);
    q->writer = r.base.outer;
    /* A zone of the block: the server came here by one, or by the root. */
    size_t zone = h->zones.count == 1 ? 0 : zone_list_match(&h->zones, dns_name_of(&q->name));
    /* Without a reply of its own the RCODE becomes the reply's. */
    report_query(&h->table, q, zone < h->zones.count ? h->zones.texts[zone] : ".",
                 rcode_client_write(rcode) ? r.rcode : rcode, q->plugin, r.size,
                 monotonic_ns() - start_ns);
    return rcode;
}

static void prometheus_destroy(struct handler *self)
{
    struct prometheus_handler *h = (struct prometheus_handler *)self;
    report_table_fini(&h->table);
    free(h);
}

void prometheus_report_dropped(struct query *q, int rcode)
{
    static const char dropped[] = "dropped"; /* without a final dot it is no zone's name */
    static const char nobody[] = "";
    if (q->listener == NULL || q->listener->site_count == 0)
        return;
    struct prometheus *p = instance_slot(q->listener->sites[0]->instance, name);
    if (p == NULL)
        return;
    struct dns_message reply;
    dns_reply_init_rcode(&reply, &q->request.message, rcode);
    reply.edns = q->request.message.edns;
    report_query(&p->dropped, q, dropped, rcode, nobody, dns_message_size(&reply), 0);
}

/* --- exposition ------------------------------------------------------------------------------ */

static void respond(void *context, struct http_response *response)
{
    struct prometheus *p = context;
    pthread_mutex_lock(&p->process_lock);
    process_metrics_update(&p->process);
    pthread_mutex_unlock(&p->process_lock);
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_expose(p->metrics, &response->body);
}

static enum err enable_plugins(const struct prometheus *p, const struct site *site,
                               const char *host)
{
    struct strbuf server = STRBUF_EMPTY;
    strbuf_add_format(&server, "%s://", transport_name(site->transport));
    host_port_join(&server, host, site->port);
    enum err err = server.failed ? ERR_NO_MEMORY : OK;
    for (size_t i = 0; err == OK && i < site->handler_count; i++) {
        const char *values[] = {strbuf_str(&server), site->zone, "", site->handlers[i]->name};
        struct metric_series *s = metric_series(p->plugin_enabled, values);
        if (s != NULL)
            metric_set(s, 1);
        else
            err = ERR_NO_MEMORY;
    }
    strbuf_fini(&server);
    return err;
}

/* Makes coredns_plugin_enabled say what this instance has. */
static enum err publish_plugins(const struct prometheus *p)
{
    enum err err = OK;
    metric_family_clear(p->plugin_enabled);
    for (const struct measured_site *m = p->sites; m != NULL; m = m->next)
        for (size_t i = 0; err == OK && i < m->site->listen_host_count; i++)
            err = enable_plugins(p, m->site, m->site->listen_hosts[i]);
    return err;
}

/* --- start and stop -------------------------------------------------------------------------- */

static enum err prometheus_start(void *context, struct instance *inst, struct strbuf *error UNUSED)
{
    struct prometheus *p = context;
    struct instance *previous = instance_previous(inst);
    for (const struct address *a = p->addresses; a != NULL; a = a->next) {
        struct strbuf why = STRBUF_EMPTY;
        enum err err = http_open(inst, a->text, NULL, &why);
        if (err != OK) /* DNS goes on without metrics, as in CoreDNS */
            log_plugin(LOG_ERROR, name, "Failed to start metrics handler: %s",
                       why.size > 0 ? strbuf_str(&why) : err_text(err));
        strbuf_fini(&why);
    }
    p->previous = previous != NULL ? instance_slot(previous, name) : NULL;
    p->has_started = true;
    return publish_plugins(p);
}

static void prometheus_stop(void *context, struct instance *inst, bool restarting UNUSED)
{
    struct prometheus *p = context;
    p->has_stopped = true;
    http_route_remove(inst, path, p);
}

/* The slot's end. An instance that ends without having been stopped never came to serve; then the
 * previous one goes on, and its plugins are the ones enabled. */
static void prometheus_end(void *value)
{
    struct prometheus *p = value;
    if (p->has_started && !p->has_stopped) {
        if (p->previous != NULL)
            (void)publish_plugins(p->previous);
        else
            metric_family_clear(p->plugin_enabled);
    }
    report_table_fini(&p->dropped);
}

/* --- setup ----------------------------------------------------------------------------------- */

/* Series that are there from the start, whatever the Corefile names. CoreDNS's panics_total stays
 * 0: a bug of ours ends the process. */
static enum err init_fixed_series(struct metrics *m)
{
    static const char *const labels[] = {"version", "revision", "goversion"};
    static const char *const values[] = {WARREN_VERSION, "", ""};
    struct metric_family *build = metrics_family(
        m, METRIC_GAUGE, "coredns_build_info",
        "A metric with a constant '1' value labeled by version, revision, and goversion from which "
        "CoreDNS was built.",
        labels, ARRAY_COUNT(labels), NULL, 0);
    struct metric_series *panics = metrics_single(m, METRIC_COUNTER, "coredns_panics_total",
                                                  "A metrics that counts the number of panics.");
    struct health_metrics health;
    struct metric_series *reload_failed;
    if (build == NULL || panics == NULL)
        return ERR_NO_MEMORY;
    struct metric_series *info = metric_series(build, values);
    if (info == NULL)
        return ERR_NO_MEMORY;
    metric_set(info, 1);
    enum err err = health_metrics_init(&health, m);
    return err == OK ? reload_metrics_init(&reload_failed, m) : err;
}

static enum err init_families(struct prometheus *p)
{
    static const char *const labels[] = {"server", "zone", "view", "name"};
    p->plugin_enabled = metrics_family(
        p->metrics, METRIC_GAUGE, "coredns_plugin_enabled",
        "A metric that indicates whether a plugin is enabled on per server and zone basis.", labels,
        ARRAY_COUNT(labels), NULL, 0);
    if (p->plugin_enabled == NULL)
        return ERR_NO_MEMORY;
    enum err err = init_fixed_series(p->metrics);
    if (err == OK)
        err = process_metrics_init(&p->process, p->metrics);
    if (err == OK)
        err = report_families_init(&p->families, p->metrics);
    return err;
}

static enum err prometheus_create(struct prometheus **out, struct setup *s)
{
    struct prometheus *p = arena_alloc(s->arena, sizeof(*p));
    if (p == NULL)
        return ERR_NO_MEMORY;
    *p = (struct prometheus){.instance = s->instance, .metrics = instance_metrics(s->instance)};
    enum err err = init_families(p);
    if (err == OK)
        err = instance_on_start(s->instance, prometheus_start, p);
    if (err == OK)
        err = instance_on_stop(s->instance, prometheus_stop, p);
    if (err == OK)
        err = instance_set_slot(s->instance, name, p, prometheus_end);
    if (err != OK)
        return err;
    pthread_mutex_init(&p->process_lock, NULL);
    report_table_init(&p->dropped, &p->families);
    *out = p;
    return OK;
}

static enum err add_address(struct prometheus *p, struct setup *s, const char *text)
{
    struct address **at = &p->addresses;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->text, text) == 0)
            return OK;
    struct address *a = arena_alloc(s->arena, sizeof(*a));
    if (a == NULL)
        return ERR_NO_MEMORY;
    *a = (struct address){.text = text};
    *at = a;
    return http_route_add(s->instance, text, path, respond, p);
}

static enum err add_site(struct prometheus *p, struct setup *s, const char *address)
{
    struct measured_site *m = arena_alloc(s->arena, sizeof(*m));
    if (m == NULL)
        return ERR_NO_MEMORY;
    *m = (struct measured_site){.site = s->site, .next = p->sites};
    p->sites = m;
    return add_address(p, s, address);
}

static enum err make_handler(const struct prometheus *p, struct setup *s)
{
    struct zone_list zones;
    const char **texts;
    size_t count;
    enum err err = zone_origins(NULL, 0, s->keys, s->key_count, s->arena, &texts, &count);
    if (err == OK)
        err = zone_list_init(&zones, s->arena, (const char *const *)texts, count);
    if (err != OK)
        return err;
    struct prometheus_handler *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return ERR_NO_MEMORY;
    h->base =
        (struct handler){.name = name, .serve = prometheus_serve, .destroy = prometheus_destroy};
    h->zones = zones;
    report_table_init(&h->table, &p->families);
    err = setup_take_handler(s, &h->base);
    if (err != OK)
        prometheus_destroy(&h->base);
    return err;
}

static enum err parse(struct setup *s, const char **address, struct strbuf *why)
{
    for (size_t line = 0; core_next(&s->cursor); line++) {
        struct setup_args args;
        const char *host, *port;
        size_t host_size;
        if (line > 0)
            return setup_once_error(why);
        enum err err = setup_args_read(s, &args);
        if (err != OK)
            return err;
        if (args.count > 1)
            return core_arg_error(&s->cursor, why);
        if (args.count == 0)
            continue;
        err = host_port_split(args.items[0], &host, &host_size, &port, why);
        if (err != OK)
            return err;
        *address = args.items[0];
    }
    return OK;
}

enum err directive_prometheus_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    const char *address = "localhost:9153";
    struct prometheus *p = instance_slot(s->instance, name);
    enum err err = parse(s, &address, &why);
    if (err == OK && p == NULL)
        err = prometheus_create(&p, s);
    if (err == OK)
        err = add_site(p, s, address);
    if (err == OK)
        err = make_handler(p, s);
    return err == OK ? OK : setup_fail(s, name, err, &why);
}
