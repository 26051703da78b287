#include "dnsd/server.h"

#include "dnsd/directive/prometheus.h"

#include <string.h>

enum {
    /* Above these sizes a UDP reply that fits the client's buffer is compressed after all, so that
     * it is less likely to be fragmented (CoreDNS's request.Scrub). */
    COMPRESS_ABOVE_V4 = 1480,
    COMPRESS_ABOVE_V6 = 1220,
};

/* --- routing --------------------------------------------------------------------------------- */

struct site_slot {
    uint32_t hash;
    struct site *site; /* NULL: empty */
};

static uint32_t zone_hash(struct dns_name name)
{
    uint32_t hash = 2166136261u; /* FNV-1a; zones are the administrator's, not an attacker's */
    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ name.wire[i]) * 16777619u;
    return hash;
}

enum err listener_index(struct listener *l, struct arena *arena)
{
    size_t count = 4;
    while (count < l->site_count * 2)
        count *= 2;
    struct site_slot *slots = arena_array(arena, count, sizeof(*slots));
    if (slots == NULL)
        return ERR_NO_MEMORY;
    memset(slots, 0, count * sizeof(*slots));
    l->slots = slots;
    l->slot_mask = count - 1;
    memset(l->zone_sizes, 0, sizeof(l->zone_sizes));
    for (size_t s = 0; s < l->site_count; s++) {
        struct dns_name zone = dns_name_of(&l->sites[s]->zone_name);
        if (zone.size == 0)
            continue; /* no domain name: matches no query */
        uint32_t hash = zone_hash(zone);
        size_t i = hash & l->slot_mask;
        while (slots[i].site != NULL)
            i = (i + 1) & l->slot_mask;
        slots[i] = (struct site_slot){.hash = hash, .site = l->sites[s]};
        l->zone_sizes[zone.size / 64] |= UINT64_C(1) << (zone.size % 64);
    }
    return OK;
}

struct site *listener_find(const struct listener *l, struct dns_name zone)
{
    if ((l->zone_sizes[zone.size / 64] >> (zone.size % 64) & 1) == 0)
        return NULL;
    uint32_t hash = zone_hash(zone);
    for (size_t i = hash & l->slot_mask; l->slots[i].site != NULL; i = (i + 1) & l->slot_mask) {
        struct site *site = l->slots[i].site;
        if (l->slots[i].hash == hash && dns_name_same(dns_name_of(&site->zone_name), zone))
            return site;
    }
    return NULL;
}

/* The longest zone that holds the name. A DS record belongs to the parent's side of a zone cut, so
 * a DS query goes on to the shortest zone that holds it, the root only if there is no other. */
static struct site *route(const struct query *q)
{
    struct site *found = NULL;
    struct dns_name name = dns_name_of(&q->name);
    for (;;) {
        struct site *site = listener_find(q->listener, name);
        if (site != NULL && (name.size > 1 || found == NULL)) {
            found = site;
            if (query_type(q) != DNS_TYPE_DS || site->first == NULL)
                return found;
        }
        if (name.size == 1)
            return found;
        name = dns_name_parent(name);
    }
}

/* --- replies --------------------------------------------------------------------------------- */

static bool option_is_echoed(uint16_t code)
{
    return code == DNS_EDNS_NSID || code == DNS_EDNS_EXPIRE || code == DNS_EDNS_COOKIE ||
           code == DNS_EDNS_KEEPALIVE || code == DNS_EDNS_PADDING;
}

/* The reply's OPT is the client's own: its size and DO, and the options that a server may echo
 * (CoreDNS's request.SizeAndDo). */
