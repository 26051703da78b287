#include "netlink.h"

#include "base/cursor.h"
#include "netlink_reader.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <sodium.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum {
    REQUEST_SIZE = 512,      /* of everything but a SET */
    RETRY_PAUSE_MAX_MS = 16, /* of 1, 2, 4, ... between two attempts at a dump */
    ALLOWED_IP_MAX_LENGTH_V4 = 32,
    ALLOWED_IP_MAX_LENGTH_V6 = 128,
};

/* --- Attributes. --- */

/* Copies an attribute whose size the kernel fixes. */
static enum err fixed(const struct netlink_attribute *a, const char *what, void *out, size_t size,
                      struct failure *why)
{
    if (a->size != size)
        return fail(why, ERR_MALFORMED, "kernel answer: %s of %u bytes, not %zu", what, a->size,
                    size);
    memcpy(out, a->data, size);
    return OK;
}

static enum err broken_lengths(struct failure *why, const char *where)
{
    return fail(why, ERR_MALFORMED, "kernel answer: lengths in %s do not add up", where);
}

static enum err kernel_error(struct failure *why, int error_number)
{
    /* Raw numbers below -4095 are never errno values; the text would be "Unknown error". */
    int positive = error_number < 0 && error_number > -4096 ? -error_number : EPROTO;
    enum err error = positive == ENODEV       ? ERR_NO_DEVICE
                     : positive == EOPNOTSUPP ? ERR_NOT_WIREGUARD
                                              : err_from_errno(positive);
    return fail(why, error, "the kernel answered: %s", strerror(positive));
}

/* The int32 that NLMSG_ERROR and NLMSG_DONE start with. */
static enum err status_of(const struct netlink_message *m, struct failure *why)
{
    int32_t status;
    if (m->payload_size < sizeof(status))
        return fail(why, ERR_MALFORMED, "kernel answer: a status message without its status");
    memcpy(&status, m->payload, sizeof(status));
    return status == 0 ? OK : kernel_error(why, status);
}

/* --- Allowed IPs and peers. --- */

static enum err read_allowed_ip(struct netlink_dump *d, const struct netlink_attribute *item)
{
    struct ip_prefix prefix = {0};
    uint16_t family = AF_UNSPEC;
    const uint8_t *address = NULL;
    size_t address_size = 0;
    bool has_length = false;
    struct reader r = reader_of(item->data, item->size);
    enum err error = OK;
    for (struct netlink_attribute a; error == OK && netlink_attribute_next(&r, &a);) {
        switch (a.type) {
        case WGALLOWEDIP_A_FAMILY:
            error = fixed(&a, "allowed IP family", &family, sizeof(family), d->why);
            break;
        case WGALLOWEDIP_A_IPADDR:
            address = a.data;
            address_size = a.size;
            break;
        case WGALLOWEDIP_A_CIDR_MASK:
            error = fixed(&a, "allowed IP mask", &prefix.length, sizeof(prefix.length), d->why);
            has_length = true;
            break;
        default:
            break;
        }
    }
    if (error != OK)
        return error;
    if (r.failed)
        return broken_lengths(d->why, "an allowed IP");
    bool v4 = family == AF_INET;
    unsigned max_length = v4 ? ALLOWED_IP_MAX_LENGTH_V4 : ALLOWED_IP_MAX_LENGTH_V6;
    if ((!v4 && family != AF_INET6) || address == NULL || address_size != (v4 ? 4U : 16U) ||
        !has_length || prefix.length > max_length)
        return fail(d->why, ERR_MALFORMED,
                    "kernel answer: allowed IP of family %u with %zu bytes and mask %u", family,
                    address_size, prefix.length);
    prefix.addr.family = v4 ? IP_V4 : IP_V6;
    memcpy(prefix.addr.bytes, address, address_size);
    error = wg_device_add_allowed_ip(d->device, &prefix);
    return error == OK ? OK : fail(d->why, error, "too many allowed IPs for us");
}

static enum err read_allowed_ips(struct netlink_dump *d, const struct netlink_attribute *list)
{
    struct reader r = reader_of(list->data, list->size);
    for (struct netlink_attribute item; netlink_attribute_next(&r, &item);) {
        enum err error = read_allowed_ip(d, &item);
        if (error != OK)
            return error;
    }
    return r.failed ? broken_lengths(d->why, "the allowed IPs") : OK;
}

