/* log: one line per query, in CoreDNS's formats.
 *
 * A format is compiled once into pieces (literal text or a placeholder) and an upper bound of a
 * line's size, so that a line is one pass into one buffer of the query's arena and one write. */
#include "base/log.h"

#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define COMMON_FORMAT                                                                              \
    "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" "           \
    "{rcode} {>rflags} {rsize} {duration}"
#define COMBINED_FORMAT COMMON_FORMAT " \"{>opcode}\""

static const char name[] = "log";
static const char line_start[] = "[INFO] ";

enum {
    NUMBER_TEXT_SIZE = 20,  /* any 64-bit number */
    DURATION_MAX_SIZE = 32, /* seconds, point, nine digits, "s" */
    ADDRESS_MAX_SIZE = IP_ADDR_TEXT_SIZE + IF_NAMESIZE + 3,
    SERVER_MAX_SIZE = 256, /* {local} comes from a listener's address */
};

enum piece_kind {
    PIECE_LITERAL,
    PIECE_TYPE,
    PIECE_NAME,
    PIECE_CLASS,
    PIECE_PROTO,
    PIECE_SIZE,
    PIECE_REMOTE,
    PIECE_PORT,
    PIECE_LOCAL,
    PIECE_ID,
    PIECE_OPCODE,
    PIECE_DO,
    PIECE_BUFSIZE,
    PIECE_RCODE,
    PIECE_RSIZE,
    PIECE_DURATION,
    PIECE_RFLAGS,
    PIECE_METADATA, /* we have no source of metadata: "-", as CoreDNS prints what is not set */
};

static const struct label {
    const char *text;
    enum piece_kind kind;
    uint16_t max_size;
} labels[] = {
    {"{type}", PIECE_TYPE, DNS_MNEMONIC_SIZE},
    {"{name}", PIECE_NAME, DNS_NAME_TEXT_SIZE},
    {"{class}", PIECE_CLASS, DNS_MNEMONIC_SIZE},
    {"{proto}", PIECE_PROTO, 3},
    {"{size}", PIECE_SIZE, NUMBER_TEXT_SIZE},
    {"{remote}", PIECE_REMOTE, ADDRESS_MAX_SIZE},
    {"{port}", PIECE_PORT, NUMBER_TEXT_SIZE},
    {"{local}", PIECE_LOCAL, SERVER_MAX_SIZE},
    {"{>id}", PIECE_ID, NUMBER_TEXT_SIZE},
    {"{>opcode}", PIECE_OPCODE, NUMBER_TEXT_SIZE},
    {"{>do}", PIECE_DO, 5},
    {"{>bufsize}", PIECE_BUFSIZE, NUMBER_TEXT_SIZE},
    {"{rcode}", PIECE_RCODE, NUMBER_TEXT_SIZE},
    {"{rsize}", PIECE_RSIZE, NUMBER_TEXT_SIZE},
    {"{duration}", PIECE_DURATION, DURATION_MAX_SIZE},
    {"{>rflags}", PIECE_RFLAGS, 24},
};

struct piece {
    enum piece_kind kind;
    const char *literal;
    size_t literal_size;
};

struct format {
    struct piece *pieces;
    size_t count;
    size_t max_size; /* of a line, with start and newline */
};

struct rule {
    struct zone_list scope; /* one name */
    unsigned classes;       /* of enum reply_class */
    const struct format *format;
};

/* All in the instance's arena. */
struct query_log {
    struct handler base;
    struct rule *rules;
    size_t rule_count;
};

/* What was written while the query ran. */
struct recorder {
    struct response_writer base;
    int64_t start_ns;
    bool wrote;
    uint16_t rcode;
    uint16_t flags;
    enum reply_type type;
    bool need_type;
    size_t size;
};

/* --- a line ---------------------------------------------------------------------------------- */

struct line {
    char *at; /* room is guaranteed by format.max_size */
};

static void add(struct line *l, const char *text, size_t size)
{
    memcpy(l->at, text, size);
    l->at += size;
}

static void add_str(struct line *l, const char *text)
{
    add(l, text, strlen(text));
}

static void add_number(struct line *l, uint64_t value)
{
    char digits[NUMBER_TEXT_SIZE];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    add(l, digits + at, sizeof(digits) - at);
}

/* Seconds with the digits that nanoseconds need: "0.000123456s". */
static void add_duration(struct line *l, int64_t ns)
{
    uint64_t value = ns < 0 ? 0 : (uint64_t)ns;
    uint64_t fraction = value % (uint64_t)DURATION_SECOND;
    add_number(l, value / (uint64_t)DURATION_SECOND);
    if (fraction > 0) {
        char digits[9];
        size_t count = sizeof(digits);
        for (size_t i = count; i > 0; i--) {
            digits[i - 1] = (char)('0' + fraction % 10);
            fraction /= 10;
        }
        while (digits[count - 1] == '0')
            count--;
        *l->at++ = '.';
        add(l, digits, count);
    }
    *l->at++ = 's';
}

