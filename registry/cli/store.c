#include "store.h"

#include "kv.h"

#include <stdlib.h>
#include <strings.h>

enum {
    PAGE = 5000,
    ARENA_LIMIT_SHIFT = 40, /* the process's own memory is the bound */
};

struct arena *store_arena(void)
{
    static struct arena arena;
    if (arena.limit == 0)
        arena_init(&arena, (size_t)1 << ARENA_LIMIT_SHIFT);
    return &arena;
}

char *store_peer_key(const char *zone, const uint8_t key[static KEY_SIZE])
{
    struct strbuf out = STRBUF_EMPTY;
    registry_peer_key(&out, bytes_of_str(zone), key);
    return cli_text(&out);
}

char *store_zone_key(const char *zone)
{
    struct strbuf out = STRBUF_EMPTY;
    registry_zone_key(&out, bytes_of_str(zone));
    return cli_text(&out);
}

char *store_peer_value(const struct registry_peer *peer)
{
    struct strbuf out = STRBUF_EMPTY;
    registry_peer_format(&out, peer);
    return cli_text(&out);
}

int64_t store_scan(struct cli *cli, const char *key, bool is_prefix, store_visit *visit, void *user)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    uint8_t *next = NULL;
    request.key = cli_bytes(key);
    if (is_prefix)
        request.range_end = prefix_end(request.key);
    request.limit = PAGE;
    for (;;) {
        Etcdserverpb__RangeResponse *r =
            cli_call(cli, "/etcdserverpb.KV/Range", &request,
                     &etcdserverpb__range_response__descriptor, true, CLI_ERROR);
        for (size_t i = 0; i < r->n_kvs; i++)
            visit(user, r->kvs[i]);
        if (request.revision == 0 && r->header != NULL)
            request.revision = r->header->revision; /* all pages from one moment */
        bool has_more = r->more && r->n_kvs > 0;
        if (has_more) { /* from just behind the last key */
            const ProtobufCBinaryData *last = &r->kvs[r->n_kvs - 1]->key;
            uint8_t *after = cli_memory(malloc(last->len + 1));
            memcpy(after, last->data, last->len);
            after[last->len] = 0;
            free(next);
            next = after;
            request.key = (ProtobufCBinaryData){.len = last->len + 1, .data = after};
        }
        etcdserverpb__range_response__free_unpacked(r, NULL);
        if (!has_more)
            break;
    }
    free(next);
    return request.revision;
}

/* Zones. */

struct zone_names {
    char **names;
    size_t count;
};

static void visit_zone(void *user, const Mvccpb__KeyValue *kv)
{
    struct zone_names *z = user;
    struct registry_key key;
    registry_key_parse(&key, bytes_of(kv->key.data, kv->key.len));
    if (key.type != REGISTRY_KEY_ZONE)
        return;
    z->names = cli_memory(realloc(z->names, (z->count + 1) * sizeof(*z->names)));
    z->names[z->count++] = cli_memory(strndup((const char *)key.zone.data, key.zone.size));
}

size_t store_zones(struct cli *cli, char ***out)
{
    struct zone_names z = {0};
    store_scan(cli, REGISTRY_ZONES_PREFIX, true, visit_zone, &z);
    *out = z.names;
    return z.count;
}

const char *store_zone(struct cli *cli, const char *text, bool must_exist)
{
    char name[ZONE_TEXT_SIZE];
    struct zone_names z = {0};
    if (text != NULL) {
        if (zone_name_parse(name, text) != OK)
            cli_exit(CLI_BAD_ARGUMENTS, "zone '%s' is not a domain name", text);
        char *key = store_zone_key(name);
        if (must_exist)
            store_scan(cli, key, false, visit_zone, &z);
        free(key);
        if (must_exist && z.count == 0)
            cli_exit(CLI_ERROR, "zone %s does not exist; `warrenctl zone create %s` makes it", name,
                     name);
        return cli_memory(strdup(name));
    }
    z.count = store_zones(cli, &z.names);
    if (z.count == 0)
        cli_exit(CLI_ERROR, "there is no zone yet; `warrenctl zone create NAME` makes one");
    if (z.count > 1)
        cli_exit(CLI_BAD_ARGUMENTS, "there are %zu zones; say which with --zone", z.count);
    return z.names[0];
}

/* Peers. */

