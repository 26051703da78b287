#include "output.h"

#include "gotext.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef Etcdserverpb__ResponseHeader header;
typedef Mvccpb__KeyValue key_value;

static _Noreturn void not_supported(const struct cli *cli)
{
    cli_exit(CLI_BAD_FEATURE, "%s not supported as output format", cli->write_out);
}

static void print(struct strbuf *text)
{
    if (text->failed)
        cli_memory(NULL);
    fwrite(strbuf_str(text), 1, text->size, stdout);
    strbuf_fini(text);
    cli_flush();
}

static void print_json(const ProtobufCMessage *message)
{
    struct strbuf out = STRBUF_EMPTY;
    json_message(&out, message);
    strbuf_add_char(&out, '\n');
    print(&out);
}

static void print_packed(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *data = cli_memory(malloc(size + 1));
    protobuf_c_message_pack(message, data);
    fwrite(data, 1, size, stdout);
    free(data);
    cli_flush();
}

/* JSON and protobuf of a message that etcdctl prints as it is; whether it did. */
static bool print_whole(const struct cli *cli, const void *message)
{
    if (cli->format == FORMAT_JSON)
        print_json(message);
    else if (cli->format == FORMAT_PROTOBUF)
        print_packed(message);
    else if (cli->format == FORMAT_TABLE)
        not_supported(cli);
    else
        return false;
    return true;
}

static struct bytes bytes_in(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

/* simple */

static void simple_bytes(const struct cli *cli, struct strbuf *out, ProtobufCBinaryData data)
{
    if (cli->is_hex) {
        for (size_t i = 0; i < data.len; i++)
            strbuf_add_format(out, "\\x%02x", data.data[i]);
    } else {
        strbuf_add(out, data.data, data.len);
    }
    strbuf_add_char(out, '\n');
}

static void simple_kv(const struct cli *cli, struct strbuf *out, const key_value *kv)
{
    if (!cli->value_only)
        simple_bytes(cli, out, kv->key);
    simple_bytes(cli, out, kv->value);
}

/* fields */

static void fields_header(const struct cli *cli, struct strbuf *out, const header *h)
{
    static const header none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    if (h == NULL)
        h = &none;
    if (cli->is_hex)
        strbuf_add_format(out, "\"ClusterID\" : %" PRIx64 "\n\"MemberID\" : %" PRIx64 "\n",
                          h->cluster_id, h->member_id);
    else
        strbuf_add_format(out, "\"ClusterID\" : %" PRIu64 "\n\"MemberID\" : %" PRIu64 "\n",
                          h->cluster_id, h->member_id);
    if (h->revision > 0)
        strbuf_add_format(out, "\"Revision\" : %" PRId64 "\n", h->revision);
    strbuf_add_format(out, "\"RaftTerm\" : %" PRIu64 "\n", h->raft_term);
}

static void fields_quoted(struct strbuf *out, const char *prefix, const char *name,
                          struct bytes value)
{
    strbuf_add_format(out, "\"%s%s\" : ", prefix, name);
    go_quote(out, value);
    strbuf_add_char(out, '\n');
}

static void fields_id(const struct cli *cli, struct strbuf *out, const char *name, int64_t id)
{
    if (cli->is_hex)
        strbuf_add_format(out, "\"%s\" : %016" PRIx64 "\n", name, (uint64_t)id);
    else
        strbuf_add_format(out, "\"%s\" : %" PRId64 "\n", name, id);
}

static void fields_kv(const struct cli *cli, struct strbuf *out, const char *prefix,
                      const key_value *kv)
{
    char lease[16]; /* "PrevLease" */
    fields_quoted(out, prefix, "Key", bytes_in(kv->key));
    strbuf_add_format(out, "\"%sCreateRevision\" : %" PRId64 "\n", prefix, kv->create_revision);
    strbuf_add_format(out, "\"%sModRevision\" : %" PRId64 "\n", prefix, kv->mod_revision);
    strbuf_add_format(out, "\"%sVersion\" : %" PRId64 "\n", prefix, kv->version);
    fields_quoted(out, prefix, "Value", bytes_in(kv->value));
    snprintf(lease, sizeof(lease), "%sLease", prefix);
    fields_id(cli, out, lease, kv->lease);
}

/* Puts, gets, deletions and transactions of them: into a buffer, since they nest. */

static void add_put(const struct cli *cli, struct strbuf *out, const Etcdserverpb__PutResponse *r)
{
    if (cli->format == FORMAT_FIELDS) {
        fields_header(cli, out, r->header);
        if (r->prev_kv != NULL)
            fields_kv(cli, out, "Prev", r->prev_kv);
        return;
    }
    strbuf_add_str(out, "OK\n");
    if (r->prev_kv != NULL)
        simple_kv(cli, out, r->prev_kv);
}

static void add_get(const struct cli *cli, struct strbuf *out, const Etcdserverpb__RangeResponse *r)
{
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, out, r->header);
    for (size_t i = 0; i < r->n_kvs; i++) {
        if (cli->format == FORMAT_FIELDS)
            fields_kv(cli, out, "", r->kvs[i]);
        else
            simple_kv(cli, out, r->kvs[i]);
    }
    if (cli->format == FORMAT_FIELDS)
        strbuf_add_format(out, "\"More\" : %s\n\"Count\" : %" PRId64 "\n",
                          r->more ? "true" : "false", r->count);
}

