/* EDNS options (RFC 6891 section 6.1.2) of a request. */
#include "rdata.h"

/* Options that are only checked. */
enum {
    OPTION_LLQ = 1,
    OPTION_UPDATE_LEASE = 2,
    OPTION_CLIENT_SUBNET = 8,
};

enum {
    LLQ_SIZE = 18,
    LEASE_SIZE = 4,
    EXPIRE_SIZE = 4,
};

/* RFC 7871 section 6; family 0 without a prefix is what some clients send to opt out. */
static bool client_subnet_ok(const uint8_t *data, size_t size)
{
    if (size < 4)
        return false;
    uint16_t family = (uint16_t)(data[0] << 8 | data[1]);
    uint8_t source = data[2];
    uint8_t scope = data[3];
    switch (family) {
    case 0:
        return source == 0;
    case 1:
        return source <= 32 && scope <= 32;
    case 2:
        return source <= 128 && scope <= 128;
    default:
        return false;
    }
}

static bool all_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

/* Checks an option as miekg/dns unpacks it, and cuts it to what that library would pack again. */
static bool option_check(struct dns_edns_option *o)
{
    switch (o->code) {
    case OPTION_LLQ:
        if (o->size < LLQ_SIZE)
            return false;
        o->size = LLQ_SIZE;
        return true;
    case OPTION_UPDATE_LEASE: /* a key lease of zero is left out again */
        if (o->size != LEASE_SIZE && o->size != 2 * LEASE_SIZE)
            return false;
        if (all_zero(o->data + LEASE_SIZE, (size_t)(o->size - LEASE_SIZE)))
            o->size = LEASE_SIZE;
        return true;
    case OPTION_CLIENT_SUBNET:
        return client_subnet_ok(o->data, o->size);
    case DNS_EDNS_EXPIRE: /* RFC 7314 section 2: empty in a query */
        if (o->size > 0 && o->size < EXPIRE_SIZE)
            return false;
        if (o->size > EXPIRE_SIZE)
            o->size = EXPIRE_SIZE;
        return true;
    case DNS_EDNS_KEEPALIVE: /* RFC 7828 section 3.1; a timeout of zero is left out again */
        if (o->size != 0 && o->size != 2)
            return false;
        if (all_zero(o->data, o->size))
            o->size = 0;
        return true;
    case DNS_EDNS_EDE:
        return o->size >= 2;
    default:
        return true;
    }
}

bool dns_edns_options_read(struct dns_edns *out, struct reader *message)
{
    size_t count = 0;
    do {
        struct dns_edns_option option;
        option.code = read_u16(message);
        option.size = read_u16(message);
        option.data = read_bytes(message, option.size);
        if (message->failed || !option_check(&option)) {
            message->failed = true;
            return false;
        }
        if (out != NULL && count < DNS_MAX_EDNS_OPTIONS)
            out->options[count++] = option;
    } while (reader_left(message) > 0);
    if (out != NULL)
        out->option_count = count;
    return true;
}
