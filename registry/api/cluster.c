/* etcdserverpb.Cluster */
#include "convert.h"
#include "members.h"
#include "pb.h"
#include "server.h"
#include "services.h"
#include "unary.h"

#include <stdlib.h>
#include <string.h>

/* Field numbers of rpc.proto. */
enum {
    HEADER = 1,
    LIST_MEMBERS = 2,
    MEMBER_ID = 1,
    MEMBER_NAME = 2,
    MEMBER_PEER_URLS = 3,
    MEMBER_CLIENT_URLS = 4,
    MEMBER_IS_LEARNER = 5,
};

static size_t texts_size(const char *const *texts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pb_nested_size(strlen(texts[i]));
    return size;
}

static uint8_t *put_texts(uint8_t *at, unsigned field, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(texts[i]);
        at = pb_put_raw(pb_put_nested(at, field, size), texts[i], size);
    }
    return at;
}

static size_t member_size(const struct store_member *m)
{
    return pb_uint_size(m->id) + pb_bytes_size(strlen(m->name)) +
           texts_size(m->peer_urls, m->peer_url_count) +
           texts_size(m->client_urls, m->client_url_count) + pb_uint_size(m->is_learner);
}

static uint8_t *put_member(uint8_t *at, const struct store_member *m)
{
    at = pb_put_nested(at, LIST_MEMBERS, member_size(m));
    at = pb_put_uint(at, MEMBER_ID, m->id);
    at = pb_put_bytes(at, MEMBER_NAME, bytes_of_str(m->name));
    at = put_texts(at, MEMBER_PEER_URLS, m->peer_urls, m->peer_url_count);
    at = put_texts(at, MEMBER_CLIENT_URLS, m->client_urls, m->client_url_count);
    return pb_put_uint(at, MEMBER_IS_LEARNER, m->is_learner);
}

size_t encode_members_size(const struct reply_header *h, const struct store_member *members,
                           size_t count)
{
    size_t size = pb_nested_size(encode_header_size(h));
    for (size_t i = 0; i < count; i++)
        size += pb_nested_size(member_size(&members[i]));
    return size;
}

uint8_t *encode_members(uint8_t *at, const struct reply_header *h,
                        const struct store_member *members, size_t count)
{
    at = encode_header(pb_put_nested(at, HEADER, encode_header_size(h)), h);
    for (size_t i = 0; i < count; i++)
        at = put_member(at, &members[i]);
    return at;
}

static int by_id(const void *a, const void *b)
{
    const struct store_member *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

void cluster_member_list(struct call *c, struct bytes message)
{
    (void)message; /* `linearizable`: a member knows the members it applied */
    struct server *s = c->server;
    struct store_status status;
    store_status(s->store, &status);
    struct reply_header h = server_header(s, 0); /* a reply of this service has no revision */
    struct store_member *members =
        arena_copy(&s->arena, status.members, status.member_count * sizeof(struct store_member));
    if (members == NULL) {
        call_end_verdict(c, VERDICT_TOO_MANY_REQUESTS);
        return;
    }
    qsort(members, status.member_count, sizeof(struct store_member), by_id);
    uint8_t *at = call_message(c, encode_members_size(&h, members, status.member_count));
    if (at != NULL) {
        encode_members(at, &h, members, status.member_count);
        call_finish(c);
    }
    arena_reset(&s->arena);
}

/* --- a member by its id ----------------------------------------------------------------------- */

/* Whether the ID that MESSAGE names is a member's; ends the call where it names none. */
static bool find_member(struct call *c, struct bytes message, enum verdict missing)
{
    struct server *s = c->server;
    struct store_status status;
    uint64_t id = 0;
    enum err e = convert_member_id(&id, message, &s->arena);
    arena_reset(&s->arena);
    if (e != OK) {
        unary_refuse(c, e, strrchr(c->method->path, '/') + 1);
        return false;
    }
    store_status(s->store, &status);
    for (size_t i = 0; i < status.member_count; i++)
        if (status.members[i].id == id)
            return true;
    call_end_verdict(c, missing);
    return false;
}

void cluster_member_remove(struct call *c, struct bytes message)
{
    if (find_member(c, message, VERDICT_MEMBER_NOT_FOUND))
        service_unsupported(c, message);
}

void cluster_member_update(struct call *c, struct bytes message)
{
    if (find_member(c, message, VERDICT_MEMBER_NOT_FOUND))
        service_unsupported(c, message);
}

void cluster_member_promote(struct call *c, struct bytes message)
{
    if (find_member(c, message, VERDICT_MEMBER_NOT_FOUND))
        call_end_verdict(c, VERDICT_NOT_LEARNER); /* there are no learners yet */
}

/* The one member there is leads already. MoveLeaderResponse from etcd has no header. */
void cluster_move_leader(struct call *c, struct bytes message)
{
    if (find_member(c, message, VERDICT_BAD_TRANSFEREE) && call_message(c, 0) != NULL)
        call_finish(c);
}