static enum err read_endpoint(struct netlink_dump *d, const struct netlink_attribute *a,
                              struct ip_endpoint *out)
{
    struct sockaddr_storage sa = {0};
    sa_family_t family = AF_UNSPEC;
    if (a->size >= sizeof(family))
        memcpy(&family, a->data, sizeof(family));
    size_t size = family == AF_INET    ? sizeof(struct sockaddr_in)
                  : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                       : 0;
    if (size == 0 || a->size != size)
        return fail(d->why, ERR_MALFORMED, "kernel answer: endpoint of family %u with %u bytes",
                    family, a->size);
    memcpy(&sa, a->data, size);
    enum err error = ip_endpoint_from_sockaddr(out, (const struct sockaddr *)&sa, size);
    return error == OK ? OK : fail(d->why, ERR_MALFORMED, "kernel answer: unusable endpoint");
}

static enum err read_peer_attribute(struct netlink_dump *d, const struct netlink_attribute *a,
                                    struct wg_peer *peer)
{
    enum err error;
    switch (a->type) {
    case WGPEER_A_PRESHARED_KEY: {
        uint8_t key[WG_KEY_LEN];
        error = fixed(a, "preshared key", key, sizeof(key), d->why);
        if (error == OK)
            peer->has_preshared_key = sodium_is_zero(key, sizeof(key)) == 0;
        sodium_memzero(key, sizeof(key));
        return error;
    }
    case WGPEER_A_ENDPOINT:
        return read_endpoint(d, a, &peer->endpoint);
    case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
        return fixed(a, "keepalive", &peer->persistent_keepalive,
                     sizeof(peer->persistent_keepalive), d->why);
    case WGPEER_A_LAST_HANDSHAKE_TIME: {
        int64_t time[2]; /* seconds and nanoseconds: 64 bits each, on every architecture */
        error = fixed(a, "handshake time", time, sizeof(time), d->why);
        if (error == OK) {
            peer->last_handshake_sec = time[0];
            peer->last_handshake_nsec = time[1];
        }
        return error;
    }
    case WGPEER_A_RX_BYTES:
        return fixed(a, "receive counter", &peer->rx_bytes, sizeof(peer->rx_bytes), d->why);
    case WGPEER_A_TX_BYTES:
        return fixed(a, "send counter", &peer->tx_bytes, sizeof(peer->tx_bytes), d->why);
    case WGPEER_A_ALLOWEDIPS:
        return read_allowed_ips(d, a);
    default: /* what a newer kernel adds, and the padding beside 64-bit values (type 0) */
        return OK;
    }
}

static bool find_public_key(const struct netlink_attribute *item, struct netlink_attribute *key)
{
    struct reader r = reader_of(item->data, item->size);
    for (struct netlink_attribute a; netlink_attribute_next(&r, &a);) {
        if (a.type == WGPEER_A_PUBLIC_KEY) {
            *key = a;
            return true;
        }
    }
    return false;
}

/* The peer with KEY at the end of the device: the last one if this message continues it. */
static enum err open_peer(struct netlink_dump *d, const uint8_t key[static KEY_SIZE],
                          struct wg_peer **out)
{
    struct wg_device *device = d->device;
    if (device->peer_count > 0) {
        struct wg_peer *last = &device->peers[device->peer_count - 1];
        if (memcmp(last->public_key, key, KEY_SIZE) == 0) {
            *out = last;
            return OK;
        }
    }
    enum err error = wg_device_add_peer(device, out);
    if (error != OK)
        return fail(d->why, error, "too many peers for us");
    memcpy((*out)->public_key, key, KEY_SIZE);
    return OK;
}

static enum err read_peer(struct netlink_dump *d, const struct netlink_attribute *item)
{
    struct netlink_attribute key_attribute;
    uint8_t key[KEY_SIZE];
    if (!find_public_key(item, &key_attribute))
        return fail(d->why, ERR_MALFORMED, "kernel answer: a peer without public key");
    enum err error = fixed(&key_attribute, "peer public key", key, sizeof(key), d->why);
    struct wg_peer *peer = NULL;
    if (error == OK)
        error = open_peer(d, key, &peer);
    struct reader r = reader_of(item->data, item->size);
    for (struct netlink_attribute a; error == OK && netlink_attribute_next(&r, &a);)
        error = read_peer_attribute(d, &a, peer);
    if (error == OK && r.failed)
        return broken_lengths(d->why, "a peer");
    return error;
}

