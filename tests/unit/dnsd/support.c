#include "tests/unit/dnsd/support.h"

#include "base/encoding.h"
#include "dnsd/rcu.h"
#include "dnsd/tcp.h"
#include "tests/dns_decode.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOURCE_MAX_RRS = 64,
    ARENA_LIMIT = 64 << 20,
};

/* The handler at the end. */
struct source {
    struct handler base;
    int rcode;
    const char *records;
    const char *error;
    uint16_t flags;
    _Atomic unsigned asked;
};

struct chain {
    uv_loop_t loop;
    char port[8];
    struct dnsd dnsd;
    struct instance *instance;
    struct listener listener;
    struct source source;
    struct arena arena;
    bool is_started;
};

/* --- the source ------------------------------------------------------------------------------ */

static const uint8_t *name_keep(struct arena *arena, const char *text, size_t *size)
{
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, text, strlen(text)), OK);
    *size = name.size;
    const uint8_t *kept = arena_copy(arena, name.wire, name.size);
    assert_non_null(kept);
    return kept;
}

/* DATA of TYPE; types without a form here take hexadecimal. */
static void rdata_make(struct dns_rr *rr, struct arena *arena, const char *data)
{
    uint8_t out[512];
    struct writer w = writer_of(out, sizeof(out));
    struct ip_addr address;
    unsigned number = 0;
    int skipped = 0;
    size_t size;
    switch (rr->type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        assert_int_equal(ip_addr_parse(&address, data, strlen(data)), OK);
        write_bytes(&w, address.bytes, ip_addr_size(&address));
        break;
    case DNS_TYPE_TXT:
        write_u8(&w, (uint8_t)strlen(data));
        write_bytes(&w, data, strlen(data));
        break;
    case DNS_TYPE_MX:
    case DNS_TYPE_SRV: /* PORT TARGET */
        assert_int_equal(sscanf(data, "%u %n", &number, &skipped), 1);
        if (rr->type == DNS_TYPE_SRV)
            write_u32(&w, 0);
        write_u16(&w, (uint16_t)number);
        data += skipped;
        __attribute__((fallthrough));
    case DNS_TYPE_CNAME:
    case DNS_TYPE_NS:
    case DNS_TYPE_PTR: {
        const uint8_t *name = name_keep(arena, data, &size);
        write_bytes(&w, name, size);
        break;
    }
    case DNS_TYPE_SOA:
        write_u16(&w, 0); /* two root names */
        for (int i = 0; i < 5; i++)
            write_u32(&w, 1);
        break;
    default:
        size = strlen(data) / 2;
        assert_int_equal(hex_decode(write_room(&w, size), data, strlen(data)), OK);
    }
    rr->rdata = arena_copy(arena, out, w.size);
    rr->rdata_size = (uint16_t)w.size;
    assert_false(w.failed);
}

static enum dns_section section_of(const char *text)
{
    return strcmp(text, "an") == 0   ? DNS_ANSWER
           : strcmp(text, "ns") == 0 ? DNS_AUTHORITY
                                     : DNS_ADDITIONAL;
}

static void records_make(struct query *q, const char *records, struct dns_message *reply)
{
    struct dns_rr *rrs[DNS_SECTION_COUNT];
    for (int i = 0; i < DNS_SECTION_COUNT; i++) {
        rrs[i] = arena_array(q->arena, SOURCE_MAX_RRS, sizeof(struct dns_rr));
        reply->sections[i] = (struct dns_rr_list){.rrs = rrs[i]};
    }
    while (*records != '\0') {
        char section[3], owner[256], type[16], data[256] = "";
        unsigned ttl;
        assert_in_range(
            sscanf(records, "%2s %255s %u %15s %255[^\n]", section, owner, &ttl, type, data), 4, 5);
        enum dns_section at = section_of(section);
        struct dns_rr *rr = &rrs[at][reply->sections[at].count++];
        size_t size = 0;
        *rr = (struct dns_rr){.class_number = DNS_CLASS_IN, .ttl = ttl};
        rr->owner = q->request.message.question.name;
        if (strcmp(owner, "@") != 0) {
            rr->owner.wire = name_keep(q->arena, owner, &size);
            rr->owner.size = (uint8_t)size;
        }
        assert_int_equal(dns_type_from_text(&rr->type, type, strlen(type)), OK);
        rdata_make(rr, q->arena, data);
        const char *end = strchr(records, '\n');
        records = end != NULL ? end + 1 : records + strlen(records);
    }
}

