#include "base/dns_message.h"
#include "base/encoding.h"
#include "tests/dns_decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A query for "a.bc." SRV IN, RD and CD set; more bytes may follow. */
#define HEADER(flags, qd, an, ns, ar) "\x12\x34" flags "\0" qd "\0" an "\0" ns "\0" ar
#define QUESTION                      "\1a\2bc\0\0\41\0\1"
#define OPT(size, ttl, rdata)         "\0\0\51" size ttl rdata
#define BYTES(literal)                (const uint8_t *)(literal), sizeof(literal) - 1

static enum dns_verdict parse(struct dns_request *request, const uint8_t *data, size_t size)
{
    memset(request, 0xA5, sizeof *request);
    return dns_request_parse(request, data, size);
}

static void assert_reply(const struct dns_request *request, enum dns_verdict verdict,
                         const uint8_t *expected, size_t size)
{
    uint8_t out[DNS_MIN_UDP_SIZE];
    assert_int_equal(dns_reject(request, verdict, out, sizeof out), size);
    assert_memory_equal(out, expected, size);
}

static void a_plain_query_is_accepted(void **state)
{
    (void)state;
    struct dns_request r;
    assert_int_equal(parse(&r, BYTES(HEADER("\1\x10", "\1", "\0", "\0", "\0") QUESTION)),
                     DNS_ACCEPT);
    assert_int_equal(r.message.id, 0x1234);
    assert_int_equal(r.message.flags, DNS_FLAG_RD | DNS_FLAG_CD);
    assert_true(r.message.has_question);
    assert_int_equal(r.message.question.type, DNS_TYPE_SRV);
    assert_int_equal(r.message.question.class_number, DNS_CLASS_IN);
    assert_int_equal(r.message.question.name.size, 6);
    assert_null(r.message.edns);
    assert_int_equal(dns_request_size(&r), 22);
}

static void responses_and_short_headers_are_ignored(void **state)
{
    (void)state;
    struct dns_request r;
    static const uint8_t response[] = HEADER("\x80\0", "\1", "\0", "\0", "\0") QUESTION;
    assert_int_equal(parse(&r, response, sizeof response - 1), DNS_IGNORE);
    assert_int_equal(parse(&r, BYTES("\x12\x34\1\0\0\1\0\0\0\0\0")), DNS_IGNORE);
    assert_int_equal(parse(&r, NULL, 0), DNS_IGNORE);
}

static void opcodes_other_than_query_and_notify_are_not_implemented(void **state)
{
    (void)state;
    for (unsigned opcode = 0; opcode < 16; opcode++) {
        uint8_t query[] = HEADER("\0\0", "\1", "\0", "\0", "\0") QUESTION;
        query[2] = (uint8_t)(opcode << 3);
        struct dns_request r;
        bool known = opcode == DNS_OPCODE_QUERY || opcode == DNS_OPCODE_NOTIFY;
        assert_int_equal(parse(&r, query, sizeof query - 1),
                         known ? DNS_ACCEPT : DNS_REJECT_NOTIMP);
        assert_int_equal(r.message.opcode, opcode);
    }
}

static void notimp_keeps_opcode_and_drops_the_unread_question(void **state)
{
    (void)state;
    struct dns_request r;
    /* UPDATE with AA, TC, RD, RA, Z, AD, CD: all but AA and Z stay. */
    assert_int_equal(parse(&r, BYTES(HEADER("\x2F\xF0", "\1", "\0", "\0", "\0") QUESTION)),
                     DNS_REJECT_NOTIMP);
    assert_reply(&r, DNS_REJECT_NOTIMP, BYTES(HEADER("\xAB\xB4", "\0", "\0", "\0", "\0")));
}

