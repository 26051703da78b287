/* The C half of the comparison with miekg/dns (tests/interop/dnspack.sh):
 *
 *   dnspack generate SEED COUNT       writes COUNT cases, see oracle/dnspack/main.go for their form
 *   dnspack check CASES ANSWERS       answers CASES with our code and compares with ANSWERS
 *
 * Cases are made up from a seed: requests good, odd, mutated and cut; replies of every type that
 * holds names, with few enough names that they share suffixes, some long enough to pass the limit
 * of compression pointers; names and their texts; mnemonics. */
#include "base/attr.h"
#include "base/encoding.h"
#include "tests/dns_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CASE_SIZE_MAX = 200000,
    LINE_SIZE_MAX = 3 * CASE_SIZE_MAX,
    CLIENT_SUBNET = 8,
    SHOWN_DIFFERENCES_MAX = 10,
    SHOWN_SIZE_MAX = 1000,
};

/* Random numbers (splitmix64): the same cases for the same seed everywhere. */

static uint64_t random_state;

static uint64_t random_word(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

static unsigned below(unsigned bound)
{
    return (unsigned)(random_word() % bound);
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

/* Making up names. */

static void write_label(struct writer *w, bool escapes)
{
    static const char special[] = ". '@;()\"\\\x01\x7F\xFF\x00"
                                  "AZ";
    unsigned size = one_in(30) ? 1 + below(63) : 1 + below(4);
    write_u8(w, (uint8_t)size);
    for (unsigned i = 0; i < size; i++) {
        if (escapes && one_in(3))
            write_u8(w, (uint8_t)special[below(sizeof special - 1)]);
        else
            write_u8(w, (uint8_t)(one_in(8) ? 'A' + below(3) : 'a' + below(3)));
    }
}

enum {
    POOL_SIZE = 24
};
static struct dns_name_buf pool[POOL_SIZE];

/* Names most of which are below another one of the pool. */
static void make_pool(bool escapes)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        uint8_t wire[DNS_NAME_MAX_SIZE];
        struct writer w = writer_of(wire, sizeof wire);
        for (unsigned labels = 1 + below(3); labels > 0; labels--)
            write_label(&w, escapes && one_in(2));
        if (i > 0 && !one_in(6)) {
            const struct dns_name_buf *base = &pool[below(i)];
            write_bytes(&w, base->wire, base->size);
        } else {
            write_u8(&w, 0);
        }
        if (w.failed)
            pool[i] = (struct dns_name_buf){.size = 1};
        else
            memcpy(pool[i].wire, wire, pool[i].size = (uint8_t)w.size);
    }
}

static void write_pool_name(struct writer *w)
{
    const struct dns_name_buf *name = &pool[one_in(3) ? 0 : below(POOL_SIZE)];
    write_bytes(w, name->wire, name->size);
}

static void write_random(struct writer *w, unsigned size)
{
    while (size-- > 0)
        write_u8(w, (uint8_t)below(256));
}

/* Octets that have only one text form, whose size is theirs. */
static void write_plain(struct writer *w, unsigned size)
{
    while (size-- > 0)
        write_u8(w, (uint8_t)('a' + below(26)));
}

static void write_string(struct writer *w)
{
    unsigned size = below(one_in(10) ? 256 : 12);
    write_u8(w, (uint8_t)size);
    write_plain(w, size);
}

static void write_gateway(struct writer *w, uint8_t kind)
{
    if (kind == 1)
        write_random(w, 4);
    else if (kind == 2)
        write_random(w, 16);
    else if (kind == 3)
        write_bytes(w, "\2gw\4host", 9);
}

/* HIP's identity and key; their sizes go to the rdata's start. */
static void write_hip_body(struct writer *w, size_t start)
{
    unsigned identity = below(5), key = below(12);
    if (w->failed)
        return;
    w->data[start] = (uint8_t)identity;
    w->data[start + 2] = 0;
    w->data[start + 3] = (uint8_t)key;
    write_random(w, identity + key);
}

