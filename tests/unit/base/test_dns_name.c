#include "base/attr.h"
#include "base/dns_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct dns_name_buf name_of(const char *text)
{
    struct dns_name_buf buf;
    assert_int_equal(dns_name_from_text(&buf, text, strlen(text)), OK);
    return buf;
}

static void assert_text(struct dns_name name, const char *text)
{
    char out[DNS_NAME_TEXT_SIZE];
    assert_int_equal(dns_name_to_text(name, out), strlen(text));
    assert_string_equal(out, text);
    assert_int_equal(dns_name_text_size(name), strlen(text));
}

static void root_is_one_octet(void **state)
{
    (void)state;
    struct dns_name root = dns_name_root();
    assert_int_equal(root.size, 1);
    assert_text(root, ".");
    assert_int_equal(dns_name_label_count(root), 0);
    assert_int_equal(dns_name_parent(root).size, 1);
}

static void check_borrows_a_valid_name_and_leaves_the_rest(void **state)
{
    (void)state;
    static const uint8_t wire[] = "\3foo\3com\0more";
    struct dns_name name;
    assert_int_equal(dns_name_check(&name, wire, sizeof wire), OK);
    assert_ptr_equal(name.wire, wire);
    assert_int_equal(name.size, 9);
}

static void check_refuses_what_is_no_name(void **state)
{
    (void)state;
    struct dns_name name = {.size = 77};
    assert_int_equal(dns_name_check(&name, (const uint8_t *)"", 0), ERR_MALFORMED);
    assert_int_equal(dns_name_check(&name, (const uint8_t *)"\3foo", 4), ERR_MALFORMED);
    assert_int_equal(dns_name_check(&name, (const uint8_t *)"\3fo", 3), ERR_MALFORMED);
    assert_int_equal(dns_name_check(&name, (const uint8_t *)"\xC0\0", 2), ERR_MALFORMED);
    assert_int_equal(dns_name_check(&name, (const uint8_t *)"\x40\0", 2), ERR_MALFORMED);
    uint8_t wire[257];
    for (size_t i = 0; i < sizeof wire; i++)
        wire[i] = i % 2 == 0;
    wire[254] = 0; /* 127 labels: 255 octets */
    assert_int_equal(dns_name_check(&name, wire, sizeof wire), OK);
    assert_int_equal(name.size, 255);
    wire[254] = 1;
    wire[256] = 0;
    assert_int_equal(dns_name_check(&name, wire, sizeof wire), ERR_MALFORMED);
}

static void read_follows_pointers_and_ends_behind_the_first(void **state)
{
    (void)state;
    static const uint8_t data[] = "\3com\0\3foo\xC0\0\3bar\xC0\5!";
    struct reader r = reader_of(data, sizeof data - 1);
    r.offset = 11;
    struct dns_name_buf name;
    assert_int_equal(dns_name_read(&name, &r), OK);
    assert_text(dns_name_of(&name), "bar.foo.com.");
    assert_int_equal(r.offset, 17);
    assert_int_equal(read_u8(&r), '!');
}

static void read_allows_forward_pointers_as_miekg(void **state)
{
    (void)state;
    static const uint8_t data[] = "\xC0\2\1a";
    struct reader r = reader_of(data, sizeof data);
    struct dns_name_buf name;
    assert_int_equal(dns_name_read(&name, &r), OK);
    assert_text(dns_name_of(&name), "a.");
    assert_int_equal(r.offset, 2);
}