static int source_serve(struct handler *self, struct query *q)
{
    struct source *s = (struct source *)self;
    struct dns_message reply;
    s->asked++;
    q->error = s->error;
    if (s->records == NULL)
        return s->rcode;
    dns_reply_init_rcode(&reply, &q->request.message, s->rcode);
    reply.flags |= s->flags;
    records_make(q, s->records, &reply);
    q->plugin = self->name;
    query_write(q, &reply);
    return DNS_RCODE_NOERROR;
}

void chain_answers(struct chain *c, int rcode, const char *records)
{
    c->source.rcode = rcode;
    c->source.records = records;
}

void chain_answers_as(struct chain *c, const char *name)
{
    c->source.base.name = name;
}

void chain_answers_error(struct chain *c, const char *error)
{
    c->source.error = error;
}

void chain_answers_flags(struct chain *c, uint16_t flags)
{
    c->source.flags = flags;
}

unsigned chain_asked(const struct chain *c)
{
    return c->source.asked;
}

/* --- loading --------------------------------------------------------------------------------- */

/* A port nobody listens on now. */
static void free_port(char out[static 8])
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
    close(fd);
    snprintf(out, 8, "%u", ntohs(sa.sin_port));
}

static struct store *chain_store;

void chain_set_store(struct store *store)
{
    chain_store = store;
}

void chain_turn(struct chain *c)
{
    while (uv_run(&c->loop, UV_RUN_NOWAIT) != 0 && uv_backend_timeout(&c->loop) == 0)
        ;
}

void chain_wait(struct chain *c, unsigned ms)
{
    uint64_t end = uv_hrtime() + ms * UINT64_C(1000000);
    while (uv_hrtime() < end) {
        uv_run(&c->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static struct chain *chain_new(void)
{
    struct chain *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    assert_int_equal(uv_loop_init(&c->loop), 0);
    free_port(c->port);
    c->dnsd = (struct dnsd){
        .workers = 1, .default_port = c->port, .store = chain_store, .loop = &c->loop};
    assert_int_equal(tcp_pool_create(&c->dnsd.pool, &c->loop), OK);
    assert_int_equal(metrics_create(&c->dnsd.metrics), OK);
    arena_init(&c->arena, ARENA_LIMIT);
    c->source = (struct source){.base = {.name = "source", .serve = source_serve},
                                .rcode = DNS_RCODE_SERVFAIL};
    return c;
}

/* The chain of each block ends in the source; all blocks share a listener of the test's own. */
static void chain_connect(struct chain *c)
{
    size_t count;
    struct site *const *sites = instance_sites(c->instance, &count);
    c->listener = (struct listener){.address = "dns://:53"};
    c->listener.sites = arena_array(instance_arena(c->instance), count, sizeof(struct site *));
    assert_non_null(c->listener.sites);
    for (size_t i = 0; i < count; i++) {
        struct handler *last = sites[i]->first;
        while (last != NULL && last->next != NULL)
            last = last->next;
        if (last == NULL)
            sites[i]->first = &c->source.base;
        else if (last != &c->source.base)
            last->next = &c->source.base;
        for (struct handler *h = sites[i]->first; h != NULL; h = h->next)
            c->listener.serves_chaos |= strcmp(h->name, "chaos") == 0;
        c->listener.sites[c->listener.site_count++] = sites[i];
    }
    assert_int_equal(listener_index(&c->listener, instance_arena(c->instance)), OK);
}

struct chain *chain_load(const char *corefile)
{
    struct chain *c = chain_new();
    struct strbuf error = STRBUF_EMPTY;
    enum err err =
        instance_load(&c->instance, &c->dnsd, "Corefile", corefile, strlen(corefile), NULL, &error);
    if (err != OK)
        fail_msg("the Corefile is refused: %s", strbuf_str(&error));
    strbuf_fini(&error);
    chain_connect(c);
    return c;
}

void chain_free(struct chain *c)
{
    chain_stop(c);
    instance_destroy(c->instance);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    tcp_pool_destroy(c->dnsd.pool);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&c->loop), 0);
    metrics_destroy(c->dnsd.metrics);
    arena_fini(&c->arena);
    free(c);
}

const char *chain_error(const char *corefile)
{
    static char text[1024];
    struct chain *c = chain_new();
    struct strbuf error = STRBUF_EMPTY;
    enum err err =
        instance_load(&c->instance, &c->dnsd, "Corefile", corefile, strlen(corefile), NULL, &error);
    snprintf(text, sizeof(text), "%s", err != OK ? strbuf_str(&error) : "(accepted)");
    strbuf_fini(&error);
    chain_free(c);
    return text;
}

const struct site *chain_site(const struct chain *c, size_t index)
{
    size_t count;
    struct site *const *sites = instance_sites(c->instance, &count);
    assert_in_range(index, 0, count - 1);
    return sites[index];
}

struct listener *chain_listener(struct chain *c)
{
    return &c->listener;
}

void chain_start(struct chain *c)
{
    struct strbuf error = STRBUF_EMPTY;
    if (instance_start(c->instance, &error) != OK)
        fail_msg("the instance does not start: %s", strbuf_str(&error));
    strbuf_fini(&error);
    c->is_started = true;
}

void chain_stop(struct chain *c)
{
    if (c->is_started)
        instance_stop(c->instance, false);
    c->is_started = false;
}

/* --- asking ---------------------------------------------------------------------------------- */

static size_t request_write(const struct ask *ask, uint8_t *out, size_t capacity)
{
    struct writer w = writer_of(out, capacity);
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, ask->name, strlen(ask->name)), OK);
    uint16_t flags = ask->flags != 0 ? ask->flags : DNS_FLAG_RD;
    write_u16(&w, 0x1234);
    write_u16(&w, (uint16_t)(flags | ask->opcode << 11));
    write_u16(&w, 1);
    write_u32(&w, 0);
    write_u16(&w, ask->udp_size != 0);
    write_bytes(&w, name.wire, name.size);
    write_u16(&w, ask->type);
    write_u16(&w, ask->class_number != 0 ? ask->class_number : DNS_CLASS_IN);
    if (ask->udp_size != 0) {
        const char *options = ask->options != NULL ? ask->options : "";
        size_t size = strlen(options) / 2;
        write_u8(&w, 0);
        write_u16(&w, DNS_TYPE_OPT);
        write_u16(&w, ask->udp_size);
        write_u32(&w, ask->is_do ? DNS_EDNS_DO : 0);
        write_u16(&w, (uint16_t)size);
        if (size > 0)
            assert_int_equal(hex_decode(write_room(&w, size), options, strlen(options)), OK);
    }
    assert_false(w.failed);
    return w.size;
}

