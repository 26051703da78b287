/* acl: allows, blocks, filters or drops queries by source address and type, per zone.
 *
 * A rule (one `acl` line) has zones and policies; the first policy of the first matching rule that
 * matches the query decides; a rule without a matching policy leaves it to the next. A policy's
 * networks become disjoint sorted address ranges, so a lookup is a binary search whatever their
 * number. */
#include "dnsd/directive/reply.h"
#include "dnsd/directive/series.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char name[] = "acl";

enum {
    REFUSAL_UDP_SIZE = 4096,
    TYPE_COUNT = 65536,
};

enum action {
    ACTION_NONE,
    ACTION_ALLOW,
    ACTION_BLOCK,
    ACTION_FILTER,
    ACTION_DROP,
};

/* Addresses of one family in network order; ranges are disjoint and rising. */
struct range {
    uint8_t first[16];
    uint8_t last[16];
};

struct range_list {
    const struct range *ranges;
    size_t count;
};

struct policy {
    enum action action;
    const uint8_t *types; /* a bit per type; NULL: every type */
    bool any_address;
    struct range_list v4;
    struct range_list v6;
};

struct rule {
    struct zone_list zones;
    struct policy *policies;
    size_t policy_count;
    size_t first_series; /* its zones' first in the table */
};

/* Everything but the counters lives in the instance's arena. */
struct acl {
    struct handler base;
    struct rule *rules;
    size_t rule_count;
    struct series_table series; /* 0: allowed; then per rule and zone one per refusing action */
    struct metric_family *allowed;
    struct metric_family *refused[ACTION_DROP + 1];
};

enum {
    SERIES_PER_ZONE = 3
};

static size_t series_index(const struct rule *rule, size_t zone, enum action action)
{
    assert(action >= ACTION_BLOCK);
    return rule->first_series + zone * SERIES_PER_ZONE + (size_t)(action - ACTION_BLOCK);
}

static struct metric_series *series_make(void *context, const char *server, size_t index)
{
    const struct acl *a = context;
    const char *view = "";
    if (index == 0) {
        const char *labels[] = {server, view};
        return metric_series(a->allowed, labels);
    }
    const struct rule *rule = &a->rules[0];
    for (size_t i = 1; i < a->rule_count && a->rules[i].first_series <= index; i++) {
        if (a->rules[i].zones.count > 0)
            rule = &a->rules[i];
    }
    size_t offset = index - rule->first_series;
    const char *labels[] = {server, rule->zones.texts[offset / SERIES_PER_ZONE], view};
    return metric_series(a->refused[ACTION_BLOCK + offset % SERIES_PER_ZONE], labels);
}

static bool range_list_contains(const struct range_list *list, const uint8_t address[static 16])
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(address, list->ranges[middle].last, 16) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && memcmp(address, list->ranges[low].first, 16) >= 0;
}

static bool policy_matches(const struct policy *p, const struct query *q)
{
    uint16_t type = query_type(q);
    if (p->types != NULL && (p->types[type / 8] & 1u << type % 8) == 0)
        return false;
    const struct ip_addr *remote = &q->remote.addr;
    return p->any_address ||
           range_list_contains(remote->family == IP_V4 ? &p->v4 : &p->v6, remote->bytes);
}

static enum action rule_action(const struct rule *rule, const struct query *q)
{
    for (size_t i = 0; i < rule->policy_count; i++) {
        if (policy_matches(&rule->policies[i], q))
            return rule->policies[i].action;
    }
    return ACTION_NONE;
}

/* The OPT with its extended error (RFC 8914: 15 blocked, 17 filtered) goes out with DO set, and to
 * clients without EDNS too, as CoreDNS's does. */
static void reply_refusal(struct query *q, enum action action)
{
    static const uint8_t blocked[] = {0, 15};
    static const uint8_t filtered[] = {0, 17};
    struct dns_edns edns;
    struct dns_message reply;
    dns_reply_init_rcode(&reply, &q->request.message,
                         action == ACTION_BLOCK ? DNS_RCODE_REFUSED : DNS_RCODE_NOERROR);
    memset(&edns, 0, sizeof(edns));
    edns.udp_size = REFUSAL_UDP_SIZE;
    edns.flags = DNS_EDNS_DO;
    edns.option_count = 1;
    edns.options[0] = (struct dns_edns_option){
        .code = DNS_EDNS_EDE,
        .size = sizeof(blocked),
        .data = action == ACTION_BLOCK ? blocked : filtered,
    };
    reply.edns = &edns;
    query_set_plugin(q, name);
    query_write(q, &reply);
}