struct stored_peer *store_peer_add(struct peer_list *list)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->items = cli_memory(realloc(list->items, list->capacity * sizeof(*list->items)));
    }
    struct stored_peer *p = &list->items[list->count++];
    *p = (struct stored_peer){.mod_revision = 0};
    return p;
}

int store_compare_key(const void *key, const void *peer)
{
    return memcmp(key, ((const struct stored_peer *)peer)->entry.key, KEY_SIZE);
}

int store_compare_peers(const void *a, const void *b)
{
    return store_compare_key(((const struct stored_peer *)a)->entry.key, b);
}

static void visit_peer(void *user, const Mvccpb__KeyValue *kv)
{
    struct peer_list *list = user;
    struct registry_key key;
    struct strbuf why = STRBUF_EMPTY;
    registry_key_parse(&key, bytes_of(kv->key.data, kv->key.len));
    if (key.type != REGISTRY_KEY_PEER)
        return;
    struct stored_peer *p = store_peer_add(list);
    p->mod_revision = kv->mod_revision;
    memcpy(p->entry.key, key.peer, KEY_SIZE);
    if (key.zone.size < sizeof(p->entry.zone))
        memcpy(p->entry.zone, key.zone.data, key.zone.size);
    p->is_malformed = registry_peer_parse(&p->entry.peer, bytes_of(kv->value.data, kv->value.len),
                                          store_arena(), &why) != OK;
    strbuf_fini(&why);
}

void store_peers(struct cli *cli, const char *zone, struct peer_list *out)
{
    struct strbuf prefix = STRBUF_EMPTY;
    registry_peers_prefix(&prefix, bytes_of_str(zone));
    char *text = cli_text(&prefix);
    out->count = 0;
    out->revision = store_scan(cli, text, true, visit_peer, out);
    free(text);
}

static struct stored_peer *find_key(struct peer_list *list, const char *text)
{
    uint8_t key[KEY_SIZE];
    if (peer_key_parse(key, text) != OK)
        return NULL;
    for (size_t i = 0; i < list->count; i++) {
        if (store_compare_key(key, &list->items[i]) == 0)
            return &list->items[i];
    }
    return NULL;
}

struct stored_peer *store_find(struct peer_list *list, const char *zone, const char *text)
{
    struct stored_peer *found = find_key(list, text);
    if (found != NULL)
        return found;
    for (size_t i = 0; i < list->count && text[0] != '\0'; i++) {
        struct stored_peer *p = &list->items[i];
        if (p->is_malformed || strcasecmp(p->entry.peer.name, text) != 0)
            continue;
        if (found != NULL)
            cli_exit(CLI_ERROR, "two peers of %s are called %s; name one by its key", zone, text);
        found = p;
    }
    if (found == NULL)
        cli_exit(CLI_ERROR, "zone %s has no peer '%s'", zone, text);
    return found;
}

/* Transactions. */

static void add_compare(struct store_txn *txn, const Etcdserverpb__Compare *compare)
{
    Etcdserverpb__TxnRequest *r = &txn->request;
    r->compare = cli_memory(realloc(r->compare, (r->n_compare + 1) * sizeof(*r->compare)));
    r->compare[r->n_compare] = cli_memory(malloc(sizeof(*compare)));
    *r->compare[r->n_compare++] = *compare;
}

static Etcdserverpb__RequestOp *add_to(Etcdserverpb__RequestOp ***list, size_t *count)
{
    *list = cli_memory(realloc(*list, (*count + 1) * sizeof(**list)));
    Etcdserverpb__RequestOp *op = cli_memory(malloc(sizeof(*op)));
    etcdserverpb__request_op__init(op);
    (*list)[(*count)++] = op;
    return op;
}

static Etcdserverpb__RequestOp *add_operation(struct store_txn *txn)
{
    return add_to(&txn->request.success, &txn->request.n_success);
}

void store_expect(struct store_txn *txn, const char *key, int64_t mod_revision)
{
    Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT;
    c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
    c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
    c.mod_revision = mod_revision;
    c.key = cli_bytes(key);
    add_compare(txn, &c);
}

void store_expect_any(struct store_txn *txn, const char *key)
{
    Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT;
    c.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER;
    c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
    c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
    c.key = cli_bytes(key);
    add_compare(txn, &c);
}

void store_expect_nothing(struct store_txn *txn, const char *prefix)
{
    Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT;
    c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
    c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
    c.key = cli_bytes(prefix); /* a missing key has revision 0, and so has an empty range */
    c.range_end = prefix_end(c.key);
    add_compare(txn, &c);
}

