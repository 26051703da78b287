/* Which endpoint of a peer is published, from a zone's keys. */
#include "registry/published.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ZONE "wg.example."

static const uint8_t *key_of(uint8_t n)
{
    static uint8_t key[KEY_SIZE];
    memset(key, n, sizeof(key));
    return key;
}

static void add(struct published *p, const struct strbuf *key, const char *value, int64_t revision)
{
    assert_int_equal(published_add(p, bytes_of_str(ZONE), bytes_of(key->data, key->size),
                                   bytes_of_str(value), revision),
                     OK);
}

static void peer(struct published *p, const char *zone, uint8_t n, const char *value)
{
    struct strbuf key = STRBUF_EMPTY;
    registry_peer_key(&key, bytes_of_str(zone), key_of(n));
    add(p, &key, value, 1);
    strbuf_fini(&key);
}

static void seen(struct published *p, uint8_t n, uint8_t observer, int64_t revision,
                 const char *endpoint, bool is_idle)
{
    struct strbuf key = STRBUF_EMPTY, value = STRBUF_EMPTY;
    uint8_t of[KEY_SIZE], by[KEY_SIZE];
    memcpy(of, key_of(n), KEY_SIZE);
    memcpy(by, key_of(observer), KEY_SIZE);
    registry_endpoint_key(&key, bytes_of_str(ZONE), of, by);
    strbuf_add_format(&value, "{\"endpoint\":\"%s\",\"how\":\"handshake\"%s}", endpoint,
                      is_idle ? ",\"idle\":true" : "");
    add(p, &key, strbuf_str(&value), revision);
    strbuf_fini(&key);
    strbuf_fini(&value);
}

/* The endpoint of the only peer; "" without. */
static void assert_published(struct published *p, const char *expected)
{
    char text[IP_ENDPOINT_TEXT_SIZE] = "";
    published_finish(p);
    assert_int_equal(p->peer_count, 1);
    if (p->peers[0].endpoint.addr.family != IP_NONE)
        (void)ip_endpoint_format(&p->peers[0].endpoint, text);
    assert_string_equal(text, expected);
    published_fini(p);
}

static void the_newest_live_observation_is_published(void **state)
{
    (void)state;
    struct published p;
    published_init(&p);
    seen(&p, 1, 7, 30, "192.0.2.3:3", true);
    seen(&p, 1, 8, 10, "192.0.2.1:1", false);
    peer(&p, ZONE, 1, "{\"endpoint\":\"192.0.2.9:9\"}");
    seen(&p, 1, 9, 20, "192.0.2.2:2", false);
    assert_published(&p, "192.0.2.2:2");
}

static void without_a_live_one_the_static_one_is(void **state)
{
    (void)state;
    struct published p;
    published_init(&p);
    peer(&p, ZONE, 1, "{\"endpoint\":\"192.0.2.9:9\"}");
    seen(&p, 1, 7, 30, "192.0.2.3:3", true);
    assert_published(&p, "192.0.2.9:9");
}

static void without_either_the_newest_idle_one_is(void **state)
{
    (void)state;
    struct published p;
    published_init(&p);
    seen(&p, 1, 8, 31, "192.0.2.4:4", true);
    seen(&p, 1, 7, 30, "192.0.2.3:3", true);
    peer(&p, ZONE, 1, "{}");
    seen(&p, 2, 7, 99, "192.0.2.5:5", false); /* of no peer */
    seen(&p, 0, 7, 99, "192.0.2.6:6", false);
    assert_published(&p, "192.0.2.4:4");
}

static void a_peer_nobody_saw_has_none(void **state)
{
    (void)state;
    struct published p;
    published_init(&p);
    peer(&p, ZONE, 1, "{\"name\":\"alice\"}");
    assert_published(&p, "");
}

static void other_keys_are_passed_over_and_bad_values_counted(void **state)
{
    (void)state;
    struct published p;
    struct strbuf key = STRBUF_EMPTY;
    published_init(&p);
    peer(&p, ZONE, 1, "{}");
    peer(&p, ZONE, 2, "nonsense");
    peer(&p, "other.example.", 3, "{}");
    seen(&p, 1, 7, 1, "nonsense", false);
    registry_zone_key(&key, bytes_of_str(ZONE));
    add(&p, &key, "{}", 1);
    strbuf_clear(&key);
    strbuf_add_str(&key, "/warren/else");
    add(&p, &key, "{}", 1);
    strbuf_fini(&key);
    assert_int_equal(p.malformed_count, 2);
    assert_published(&p, "");
}

static void peers_come_out_by_key(void **state)
{
    (void)state;
    struct published p;
    published_init(&p);
    for (uint8_t n = 200; n > 0; n--)
        peer(&p, ZONE, n, "{}");
    published_finish(&p);
    assert_int_equal(p.peer_count, 200);
    for (uint8_t i = 0; i < 200; i++)
        assert_int_equal(p.peers[i].key[0], i + 1);
    published_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_live_observation_is_published),
        cmocka_unit_test(without_a_live_one_the_static_one_is),
        cmocka_unit_test(without_either_the_newest_idle_one_is),
        cmocka_unit_test(a_peer_nobody_saw_has_none),
        cmocka_unit_test(other_keys_are_passed_over_and_bad_values_counted),
        cmocka_unit_test(peers_come_out_by_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