static int acl_serve(struct handler *self, struct query *q)
{
    struct acl *a = (struct acl *)self;
    struct dns_name qname = dns_name_of(&q->name);
    for (size_t i = 0; i < a->rule_count; i++) {
        const struct rule *rule = &a->rules[i];
        size_t zone = zone_list_match(&rule->zones, qname);
        if (zone == rule->zones.count)
            continue;
        enum action action = rule_action(rule, q);
        if (action == ACTION_NONE)
            continue;
        if (action == ACTION_ALLOW)
            break;
        if (action != ACTION_DROP)
            reply_refusal(q, action);
        series_inc(&a->series, q->server, series_index(rule, zone, action));
        return DNS_RCODE_NOERROR;
    }
    series_inc(&a->series, q->server, 0);
    return handler_next(self, q);
}

static void acl_destroy(struct handler *self)
{
    struct acl *a = (struct acl *)self;
    series_table_fini(&a->series);
    free(a);
}

/* --- setup ----------------------------------------------------------------------------------- */

/* Networks of one policy while its line is read. */
struct nets {
    struct ip_prefix *items; /* arena, room for every token of the line */
    size_t count;
};

static int range_compare(const void *a, const void *b)
{
    return memcmp(((const struct range *)a)->first, ((const struct range *)b)->first, 16);
}

static struct range range_of(const struct ip_prefix *p)
{
    struct range r = {0};
    size_t size = ip_addr_size(&p->addr);
    memcpy(r.first, p->addr.bytes, size);
    memcpy(r.last, p->addr.bytes, size);
    for (size_t bit = p->length; bit < size * 8; bit++)
        r.last[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    return r;
}

/* Prefixes nest or are disjoint, so a range either starts behind the last one or lies inside an
 * earlier one; wider ones with the same start are joined. */
static enum err range_list_build(struct range_list *out, struct arena *arena,
                                 const struct nets *nets, uint8_t family)
{
    struct range *ranges = arena_array(arena, nets->count, sizeof(*ranges));
    size_t count = 0, kept = 0;
    if (ranges == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < nets->count; i++) {
        if (nets->items[i].addr.family == family)
            ranges[count++] = range_of(&nets->items[i]);
    }
    qsort(ranges, count, sizeof(*ranges), range_compare);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || memcmp(ranges[i].first, ranges[kept - 1].last, 16) > 0)
            ranges[kept++] = ranges[i];
        else if (memcmp(ranges[i].last, ranges[kept - 1].last, 16) > 0)
            memcpy(ranges[kept - 1].last, ranges[i].last, 16);
    }
    *out = (struct range_list){.ranges = ranges, .count = kept};
    return OK;
}

static bool is_section(const char *token)
{
    return strcasecmp(token, "type") == 0 || strcasecmp(token, "net") == 0;
}

/* core_error with a quoted argument between BEFORE and AFTER. */
static enum err token_error(struct setup *s, struct strbuf *why, const char *before,
                            const char *token, const char *after)
{
    struct strbuf quoted = STRBUF_EMPTY;
    quote_add(&quoted, token);
    enum err err = core_error(&s->cursor, why, "%s%s%s", before, strbuf_str(&quoted), after);
    strbuf_fini(&quoted);
    return err;
}

/* Tokens of one `type` section into the bits; ALL once "*" was among them. */
static enum err types_parse(struct setup *s, const char *const *tokens, size_t count,
                            uint8_t *types, bool *all, struct strbuf *why)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t type;
        if (strcmp(tokens[i], "*") == 0) {
            *all = true;
            return OK;
        }
        if (dns_type_from_text(&type, tokens[i], strlen(tokens[i])) != OK)
            return token_error(s, why, "unexpected token ", tokens[i], "; expect legal QTYPE");
        if (type == DNS_TYPE_NONE)
            *all = true;
        types[type / 8] |= (uint8_t)(1u << type % 8);
    }
    return OK;
}

