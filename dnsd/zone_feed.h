/* The zones of the registry that this process answers for, one feed for each, shared by every
 * directive that names one.
 *
 * A feed reads its zone from the store (a range in pages, then a watch from the revision behind it)
 * and keeps a zones_warren up to date. It lives across reloads of the Corefile, so that a new
 * instance answers at once. When the store has compacted away what the feed has not seen, it reads
 * everything anew and answers from what it has meanwhile.
 *
 * A value that does not parse stands for none; it is counted, and logged once for its key until it
 * is put right.
 *
 * Functions: loop thread only, but for those that say otherwise. Readers of the zone are inside an
 * RCU read-side section; what changes replace is freed after a grace period. */
#ifndef WARREN_DNSD_ZONE_FEED_H
#define WARREN_DNSD_ZONE_FEED_H

#include "base/dns_name.h"
#include "base/err.h"
#include "dnsd/instance.h"
#include "zones/warren.h"

#include <stdbool.h>

enum {
    ZONE_FEED_PAGE_KEYS = 512,   /* of the range: what one turn of the loop takes */
    ZONE_FEED_RETRY_MS = 200,    /* after the store refused, or memory ran out */
    ZONE_FEED_MAX_FAULTS = 4096, /* keys with bad values that are remembered */
};

struct zone_feed;

/* The feed of NAME (lower case), which begins to load if nobody had opened it. DNSD has a store and
 * a loop, which outlive the feed. ERR_NO_MEMORY; ERR_LIMIT and ERR_INVALID: the name is too long,
 * or has a slash, for a zone of the registry. */
enum err zone_feed_open(struct zone_feed **out, struct dnsd *dnsd, struct dns_name name) MUST_CHECK;
/* The last one to close ends it; nobody may read its zone any more. NULL is fine. */
void zone_feed_close(struct zone_feed *f);

/* Stays the same for the feed's life. Any thread may take it; reading is the loop thread's, or
 * answers' under RCU. */
const struct zones_warren *zone_feed_zone(const struct zone_feed *f);
/* Absolute text, as keys have it. */
const char *zone_feed_name(const struct zone_feed *f);
/* Whether it was loaded whole once. Any thread. */
bool zone_feed_is_loaded(const struct zone_feed *f);

#endif
