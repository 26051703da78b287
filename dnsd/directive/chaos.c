/* chaos: TXT records of class CH that tell version, authors and host name. */
#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TXT_STRING_MAX_SIZE = 255
};

static const char name[] = "chaos";

/* What CoreDNS 1.11.1 says of itself: clients that look for it find it. */
static const char default_version[] = "CoreDNS-1.11.1";
static const char *const default_authors[] = {
    "Tantalor93", "bradbeam",      "chrisohaver", "darshanime", "dilyevsky",   "ekleiner",
    "greenpau",   "ihac",          "inigohu",     "isolus",     "jameshartig", "johnbelamaric",
    "miekg",      "mqasimsarfraz", "nchrisdk",    "nitisht",    "pmoroney",    "rajansandeep",
    "rdrozhdzh",  "rtreffer",      "snebel29",    "stp-ip",     "superq",      "varyoo",
    "ykhr53",     "yongtang",      "zouyee",
};

/* A TXT record's rdata: one string. */
struct txt {
    uint16_t size;
    uint8_t rdata[1 + TXT_STRING_MAX_SIZE];
};

struct chaos {
    struct handler base;
    struct txt version;
    struct txt *authors; /* the instance's arena */
    size_t author_count;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Backslash escapes count as the octet they name, as they do in miekg/dns's strings. Text is cut at
 * 255 bytes. */
static void txt_set(struct txt *t, const char *text)
{
    size_t left = strlen(text);
    left = left > TXT_STRING_MAX_SIZE ? TXT_STRING_MAX_SIZE : left;
    t->size = 1;
    for (; left > 0; text++, left--) {
        char c = *text;
        if (c == '\\') {
            if (--left == 0)
                break;
            c = *++text;
            if (left >= 3 && is_digit(c) && is_digit(text[1]) && is_digit(text[2])) {
                c = (char)((c - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
                text += 2;
                left -= 2;
            }
        }
        t->rdata[t->size++] = (uint8_t)c;
    }
    t->rdata[0] = (uint8_t)(t->size - 1);
}

static void reply_txt(struct query *q, const struct txt *const *texts, size_t count)
{
    struct dns_rr *rrs = arena_array(q->arena, count, sizeof(*rrs));
    struct dns_message reply;
    dns_reply_init(&reply, &q->request.message);
    for (size_t i = 0; rrs != NULL && i < count; i++) {
        rrs[i] = (struct dns_rr){
            .owner = q->request.message.question.name,
            .rdata = texts[i]->rdata,
            .rdata_size = texts[i]->size,
            .type = DNS_TYPE_TXT,
            .class_number = DNS_CLASS_CH,
        };
    }
    if (rrs != NULL)
        reply.sections[DNS_ANSWER] = (struct dns_rr_list){.rrs = rrs, .count = count};
    query_set_plugin(q, name);
    query_write(q, &reply);
}

/* In a new random order each time. */
static void reply_authors(const struct chaos *c, struct query *q)
{
    const struct txt **texts = arena_array(q->arena, c->author_count, sizeof(*texts));
    if (texts == NULL)
        return;
    for (size_t i = 0; i < c->author_count; i++) {
        size_t j = (size_t)random_below(i + 1);
        texts[i] = texts[j];
        texts[j] = &c->authors[i];
    }
    reply_txt(q, texts, c->author_count);
}

static void reply_hostname(struct query *q)
{
    char host[TXT_STRING_MAX_SIZE + 1] = "localhost";
    struct txt txt;
    if (gethostname(host, sizeof(host)) == 0)
        host[sizeof(host) - 1] = '\0';
    txt_set(&txt, host);
    const struct txt *texts[] = {&txt};
    reply_txt(q, texts, 1);
}

static bool name_is(const struct query *q, const uint8_t *wire, size_t size)
{
    return q->name.size == size && memcmp(q->name.wire, wire, size) == 0;
}

/* STRING's final NUL is the root label. */
#define NAME_IS(q, string) name_is(q, (const uint8_t *)(string), sizeof(string))

static int chaos_serve(struct handler *self, struct query *q)
{
    const struct chaos *c = (const struct chaos *)self;
    if (q->request.message.question.class_number != DNS_CLASS_CH || query_type(q) != DNS_TYPE_TXT)
        return handler_next(self, q);
    if (NAME_IS(q, "\7authors\4bind")) {
        reply_authors(c, q);
    } else if (NAME_IS(q, "\7version\4bind") || NAME_IS(q, "\7version\6server")) {
        const struct txt *texts[] = {&c->version};
        reply_txt(q, texts, 1);
    } else if (NAME_IS(q, "\10hostname\4bind") || NAME_IS(q, "\2id\6server")) {
        reply_hostname(q);
    } else {
        return handler_next(self, q);
    }
    return DNS_RCODE_NOERROR;
}

static void chaos_destroy(struct handler *self)
{
    free(self);
}

static enum err authors_set(struct chaos *c, struct setup *s, const char *const *texts,
                            size_t count)
{
    c->authors = arena_array(s->arena, count, sizeof(*c->authors));
    if (c->authors == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        bool repeated = false;
        for (size_t j = 0; j < i && !repeated; j++)
            repeated = strcmp(texts[i], texts[j]) == 0;
        if (!repeated)
            txt_set(&c->authors[c->author_count++], texts[i]);
    }
    return OK;
}

/* chaos [VERSION [AUTHORS...]]; only the first line counts. */
static enum err chaos_parse(struct chaos *c, struct setup *s)
{
    struct setup_args args;
    core_next(&s->cursor);
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    txt_set(&c->version, args.count > 0 ? args.items[0] : default_version);
    if (args.count > 1)
        return authors_set(c, s, args.items + 1, args.count - 1);
    return authors_set(c, s, default_authors, ARRAY_COUNT(default_authors));
}

enum err directive_chaos_setup(struct setup *s)
{
    struct chaos *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return setup_add_handler(s, name, NULL);
    c->base = (struct handler){.name = name, .serve = chaos_serve, .destroy = chaos_destroy};
    enum err err = chaos_parse(c, s);
    if (err != OK) {
        struct strbuf why = STRBUF_EMPTY;
        free(c);
        return setup_fail(s, name, err, &why);
    }
    return setup_add_handler(s, name, &c->base);
}
