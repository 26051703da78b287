#include "wgctl/change.h"

#include "change_cursor.h"
#include "handle.h"

#include <string.h>

/* --- Applying. --- */

typedef enum err send_next_fn(struct wgctl *w, const char *name, struct change_cursor *c);

static enum err send_userspace(struct wgctl *w, const char *name, struct change_cursor *c)
{
    return userspace_set_next(w->socket_dir, name, c, w->cancel_fd, w->buffer, &w->why);
}

static enum err send_netlink(struct wgctl *w, const char *name, struct change_cursor *c)
{
    return netlink_set_next(&w->netlink, name, c, w->buffer, &w->why);
}

/* Puts device and, unless KEY is NULL, peer before the line that the failing step left. */
static enum err fail_at(struct wgctl *w, enum err error, const char *name, const uint8_t *key)
{
    struct failure step = w->why;
    if (key == NULL)
        return fail(&w->why, error, "%s: %.200s", name, step.text);
    char text[KEY_BASE64_SIZE];
    key_to_base64(text, key);
    return fail(&w->why, error, "%s: peer %.*s: %.160s", name, KEY_BASE64_SIZE, text, step.text);
}

bool wgctl_error_is_of_device(enum err error)
{
    static const enum err of_device[] = {
        ERR_NO_DEVICE, ERR_NOT_FOUND, ERR_NOT_WIREGUARD, ERR_PERMISSION,
        ERR_TIMEOUT,   ERR_CLOSED,    ERR_REFUSED,       ERR_NO_MEMORY,
    };
    for (size_t i = 0; i < ARRAY_COUNT(of_device); i++)
        if (error == of_device[i])
            return true;
    return false;
}

/* Says the message between FROM and TO, which was refused, once more with one peer at a time, to
 * learn which one it is. What came before that one is in force already, and saying it again changes
 * nothing. Returns with FROM at the culprit; OK if it was gone. */
static enum err send_one_by_one(struct wgctl *w, const char *name, send_next_fn *send,
                                struct change_cursor *from, const struct change_cursor *to)
{
    /* A peer that TO is in the middle of is finished here. */
    size_t end = to->at + (to->ip_index > 0);
    while (from->at < end) {
        struct change_cursor one = *from;
        one.end = from->at + 1;
        while (one.at < one.end) {
            enum err error = send(w, name, &one);
            if (error != OK)
                return error;
        }
        from->at = one.at;
        from->ip_index = 0;
    }
    return OK;
}

/* Sends all of C. On failure C is at the change that was not made whole. */
static enum err send_all(struct wgctl *w, const char *name, send_next_fn *send,
                         struct change_cursor *c)
{
    while (c->at < c->end) {
        struct change_cursor next = *c;
        enum err error = send(w, name, &next);
        bool is_one = next.at - c->at + (next.ip_index > 0) == 1;
        if (error != OK && !is_one && !wgctl_error_is_of_device(error)) {
            struct change_cursor at = *c;
            error = send_one_by_one(w, name, send, &at, &next);
            next = at;
        } else if (error != OK) {
            next = *c;
        }
        *c = next;
        if (error != OK)
            return error;
    }
    return OK;
}

static bool has_family(const struct ip_addr *a)
{
    return a->family == IP_V4 || a->family == IP_V6;
}

static enum err check_change(struct wgctl *w, const struct wgctl_peer_change *change)
{
    if (change->remove)
        return OK;
    if (change->has_endpoint && !has_family(&change->endpoint.addr))
        return fail(&w->why, ERR_INVALID, "an endpoint without address");
    for (size_t i = 0; i < change->allowed_ip_count; i++) {
        const struct ip_prefix *p = &change->allowed_ips[i];
        if (!has_family(&p->addr) || p->length > ip_addr_size(&p->addr) * 8)
            return fail(&w->why, ERR_INVALID, "allowed IP %zu is no prefix", i);
    }
    return OK;
}