static void counts_beyond_the_bounds_are_format_errors(void **state)
{
    (void)state;
    static const struct {
        uint8_t counts[4];
        bool accepted;
    } cases[] = {
        {{1, 1, 1, 2}, true},  {{0, 0, 0, 0}, false}, {{2, 0, 0, 0}, false},
        {{1, 2, 0, 0}, false}, {{1, 0, 2, 0}, false}, {{1, 0, 0, 3}, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t query[] = HEADER("\1\0", "\0", "\0", "\0", "\0") QUESTION;
        for (size_t j = 0; j < 4; j++)
            query[5 + 2 * j] = cases[i].counts[j];
        struct dns_request r;
        /* The records that the counts promise are not there: tolerated. */
        assert_int_equal(parse(&r, query, sizeof query - 1),
                         cases[i].accepted ? DNS_ACCEPT : DNS_REJECT_FORMERR);
        if (!cases[i].accepted)
            assert_reply(&r, DNS_REJECT_FORMERR, BYTES(HEADER("\x81\1", "\0", "\0", "\0", "\0")));
    }
}

static void a_header_alone_is_accepted_without_a_question(void **state)
{
    (void)state;
    struct dns_request r;
    assert_int_equal(parse(&r, BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0"))), DNS_ACCEPT);
    assert_false(r.message.has_question);
    assert_int_equal(dns_request_size(&r), 12);
}

static void a_question_may_end_behind_name_or_type_or_inside_the_class(void **state)
{
    (void)state;
    static const uint8_t query[] = HEADER("\1\0", "\1", "\0", "\0", "\0") QUESTION;
    static const struct {
        size_t size;
        bool accepted;
        uint16_t type;
    } cases[] = {{17, false, 0}, {18, true, 0}, {19, false, 0}, {20, true, 33}, {21, true, 33}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct dns_request r;
        assert_int_equal(parse(&r, query, cases[i].size),
                         cases[i].accepted ? DNS_ACCEPT : DNS_REJECT_FORMERR);
        assert_int_equal(r.message.has_question, cases[i].accepted);
        if (cases[i].accepted) {
            assert_int_equal(r.message.question.type, cases[i].type);
            assert_int_equal(r.message.question.class_number, 0);
        }
    }
}

static void trailing_bytes_are_tolerated(void **state)
{
    (void)state;
    struct dns_request r;
    assert_int_equal(parse(&r, BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") QUESTION "junk")),
                     DNS_ACCEPT);
    assert_int_equal(dns_request_size(&r), 22);
}

static void a_cut_record_is_a_format_error_that_keeps_the_question(void **state)
{
    (void)state;
    static const uint8_t query[] = HEADER("\1\x20", "\1", "\0", "\0", "\1")
        QUESTION OPT("\x10\0", "\0\0\x80\0", "\0\4\0\12\0\0");
    for (size_t size = 23; size < sizeof query - 1; size++) {
        struct dns_request r;
        assert_int_equal(parse(&r, query, size), DNS_REJECT_FORMERR);
        assert_null(r.message.edns);
        assert_reply(&r, DNS_REJECT_FORMERR,
                     BYTES(HEADER("\x81\x21", "\1", "\0", "\0", "\0") QUESTION));
    }
    struct dns_request r;
    assert_int_equal(parse(&r, query, sizeof query - 1), DNS_ACCEPT);
}

static void malformed_rdata_is_a_format_error(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        const char *rdata;
        uint8_t size;
        bool accepted;
    } cases[] = {
        {DNS_TYPE_A, "\1\2\3\4", 4, true},
        {DNS_TYPE_A, "\1\2\3", 3, false},
        {DNS_TYPE_A, "\1\2\3\4\5", 5, false},
        {DNS_TYPE_A, "", 0, true},
        {DNS_TYPE_NS, "\1x\0", 3, true},
        {DNS_TYPE_NS, "\1x\0!", 4, false},
        {DNS_TYPE_NS, "\xC0\x0C", 2, true},
        {DNS_TYPE_NS, "\xC0\xFF", 2, false},
        {DNS_TYPE_CNAME, "\5x", 2, false},
        {DNS_TYPE_SOA, "\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 22, true},
        {DNS_TYPE_SOA, "\0\0", 2, true}, /* fields may be missing from the end */
        {DNS_TYPE_SOA, "\0\0\0\0\0", 5, false},
        {DNS_TYPE_PTR, "\xC0\x0C", 2, true},
        {DNS_TYPE_HINFO, "\1a\1b", 4, true},
        {DNS_TYPE_HINFO, "\1a\2b", 4, false},
        {DNS_TYPE_MX, "\0\12\xC0\x0C", 4, true},
        {DNS_TYPE_MX, "\0", 1, false},
        {DNS_TYPE_TXT, "\0\1x\2yz", 6, true},
        {DNS_TYPE_TXT, "\3x", 2, false},
        {DNS_TYPE_AAAA, "0123456789abcdef", 16, true},
        {DNS_TYPE_AAAA, "0123456789abcde", 15, false},
        {DNS_TYPE_SRV, "\0\0\0\0\0\0\xC0\x0C", 8, true},
        {DNS_TYPE_SRV, "\0\0\0\0\0\0\1", 7, false},
        {DNS_TYPE_OPT, "\0\3\0\0", 4, true},
        {DNS_TYPE_OPT, "\0\3\0", 3, false},
        {DNS_TYPE_DS, "\0\1\10\2abcd", 8, true},
        {DNS_TYPE_DS, "\0", 1, false},
        {DNS_TYPE_NSEC, "\0\0\1\x40", 4, true},
        {DNS_TYPE_NSEC, "\0\0\0", 3, false},
        {DNS_TYPE_TSIG, "\0\0\0\0\0\0\1\0\2\0\1M\0\1\0\0\0\0", 18, true},
        {DNS_TYPE_TSIG, "\0\0\0\0\0\0\1\0\2\0\1M", 12, false},
        {200, "anything", 8, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t query[100];
        struct writer w = writer_of(query, sizeof query);
        write_bytes(&w, BYTES(HEADER("\1\0", "\1", "\1", "\0", "\0") QUESTION "\xC0\x0C\0"));
        write_u8(&w, cases[i].type);
        write_bytes(&w, BYTES("\0\1\0\0\0\0\0"));
        write_u8(&w, cases[i].size);
        write_bytes(&w, cases[i].rdata, cases[i].size);
        struct dns_request r;
        enum dns_verdict expected = cases[i].accepted ? DNS_ACCEPT : DNS_REJECT_FORMERR;
        if (parse(&r, query, w.size) != expected)
            fail_msg("case %zu: type %u, %u octets", i, cases[i].type, cases[i].size);
        assert_true(r.message.has_question);
    }
}

static void edns_is_read_with_its_options(void **state)
{
    (void)state;
    static const uint8_t query[] = HEADER("\1\0", "\1", "\0", "\0", "\1")
        QUESTION OPT("\x04\xD0", "\1\2\x80\7", "\0\17\0\12\0\3abc\0\4\0\0\0\14\0\0");
    struct dns_request r;
    assert_int_equal(parse(&r, query, sizeof query - 1), DNS_ACCEPT);
    assert_ptr_equal(r.message.edns, &r.edns);
    assert_int_equal(r.edns.udp_size, 1232);
    assert_int_equal(r.edns.extended_rcode, 1);
    assert_int_equal(r.message.rcode, 16);
    assert_int_equal(r.edns.version, 2);
    assert_int_equal(r.edns.flags, DNS_EDNS_DO | 7);
    assert_int_equal(r.edns.option_count, 3);
    assert_int_equal(r.edns.options[0].code, DNS_EDNS_COOKIE);
    assert_int_equal(r.edns.options[0].size, 3);
    assert_memory_equal(r.edns.options[0].data, "abc", 3);
    assert_int_equal(dns_request_size(&r), sizeof query - 1);
}

static void the_last_opt_counts(void **state)
{
    (void)state;
    static const uint8_t query[] = HEADER("\1\0", "\1", "\0", "\0", "\2")
        QUESTION OPT("\2\0", "\0\0\0\0", "\0\4\0\3\0\0") OPT("\4\0", "\0\0\0\0", "\0\0");
    struct dns_request r;
    assert_int_equal(parse(&r, query, sizeof query - 1), DNS_ACCEPT);
    assert_int_equal(r.edns.udp_size, 1024);
    assert_int_equal(r.edns.option_count, 0);
    assert_int_equal(dns_request_size(&r), sizeof query - 1);
}

static void options_are_checked_and_cut_as_miekg_packs_them(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        const char *data;
        uint8_t size;
        int kept; /* -1: FORMERR */
    } cases[] = {
        {1, "0123456789abcdefgh", 18, 18},
        {1, "x", 1, -1},
        {2, "\0\0\0\1", 4, 4},
        {2, "\0\0\0\1\0\0\0\0", 8, 4},
        {2, "\0\0\0\1\0\0\0\1", 8, 8},
        {2, "\0\0\0\1\0", 5, -1},
        {DNS_EDNS_NSID, "x", 1, 1},
        {8, "\0\1\x18\0\1\2\3", 7, 7},
        {8, "\0\1\x21\0\1\2\3", 7, -1},
        {8, "\0\0\0\0", 4, 4},
        {8, "\0\0\1\0", 4, -1},
        {8, "\0\2\x80\x80", 4, 4},
        {8, "\0\2\x80\x81", 4, -1},
        {8, "\0\3\0\0", 4, -1},
        {8, "\0\1\0", 3, -1},
        {DNS_EDNS_EXPIRE, "", 0, 0},
        {DNS_EDNS_EXPIRE, "abc", 3, -1},
        {DNS_EDNS_EXPIRE, "abcd", 4, 4},
        {DNS_EDNS_EXPIRE, "abcde", 5, 4},
        {DNS_EDNS_KEEPALIVE, "", 0, 0},
        {DNS_EDNS_KEEPALIVE, "\0\0", 2, 0},
        {DNS_EDNS_KEEPALIVE, "\0\1", 2, 2},
        {DNS_EDNS_KEEPALIVE, "\0", 1, -1},
        {DNS_EDNS_EDE, "\0\1why", 5, 5},
        {DNS_EDNS_EDE, "\0", 1, -1},
        {200, "whatever", 8, 8},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t query[100];
        struct writer w = writer_of(query, sizeof query);
        write_bytes(&w, BYTES(HEADER("\1\0", "\1", "\0", "\0", "\1") QUESTION));
        write_bytes(&w, BYTES("\0\0\51\4\0\0\0\0\0\0"));
        write_u8(&w, (uint8_t)(cases[i].size + 4));
        write_u8(&w, 0);
        write_u8(&w, cases[i].code);
        write_u8(&w, 0);
        write_u8(&w, cases[i].size);
        write_bytes(&w, cases[i].data, cases[i].size);
        struct dns_request r;
        enum dns_verdict expected = cases[i].kept < 0 ? DNS_REJECT_FORMERR : DNS_ACCEPT;
        if (parse(&r, query, w.size) != expected)
            fail_msg("case %zu: option %u, %u octets", i, cases[i].code, cases[i].size);
        if (cases[i].kept >= 0)
            assert_int_equal(r.edns.options[0].size, cases[i].kept);
    }
}

static void options_beyond_the_bound_are_checked_and_dropped(void **state)
{
    (void)state;
    uint8_t query[300];
    struct writer w = writer_of(query, sizeof query);
    write_bytes(&w, BYTES(HEADER("\1\0", "\1", "\0", "\0", "\1") QUESTION "\0\0\51\4\0\0\0\0\0"));
    write_u16(&w, 40 * 4);
    for (uint16_t i = 0; i < 40; i++)
        write_u32(&w, (uint32_t)(100 + i) << 16);
    struct dns_request r;
    assert_int_equal(parse(&r, query, w.size), DNS_ACCEPT);
    assert_int_equal(r.edns.option_count, DNS_MAX_EDNS_OPTIONS);
    assert_int_equal(r.edns.options[DNS_MAX_EDNS_OPTIONS - 1].code, 131);
    query[w.size - 3] = DNS_EDNS_EDE; /* an EDE without a code, behind the bound */
    assert_int_equal(parse(&r, query, w.size), DNS_REJECT_FORMERR);
}

static void request_size_counts_names_uncompressed(void **state)
{
    (void)state;
    struct dns_request r;
    static const uint8_t query[] =
        HEADER("\x20\0", "\1", "\1", "\0", "\0") QUESTION "\xC0\x0C\0\2\0\1\0\0\0\0\0\2\xC0\x0C";
    assert_int_equal(parse(&r, query, sizeof query - 1), DNS_ACCEPT);
    assert_int_equal(dns_request_size(&r), 22 + 6 + 10 + 6);
}

static void set_reply_copies_rd_and_cd_of_queries_only(void **state)
{
    (void)state;
    struct dns_request r;
    struct dns_message reply;
    static uint8_t query[] = HEADER("\1\xF0", "\1", "\0", "\0", "\0") QUESTION;
    assert_int_equal(parse(&r, query, sizeof query - 1), DNS_ACCEPT);
    dns_reply_init(&reply, &r.message);
    assert_int_equal(reply.flags, DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_CD);
    assert_int_equal(reply.id, 0x1234);
    assert_int_equal(reply.rcode, DNS_RCODE_NOERROR);
    assert_null(reply.edns);
    query[2] = 0x21; /* NOTIFY */
    assert_int_equal(parse(&r, query, sizeof query - 1), DNS_ACCEPT);
    dns_reply_init_rcode(&reply, &r.message, DNS_RCODE_REFUSED);
    assert_int_equal(reply.flags, DNS_FLAG_QR);
    assert_int_equal(reply.opcode, DNS_OPCODE_NOTIFY);
    assert_int_equal(reply.rcode, DNS_RCODE_REFUSED);
    uint8_t out[100];
    size_t size;
    assert_int_equal(dns_message_write(&reply, out, sizeof out, &size), OK);
    static const uint8_t expected[] = HEADER("\xA0\5", "\1", "\0", "\0", "\0") QUESTION;
    assert_int_equal(size, sizeof expected - 1);
    assert_memory_equal(out, expected, size);
}

/* Names and RRs for replies. */

static struct dns_name name_at(const char *wire)
{
    struct dns_name name;
    assert_int_equal(dns_name_check(&name, (const uint8_t *)wire, DNS_NAME_MAX_SIZE), OK);
    return name;
}

static struct dns_rr rr_of(const char *owner, uint16_t type, const char *rdata, size_t size)
{
    return (struct dns_rr){.owner = name_at(owner),
                           .rdata = (const uint8_t *)rdata,
                           .rdata_size = (uint16_t)size,
                           .type = type,
                           .class_number = DNS_CLASS_IN};
}

#define RR(owner, type, rdata) rr_of(owner, type, rdata, sizeof(rdata) - 1)

static void assert_written(const struct dns_message *m, const uint8_t *body, size_t size)
{
    uint8_t out[2048];
    size_t written;
    assert_int_equal(dns_message_write(m, out, sizeof out, &written), OK);
    assert_int_equal(written, size + DNS_HEADER_SIZE);
    assert_memory_equal(out + DNS_HEADER_SIZE, body, size);
    assert_int_equal(dns_message_size(m), written);
}

#define FIXED(type) "\0" type "\0\1\0\0\0\0\0"

static void compression_covers_owners_and_rfc_1035_rdata(void **state)
{
    (void)state;
    const struct dns_rr rrs[] = {
        RR("\1a\2bc\0", DNS_TYPE_NS, "\2ns\1a\2bc\0"),
        RR("\2bc\0", DNS_TYPE_SOA,
           "\2ns\1a\2bc\0\1m\2bc\0"
           "11112222333344445555"),
        RR("\0", DNS_TYPE_MX, "\0\12\1m\2bc\0"),
        RR("\1a\2bc\0", DNS_TYPE_TXT, "\5\1a\2bc"),
    };
    struct dns_message m = {.has_question = true,
                            .question = {name_at("\1a\2bc\0"), DNS_TYPE_NS, DNS_CLASS_IN},
                            .sections[DNS_ANSWER] = {rrs, ARRAY_COUNT(rrs)},
                            .compress = true};
    assert_written(
        &m, BYTES("\1a\2bc\0\0\2\0\1"                     /* at 12 */
                  "\xC0\x0C" FIXED("\2") "\5\2ns\xC0\x0C" /* ns at 34 */
                                         "\xC0\x0E" FIXED(
                                             "\6") "\x1A\xC0\x22\1m\xC0\x0E" /* m at 53 */
                                                   "11112222333344445555"
                                                   "\0" FIXED("\17") "\4\0\12\xC0\x35"
                                                                     "\xC0\x0C" FIXED(
                                                                         "\20") "\6\5\1a\2bc"));
}

static void srv_targets_are_written_in_full_and_pointed_to(void **state)
{
    (void)state;
    const struct dns_rr rrs[] = {
        RR("\1a\2bc\0", DNS_TYPE_SRV, "\0\0\0\0\0\7\1t\2bc\0"),
        RR("\1t\2bc\0", DNS_TYPE_A, "\1\2\3\4"),
    };
    struct dns_message m = {.sections[DNS_ANSWER] = {rrs, ARRAY_COUNT(rrs)}, .compress = true};
    assert_written(&m, BYTES("\1a\2bc\0" FIXED("\41") "\14\0\0\0\0\0\7\1t\2bc\0"
                                                      "\xC0\x22" FIXED("\1") "\4\1\2\3\4"));
}

static void compression_minds_case(void **state)
{
    (void)state;
    const struct dns_rr rrs[] = {
        RR("\1a\2bc\0", DNS_TYPE_A, "\1\2\3\4"),
        RR("\1a\2bc\0", DNS_TYPE_A, "\1\2\3\5"),
    };
    struct dns_message m = {.has_question = true,
                            .question = {name_at("\1A\2bc\0"), DNS_TYPE_A, DNS_CLASS_IN},
                            .sections[DNS_ADDITIONAL] = {rrs, ARRAY_COUNT(rrs)},
                            .compress = true};
    assert_written(&m, BYTES("\1A\2bc\0\0\1\0\1"
                             "\1a\xC0\x0E" FIXED("\1") "\4\1\2\3\4"
                                                       "\xC0\x16" FIXED("\1") "\4\1\2\3\5"));
}

static void nothing_beyond_14_bits_is_pointed_to(void **state)
{
    (void)state;
    static char filler[16384];
    struct dns_rr rrs[] = {
        RR("\0", DNS_TYPE_TXT, ""),
        RR("\1x\1y\1z\0", DNS_TYPE_A, "\1\2\3\4"),
        RR("\1w\1x\1y\1z\0", DNS_TYPE_A, "\1\2\3\4"),
        RR("\1y\1z\0", DNS_TYPE_A, "\1\2\3\4"),
    };
    /* x at 16381, y at 16383, z at 16385: z is not remembered, y.z is. */
    rrs[0].rdata = (const uint8_t *)filler;
    rrs[0].rdata_size = 16381 - 12 - 11;
    struct dns_message m = {.sections[DNS_ANSWER] = {rrs, ARRAY_COUNT(rrs)}, .compress = true};
    static uint8_t out[20000];
    size_t size;
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), OK);
    static const uint8_t end[] =
        "\1x\1y\1z\0" FIXED("\1") "\4\1\2\3\4"
                                  "\1w\xFF\xFD" FIXED("\1") "\4\1\2\3\4"
                                                            "\xFF\xFF" FIXED("\1") "\4\1\2\3\4";
    assert_int_equal(size, 16381 + sizeof end - 1);
    assert_memory_equal(out + 16381, end, sizeof end - 1);
    assert_int_equal(dns_message_size(&m), size);
}

static void the_opt_is_last_and_carries_the_upper_rcode(void **state)
{
    (void)state;
    struct dns_edns edns = {.udp_size = 1232, .extended_rcode = 77, .flags = DNS_EDNS_DO};
    edns.option_count = 1;
    edns.options[0] = (struct dns_edns_option){DNS_EDNS_NSID, 2, (const uint8_t *)"hi"};
    const struct dns_rr rr = RR("\1a\0", DNS_TYPE_A, "\1\2\3\4");
    struct dns_message m = {
        .rcode = DNS_RCODE_BADVERS, .sections[DNS_ADDITIONAL] = {&rr, 1}, .edns = &edns};
    assert_written(&m, BYTES("\1a\0" FIXED("\1") "\4\1\2\3\4"
                                                 "\0\0\51\4\xD0\1\0\x80\0\0\6\0\3\0\2hi"));
    uint8_t out[100];
    size_t size;
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), OK);
    assert_int_equal(out[3], 0);
    assert_int_equal(out[11], 2);
}

