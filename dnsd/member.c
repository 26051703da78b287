#include "dnsd/member.h"

#include "base/log.h"
#include "registry/api.h"
#include "registry/store.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBER_MAX_URLS = 16,
    MEMBER_MAX_NAME_SIZE = 255,
    DEFAULT_HEARTBEAT_MS = 100,
    DEFAULT_ELECTION_MS = 1000,
    MAX_ELECTION_MS = 50000, /* etcd's bound */
};

#define DEFAULT_DATA_DIR    "/var/lib/warren"
#define DEFAULT_CLIENT_URL  "http://127.0.0.1:2379"
#define DEFAULT_PEER_URL    "http://127.0.0.1:2380"
#define DEFAULT_RETENTION_S (24 * 3600)

struct member {
    const struct member_options *options;
    struct store *store;
    struct api *api;
    const char *name;
    const char *listen[MEMBER_MAX_URLS];
    size_t listen_count;
    const char *client[MEMBER_MAX_URLS];
    size_t client_count;
    char *taken[MEMBER_MAX_URLS]; /* owned; what is listened on, with the ports that it got */
    const char *peer[MEMBER_MAX_URLS];
    size_t peer_count;
    char *texts[4]; /* owned copies, cut at the commas */
    size_t text_count;
    uint64_t election_timeout_ms;
    uint64_t heartbeat_interval_ms;
    uint64_t quota_size;
    uint64_t max_txn_ops;
    uint64_t max_request_size;
    int64_t retention_s;
    int64_t retention_revisions;
};

/* --- flags ------------------------------------------------------------------------------------ */

#define AT(field) offsetof(struct member_options, field)

static const struct flag_row {
    const char *name;
    size_t offset;
    const char *default_text;
    const char *help;
} flag_rows[] = {
    {"name", AT(name), "default", "Name of this member"},
    {"data-dir", AT(data_dir), "$STATE_DIRECTORY, else " DEFAULT_DATA_DIR,
     "Where the registry's data lies"},
    {"listen-client-urls", AT(listen_client_urls), DEFAULT_CLIENT_URL,
     "Where etcd clients are answered (comma-separated)"},
    {"advertise-client-urls", AT(advertise_client_urls), "--listen-client-urls",
     "What the member list tells clients"},
    {"listen-peer-urls", AT(listen_peer_urls), DEFAULT_PEER_URL,
     "Where other members will be answered; checked only, so far"},
    {"initial-advertise-peer-urls", AT(initial_advertise_peer_urls), DEFAULT_PEER_URL,
     "What the member list tells other members"},
    {"initial-cluster", AT(initial_cluster), "NAME=PEER-URL of this member",
     "The members of a new cluster; one, so far"},
    {"initial-cluster-state", AT(initial_cluster_state), "new", "new, or existing (data is there)"},
    {"initial-cluster-token", AT(initial_cluster_token), "etcd-cluster",
     "Tells clusters apart that have the same addresses"},
    {"quota-backend-bytes", AT(quota_backend_bytes), "0, which is 2 GiB",
     "Size of the data above which writes are refused"},
    {"max-txn-ops", AT(max_txn_ops), "128", "Operations that a transaction may have"},
    {"max-request-bytes", AT(max_request_bytes), "1572864",
     "Size of the largest request of a client"},
    {"auto-compaction-mode", AT(auto_compaction_mode), "periodic", "periodic or revision"},
    {"auto-compaction-retention", AT(auto_compaction_retention), "24h",
     "History kept: hours or a duration, or revisions; 0 keeps all"},
    {"heartbeat-interval", AT(heartbeat_interval), "100", "In milliseconds"},
    {"election-timeout", AT(election_timeout), "1000",
     "In milliseconds; the least TTL of a lease is 1.5 times as much"},
};

#define NO_TLS   "TLS is not there yet"
#define NO_AUTH  "users and authentication are not there yet"
#define NO_PEERS "a registry of several members is not there yet"

