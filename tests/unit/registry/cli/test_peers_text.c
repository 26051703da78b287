/* wg's files and JSON lines. */
#include "registry/cli/peers_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE64 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define BASE32 "aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq===="

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void keys_are_base64_or_base32_padded_or_not(void **state)
{
    uint8_t key[KEY_SIZE], wanted[KEY_SIZE];
    char text[64];
    static const char *const forms[] = {BASE64, BASE32};
    (void)state;
    memset(wanted, 1, sizeof(wanted));
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        snprintf(text, sizeof(text), "%s", forms[i]);
        memset(key, 0, sizeof(key));
        assert_int_equal(peer_key_parse(key, text), OK);
        assert_memory_equal(key, wanted, KEY_SIZE);
        text[strcspn(text, "=")] = '\0';
        memset(key, 0, sizeof(key));
        assert_int_equal(peer_key_parse(key, text), OK);
        assert_memory_equal(key, wanted, KEY_SIZE);
        text[10] = '!';
        assert_int_equal(peer_key_parse(key, text), ERR_MALFORMED);
        text[strlen(text) - 2] = '\0';
        assert_int_equal(peer_key_parse(key, text), ERR_MALFORMED);
    }
    assert_int_equal(peer_key_parse(key, ""), ERR_MALFORMED);
}

