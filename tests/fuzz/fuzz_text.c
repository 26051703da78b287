/* Every text form of base: what parses must print as a text that reads back as the same value, and
 * where a form has only one spelling, as the same text. The first byte chooses the form. */
#include "base/encoding.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_HEX_SIZE = 4096
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_addr(const char *text, size_t size)
{
    struct ip_addr a, back;
    char out[IP_ADDR_TEXT_SIZE];
    size_t out_size;

    if (ip_addr_parse(&a, text, size) != OK)
        return;
    out_size = ip_addr_format(&a, out);
    check(out_size < sizeof out && out_size == strlen(out));
    check(ip_addr_parse(&back, out, out_size) == OK && ip_addr_equal(&back, &a));
    back = ip_unmap(a);
    check(ip_addr_size(&back) == 4 || ip_addr_equal(&back, &a));
}

static void try_prefix(const char *text, size_t size)
{
    struct ip_prefix p, back;
    char out[IP_PREFIX_TEXT_SIZE];
    size_t out_size;

    if (ip_prefix_parse(&p, text, size) != OK)
        return;
    check(p.length <= 8 * ip_addr_size(&p.addr));
    out_size = ip_prefix_format(&p, out);
    check(out_size < sizeof out && out_size == strlen(out));
    check(ip_prefix_parse(&back, out, out_size) == OK);
    check(ip_addr_equal(&back.addr, &p.addr) && back.length == p.length);
    ip_prefix_mask(&back);
    check(ip_prefix_contains(&back, &p.addr) && ip_prefix_contains(&p, &back.addr));
}

static void try_endpoint(const char *text, size_t size)
{
    struct ip_endpoint e, back;
    struct sockaddr_storage sa;
    char out[IP_ENDPOINT_TEXT_SIZE];
    size_t out_size;

    if (ip_endpoint_parse(&e, text, size) != OK)
        return;
    out_size = ip_endpoint_format(&e, out);
    check(out_size < sizeof out && out_size == strlen(out));
    check(ip_endpoint_parse(&back, out, out_size) == OK && ip_endpoint_equal(&back, &e));
    socklen_t sa_size = ip_endpoint_to_sockaddr(&e, &sa);
    check(ip_endpoint_from_sockaddr(&back, (const struct sockaddr *)&sa, sa_size) == OK);
    check(ip_endpoint_equal(&back, &e));
}

static void try_base32(const char *text, size_t size)
{
    uint8_t key[KEY_SIZE];
    char out[KEY_BASE32_SIZE];

    if (key_from_base32(key, text, size) != OK)
        return;
    key_to_base32(out, key);
    check(size <= sizeof out && strncasecmp(out, text, size) == 0);
}

static void try_base64(const char *text, size_t size)
{
    uint8_t key[KEY_SIZE];
    char out[KEY_BASE64_SIZE];

    if (key_from_base64(key, text, size) != OK)
        return;
    key_to_base64(out, key);
    check(size == sizeof out && memcmp(out, text, size) == 0);
}

static void try_hex(const char *text, size_t size)
{
    uint8_t bytes[MAX_HEX_SIZE / 2];
    char out[MAX_HEX_SIZE];

    if (size > MAX_HEX_SIZE || hex_decode(bytes, text, size) != OK)
        return;
    hex_encode(out, bytes, size / 2);
    check(strncasecmp(out, text, size) == 0);
}

/* The other way round: any 32 bytes are a key. */
static void try_key(const uint8_t *data, size_t size)
{
    uint8_t key[KEY_SIZE] = {0}, back[KEY_SIZE];
    char base32[KEY_BASE32_SIZE], base64[KEY_BASE64_SIZE], hex[KEY_HEX_SIZE];

    memcpy(key, data, size < KEY_SIZE ? size : KEY_SIZE);
    key_to_base32(base32, key);
    check(key_from_base32(back, base32, sizeof base32) == OK && memcmp(back, key, KEY_SIZE) == 0);
    key_to_base64(base64, key);
    check(key_from_base64(back, base64, sizeof base64) == OK && memcmp(back, key, KEY_SIZE) == 0);
    hex_encode(hex, key, KEY_SIZE);
    check(hex_decode(back, hex, sizeof hex) == OK && memcmp(back, key, KEY_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const forms[])(const char *text, size_t size) = {
        try_addr, try_prefix, try_endpoint, try_base32, try_base64, try_hex,
    };

    if (size == 0)
        return 0;
    size_t form = data[0] % (ARRAY_COUNT(forms) + 1);
    if (form == ARRAY_COUNT(forms)) {
        try_key(data + 1, size - 1);
        return 0;
    }
    /* An exact-size copy without a NUL, so that a sanitizer sees a read one byte past the text. */
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    char *exact = realloc(text, size > 1 ? size - 1 : 1);
    if (exact)
        text = exact;
    forms[form](text, size - 1);
    free(text);
    return 0;
}
