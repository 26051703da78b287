/* What the peer verbs share: see peer_add.c, peer_list.c, peer_rename.c, peer_remove.c. */
#ifndef WARREN_CLI_PEER_H
#define WARREN_CLI_PEER_H

#include "store.h"

enum {
    PEER_MAX_ATTEMPTS = 10, /* of a write that others overtake */
};

/* TEXT in lower case; ends the program if it is no label of at most MAX (room for MAX + 1). */
void peer_read_label(char *out, size_t max, const char *text, const char *what);
/* Ends the program if a peer of LIST other than the one with the key BUT (NULL: any) has NAME. */
void peer_refuse_name(const struct peer_list *list, const char *zone, const char *name,
                      const uint8_t *but);
/* "peer alice, KEY added", or the peer as JSON. */
void peer_say(const struct cli *cli, const struct peer_entry *entry, const char *done);
/* Others were faster PEER_MAX_ATTEMPTS times. */
_Noreturn void peer_give_up(const char *zone);

#endif
