#include "dnsd/directive/weights.h"

#include "base/ip.h"
#include "base/log.h"
#include "dnsd/directive/reply.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WEIGHT_MAX = 255
};

struct weight {
    struct dns_name_buf domain;
    struct ip_addr address; /* v4-mapped ones unmapped */
    unsigned value;
};

/* In the order of domain, so that a domain's are found by binary search; a domain's own stay in the
 * file's order, of which the first with an address counts. */
struct weight_list {
    struct weight *items;
    size_t count;
    size_t capacity;
};

struct weights {
    char *file_name;
    struct strbuf content; /* as last read; only weights_update looks at it */
    bool has_content;
    pthread_rwlock_t lock;
    struct weight_list list;
};

enum err weights_create(struct weights **out, const char *file_name)
{
    struct weights *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NO_MEMORY;
    w->file_name = strdup(file_name);
    if (w->file_name == NULL) {
        free(w);
        return ERR_NO_MEMORY;
    }
    pthread_rwlock_init(&w->lock, NULL);
    *out = w;
    return OK;
}

void weights_destroy(struct weights *w)
{
    if (w == NULL)
        return;
    pthread_rwlock_destroy(&w->lock);
    strbuf_fini(&w->content);
    free(w->list.items);
    free(w->file_name);
    free(w);
}

/* --- the file -------------------------------------------------------------------------------- */

enum {
    FIELDS_MAX = 3
}; /* three are already too many */

struct parse {
    const char *file_name;
    struct weight_list list;
    struct dns_name_buf domain; /* size 0: no name, which no record has */
    bool has_domain;
    struct strbuf *error;
};

static enum err list_append(struct weight_list *list, const struct weight *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        struct weight *grown = realloc(list->items, capacity * sizeof(*grown));
        if (grown == NULL)
            return ERR_NO_MEMORY;
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = *item;
    return OK;
}

static enum err parse_fail(struct parse *p, const char *what, const char *text)
{
    strbuf_add_format(p->error, "%s:\"%s\" in weight file %s", what, text, p->file_name);
    return ERR_MALFORMED;
}

static enum err domain_parse(struct parse *p, const char *text)
{
    struct ip_addr address;
    if (ip_addr_parse(&address, text, strlen(text)) == OK) {
        enum err err = parse_fail(p, "Wrong domain name", text);
        strbuf_add_str(p->error, ". (Maybe a missing weight value?)");
        return err;
    }
    p->has_domain = true;
    if (dns_name_from_text(&p->domain, text, strlen(text)) != OK)
        p->domain.size = 0;
    return OK;
}

/* 1 to 255 in decimal digits; 0 for anything else. */
static unsigned value_parse(const char *text)
{
    unsigned value = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return 0;
        value = value * 10 + (unsigned)(*at - '0');
        if (value > WEIGHT_MAX)
            return 0;
    }
    return value;
}

static enum err weight_parse(struct parse *p, const char *address, const char *value)
{
    struct weight item = {.value = value_parse(value)};
    if (ip_addr_parse(&item.address, address, strlen(address)) != OK)
        return parse_fail(p, "Wrong IP address", address);
    if (item.value == 0)
        return parse_fail(p, "Wrong weight value", value);
    if (!p->has_domain) {
        strbuf_add_format(p->error, "Missing domain name in weight file %s", p->file_name);
        return ERR_MALFORMED;
    }
    item.address = ip_unmap(item.address);
    item.domain = p->domain;
    return item.domain.size > 0 ? list_append(&p->list, &item) : OK;
}

/* LINE is changed. */
static enum err line_parse(struct parse *p, char *line)
{
    char *fields[FIELDS_MAX];
    size_t count = 0;
    while (isspace((unsigned char)*line))
        line++;
    for (char *end = line + strlen(line); end > line && isspace((unsigned char)end[-1]); end--)
        end[-1] = '\0';
    if (*line == '\0' || *line == '#')
        return OK;
    char *rest = strdup(line);
    if (rest == NULL)
        return ERR_NO_MEMORY;
    char *state = rest;
    for (char *field; count < FIELDS_MAX && (field = strsep(&state, " \t\v\f\r")) != NULL;) {
        if (*field != '\0')
            fields[count++] = field;
    }
    enum err err = count == 1   ? domain_parse(p, fields[0])
                   : count == 2 ? weight_parse(p, fields[0], fields[1])
                                : parse_fail(p, "Could not parse weight line", line);
    free(rest);
    return err;
}

static enum err content_parse(struct parse *p, char *content)
{
    for (char *line; (line = strsep(&content, "\n")) != NULL;) {
        if (strlen(line) >= WEIGHTS_MAX_LINE_SIZE) {
            strbuf_add_format(p->error,
                              "Weight file %s parsing error:bufio.Scanner: token too long",
                              p->file_name);
            return ERR_MALFORMED;
        }
        enum err err = line_parse(p, line);
        if (err != OK)
            return err;
    }
    return OK;
}

