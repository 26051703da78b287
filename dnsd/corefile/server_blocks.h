/* The keys of all server blocks as zones to serve, and CoreDNS's checks of them.
 *
 * CoreDNS does this in two steps, with the directives' setup in between: it reads the keys
 * (InspectServerBlocks), and once `bind` has said which addresses a block listens on, it refuses
 * zones that two blocks would serve on one listener (MakeServers). Setup of a directive runs once
 * per block, for its first zone; all zones of the block share the handlers. */
#ifndef WARREN_DNSD_SERVER_BLOCKS_H
#define WARREN_DNSD_SERVER_BLOCKS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "dnsd/corefile/corefile.h"
#include "dnsd/corefile/zone_key.h"

#include <stddef.h>
#include <stdint.h>

/* One zone of one server block. A key that is a prefix gives several, one after the other. */
struct server_zone {
    size_t block_index; /* in the Corefile */
    size_t key_index;   /* among the zones of the block, as CoreDNS counts keys once expanded */
    struct zone_key key;
    const char *text; /* "dns://example.org.:53": the key as CoreDNS hands it to directives */
};

/* All zones of FILE in order, from ARENA. On failure ERROR holds CoreDNS's whole line ("error
 * inspecting server blocks: ..."). ERR_MALFORMED, ERR_UNSUPPORTED, ERR_LIMIT, ERR_NO_MEMORY. */
enum err server_blocks_inspect(const struct core_file *file, const char *default_port,
                               struct arena *arena, struct server_zone **out, size_t *count,
                               struct strbuf *error) MUST_CHECK;

/* A zone on one address it is to be served on. */
struct served_zone {
    const struct zone_key *key;
    const char *host; /* "" is every address */
};

/* Refuses a zone that is served twice: "cannot serve dns://.:53 - it is already defined" for the
 * same zone, port, scheme and address, "... - zone overlap listener capacity with ..." for one on
 * every address beside one on a certain address. ZONES stand in the order of blocks, keys and
 * addresses. ERR_MALFORMED with ERROR, ERR_NO_MEMORY. */
enum err server_blocks_check_overlap(const struct served_zone *zones, size_t count,
                                     struct strbuf *error) MUST_CHECK;

/* The number of a zone_key's port: decimal, or (only -dns.port can be one) a service of
 * /etc/services. ERR_MALFORMED with CoreDNS's text for "address 65536: invalid port" and unknown
 * services. */
enum err server_blocks_port(const char *port, uint16_t *out, struct strbuf *error) MUST_CHECK;

#endif