static const struct {
    const char *name;
    const char *why;
} refused_rows[] = {
    {"cert-file", NO_TLS},
    {"key-file", NO_TLS},
    {"client-cert-auth", NO_TLS},
    {"client-crl-file", NO_TLS},
    {"client-cert-allowed-hostname", NO_TLS},
    {"trusted-ca-file", NO_TLS},
    {"auto-tls", NO_TLS},
    {"cipher-suites", NO_TLS},
    {"peer-cert-file", "members speak Noise, not TLS"},
    {"peer-key-file", "members speak Noise, not TLS"},
    {"peer-client-cert-auth", "members speak Noise, not TLS"},
    {"peer-trusted-ca-file", "members speak Noise, not TLS"},
    {"peer-auto-tls", "members speak Noise, not TLS"},
    {"auth-token", NO_AUTH},
    {"auth-token-ttl", NO_AUTH},
    {"bcrypt-cost", NO_AUTH},
    {"force-new-cluster", NO_PEERS},
    {"strict-reconfig-check", NO_PEERS},
    {"pre-vote", NO_PEERS},
    {"snapshot-count", "the log is cut by itself"},
    {"max-snapshots", "there are no snapshot files"},
    {"max-wals", "there are no WAL files but SQLite's"},
    {"wal-dir", "log and data are one SQLite file, --data-dir"},
    {"discovery", "there is no discovery service, use --initial-cluster"},
    {"discovery-srv", "there is no discovery service, use --initial-cluster"},
    {"discovery-fallback", "there is no proxy mode"},
    {"proxy", "there is no proxy mode"},
    {"enable-v2", "API version 2 is not there"},
    {"listen-metrics-urls", "/metrics is at --listen-client-urls, and where `prometheus` says"},
    {"metrics", "there is one set of metrics"},
    {"enable-pprof", "there is no Go in here"},
    {"cors", "the JSON gateway is not there yet"},
    {"host-whitelist", "the JSON gateway is not there yet"},
    {"enable-grpc-gateway", "the JSON gateway is not there yet"},
    {"config-file", "use flags, WARREN_* variables and the Corefile"},
    {"logger", "log lines go to standard output"},
    {"log-level", "use the directive `debug`"},
    {"log-outputs", "log lines go to standard output"},
};

static const char **field_of(struct member_options *options, size_t offset)
{
    return (const char **)(void *)((char *)options + offset);
}

bool member_flag_find(struct member_options *options, const char *name, size_t size,
                      struct member_flag *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(flag_rows); i++) {
        const struct flag_row *row = &flag_rows[i];
        if (strlen(row->name) != size || memcmp(row->name, name, size) != 0)
            continue;
        *out = (struct member_flag){
            .name = row->name,
            .value = field_of(options, row->offset),
            .default_text = row->default_text,
            .help = row->help,
        };
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(refused_rows); i++) {
        if (strlen(refused_rows[i].name) != size || memcmp(refused_rows[i].name, name, size) != 0)
            continue;
        *out = (struct member_flag){.name = refused_rows[i].name, .refused = refused_rows[i].why};
        return true;
    }
    return false;
}

void member_flags_usage(struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(flag_rows); i++)
        strbuf_add_format(out, "  -%s string\n    \t%s (default %s)\n", flag_rows[i].name,
                          flag_rows[i].help, flag_rows[i].default_text);
}

/* "data-dir" as "WARREN_DATA_DIR". */
static const char *from_environment(const char *flag)
{
    char name[64] = "WARREN_";
    size_t at = strlen(name);
    for (const char *c = flag; *c != '\0' && at + 1 < sizeof(name); c++)
        name[at++] = *c == '-' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    name[at] = '\0';
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL; /* empty is unset, as in etcd */
}

enum err member_options_from_environment(struct member_options *options, struct strbuf *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(flag_rows); i++) {
        const char **value = field_of(options, flag_rows[i].offset);
        if (*value == NULL)
            *value = from_environment(flag_rows[i].name);
    }
    for (size_t i = 0; i < ARRAY_COUNT(refused_rows); i++) {
        if (from_environment(refused_rows[i].name) == NULL)
            continue;
        strbuf_add_format(error, "warrend: --%s, set in the environment, is not supported: %s",
                          refused_rows[i].name, refused_rows[i].why);
        return ERR_UNSUPPORTED;
    }
    return OK;
}

