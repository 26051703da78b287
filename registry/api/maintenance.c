/* etcdserverpb.Maintenance */
#include "maintenance.h"

#include "pb.h"
#include "server.h"
#include "services.h"
#include "unary.h"

#include <inttypes.h>
#include <stdio.h>

/* Field numbers of rpc.proto. */
enum {
    HEADER = 1,

    STATUS_VERSION = 2,
    STATUS_DB_SIZE = 3,
    STATUS_LEADER = 4,
    STATUS_RAFT_INDEX = 5,
    STATUS_RAFT_TERM = 6,
    STATUS_RAFT_APPLIED = 7,
    STATUS_ERRORS = 8,
    STATUS_DB_SIZE_IN_USE = 9,

    ALARM_ALARMS = 2,
    ALARM_MEMBER = 1,
    ALARM_KIND = 2,

    HASH_HASH = 2,
    HASH_COMPACT_REVISION = 3,
    HASH_REVISION = 4,

    ERROR_TEXT_SIZE = 128,
};

/* --- Status ----------------------------------------------------------------------------------- */

static const char *alarm_name(enum alarm_type type)
{
    switch (type) {
    case ALARM_NOSPACE:
        return "NOSPACE";
    case ALARM_CORRUPT:
        return "CORRUPT";
    case ALARM_NONE:
        break;
    }
    return "NONE";
}

/* Go's text of an AlarmMember. */
static struct bytes alarm_text(char text[ERROR_TEXT_SIZE], const struct alarm *a)
{
    int size = snprintf(text, ERROR_TEXT_SIZE, "memberID:%" PRIu64 " alarm:%s ", a->member,
                        alarm_name(a->type));
    return bytes_of(text, (size_t)size);
}

static const char no_leader[] = "etcdserver: no leader";

static size_t errors_size(const struct store_status *s)
{
    char text[ERROR_TEXT_SIZE];
    size_t size = s->leader == 0 ? pb_nested_size(sizeof(no_leader) - 1) : 0;
    for (size_t i = 0; i < s->alarm_count; i++)
        size += pb_nested_size(alarm_text(text, &s->alarms[i]).size);
    return size + pb_bytes_size(strlen(s->failure));
}

static uint8_t *put_errors(uint8_t *at, const struct store_status *s)
{
    char text[ERROR_TEXT_SIZE];
    if (s->leader == 0)
        at = pb_put_bytes(at, STATUS_ERRORS, bytes_of_str(no_leader));
    for (size_t i = 0; i < s->alarm_count; i++)
        at = pb_put_bytes(at, STATUS_ERRORS, alarm_text(text, &s->alarms[i]));
    return pb_put_bytes(at, STATUS_ERRORS, bytes_of_str(s->failure));
}

size_t encode_status_size(const struct reply_header *h, const struct store_status *s)
{
    return pb_nested_size(encode_header_size(h)) + pb_bytes_size(strlen(API_ETCD_VERSION)) +
           pb_uint_size(s->database_size) + pb_uint_size(s->leader) + pb_uint_size(s->raft_index) +
           pb_uint_size(s->term) + pb_uint_size(s->raft_applied) + errors_size(s) +
           pb_uint_size(s->in_use_size);
}

uint8_t *encode_status(uint8_t *at, const struct reply_header *h, const struct store_status *s)
{
    at = encode_header(pb_put_nested(at, HEADER, encode_header_size(h)), h);
    at = pb_put_bytes(at, STATUS_VERSION, bytes_of_str(API_ETCD_VERSION));
    at = pb_put_uint(at, STATUS_DB_SIZE, s->database_size);
    at = pb_put_uint(at, STATUS_LEADER, s->leader);
    at = pb_put_uint(at, STATUS_RAFT_INDEX, s->raft_index);
    at = pb_put_uint(at, STATUS_RAFT_TERM, s->term);
    at = pb_put_uint(at, STATUS_RAFT_APPLIED, s->raft_applied);
    at = put_errors(at, s);
    return pb_put_uint(at, STATUS_DB_SIZE_IN_USE, s->in_use_size);
}

void maintenance_status(struct call *c, struct bytes message)
{
    (void)message; /* StatusRequest has no fields */
    struct store_status status;
    store_status(c->server->store, &status);
    struct reply_header h = server_header(c->server, status.revision);
    uint8_t *at = call_message(c, encode_status_size(&h, &status));
    if (at == NULL)
        return;
    encode_status(at, &h, &status);
    call_finish(c);
}

/* --- Alarm ------------------------------------------------------------------------------------ */

static size_t alarm_size(const struct alarm *a)
{
    return pb_uint_size(a->member) + pb_uint_size((uint64_t)a->type);
}

size_t encode_alarms_size(const struct reply_header *h, const struct alarm *alarms, size_t count)
{
    size_t size = pb_nested_size(encode_header_size(h));
    for (size_t i = 0; i < count; i++)
        size += pb_nested_size(alarm_size(&alarms[i]));
    return size;
}

uint8_t *encode_alarms(uint8_t *at, const struct reply_header *h, const struct alarm *alarms,
                       size_t count)
{
    at = encode_header(pb_put_nested(at, HEADER, encode_header_size(h)), h);
    for (size_t i = 0; i < count; i++) {
        at = pb_put_nested(at, ALARM_ALARMS, alarm_size(&alarms[i]));
        at = pb_put_uint(at, ALARM_MEMBER, alarms[i].member);
        at = pb_put_uint(at, ALARM_KIND, (uint64_t)alarms[i].type);
    }
    return at;
}

static void alarm_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    const struct alarm *alarms = response->alarms.alarms;
    size_t count = response->alarms.count;
    uint8_t *at = call_message(c, encode_alarms_size(&h, alarms, count));
    if (at == NULL)
        return;
    encode_alarms(at, &h, alarms, count);
    call_finish(c);
}

void maintenance_alarm(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_alarm, alarm_done);
}

/* --- Defragment, Hash, HashKV ----------------------------------------------------------------- */

/* DefragmentResponse from etcd has no header. */
static void defragment_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c != NULL && call_message(c, 0) != NULL)
        call_finish(c);
}

void maintenance_defragment(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_defragment, defragment_done);
}

static void answer_hash(struct call *c, const struct reply_header *h, uint32_t hash,
                        int64_t compact_revision, int64_t hash_revision)
{
    size_t header_size = encode_header_size(h);
    size_t size = pb_nested_size(header_size) + pb_uint_size(hash) + pb_int_size(compact_revision) +
                  pb_int_size(hash_revision);
    uint8_t *at = call_message(c, size);
    if (at == NULL)
        return;
    at = encode_header(pb_put_nested(at, HEADER, header_size), h);
    at = pb_put_uint(at, HASH_HASH, hash);
    at = pb_put_int(at, HASH_COMPACT_REVISION, compact_revision);
    pb_put_int(at, HASH_REVISION, hash_revision);
    call_finish(c);
}

static void hash_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    answer_hash(c, &h, response->hash.hash, 0, 0); /* HashResponse has no more than that */
}

static void hash_kv_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    answer_hash(c, &h, response->hash.hash, response->hash.compact_revision,
                response->hash.hash_revision);
}

void maintenance_hash(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_hash, hash_done);
}

void maintenance_hash_kv(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_hash_kv, hash_kv_done);
}