static void add_name(struct line *l, const struct query *q)
{
    char text[DNS_NAME_TEXT_SIZE];
    add(l, text, dns_name_to_text(dns_name_of(&q->name), text));
}

/* IPv6 in brackets, with its zone where it has one. */
static void add_address(struct line *l, const struct ip_endpoint *e)
{
    char text[IP_ADDR_TEXT_SIZE];
    size_t size = ip_addr_format(&e->addr, text);
    if (e->addr.family == IP_V4) {
        add(l, text, size);
        return;
    }
    *l->at++ = '[';
    add(l, text, size);
    if (e->scope_id != 0) {
        char interface[IF_NAMESIZE];
        *l->at++ = '%';
        if (if_indextoname(e->scope_id, interface) != NULL)
            add_str(l, interface);
        else
            add_number(l, e->scope_id);
    }
    *l->at++ = ']';
}

/* Over UDP, CoreDNS knows only the listening address ("::" for the wildcard), over TCP the real
 * one. */
static void add_local(struct line *l, const struct query *q)
{
    if (q->proto == QUERY_TCP) {
        add_address(l, &q->local);
        return;
    }
    const char *host = strstr(q->server, "://");
    host = host != NULL ? host + 3 : q->server;
    const char *colon = strrchr(host, ':');
    size_t size = colon != NULL ? (size_t)(colon - host) : strlen(host);
    if (size == 0 || size > SERVER_MAX_SIZE)
        add_str(l, "[::]");
    else
        add(l, host, size);
}

static void add_flags(struct line *l, uint16_t flags)
{
    static const struct {
        uint16_t bit;
        char text[3];
    } names[] = {
        {DNS_FLAG_QR, "qr"}, {DNS_FLAG_AA, "aa"}, {DNS_FLAG_TC, "tc"}, {DNS_FLAG_RD, "rd"},
        {DNS_FLAG_RA, "ra"}, {DNS_FLAG_Z, "z"},   {DNS_FLAG_AD, "ad"}, {DNS_FLAG_CD, "cd"},
    };
    const char *start = l->at;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if ((flags & names[i].bit) == 0)
            continue;
        if (l->at != start)
            *l->at++ = ',';
        add_str(l, names[i].text);
    }
}

static void add_mnemonic(struct line *l, const struct query *q, enum piece_kind kind)
{
    char text[DNS_MNEMONIC_SIZE];
    const struct dns_question *question = &q->request.message.question;
    add_str(l, kind == PIECE_TYPE ? dns_type_text(question->type, text)
                                  : dns_class_text(question->class_number, text));
}

static void add_piece(struct line *l, const struct piece *p, const struct query *q,
                      const struct recorder *r)
{
    char text[DNS_MNEMONIC_SIZE];
    switch (p->kind) {
    case PIECE_LITERAL:
        add(l, p->literal, p->literal_size);
        break;
    case PIECE_TYPE:
    case PIECE_CLASS:
        add_mnemonic(l, q, p->kind);
        break;
    case PIECE_NAME:
        add_name(l, q);
        break;
    case PIECE_PROTO:
        add(l, q->proto == QUERY_TCP ? "tcp" : "udp", 3);
        break;
    case PIECE_SIZE:
        add_number(l, dns_request_size(&q->request));
        break;
    case PIECE_REMOTE:
        add_address(l, &q->remote);
        break;
    case PIECE_PORT:
        add_number(l, q->remote.port);
        break;
    case PIECE_LOCAL:
        add_local(l, q);
        break;
    case PIECE_ID:
        add_number(l, q->request.message.id);
        break;
    case PIECE_OPCODE:
        add_number(l, q->request.message.opcode);
        break;
    case PIECE_DO:
        add_str(l, query_do(q) ? "true" : "false");
        break;
    case PIECE_BUFSIZE:
        add_number(l, query_size_limit(q));
        break;
    case PIECE_RCODE:
        add_str(l, r->wrote ? dns_rcode_text(r->rcode, text) : "-");
        break;
    case PIECE_RSIZE:
        add_number(l, r->size);
        break;
    case PIECE_DURATION:
        add_duration(l, monotonic_ns() - r->start_ns);
        break;
    case PIECE_RFLAGS:
        if (r->wrote)
            add_flags(l, r->flags);
        else
            *l->at++ = '-';
        break;
    case PIECE_METADATA:
        *l->at++ = '-';
        break;
    }
}