bool member_options_given(const struct member_options *options)
{
    struct member_options given = *options;
    for (size_t i = 0; i < ARRAY_COUNT(flag_rows); i++)
        if (*field_of(&given, flag_rows[i].offset) != NULL)
            return true;
    return false;
}

/* --- options to values ------------------------------------------------------------------------ */

/* A list of http://HOST:PORT; ALLOW_ANY: the host may be a wildcard (to listen). */
static enum err check_url(const char *flag, const char *url, struct strbuf *error)
{
    static const char scheme[] = "http://";
    if (strncmp(url, "https://", 8) == 0) {
        strbuf_add_format(error, "warrend: --%s: %s: TLS is not there yet, use http://", flag, url);
        return ERR_UNSUPPORTED;
    }
    if (strncmp(url, "unix://", 7) == 0 || strncmp(url, "unixs://", 8) == 0) {
        strbuf_add_format(error, "warrend: --%s: %s: sockets of the file system are not there yet",
                          flag, url);
        return ERR_UNSUPPORTED;
    }
    const char *rest = url + sizeof(scheme) - 1;
    const char *colon = strrchr(url, ':');
    bool ok = strncmp(url, scheme, sizeof(scheme) - 1) == 0 && colon > rest && colon[1] != '\0' &&
              (rest[0] == '[' ? colon[-1] == ']' : strchr(rest, ':') == colon) &&
              strspn(colon + 1, "0123456789") == strlen(colon + 1) && strlen(colon + 1) <= 5 &&
              strtoul(colon + 1, NULL, 10) <= 65535 && strchr(rest, '/') == NULL;
    if (ok)
        return OK;
    strbuf_add_format(error, "warrend: --%s: \"%s\" is not of the form http://HOST:PORT", flag,
                      url);
    return ERR_INVALID;
}

static enum err split_urls(struct member *m, const char *flag, const char *text, const char **list,
                           size_t *count, struct strbuf *error)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    m->texts[m->text_count++] = copy;
    *count = 0;
    char *rest = copy;
    for (char *url = strsep(&rest, ","); url != NULL; url = strsep(&rest, ",")) {
        enum err e = check_url(flag, url, error);
        if (e != OK)
            return e;
        if (*count == MEMBER_MAX_URLS) {
            strbuf_add_format(error, "warrend: --%s: more than %d URLs", flag, MEMBER_MAX_URLS);
            return ERR_LIMIT;
        }
        list[(*count)++] = url;
    }
    return OK;
}

/* Nobody can connect to port 0, and which one is meant only who listens knows. */
static enum err check_advertised(const char *flag, const char *const *urls, size_t count,
                                 struct strbuf *error)
{
    for (size_t i = 0; i < count; i++) {
        if (strtoul(strrchr(urls[i], ':') + 1, NULL, 10) != 0)
            continue;
        strbuf_add_format(error, "warrend: --%s: %s: port 0 cannot be told to others; %s", flag,
                          urls[i],
                          strcmp(flag, "advertise-client-urls") == 0
                              ? "name one, or leave the flag out to tell the one that "
                                "--listen-client-urls gets"
                              : "name one");
        return ERR_INVALID;
    }
    return OK;
}

static enum err parse_number(const char *flag, const char *text, uint64_t min, uint64_t max,
                             uint64_t *out, struct strbuf *error)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min ||
        value > max) {
        strbuf_add_format(error, "warrend: --%s: \"%s\" is not a number from %llu to %llu", flag,
                          text, (unsigned long long)min, (unsigned long long)max);
        return ERR_INVALID;
    }
    *out = value;
    return OK;
}