static void read_refuses_loops_reserved_labels_and_cuts(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {
        {"\xC0\0", 2}, {"\1a\xC0\0", 4}, {"\x80\0", 2}, {"\x40\0", 2}, {"\3fo", 3},
        {"\1a", 2},    {"\xC0", 1},      {"\xC0\7", 2}, {"", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct reader r = reader_of(bad[i].data, bad[i].size);
        struct dns_name_buf name = {.size = 99};
        assert_int_equal(dns_name_read(&name, &r), ERR_MALFORMED);
        assert_true(r.failed);
        assert_int_equal(name.size, 99);
    }
}

static void read_follows_126_pointers_and_no_more(void **state)
{
    (void)state;
    /* A root name, then pointers each to the one before: 2 * i + 1 points to 2 * i - 1. */
    uint8_t data[1 + 2 * 127] = {0};
    for (unsigned i = 0; i < 127; i++) {
        unsigned target = i == 0 ? 0 : 2 * i - 1;
        data[1 + 2 * i] = (uint8_t)(0xC0 | target >> 8);
        data[2 + 2 * i] = (uint8_t)target;
    }
    struct dns_name_buf name;
    struct reader r = reader_of(data, sizeof data);
    r.offset = 1 + 2 * 125;
    assert_int_equal(dns_name_read(&name, &r), OK);
    assert_int_equal(name.size, 1);
    r.offset = 1 + 2 * 126;
    assert_int_equal(dns_name_read(&name, &r), ERR_MALFORMED);
}

/* RFC 1035 section 3.1: 255 octets, the root label among them. */
static void read_bounds_the_name_through_pointers(void **state)
{
    (void)state;
    uint8_t data[256 + 4] = {0};
    for (size_t i = 0; i < 254; i += 2) /* 127 labels of one octet and the root: 255 octets */
        data[i] = 1;
    memcpy(data + 255, "\1b\xC0\2", 4); /* 255 octets again */
    struct dns_name_buf name;
    struct reader r = reader_of(data, 259);
    assert_int_equal(dns_name_read(&name, &r), OK);
    assert_int_equal(name.size, 255);
    assert_int_equal(dns_name_read(&name, &r), OK);
    assert_int_equal(name.size, 255);
    data[258] = 0; /* one label more */
    r.offset = 255;
    assert_int_equal(dns_name_read(&name, &r), ERR_MALFORMED);
}

static void text_forms_of_names(void **state)
{
    (void)state;
    struct dns_name_buf name = name_of("Foo.COM");
    assert_text(dns_name_of(&name), "Foo.COM.");
    assert_int_equal(name.size, 9);
    name = name_of("");
    assert_int_equal(name.size, 1);
    name = name_of(".");
    assert_int_equal(name.size, 1);
    name = name_of("a\\.b.\\000\\255\\\\x\\\"\\x.");
    assert_text(dns_name_of(&name), "a\\.b.\\000\\255\\\\x\\\"x.");
    assert_int_equal(name.wire[0], 3);
    assert_memory_equal(name.wire + 1, "a.b", 3);
    name = name_of("a b'@;()\"c");
    assert_text(dns_name_of(&name), "a\\ b\\'\\@\\;\\(\\)\\\"c.");
    name = name_of("====._tcp.$!~");
    assert_text(dns_name_of(&name), "====._tcp.$!~.");
}

static void text_that_is_no_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"..", ".a", "a..b", "a..", "a\\", "\\256.", "\\999"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct dns_name_buf name = {.size = 99};
        assert_int_equal(dns_name_from_text(&name, bad[i], strlen(bad[i])), ERR_MALFORMED);
        assert_int_equal(name.size, 99);
    }
}

static void text_is_bounded_by_63_and_255_octets(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, text, 63), OK);
    assert_int_equal(name.size, 65);
    assert_int_equal(dns_name_from_text(&name, text, 64), ERR_MALFORMED);
    for (size_t i = 63; i < sizeof text; i += 64)
        text[i] = '.';
    assert_int_equal(dns_name_from_text(&name, text, 253), OK);
    assert_int_equal(name.size, 255);
    text[253] = '.';
    assert_int_equal(dns_name_from_text(&name, text, 254), OK);
    assert_int_equal(name.size, 255);
    text[253] = 'a';
    assert_int_equal(dns_name_from_text(&name, text, 254), ERR_MALFORMED);
    text[254] = '.';
    assert_int_equal(dns_name_from_text(&name, text, 255), ERR_MALFORMED);
}

/* RFC 4343: ASCII letters alone. */
static void case_is_ignored_for_ascii_letters_only(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t x[] = {9, 'p', 'a', 'd', 'd', 'i', 'n', 'g', (uint8_t)a, 'x', 0};
            uint8_t y[] = {9, 'p', 'A', 'd', 'd', 'i', 'N', 'g', (uint8_t)b, 'X', 0};
            bool letters = (a | 0x20) >= 'a' && (a | 0x20) <= 'z';
            bool expected = a == b || (letters && (a | 0x20) == (b | 0x20));
            /* The differing octet among the first eight, and in the tail. */
            uint8_t x2[] = {4, (uint8_t)a, 'q', 'q', 'q', 4, 'R', 's', 't', 'u', 0};
            uint8_t y2[] = {4, (uint8_t)b, 'Q', 'q', 'q', 4, 'r', 's', 't', 'u', 0};
            struct dns_name names[] = {{x, 11}, {y, 11}, {x2, 11}, {y2, 11}};
            assert_int_equal(dns_name_equal(names[0], names[1]), expected);
            assert_int_equal(dns_name_equal(names[2], names[3]), expected);
        }
    }
}