static void hex_add(struct strbuf *out, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        strbuf_add_format(out, "%02x", data[i]);
}

static void name_add(struct strbuf *out, struct dns_name name)
{
    char text[DNS_NAME_TEXT_SIZE];
    dns_name_to_text(name, text);
    strbuf_add_str(out, text);
}

static void wire_name_add(struct strbuf *out, const uint8_t *wire, size_t size)
{
    struct dns_name name;
    assert_int_equal(dns_name_check(&name, wire, size), OK);
    name_add(out, name);
}

static void rdata_add(struct strbuf *out, const struct dns_rr *rr)
{
    struct ip_addr address = {.family = rr->type == DNS_TYPE_A ? IP_V4 : IP_V6};
    char text[IP_ADDR_TEXT_SIZE];
    switch (rr->type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        memcpy(address.bytes, rr->rdata, rr->rdata_size);
        ip_addr_format(&address, text);
        strbuf_add_str(out, text);
        break;
    case DNS_TYPE_TXT:
    case DNS_TYPE_HINFO:
        for (size_t i = 0; i < rr->rdata_size; i += rr->rdata[i] + (size_t)1)
            strbuf_add_format(out, "%s\"%.*s\"", i > 0 ? " " : "", rr->rdata[i],
                              (const char *)rr->rdata + i + 1);
        break;
    case DNS_TYPE_CNAME:
    case DNS_TYPE_NS:
    case DNS_TYPE_PTR:
        wire_name_add(out, rr->rdata, rr->rdata_size);
        break;
    case DNS_TYPE_MX:
    case DNS_TYPE_SRV: {
        size_t skip = rr->type == DNS_TYPE_SRV ? 4 : 0;
        strbuf_add_format(out, "%u ", rr->rdata[skip] << 8 | rr->rdata[skip + 1]);
        wire_name_add(out, rr->rdata + skip + 2, rr->rdata_size - skip - 2);
        break;
    }
    case DNS_TYPE_SOA:
        break;
    default:
        hex_add(out, rr->rdata, rr->rdata_size);
    }
}

static void rr_add(struct strbuf *out, const char *section, const struct dns_rr *rr)
{
    char type[DNS_MNEMONIC_SIZE];
    strbuf_add_format(out, "|%s ", section);
    name_add(out, rr->owner);
    strbuf_add_format(out, " %u %s ", rr->ttl, dns_type_text(rr->type, type));
    rdata_add(out, rr);
    if (out->data[out->size - 1] == ' ')
        out->data[--out->size] = '\0';
}

