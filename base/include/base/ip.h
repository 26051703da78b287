/* IP addresses, endpoints and prefixes as plain values, with the text forms that Go's net package
 * reads and prints (CoreDNS's messages quote them, wgsd's TXT carries them).
 *
 * IPv4 addresses use the first 4 bytes; the rest is zero, so values compare with memcmp. */
#ifndef WARREN_BASE_IP_H
#define WARREN_BASE_IP_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum ip_family {
    IP_NONE = 0, /* no address */
    IP_V4 = 4,
    IP_V6 = 6,
};

struct ip_addr {
    uint8_t family; /* enum ip_family */
    uint8_t bytes[16];
};

struct ip_endpoint {
    struct ip_addr addr;
    uint16_t port;     /* host order */
    uint32_t scope_id; /* of an IPv6 address of link scope (fe80::/10, ff01::, ff02::), else 0 */
};

struct ip_prefix {
    struct ip_addr addr;
    uint8_t length; /* bits */
};

enum {
    IP_ADDR_TEXT_SIZE = 46,     /* with NUL */
    IP_ENDPOINT_TEXT_SIZE = 72, /* "[addr%scope]:port" with NUL */
    IP_PREFIX_TEXT_SIZE = 50,   /* with NUL */
};

/* Reads a dotted quad without leading zeros, or RFC 4291 section 2.2 text without a zone. The
 * family is that of the text: "::ffff:1.2.3.4" stays IP_V6; see ip_unmap. */
enum err ip_addr_parse(struct ip_addr *out, const char *text, size_t size) MUST_CHECK;
/* RFC 5952 text, as Go prints it: a v4-mapped IPv6 address prints as "::ffff:1.2.3.4". */
size_t ip_addr_format(const struct ip_addr *a, char out[static IP_ADDR_TEXT_SIZE]);
/* A v4-mapped IPv6 address becomes its IPv4 address; others stay. */
struct ip_addr ip_unmap(struct ip_addr a);
bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b);
/* 4 or 16; 0 for IP_NONE. */
size_t ip_addr_size(const struct ip_addr *a);

/* "addr/bits". The host bits stay as written; ip_prefix_mask clears them. ERR_MALFORMED also for
 * a length beyond the family's. */
enum err ip_prefix_parse(struct ip_prefix *out, const char *text, size_t size) MUST_CHECK;
void ip_prefix_mask(struct ip_prefix *p);
/* A prefix within ::ffff:0:0/96 becomes the IPv4 prefix; others stay. */
struct ip_prefix ip_prefix_unmap(struct ip_prefix p);
size_t ip_prefix_format(const struct ip_prefix *p, char out[static IP_PREFIX_TEXT_SIZE]);
/* Families must be equal; a v4-mapped ADDR should be unmapped first. */
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *addr);

/* "1.2.3.4:5" or "[::1]:5" or "[fe80::1%3]:5" (numeric scope, or an interface name where
 * if_nametoindex knows it; an unknown name reads as scope 0). Port 0 to 65535. */
enum err ip_endpoint_parse(struct ip_endpoint *out, const char *text, size_t size) MUST_CHECK;
size_t ip_endpoint_format(const struct ip_endpoint *e, char out[static IP_ENDPOINT_TEXT_SIZE]);
bool ip_endpoint_equal(const struct ip_endpoint *a, const struct ip_endpoint *b);

/* AF_INET or AF_INET6 only, else ERR_INVALID. v4-mapped addresses are not unmapped. */
enum err ip_endpoint_from_sockaddr(struct ip_endpoint *out, const struct sockaddr *sa,
                                   size_t size) MUST_CHECK;
socklen_t ip_endpoint_to_sockaddr(const struct ip_endpoint *e, struct sockaddr_storage *out);

#endif
