/* Where the writing of a run of changes stands. Each backend writes as much as fits into one
 * message and moves the cursor behind it. */
#ifndef WARREN_WGCTL_CHANGE_CURSOR_H
#define WARREN_WGCTL_CHANGE_CURSOR_H

#include "wgctl/change.h"

struct change_cursor {
    const struct wgctl_peer_change *changes;
    size_t end;      /* of the changes to write */
    size_t at;       /* the change to go on with */
    size_t ip_index; /* its first allowed IP not written yet; above 0, it is a continued one */
};

/* How many allowed IPs a message has to say of CHANGE. */
static inline size_t change_ip_count(const struct wgctl_peer_change *change)
{
    return change->remove ? 0 : change->allowed_ip_count;
}

/* Everything before allowed IP NEXT of the change at C is written. */
static inline void change_cursor_move(struct change_cursor *c, size_t next)
{
    bool is_whole = next == change_ip_count(&c->changes[c->at]);
    c->at += is_whole;
    c->ip_index = is_whole ? 0 : next;
}

#endif
