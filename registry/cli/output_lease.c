/* Leases in etcdctl's formats. */
#include "gotext.h"
#include "output_parts.h"

/* What a format makes of a lease's reply without a message behind it. */
static void check_lease_format(const struct cli *cli)
{
    if (cli->format == FORMAT_TABLE || cli->format == FORMAT_PROTOBUF)
        output_refuse(cli);
}

static void json_flat_header(struct strbuf *out, const header *h)
{
    static const header none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    json_message(out, h != NULL ? &h->base : &none.base);
    out->data[--out->size] = '\0'; /* the object goes on */
    if (out->size > 1)
        strbuf_add_char(out, ',');
}

void output_grant(const struct cli *cli, const Etcdserverpb__LeaseGrantResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    check_lease_format(cli);
    if (cli->format == FORMAT_JSON) {
        json_flat_header(&out, r->header);
        strbuf_add_format(&out, "\"ID\":%lld,\"TTL\":%lld,\"Error\":", (long long)r->id,
                          (long long)r->ttl);
        go_json_string(&out, bytes_of_str(r->error));
        strbuf_add_str(&out, "}\n");
    } else if (cli->format == FORMAT_FIELDS) {
        fields_header(cli, &out, r->header);
        fields_id(cli, &out, "ID", r->id);
        strbuf_add_format(&out, "\"TTL\" : %lld\n", (long long)r->ttl);
    } else {
        strbuf_add_format(&out, "lease %016llx granted with TTL(%llds)\n",
                          (unsigned long long)r->id, (long long)r->ttl);
    }
    output_text(&out);
}

void output_revoke(const struct cli *cli, int64_t id, const Etcdserverpb__LeaseRevokeResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (output_whole(cli, r))
        return;
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, &out, r->header);
    else
        strbuf_add_format(&out, "lease %016llx revoked\n", (unsigned long long)id);
    output_text(&out);
}

void output_keep_alive(const struct cli *cli, const Etcdserverpb__LeaseKeepAliveResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    check_lease_format(cli);
    if (cli->format == FORMAT_JSON) {
        json_flat_header(&out, r->header);
        strbuf_add_format(&out, "\"ID\":%lld,\"TTL\":%lld}\n", (long long)r->id, (long long)r->ttl);
    } else if (cli->format == FORMAT_FIELDS) {
        fields_header(cli, &out, r->header);
        fields_id(cli, &out, "ID", r->id);
        strbuf_add_format(&out, "\"TTL\" : %lld\n", (long long)r->ttl);
    } else {
        strbuf_add_format(&out, "lease %016llx keepalived with TTL(%lld)\n",
                          (unsigned long long)r->id, (long long)r->ttl);
    }
    output_text(&out);
}

static void json_time_to_live(struct strbuf *out, const Etcdserverpb__LeaseTimeToLiveResponse *r)
{
    json_flat_header(out, r->header);
    strbuf_add_format(out,
                      "\"id\":%lld,\"ttl\":%lld,\"granted-ttl\":%lld,\"keys\":", (long long)r->id,
                      (long long)r->ttl, (long long)r->grantedttl);
    for (size_t i = 0; i < r->n_keys; i++) {
        strbuf_add_char(out, i == 0 ? '[' : ',');
        go_json_bytes(out, output_bytes(r->keys[i]));
    }
    strbuf_add_str(out, r->n_keys > 0 ? "]}\n" : "null}\n");
}

void output_time_to_live(const struct cli *cli, const Etcdserverpb__LeaseTimeToLiveResponse *r,
                         bool with_keys)
{
    struct strbuf out = STRBUF_EMPTY;
    check_lease_format(cli);
    if (cli->format == FORMAT_JSON) {
        json_time_to_live(&out, r);
    } else if (cli->format == FORMAT_FIELDS) {
        fields_header(cli, &out, r->header);
        fields_id(cli, &out, "ID", r->id);
        strbuf_add_format(&out, "\"TTL\" : %lld\n\"GrantedTTL\" : %lld\n", (long long)r->ttl,
                          (long long)r->grantedttl);
        for (size_t i = 0; i < r->n_keys; i++)
            fields_quoted(&out, "", "Key", output_bytes(r->keys[i]));
    } else if (r->grantedttl == 0 && r->ttl == -1) {
        strbuf_add_format(&out, "lease %016llx already expired\n", (unsigned long long)r->id);
    } else {
        strbuf_add_format(&out, "lease %016llx granted with TTL(%llds), remaining(%llds)",
                          (unsigned long long)r->id, (long long)r->grantedttl, (long long)r->ttl);
        if (with_keys)
            strbuf_add_str(&out, ", attached keys([");
        for (size_t i = 0; with_keys && i < r->n_keys; i++) {
            strbuf_add_str(&out, i > 0 ? " " : "");
            strbuf_add(&out, r->keys[i].data, r->keys[i].len);
        }
        strbuf_add_str(&out, with_keys ? "])\n" : "\n");
    }
    output_text(&out);
}

void output_leases(const struct cli *cli, const Etcdserverpb__LeaseLeasesResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    check_lease_format(cli);
    if (cli->format == FORMAT_JSON) {
        json_flat_header(&out, r->header);
        strbuf_add_str(&out, "\"leases\":[");
        for (size_t i = 0; i < r->n_leases; i++)
            strbuf_add_format(&out, "%s{\"id\":%lld}", i > 0 ? "," : "",
                              (long long)r->leases[i]->id);
        strbuf_add_str(&out, "]}\n");
        output_text(&out);
        return;
    }
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, &out, r->header);
    else
        strbuf_add_format(&out, "found %zu leases\n", r->n_leases);
    for (size_t i = 0; i < r->n_leases; i++) {
        if (cli->format == FORMAT_FIELDS)
            fields_id(cli, &out, "ID", r->leases[i]->id);
        else
            strbuf_add_format(&out, "%016llx\n", (unsigned long long)r->leases[i]->id);
    }
    output_text(&out);
}
