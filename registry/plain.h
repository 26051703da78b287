/* JSON in its plainest form: what Warren itself writes, which is nearly every value there is.
 *
 * No white space, strings of printable ASCII without escapes, small whole numbers. Read in place,
 * without memory: a million peers are read at a start. Whatever else JSON allows makes `failed`,
 * and is for the whole parser, which also finds the words for what is wrong. */
#ifndef WARREN_REGISTRY_PLAIN_H
#define WARREN_REGISTRY_PLAIN_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct plain {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* sticky */
};

static inline struct plain plain_of(struct bytes value)
{
    return (struct plain){.at = value.data, .end = value.data + value.size};
}

/* Whether C comes next; it is taken then. */
static inline bool plain_take(struct plain *p, char c)
{
    if (p->failed || p->at == p->end || *p->at != (uint8_t)c)
        return false;
    p->at++;
    return true;
}

/* C must come next. */
static inline void plain_expect(struct plain *p, char c)
{
    p->failed = !plain_take(p, c);
}

/* A string's content, borrowed from the value. */
static inline struct bytes plain_string(struct plain *p)
{
    plain_expect(p, '"');
    const uint8_t *start = p->at;
    while (!p->failed && p->at < p->end && *p->at >= ' ' && *p->at <= '~' && *p->at != '"' &&
           *p->at != '\\')
        p->at++;
    struct bytes content = bytes_of(start, (size_t)(p->at - start));
    plain_expect(p, '"');
    return p->failed ? BYTES_EMPTY : content;
}

/* A whole number from 0 to MAX, which is below a billion. */
static inline uint32_t plain_number(struct plain *p, uint32_t max)
{
    const uint8_t *start = p->at;
    uint32_t value = 0;
    while (!p->failed && p->at < p->end && *p->at >= '0' && *p->at <= '9' && value <= max)
        value = value * 10 + (uint32_t)(*p->at++ - '0');
    bool is_padded = p->at - start > 1 && *start == '0';
    p->failed |= p->at == start || is_padded || value > max;
    return value;
}

#endif