static int name_compare(struct dns_name a, struct dns_name b)
{
    return a.size != b.size ? a.size - b.size : memcmp(a.wire, b.wire, a.size);
}

/* Equal domains keep their places: items of one array are told apart by their address. */
static int weight_compare(const void *a, const void *b)
{
    const struct weight *x = a, *y = b;
    return name_compare(dns_name_of(&x->domain), dns_name_of(&y->domain));
}

/* Merge sort, because qsort need not keep the order of equals. */
static enum err list_sort(struct weight_list *list)
{
    struct weight *spare = malloc((list->count + 1) * sizeof(*spare));
    if (spare == NULL)
        return ERR_NO_MEMORY;
    for (size_t width = 1; width < list->count; width *= 2) {
        for (size_t from = 0; from < list->count; from += 2 * width) {
            size_t middle = from + width < list->count ? from + width : list->count;
            size_t end = middle + width < list->count ? middle + width : list->count;
            size_t left = from, right = middle;
            for (size_t to = from; to < end; to++) {
                bool take_left =
                    left < middle &&
                    (right == end || weight_compare(&list->items[left], &list->items[right]) <= 0);
                spare[to] = list->items[take_left ? left++ : right++];
            }
        }
        memcpy(list->items, spare, list->count * sizeof(*spare));
    }
    free(spare);
    return OK;
}

/* The whole file into OUT. */
static enum err file_read(const char *file_name, struct strbuf *out, struct strbuf *error)
{
    char block[16384];
    FILE *file = fopen(file_name, "re");
    if (file == NULL) {
        strbuf_add_str(error, "Weight file open error");
        return ERR_NOT_FOUND;
    }
    enum err err = OK;
    size_t size;
    while (err == OK && (size = fread(block, 1, sizeof(block), file)) > 0) {
        strbuf_add(out, block, size);
        if (out->size > WEIGHTS_MAX_FILE_SIZE)
            err = ERR_LIMIT;
    }
    if (err == OK && ferror(file))
        err = ERR_IO;
    if (err == OK && out->failed)
        err = ERR_NO_MEMORY;
    fclose(file);
    if (err != OK)
        strbuf_add_format(error, "read %s: %s", file_name, err_text(err));
    return err;
}

static enum err content_load(struct weights *w, const struct strbuf *content, struct strbuf *error)
{
    struct parse p = {.file_name = w->file_name, .error = error};
    char *copy = strdup(strbuf_str(content));
    enum err err = copy != NULL ? content_parse(&p, copy) : ERR_NO_MEMORY;
    free(copy);
    if (err == OK)
        err = list_sort(&p.list);
    if (err != OK) {
        free(p.list.items);
        return err;
    }
    pthread_rwlock_wrlock(&w->lock);
    struct weight *old = w->list.items;
    w->list = p.list;
    pthread_rwlock_unlock(&w->lock);
    free(old);
    log_plugin(LOG_INFO, "loadbalance", "Successfully reloaded weight file %s", w->file_name);
    return OK;
}

enum err weights_update(struct weights *w, struct strbuf *error)
{
    struct strbuf content = STRBUF_EMPTY;
    enum err err = file_read(w->file_name, &content, error);
    bool is_same = err == OK && w->has_content && content.size == w->content.size &&
                   memcmp(strbuf_str(&content), strbuf_str(&w->content), content.size) == 0;
    if (err != OK || is_same) {
        strbuf_fini(&content);
        return err;
    }
    w->has_content = true;
    strbuf_fini(&w->content);
    w->content = content; /* a file with mistakes is not read twice either */
    return content_load(w, &w->content, error);
}

/* --- choosing -------------------------------------------------------------------------------- */

static const struct weight *domain_find(const struct weight_list *list, struct dns_name domain)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (name_compare(dns_name_of(&list->items[middle].domain), domain) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return list->items + low;
}

static unsigned rr_weight(const struct weight_list *list, const struct dns_rr *rr)
{
    struct ip_addr address = {.family = rr->type == DNS_TYPE_A ? IP_V4 : IP_V6};
    if (rr->rdata_size != ip_addr_size(&address))
        return 1;
    memcpy(address.bytes, rr->rdata, rr->rdata_size);
    address = ip_unmap(address);
    const struct weight *end = list->items + list->count;
    for (const struct weight *w = domain_find(list, rr->owner); w < end; w++) {
        if (!dns_name_same(dns_name_of(&w->domain), rr->owner))
            break;
        if (ip_addr_equal(&w->address, &address))
            return w->value;
    }
    return 1;
}

size_t weights_choose(struct weights *w, const struct dns_rr *rrs, size_t count)
{
    uint64_t sum = 0;
    size_t chosen = 0;
    pthread_rwlock_rdlock(&w->lock);
    /* each record replaces the choice with its share of the sum so far: one pass, exact odds */
    for (size_t i = 0; i < count; i++) {
        unsigned weight = rr_weight(&w->list, &rrs[i]);
        sum += weight;
        if (random_below(sum) < weight)
            chosen = i;
    }
    pthread_rwlock_unlock(&w->lock);
    return chosen;
}