static void an_extended_rcode_needs_edns(void **state)
{
    (void)state;
    uint8_t out[100];
    size_t size = 7;
    struct dns_message m = {.rcode = 16};
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), ERR_INVALID);
    assert_int_equal(size, 7);
}

static void write_stops_at_the_capacity(void **state)
{
    (void)state;
    struct dns_edns edns = {.udp_size = 512};
    const struct dns_rr rrs[] = {
        RR("\1a\2bc\0", DNS_TYPE_NS, "\2ns\1a\2bc\0"),
        RR("\1a\2bc\0", DNS_TYPE_TXT, "\3foo"),
    };
    struct dns_message m = {.has_question = true,
                            .question = {name_at("\1a\2bc\0"), DNS_TYPE_NS, DNS_CLASS_IN},
                            .sections[DNS_ANSWER] = {rrs, ARRAY_COUNT(rrs)},
                            .edns = &edns};
    for (int compress = 0; compress < 2; compress++) {
        m.compress = compress != 0;
        size_t need = dns_message_size(&m);
        for (size_t capacity = 0; capacity <= need; capacity++) {
            uint8_t *out = malloc(capacity > 0 ? capacity : 1);
            size_t size = 7;
            assert_int_equal(dns_message_write(&m, out, capacity, &size),
                             capacity < need ? ERR_NO_SPACE : OK);
            assert_int_equal(size, capacity < need ? 7 : need);
            free(out);
        }
    }
}