static void add_delete(const struct cli *cli, struct strbuf *out,
                       const Etcdserverpb__DeleteRangeResponse *r)
{
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, out, r->header);
    strbuf_add_format(out, cli->format == FORMAT_FIELDS ? "\"Deleted\" : %lld\n" : "%lld\n",
                      (long long)r->deleted);
    for (size_t i = 0; i < r->n_prev_kvs; i++) {
        if (cli->format == FORMAT_FIELDS)
            fields_kv(cli, out, "Prev", r->prev_kvs[i]);
        else
            simple_kv(cli, out, r->prev_kvs[i]);
    }
}

void output_put(const struct cli *cli, const Etcdserverpb__PutResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (print_whole(cli, r))
        return;
    add_put(cli, &out, r);
    print(&out);
}

void output_get(const struct cli *cli, const Etcdserverpb__RangeResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (print_whole(cli, r))
        return;
    add_get(cli, &out, r);
    print(&out);
}

void output_delete(const struct cli *cli, const Etcdserverpb__DeleteRangeResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (print_whole(cli, r))
        return;
    add_delete(cli, &out, r);
    print(&out);
}

void output_txn(const struct cli *cli, const Etcdserverpb__TxnResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    bool is_simple = cli->format == FORMAT_SIMPLE;
    if (print_whole(cli, r))
        return;
    if (!is_simple)
        fields_header(cli, &out, r->header);
    if (is_simple)
        strbuf_add_str(&out, r->succeeded ? "SUCCESS\n" : "FAILURE\n");
    else
        strbuf_add_format(&out, "\"Succeeded\" : %s\n", r->succeeded ? "true" : "false");
    for (size_t i = 0; i < r->n_responses; i++) {
        const Etcdserverpb__ResponseOp *op = r->responses[i];
        if (is_simple)
            strbuf_add_char(&out, '\n');
        if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT)
            add_put(cli, &out, op->response_put);
        else if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
            add_get(cli, &out, op->response_range);
        else if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE)
            add_delete(cli, &out, op->response_delete_range);
        else
            strbuf_add_str(&out, "unexpected response\n");
    }
    print(&out);
}

/* Watches. */

static void json_watch(struct strbuf *out, const Etcdserverpb__WatchResponse *r)
{
    static const header none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    strbuf_add_str(out, "{\"Header\":");
    json_message(out, r->header != NULL ? &r->header->base : &none.base);
    strbuf_add_str(out, ",\"Events\":[");
    for (size_t i = 0; i < r->n_events; i++) {
        if (i > 0)
            strbuf_add_char(out, ',');
        json_message(out, &r->events[i]->base);
    }
    strbuf_add_format(out, "],\"CompactRevision\":%lld,\"Canceled\":%s,\"Created\":%s}\n",
                      (long long)r->compact_revision, r->canceled ? "true" : "false",
                      r->created ? "true" : "false");
}