/* One field of an rdata (see base/dns/rdata.h), such that miekg/dns packs it as it was. */
static void write_field(struct writer *w, char field, size_t start)
{
    switch (field) {
    case '1':
    case '2':
    case '4':
    case '6':
    case '8':
        write_random(w, (unsigned)(field - '0'));
        break;
    case 'Q':
        write_random(w, 16);
        break;
    case 'c':
    case 'n':
        write_pool_name(w);
        break;
    case 'N':
        for (unsigned names = below(4); names > 0; names--)
            write_pool_name(w);
        break;
    case 's':
        write_string(w);
        break;
    case 't':
        for (unsigned strings = 1 + below(3); strings > 0; strings--)
            write_string(w);
        break;
    case 'h':
    case 'H': {
        unsigned size = below(6);
        if (!w->failed) {
            w->data[w->size - 1] = (uint8_t)size;
            if (field == 'H')
                w->data[w->size - 2] = 0;
        }
        write_random(w, size);
        break;
    }
    case 'b':
        write_bytes(w, "\0\2\x40\1\1\1\x80", one_in(3) ? 0 : 7);
        break;
    case 'p':
        write_bytes(w, "\0\1\x18\3\12\1\2", 7);
        break;
    case 'v':
        write_bytes(w, "\0\1\0\3\2h2\0\3\0\2\1\xBB", 13);
        break;
    case 'g': {
        uint8_t kind = (uint8_t)below(4);
        if (!w->failed)
            w->data[start + 1] = kind;
        write_gateway(w, kind);
        break;
    }
    case 'i':
        write_hip_body(w, start);
        break;
    case 'r':
        write_plain(w, below(24));
        break;
    default: /* 'o': written with the OPT */
        break;
    }
}

static uint16_t random_type(void)
{
    static const uint16_t common[] = {
        DNS_TYPE_A,   DNS_TYPE_AAAA, DNS_TYPE_PTR, DNS_TYPE_SRV,   DNS_TYPE_TXT,
        DNS_TYPE_SOA, DNS_TYPE_NS,   DNS_TYPE_MX,  DNS_TYPE_CNAME,
    };
    static const uint16_t rare[] = {249, 256, 257, 258, 260, 32768, 32769, 255, 1000};
    if (one_in(2))
        return common[below(ARRAY_COUNT(common))];
    if (one_in(6))
        return rare[below(ARRAY_COUNT(rare))];
    uint16_t type = (uint16_t)(1 + below(110));
    return type == DNS_TYPE_OPT ? DNS_TYPE_SRV : type;
}

static void write_rr(struct writer *w, uint16_t type)
{
    write_pool_name(w);
    write_u16(w, type);
    write_u16(w, DNS_CLASS_IN);
    write_u32(w, below(100000));
    size_t size_at = w->size;
    write_u16(w, 0);
    size_t start = w->size;
    for (const char *field = dns_rdata_layout(type); *field != '\0'; field++)
        write_field(w, *field, start);
    if (w->failed)
        return;
    w->data[size_at] = (uint8_t)((w->size - start) >> 8);
    w->data[size_at + 1] = (uint8_t)(w->size - start);
}

static void write_option(struct writer *w, bool of_request)
{
    static const struct {
        uint16_t code, size;
    } usual[] = {{1, 18}, {2, 4},  {2, 8},   {3, 0},  {3, 5},  {5, 2},  {6, 2},
                 {7, 1},  {8, 7},  {9, 0},   {9, 4},  {9, 6},  {10, 8}, {10, 24},
                 {11, 0}, {11, 2}, {12, 30}, {15, 2}, {15, 9}, {13, 3}, {65001, 4}};
    unsigned i = below(ARRAY_COUNT(usual));
    unsigned size = one_in(20) ? below(20) : usual[i].size;
    if (usual[i].code == CLIENT_SUBNET && !of_request)
        return;
    write_u16(w, usual[i].code);
    write_u16(w, (uint16_t)size);
    if (usual[i].code == CLIENT_SUBNET && size == 7) {
        write_bytes(w, one_in(4) ? "\0\2\x18\0" : "\0\1\x18\0", 4);
        write_random(w, 3);
    } else if (one_in(3)) {
        while (size-- > 0)
            write_u8(w, 0);
    } else {
        write_random(w, size);
    }
}

/* A reply's has only as many options as our decoder keeps, and none that it does not pack again as
 * miekg/dns does. */
static void write_opt(struct writer *w, bool of_request)
{
    write_bytes(w, "\0\0\x29", 3);
    write_u16(w, (uint16_t)(one_in(2) ? below(65536) : 1232));
    write_u32(w, one_in(4) ? (uint32_t)random_word() : one_in(2) ? 0x8000 : 0);
    size_t size_at = w->size;
    write_u16(w, 0);
    for (unsigned options = one_in(20) ? below(of_request ? 40 : 30) : below(4); options > 0;
         options--)
        write_option(w, of_request);
    if (w->failed)
        return;
    w->data[size_at] = (uint8_t)((w->size - size_at - 2) >> 8);
    w->data[size_at + 1] = (uint8_t)(w->size - size_at - 2);
}