static void messages_beyond_65535_octets_are_not_written(void **state)
{
    (void)state;
    static char filler[65000];
    struct dns_rr rrs[2];
    for (size_t i = 0; i < ARRAY_COUNT(rrs); i++) {
        rrs[i] = RR("\0", DNS_TYPE_TXT, "");
        rrs[i].rdata = (const uint8_t *)filler;
    }
    rrs[0].rdata_size = 60000;
    struct dns_message m = {.sections[DNS_ANSWER] = {rrs, ARRAY_COUNT(rrs)}};
    static uint8_t out[140000];
    size_t size;
    rrs[1].rdata_size = (uint16_t)(65535 - 12 - 11 - 60000 - 11);
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), OK);
    assert_int_equal(size, 65535);
    rrs[1].rdata_size++;
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), ERR_NO_SPACE);
}

/* 40 A records of "a.bc." behind the question: 12 + 10 + 40 * 20 uncompressed. */
static struct dns_message forty(const struct dns_rr rrs[static 40])
{
    return (struct dns_message){.has_question = true,
                                .question = {name_at("\1a\2bc\0"), DNS_TYPE_A, DNS_CLASS_IN},
                                .sections[DNS_ANSWER] = {rrs, 20},
                                .sections[DNS_ADDITIONAL] = {rrs + 20, 20}};
}