void output_watch(const struct cli *cli, const Etcdserverpb__WatchResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_TABLE)
        not_supported(cli);
    if (cli->format == FORMAT_PROTOBUF) {
        print_packed(&r->base);
        return;
    }
    if (cli->format == FORMAT_JSON)
        json_watch(&out, r);
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, &out, r->header);
    for (size_t i = 0; i < r->n_events && cli->format != FORMAT_JSON; i++) {
        const Mvccpb__Event *e = r->events[i];
        const char *type = e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT";
        bool is_fields = cli->format == FORMAT_FIELDS;
        strbuf_add_format(&out, is_fields ? "\"Type\" : %s\n" : "%s\n", type);
        if (e->prev_kv != NULL && is_fields)
            fields_kv(cli, &out, "Prev", e->prev_kv);
        else if (e->prev_kv != NULL)
            simple_kv(cli, &out, e->prev_kv);
        if (e->kv != NULL && is_fields)
            fields_kv(cli, &out, "", e->kv);
        else if (e->kv != NULL)
            simple_kv(cli, &out, e->kv);
    }
    print(&out);
}

/* Leases: etcd's Go client has structs of its own for them, the header's fields in the open. */

/* What a format makes of a lease's reply without a message behind it. */
static void check_lease_format(const struct cli *cli)
{
    if (cli->format == FORMAT_TABLE || cli->format == FORMAT_PROTOBUF)
        not_supported(cli);
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
    print(&out);
}

void output_revoke(const struct cli *cli, int64_t id, const Etcdserverpb__LeaseRevokeResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (print_whole(cli, r))
        return;
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, &out, r->header);
    else
        strbuf_add_format(&out, "lease %016llx revoked\n", (unsigned long long)id);
    print(&out);
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
    print(&out);
}

static void json_time_to_live(struct strbuf *out, const Etcdserverpb__LeaseTimeToLiveResponse *r)
{
    json_flat_header(out, r->header);
    strbuf_add_format(out,
                      "\"id\":%lld,\"ttl\":%lld,\"granted-ttl\":%lld,\"keys\":", (long long)r->id,
                      (long long)r->ttl, (long long)r->grantedttl);
    for (size_t i = 0; i < r->n_keys; i++) {
        strbuf_add_char(out, i == 0 ? '[' : ',');
        go_json_bytes(out, bytes_in(r->keys[i]));
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
            fields_quoted(&out, "", "Key", bytes_in(r->keys[i]));
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
    print(&out);
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
        print(&out);
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
    print(&out);
}

/* Alarms, users, roles. */

const char *alarm_name(Etcdserverpb__AlarmType alarm)
{
    static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};
    return (size_t)alarm < ARRAY_COUNT(names) ? names[alarm] : "UNKNOWN";
}

/* As gogo's String: zero values are left out, a space stands behind each field. */
static void simple_alarm(struct strbuf *out, const Etcdserverpb__AlarmMember *a)
{
    if (a->memberid != 0)
        strbuf_add_format(out, "memberID:%" PRIu64 " ", a->memberid);
    if (a->alarm != ETCDSERVERPB__ALARM_TYPE__NONE)
        strbuf_add_format(out, "alarm:%s ", alarm_name(a->alarm));
    strbuf_add_char(out, '\n');
}

void output_alarms(const struct cli *cli, const Etcdserverpb__AlarmResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (print_whole(cli, r))
        return;
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, &out, r->header);
    for (size_t i = 0; i < r->n_alarms; i++) {
        if (cli->format != FORMAT_FIELDS) {
            simple_alarm(&out, r->alarms[i]);
            continue;
        }
        strbuf_add_format(
            &out, cli->is_hex ? "\"MemberID\" : %" PRIx64 "\n" : "\"MemberID\" : %" PRIu64 "\n",
            r->alarms[i]->memberid);
        strbuf_add_format(&out, "\"AlarmType\" : %s\n\n", alarm_name(r->alarms[i]->alarm));
    }
    print(&out);
}