/* A bare address is a network of itself. Everything after "*" in a section goes unread. */
static enum err nets_parse(struct setup *s, const char *const *tokens, size_t count,
                           struct nets *nets, bool *any_address, struct strbuf *why)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tokens[i], "*") == 0) {
            *any_address = true;
            return OK;
        }
        struct strbuf text = STRBUF_EMPTY;
        strbuf_add_str(&text, tokens[i]);
        if (strchr(tokens[i], '/') == NULL)
            strbuf_add_str(&text, strchr(tokens[i], ':') != NULL ? "/128" : "/32");
        struct ip_prefix *prefix = &nets->items[nets->count];
        enum err err = ip_prefix_parse(prefix, strbuf_str(&text), text.size);
        if (err == OK) {
            ip_prefix_mask(prefix);
            nets->count++;
        } else {
            err = token_error(s, why, "illegal CIDR notation ", strbuf_str(&text), "");
        }
        strbuf_fini(&text);
        if (err != OK)
            return err;
    }
    return OK;
}

/* The sections behind a policy's action: "type" and "net", repeated and in any order. */
struct sections {
    bool has_types;
    bool all_types;
    bool has_nets;
    bool any_address;
    uint8_t *types;
    struct nets nets;
};

/* Only policies that name types pay for the bits. */
static bool sections_need_types(struct setup *s, struct sections *sections)
{
    if (sections->types == NULL) {
        sections->types = arena_alloc(s->arena, TYPE_COUNT / 8);
        if (sections->types != NULL)
            memset(sections->types, 0, TYPE_COUNT / 8);
    }
    return sections->types != NULL;
}

static enum err sections_parse(struct setup *s, const struct setup_args *args, struct sections *out,
                               struct strbuf *why)
{
    for (size_t at = 0; at < args->count;) {
        const char *section = args->items[at];
        if (!is_section(section))
            return token_error(s, why, "unexpected token ", section, "; expect 'type | net'");
        bool is_type = strcasecmp(section, "type") == 0;
        size_t from = ++at;
        while (at < args->count && !is_section(args->items[at]))
            at++;
        if (at == from)
            return token_error(s, why, "no token specified in ", is_type ? "type" : "net",
                               " section");
        const char *const *tokens = args->items + from;
        enum err err;
        if (is_type) {
            out->has_types = true;
            if (!sections_need_types(s, out))
                return ERR_NO_MEMORY;
            err = types_parse(s, tokens, at - from, out->types, &out->all_types, why);
        } else {
            out->has_nets = true;
            err = nets_parse(s, tokens, at - from, &out->nets, &out->any_address, why);
        }
        if (err != OK)
            return err;
    }
    return OK;
}

static enum err action_parse(struct setup *s, enum action *out, struct strbuf *why)
{
    static const struct {
        const char *text;
        enum action action;
    } actions[] = {
        {"allow", ACTION_ALLOW},
        {"block", ACTION_BLOCK},
        {"filter", ACTION_FILTER},
        {"drop", ACTION_DROP},
    };
    for (size_t i = 0; i < ARRAY_COUNT(actions); i++) {
        if (strcasecmp(core_val(&s->cursor), actions[i].text) == 0) {
            *out = actions[i].action;
            return OK;
        }
    }
    return token_error(s, why, "unexpected token ", core_val(&s->cursor),
                       "; expect 'allow', 'block', 'filter' or 'drop'");
}

static enum err policy_parse(struct setup *s, struct policy *out, struct strbuf *why)
{
    struct setup_args args;
    struct sections sections = {0};
    struct policy p = {0};
    enum err err = action_parse(s, &p.action, why);
    if (err == OK)
        err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    sections.nets.items = arena_array(s->arena, args.count, sizeof(*sections.nets.items));
    if (sections.nets.items == NULL)
        return ERR_NO_MEMORY;
    err = sections_parse(s, &args, &sections, why);
    if (err != OK)
        return err;
    if (sections.has_types && !sections.all_types)
        p.types = sections.types;
    p.any_address = sections.any_address || !sections.has_nets;
    err = range_list_build(&p.v4, s->arena, &sections.nets, IP_V4);
    if (err == OK)
        err = range_list_build(&p.v6, s->arena, &sections.nets, IP_V6);
    if (err == OK)
        *out = p;
    return err;
}