static void write_header(struct writer *w, uint16_t word, const unsigned counts[static 4])
{
    write_u16(w, (uint16_t)below(65536));
    write_u16(w, word);
    for (int i = 0; i < 4; i++)
        write_u16(w, (uint16_t)counts[i]);
}

static void write_question(struct writer *w)
{
    write_pool_name(w);
    write_u16(w, one_in(2) ? DNS_TYPE_SRV : random_type());
    write_u16(w, one_in(10) ? (uint16_t)below(65536) : DNS_CLASS_IN);
}

static void print_hex(const char *prefix, const uint8_t *data, size_t size)
{
    static char hex[2 * CASE_SIZE_MAX];
    hex_encode(hex, data, size);
    printf("%s %.*s\n", prefix, (int)(2 * size), hex);
}

/* Flips, cuts, grows, points somewhere. */
static size_t mutate(uint8_t *data, size_t size, size_t capacity)
{
    for (unsigned n = 1 + below(3); n > 0 && size > 0; n--) {
        size_t at = below((unsigned)size);
        switch (below(6)) {
        case 0:
            data[at] = (uint8_t)below(256);
            break;
        case 1:
            data[at] = (uint8_t)(data[at] + 1);
            break;
        case 2:
            size = at;
            break;
        case 3:
            if (size < capacity)
                data[size++] = (uint8_t)below(256);
            break;
        case 4:
            if (at + 1 < size) {
                data[at] = 0xC0;
                data[at + 1] = (uint8_t)below((unsigned)size);
            }
            break;
        default:
            memmove(data + at, data + at + 1, size - at - 1);
            size--;
            break;
        }
    }
    return size;
}

static void generate_request(void)
{
    uint8_t data[4096];
    struct writer w = writer_of(data, sizeof data - 16);
    make_pool(one_in(4));
    bool odd = one_in(4);
    unsigned counts[4] = {1, one_in(6), one_in(6), 0};
    unsigned opts = one_in(3) ? 0 : one_in(20) ? 2 : 1;
    unsigned additional = opts < 2 && one_in(5);
    counts[3] = opts + additional;
    uint16_t word = odd ? (uint16_t)below(0x8000) : (uint16_t)(one_in(4) ? 0x2000 : 0);
    write_header(&w, word | (uint16_t)below(0x800) | (uint16_t)(one_in(200) ? DNS_FLAG_QR : 0),
                 counts);
    write_question(&w);
    for (unsigned rrs = counts[1] + counts[2]; rrs > 0; rrs--)
        write_rr(&w, random_type());
    bool opt_first = one_in(2);
    if (additional > 0 && !opt_first)
        write_rr(&w, random_type());
    while (opts-- > 0)
        write_opt(&w, true);
    if (additional > 0 && opt_first)
        write_rr(&w, random_type());
    size_t size = w.size;
    if (one_in(2))
        size = mutate(data, size, sizeof data);
    if (odd && one_in(4) && size >= 12)
        data[4 + 2 * below(4) + 1] = (uint8_t)below(4);
    print_hex("R", data, size);
}

static void generate_reply(void)
{
    static uint8_t data[CASE_SIZE_MAX];
    struct writer w = writer_of(data, sizeof data);
    make_pool(one_in(3));
    unsigned many = one_in(40) ? 2000 : one_in(5) ? 60 : 6;
    unsigned counts[4] = {!one_in(10), below(many), below(one_in(2) ? 2 : many),
                          below(one_in(2) ? 4 : many)};
    bool edns = one_in(2);
    unsigned rrs[3] = {counts[1], counts[2], counts[3]};
    counts[3] += edns;
    write_header(&w, 0x8000 | (uint16_t)below(0x8000), counts);
    if (counts[0] > 0)
        write_question(&w);
    bool plain = one_in(3); /* like a list of peers: one type */
    uint16_t type = one_in(2) ? DNS_TYPE_PTR : random_type();
    for (int section = 0; section < 3; section++) {
        for (unsigned i = 0; i < rrs[section]; i++) {
            uint16_t t = plain ? type : random_type();
            write_rr(&w, t == DNS_TYPE_TSIG ? DNS_TYPE_A : t);
        }
    }
    if (edns)
        write_opt(&w, false);
    if (w.failed)
        return;
    static const unsigned limits[] = {0, 512, 1232, 4096, 16384, 65535};
    unsigned limit =
        one_in(2) ? limits[below(ARRAY_COUNT(limits))] : below((unsigned)w.size + 100) % 65536;
    char prefix[32];
    (void)snprintf(prefix, sizeof prefix, "B %u", limit);
    print_hex(prefix, data, w.size);
}

