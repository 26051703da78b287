/* The peers a benchmark asks for, as `run` wrote them: one line per peer, "LABEL PORT ADDRESS",
 * LABEL being the padded base32 of the public key (56 characters). What a server must answer
 * follows from this list alone, so the check of an answer shares nothing with the code that made
 * it. */
#ifndef WARREN_TESTS_BENCH_DNS_PEERS_H
#define WARREN_TESTS_BENCH_DNS_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_LABEL_SIZE 56

struct peer {
    char label[PEER_LABEL_SIZE]; /* in the case the queries use */
    uint16_t port;
    uint8_t address_size; /* 4 or 16 */
    uint8_t address[16];
};

struct peer_list {
    struct peer *peers;
    size_t count;
};

/* Reads PATH or exits with a message: this is a program's own input. UPPER: the case of the labels
 * (wgsd-client asks in upper case). */
struct peer_list peer_list_read(const char *path, bool upper);

#endif