static void flags_add(struct strbuf *out, uint16_t flags)
{
    static const char names[] = "qr\0aa\0tc\0rd\0ra\0z\0\0ad\0cd";
    static const uint16_t bits[] = {DNS_FLAG_QR, DNS_FLAG_AA, DNS_FLAG_TC, DNS_FLAG_RD,
                                    DNS_FLAG_RA, DNS_FLAG_Z,  DNS_FLAG_AD, DNS_FLAG_CD};
    const char *separator = " ";
    for (size_t i = 0; i < ARRAY_COUNT(bits); i++) {
        if ((flags & bits[i]) == 0)
            continue;
        strbuf_add_format(out, "%s%s", separator, names + 3 * i);
        separator = ",";
    }
}

static void message_add(struct strbuf *out, const struct dns_message *m)
{
    static const char *const sections[] = {"an", "ns", "ar"};
    char rcode[DNS_MNEMONIC_SIZE];
    strbuf_add_str(out, dns_rcode_text(m->rcode, rcode));
    flags_add(out, m->flags);
    for (int i = 0; i < DNS_SECTION_COUNT; i++) {
        for (size_t j = 0; j < m->sections[i].count; j++)
            rr_add(out, sections[i], &m->sections[i].rrs[j]);
    }
    if (m->edns == NULL)
        return;
    strbuf_add_format(out, "|opt %u", m->edns->udp_size);
    if ((m->edns->flags & DNS_EDNS_DO) != 0)
        strbuf_add_str(out, " do");
    for (size_t i = 0; i < m->edns->option_count; i++) {
        strbuf_add_format(out, " %u:", m->edns->options[i].code);
        hex_add(out, m->edns->options[i].data, m->edns->options[i].size);
    }
}

static void query_prepare(struct query *q, struct chain *c, const struct ask *ask)
{
    const char *from = ask->from != NULL ? ask->from : "127.0.0.1";
    *q = (struct query){
        .proto = ask->is_tcp ? QUERY_TCP : QUERY_UDP, .listener = &c->listener, .arena = &c->arena};
    assert_int_equal(ip_addr_parse(&q->remote.addr, from, strlen(from)), OK);
    q->remote.port = 4321;
    assert_int_equal(ip_addr_parse(&q->local.addr, "127.0.0.9", 9), OK);
    q->local.port = 53;
}

const char *chain_ask(struct chain *c, const struct ask *ask)
{
    static char text[DNS_MAX_MESSAGE_SIZE];
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    uint8_t request[1024];
    struct query q;
    size_t size = request_write(ask, request, sizeof(request));
    query_prepare(&q, c, ask);
    q.out = out;
    q.out_capacity = sizeof(out);
    arena_reset(&c->arena);
    server_answer(&q, request, size);
    text[0] = '\0';
    if (q.out_size == 0)
        return text;
    struct arena arena;
    struct decoded reply;
    struct strbuf rendered = STRBUF_EMPTY;
    arena_init(&arena, ARENA_LIMIT);
    assert_true(decode_message(&reply, out, q.out_size, &arena));
    assert_int_equal(reply.message.id, 0x1234);
    assert_int_equal(reply.message.opcode, ask->opcode);
    assert_true(reply.message.has_question);
    assert_true(dns_name_same(reply.message.question.name, dns_name_of(&q.request.qname)));
    message_add(&rendered, &reply.message);
    snprintf(text, sizeof(text), "%s", strbuf_str(&rendered));
    strbuf_fini(&rendered);
    arena_fini(&arena);
    return text;
}

/* --- metrics and output ---------------------------------------------------------------------- */

double chain_metric(struct chain *c, const char *series)
{
    struct strbuf text = STRBUF_EMPTY;
    double value = -1;
    size_t size = strlen(series);
    metrics_expose(c->dnsd.metrics, &text);
    for (const char *at = strbuf_str(&text); at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, series, size) == 0 && at[size] == ' ') {
            value = strtod(at + size, NULL);
            break;
        }
    }
    strbuf_fini(&text);
    return value;
}

static int real_stdout = -1, captured = -1;

void output_capture(void)
{
    fflush(stdout);
    real_stdout = dup(STDOUT_FILENO);
    captured = memfd_create("output", MFD_CLOEXEC);
    assert_true(real_stdout >= 0 && captured >= 0);
    dup2(captured, STDOUT_FILENO);
}

/* The file is emptied by starting a new one. */
const char *output_take(void)
{
    static char text[1 << 16];
    ssize_t size = pread(captured, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    assert_int_equal(ftruncate(captured, 0), 0);
    lseek(captured, 0, SEEK_SET);
    return text;
}

void output_release(void)
{
    dup2(real_stdout, STDOUT_FILENO);
    close(real_stdout);
    close(captured);
    real_stdout = captured = -1;
}
