/* Warren's zones and peers as the domain verbs read and write them: over KV alone. */
#ifndef WARREN_CLI_STORE_H
#define WARREN_CLI_STORE_H

#include "cli.h"
#include "peers_text.h"
#include "rpc.pb-c.h"

enum {
    STORE_VALUE_ARENA = 16 << 20, /* what one value can need, by far */
};

struct stored_peer {
    struct peer_entry entry;
    int64_t mod_revision;
    bool is_malformed; /* the value does not parse: only the key is known */
};

struct peer_list {
    struct stored_peer *items;
    size_t count, capacity;
    int64_t revision; /* of the store, when it was read */
};

/* What stands under KEY, and with END in the range; all pages of it at one revision. */
typedef void store_visit(void *user, const Mvccpb__KeyValue *kv);
int64_t store_scan(struct cli *cli, const char *key, bool is_prefix, store_visit *visit,
                   void *user);

/* The zone that TEXT names (it need exist only if MUST_EXIST), or with NULL the only one there is.
 */
const char *store_zone(struct cli *cli, const char *text, bool must_exist);
/* All zones. */
size_t store_zones(struct cli *cli, char ***out);
void store_peers(struct cli *cli, const char *zone, struct peer_list *out);
/* One more, zeroed. */
struct stored_peer *store_peer_add(struct peer_list *list);
/* For qsort(3) by key, and for bsearch(3) of a key. */
int store_compare_peers(const void *a, const void *b);
int store_compare_key(const void *key, const void *peer);
/* By key (base64 or base32), else by name; ends the program if there is none. */
struct stored_peer *store_find(struct peer_list *list, const char *zone, const char *text);

/* A transaction being made. */
struct store_txn {
    Etcdserverpb__TxnRequest request;
};
/* KEY (NULL-terminated, kept) still is as it was read: MOD_REVISION 0 for absent. */
void store_expect(struct store_txn *txn, const char *key, int64_t mod_revision);
/* KEY is there, whatever it holds. */
void store_expect_any(struct store_txn *txn, const char *key);
/* Nothing stands under PREFIX. */
void store_expect_nothing(struct store_txn *txn, const char *prefix);
/* No peer of ZONE was written after REVISION. */
void store_expect_zone(struct store_txn *txn, const char *zone, int64_t revision);
void store_put(struct store_txn *txn, const char *key, const char *value);
/* What is read if an expectation does not hold. */
void store_else_get(struct store_txn *txn, const char *key);
void store_delete(struct store_txn *txn, const char *key, bool is_prefix);
/* Empties a transaction that is not needed. */
void store_drop(struct store_txn *txn);
/* Whether the expectations held and all was done. Empties TXN. */
bool store_commit(struct cli *cli, struct store_txn *txn);
/* The same; the reply is the caller's, with what the other operations (store_else_get) found. If
 * the answer is lost it is sent again: for what may be done twice. */
Etcdserverpb__TxnResponse *store_commit_reply(struct cli *cli, struct store_txn *txn);
/* The same in two halves, for work between them. NULL: it did not get through, or nobody knows
 * whether it did; nothing is tried again. */
struct grpc_stream *store_commit_start(struct cli *cli, struct store_txn *txn);
Etcdserverpb__TxnResponse *store_commit_finish(struct cli *cli, struct grpc_stream *stream);

char *store_peer_key(const char *zone, const uint8_t key[static KEY_SIZE]);
char *store_zone_key(const char *zone);
char *store_peer_value(const struct registry_peer *peer);
struct arena *store_arena(void);

#endif