static void truncate_leaves_what_fits_uncompressed(void **state)
{
    (void)state;
    struct dns_rr rrs[40];
    for (size_t i = 0; i < 40; i++)
        rrs[i] = RR("\1a\2bc\0", DNS_TYPE_A, "\1\2\3\4");
    struct dns_message m = forty(rrs);
    m.compress = true;
    dns_message_truncate(&m, 822);
    assert_false(m.compress);
    assert_int_equal(m.sections[DNS_ADDITIONAL].count, 20);
    assert_int_equal(m.flags, 0);
}

static void truncate_compresses_before_it_drops(void **state)
{
    (void)state;
    struct dns_rr rrs[40];
    for (size_t i = 0; i < 40; i++)
        rrs[i] = RR("\1a\2bc\0", DNS_TYPE_A, "\1\2\3\4");
    struct dns_message m = forty(rrs);
    dns_message_truncate(&m, 22 + 40 * 16);
    assert_true(m.compress);
    assert_int_equal(m.sections[DNS_ADDITIONAL].count, 20);
    assert_int_equal(m.flags, 0);
    dns_message_truncate(&m, 22 + 40 * 16 - 1);
    assert_int_equal(m.sections[DNS_ANSWER].count, 20);
    assert_int_equal(m.sections[DNS_ADDITIONAL].count, 19);
    assert_int_equal(m.flags, DNS_FLAG_TC);
}

