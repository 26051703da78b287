#include "tests/unit/dnsd/support.h"

#define ASK(c, qtype) CHAIN_ASK(c, .name = "x.org", .type = qtype)

static void positive_replies_lose_the_rest(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n minimal\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 1 A 192.0.2.1\nns @ 1 NS a.\nar a. 1 A 192.0.2.2");
    assert_string_equal(ASK(c, DNS_TYPE_A), "NOERROR qr,rd|an x.org. 1 A 192.0.2.1");
    assert_string_equal(CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A, .udp_size = 1000),
                        "NOERROR qr,rd|an x.org. 1 A 192.0.2.1|opt 1000");
    chain_free(c);
}

static void an_empty_reply_is_positive(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n minimal\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "ar a. 1 A 192.0.2.2");
    assert_string_equal(ASK(c, DNS_TYPE_A), "NOERROR qr,rd");
    chain_free(c);
}

static void denials_errors_and_delegations_pass(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n minimal\n}\n");
    chain_answers(c, DNS_RCODE_NXDOMAIN, "ns org. 60 SOA\nar a. 1 A 192.0.2.2");
    assert_string_equal(ASK(c, DNS_TYPE_A), "NXDOMAIN qr,rd|ns org. 60 SOA|ar a. 1 A 192.0.2.2");
    chain_answers(c, DNS_RCODE_NOERROR, "ns org. 60 SOA");
    assert_string_equal(ASK(c, DNS_TYPE_A), "NOERROR qr,rd|ns org. 60 SOA");
    chain_answers(c, DNS_RCODE_NOERROR, "ns org. 60 NS a.\nar a. 1 A 192.0.2.2");
    assert_string_equal(ASK(c, DNS_TYPE_A), "NOERROR qr,rd|ns org. 60 NS a.|ar a. 1 A 192.0.2.2");
    chain_free(c);
}

/* Or wgsd-client, which wants the address there, would crash. */
static void wgsd_srv_keeps_its_additional_records(void **state)
{
    static const char records[] = "an @ 0 SRV 7 x.org.\nar @ 0 A 192.0.2.1\nar @ 0 TXT t";
    (void)state;
    struct chain *c = chain_load(". {\n minimal\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, records);
    assert_string_equal(ASK(c, DNS_TYPE_SRV), "NOERROR qr,rd|an x.org. 0 SRV 7 x.org.");
    chain_answers_as(c, "wgsd");
    assert_string_equal(ASK(c, DNS_TYPE_SRV),
                        "NOERROR qr,rd|an x.org. 0 SRV 7 x.org.|ar x.org. 0 A 192.0.2.1"
                        "|ar x.org. 0 TXT \"t\"");
    assert_string_equal(ASK(c, DNS_TYPE_TXT), "NOERROR qr,rd|an x.org. 0 SRV 7 x.org.");
    chain_free(c);
}

static void without_a_reply_the_rcode_passes(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n minimal\n}\n");
    chain_answers(c, DNS_RCODE_REFUSED, NULL);
    assert_string_equal(ASK(c, DNS_TYPE_A), "REFUSED qr,rd");
    chain_free(c);
}

static void takes_no_argument(void **state)
{
    (void)state;
    assert_string_equal(
        chain_error(". {\n minimal x\n}\n"),
        "plugin/minimal: Corefile:2 - Error during parsing: Wrong argument count or "
        "unexpected line ending after 'x'");
    assert_string_equal(chain_error(". {\n minimal\n minimal x\n}\n"), "(accepted)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positive_replies_lose_the_rest),
        cmocka_unit_test(an_empty_reply_is_positive),
        cmocka_unit_test(denials_errors_and_delegations_pass),
        cmocka_unit_test(wgsd_srv_keeps_its_additional_records),
        cmocka_unit_test(without_a_reply_the_rcode_passes),
        cmocka_unit_test(takes_no_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
