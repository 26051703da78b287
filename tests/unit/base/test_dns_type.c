#include "base/dns_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void types_have_miekg_mnemonics(void **state)
{
    (void)state;
    char out[DNS_MNEMONIC_SIZE];
    assert_string_equal(dns_type_text(DNS_TYPE_SRV, out), "SRV");
    assert_string_equal(dns_type_text(DNS_TYPE_NONE, out), "None");
    assert_string_equal(dns_type_text(23, out), "NSAP-PTR");
    assert_string_equal(dns_type_text(65535, out), "Reserved");
    assert_string_equal(dns_type_text(65534, out), "TYPE65534");
    assert_ptr_equal(dns_type_text(DNS_TYPE_PTR, out), out);
}

static void classes_have_miekg_mnemonics(void **state)
{
    (void)state;
    char out[DNS_MNEMONIC_SIZE];
    assert_string_equal(dns_class_text(DNS_CLASS_IN, out), "IN");
    assert_string_equal(dns_class_text(DNS_CLASS_CH, out), "CH");
    assert_string_equal(dns_class_text(DNS_CLASS_ANY, out), "CLASS255");
    assert_string_equal(dns_class_text(0, out), "CLASS0");
    assert_string_equal(dns_class_text(65535, out), "CLASS65535");
}

static void rcodes_have_names_or_numbers(void **state)
{
    (void)state;
    char out[DNS_MNEMONIC_SIZE];
    assert_string_equal(dns_rcode_text(DNS_RCODE_NOERROR, out), "NOERROR");
    assert_string_equal(dns_rcode_text(DNS_RCODE_NXDOMAIN, out), "NXDOMAIN");
    assert_string_equal(dns_rcode_text(DNS_RCODE_BADVERS, out), "BADSIG");
    assert_string_equal(dns_rcode_text(23, out), "BADCOOKIE");
    assert_string_equal(dns_rcode_text(11, out), "11");
    assert_string_equal(dns_rcode_text(24, out), "24");
    assert_string_equal(dns_rcode_text(-1, out), "-1");
}

static void type_text_is_read_back(void **state)
{
    (void)state;
    unsigned named = 0;
    for (unsigned type = 0; type <= UINT16_MAX; type++) {
        char out[DNS_MNEMONIC_SIZE];
        const char *text = dns_type_text((uint16_t)type, out);
        uint16_t number = 0;
        if (strncmp(text, "TYPE", 4) == 0) {
            assert_int_equal(dns_type_from_text(&number, text, strlen(text)), ERR_NOT_FOUND);
            continue;
        }
        assert_int_equal(dns_type_from_text(&number, text, strlen(text)), OK);
        assert_int_equal(number, type);
        named++;
    }
    assert_int_equal(named, 86); /* miekg/dns 1.1.55 */
}

static void type_from_text_wants_the_exact_upper_case_mnemonic(void **state)
{
    (void)state;
    uint16_t number = 7;
    assert_int_equal(dns_type_from_text(&number, "srv", 3), ERR_NOT_FOUND);
    assert_int_equal(dns_type_from_text(&number, "AAA", 3), ERR_NOT_FOUND);
    assert_int_equal(dns_type_from_text(&number, "", 0), ERR_NOT_FOUND);
    assert_int_equal(dns_type_from_text(&number, "AAAAA", 4), OK);
    assert_int_equal(number, DNS_TYPE_AAAA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_miekg_mnemonics),
        cmocka_unit_test(classes_have_miekg_mnemonics),
        cmocka_unit_test(rcodes_have_names_or_numbers),
        cmocka_unit_test(type_text_is_read_back),
        cmocka_unit_test(type_from_text_wants_the_exact_upper_case_mnemonic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