static void truncate_leaves_room_for_the_opt(void **state)
{
    (void)state;
    struct dns_rr rrs[40];
    for (size_t i = 0; i < 40; i++)
        rrs[i] = RR("\1a\2bc\0", DNS_TYPE_A, "\1\2\3\4");
    struct dns_message m = forty(rrs);
    struct dns_edns edns = {.udp_size = 512};
    m.edns = &edns;
    dns_message_truncate(&m, 100); /* below 512 is 512 */
    assert_int_equal(m.sections[DNS_ANSWER].count, 20);
    assert_int_equal(m.sections[DNS_ADDITIONAL].count, (512 - 11 - 22) / 16 - 20);
    uint8_t out[512];
    size_t size;
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), OK);
    static const uint8_t padding[600];
    edns.option_count = 1;
    edns.options[0] = (struct dns_edns_option){DNS_EDNS_PADDING, sizeof padding, padding};
    dns_message_truncate(&m, 512);
    assert_int_equal(m.sections[DNS_ANSWER].count, 0);
    assert_int_equal(m.sections[DNS_ADDITIONAL].count, 0);
}

static void truncate_of_a_huge_list_stops_early(void **state)
{
    (void)state;
    enum {
        COUNT = 100000
    };
    struct dns_rr *rrs = malloc(COUNT * sizeof *rrs);
    assert_non_null(rrs);
    for (size_t i = 0; i < COUNT; i++)
        rrs[i] = RR("\1a\2bc\0", DNS_TYPE_PTR, "\1b\2bc\0");
    struct dns_message m = {.sections[DNS_ANSWER] = {rrs, COUNT}};
    assert_int_equal(dns_message_size(&m), 12 + COUNT * 22);
    /* Only what can fit may be read. */
    memset(rrs + 3000, 0xFF, (COUNT - 3000) * sizeof *rrs);
    dns_message_truncate(&m, 512);
    assert_int_equal(m.sections[DNS_ANSWER].count, (512 - 12 - 4 - 3) / 14);
    free(rrs);
}

/* miekg/dns measures a name's suffixes by characters of its text, so an escape near the limit of
 * pointers makes it forget a suffix that it would remember when it packs. */
static void truncate_measures_escaped_names_as_text(void **state)
{
    (void)state;
    static char filler[16384];
    struct dns_rr rrs[] = {
        RR("\0", DNS_TYPE_TXT, ""),
        RR("\4\1\1\1\1\1z\0", DNS_TYPE_A, "\1\2\3\4"), /* z: 5 octets, 17 characters in */
        RR("\1z\0", DNS_TYPE_A, "\1\2\3\4"),
    };
    rrs[0].rdata = (const uint8_t *)filler;
    rrs[0].rdata_size = 16370 - 12 - 11;
    struct dns_message m = {.sections[DNS_ANSWER] = {rrs, ARRAY_COUNT(rrs)}, .compress = true};
    static uint8_t out[20000];
    size_t size;
    assert_int_equal(dns_message_write(&m, out, sizeof out, &size), OK);
    assert_int_equal(size, 16370 + 8 + 14 + 2 + 14);
    assert_int_equal(dns_message_size(&m), size + 1);
}

