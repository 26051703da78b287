/* What several directives ask of a reply: its kind (CoreDNS's response package), whether a name
 * lies in one of a list of zones, and who made its records. */
#ifndef WARREN_DNSD_DIRECTIVE_REPLY_H
#define WARREN_DNSD_DIRECTIVE_REPLY_H

#include "base/dns_message.h"
#include "dnsd/instance.h"

enum reply_type {
    REPLY_NO_ERROR,
    REPLY_NAME_ERROR,   /* NXDOMAIN with a SOA in the authority section */
    REPLY_SERVER_ERROR, /* SERVFAIL, NOTIMP: may be cached for a moment */
    REPLY_NO_DATA,      /* NOERROR without answers, with a SOA */
    REPLY_DELEGATION,   /* NOERROR without answers, with NS records */
    REPLY_META,         /* NOTIFY, AXFR, IXFR */
    REPLY_UPDATE,
    REPLY_OTHER_ERROR, /* any other RCODE, expired signatures, or no reply */
};

/* Bits, so that a rule holds a set of them. */
enum reply_class {
    REPLY_CLASS_ALL = 1,
    REPLY_CLASS_SUCCESS = 2,
    REPLY_CLASS_DENIAL = 4,
    REPLY_CLASS_ERROR = 8,
};

/* M may be NULL. Signatures are looked at only if the reply has an OPT with DO. */
enum reply_type reply_typify(const struct dns_message *m);
enum reply_class reply_classify(enum reply_type type);

/* Zones as texts (normalised) and names. A text that is no name matches nothing. */
struct zone_list {
    const char **texts;
    struct dns_name_buf *names; /* size 0: no name */
    size_t count;
};

enum err zone_list_init(struct zone_list *out, struct arena *arena, const char *const *texts,
                        size_t count) MUST_CHECK;
/* The index of the zone with the longest text among those NAME is in; COUNT if it is in none. */
size_t zone_list_match(const struct zone_list *zones, struct dns_name name);
/* Zones from a directive's arguments, else from its server block's keys. */
enum err zone_list_from_args(struct zone_list *out, struct setup *s, const char *const *args,
                             size_t count) MUST_CHECK;

/* A handler that writes to the outer writer, its own reply or one that it changed, says so: metrics
 * name the outermost. The handler that made the records stays known as `origin`. */
static inline void query_set_plugin(struct query *q, const char *name)
{
    if (q->origin == NULL)
        q->origin = q->plugin[0] != '\0' ? q->plugin : name;
    q->plugin = name;
}

/* wgsd-client takes the first additional record of an SRV answer for the endpoint, and crashes when
 * there is none. Directives that drop or reorder additional records spare these replies. */
bool reply_is_wgsd_srv(const struct query *q);

/* A number below BOUND (not 0), not for secrets. */
uint64_t random_below(uint64_t bound);

#endif