static enum err read_peers(struct netlink_dump *d, const struct netlink_attribute *list)
{
    struct reader r = reader_of(list->data, list->size);
    for (struct netlink_attribute item; netlink_attribute_next(&r, &item);) {
        enum err error = read_peer(d, &item);
        if (error != OK)
            return error;
    }
    return r.failed ? broken_lengths(d->why, "the peers") : OK;
}

/* --- The dump. --- */

static enum err read_device_attribute(struct netlink_dump *d, const struct netlink_attribute *a)
{
    struct wg_device *device = d->device;
    enum err error;
    switch (a->type) {
    case WGDEVICE_A_IFINDEX:
        return fixed(a, "interface index", &device->ifindex, sizeof(device->ifindex), d->why);
    case WGDEVICE_A_IFNAME:
        if (a->size < 2 || a->size > sizeof(device->name) || a->data[a->size - 1] != '\0')
            return fail(d->why, ERR_MALFORMED, "kernel answer: interface name of %u bytes",
                        a->size);
        memcpy(device->name, a->data, a->size);
        return OK;
    case WGDEVICE_A_PUBLIC_KEY:
        error = fixed(a, "public key", device->public_key, sizeof(device->public_key), d->why);
        if (error == OK)
            device->has_public_key = true;
        return error;
    case WGDEVICE_A_LISTEN_PORT:
        return fixed(a, "listen port", &device->listen_port, sizeof(device->listen_port), d->why);
    case WGDEVICE_A_FWMARK:
        return fixed(a, "fwmark", &device->fwmark, sizeof(device->fwmark), d->why);
    case WGDEVICE_A_PEERS:
        return read_peers(d, a);
    default: /* the private key too: nobody needs it */
        return OK;
    }
}

static enum err read_device_message(struct netlink_dump *d, const struct netlink_message *m)
{
    if (m->payload_size < GENL_HDRLEN)
        return fail(d->why, ERR_MALFORMED, "kernel answer: a message without its header");
    struct reader r = reader_of(m->payload + GENL_HDRLEN, m->payload_size - GENL_HDRLEN);
    for (struct netlink_attribute a; netlink_attribute_next(&r, &a);) {
        enum err error = read_device_attribute(d, &a);
        if (error != OK)
            return error;
    }
    return r.failed ? broken_lengths(d->why, "a message") : OK;
}

void netlink_dump_init(struct netlink_dump *d, struct wg_device *device, struct failure *why,
                       uint16_t family, uint32_t sequence)
{
    assert(device->peer_count == 0 && device->allowed_ip_count == 0);
    *d =
        (struct netlink_dump){.device = device, .why = why, .family = family, .sequence = sequence};
}

static enum err dump_message(struct netlink_dump *d, const struct netlink_message *m)
{
    /* Also on NLMSG_DONE: the last change may have come after the last peer. */
    if ((m->flags & NLM_F_DUMP_INTR) != 0)
        return fail(d->why, ERR_INTERRUPTED, "the device was configured while it was read");
    switch (m->type) {
    case NLMSG_NOOP:
        return OK;
    case NLMSG_OVERRUN:
        return fail(d->why, ERR_INTERRUPTED, "the kernel lost messages of its answer");
    case NLMSG_ERROR:
    case NLMSG_DONE:
        d->done = true;
        return status_of(m, d->why);
    default:
        if (m->type != d->family)
            return fail(d->why, ERR_MALFORMED, "kernel answer: message of type %u", m->type);
        return read_device_message(d, m);
    }
}

enum err netlink_dump_feed(struct netlink_dump *d, const void *data, size_t size)
{
    struct reader r = reader_of(data, size);
    for (struct netlink_message m; !d->done && netlink_message_next(&r, &m);) {
        if (m.sequence != d->sequence)
            continue;
        enum err error = dump_message(d, &m);
        if (error != OK)
            return error;
    }
    return r.failed ? broken_lengths(d->why, "a datagram") : OK;
}

/* --- The other answers. --- */