void output_names(const struct cli *cli, const ProtobufCMessage *message, const header *h,
                  const char *title, char *const *names, size_t count)
{
    struct strbuf out = STRBUF_EMPTY;
    if (print_whole(cli, message))
        return;
    if (cli->format == FORMAT_FIELDS) {
        fields_header(cli, &out, h);
        strbuf_add_format(&out, "\"%s\" :", title);
    }
    for (size_t i = 0; i < count; i++) {
        if (cli->format == FORMAT_FIELDS) {
            strbuf_add_char(&out, ' ');
            go_quote(&out, bytes_of_str(names[i]));
        } else {
            strbuf_add_format(&out, "%s\n", names[i]);
        }
    }
    if (cli->format == FORMAT_FIELDS)
        strbuf_add_char(&out, '\n');
    print(&out);
}

/* Tables. */

/* Characters, not bytes: close enough to what a terminal shows. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

static void pad(struct strbuf *out, size_t count)
{
    while (count-- > 0)
        strbuf_add_char(out, ' ');
}

static size_t *column_widths(const char *const *cells, size_t columns, size_t rows)
{
    size_t *widths = cli_memory(calloc(columns, sizeof(*widths)));
    for (size_t i = 0; i < columns * rows; i++) {
        size_t width = text_width(cells[i]);
        if (width > widths[i % columns])
            widths[i % columns] = width;
    }
    return widths;
}

static void add_border(struct strbuf *out, const size_t *widths, size_t columns)
{
    for (size_t c = 0; c < columns; c++) {
        strbuf_add_char(out, '+');
        for (size_t i = 0; i < widths[c] + 2; i++)
            strbuf_add_char(out, '-');
    }
    strbuf_add_str(out, "+\n");
}

static char title_char(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c == '_' ? ' ' : c;
}

void output_table(const char *const *cells, size_t columns, size_t rows)
{
    struct strbuf out = STRBUF_EMPTY;
    size_t *widths = column_widths(cells, columns, rows);
    add_border(&out, widths, columns);
    for (size_t i = 0; i < columns * rows; i++) {
        size_t space = widths[i % columns] - text_width(cells[i]);
        size_t before = i < columns ? space / 2 : space; /* headers stand in the middle */
        strbuf_add_str(&out, "| ");
        pad(&out, before);
        for (const char *c = cells[i]; *c != '\0'; c++)
            strbuf_add_char(&out, i < columns ? title_char(*c) : *c);
        pad(&out, space - before + 1);
        if (i % columns == columns - 1)
            strbuf_add_str(&out, "|\n");
        if (i == columns - 1)
            add_border(&out, widths, columns);
    }
    if (rows > 1)
        add_border(&out, widths, columns);
    free(widths);
    print(&out);
}

void output_columns(const char *const *cells, size_t columns, size_t rows)
{
    struct strbuf out = STRBUF_EMPTY;
    size_t *widths = column_widths(cells, columns, rows);
    for (size_t i = 0; i < columns * rows; i++) {
        strbuf_add_str(&out, cells[i]);
        if (i % columns == columns - 1)
            strbuf_add_char(&out, '\n');
        else
            pad(&out, widths[i % columns] - text_width(cells[i]) + 2);
    }
    free(widths);
    print(&out);
}

static char *text_of(const char *format, ...) PRINTF_LIKE(1, 2);
static char *text_of(const char *format, ...)
{
    struct strbuf out = STRBUF_EMPTY;
    va_list args;
    va_start(args, format);
    strbuf_add_format_args(&out, format, args);
    va_end(args);
    return cli_text(&out);
}

/* Rows as a table, or one line each with commas between. */
static void print_rows(const struct cli *cli, const char *const *cells, size_t columns, size_t rows)
{
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_TABLE) {
        output_table(cells, columns, rows);
        return;
    }
    for (size_t i = columns; i < columns * rows; i++) {
        strbuf_add_str(&out, cells[i]);
        strbuf_add_str(&out, i % columns == columns - 1 ? "\n" : ", ");
    }
    print(&out);
}

static char *joined(char *const *texts, size_t count, const char *between)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        strbuf_add_str(&out, i > 0 ? between : "");
        strbuf_add_str(&out, texts[i]);
    }
    return cli_text(&out);
}

/* Members. */

static void json_urls(struct strbuf *out, char *const *urls, size_t count)
{
    if (count == 0) {
        strbuf_add_str(out, "null");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        strbuf_add_char(out, i == 0 ? '[' : ',');
        go_json_string(out, bytes_of_str(urls[i]));
    }
    strbuf_add_char(out, ']');
}

