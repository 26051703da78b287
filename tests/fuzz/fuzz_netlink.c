/* Fuzz target: datagrams of the kernel's answers, all readers of them. The family and the
 * sequence number are taken from the first message, so that captured dumps are good seeds. */
#include "wgctl/netlink.h"
#include "wgctl/route_answer.h"

#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What zones relies on. */
static void check(const struct wg_device *d)
{
    size_t next = 0;
    for (size_t i = 0; i < d->peer_count; i++) {
        const struct wg_peer *p = &d->peers[i];
        if (p->allowed_ip_start != next)
            abort();
        next += p->allowed_ip_count;
        uint8_t family = p->endpoint.addr.family;
        if (family != IP_NONE && family != IP_V4 && family != IP_V6)
            abort();
    }
    if (next != d->allowed_ip_count || memchr(d->name, '\0', sizeof(d->name)) == NULL)
        abort();
    for (size_t i = 0; i < d->allowed_ip_count; i++)
        if (d->allowed_ips[i].length > 8 * ip_addr_size(&d->allowed_ips[i].addr))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nlmsghdr header = {0};
    memcpy(&header, data, size < sizeof(header) ? size : sizeof(header));
    struct failure why;
    struct wg_device device;
    struct netlink_dump dump;
    wg_device_init(&device);
    netlink_dump_init(&dump, &device, &why, header.nlmsg_type, header.nlmsg_seq);
    if (netlink_dump_feed(&dump, data, size) == OK)
        check(&device);
    wg_device_fini(&device);

    uint16_t family;
    bool done;
    (void)!netlink_family_parse(&family, &why, header.nlmsg_seq, data, size);
    (void)!netlink_ack_parse(&done, &why, header.nlmsg_seq, data, size);
    struct route_answer route;
    (void)!route_answer_parse(&route, header.nlmsg_seq, data, size);
    return 0;
}