static enum err family_of(uint16_t *family, struct failure *why, const struct netlink_message *m)
{
    if (m->payload_size < GENL_HDRLEN)
        return fail(why, ERR_MALFORMED, "kernel answer: a message without its header");
    uint16_t found = 0;
    struct reader r = reader_of(m->payload + GENL_HDRLEN, m->payload_size - GENL_HDRLEN);
    for (struct netlink_attribute a; netlink_attribute_next(&r, &a);) {
        if (a.type != CTRL_ATTR_FAMILY_ID)
            continue;
        enum err error = fixed(&a, "family number", &found, sizeof(found), why);
        if (error != OK)
            return error;
    }
    if (r.failed)
        return broken_lengths(why, "the family's description");
    if (found < NLMSG_MIN_TYPE)
        return fail(why, ERR_MALFORMED, "kernel answer: family number %u", found);
    *family = found;
    return OK;
}

enum err netlink_family_parse(uint16_t *family, struct failure *why, uint32_t sequence,
                              const void *data, size_t size)
{
    *family = 0;
    struct reader r = reader_of(data, size);
    for (struct netlink_message m; *family == 0 && netlink_message_next(&r, &m);) {
        enum err error = OK;
        if (m.sequence != sequence)
            continue;
        if (m.type == NLMSG_ERROR)
            error = status_of(&m, why);
        else if (m.type == GENL_ID_CTRL)
            error = family_of(family, why, &m);
        if (error == ERR_NOT_FOUND)
            return fail(why, ERR_UNSUPPORTED, "the kernel has no WireGuard");
        if (error != OK)
            return error;
    }
    return r.failed ? broken_lengths(why, "a datagram") : OK;
}

enum err netlink_ack_parse(bool *done, struct failure *why, uint32_t sequence, const void *data,
                           size_t size)
{
    *done = false;
    struct reader r = reader_of(data, size);
    for (struct netlink_message m; netlink_message_next(&r, &m);) {
        if (m.sequence != sequence || m.type != NLMSG_ERROR)
            continue;
        *done = true;
        return status_of(&m, why);
    }
    return r.failed ? broken_lengths(why, "a datagram") : OK;
}

/* --- Changes. --- */

static struct nlmsghdr *message_start(void *buffer, uint16_t type, uint16_t flags,
                                      uint32_t sequence, uint8_t command, uint8_t version)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    message->nlmsg_seq = sequence;
    struct genlmsghdr *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
    header->cmd = command;
    header->version = version;
    return message;
}

static bool put_allowed_ip(struct nlmsghdr *message, size_t size, const struct ip_prefix *p)
{
    uint16_t family = p->addr.family == IP_V4 ? AF_INET : AF_INET6;
    struct nlattr *item = mnl_attr_nest_start_check(message, size, 0);
    if (item == NULL)
        return false;
    if (!mnl_attr_put_u16_check(message, size, WGALLOWEDIP_A_FAMILY, family) ||
        !mnl_attr_put_check(message, size, WGALLOWEDIP_A_IPADDR, ip_addr_size(&p->addr),
                            p->addr.bytes) ||
        !mnl_attr_put_u8_check(message, size, WGALLOWEDIP_A_CIDR_MASK, p->length)) {
        mnl_attr_nest_cancel(message, item);
        return false;
    }
    mnl_attr_nest_end(message, item);
    return true;
}

/* Writes allowed IPs from *NEXT on, as many as fit. False if there are some and none does. */
static bool put_allowed_ips(struct nlmsghdr *message, size_t size,
                            const struct wgctl_peer_change *change, size_t *next)
{
    size_t count = change_ip_count(change);
    size_t first = *next;
    if (count == 0)
        return true;
    struct nlattr *list = mnl_attr_nest_start_check(message, size, WGPEER_A_ALLOWEDIPS);
    if (list == NULL)
        return false;
    while (*next < count && put_allowed_ip(message, size, &change->allowed_ips[*next]))
        ++*next;
    mnl_attr_nest_end(message, list);
    return *next > first;
}

static uint32_t peer_flags(const struct wgctl_peer_change *change, bool is_continued)
{
    uint32_t flags = 0;
    if (change->remove)
        flags |= WGPEER_F_REMOVE_ME;
    if (change->update_only)
        flags |= WGPEER_F_UPDATE_ONLY;
    if (change->replace_allowed_ips && !change->remove && !is_continued)
        flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
    return flags;
}