static void json_members_hex(const Etcdserverpb__MemberListResponse *r)
{
    static const header none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    const header *h = r->header != NULL ? r->header : &none;
    struct strbuf out = STRBUF_EMPTY;
    strbuf_add_format(&out,
                      "{\"header\":{\"cluster_id\":\"%" PRIx64 "\",\"member_id\":\"%" PRIx64
                      "\",\"raft_term\":%" PRIu64 "}",
                      h->cluster_id, h->member_id, h->raft_term);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        strbuf_add_format(&out, "%s{\"ID\":\"%" PRIx64 "\",\"name\":\"%s\",\"peerURLs\":",
                          i == 0 ? ",\"members\":[" : ",", m->id, m->name);
        json_urls(&out, m->peerurls, m->n_peerurls);
        strbuf_add_str(&out, ",\"clientURLs\":");
        json_urls(&out, m->clienturls, m->n_clienturls);
        strbuf_add_str(&out, i == r->n_members - 1 ? "}]" : "}");
    }
    strbuf_add_str(&out, "}\n");
    print(&out);
}

static void fields_members(const struct cli *cli, const Etcdserverpb__MemberListResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    fields_header(cli, &out, r->header);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        if (cli->is_hex)
            strbuf_add_format(&out, "\"ID\" : %" PRIx64 "\n", m->id);
        else
            strbuf_add_format(&out, "\"ID\" : %" PRIu64 "\n", m->id);
        fields_quoted(&out, "", "Name", bytes_of_str(m->name));
        for (size_t k = 0; k < m->n_peerurls; k++)
            fields_quoted(&out, "", "PeerURL", bytes_of_str(m->peerurls[k]));
        for (size_t k = 0; k < m->n_clienturls; k++)
            fields_quoted(&out, "", "ClientURL", bytes_of_str(m->clienturls[k]));
        strbuf_add_format(&out, "\"IsLearner\" : %s\n\n", m->islearner ? "true" : "false");
    }
    print(&out);
}

void output_members(const struct cli *cli, const Etcdserverpb__MemberListResponse *r)
{
    enum {
        COLUMNS = 6
    };
    static const char *const titles[COLUMNS] = {"ID",         "Status",       "Name",
                                                "Peer Addrs", "Client Addrs", "Is Learner"};
    if (cli->format == FORMAT_JSON && cli->is_hex) {
        json_members_hex(r);
        return;
    }
    if (cli->format == FORMAT_FIELDS) {
        fields_members(cli, r);
        return;
    }
    if (cli->format != FORMAT_TABLE && print_whole(cli, r))
        return;
    const char **cells = cli_memory(calloc((r->n_members + 1) * COLUMNS, sizeof(*cells)));
    memcpy(cells, titles, sizeof(titles));
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        const char **row = cells + (i + 1) * COLUMNS;
        row[0] = text_of("%" PRIx64, m->id);
        row[1] = m->name[0] != '\0' ? "started" : "unstarted";
        row[2] = m->name;
        row[3] = joined(m->peerurls, m->n_peerurls, ",");
        row[4] = joined(m->clienturls, m->n_clienturls, ",");
        row[5] = m->islearner ? "true" : "false";
    }
    print_rows(cli, cells, COLUMNS, r->n_members + 1);
    free(cells);
}

/* Endpoints. */

/* go-humanize's Bytes: three digits at most, thousands. */
char *human_size(int64_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)size;
    size_t unit = 0;
    if (size < 10)
        return text_of("%lld B", (long long)size);
    while (value >= 1000 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1000;
        unit++;
    }
    value = (double)(int64_t)(value * 10 + 0.5) / 10;
    return value < 10 ? text_of("%.1f %s", value, units[unit])
                      : text_of("%.0f %s", value, units[unit]);
}

