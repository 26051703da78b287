/* Peers as text: wg's configuration files and JSON lines, one peer each. Pure. */
#ifndef WARREN_CLI_PEERS_TEXT_H
#define WARREN_CLI_PEERS_TEXT_H

#include "registry/peer.h"

enum {
    ZONE_TEXT_SIZE = 256,
    PEER_LINE_MAX_SIZE = PEER_MAX_VALUE_SIZE,
};

struct peer_entry {
    char zone[ZONE_TEXT_SIZE]; /* as written; "" if the text does not say */
    uint8_t key[KEY_SIZE];
    struct registry_peer peer; /* lists in the arena */
};

/* {"zone":...,"key":"<base64 or base32>", and a peer's own fields}. ERR_MALFORMED with WHY. */
enum err peer_line_parse(struct peer_entry *out, struct bytes line, struct arena *arena,
                         struct strbuf *why) MUST_CHECK;
/* What peer_line_parse reads, without a line's end. */
void peer_line_format(struct strbuf *out, const struct peer_entry *entry);

/* Goes through `wg showconf` output or a wg-quick file line by line. */
struct wg_reader {
    struct bytes left;
    size_t line;     /* the number of the last line read */
    bool in_section; /* a section began already */
};
struct wg_reader wg_reader_of(struct bytes text);
/* The next [Peer]; ERR_NOT_FOUND at the end; ERR_MALFORMED with WHY, about line r->line. A comment
 * `# Name = alice` inside a [Peer] names it. What stands in no section, and a NUL byte anywhere,
 * are malformed: no such file is wg's. Private and preshared keys are passed over. */
enum err wg_reader_next(struct wg_reader *r, struct peer_entry *out, struct arena *arena,
                        struct strbuf *why) MUST_CHECK;

/* A public key in base64 or base32, with or without padding. */
enum err peer_key_parse(uint8_t key[static KEY_SIZE], const char *text) MUST_CHECK;
/* A lower-case absolute zone name from what a user wrote. */
enum err zone_name_parse(char out[static ZONE_TEXT_SIZE], const char *text) MUST_CHECK;
/* One prefix or address, masked. */
enum err allowed_ip_parse(struct ip_prefix *out, const char *text, size_t size) MUST_CHECK;

#endif