/* All but the allowed IPs. */
static bool put_peer_head(struct nlmsghdr *message, size_t size,
                          const struct wgctl_peer_change *change, bool is_continued)
{
    uint32_t flags = peer_flags(change, is_continued);
    if (!mnl_attr_put_check(message, size, WGPEER_A_PUBLIC_KEY, KEY_SIZE, change->public_key) ||
        (flags != 0 && !mnl_attr_put_u32_check(message, size, WGPEER_A_FLAGS, flags)))
        return false;
    if (change->remove || is_continued)
        return true;
    struct sockaddr_storage sa;
    return (!change->has_endpoint ||
            mnl_attr_put_check(message, size, WGPEER_A_ENDPOINT,
                               ip_endpoint_to_sockaddr(&change->endpoint, &sa), &sa)) &&
           (!change->has_keepalive ||
            mnl_attr_put_u16_check(message, size, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
                                   change->keepalive_s));
}

/* Writes as much of the change at C as fits; false, and nothing is written, if its head with one
 * allowed IP does not. */
static bool put_change(struct nlmsghdr *message, size_t size, struct change_cursor *c)
{
    const struct wgctl_peer_change *change = &c->changes[c->at];
    size_t next = c->ip_index;
    struct nlattr *peer = mnl_attr_nest_start_check(message, size, 0);
    if (peer == NULL)
        return false;
    if (!put_peer_head(message, size, change, next > 0) ||
        !put_allowed_ips(message, size, change, &next)) {
        mnl_attr_nest_cancel(message, peer);
        return false;
    }
    mnl_attr_nest_end(message, peer);
    change_cursor_move(c, next);
    return true;
}

size_t netlink_set_write(struct change_cursor *c, const char *name, uint16_t family,
                         uint32_t sequence, void *buffer, size_t size)
{
    assert(size >= NETLINK_SET_MIN_SIZE && size <= UINT16_MAX); /* an attribute's length is a u16 */
    assert(c->at < c->end && strlen(name) < WG_NAME_SIZE);
    struct nlmsghdr *message =
        message_start(buffer, family, NLM_F_ACK, sequence, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
    mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, name);
    struct nlattr *peers = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
    size_t first = c->at;
    while (c->at < c->end && put_change(message, size, c) && c->ip_index == 0)
        ;
    assert(c->at > first || c->ip_index > 0);
    mnl_attr_nest_end(message, peers);
    return message->nlmsg_len;
}

/* --- The socket. --- */

static enum err system_error(struct failure *why, const char *step)
{
    int error_number = errno;
    return fail(why, err_from_errno(error_number), "netlink: %s: %s", step, strerror(error_number));
}

void netlink_close(struct netlink *n)
{
    if (n->socket != NULL)
        (void)mnl_socket_close(n->socket);
    n->socket = NULL;
    n->family = 0;
}

static enum err send_request(struct netlink *n, const struct nlmsghdr *message, struct failure *why)
{
    return mnl_socket_sendto(n->socket, message, message->nlmsg_len) < 0
               ? system_error(why, "sending a request")
               : OK;
}