static void fields_status(const struct cli *cli, const struct endpoint_status *e)
{
    struct strbuf out = STRBUF_EMPTY;
    const Etcdserverpb__StatusResponse *r = e->reply;
    const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;
    char *errors = joined(r->errors, r->n_errors, " ");
    fields_header(cli, &out, r->header);
    fields_quoted(&out, "", "Version", bytes_of_str(r->version));
    fields_quoted(&out, "", "StorageVersion", bytes_of_str(r->storageversion));
    strbuf_add_format(&out, "\"DBSize\" : %" PRId64 "\n\"DBSizeInUse\" : %" PRId64 "\n", r->dbsize,
                      r->dbsizeinuse);
    strbuf_add_format(&out, "\"DBSizeQuota\" : %" PRId64 "\n\"Leader\" : %" PRIu64 "\n",
                      r->dbsizequota, r->leader);
    strbuf_add_format(&out, "\"IsLearner\" : %s\n", r->islearner ? "true" : "false");
    strbuf_add_format(&out,
                      "\"RaftIndex\" : %" PRIu64 "\n\"RaftTerm\" : %" PRIu64
                      "\n\"RaftAppliedIndex\" : %" PRIu64 "\n\"Errors\" : [%s]\n",
                      r->raftindex, r->raftterm, r->raftappliedindex, errors);
    fields_quoted(&out, "", "Endpoint", bytes_of_str(e->endpoint));
    fields_quoted(&out, "", "DowngradeTargetVersion",
                  bytes_of_str(d != NULL ? d->targetversion : ""));
    strbuf_add_format(&out, "\"DowngradeEnabled\" : %s\n\n",
                      d != NULL && d->enabled ? "true" : "false");
    free(errors);
    print(&out);
}

static void status_row(const char **row, const struct endpoint_status *e)
{
    const Etcdserverpb__StatusResponse *r = e->reply;
    const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;
    uint64_t member = r->header != NULL ? r->header->member_id : 0;
    /* etcdctl divides by the size; one of 0 is ours to answer. */
    int64_t used =
        r->dbsize > 0 ? (int64_t)((double)r->dbsizeinuse * 100 / (double)r->dbsize) : 100;
    row[0] = e->endpoint;
    row[1] = text_of("%" PRIx64, member);
    row[2] = r->version;
    row[3] = r->storageversion;
    row[4] = human_size(r->dbsize);
    row[5] = human_size(r->dbsizeinuse);
    row[6] = text_of("%lld%%", (long long)(100 - used));
    row[7] = human_size(r->dbsizequota);
    row[8] = r->leader == member ? "true" : "false";
    row[9] = r->islearner ? "true" : "false";
    row[10] = text_of("%" PRIu64, r->raftterm);
    row[11] = text_of("%" PRIu64, r->raftindex);
    row[12] = text_of("%" PRIu64, r->raftappliedindex);
    row[13] = joined(r->errors, r->n_errors, ", ");
    row[14] = d != NULL ? d->targetversion : "";
    row[15] = d != NULL && d->enabled ? "true" : "false";
}

/* A list of {"Endpoint":...,NAME:message}. */
static void json_endpoint(struct strbuf *out, size_t index, const char *endpoint, const char *name,
                          const ProtobufCMessage *message)
{
    strbuf_add_str(out, index == 0 ? "[" : ",");
    strbuf_add_str(out, "{\"Endpoint\":");
    go_json_string(out, bytes_of_str(endpoint));
    strbuf_add_format(out, ",\"%s\":", name);
    json_message(out, message);
    strbuf_add_char(out, '}');
}

void output_status(const struct cli *cli, const struct endpoint_status *list, size_t count)
{
    enum {
        COLUMNS = 16
    };
    static const char *const titles[COLUMNS] = {"endpoint",
                                                "ID",
                                                "version",
                                                "storage version",
                                                "db size",
                                                "in use",
                                                "percentage not in use",
                                                "quota",
                                                "is leader",
                                                "is learner",
                                                "raft term",
                                                "raft index",
                                                "raft applied index",
                                                "errors",
                                                "downgrade target version",
                                                "downgrade enabled"};
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_PROTOBUF)
        not_supported(cli);
    if (cli->format == FORMAT_FIELDS) {
        for (size_t i = 0; i < count; i++)
            fields_status(cli, &list[i]);
        return;
    }
    if (cli->format == FORMAT_JSON) {
        for (size_t i = 0; i < count; i++)
            json_endpoint(&out, i, list[i].endpoint, "Status", &list[i].reply->base);
        strbuf_add_str(&out, count > 0 ? "]\n" : "null\n");
        print(&out);
        return;
    }
    const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
    memcpy(cells, titles, sizeof(titles));
    for (size_t i = 0; i < count; i++)
        status_row(cells + (i + 1) * COLUMNS, &list[i]);
    print_rows(cli, cells, COLUMNS, count + 1);
    free(cells);
}