static enum err apply(struct wgctl *w, const char *name, struct change_cursor *c)
{
    enum err error = send_all(w, name, send_userspace, c);
    if (error != ERR_NOT_FOUND)
        return error;
    if (c->at > 0 || c->ip_index > 0)
        return ERR_NO_DEVICE; /* the socket went away in the midst */
    struct failure socket = w->why;
    return wgctl_neither(w, send_all(w, name, send_netlink, c), &socket);
}

enum err wgctl_change_peers(struct wgctl *w, const char *name,
                            const struct wgctl_peer_change *changes, size_t count,
                            size_t *done_count)
{
    struct change_cursor c = {.changes = changes, .end = count};
    enum err error = wgctl_check_name(w, name);
    for (size_t i = 0; error == OK && i < count; i++) {
        error = check_change(w, &changes[i]);
        if (error != OK)
            error = fail_at(w, error, name, changes[i].public_key);
    }
    if (error == OK && count > 0) {
        error = apply(w, name, &c);
        if (error != OK)
            error = fail_at(w, error, name,
                            wgctl_error_is_of_device(error) ? NULL : changes[c.at].public_key);
    }
    if (error == OK)
        w->why.text[0] = '\0';
    if (done_count != NULL)
        *done_count = c.at;
    return error;
}

enum err wgctl_set_peer_endpoint(struct wgctl *w, const char *name,
                                 const uint8_t key[static KEY_SIZE],
                                 const struct ip_endpoint *endpoint)
{
    struct wgctl_peer_change change = {
        .update_only = true, .has_endpoint = true, .endpoint = *endpoint};
    memcpy(change.public_key, key, KEY_SIZE);
    return wgctl_change_peers(w, name, &change, 1, NULL);
}

/* --- The command line that says the same. --- */

/* NAME as a shell reads it back: an interface may be called almost anything. */
static void add_name(struct strbuf *out, const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._-+=@:,";
    if (name[0] != '\0' && name[strspn(name, plain)] == '\0') {
        strbuf_add_str(out, name);
        return;
    }
    strbuf_add_char(out, '\'');
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '\'')
            strbuf_add_str(out, "'\\''");
        else
            strbuf_add_char(out, *c);
    }
    strbuf_add_char(out, '\'');
}

/* Without a `+`, `wg set` replaces the list; with it (wireguard-tools from 2025 on) it adds. */
static void add_allowed_ips(struct strbuf *out, const struct wgctl_peer_change *change)
{
    strbuf_add_str(out, " allowed-ips ");
    if (change->allowed_ip_count == 0)
        strbuf_add_str(out, "''");
    for (size_t i = 0; i < change->allowed_ip_count; i++) {
        char prefix[IP_PREFIX_TEXT_SIZE];
        (void)ip_prefix_format(&change->allowed_ips[i], prefix);
        strbuf_add_format(out, "%s%s%s", i > 0 ? "," : "", change->replace_allowed_ips ? "" : "+",
                          prefix);
    }
}

void wgctl_change_format(struct strbuf *out, const char *name,
                         const struct wgctl_peer_change *change)
{
    char key[KEY_BASE64_SIZE];
    key_to_base64(key, change->public_key);
    strbuf_add_str(out, "wg set ");
    add_name(out, name);
    strbuf_add_format(out, " peer %.*s", KEY_BASE64_SIZE, key);
    if (change->remove) {
        strbuf_add_str(out, " remove");
        return;
    }
    if (change->has_endpoint) {
        char endpoint[IP_ENDPOINT_TEXT_SIZE];
        (void)ip_endpoint_format(&change->endpoint, endpoint);
        strbuf_add_format(out, " endpoint %s", endpoint);
    }
    if (change->has_keepalive && change->keepalive_s == 0)
        strbuf_add_str(out, " persistent-keepalive off");
    else if (change->has_keepalive)
        strbuf_add_format(out, " persistent-keepalive %u", change->keepalive_s);
    if (change->replace_allowed_ips || change->allowed_ip_count > 0)
        add_allowed_ips(out, change);
}