/* One datagram from the kernel itself. */
static enum err receive(struct netlink *n, uint8_t *buffer, size_t *size, struct failure *why)
{
    for (;;) {
        struct sockaddr_nl from = {0};
        struct iovec part = {.iov_base = buffer, .iov_len = NETLINK_RECEIVE_SIZE};
        struct msghdr message = {
            .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1};
        ssize_t got = recvmsg(mnl_socket_get_fd(n->socket), &message, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return fail(why, ERR_TIMEOUT, "netlink: no answer within %d ms", NETLINK_TIMEOUT_MS);
        if (got < 0 && errno == ENOBUFS)
            return fail(why, ERR_INTERRUPTED, "netlink: the kernel dropped part of its answer");
        if (got < 0)
            return system_error(why, "receiving an answer");
        if ((message.msg_flags & MSG_TRUNC) != 0)
            return fail(why, ERR_MALFORMED, "netlink: a datagram of more than %d bytes",
                        NETLINK_RECEIVE_SIZE);
        if (from.nl_pid != 0)
            continue;
        *size = (size_t)got;
        return OK;
    }
}

static enum err find_family(struct netlink *n, uint8_t *buffer, struct failure *why)
{
    uint8_t request[REQUEST_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct nlmsghdr *message =
        message_start(request, GENL_ID_CTRL, 0, ++n->sequence, CTRL_CMD_GETFAMILY, 1);
    mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
    enum err error = send_request(n, message, why);
    uint16_t family = 0;
    while (error == OK && family == 0) {
        size_t size = 0;
        error = receive(n, buffer, &size, why);
        if (error == OK)
            error = netlink_family_parse(&family, why, n->sequence, buffer, size);
    }
    if (error == OK)
        n->family = family;
    return error;
}

static enum err netlink_open(struct netlink *n, uint8_t *buffer, struct failure *why)
{
    if (n->socket != NULL)
        return OK;
    n->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
    if (n->socket == NULL)
        return system_error(why, "opening a socket");
    struct timeval timeout = {.tv_sec = NETLINK_TIMEOUT_MS / 1000};
    if (setsockopt(mnl_socket_get_fd(n->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
                   sizeof(timeout)) != 0 ||
        mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) != 0)
        return system_error(why, "preparing a socket");
    return find_family(n, buffer, why);
}

static enum err dump_once(struct netlink *n, const char *name, struct wg_device *device,
                          uint8_t *buffer, struct failure *why)
{
    enum err error = netlink_open(n, buffer, why);
    if (error != OK)
        return error;
    uint8_t request[REQUEST_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct nlmsghdr *message = message_start(request, n->family, NLM_F_DUMP, ++n->sequence,
                                             WG_CMD_GET_DEVICE, WG_GENL_VERSION);
    mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, name);
    error = send_request(n, message, why);
    struct netlink_dump dump;
    netlink_dump_init(&dump, device, why, n->family, n->sequence);
    size_t total = 0;
    while (error == OK && !dump.done) {
        size_t size = 0;
        error = receive(n, buffer, &size, why);
        if (error != OK)
            break;
        total += size;
        error = total > WGCTL_MAX_ANSWER_SIZE
                    ? fail(why, ERR_LIMIT, "the kernel's answer is longer than %d bytes",
                           WGCTL_MAX_ANSWER_SIZE)
                    : netlink_dump_feed(&dump, buffer, size);
    }
    /* ENOENT to a dump: the module was loaded again, and the family has another number now. */
    return error == ERR_NOT_FOUND ? ERR_INTERRUPTED : error;
}

/* A writer that configures many peers does it in many steps, and each may break a dump within a
 * millisecond: without pauses the attempts would be used up in the midst of its work. */
static void pause_before_retry(unsigned attempt)
{
    long ms = attempt < 5 ? 1L << attempt : RETRY_PAUSE_MAX_MS;
    if (ms > RETRY_PAUSE_MAX_MS)
        ms = RETRY_PAUSE_MAX_MS;
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* What the control family's answers mean to somebody who asked for a device. */
static enum err device_error(enum err error)
{
    return error == ERR_UNSUPPORTED ? ERR_NO_DEVICE : error;
}

enum err netlink_read(struct netlink *n, const char *name, struct wg_device *device,
                      uint8_t *buffer, struct failure *why)
{
    enum err error = OK;
    for (unsigned attempt = 0; attempt <= WGCTL_DUMP_RETRIES; attempt++) {
        wg_device_clear(device);
        error = dump_once(n, name, device, buffer, why);
        if (error == OK)
            break;
        /* Whatever is left of the answer goes with the socket. A new one also learns the family
         * anew, which changes when the module is loaded again. */
        netlink_close(n);
        if (error != ERR_INTERRUPTED)
            break;
        n->interruption_count++;
        if (attempt < WGCTL_DUMP_RETRIES)
            pause_before_retry(attempt);
    }
    sodium_memzero(buffer, NETLINK_RECEIVE_SIZE);
    return device_error(error);
}

enum err netlink_set_next(struct netlink *n, const char *name, struct change_cursor *c,
                          uint8_t *buffer, struct failure *why)
{
    uint8_t request[NETLINK_SET_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    enum err error = netlink_open(n, buffer, why);
    /* Also without a socket: the caller's loop counts on C to move. */
    (void)netlink_set_write(c, name, n->family, ++n->sequence, request, sizeof(request));
    if (error == OK)
        error = send_request(n, (const struct nlmsghdr *)(const void *)request, why);
    bool done = false;
    while (error == OK && !done) {
        size_t size = 0;
        error = receive(n, buffer, &size, why);
        if (error == OK)
            error = netlink_ack_parse(&done, why, n->sequence, buffer, size);
    }
    if (error != OK)
        netlink_close(n);
    return device_error(error);
}
