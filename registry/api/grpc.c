#include "grpc.h"

size_t grpc_message_encode(char *out, size_t capacity, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t size = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = c >= ' ' && c <= '~' && c != '%';
        if (capacity - size < (plain ? 1 : 3))
            break;
        if (plain) {
            out[size++] = (char)c;
            continue;
        }
        out[size++] = '%';
        out[size++] = hex[c >> 4];
        out[size++] = hex[c & 15];
    }
    return size;
}

/* NUMBER of a unit of NANOSECONDS in milliseconds, rounded up: a client's deadline never comes
 * early. Eight digits of hours still fit. */
static uint64_t to_ms(uint64_t number, uint64_t nanoseconds)
{
    const uint64_t per_ms = 1000 * 1000;
    if (nanoseconds >= per_ms)
        return number * (nanoseconds / per_ms);
    return (number * nanoseconds + per_ms - 1) / per_ms;
}

bool grpc_timeout_parse(uint64_t *out_ms, struct bytes text)
{
    if (text.size < 2 || text.size > GRPC_MAX_TIMEOUT_DIGITS + 1)
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    switch (text.data[text.size - 1]) {
    case 'H':
        *out_ms = to_ms(number, UINT64_C(3600000000000));
        return true;
    case 'M':
        *out_ms = to_ms(number, UINT64_C(60000000000));
        return true;
    case 'S':
        *out_ms = to_ms(number, UINT64_C(1000000000));
        return true;
    case 'm':
        *out_ms = to_ms(number, 1000000);
        return true;
    case 'u':
        *out_ms = to_ms(number, 1000);
        return true;
    case 'n':
        *out_ms = to_ms(number, 1);
        return true;
    default:
        return false;
    }
}

bool grpc_content_type_is_ours(struct bytes text)
{
    static const char prefix[] = "application/grpc";
    struct bytes ours = bytes_of(prefix, sizeof(prefix) - 1);
    if (!bytes_starts_with(text, ours))
        return false;
    if (text.size == ours.size)
        return true;
    uint8_t next = text.data[ours.size];
    return next == '+' || next == ';';
}