void store_expect_zone(struct store_txn *txn, const char *zone, int64_t revision)
{
    struct strbuf prefix = STRBUF_EMPTY;
    Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT;
    registry_peers_prefix(&prefix, bytes_of_str(zone));
    c.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS;
    c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
    c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
    c.mod_revision = revision + 1;
    c.key = cli_bytes(cli_text(&prefix));
    c.range_end = prefix_end(c.key);
    add_compare(txn, &c);
}

void store_put(struct store_txn *txn, const char *key, const char *value)
{
    Etcdserverpb__RequestOp *op = add_operation(txn);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op->request_put = cli_memory(malloc(sizeof(*op->request_put)));
    etcdserverpb__put_request__init(op->request_put);
    op->request_put->key = cli_bytes(key);
    op->request_put->value = cli_bytes(value);
}

void store_else_get(struct store_txn *txn, const char *key)
{
    Etcdserverpb__RequestOp *op = add_to(&txn->request.failure, &txn->request.n_failure);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op->request_range = cli_memory(malloc(sizeof(*op->request_range)));
    etcdserverpb__range_request__init(op->request_range);
    op->request_range->key = cli_bytes(key);
}

void store_delete(struct store_txn *txn, const char *key, bool is_prefix)
{
    Etcdserverpb__RequestOp *op = add_operation(txn);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    op->request_delete_range = cli_memory(malloc(sizeof(*op->request_delete_range)));
    etcdserverpb__delete_range_request__init(op->request_delete_range);
    op->request_delete_range->key = cli_bytes(key);
    if (is_prefix)
        op->request_delete_range->range_end = prefix_end(op->request_delete_range->key);
}

static void free_operations(Etcdserverpb__RequestOp **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i]->request_put); /* the union's pointers share their place */
        free(list[i]);
    }
    free(list);
}

void store_drop(struct store_txn *txn)
{
    for (size_t i = 0; i < txn->request.n_compare; i++)
        free(txn->request.compare[i]);
    free(txn->request.compare);
    free_operations(txn->request.success, txn->request.n_success);
    free_operations(txn->request.failure, txn->request.n_failure);
    *txn = (struct store_txn){0};
}

static Etcdserverpb__TxnRequest request_of(const struct store_txn *txn)
{
    Etcdserverpb__TxnRequest request = ETCDSERVERPB__TXN_REQUEST__INIT;
    request.n_compare = txn->request.n_compare;
    request.compare = txn->request.compare;
    request.n_success = txn->request.n_success;
    request.success = txn->request.success;
    request.n_failure = txn->request.n_failure;
    request.failure = txn->request.failure;
    return request;
}

#define TXN_METHOD "/etcdserverpb.KV/Txn"

static Etcdserverpb__TxnResponse *commit(struct cli *cli, struct store_txn *txn, bool may_repeat)
{
    Etcdserverpb__TxnRequest request = request_of(txn);
    Etcdserverpb__TxnResponse *r = cli_call(
        cli, TXN_METHOD, &request, &etcdserverpb__txn_response__descriptor, may_repeat, CLI_ERROR);
    store_drop(txn);
    return r;
}

Etcdserverpb__TxnResponse *store_commit_reply(struct cli *cli, struct store_txn *txn)
{
    return commit(cli, txn, true);
}

struct grpc_stream *store_commit_start(struct cli *cli, struct store_txn *txn)
{
    struct grpc_stream *stream = NULL;
    Etcdserverpb__TxnRequest request = request_of(txn);
    enum err error =
        channel_start(cli->channel, TXN_METHOD, &request.base, cli_deadline(cli), &stream);
    store_drop(txn);
    return error == OK ? stream : NULL;
}

Etcdserverpb__TxnResponse *store_commit_finish(struct cli *cli, struct grpc_stream *stream)
{
    ProtobufCMessage *reply = NULL;
    struct call_status status = {0};
    bool was_refused;
    enum err error = channel_finish(cli->channel, stream, &etcdserverpb__txn_response__descriptor,
                                    cli_deadline(cli), &reply, &status, &was_refused);
    strbuf_fini(&status.message);
    return error == OK ? (Etcdserverpb__TxnResponse *)reply : NULL;
}

bool store_commit(struct cli *cli, struct store_txn *txn)
{
    Etcdserverpb__TxnResponse *r = commit(cli, txn, false);
    bool succeeded = r->succeeded;
    etcdserverpb__txn_response__free_unpacked(r, NULL);
    return succeeded;
}