static enum err parse_times(struct member *m, struct strbuf *error)
{
    const struct member_options *o = m->options;
    m->heartbeat_interval_ms = DEFAULT_HEARTBEAT_MS;
    m->election_timeout_ms = DEFAULT_ELECTION_MS;
    enum err e = OK;
    if (o->heartbeat_interval != NULL)
        e = parse_number("heartbeat-interval", o->heartbeat_interval, 1, MAX_ELECTION_MS,
                         &m->heartbeat_interval_ms, error);
    if (e == OK && o->election_timeout != NULL)
        e = parse_number("election-timeout", o->election_timeout, 1, MAX_ELECTION_MS,
                         &m->election_timeout_ms, error);
    if (e == OK && 5 * m->heartbeat_interval_ms > m->election_timeout_ms) {
        strbuf_add_format(error,
                          "warrend: --election-timeout[%llums] should be at least as 5 times as "
                          "--heartbeat-interval[%llums]",
                          (unsigned long long)m->election_timeout_ms,
                          (unsigned long long)m->heartbeat_interval_ms);
        e = ERR_INVALID;
    }
    return e;
}

/* Seconds of "24", which are hours, or of Go's "1h30m", "90s". */
static bool parse_retention(const char *text, int64_t *seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'h', 3600}, {'m', 60}, {'s', 1}};
    int64_t total = 0;
    const char *at = text;
    if (*at == '\0')
        return false;
    while (*at != '\0') {
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 9)
            return false;
        int64_t number = strtoll(at, NULL, 10);
        at += digits;
        if (*at == '\0' && at - digits == text) {
            *seconds = number * 3600;
            return true;
        }
        size_t i = 0;
        while (i < ARRAY_COUNT(units) && units[i].unit != *at)
            i++;
        if (i == ARRAY_COUNT(units))
            return false;
        total += number * units[i].seconds;
        at++;
    }
    *seconds = total;
    return true;
}

static enum err parse_compaction(struct member *m, struct strbuf *error)
{
    const struct member_options *o = m->options;
    const char *mode = o->auto_compaction_mode != NULL ? o->auto_compaction_mode : "periodic";
    const char *retention = o->auto_compaction_retention;
    bool by_revision = strcmp(mode, "revision") == 0;
    if (!by_revision && strcmp(mode, "periodic") != 0) {
        strbuf_add_format(error,
                          "warrend: --auto-compaction-mode: \"%s\" is neither periodic nor "
                          "revision",
                          mode);
        return ERR_INVALID;
    }
    m->retention_s = by_revision ? 0 : DEFAULT_RETENTION_S;
    if (retention == NULL)
        return OK;
    if (by_revision) {
        uint64_t revisions = 0;
        enum err e =
            parse_number("auto-compaction-retention", retention, 0, INT64_MAX, &revisions, error);
        m->retention_revisions = (int64_t)revisions;
        return e;
    }
    if (!parse_retention(retention, &m->retention_s)) {
        strbuf_add_format(error,
                          "warrend: --auto-compaction-retention: \"%s\" is neither hours nor "
                          "a duration such as 90m",
                          retention);
        return ERR_INVALID;
    }
    return OK;
}

