#include "output_parts.h"

#include "gotext.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef Mvccpb__KeyValue key_value;

_Noreturn void output_refuse(const struct cli *cli)
{
    cli_exit(CLI_BAD_FEATURE, "%s not supported as output format", cli->write_out);
}

void output_text(struct strbuf *text)
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
    output_text(&out);
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
bool output_whole(const struct cli *cli, const void *message)
{
    if (cli->format == FORMAT_JSON)
        print_json(message);
    else if (cli->format == FORMAT_PROTOBUF)
        print_packed(message);
    else if (cli->format == FORMAT_TABLE)
        output_refuse(cli);
    else
        return false;
    return true;
}

struct bytes output_bytes(ProtobufCBinaryData data)
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

void fields_header(const struct cli *cli, struct strbuf *out, const header *h)
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

void fields_quoted(struct strbuf *out, const char *prefix, const char *name, struct bytes value)
{
    strbuf_add_format(out, "\"%s%s\" : ", prefix, name);
    go_quote(out, value);
    strbuf_add_char(out, '\n');
}

void fields_id(const struct cli *cli, struct strbuf *out, const char *name, int64_t id)
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
    fields_quoted(out, prefix, "Key", output_bytes(kv->key));
    strbuf_add_format(out, "\"%sCreateRevision\" : %" PRId64 "\n", prefix, kv->create_revision);
    strbuf_add_format(out, "\"%sModRevision\" : %" PRId64 "\n", prefix, kv->mod_revision);
    strbuf_add_format(out, "\"%sVersion\" : %" PRId64 "\n", prefix, kv->version);
    fields_quoted(out, prefix, "Value", output_bytes(kv->value));
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
    if (output_whole(cli, r))
        return;
    add_put(cli, &out, r);
    output_text(&out);
}

void output_get(const struct cli *cli, const Etcdserverpb__RangeResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (output_whole(cli, r))
        return;
    add_get(cli, &out, r);
    output_text(&out);
}

void output_delete(const struct cli *cli, const Etcdserverpb__DeleteRangeResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (output_whole(cli, r))
        return;
    add_delete(cli, &out, r);
    output_text(&out);
}

void output_txn(const struct cli *cli, const Etcdserverpb__TxnResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    bool is_simple = cli->format == FORMAT_SIMPLE;
    if (output_whole(cli, r))
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
    output_text(&out);
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
        output_refuse(cli);
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
    output_text(&out);
}

/* Leases: etcd's Go client has structs of its own for them, the header's fields in the open. */
