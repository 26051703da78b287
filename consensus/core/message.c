#include "core/message.h"

#include <stdlib.h>

const char *message_type_text(enum message_type type)
{
    static const char texts[][24] = {
#define X(name, text) text,
        MESSAGE_TYPES(X)
#undef X
    };
    return (size_t)type < ARRAY_COUNT(texts) ? texts[type] : "unknown";
}

bool message_crosses_network(enum message_type type)
{
    switch (type) {
    case MESSAGE_PROPOSAL:
    case MESSAGE_APPEND:
    case MESSAGE_APPEND_RESPONSE:
    case MESSAGE_VOTE:
    case MESSAGE_VOTE_RESPONSE:
    case MESSAGE_SNAPSHOT:
    case MESSAGE_HEARTBEAT:
    case MESSAGE_HEARTBEAT_RESPONSE:
    case MESSAGE_TRANSFER:
    case MESSAGE_TIMEOUT_NOW:
    case MESSAGE_READ_INDEX:
    case MESSAGE_READ_INDEX_RESPONSE:
    case MESSAGE_PRE_VOTE:
    case MESSAGE_PRE_VOTE_RESPONSE:
        return true;
    case MESSAGE_CAMPAIGN:
    case MESSAGE_BEAT:
    case MESSAGE_UNREACHABLE:
    case MESSAGE_SNAPSHOT_STATUS:
    case MESSAGE_CHECK_QUORUM:
    case MESSAGE_STORE:
    case MESSAGE_STORE_RESPONSE:
    case MESSAGE_APPLY:
    case MESSAGE_APPLY_RESPONSE:
    case MESSAGE_FORGET_LEADER:
    case MESSAGE_TYPE_COUNT:
        break;
    }
    return false;
}

static enum err copy_responses(struct raft_message *out, const struct raft_message *m)
{
    if (m->response_count == 0)
        return OK;
    out->responses = calloc(m->response_count, sizeof(*out->responses));
    if (out->responses == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < m->response_count; i++) {
        enum err error = message_copy(&out->responses[i], &m->responses[i]);
        if (error != OK)
            return error;
        out->response_count++;
    }
    return OK;
}

static enum err copy_parts(struct raft_message *out, const struct raft_message *m)
{
    enum err error = entry_list_add_all(&out->entries, entry_list_view(&m->entries));
    if (error != OK)
        return error;
    if (m->snapshot != NULL) {
        out->snapshot = malloc(sizeof(*out->snapshot));
        if (out->snapshot == NULL)
            return ERR_NO_MEMORY;
        *out->snapshot = *m->snapshot;
    }
    return copy_responses(out, m);
}

enum err message_copy(struct raft_message *out, const struct raft_message *m)
{
    *out = *m;
    out->entries = ENTRY_LIST_EMPTY;
    out->snapshot = NULL;
    out->context = payload_reference(m->context);
    out->responses = NULL;
    out->response_count = 0;
    enum err error = copy_parts(out, m);
    if (error != OK)
        message_fini(out);
    return error;
}

void message_fini(struct raft_message *m)
{
    entry_list_fini(&m->entries);
    free(m->snapshot);
    payload_release(m->context);
    for (size_t i = 0; i < m->response_count; i++)
        message_fini(&m->responses[i]);
    free(m->responses);
    *m = (struct raft_message){0};
}

enum err message_list_take(struct message_list *list, struct raft_message *m)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : 8;
        struct raft_message *moved = reallocarray(list->items, capacity, sizeof(*moved));
        if (moved == NULL) {
            message_fini(m);
            return ERR_NO_MEMORY;
        }
        list->items = moved;
        list->capacity = capacity;
    }
    list->items[list->count++] = *m;
    *m = (struct raft_message){0};
    return OK;
}

void message_list_fini(struct message_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        message_fini(&list->items[i]);
    free(list->items);
    *list = (struct message_list){0};
}