/* --initial-cluster n1=http://a:1,n1=http://b:2: this member alone, with the URLs it advertises. */
static enum err check_cluster(struct member *m, struct strbuf *error)
{
    const struct member_options *o = m->options;
    const char *state = o->initial_cluster_state;
    if (state != NULL && strcmp(state, "new") != 0 && strcmp(state, "existing") != 0) {
        strbuf_add_format(error,
                          "warrend: --initial-cluster-state: \"%s\" is neither new nor "
                          "existing",
                          state);
        return ERR_INVALID;
    }
    if (o->initial_cluster == NULL)
        return OK;
    size_t name_size = strlen(m->name);
    size_t found = 0;
    for (const char *at = o->initial_cluster; *at != '\0';) {
        size_t size = strcspn(at, ",");
        const char *equals = memchr(at, '=', size);
        if (equals == NULL) {
            strbuf_add_format(error, "warrend: --initial-cluster: \"%.*s\" is not NAME=URL",
                              (int)size, at);
            return ERR_INVALID;
        }
        if ((size_t)(equals - at) != name_size || memcmp(at, m->name, name_size) != 0) {
            strbuf_add_format(error,
                              "warrend: --initial-cluster names the member \"%.*s\": " NO_PEERS
                              ", only this one (--name %s) can be in it",
                              (int)(equals - at), at, m->name);
            return ERR_UNSUPPORTED;
        }
        size_t url_size = size - name_size - 1;
        size_t i = 0;
        while (i < m->peer_count &&
               (strlen(m->peer[i]) != url_size || memcmp(m->peer[i], equals + 1, url_size) != 0))
            i++;
        if (i == m->peer_count) {
            strbuf_add_format(error,
                              "warrend: --initial-cluster has %.*s but missing from "
                              "--initial-advertise-peer-urls",
                              (int)size, at);
            return ERR_INVALID;
        }
        found++;
        at += size + (at[size] == ',');
    }
    if (found > 0)
        return OK;
    strbuf_add_format(error,
                      "warrend: couldn't find local name \"%s\" in the initial cluster "
                      "configuration",
                      m->name);
    return ERR_INVALID;
}

static enum err read_options(struct member *m, struct strbuf *error)
{
    const struct member_options *o = m->options;
    m->name = o->name != NULL ? o->name : "default";
    if (m->name[0] == '\0' || strlen(m->name) > MEMBER_MAX_NAME_SIZE) {
        strbuf_add_format(error, "warrend: --name: 1 to %d characters are needed",
                          MEMBER_MAX_NAME_SIZE);
        return ERR_INVALID;
    }
    const char *listen = o->listen_client_urls != NULL ? o->listen_client_urls : DEFAULT_CLIENT_URL;
    const char *client = o->advertise_client_urls != NULL ? o->advertise_client_urls : listen;
    const char *peer =
        o->initial_advertise_peer_urls != NULL ? o->initial_advertise_peer_urls : DEFAULT_PEER_URL;
    const char *unused[MEMBER_MAX_URLS];
    size_t unused_count;
    enum err e = split_urls(m, "listen-client-urls", listen, m->listen, &m->listen_count, error);
    if (e == OK)
        e = split_urls(m, "advertise-client-urls", client, m->client, &m->client_count, error);
    if (e == OK && o->advertise_client_urls != NULL)
        e = check_advertised("advertise-client-urls", m->client, m->client_count, error);
    if (e == OK)
        e = split_urls(m, "initial-advertise-peer-urls", peer, m->peer, &m->peer_count, error);
    if (e == OK)
        e = check_advertised("initial-advertise-peer-urls", m->peer, m->peer_count, error);
    if (e == OK && o->listen_peer_urls != NULL)
        e = split_urls(m, "listen-peer-urls", o->listen_peer_urls, unused, &unused_count, error);
    if (e == OK)
        e = check_cluster(m, error);
    if (e == OK)
        e = parse_times(m, error);
    if (e == OK)
        e = parse_compaction(m, error);
    if (e == OK && o->quota_backend_bytes != NULL)
        e = parse_number("quota-backend-bytes", o->quota_backend_bytes, 0, INT64_MAX,
                         &m->quota_size, error);
    if (e == OK && o->max_txn_ops != NULL)
        e = parse_number("max-txn-ops", o->max_txn_ops, 1, KV_TXN_OPS_LIMIT, &m->max_txn_ops,
                         error);
    if (e == OK && o->max_request_bytes != NULL)
        e = parse_number("max-request-bytes", o->max_request_bytes, 1, KV_REQUEST_SIZE_LIMIT,
                         &m->max_request_size, error);
    return e;
}

/* --- life ------------------------------------------------------------------------------------- */