static void log_query(const struct format *f, const struct query *q, const struct recorder *r)
{
    char *text = arena_alloc(q->arena, f->max_size);
    if (text == NULL)
        return;
    struct line l = {.at = text};
    add(&l, line_start, sizeof(line_start) - 1);
    for (size_t i = 0; i < f->count; i++)
        add_piece(&l, &f->pieces[i], q, r);
    if (l.at[-1] != '\n')
        *l.at++ = '\n';
    log_raw(text, (size_t)(l.at - text));
}

/* --- serving --------------------------------------------------------------------------------- */

/* Size and RCODE are those of the reply as the handlers wrote it; its flags are looked at after the
 * server truncated it, so a cut reply logs "tc" (CoreDNS shares the message the same way). */
static void recorder_write(struct response_writer *self, struct query *q, struct dns_message *reply)
{
    struct recorder *r = (struct recorder *)self;
    r->rcode = reply->rcode;
    r->size += dns_message_size(reply);
    self->outer->write(self->outer, q, reply);
    r->flags = reply->flags;
    r->type = r->need_type ? reply_typify(reply) : REPLY_NO_ERROR;
    r->wrote = true;
}

static const struct rule *rule_find(const struct query_log *log, struct dns_name qname)
{
    for (size_t i = 0; i < log->rule_count; i++) {
        if (zone_list_match(&log->rules[i].scope, qname) == 0)
            return &log->rules[i];
    }
    return NULL;
}

static int log_serve(struct handler *self, struct query *q)
{
    const struct rule *rule = rule_find((const struct query_log *)self, dns_name_of(&q->name));
    if (rule == NULL)
        return handler_next(self, q);
    bool every_class = (rule->classes & REPLY_CLASS_ALL) != 0;
    struct recorder r = {
        .base = {.write = recorder_write, .outer = q->writer},
        .start_ns = monotonic_ns(),
        .type = REPLY_OTHER_ERROR,
        .need_type = !every_class,
    };
    q->writer = &r.base;
    int rcode = handler_next(self, q);
    q->writer = r.base.outer;
    if (every_class || (rule->classes & reply_classify(r.type)) != 0)
        log_query(rule->format, q, &r);
    return rcode;
}

static void log_destroy(struct handler *self)
{
    free(self);
}

/* --- formats --------------------------------------------------------------------------------- */

static const struct label *label_find(const char *text, size_t size)
{
    for (size_t i = 0; i < ARRAY_COUNT(labels); i++) {
        if (strlen(labels[i].text) == size && memcmp(labels[i].text, text, size) == 0)
            return &labels[i];
    }
    return NULL;
}

static void piece_append(struct format *f, enum piece_kind kind, const char *literal, size_t size,
                         size_t max_size)
{
    if (kind == PIECE_LITERAL && size == 0)
        return;
    f->pieces[f->count++] = (struct piece){.kind = kind, .literal = literal, .literal_size = size};
    f->max_size += max_size;
}

/* The text up to each closing brace, which is looked at first so that "{ {name} }" works: the last
 * opening brace before it starts a placeholder, or all of it is literal. */
static void pieces_split(struct format *f, const char *text)
{
    for (const char *close; (close = strchr(text, '}')) != NULL; text = close + 1) {
        size_t size = (size_t)(close - text) + 1;
        const char *open = memrchr(text, '{', size);
        size_t label_size = open != NULL ? (size_t)(close - open) + 1 : 0;
        const struct label *label = open != NULL ? label_find(open, label_size) : NULL;
        bool is_metadata = label_size > 2 && open[1] == '/';
        if (label == NULL && !is_metadata) {
            piece_append(f, PIECE_LITERAL, text, size, size);
            continue;
        }
        size_t before = size - label_size;
        piece_append(f, PIECE_LITERAL, text, before, before);
        if (label != NULL)
            piece_append(f, label->kind, NULL, 0, label->max_size);
        else
            piece_append(f, PIECE_METADATA, NULL, 0, 1);
    }
    size_t rest = strlen(text);
    piece_append(f, PIECE_LITERAL, text, rest, rest);
}

/* TEXT must live as long as the format. */
static enum err format_compile(const struct format **out, struct arena *arena, const char *text)
{
    size_t braces = 1;
    for (const char *at = text; *at != '\0'; at++)
        braces += *at == '}';
    struct format *f = arena_alloc(arena, sizeof(*f));
    if (f == NULL)
        return ERR_NO_MEMORY;
    *f = (struct format){
        .pieces = arena_array(arena, 2 * braces, sizeof(*f->pieces)),
        .max_size = sizeof(line_start) + 1,
    };
    if (f->pieces == NULL)
        return ERR_NO_MEMORY;
    pieces_split(f, text);
    *out = f;
    return OK;
}