static void zones_are_lower_case_and_absolute(void **state)
{
    char zone[ZONE_TEXT_SIZE];
    (void)state;
    assert_int_equal(zone_name_parse(zone, "WG.Example"), OK);
    assert_string_equal(zone, "wg.example.");
    assert_int_equal(zone_name_parse(zone, "wg.example."), OK);
    assert_string_equal(zone, "wg.example.");
    static const char *const bad[] = {"", ".", "a/b", "a..b", "a\\046b\\.c"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_not_equal(zone_name_parse(zone, bad[i]), OK);
}

static void allowed_ips_are_masked(void **state)
{
    struct ip_prefix p;
    char text[IP_PREFIX_TEXT_SIZE];
    static const char *const cases[][2] = {{"10.1.2.3/8", "10.0.0.0/8"},
                                           {"10.1.2.3", "10.1.2.3/32"},
                                           {"fd00::1", "fd00::1/128"},
                                           {"fd00::1/64", "fd00::/64"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(allowed_ip_parse(&p, cases[i][0], strlen(cases[i][0])), OK);
        ip_prefix_format(&p, text);
        assert_string_equal(text, cases[i][1]);
    }
    assert_int_not_equal(allowed_ip_parse(&p, "10.0.0.0/33", 11), OK);
    assert_int_not_equal(allowed_ip_parse(&p, "host", 4), OK);
}

/* LINE as it is written again; NULL with the reason in WHY. */
static char *again(const char *line, struct strbuf *why)
{
    struct peer_entry entry;
    struct strbuf out = STRBUF_EMPTY;
    if (peer_line_parse(&entry, bytes_of_str(line), &arena, why) != OK)
        return NULL;
    peer_line_format(&out, &entry);
    return strbuf_take(&out);
}

static void a_line_is_written_as_it_was_read(void **state)
{
    static const char *const lines[] = {
        "{\"key\":\"" BASE64 "\"}",
        "{\"zone\":\"wg.example.\",\"key\":\"" BASE64 "\"}",
        "{\"zone\":\"wg.example.\",\"key\":\"" BASE64 "\",\"name\":\"alice\",\"allowed_ips\":"
        "[\"10.0.0.1/32\",\"fd00::/64\"],\"groups\":[\"web\"],\"endpoint\":\"192.0.2.1:5\","
        "\"keepalive\":25}",
    };
    struct strbuf why = STRBUF_EMPTY;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        char *got = again(lines[i], &why);
        assert_non_null(got);
        assert_string_equal(got, lines[i]);
        free(got);
    }
    char *got = again("{\"key\":\"" BASE32 "\",\"zone\":\"WG.example\",\"new\":1}", &why);
    assert_string_equal(got, "{\"zone\":\"wg.example.\",\"key\":\"" BASE64 "\"}");
    free(got);
}

static void a_bad_line_says_which_field(void **state)
{
    static const char *const bad[][2] = {
        {"", "value: no JSON"},
        {"[]", "value: is no JSON object"},
        {"{\"key\":1}", "key: "},
        {"{\"name\":\"a\"}", "key: "},
        {"{\"key\":\"" BASE64 "\",\"key\":\"" BASE64 "\"}", "value: no JSON: line 1 column"},
        {"{\"key\":\"" BASE64 "\",\"zone\":7}", "zone: "},
        {"{\"key\":\"" BASE64 "\",\"zone\":\"a/b\"}", "zone: "},
        {"{\"key\":\"" BASE64 "\",\"name\":\"a_b\"}", "name"},
        {"{\"key\":\"" BASE64 "\",\"allowed_ips\":[\"x\"]}", "allowed_ips"},
        {"{\"key\":\"" BASE64 "\",\"endpoint\":\"host:5\"}", "endpoint"},
        {"{\"key\":\"" BASE64 "\"} x", "value: no JSON"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct strbuf why = STRBUF_EMPTY;
        assert_null(again(bad[i][0], &why));
        if (strncmp(strbuf_str(&why), bad[i][1], strlen(bad[i][1])) != 0)
            fail_msg("%s: %s", bad[i][0], strbuf_str(&why));
        strbuf_fini(&why);
    }
}

static void a_line_has_a_bound(void **state)
{
    struct strbuf line = STRBUF_EMPTY, why = STRBUF_EMPTY;
    (void)state;
    strbuf_add_str(&line, "{\"key\":\"" BASE64 "\"}");
    while (line.size <= PEER_LINE_MAX_SIZE)
        strbuf_add_str(&line, "                                                                ");
    assert_null(again(strbuf_str(&line), &why));
    strbuf_fini(&line);
    strbuf_fini(&why);
}

/* All peers of TEXT as lines, or "LINE: why" behind those before the error. */
static void expect_wg(const char *text, const char *wanted)
{
    struct wg_reader reader = wg_reader_of(bytes_of_str(text));
    struct strbuf out = STRBUF_EMPTY, why = STRBUF_EMPTY;
    struct peer_entry entry;
    enum err error;
    while ((error = wg_reader_next(&reader, &entry, &arena, &why)) == OK) {
        peer_line_format(&out, &entry);
        strbuf_add_char(&out, '\n');
    }
    if (error == ERR_MALFORMED)
        strbuf_add_format(&out, "%zu: %s", reader.line, strbuf_str(&why));
    assert_string_equal(strbuf_str(&out), wanted);
    strbuf_fini(&out);
    strbuf_fini(&why);
}

#define PEER       "[Peer]\nPublicKey = " BASE64 "\n"
#define LINE_START "{\"key\":\"" BASE64 "\""

static void showconf_and_wg_quick_are_read(void **state)
{
    (void)state;
    expect_wg("", "");
    expect_wg("[Interface]\nListenPort = 51820\nPrivateKey = secret\n\n" PEER, LINE_START "}\n");
    expect_wg("[interface]\nAddress = 10.0.0.1/24\nPostUp = x = y\n[PEER]\r\n# Name = Alice\r\n"
              "publickey=" BASE64 "\r\nPresharedKey = " BASE64 "\n"
              "AllowedIPs = 10.0.0.2/32, fd00::1/128 # two\nAllowedIPs=10.1.0.0/16\n"
              "Endpoint = [2001:db8::1]:5\nPersistentKeepalive = 25\n",
              LINE_START ",\"name\":\"alice\",\"allowed_ips\":[\"10.0.0.2/32\",\"fd00::1/128\","
                         "\"10.1.0.0/16\"],\"endpoint\":\"[2001:db8::1]:5\",\"keepalive\":25}\n");
    expect_wg(PEER PEER, LINE_START "}\n" LINE_START "}\n");
    expect_wg(PEER "PersistentKeepalive = off\nAllowedIPs = (none)\n", LINE_START "}\n");
}

static void a_bad_file_says_which_line(void **state)
{
    (void)state;
    expect_wg("[Peer]\nEndpoint = 192.0.2.1:5\n", "2: a [Peer] without PublicKey");
    expect_wg("[Peer]\nPublicKey = bad\n", "2: PublicKey: not a key in base64: 'bad'");
    expect_wg(PEER "Endpoint = host:5\n",
              "3: Endpoint: not address:port (host names are not stored): 'host:5'");
    expect_wg(PEER "AllowedIPs = 10.0.0.0/40\n", "3: AllowedIPs: not a prefix: '10.0.0.0/40'");
    expect_wg(PEER "PersistentKeepalive = 65536\n",
              "3: PersistentKeepalive: not between 0 and 65535, or off: '65536'");
    expect_wg(PEER "Nonsense = 1\n", "3: a setting that a [Peer] does not have: 'Nonsense'");
    expect_wg(PEER "nothing\n", "3: not 'name = value': 'nothing'");
    expect_wg(PEER "# Name = a_b\n",
              "3: Name: not one DNS label of letters, digits and hyphens: 'a_b'");
    expect_wg("# a comment\n\nPublicKey = " BASE64 "\n",
              "3: neither JSON nor in an [Interface] or [Peer]: 'PublicKey = " BASE64 "'");
    expect_wg(PEER "\n[Other]\n", LINE_START "}\n4: neither [Interface] nor [Peer]: '[Other]'");
}

static void what_a_bad_line_holds_does_not_reach_the_terminal(void **state)
{
    (void)state;
    expect_wg(PEER "\x1b]0;x\x07\xc2\x9b"
                   "2J = \x1b[31m\n",
              "3: a setting that a [Peer] does not have: '\\x1b]0;x\\a\\u009b2J'");
}

static void nul_bytes_are_no_file_of_wg_s(void **state)
{
    static const char zeros[100];
    static const char inside[] = "[Interface]\nAddress = \0\n" PEER;
    struct strbuf why = STRBUF_EMPTY;
    struct peer_entry entry;
    (void)state;
    struct wg_reader reader = wg_reader_of(bytes_of(zeros, sizeof(zeros)));
    assert_int_equal(wg_reader_next(&reader, &entry, &arena, &why), ERR_MALFORMED);
    assert_int_equal(reader.line, 1);
    strbuf_clear(&why);
    reader = wg_reader_of(bytes_of(inside, sizeof(inside) - 1));
    assert_int_equal(wg_reader_next(&reader, &entry, &arena, &why), ERR_MALFORMED);
    assert_int_equal(reader.line, 2);
    assert_string_equal(strbuf_str(&why), "a NUL byte is no text: 'Address = \\x00'");
    strbuf_fini(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_base64_or_base32_padded_or_not),
        cmocka_unit_test(zones_are_lower_case_and_absolute),
        cmocka_unit_test(allowed_ips_are_masked),
        cmocka_unit_test(a_line_is_written_as_it_was_read),
        cmocka_unit_test(a_bad_line_says_which_field),
        cmocka_unit_test(a_line_has_a_bound),
        cmocka_unit_test(showconf_and_wg_quick_are_read),
        cmocka_unit_test(a_bad_file_says_which_line),
        cmocka_unit_test(what_a_bad_line_holds_does_not_reach_the_terminal),
        cmocka_unit_test(nul_bytes_are_no_file_of_wg_s),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
