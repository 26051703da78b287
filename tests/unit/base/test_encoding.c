#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/encoding.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static const uint8_t zero_key[KEY_SIZE];

static void fill_key(uint8_t key[static KEY_SIZE], uint32_t seed)
{
    for (size_t i = 0; i < KEY_SIZE; i++) {
        seed = seed * 1664525 + 1013904223;
        key[i] = (uint8_t)(seed >> 24);
    }
}

/* The naive twin: bit by bit, with the alphabet of RFC 4648 table 3 in lower case. */
static void naive_base32(char out[static KEY_BASE32_SIZE], const uint8_t key[static KEY_SIZE])
{
    for (size_t i = 0; i < KEY_BASE32_UNPADDED_SIZE; i++) {
        unsigned value = 0;
        for (size_t bit = 5 * i; bit < 5 * i + 5; bit++)
            value = value << 1 | (bit < 256 ? (unsigned)key[bit / 8] >> (7 - bit % 8) & 1 : 0);
        out[i] = "abcdefghijklmnopqrstuvwxyz234567"[value];
    }
    memcpy(out + KEY_BASE32_UNPADDED_SIZE, "====", 4);
}

/* The key of wgsd's own tests: first byte 99, then zeros. */
static void base32_of_a_known_key(void **state)
{
    uint8_t key[KEY_SIZE] = {99};
    char text[KEY_BASE32_SIZE];

    (void)state;
    key_to_base32(text, key);
    assert_memory_equal(
        text, "mmaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====", KEY_BASE32_SIZE);
}

static void base32_agrees_with_the_naive_twin(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 1000; seed++) {
        uint8_t key[KEY_SIZE], back[KEY_SIZE];
        char text[KEY_BASE32_SIZE], naive[KEY_BASE32_SIZE];
        fill_key(key, seed);
        key_to_base32(text, key);
        naive_base32(naive, key);
        assert_memory_equal(text, naive, sizeof text);
        assert_int_equal(key_from_base32(back, text, KEY_BASE32_SIZE), OK);
        assert_memory_equal(back, key, KEY_SIZE);
        assert_int_equal(key_from_base32(back, text, KEY_BASE32_UNPADDED_SIZE), OK);
        assert_memory_equal(back, key, KEY_SIZE);
    }
}

static void base32_reads_either_case(void **state)
{
    uint8_t key[KEY_SIZE], back[KEY_SIZE];
    char text[KEY_BASE32_SIZE];

    (void)state;
    fill_key(key, 7);
    key_to_base32(text, key);
    for (size_t i = 0; i < sizeof text; i += 2)
        text[i] = (char)toupper((unsigned char)text[i]);
    assert_int_equal(key_from_base32(back, text, sizeof text), OK);
    assert_memory_equal(back, key, KEY_SIZE);
}

static void base32_reads_only_its_alphabet(void **state)
{
    char text[KEY_BASE32_SIZE];
    uint8_t key[KEY_SIZE];

    (void)state;
    for (int c = 0; c < 256; c++) {
        bool good =
            c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567", c);
        for (size_t at = 0; at + 1 < KEY_BASE32_UNPADDED_SIZE; at++) {
            key_to_base32(text, zero_key);
            text[at] = (char)c;
            assert_int_equal(key_from_base32(key, text, sizeof text), good ? OK : ERR_MALFORMED);
        }
    }
}

static void base32_refuses_other_sizes_and_paddings(void **state)
{
    char text[KEY_BASE32_SIZE + 8];
    uint8_t key[KEY_SIZE];

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t size = 0; size <= sizeof text; size++)
        assert_int_equal(key_from_base32(key, text, size),
                         size == KEY_BASE32_UNPADDED_SIZE ? OK : ERR_MALFORMED);
    memcpy(text + KEY_BASE32_UNPADDED_SIZE, "===a", 4);
    assert_int_equal(key_from_base32(key, text, KEY_BASE32_SIZE), ERR_MALFORMED);
    memcpy(text + KEY_BASE32_UNPADDED_SIZE - 1, "=====", 5);
    assert_int_equal(key_from_base32(key, text, KEY_BASE32_SIZE), ERR_MALFORMED);
}

/* The last character carries one bit of the key: only 'a' and 'q' leave the other four zero. */
static void base32_refuses_stray_low_bits(void **state)
{
    char text[KEY_BASE32_SIZE];
    uint8_t key[KEY_SIZE];

    (void)state;
    key_to_base32(text, zero_key);
    for (int c = 'a'; c <= 'z'; c++) {
        text[KEY_BASE32_UNPADDED_SIZE - 1] = (char)c;
        assert_int_equal(key_from_base32(key, text, sizeof text),
                         c == 'a' || c == 'q' ? OK : ERR_MALFORMED);
    }
}

static void a_refused_text_leaves_the_output_alone(void **state)
{
    uint8_t key[KEY_SIZE], before[KEY_SIZE];
    char text[KEY_BASE32_SIZE];

    (void)state;
    fill_key(key, 3);
    memcpy(before, key, KEY_SIZE);
    memset(text, 'a', sizeof text);
    text[51] = '!';
    assert_int_equal(key_from_base32(key, text, KEY_BASE32_UNPADDED_SIZE), ERR_MALFORMED);
    assert_memory_equal(key, before, KEY_SIZE);
    memset(text, 'A', sizeof text);
    text[43] = '!';
    assert_int_equal(key_from_base64(key, text, KEY_BASE64_SIZE), ERR_MALFORMED);
    assert_memory_equal(key, before, KEY_SIZE);
    text[43] = 'g';
    assert_int_equal(hex_decode(key, text, 44), ERR_MALFORMED);
    assert_memory_equal(key, before, KEY_SIZE);
}