static void json_health(const struct endpoint_health *list, size_t count)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        strbuf_add_str(&out, i == 0 ? "[" : ",");
        strbuf_add_str(&out, "{\"endpoint\":");
        go_json_string(&out, bytes_of_str(list[i].endpoint));
        strbuf_add_format(&out, ",\"health\":%s,\"took\":\"%s\"",
                          list[i].is_healthy ? "true" : "false", list[i].took);
        if (list[i].error[0] != '\0') {
            strbuf_add_str(&out, ",\"error\":");
            go_json_string(&out, bytes_of_str(list[i].error));
        }
        strbuf_add_char(&out, '}');
    }
    strbuf_add_str(&out, "]\n");
    print(&out);
}

static void fields_health(const struct endpoint_health *list, size_t count)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        fields_quoted(&out, "", "Endpoint", bytes_of_str(list[i].endpoint));
        strbuf_add_format(&out, "\"Health\" : %s\n\"Took\" : %s\n\"Error\" : %s\n\n",
                          list[i].is_healthy ? "true" : "false", list[i].took, list[i].error);
    }
    print(&out);
}

void output_health(const struct cli *cli, const struct endpoint_health *list, size_t count)
{
    enum {
        COLUMNS = 4
    };
    if (cli->format == FORMAT_PROTOBUF)
        not_supported(cli);
    if (cli->format == FORMAT_JSON) {
        json_health(list, count);
        return;
    }
    if (cli->format == FORMAT_FIELDS) {
        fields_health(list, count);
        return;
    }
    if (cli->format == FORMAT_TABLE) {
        const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
        memcpy(cells, (const char *[COLUMNS]){"endpoint", "health", "took", "error"},
               COLUMNS * sizeof(*cells));
        for (size_t i = 0; i < count; i++) {
            const char **row = cells + (i + 1) * COLUMNS;
            row[0] = list[i].endpoint;
            row[1] = list[i].is_healthy ? "true" : "false";
            row[2] = list[i].took;
            row[3] = list[i].error;
        }
        output_table(cells, COLUMNS, count + 1);
        free(cells);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].error[0] == '\0')
            printf("%s is healthy: successfully committed proposal: took = %s\n", list[i].endpoint,
                   list[i].took);
        else
            fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n", list[i].endpoint,
                    list[i].error);
    }
    cli_flush();
}

void output_hashes(const struct cli *cli, const struct endpoint_hash *list, size_t count)
{
    enum {
        COLUMNS = 3
    };
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_PROTOBUF)
        not_supported(cli);
    if (cli->format == FORMAT_JSON) {
        for (size_t i = 0; i < count; i++)
            json_endpoint(&out, i, list[i].endpoint, "HashKV", &list[i].reply->base);
        strbuf_add_str(&out, count > 0 ? "]\n" : "null\n");
        print(&out);
        return;
    }
    if (cli->format == FORMAT_FIELDS) {
        for (size_t i = 0; i < count; i++) {
            fields_header(cli, &out, list[i].reply->header);
            fields_quoted(&out, "", "Endpoint", bytes_of_str(list[i].endpoint));
            strbuf_add_format(&out, "\"Hash\" : %u\n\"HashRevision\" : %lld\n\n",
                              list[i].reply->hash, (long long)list[i].reply->hash_revision);
        }
        print(&out);
        return;
    }
    const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
    memcpy(cells, (const char *[COLUMNS]){"endpoint", "hash", "hash_revision"},
           COLUMNS * sizeof(*cells));
    for (size_t i = 0; i < count; i++) {
        const char **row = cells + (i + 1) * COLUMNS;
        row[0] = list[i].endpoint;
        row[1] = text_of("%u", list[i].reply->hash);
        row[2] = text_of("%lld", (long long)list[i].reply->hash_revision);
    }
    print_rows(cli, cells, COLUMNS, count + 1);
    free(cells);
}