/* Captures of the real server. */

struct capture {
    char name[64];
    bool tcp;
    uint8_t *query;
    size_t query_size;
    uint8_t *reply;
    size_t reply_size;
};

enum {
    CAPTURES_MAX = 1000
};

static char *file_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    assert_true(size > 0);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), (size_t)size);
    text[size] = '\0';
    fclose(f);
    return text;
}

/* In $WARREN_SHARED, else in ../shared beside the source tree. */
static char *captures_text(void)
{
    char path[4096];
    const char *shared = getenv("WARREN_SHARED");
    if (shared != NULL) {
        (void)snprintf(path, sizeof path, "%s/vectors/wgsd/captures.json", shared);
    } else {
        const char *tests = strstr(__FILE__, "tests/unit/base/");
        assert_non_null(tests);
        (void)snprintf(path, sizeof path, "%.*s../shared/vectors/wgsd/captures.json",
                       (int)(tests - __FILE__), __FILE__);
    }
    return file_text(path);
}

/* The string value of KEY behind *AT, which moves behind it; null is an empty string. Enough for
 * this file's flat cases. SIZE_MAX if the key does not occur any more. */
static size_t json_string(char **at, const char *key, char **value)
{
    char quoted[32];
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", key);
    char *k = strstr(*at, quoted);
    if (k == NULL)
        return SIZE_MAX;
    char *v = k + strlen(quoted);
    v += strspn(v, ": ");
    *at = v;
    *value = v;
    if (*v != '"')
        return 0;
    *value = v + 1;
    *at = strchr(*value, '"') + 1;
    return (size_t)(*at - 1 - *value);
}

static uint8_t *unhex(const char *text, size_t size)
{
    uint8_t *data = malloc(size / 2 + 1);
    assert_non_null(data);
    assert_int_equal(hex_decode(data, text, size), OK);
    return data;
}

static size_t captures_load(struct capture out[static CAPTURES_MAX])
{
    char *text = captures_text();
    if (text == NULL)
        return 0;
    size_t count = 0;
    char *at = strstr(text, "\"cases\"");
    assert_non_null(at);
    char *value;
    size_t size;
    while ((size = json_string(&at, "name", &value)) != SIZE_MAX) {
        assert_true(count < CAPTURES_MAX);
        struct capture *c = &out[count++];
        (void)snprintf(c->name, sizeof c->name, "%.*s", (int)size, value);
        size = json_string(&at, "proto", &value);
        c->tcp = size == 3 && memcmp(value, "tcp", 3) == 0;
        size = json_string(&at, "query", &value);
        assert_true(size != SIZE_MAX);
        c->query = unhex(value, size);
        c->query_size = size / 2;
        size = json_string(&at, "reply", &value);
        assert_true(size != SIZE_MAX);
        c->reply = unhex(value, size);
        c->reply_size = size / 2;
    }
    free(text);
    return count;
}

static void captures_free(struct capture *captures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(captures[i].query);
        free(captures[i].reply);
    }
}

static size_t reply_limit(const struct capture *c, const struct dns_request *r)
{
    if (c->tcp)
        return DNS_MAX_MESSAGE_SIZE;
    return r->message.edns != NULL ? r->edns.udp_size : DNS_MIN_UDP_SIZE;
}

/* CoreDNS compresses a UDP reply over IPv4 that would be fragmented, even if it fits. */
static void finish_as_coredns(struct dns_message *m, const struct capture *c, size_t limit)
{
    dns_message_truncate(m, limit);
    if (!c->tcp && !m->compress && dns_message_size(m) > 1480)
        m->compress = true;
}

static void assert_capture(const struct dns_message *m, const struct capture *c)
{
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    size_t size;
    assert_int_equal(dns_message_write(m, out, sizeof out, &size), OK);
    if (size != c->reply_size || memcmp(out, c->reply, size) != 0)
        fail_msg("%s: wrote %zu octets, captured %zu", c->name, size, c->reply_size);
}

/* The TCP capture whose question is that of C, whatever its case; it has all the records. */
static const struct capture *whole_capture(const struct capture *captures, size_t count,
                                           const struct dns_question *q)
{
    for (size_t i = 0; i < count; i++) {
        struct dns_request r;
        if (captures[i].tcp && captures[i].reply_size > 0 &&
            dns_request_parse(&r, captures[i].query, captures[i].query_size) == DNS_ACCEPT &&
            dns_name_equal(r.message.question.name, q->name) && r.message.question.type == q->type)
            return &captures[i];
    }
    return NULL;
}

static size_t truncated_checked;

/* A truncated capture is the whole one, truncated. */
static void check_truncated(const struct capture *captures, size_t count, const struct capture *c,
                            const struct dns_request *r, const struct dns_message *reply,
                            struct arena *arena)
{
    const struct capture *whole = whole_capture(captures, count, &r->message.question);
    if (whole == NULL || whole == c)
        return;
    static struct decoded decoded;
    assert_true(decode_message(&decoded, whole->reply, whole->reply_size, arena));
    struct dns_message m = *reply;
    m.flags = decoded.message.flags & (uint16_t)~DNS_FLAG_TC;
    memcpy(m.sections, decoded.message.sections, sizeof m.sections);
    finish_as_coredns(&m, c, reply_limit(c, r));
    assert_capture(&m, c);
    truncated_checked++;
}

