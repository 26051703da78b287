/* The short cut for the usual reply: every record belongs to one name, as long as the one that was
 * asked (it is that name, with whatever case), and no rdata holds a name that may be compressed.
 * Then no table of suffixes is needed: the first owner shares with the question what their spelling
 * shares, and the others point to the first. The bytes are those of the general packer
 * (tests/unit/base/test_dns_write.c compares the two). */
#ifndef WARREN_BASE_DNS_SAME_OWNER_H
#define WARREN_BASE_DNS_SAME_OWNER_H

#include "base/cursor.h"
#include "base/dns_message.h"

#include <stdbool.h>

/* Whether M is such a reply, with at least one record. *SHARED is where in the name the suffix
 * begins that owner and question spell alike; the size of the name if that is the root alone. */
bool dns_same_owner_applies(const struct dns_message *m, size_t *shared);
/* Appends the question and the records, compressed, to W, which holds the header. */
void dns_same_owner_write(const struct dns_message *m, size_t shared, struct writer *w);

#endif
