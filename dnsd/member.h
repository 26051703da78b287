/* The registry that this process runs: etcd's flags, the store, and the front door.
 *
 * A member is wanted when one of etcd's flags was given, when the Corefile names a directive that
 * needs the registry, or when warrend was started with nothing at all. It outlives instances and
 * reloads, and is closed at the end of the process, after the last instance. Main thread only. */
#ifndef WARREN_DNSD_MEMBER_H
#define WARREN_DNSD_MEMBER_H

#include "base/err.h"
#include "base/metrics.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct member;
struct store;

/* The flags' texts, NULL where neither the flag nor its WARREN_* variable was given. */
struct member_options {
    const char *name;
    const char *data_dir;
    const char *listen_client_urls;
    const char *advertise_client_urls;
    const char *listen_peer_urls;
    const char *initial_advertise_peer_urls;
    const char *initial_cluster;
    const char *initial_cluster_state;
    const char *initial_cluster_token;
    const char *quota_backend_bytes;
    const char *max_txn_ops;
    const char *max_request_bytes;
    const char *auto_compaction_mode;
    const char *auto_compaction_retention;
    const char *heartbeat_interval;
    const char *election_timeout;
};

/* One of etcd's flags. REFUSED says why a flag that we know is not taken; NULL: it is. */
struct member_flag {
    const char *name; /* without dashes */
    const char **value;
    const char *default_text; /* for the usage */
    const char *help;
    const char *refused;
};

/* The flag NAME (SIZE bytes) with its place in OPTIONS; false if etcd has no such flag. */
bool member_flag_find(struct member_options *options, const char *name, size_t size,
                      struct member_flag *out);
/* Lines for a usage text, in the form of Go's flag package. */
void member_flags_usage(struct strbuf *out);
/* Takes what the environment says for flags that were not given: --data-dir is WARREN_DATA_DIR.
 * ERR_UNSUPPORTED with a line in ERROR for a variable of a flag that is refused. */
enum err member_options_from_environment(struct member_options *options,
                                         struct strbuf *error) MUST_CHECK;
/* Whether any was given. */
bool member_options_given(const struct member_options *options);
/* Where the data lies: --data-dir, else $STATE_DIRECTORY (the first folder of several), else
 * /var/lib/warren. Valid until the next call. */
const char *member_data_dir(const struct member_options *options);

/* Checks the options, opens the store and listens for clients. ERROR gets lines for a user.
 * ERR_INVALID for options, and as store_open and api_create. OPTIONS are borrowed for ever. */
enum err member_open(struct member **out, const struct member_options *options, uv_loop_t *loop,
                     struct metrics *metrics, struct strbuf *error) MUST_CHECK;
/* Takes no more clients; the store goes on (directives end after this, and still write). */
void member_retire(struct member *m);
/* Closes everything and frees M; the loop has to run afterwards. */
void member_close(struct member *m);
struct store *member_store(struct member *m);
/* "registry NAME: data in DIR, clients at URL, ...": one line for the start. */
void member_describe(const struct member *m, struct strbuf *out);

#endif
