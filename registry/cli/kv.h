/* put, get and del as requests: the verbs' own, and those of txn's lines. */
#ifndef WARREN_CLI_KV_H
#define WARREN_CLI_KV_H

#include "cli.h"
#include "rpc.pb-c.h"

extern struct flag put_flags[], get_flags[], del_flags[];

/* Arguments (flags already taken out and set) to a request whose bytes are the arguments'. They end
 * the program, as etcdctl does, if the arguments are wrong. */
void put_request(Etcdserverpb__PutRequest *out, char **arguments, size_t count);
void get_request(Etcdserverpb__RangeRequest *out, char **arguments, size_t count);
void del_request(Etcdserverpb__DeleteRangeRequest *out, char **arguments, size_t count);
/* All flags back to their defaults, as each line of a transaction has its own. */
void put_reset(void);
void get_reset(void);
void del_reset(void);

/* The end of the range of all keys that begin with KEY. */
ProtobufCBinaryData prefix_end(ProtobufCBinaryData key);
/* Key and range end of --prefix or --from-key. */
void key_range(const char *text, bool is_prefix, ProtobufCBinaryData *key,
               ProtobufCBinaryData *end);

#endif
