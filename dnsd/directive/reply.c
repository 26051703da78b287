#include "dnsd/directive/reply.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Whether the signature's times exclude NOW, in serial arithmetic (RFC 4034 section 3.1.5). */
static bool rrsig_expired(const struct dns_rr *rr, uint32_t now)
{
    struct reader r = reader_of(rr->rdata, rr->rdata_size);
    read_bytes(&r, 8); /* type covered, algorithm, labels, original TTL */
    uint32_t expiration = read_u32(&r);
    uint32_t inception = read_u32(&r);
    return r.failed || (int32_t)(now - inception) < 0 || (int32_t)(expiration - now) < 0;
}

static bool has_expired_rrsig(const struct dns_message *m)
{
    uint32_t now = (uint32_t)time(NULL);
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        for (size_t i = 0; i < list->count; i++) {
            if (list->rrs[i].type == DNS_TYPE_RRSIG && rrsig_expired(&list->rrs[i], now))
                return true;
        }
    }
    return false;
}

enum reply_type reply_typify(const struct dns_message *m)
{
    if (m == NULL)
        return REPLY_OTHER_ERROR;
    if (m->opcode == DNS_OPCODE_UPDATE)
        return REPLY_UPDATE;
    if (m->opcode == DNS_OPCODE_NOTIFY)
        return REPLY_META;
    if (m->has_question && (m->question.type == DNS_TYPE_AXFR || m->question.type == DNS_TYPE_IXFR))
        return REPLY_META;
    if (m->edns != NULL && (m->edns->flags & DNS_EDNS_DO) != 0 && has_expired_rrsig(m))
        return REPLY_OTHER_ERROR;
    if (m->sections[DNS_ANSWER].count > 0 && m->rcode == DNS_RCODE_NOERROR)
        return REPLY_NO_ERROR;

    const struct dns_rr_list *authority = &m->sections[DNS_AUTHORITY];
    bool soa = false, ns = false;
    for (size_t i = 0; i < authority->count; i++) {
        soa = soa || authority->rrs[i].type == DNS_TYPE_SOA;
        ns = ns || authority->rrs[i].type == DNS_TYPE_NS;
    }
    switch (m->rcode) {
    case DNS_RCODE_NOERROR:
        return soa ? REPLY_NO_DATA : ns ? REPLY_DELEGATION : REPLY_NO_ERROR;
    case DNS_RCODE_NXDOMAIN:
        return soa ? REPLY_NAME_ERROR : REPLY_OTHER_ERROR;
    case DNS_RCODE_SERVFAIL:
    case DNS_RCODE_NOTIMP:
        return REPLY_SERVER_ERROR;
    default:
        return REPLY_OTHER_ERROR;
    }
}

enum reply_class reply_classify(enum reply_type type)
{
    switch (type) {
    case REPLY_NO_ERROR:
    case REPLY_DELEGATION:
        return REPLY_CLASS_SUCCESS;
    case REPLY_NAME_ERROR:
    case REPLY_NO_DATA:
        return REPLY_CLASS_DENIAL;
    case REPLY_SERVER_ERROR:
    case REPLY_META:
    case REPLY_UPDATE:
    case REPLY_OTHER_ERROR:
        break;
    }
    return REPLY_CLASS_ERROR;
}

enum err zone_list_init(struct zone_list *out, struct arena *arena, const char *const *texts,
                        size_t count)
{
    struct zone_list zones = {
        .texts = arena_array(arena, count, sizeof(*zones.texts)),
        .names = arena_array(arena, count, sizeof(*zones.names)),
        .count = count,
    };
    if (zones.texts == NULL || zones.names == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(texts[i]);
        zones.texts[i] = arena_copy(arena, texts[i], size + 1);
        if (zones.texts[i] == NULL)
            return ERR_NO_MEMORY;
        if (dns_name_from_text(&zones.names[i], texts[i], size) != OK)
            zones.names[i].size = 0;
    }
    *out = zones;
    return OK;
}

size_t zone_list_match(const struct zone_list *zones, struct dns_name name)
{
    size_t best = zones->count;
    size_t best_size = 0;
    for (size_t i = 0; i < zones->count; i++) {
        if (zones->names[i].size == 0 || !dns_name_is_under(name, dns_name_of(&zones->names[i])))
            continue;
        size_t size = strlen(zones->texts[i]);
        if (size > best_size) {
            best = i;
            best_size = size;
        }
    }
    return best;
}

enum err zone_list_from_args(struct zone_list *out, struct setup *s, const char *const *args,
                             size_t count)
{
    const char **zones;
    size_t zone_count;
    enum err err = zone_origins(args, count, s->keys, s->key_count, s->arena, &zones, &zone_count);
    if (err != OK)
        return err;
    return zone_list_init(out, s->arena, (const char *const *)zones, zone_count);
}

bool reply_is_wgsd_srv(const struct query *q)
{
    const char *origin = q->origin != NULL ? q->origin : q->plugin;
    return query_type(q) == DNS_TYPE_SRV &&
           (strcmp(origin, "wgsd") == 0 || strcmp(origin, "warren") == 0);
}

/* xorshift64* per thread: a shuffle needs no more, and a system call per query would cost more than
 * the query. */
uint64_t random_below(uint64_t bound)
{
    static _Thread_local uint64_t state;
    while (state == 0) {
        if (getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state))
            state = (uint64_t)(uintptr_t)&state ^ (uint64_t)time(NULL);
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint64_t random = state * UINT64_C(0x2545f4914f6cdd1d);
    return random % bound;
}