static void generate_name(void)
{
    uint8_t data[400];
    struct writer w = writer_of(data, sizeof data);
    unsigned labels = one_in(4) ? below(130) : below(5);
    while (labels-- > 0)
        write_label(&w, one_in(2));
    if (one_in(3)) {
        write_u8(&w, 0xC0);
        write_u8(&w, (uint8_t)below(w.failed ? 255 : (unsigned)w.size + 4));
    }
    write_u8(&w, 0);
    size_t size = w.size;
    if (one_in(3))
        size = mutate(data, size, sizeof data);
    print_hex("N", data, size);
}

static void generate_text(void)
{
    uint8_t data[600];
    struct writer w = writer_of(data, sizeof data);
    unsigned size = one_in(4) ? below(300) : below(12);
    for (unsigned i = 0; i < size; i++) {
        char escape[8];
        switch (below(12)) {
        case 0:
            write_u8(&w, '\\');
            break;
        case 1:
            (void)snprintf(escape, sizeof escape, "\\%03u", below(256));
            write_bytes(&w, escape, 4);
            break;
        case 2:
            write_u8(&w, '.');
            break;
        case 3:
            write_u8(&w, (uint8_t)below(256));
            break;
        default:
            write_u8(&w, (uint8_t)('a' + below(26)));
            break;
        }
        if (w.size > 0 && data[w.size - 1] == '\\' && one_in(2))
            write_u8(&w, (uint8_t) "1.\\x"[below(4)]);
    }
    /* No "\DDD" above 255: miekg/dns takes it modulo 256, we refuse it. */
    for (size_t i = 0; i + 3 < w.size; i++) {
        if (data[i] == '\\' && data[i + 1] > '1' && data[i + 1] <= '9')
            data[i + 1] = '1';
    }
    print_hex("T", data, w.size);
}

static void generate(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned kind = below(20);
        if (kind < 8)
            generate_request();
        else if (kind < 15)
            generate_reply();
        else if (kind < 17)
            generate_name();
        else if (kind < 19)
            generate_text();
        else
            printf("M %u\n", one_in(2) ? below(300) : 32700 + below(32836));
    }
}

/* Answers, in the oracle's words. */

static char answer[LINE_SIZE_MAX];
static size_t answer_size;

static void answer_text(const char *text)
{
    size_t size = strlen(text);
    memcpy(answer + answer_size, text, size + 1);
    answer_size += size;
}

static void answer_hex(const uint8_t *data, size_t size)
{
    hex_encode(answer + answer_size, data, size);
    answer_size += 2 * size;
    answer[answer_size] = '\0';
}

static void answer_number(size_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%zu", number);
    answer_text(text);
}

static void answer_message(const struct dns_message *m)
{
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    size_t size;
    if (dns_message_write(m, out, sizeof out, &size) == OK)
        answer_hex(out, size);
    else
        answer_text("error");
}

static void answer_request(const uint8_t *data, size_t size)
{
    struct dns_request request;
    uint8_t out[DNS_MIN_UDP_SIZE];
    enum dns_verdict verdict = dns_request_parse(&request, data, size);
    if (verdict == DNS_IGNORE) {
        answer_text("ignore");
        return;
    }
    if (verdict != DNS_ACCEPT) {
        answer_text("reject ");
        answer_hex(out, dns_reject(&request, verdict, out, sizeof out));
        return;
    }
    answer_text("accept ");
    answer_number(dns_request_size(&request));
    answer_text(" ");
    struct dns_message reply;
    dns_reply_init(&reply, &request.message);
    struct dns_edns *edns = request.message.edns;
    if (edns != NULL) {
        size_t kept = 0;
        for (size_t i = 0; i < edns->option_count; i++) {
            if (edns->options[i].code != CLIENT_SUBNET)
                edns->options[kept++] = edns->options[i];
        }
        edns->option_count = kept;
        reply.edns = edns;
        reply.rcode = request.message.rcode;
    }
    answer_message(&reply);
}

static void answer_reply(size_t limit, const uint8_t *data, size_t size, struct arena *arena)
{
    static struct decoded decoded;
    if (!decode_message(&decoded, data, size, arena)) {
        answer_text("bad case");
        return;
    }
    struct dns_message *m = &decoded.message;
    answer_number(dns_message_size(m));
    m->compress = true;
    answer_text(" | ");
    answer_number(dns_message_size(m));
    answer_text(" ");
    answer_message(m);
    m->compress = false;
    dns_message_truncate(m, limit);
    answer_text(m->compress ? " | true " : " | false ");
    answer_text((m->flags & DNS_FLAG_TC) != 0 ? "true " : "false ");
    answer_message(m);
}