static void add_replaced(struct strbuf *out, const char *text, const char *what, const char *with)
{
    size_t size = strlen(what);
    for (const char *at; (at = strstr(text, what)) != NULL; text = at + size) {
        strbuf_add(out, text, (size_t)(at - text));
        strbuf_add_str(out, with);
    }
    strbuf_add_str(out, text);
}

static enum err format_from_arg(const struct format **out, struct arena *arena, const char *arg)
{
    struct strbuf common = STRBUF_EMPTY, full = STRBUF_EMPTY;
    add_replaced(&common, arg, "{common}", COMMON_FORMAT);
    add_replaced(&full, strbuf_str(&common), "{combined}", COMBINED_FORMAT);
    const char *text = arena_copy(arena, strbuf_str(&full), full.size + 1);
    bool failed = common.failed || full.failed || text == NULL;
    strbuf_fini(&common);
    strbuf_fini(&full);
    return failed ? ERR_NO_MEMORY : format_compile(out, arena, text);
}

/* --- setup ----------------------------------------------------------------------------------- */

static enum err class_parse(struct setup *s, unsigned *classes, struct strbuf *why)
{
    static const struct {
        const char *text;
        enum reply_class class;
    } names[] = {
        {"all", REPLY_CLASS_ALL},
        {"success", REPLY_CLASS_SUCCESS},
        {"denial", REPLY_CLASS_DENIAL},
        {"error", REPLY_CLASS_ERROR},
    };
    struct setup_args args;
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count == 0)
        return core_arg_error(&s->cursor, why);
    for (size_t i = 0; i < args.count; i++) {
        size_t at = 0;
        while (at < ARRAY_COUNT(names) && strcmp(args.items[i], names[at].text) != 0)
            at++;
        if (at == ARRAY_COUNT(names)) {
            strbuf_add_format(why, "invalid Class: %s", args.items[i]);
            return ERR_INVALID;
        }
        *classes |= names[at].class;
    }
    return OK;
}

static enum err block_parse(struct setup *s, unsigned *classes, struct strbuf *why)
{
    *classes = 0;
    while (core_next_block(&s->cursor)) {
        if (strcmp(core_val(&s->cursor), "class") != 0)
            return core_arg_error(&s->cursor, why);
        enum err err = class_parse(s, classes, why);
        if (err != OK)
            return err;
    }
    if (*classes == 0)
        *classes = REPLY_CLASS_ALL;
    return OK;
}

/* log [NAMES...] [FORMAT]: with two or more arguments, a last one with a brace is the format. */
static enum err line_parse(struct setup *s, struct query_log *log, const struct format *common,
                           struct strbuf *why)
{
    static const char *const root[] = {"."};
    struct setup_args args;
    const struct format *format = common;
    unsigned classes;
    enum err err = setup_args_read(s, &args);
    if (err == OK && args.count > 1 && strchr(args.items[args.count - 1], '{') != NULL)
        err = format_from_arg(&format, s->arena, args.items[--args.count]);
    if (err == OK)
        err = block_parse(s, &classes, why);
    if (err != OK)
        return err;
    const char *const *scopes = args.count > 0 ? args.items : root;
    size_t count = args.count > 0 ? args.count : 1;
    for (size_t i = 0; i < count; i++) {
        struct rule *rule = &log->rules[log->rule_count];
        *rule = (struct rule){.classes = classes, .format = format};
        err = zone_list_init(&rule->scope, s->arena, &scopes[i], 1);
        if (err != OK)
            return err;
        log->rule_count++;
    }
    return OK;
}

static enum err log_parse(struct setup *s, struct query_log *log, struct strbuf *why)
{
    const struct format *common;
    enum err err = format_compile(&common, s->arena, COMMON_FORMAT);
    /* no line makes more rules than it has tokens */
    log->rules = arena_array(s->arena, s->cursor.count, sizeof(*log->rules));
    if (log->rules == NULL)
        return ERR_NO_MEMORY;
    while (err == OK && core_next(&s->cursor))
        err = line_parse(s, log, common, why);
    return err;
}

enum err directive_log_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    struct query_log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return setup_add_handler(s, name, NULL);
    log->base = (struct handler){.name = name, .serve = log_serve, .destroy = log_destroy};
    enum err err = log_parse(s, log, &why);
    if (err != OK) {
        free(log);
        return setup_fail(s, name, err, &why);
    }
    return setup_add_handler(s, name, &log->base);
}