static void same_minds_case(void **state)
{
    (void)state;
    struct dns_name_buf a = name_of("foo.com"), b = name_of("foo.COM"), c = name_of("foo.com.");
    assert_false(dns_name_same(dns_name_of(&a), dns_name_of(&b)));
    assert_true(dns_name_same(dns_name_of(&a), dns_name_of(&c)));
    assert_true(dns_name_equal(dns_name_of(&a), dns_name_of(&b)));
    struct dns_name_buf low;
    dns_name_lower(&low, dns_name_of(&b));
    assert_true(dns_name_same(dns_name_of(&a), dns_name_of(&low)));
}

static void under_is_label_wise(void **state)
{
    (void)state;
    static const struct {
        const char *name, *suffix;
        bool under;
    } cases[] = {
        {"a.example.com", "EXAMPLE.com", true},
        {"example.com", "example.com", true},
        {"badexample.com", "example.com", false},
        {"com", "example.com", false},
        {"anything", ".", true},
        {".", ".", true},
        {".", "com", false},
        {"a\\007example.com", "example.com", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct dns_name_buf name = name_of(cases[i].name), suffix = name_of(cases[i].suffix);
        assert_int_equal(dns_name_is_under(dns_name_of(&name), dns_name_of(&suffix)),
                         cases[i].under);
    }
}

static void labels_and_parents(void **state)
{
    (void)state;
    struct dns_name_buf name = name_of("a.bc.d");
    assert_int_equal(dns_name_label_count(dns_name_of(&name)), 3);
    assert_text(dns_name_parent(dns_name_of(&name)), "bc.d.");
}

static void join_drops_the_prefix_root(void **state)
{
    (void)state;
    struct dns_name_buf prefix = name_of("_wireguard._udp"), suffix = name_of("example.com"), out;
    assert_int_equal(dns_name_join(&out, dns_name_of(&prefix), dns_name_of(&suffix)), OK);
    assert_text(dns_name_of(&out), "_wireguard._udp.example.com.");
    assert_int_equal(dns_name_join(&out, dns_name_root(), dns_name_of(&out)), OK);
    assert_text(dns_name_of(&out), "_wireguard._udp.example.com.");
    assert_int_equal(dns_name_join(&out, dns_name_of(&prefix), dns_name_of(&out)), OK);
    assert_text(dns_name_of(&out), "_wireguard._udp._wireguard._udp.example.com.");
}

static void join_is_bounded(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'a', sizeof text);
    for (size_t i = 63; i < sizeof text; i += 64)
        text[i] = '.';
    struct dns_name_buf prefix, suffix, out = {.size = 99};
    assert_int_equal(dns_name_from_text(&prefix, text, 127), OK); /* 129 octets */
    assert_int_equal(dns_name_from_text(&suffix, text, 125), OK); /* 127 octets */
    assert_int_equal(dns_name_join(&out, dns_name_of(&prefix), dns_name_of(&suffix)), OK);
    assert_int_equal(out.size, 255);
    assert_int_equal(dns_name_from_text(&suffix, text, 126), OK);
    out.size = 99;
    assert_int_equal(dns_name_join(&out, dns_name_of(&prefix), dns_name_of(&suffix)), ERR_NO_SPACE);
    assert_int_equal(out.size, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_is_one_octet),
        cmocka_unit_test(check_borrows_a_valid_name_and_leaves_the_rest),
        cmocka_unit_test(check_refuses_what_is_no_name),
        cmocka_unit_test(read_follows_pointers_and_ends_behind_the_first),
        cmocka_unit_test(read_allows_forward_pointers_as_miekg),
        cmocka_unit_test(read_refuses_loops_reserved_labels_and_cuts),
        cmocka_unit_test(read_follows_126_pointers_and_no_more),
        cmocka_unit_test(read_bounds_the_name_through_pointers),
        cmocka_unit_test(text_forms_of_names),
        cmocka_unit_test(text_that_is_no_name),
        cmocka_unit_test(text_is_bounded_by_63_and_255_octets),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(same_minds_case),
        cmocka_unit_test(under_is_label_wise),
        cmocka_unit_test(labels_and_parents),
        cmocka_unit_test(join_drops_the_prefix_root),
        cmocka_unit_test(join_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