static void answer_mnemonics(unsigned number)
{
    char text[DNS_MNEMONIC_SIZE];
    answer_text(dns_type_text((uint16_t)number, text));
    answer_text(" ");
    answer_text(dns_class_text((uint16_t)number, text));
    answer_text(" ");
    answer_text(dns_rcode_text((int)number, text));
}

static void answer_name(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    struct dns_name_buf name;
    if (dns_name_read(&name, &r) != OK) {
        answer_text("error");
        return;
    }
    char text[DNS_NAME_TEXT_SIZE];
    answer_number(r.offset);
    answer_text(" ");
    if (dns_name_to_text(dns_name_of(&name), text) != dns_name_text_size(dns_name_of(&name)))
        answer_text("wrong size");
    answer_text(text);
}

static void answer_name_text(const uint8_t *data, size_t size)
{
    struct dns_name_buf name;
    if (dns_name_from_text(&name, (const char *)data, size) == OK)
        answer_hex(name.wire, name.size);
    else
        answer_text("error");
}

static void answer_case(const char *line, struct arena *arena)
{
    static uint8_t data[CASE_SIZE_MAX];
    answer_size = 0;
    const char *hex = strrchr(line, ' ') + 1;
    size_t size = strcspn(hex, "\n");
    unsigned number = (unsigned)strtoul(line + 2, NULL, 10);
    if (line[0] == 'M') {
        answer_mnemonics(number);
        return;
    }
    if (size / 2 > sizeof data || hex_decode(data, hex, size) != OK) {
        answer_text("bad case");
        return;
    }
    size /= 2;
    /* Exactly as large as the case, for the sanitizers. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        exit(2);
    memcpy(exact, data, size);
    if (line[0] == 'R')
        answer_request(exact, size);
    else if (line[0] == 'B')
        answer_reply(number, exact, size, arena);
    else if (line[0] == 'N')
        answer_name(exact, size);
    else
        answer_name_text(exact, size);
    free(exact);
    arena_reset(arena);
}

/* "accept - HEX" stands for any size. */
static bool same_answer(const char *ours, const char *theirs)
{
    static const char any[] = "accept - ", bad[] = "bad case";
    if (strncmp(ours, bad, sizeof bad - 1) == 0) /* our own making-up: not to be compared */
        return strncmp(theirs, bad, sizeof bad - 1) == 0;
    if (strncmp(theirs, any, sizeof any - 1) != 0)
        return strcmp(ours, theirs) == 0;
    if (strncmp(ours, any, sizeof "accept " - 1) != 0)
        return false;
    return strcmp(strrchr(ours, ' '), strrchr(theirs, ' ')) == 0;
}

static int check(FILE *cases, FILE *answers)
{
    static char line[LINE_SIZE_MAX], expected[LINE_SIZE_MAX];
    struct arena arena;
    arena_init(&arena, 64u << 20);
    size_t count = 0, different = 0;
    while (fgets(line, sizeof line, cases) != NULL) {
        if (fgets(expected, sizeof expected, answers) == NULL) {
            fprintf(stderr, "dnspack: no answer to case %zu\n", count + 1);
            return 1;
        }
        count++;
        expected[strcspn(expected, "\n")] = '\0';
        answer_case(line, &arena);
        if (!same_answer(answer, expected) && different++ < SHOWN_DIFFERENCES_MAX)
            printf("case %zu: %.*s\nexpected %.*s\n     got %.*s\n", count, SHOWN_SIZE_MAX, line,
                   SHOWN_SIZE_MAX, expected, SHOWN_SIZE_MAX, answer);
    }
    arena_fini(&arena);
    printf("%zu cases, %zu different\n", count, different);
    return count > 0 && different == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "generate") == 0) {
        random_state = strtoull(argv[2], NULL, 10);
        generate((unsigned)strtoul(argv[3], NULL, 10));
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "check") == 0) {
        FILE *cases = fopen(argv[2], "r"), *answers = fopen(argv[3], "r");
        if (cases == NULL || answers == NULL) {
            perror("dnspack");
            return 2;
        }
        int status = check(cases, answers);
        fclose(cases);
        fclose(answers);
        return status;
    }
    fprintf(stderr, "usage: dnspack generate SEED COUNT | dnspack check CASES ANSWERS\n");
    return 2;
}