static enum err policy_append(struct setup *s, struct rule *rule, size_t *capacity,
                              const struct policy *policy)
{
    if (rule->policy_count == *capacity) {
        size_t grown = *capacity == 0 ? 4 : *capacity * 2;
        struct policy *copy = arena_array(s->arena, grown, sizeof(*copy));
        if (copy == NULL)
            return ERR_NO_MEMORY;
        if (rule->policy_count > 0)
            memcpy(copy, rule->policies, rule->policy_count * sizeof(*copy));
        rule->policies = copy;
        *capacity = grown;
    }
    rule->policies[rule->policy_count++] = *policy;
    return OK;
}

static enum err rule_parse(struct setup *s, struct rule *out, struct strbuf *why)
{
    struct rule rule = {0};
    struct setup_args args;
    size_t capacity = 0;
    enum err err = setup_args_read(s, &args);
    if (err == OK)
        err = zone_list_from_args(&rule.zones, s, args.items, args.count);
    while (err == OK && core_next_block(&s->cursor)) {
        struct policy policy;
        err = policy_parse(s, &policy, why);
        if (err == OK)
            err = policy_append(s, &rule, &capacity, &policy);
    }
    if (err == OK)
        *out = rule;
    return err;
}

static enum err acl_parse(struct setup *s, struct acl *a, struct strbuf *why)
{
    size_t series = 1;
    /* a rule takes at least its own token */
    a->rules = arena_array(s->arena, s->cursor.count, sizeof(*a->rules));
    if (a->rules == NULL)
        return ERR_NO_MEMORY;
    while (core_next(&s->cursor)) {
        struct rule *rule = &a->rules[a->rule_count];
        enum err err = rule_parse(s, rule, why);
        if (err != OK)
            return err;
        rule->first_series = series;
        series += rule->zones.count * SERIES_PER_ZONE;
        a->rule_count++;
    }
    series_table_fini(&a->series);
    series_table_init(&a->series, series, series_make, a);
    return OK;
}

static enum err families_make(struct acl *a, struct metrics *m)
{
    static const char *const by_zone[] = {"server", "zone", "view"};
    static const char *const by_server[] = {"server", "view"};
    a->allowed = metrics_family(m, METRIC_COUNTER, "coredns_acl_allowed_requests_total",
                                "Counter of DNS requests being allowed.", by_server, 2, NULL, 0);
    a->refused[ACTION_BLOCK] =
        metrics_family(m, METRIC_COUNTER, "coredns_acl_blocked_requests_total",
                       "Counter of DNS requests being blocked.", by_zone, 3, NULL, 0);
    a->refused[ACTION_FILTER] =
        metrics_family(m, METRIC_COUNTER, "coredns_acl_filtered_requests_total",
                       "Counter of DNS requests being filtered.", by_zone, 3, NULL, 0);
    a->refused[ACTION_DROP] =
        metrics_family(m, METRIC_COUNTER, "coredns_acl_dropped_requests_total",
                       "Counter of DNS requests being dropped.", by_zone, 3, NULL, 0);
    return a->allowed != NULL && a->refused[ACTION_BLOCK] != NULL &&
                   a->refused[ACTION_FILTER] != NULL && a->refused[ACTION_DROP] != NULL
               ? OK
               : ERR_NO_MEMORY;
}

enum err directive_acl_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct acl *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return setup_add_handler(s, name, NULL);
    a->base = (struct handler){.name = name, .serve = acl_serve, .destroy = acl_destroy};
    series_table_init(&a->series, 1, series_make, a);
    enum err err = families_make(a, instance_metrics(s->instance));
    if (err == OK)
        err = acl_parse(s, a, &why);
    if (err != OK) {
        acl_destroy(&a->base);
        return setup_fail(s, name, err, &why);
    }
    return setup_add_handler(s, name, &a->base);
}