static void base64_of_a_known_key(void **state)
{
    uint8_t key[KEY_SIZE] = {99};
    char text[KEY_BASE64_SIZE];

    (void)state;
    key_to_base64(text, key);
    assert_memory_equal(text, "YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KEY_BASE64_SIZE);
}

static void base64_reads_back_what_it_wrote(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 1000; seed++) {
        uint8_t key[KEY_SIZE], back[KEY_SIZE];
        char text[KEY_BASE64_SIZE];
        fill_key(key, seed);
        key_to_base64(text, key);
        assert_int_equal(text[KEY_BASE64_SIZE - 1], '=');
        assert_int_equal(key_from_base64(back, text, sizeof text), OK);
        assert_memory_equal(back, key, KEY_SIZE);
    }
}

static void base64_of_public_keys_agrees_with_that_of_others(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 1000; seed++) {
        uint8_t key[KEY_SIZE];
        char text[KEY_BASE64_SIZE], fast[KEY_BASE64_SIZE];
        fill_key(key, seed);
        for (size_t i = 0; seed < 256 && i < KEY_SIZE; i += 1 + seed % 3)
            key[i] = (uint8_t)seed; /* every digit in every place */
        key_to_base64(text, key);
        public_key_to_base64(fast, key);
        assert_memory_equal(fast, text, sizeof text);
    }
}

static void base64_refuses_what_it_would_not_write(void **state)
{
    uint8_t key[KEY_SIZE];

    (void)state;
    assert_int_equal(key_from_base64(key, "YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 43),
                     ERR_MALFORMED);
    assert_int_equal(key_from_base64(key, "YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 44),
                     ERR_MALFORMED);
    assert_int_equal(key_from_base64(key, "YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", 44),
                     ERR_MALFORMED);
    assert_int_equal(key_from_base64(key, "YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", 44),
                     ERR_MALFORMED);
    assert_int_equal(key_from_base64(key, "YwAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAAAA=", 44),
                     ERR_MALFORMED);
    assert_int_equal(key_from_base64(key, "_-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 44),
                     ERR_MALFORMED);
    assert_int_equal(key_from_base64(key, "", 0), ERR_MALFORMED);
}

/* libsodium 1.0.18 decodes some bytes above 0x7f as if they were in the alphabet. */
static void base64_reads_only_its_alphabet(void **state)
{
    char text[KEY_BASE64_SIZE];
    uint8_t key[KEY_SIZE];

    (void)state;
    for (int c = 0; c < 256; c++) {
        bool good = c < 0x80 && (isalnum(c) || c == '+' || c == '/');
        key_to_base64(text, zero_key);
        text[20] = (char)c;
        assert_int_equal(key_from_base64(key, text, sizeof text), good ? OK : ERR_MALFORMED);
    }
}

static void hex_is_lower_case_and_reads_either(void **state)
{
    const uint8_t bytes[] = {0x00, 0x09, 0x9a, 0xaf, 0xf0, 0xff};
    uint8_t back[sizeof bytes];
    char text[2 * sizeof bytes];

    (void)state;
    hex_encode(text, bytes, sizeof bytes);
    assert_memory_equal(text, "00099aaff0ff", sizeof text);
    assert_int_equal(hex_decode(back, "00099AaFF0Ff", sizeof text), OK);
    assert_memory_equal(back, bytes, sizeof bytes);
}

static void hex_reads_only_hex_digits(void **state)
{
    uint8_t byte;

    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[2] = {'0', (char)c};
        assert_int_equal(hex_decode(&byte, text, 2), isxdigit(c) ? OK : ERR_MALFORMED);
        char other[2] = {(char)c, '0'};
        assert_int_equal(hex_decode(&byte, other, 2), isxdigit(c) ? OK : ERR_MALFORMED);
    }
}

static void hex_of_any_even_size_reads_back(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 200; size++) {
        uint8_t bytes[200] = {0}, back[201];
        char text[400];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(i * 37 + size);
        hex_encode(text, bytes, size);
        back[size] = 0xee;
        assert_int_equal(hex_decode(back, text, 2 * size), OK);
        assert_memory_equal(back, bytes, size);
        assert_int_equal(back[size], 0xee);
        for (size_t at = 0; at < 2 * size; at++) {
            char kept = text[at];
            text[at] = 'g';
            assert_int_equal(hex_decode(back, text, 2 * size), ERR_MALFORMED);
            text[at] = kept;
        }
    }
}

static void hex_refuses_an_odd_size(void **state)
{
    uint8_t bytes[2];

    (void)state;
    assert_int_equal(hex_decode(bytes, "abc", 3), ERR_MALFORMED);
    assert_int_equal(hex_decode(bytes, "", 0), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base32_of_a_known_key),
        cmocka_unit_test(base32_agrees_with_the_naive_twin),
        cmocka_unit_test(base32_reads_either_case),
        cmocka_unit_test(base32_reads_only_its_alphabet),
        cmocka_unit_test(base32_refuses_other_sizes_and_paddings),
        cmocka_unit_test(base32_refuses_stray_low_bits),
        cmocka_unit_test(a_refused_text_leaves_the_output_alone),
        cmocka_unit_test(base64_of_a_known_key),
        cmocka_unit_test(base64_reads_back_what_it_wrote),
        cmocka_unit_test(base64_of_public_keys_agrees_with_that_of_others),
        cmocka_unit_test(base64_refuses_what_it_would_not_write),
        cmocka_unit_test(base64_reads_only_its_alphabet),
        cmocka_unit_test(hex_is_lower_case_and_reads_either),
        cmocka_unit_test(hex_reads_only_hex_digits),
        cmocka_unit_test(hex_of_any_even_size_reads_back),
        cmocka_unit_test(hex_refuses_an_odd_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
