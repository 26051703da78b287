#include "peers_text.h"

#include "../peer_json.h"
#include "base/attr.h"
#include "gotext.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum err peer_key_parse(uint8_t key[static KEY_SIZE], const char *text)
{
    char padded[KEY_BASE64_SIZE];
    size_t size = strlen(text);
    if (size != KEY_BASE64_SIZE && size != KEY_BASE64_SIZE - 1)
        return key_from_base32(key, text, size);
    memcpy(padded, text, size);
    if (size < sizeof(padded))
        padded[size] = '=';
    return key_from_base64(key, padded, sizeof(padded));
}

enum err zone_name_parse(char out[static ZONE_TEXT_SIZE], const char *text)
{
    struct dns_name_buf name, lower;
    char printed[DNS_NAME_TEXT_SIZE];
    enum err error = dns_name_from_text(&name, text, strlen(text));
    if (error != OK)
        return error;
    dns_name_lower(&lower, dns_name_of(&name));
    size_t size = dns_name_to_text(dns_name_of(&lower), printed);
    if (size >= ZONE_TEXT_SIZE || size < 2 || memchr(printed, '/', size) != NULL ||
        memchr(printed, '\\', size) != NULL)
        return ERR_MALFORMED;
    memcpy(out, printed, size);
    out[size] = '\0';
    return OK;
}

enum err allowed_ip_parse(struct ip_prefix *out, const char *text, size_t size)
{
    struct ip_prefix p = {0};
    enum err error = ip_prefix_parse(&p, text, size);
    if (error != OK) {
        error = ip_addr_parse(&p.addr, text, size);
        p.length = p.addr.family == IP_V4 ? 32 : 128;
    }
    if (error != OK)
        return error;
    p = ip_prefix_unmap(p);
    ip_prefix_mask(&p);
    *out = p;
    return OK;
}

/* JSON lines. */

static enum err read_key(struct peer_entry *out, const json_t *object, struct strbuf *why)
{
    const char *key = json_string_value(json_object_get(object, "key"));
    const char *zone = json_string_value(json_object_get(object, "zone"));
    if (key == NULL || peer_key_parse(out->key, key) != OK) {
        strbuf_add_str(why, "key: a public key in base64 or base32 is needed");
        return ERR_MALFORMED;
    }
    if (json_object_get(object, "zone") != NULL &&
        (zone == NULL || zone_name_parse(out->zone, zone) != OK)) {
        strbuf_add_str(why, "zone: not a domain name");
        return ERR_MALFORMED;
    }
    return OK;
}

enum err peer_line_parse(struct peer_entry *out, struct bytes line, struct arena *arena,
                         struct strbuf *why)
{
    struct peer_entry entry = {0};
    json_t *object;
    enum err error = registry_object_load(&object, line, why);
    if (error != OK)
        return error;
    error = read_key(&entry, object, why);
    if (error == OK)
        error = registry_peer_read(&entry.peer, object, arena, why);
    json_decref(object);
    if (error == OK)
        *out = entry;
    return error;
}

void peer_line_format(struct strbuf *out, const struct peer_entry *entry)
{
    char key[KEY_BASE64_SIZE];
    struct strbuf peer = STRBUF_EMPTY;
    key_to_base64(key, entry->key);
    registry_peer_format(&peer, &entry->peer);
    strbuf_add_str(out, "{");
    if (entry->zone[0] != '\0')
        strbuf_add_format(out, "\"zone\":\"%s\",", entry->zone);
    strbuf_add_format(out, "\"key\":\"%.*s\"", KEY_BASE64_SIZE, key);
    if (peer.failed)
        out->failed = true;
    else if (peer.size > 2) /* behind its opening brace */
        strbuf_add_format(out, ",%s", strbuf_str(&peer) + 1);
    else
        strbuf_add_char(out, '}');
    strbuf_fini(&peer);
}

/* wg's files. */

struct wg_reader wg_reader_of(struct bytes text)
{
    return (struct wg_reader){.left = text};
}

static struct bytes trimmed(struct bytes text)
{
    while (text.size > 0 && strchr(" \t\r", text.data[0]) != NULL && text.data[0] != '\0') {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && strchr(" \t\r", text.data[text.size - 1]) != NULL &&
           text.data[text.size - 1] != '\0')
        text.size--;
    return text;
}

static struct bytes peek_line(const struct wg_reader *r, size_t *used)
{
    const uint8_t *end = r->left.size > 0 ? memchr(r->left.data, '\n', r->left.size) : NULL;
    size_t size = end != NULL ? (size_t)(end - r->left.data) : r->left.size;
    *used = end != NULL ? size + 1 : size;
    return trimmed(bytes_of(r->left.data, size));
}

static bool text_is(struct bytes text, const char *wanted)
{
    return text.size == strlen(wanted) &&
           strncasecmp((const char *)text.data, wanted, text.size) == 0;
}

/* NAME = VALUE; both trimmed. */
static bool split_setting(struct bytes line, struct bytes *name, struct bytes *value)
{
    const uint8_t *equals = line.size > 0 ? memchr(line.data, '=', line.size) : NULL;
    if (equals == NULL)
        return false;
    size_t before = (size_t)(equals - line.data);
    *name = trimmed(bytes_of(line.data, before));
    *value = trimmed(bytes_of(equals + 1, line.size - before - 1));
    return true;
}

static enum err bad(struct strbuf *why, const char *what, struct bytes value)
{
    strbuf_add_format(why, "%s: '", what);
    visible_add(why, bytes_of(value.data, value.size > 64 ? 64 : value.size));
    strbuf_add_char(why, '\'');
    return ERR_MALFORMED;
}

