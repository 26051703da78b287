/* Server-block keys and zone arguments: "dns://example.org:1053", "10.0.0.0/23:53", "." ...
 *
 * Follows CoreDNS 1.11.1: the scheme picks the default port, a CIDR becomes its reverse zones split
 * on octet (IPv4) or nibble (IPv6) boundaries. */
#ifndef WARREN_DNSD_ZONE_KEY_H
#define WARREN_DNSD_ZONE_KEY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stddef.h>

enum transport {
    TRANSPORT_DNS,
    TRANSPORT_TLS,
    TRANSPORT_QUIC,
    TRANSPORT_GRPC,
    TRANSPORT_HTTPS,
};

/* "dns", "tls", ... */
const char *transport_name(enum transport t);

struct zone_key {
    const char *zone; /* fully qualified presentation text; case is kept, as CoreDNS 1.11.1 does */
    const char *port; /* text as CoreDNS keeps it; never empty */
    enum transport transport;
};

/* One key may stand for several zones (a CIDR: at most 128). DEFAULT_PORT is -dns.port's value for
 * plain DNS. On failure ERROR holds CoreDNS's text; ERR_UNSUPPORTED for "unix://", which CoreDNS
 * takes and never listens for. */
enum err zone_key_parse(const char *key, const char *default_port, struct arena *arena,
                        struct zone_key **out, size_t *count, struct strbuf *error) MUST_CHECK;

/* A directive's zone argument (plugin.Host.NormalizeExact without a port): one or several zones, or
 * none for text that is no name (CoreDNS then ignores or rejects it, per directive). */
enum err zone_arg_normalize(const char *text, struct arena *arena, const char ***zones,
                            size_t *count) MUST_CHECK;

/* plugin.OriginsFromArgsOrServerBlock: ARGS if there are any, else the block's keys, normalised. */
enum err zone_origins(const char *const *args, size_t arg_count, const char *const *keys,
                      size_t key_count, struct arena *arena, const char ***zones,
                      size_t *count) MUST_CHECK;

#endif
