/* etcdserverpb.Watch: a stream of many watchers (watch.c). */
#ifndef WARREN_REGISTRY_API_WATCH_H
#define WARREN_REGISTRY_API_WATCH_H

#include "base/err.h"

#include <stdbool.h>

enum {
    WATCH_MAX_PER_STREAM = 65536,
    /* etcd's --max-request-bytes and the slack it gives gRPC: a `fragment` watcher gets responses
     * below it wherever events can be split. */
    WATCH_FRAGMENT_SIZE = 2 << 20,
};

struct server;

enum err watch_server_init(struct server *s) MUST_CHECK;
/* The store is not called any more; there are no streams. */
void watch_server_fini(struct server *s);
/* Progress notices that are due; streams that wanted a leader and have none. */
void watch_server_tick(struct server *s, bool has_leader);

#endif