static void check_capture(const struct capture *captures, size_t count, const struct capture *c,
                          struct arena *arena)
{
    struct dns_request r;
    enum dns_verdict verdict = dns_request_parse(&r, c->query, c->query_size);
    if (verdict != DNS_ACCEPT) {
        assert_reply(&r, verdict, c->reply, c->reply_size);
        return;
    }
    assert_int_equal(dns_request_size(&r), c->query_size);
    static struct decoded decoded;
    assert_true(decode_message(&decoded, c->reply, c->reply_size, arena));
    struct dns_message *m = &decoded.message;
    assert_int_equal(m->edns != NULL, r.message.edns != NULL);

    struct dns_message reply;
    dns_reply_init_rcode(&reply, &r.message, m->rcode);
    reply.flags |= m->flags & (DNS_FLAG_AA | DNS_FLAG_TC);
    if (m->edns != NULL) {
        reply.edns = &r.edns; /* the client's own, as CoreDNS sends it back */
        size_t kept = 0;
        for (size_t i = 0; i < r.edns.option_count; i++) {
            if (r.edns.options[i].code != 8)
                r.edns.options[kept++] = r.edns.options[i];
        }
        r.edns.option_count = kept;
    }
    memcpy(reply.sections, m->sections, sizeof reply.sections);
    if ((m->flags & DNS_FLAG_TC) != 0) {
        struct dns_message cut = reply;
        cut.compress = true;
        assert_capture(&cut, c);
        assert_int_equal(dns_message_size(&cut), c->reply_size);
        check_truncated(captures, count, c, &r, &reply, arena);
        return;
    }
    finish_as_coredns(&reply, c, reply_limit(c, &r));
    assert_capture(&reply, c);
    assert_int_equal(dns_message_size(&reply), c->reply_size);
}

static void captured_replies_are_written_byte_for_byte(void **state)
{
    (void)state;
    static struct capture captures[CAPTURES_MAX];
    size_t count = captures_load(captures);
    if (count == 0) {
        print_message("skipped: no ../shared/vectors/wgsd/captures.json (set WARREN_SHARED)\n");
        skip();
    }
    struct arena arena;
    arena_init(&arena, 16u << 20);
    size_t replies = 0;
    truncated_checked = 0;
    for (size_t i = 0; i < count; i++) {
        if (captures[i].reply_size == 0)
            continue;
        check_capture(captures, count, &captures[i], &arena);
        arena_reset(&arena);
        replies++;
    }
    print_message("%zu captured replies, %zu of them truncated from a whole one\n", replies,
                  truncated_checked);
    assert_true(replies > 100 && truncated_checked > 0);
    arena_fini(&arena);
    captures_free(captures, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_query_is_accepted),
        cmocka_unit_test(responses_and_short_headers_are_ignored),
        cmocka_unit_test(opcodes_other_than_query_and_notify_are_not_implemented),
        cmocka_unit_test(notimp_keeps_opcode_and_drops_the_unread_question),
        cmocka_unit_test(counts_beyond_the_bounds_are_format_errors),
        cmocka_unit_test(a_header_alone_is_accepted_without_a_question),
        cmocka_unit_test(a_question_may_end_behind_name_or_type_or_inside_the_class),
        cmocka_unit_test(trailing_bytes_are_tolerated),
        cmocka_unit_test(a_cut_record_is_a_format_error_that_keeps_the_question),
        cmocka_unit_test(malformed_rdata_is_a_format_error),
        cmocka_unit_test(edns_is_read_with_its_options),
        cmocka_unit_test(the_last_opt_counts),
        cmocka_unit_test(options_are_checked_and_cut_as_miekg_packs_them),
        cmocka_unit_test(options_beyond_the_bound_are_checked_and_dropped),
        cmocka_unit_test(request_size_counts_names_uncompressed),
        cmocka_unit_test(set_reply_copies_rd_and_cd_of_queries_only),
        cmocka_unit_test(compression_covers_owners_and_rfc_1035_rdata),
        cmocka_unit_test(srv_targets_are_written_in_full_and_pointed_to),
        cmocka_unit_test(compression_minds_case),
        cmocka_unit_test(nothing_beyond_14_bits_is_pointed_to),
        cmocka_unit_test(the_opt_is_last_and_carries_the_upper_rcode),
        cmocka_unit_test(an_extended_rcode_needs_edns),
        cmocka_unit_test(write_stops_at_the_capacity),
        cmocka_unit_test(messages_beyond_65535_octets_are_not_written),
        cmocka_unit_test(truncate_leaves_what_fits_uncompressed),
        cmocka_unit_test(truncate_compresses_before_it_drops),
        cmocka_unit_test(truncate_leaves_room_for_the_opt),
        cmocka_unit_test(truncate_of_a_huge_list_stops_early),
        cmocka_unit_test(truncate_measures_escaped_names_as_text),
        cmocka_unit_test(captured_replies_are_written_byte_for_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