static void add_edns(struct query *q, struct dns_message *reply)
{
    struct dns_edns *asked = q->request.message.edns;
    if (asked == NULL)
        return;
    if (reply->edns != NULL) {
        uint16_t is_do = asked->flags & DNS_EDNS_DO;
        reply->edns->udp_size = asked->udp_size;
        reply->edns->version = 0;
        reply->edns->extended_rcode = 0;
        reply->edns->flags = (uint16_t)((reply->edns->flags & 0xff00) | is_do);
        return;
    }
    asked->version = 0;
    asked->extended_rcode = 0;
    asked->flags &= 0xff00;
    size_t kept = 0;
    for (size_t i = 0; i < asked->option_count; i++)
        if (option_is_echoed(asked->options[i].code))
            asked->options[kept++] = asked->options[i];
    asked->option_count = kept;
    reply->edns = asked;
}

static size_t compress_above(const struct query *q)
{
    return q->remote.addr.family == IP_V4 ? COMPRESS_ABOVE_V4 : COMPRESS_ABOVE_V6;
}

/* The outermost writer: CoreDNS's ScrubWriter and the packing behind it. */
static void scrub_write(struct response_writer *self UNUSED, struct query *q,
                        struct dns_message *reply)
{
    if (q->written)
        return;
    q->written = true;
    add_edns(q, reply);
    size_t limit = query_size_limit(q);
    size_t size = dns_message_size(reply);
    enum err e;
    if (q->proto == QUERY_UDP && size <= limit && size > compress_above(q)) {
        reply->compress = true;
        e = dns_message_write(reply, q->out, q->out_capacity, &q->out_size);
    } else {
        e = dns_message_write_within(reply, limit, q->out, q->out_capacity, &q->out_size);
    }
    if (e != OK)
        q->out_size = 0; /* what cannot be packed is not answered, as in CoreDNS */
}

static void reply_error(struct query *q, int rcode)
{
    struct dns_message reply;
    dns_reply_init_rcode(&reply, &q->request.message, rcode);
    scrub_write(NULL, q, &reply);
}

/* A query that no block's handlers saw: counted under the zone "dropped". */
static void reply_dropped(struct query *q, int rcode)
{
    reply_error(q, rcode);
    prometheus_report_dropped(q, rcode);
}

static void reply_bad_version(struct query *q)
{
    struct dns_edns edns = {0};
    struct dns_message reply;
    dns_reply_init(&reply, &q->request.message);
    reply.rcode = DNS_RCODE_BADVERS;
    edns.extended_rcode = DNS_RCODE_BADVERS >> 4;
    reply.edns = &edns;
    q->written = true;
    if (dns_message_write(&reply, q->out, q->out_capacity, &q->out_size) != OK)
        q->out_size = 0;
}

static void serve(struct query *q)
{
    const struct dns_message *request = &q->request.message;
    if (!request->has_question) {
        reply_dropped(q, DNS_RCODE_SERVFAIL);
        return;
    }
    dns_name_lower(&q->name, request->question.name);
    if (!q->listener->serves_chaos && request->question.class_number != DNS_CLASS_IN) {
        reply_dropped(q, DNS_RCODE_REFUSED);
        return;
    }
    if (request->edns != NULL && request->edns->version != 0) {
        reply_bad_version(q);
        return;
    }
    struct site *site = route(q);
    if (site == NULL || site->first == NULL) {
        reply_dropped(q, DNS_RCODE_REFUSED);
        return;
    }
    q->site = site;
    int rcode = site->first->serve(site->first, q);
    if (!rcode_client_write(rcode))
        reply_error(q, rcode);
}

void server_answer(struct query *q, const uint8_t *data, size_t size)
{
    struct response_writer scrub = {.write = scrub_write};
    q->server = q->listener->address;
    q->site = NULL;
    q->writer = &scrub;
    q->written = false;
    q->out_size = 0;
    q->plugin = "";
    q->origin = NULL;
    q->error = NULL;
    q->name.size = 0;
    enum dns_verdict verdict = dns_request_parse(&q->request, data, size);
    switch (verdict) {
    case DNS_IGNORE:
        break;
    case DNS_ACCEPT:
        serve(q);
        break;
    case DNS_REJECT_FORMERR:
    case DNS_REJECT_NOTIMP:
        q->out_size = dns_reject(&q->request, verdict, q->out, q->out_capacity);
        break;
    }
    q->writer = NULL; /* it was on this stack */
}