static enum err read_allowed_ips(struct registry_peer *peer, struct bytes value,
                                 struct arena *arena, struct strbuf *why)
{
    struct ip_prefix *list = arena_array(arena, PEER_MAX_ALLOWED_IPS, sizeof(*list));
    if (list == NULL)
        return ERR_NO_MEMORY;
    size_t count = peer->allowed_ip_count;
    if (count > 0)
        memcpy(list, peer->allowed_ips, count * sizeof(*list));
    while (value.size > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.size);
        size_t size = comma != NULL ? (size_t)(comma - value.data) : value.size;
        struct bytes item = trimmed(bytes_of(value.data, size));
        if (count == PEER_MAX_ALLOWED_IPS)
            return bad(why, "AllowedIPs: too many of them", item);
        if (!text_is(item, "(none)") && item.size > 0 &&
            allowed_ip_parse(&list[count++], (const char *)item.data, item.size) != OK)
            return bad(why, "AllowedIPs: not a prefix", item);
        value.data += size + (comma != NULL);
        value.size -= size + (comma != NULL);
    }
    peer->allowed_ips = list;
    peer->allowed_ip_count = count;
    return OK;
}

static enum err read_keepalive(struct registry_peer *peer, struct bytes value, struct strbuf *why)
{
    char text[8];
    if (text_is(value, "off")) {
        peer->has_keepalive = false;
        return OK;
    }
    if (value.size == 0 || value.size > 5)
        return bad(why, "PersistentKeepalive: not between 0 and 65535, or off", value);
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    if (text[strspn(text, "0123456789")] != '\0' || atoi(text) > 65535)
        return bad(why, "PersistentKeepalive: not between 0 and 65535, or off", value);
    peer->keepalive_s = (uint16_t)atoi(text);
    peer->has_keepalive = peer->keepalive_s != 0;
    return OK;
}

static enum err read_name(struct registry_peer *peer, struct bytes value, struct strbuf *why)
{
    char name[PEER_NAME_MAX + 1] = "";
    for (size_t i = 0; i < value.size && i < PEER_NAME_MAX; i++)
        name[i] = value.data[i] >= 'A' && value.data[i] <= 'Z' ? (char)(value.data[i] + 32)
                                                               : (char)value.data[i];
    if (value.size > PEER_NAME_MAX || !registry_label_is_valid(name, value.size))
        return bad(why, "Name: not one DNS label of letters, digits and hyphens", value);
    memcpy(peer->name, name, sizeof(name));
    return OK;
}

static enum err read_setting(struct peer_entry *entry, bool *has_key, struct bytes line,
                             struct arena *arena, struct strbuf *why)
{
    struct bytes name, value;
    if (!split_setting(line, &name, &value))
        return bad(why, "not 'name = value'", line);
    if (text_is(name, "PublicKey")) {
        *has_key = true;
        if (key_from_base64(entry->key, (const char *)value.data, value.size) != OK)
            return bad(why, "PublicKey: not a key in base64", value);
        return OK;
    }
    if (text_is(name, "AllowedIPs"))
        return read_allowed_ips(&entry->peer, value, arena, why);
    if (text_is(name, "PersistentKeepalive"))
        return read_keepalive(&entry->peer, value, why);
    if (text_is(name, "PresharedKey"))
        return OK;
    if (!text_is(name, "Endpoint"))
        return bad(why, "a setting that a [Peer] does not have", name);
    if (ip_endpoint_parse(&entry->peer.endpoint, (const char *)value.data, value.size) != OK)
        return bad(why, "Endpoint: not address:port (host names are not stored)", value);
    return OK;
}

/* `# Name = alice` */
static enum err read_comment(struct peer_entry *entry, struct bytes line, struct strbuf *why)
{
    struct bytes name, value;
    while (line.size > 0 && line.data[0] == '#') {
        line.data++;
        line.size--;
    }
    if (!split_setting(line, &name, &value) || !text_is(name, "Name"))
        return OK;
    return read_name(&entry->peer, value, why);
}

enum err wg_reader_next(struct wg_reader *r, struct peer_entry *out, struct arena *arena,
                        struct strbuf *why)
{
    struct peer_entry entry = {0};
    bool has_key = false, found = false;
    while (r->left.size > 0) {
        size_t used;
        struct bytes line = peek_line(r, &used);
        bool starts_peer = text_is(line, "[Peer]");
        if (found && line.size > 0 && line.data[0] == '[')
            break; /* left for the next call */
        r->left.data += used;
        r->left.size -= used;
        r->line++;
        enum err error = OK;
        bool is_section = line.size > 0 && line.data[0] == '[';
        if (line.size > 0 && memchr(line.data, '\0', line.size) != NULL)
            error = bad(why, "a NUL byte is no text", line);
        else if (starts_peer)
            found = true;
        else if (is_section && !text_is(line, "[Interface]"))
            error = bad(why, "neither [Interface] nor [Peer]", line);
        else if (!is_section && line.size > 0 && line.data[0] != '#' && !r->in_section)
            error = bad(why, "neither JSON nor in an [Interface] or [Peer]", line);
        else if (found && line.size > 0 && line.data[0] == '#')
            error = read_comment(&entry, line, why);
        else if (found && line.size > 0) {
            const uint8_t *hash = memchr(line.data, '#', line.size);
            if (hash != NULL)
                line = trimmed(bytes_of(line.data, (size_t)(hash - line.data)));
            error = read_setting(&entry, &has_key, line, arena, why);
        }
        if (error != OK)
            return error;
        r->in_section = r->in_section || is_section;
    }
    if (!found)
        return ERR_NOT_FOUND;
    if (!has_key) {
        strbuf_add_str(why, "a [Peer] without PublicKey");
        return ERR_MALFORMED;
    }
    *out = entry;
    return OK;
}