const char *member_data_dir(const struct member_options *options)
{
    if (options->data_dir != NULL && options->data_dir[0] != '\0')
        return options->data_dir;
    /* systemd.exec(5): with several names in StateDirectory= their paths are joined with colons.
     * One byte more than a path may have, so that what is cut off here is refused as too long. */
    static char first[PATH_MAX + 1];
    const char *state = getenv("STATE_DIRECTORY");
    size_t size = state != NULL ? strcspn(state, ":") : 0;
    if (size == 0)
        return DEFAULT_DATA_DIR;
    (void)snprintf(first, sizeof(first), "%.*s", (int)(size < PATH_MAX ? size : PATH_MAX), state);
    return first;
}

/* The store and the API say lines; who prints or logs ERROR ends the last one. */
static void drop_last_newline(struct strbuf *error)
{
    if (error->size > 0 && error->data[error->size - 1] == '\n')
        error->data[--error->size] = '\0';
}

/* The URLs that are listened on, a port 0 as what the kernel gave for it; they are what is
 * advertised where nothing else was said. */
static enum err take_ports(struct member *m)
{
    for (size_t i = 0; i < m->listen_count; i++) {
        const char *url = m->listen[i];
        int size = (int)(strrchr(url, ':') - url);
        if (asprintf(&m->taken[i], "%.*s:%u", size, url, (unsigned)api_port(m->api, i)) < 0) {
            m->taken[i] = NULL;
            return ERR_NO_MEMORY;
        }
    }
    if (m->options->advertise_client_urls != NULL)
        return OK;
    return store_set_client_urls(m->store, (const char *const *)m->taken, m->listen_count);
}

enum err member_open(struct member **out, const struct member_options *options, uv_loop_t *loop,
                     struct metrics *metrics, struct strbuf *error)
{
    struct member *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NO_MEMORY;
    m->options = options;
    enum err e = read_options(m, error);
    struct store_config store = {
        .loop = loop,
        .metrics = metrics,
        .data_dir = member_data_dir(options),
        .name = m->name,
        .peer_urls = m->peer,
        .peer_url_count = m->peer_count,
        .client_urls = m->client,
        .client_url_count = m->client_count,
        .cluster_token = options->initial_cluster_token,
        .quota_size = m->quota_size,
        .compaction_retention_s = m->retention_s,
        .compaction_revisions = m->retention_revisions,
        .election_timeout_ms = m->election_timeout_ms,
        .heartbeat_interval_ms = m->heartbeat_interval_ms,
        .must_exist = options->initial_cluster_state != NULL &&
                      strcmp(options->initial_cluster_state, "existing") == 0,
    };
    if (e == OK)
        e = store_open(&m->store, &store, error);
    struct api_config api = {
        .loop = loop,
        .store = m->store,
        .metrics = metrics,
        .listen_urls = m->listen,
        .listen_url_count = m->listen_count,
        .max_txn_ops = (size_t)m->max_txn_ops,
        .max_request_size = (size_t)m->max_request_size,
    };
    if (e == OK)
        e = api_create(&m->api, &api, error);
    if (e == OK)
        e = take_ports(m);
    if (e != OK) {
        if (error->size == 0)
            strbuf_add_format(error, "warrend: registry: %s", err_text(e));
        drop_last_newline(error);
        member_close(m);
        return e;
    }
    *out = m;
    return OK;
}

void member_retire(struct member *m)
{
    if (m->api != NULL)
        api_close(m->api);
    m->api = NULL;
}

void member_close(struct member *m)
{
    member_retire(m);
    if (m->store != NULL)
        store_close(m->store);
    for (size_t i = 0; i < m->text_count; i++)
        free(m->texts[i]);
    for (size_t i = 0; i < m->listen_count; i++)
        free(m->taken[i]);
    free(m);
}

struct store *member_store(struct member *m)
{
    return m->store;
}

void member_describe(const struct member *m, struct strbuf *out)
{
    strbuf_add_format(out, "registry %s in %s, clients at", m->name, member_data_dir(m->options));
    for (size_t i = 0; i < m->listen_count; i++)
        strbuf_add_format(out, "%s %s", i > 0 ? "," : "", m->taken[i]);
    strbuf_add_char(out, '\n');
}
