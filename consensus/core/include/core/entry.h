/* Log entries, and the counted byte strings that they carry.
 *
 * One entry is in the log's tail, in messages to several members and in what is handed out to be
 * written and applied, all at once. Its payload is therefore counted and never changes; an entry
 * itself is four words and is copied. Counts are not atomic: a payload belongs to one thread. */
#ifndef WARREN_CORE_ENTRY_H
#define WARREN_CORE_ENTRY_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct payload {
    size_t references;
    size_t size;
    uint8_t data[];
};

/* A copy of DATA with one reference; NULL if there is no memory. */
struct payload *payload_create(struct bytes data) MUST_CHECK;
/* Both take NULL, and do nothing with it. */
struct payload *payload_reference(struct payload *p);
void payload_release(struct payload *p);
static inline struct bytes payload_bytes(const struct payload *p)
{
    return p != NULL ? bytes_of(p->data, p->size) : BYTES_EMPTY;
}

enum entry_type {
    ENTRY_NORMAL,
    ENTRY_CHANGE_V1, /* a configuration_change, with one item */
    ENTRY_CHANGE,    /* a configuration_change; without a payload: leave the joint configuration */
    /* In the place of a change that the leader refused. Nothing to apply; it is a type of its own
     * because its encoded size is not a normal entry's (entry_size). */
    ENTRY_REFUSED_CHANGE,
    ENTRY_TYPE_COUNT,
};

struct entry {
    uint64_t term;
    uint64_t index;
    enum entry_type type;
    struct payload *payload; /* NULL: none, which is not the same size as an empty one */
};

static inline bool entry_is_change(const struct entry *e)
{
    return e->type == ENTRY_CHANGE_V1 || e->type == ENTRY_CHANGE;
}

/* Bytes that limits are counted in: of the entry as a protobuf message {1: type, 2: term, 3: index,
 * 4: data}, where a normal entry states no type. Pages of entries then end where etcd-io/raft's do.
 */
uint64_t entry_size(const struct entry *e);
/* Bytes of the payload alone. */
static inline uint64_t entry_payload_size(const struct entry *e)
{
    return e->payload != NULL ? e->payload->size : 0;
}

/* Borrowed, in order of index and without gaps. */
struct entries {
    const struct entry *items;
    size_t count;
};

uint64_t entries_size(struct entries list);
uint64_t entries_payload_size(struct entries list);

/* Owns its array and one reference to each payload. All zero: empty. */
struct entry_list {
    struct entry *items;
    size_t count;
    size_t capacity;
};

#define ENTRY_LIST_EMPTY ((struct entry_list){0})

static inline struct entries entry_list_view(const struct entry_list *list)
{
    return (struct entries){.items = list->items, .count = list->count};
}
/* Room for COUNT more, so that adding as many cannot fail. ERR_NO_MEMORY. */
enum err entry_list_reserve(struct entry_list *list, size_t count) MUST_CHECK;
/* Copies, with a reference of its own to the payload. ERR_NO_MEMORY: LIST is as it was. */
enum err entry_list_add(struct entry_list *list, const struct entry *e) MUST_CHECK;
enum err entry_list_add_all(struct entry_list *list, struct entries more) MUST_CHECK;
/* Drops all but the first COUNT. */
void entry_list_truncate(struct entry_list *list, size_t count);
/* Drops the first COUNT. */
void entry_list_drop(struct entry_list *list, size_t count);
/* Drops all and gives the memory back. */
void entry_list_fini(struct entry_list *list);

#endif
