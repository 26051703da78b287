/* The warren directive: its arguments, and how its zones follow the registry. What a zone answers
 * is zones/warren's matter. */
#include "tests/unit/dnsd/support.h"

#include "tests/unit/dnsd/zone_store.h"

#include "dnsd/rcu.h"
#include "dnsd/zone_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_1     "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_2     "aiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PEERS     "/warren/zones/wg.example./peers/"
#define ENDPOINTS "/warren/zones/wg.example./endpoints/"
#define SERVICE   "_wireguard._udp.wg.example."
#define ALICE     "{\"name\":\"alice\",\"allowed_ips\":[\"10.0.0.1/32\"],\"endpoint\":\"192.0.2.1:1\"}"
#define COREFILE  ".:53 {\nwarren wg.example\n}\n"

static int make_store(void **state)
{
    struct store *s = zone_store_new();
    chain_set_store(s);
    *state = s;
    output_capture();
    return 0;
}

static int remove_store(void **state)
{
    chain_set_store(NULL);
    zone_store_free(*state);
    output_release();
    return 0;
}

static void assert_refused(const char *lines, const char *message)
{
    char corefile[512];
    snprintf(corefile, sizeof(corefile), ".:53 {\n%s\n}\n", lines);
    assert_string_equal(chain_error(corefile), message);
}

/* --- arguments -------------------------------------------------------------------------------- */

static void a_registry_is_needed(void **state)
{
    chain_set_store(NULL);
    assert_refused("warren wg.example", "plugin/warren: no registry runs in this process");
    chain_set_store(*state);
}

static void one_zone_is_needed(void **state)
{
    (void)state;
    assert_refused("warren", "plugin/warren: Corefile:2 - Error during parsing: Wrong argument "
                             "count or unexpected line ending after 'warren'");
    assert_refused("warren a. b.", "plugin/warren: Corefile:2 - Error during parsing: Wrong "
                                   "argument count or unexpected line ending after 'b.'");
}

static void a_zone_is_a_domain_name_that_keys_can_hold(void **state)
{
    char longest[300] = "warren ";
    (void)state;
    assert_refused("warren a..b", "plugin/warren: Corefile:2 - Error during parsing: 'a..b' is not "
                                  "a domain name");
    assert_refused("warren a/b", "plugin/warren: Corefile:2 - Error during parsing: 'a/b' has a "
                                 "slash, which no zone of the registry has");
    for (int i = 0; i < 100; i++)
        strcat(longest, "a.");
    char corefile[400];
    snprintf(corefile, sizeof corefile, ".:53 {\n%s\n}\n", longest);
    assert_non_null(strstr(chain_error(corefile), "is too long for the names below it"));
}

static void a_zone_stands_once_in_a_block(void **state)
{
    (void)state;
    assert_refused("warren wg.example\nwarren WG.Example.",
                   "plugin/warren: Corefile:3 - Error during parsing: duplicate zone name "
                   "WG.Example.");
}

static void options_are_checked(void **state)
{
    (void)state;
    assert_refused("warren z {\nother\n}",
                   "plugin/warren: Corefile:3 - Error during parsing: unknown option 'other' "
                   "(observe, sync, expire)");
    assert_refused("warren z {\nobserve\n}",
                   "plugin/warren: Corefile:3 - Error during parsing: Wrong argument count or "
                   "unexpected line ending after 'observe'");
    assert_refused("warren z {\nsync wg0 adapt\n}",
                   "plugin/warren: Corefile:3 - Error during parsing: Wrong argument count or "
                   "unexpected line ending after 'adapt'");
    assert_refused("warren z {\nsync wg0\nsync wg0 adopt\n}",
                   "plugin/warren: Corefile:4 - Error during parsing: wg0 is synced twice");
    assert_refused("warren z {\nobserve wg0\nobserve wg0\n}",
                   "plugin/warren: Corefile:4 - Error during parsing: wg0 is observed twice");
    assert_refused("warren z {\nexpire soon\n}",
                   "plugin/warren: Corefile:3 - Error during parsing: failed to parse duration "
                   "'soon'");
    assert_refused("warren z {\nexpire 0\n}",
                   "plugin/warren: Corefile:3 - Error during parsing: expire must be a second at "
                   "least, not 0");
    chain_free(chain_load(".:53 {\nwarren z {\nexpire 90m\n}\nwarren y\n}\n"));
}

/* --- following the registry ------------------------------------------------------------------- */

static void assert_answer(struct chain *c, const char *name, uint16_t type, const char *part)
{
    const char *reply = CHAIN_ASK(c, .name = name, .type = type, .udp_size = 4096);
    if (strstr(reply, part) == NULL)
        fail_msg("%s: no '%s' in: %s", name, part, reply);
}

static void servfail_and_not_ready_until_it_is_loaded(void **state)
{
    zone_store_hold(*state, true);
    struct chain *c = chain_load(COREFILE);
    struct handler *h = chain_site(c, 0)->handlers[0];
    chain_turn(c);
    assert_false(h->ready(h));
    assert_answer(c, SERVICE, DNS_TYPE_PTR, "SERVFAIL");
    zone_store_hold(*state, false);
    chain_turn(c);
    assert_true(h->ready(h));
    assert_answer(c, SERVICE, DNS_TYPE_PTR, "NOERROR");
    chain_free(c);
}

static void not_ready_while_the_registry_takes_no_writes_and_yet_answering(void **state)
{
    struct chain *c = chain_load(COREFILE);
    struct handler *h = chain_site(c, 0)->handlers[0];
    chain_turn(c);
    assert_true(h->ready(h));
    zone_store_set_writable(*state, false);
    assert_false(h->ready(h));
    assert_true(h->ready_may_end);
    assert_answer(c, SERVICE, DNS_TYPE_PTR, "NOERROR");
    zone_store_set_writable(*state, true);
    assert_true(h->ready(h));
    chain_free(c);
}

static void a_zone_without_settings_has_the_default_ones(void **state)
{
    (void)state;
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_answer(c, "wg.example.", DNS_TYPE_NS, "wg.example. 60 NS");
    chain_free(c);
}

/* It was answered with no record at all, as if the zone were empty. */
static void a_zone_transfer_is_refused(void **state)
{
    (void)state;
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_answer(c, "wg.example.", DNS_TYPE_AXFR, "REFUSED qr,rd");
    assert_answer(c, "wg.example.", DNS_TYPE_IXFR, "REFUSED qr,rd");
    chain_free(c);
}

static void changes_are_followed(void **state)
{
    zone_store_put(*state, PEERS KEY_1, ALICE);
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1");
    assert_answer(c, "1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, "alice.wg.example.");
    zone_store_put(*state, ENDPOINTS KEY_1 "/" KEY_2, "{\"endpoint\":\"192.0.2.9:9\"}");
    zone_store_put(*state, ENDPOINTS KEY_2 "/" KEY_1, "{\"endpoint\":\"192.0.2.8:8\"}");
    zone_store_put(*state, "/warren/zones/wg.example.", "{\"ttl\":7}");
    zone_store_deliver(*state);
    assert_answer(c, KEY_1 "._wireguard._udp.wg.example.", DNS_TYPE_A, " 7 A 192.0.2.9");
    assert_answer(c, KEY_2 "._wireguard._udp.wg.example.", DNS_TYPE_A, " 7 A 192.0.2.8");
    zone_store_put(*state, ENDPOINTS KEY_1 "/" KEY_2, NULL);
    zone_store_put(*state, "/warren/zones/wg.example.", NULL);
    zone_store_deliver(*state);
    assert_answer(c, KEY_1 "._wireguard._udp.wg.example.", DNS_TYPE_A, " 60 A 192.0.2.1");
    zone_store_put(*state, PEERS KEY_1, NULL);
    zone_store_deliver(*state);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "NXDOMAIN");
    assert_int_equal(chain_metric(c, "warren_zone_peers{zone=\"wg.example.\"}"), 1);
    assert_int_equal(chain_metric(c, "warren_zone_published{zone=\"wg.example.\"}"), 1);
    assert_int_equal(chain_metric(c, "warren_zone_revision{zone=\"wg.example.\"}"),
                     zone_store_revision(*state));
    chain_free(c);
    assert_int_equal(zone_store_watch_count(*state), 0);
}

static void other_zones_keys_are_not_ours(void **state)
{
    zone_store_put(*state, "/warren/zones/wg.example.-x./peers/" KEY_1, ALICE);
    zone_store_put(*state, "/warren/zones/wg.example.com./peers/" KEY_1, ALICE);
    zone_store_put(*state, "/warren/zones/wg.example./peers/" KEY_1 "/x", ALICE);
    zone_store_put(*state, "/warren/zones/wg.example./peers/short", ALICE);
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_int_equal(chain_metric(c, "warren_zone_peers{zone=\"wg.example.\"}"), 0);
    chain_free(c);
}

static void a_large_zone_is_loaded_in_pages(void **state)
{
    enum {
        PEERS_COUNT = 3 * ZONE_FEED_PAGE_KEYS + 7
    };
    for (uint32_t i = 0; i < PEERS_COUNT; i++) {
        uint8_t key[KEY_SIZE] = {0};
        char text[200] = PEERS;
        memcpy(key, &i, sizeof i);
        key_to_base32(text + strlen(PEERS), key);
        text[strlen(PEERS) + KEY_BASE32_UNPADDED_SIZE] = '\0';
        zone_store_put(*state, text, "{\"endpoint\":\"192.0.2.1:1\"}");
    }
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_int_equal(chain_metric(c, "warren_zone_peers{zone=\"wg.example.\"}"), PEERS_COUNT);
    assert_int_equal(zone_store_range_count(*state), 4);
    chain_free(c);
}

static void malformed_values_are_counted_logged_once_and_never_harm(void **state)
{
    zone_store_put(*state, PEERS KEY_1, "{\"name\":7}");
    zone_store_put(*state, PEERS KEY_2, ALICE);
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1");
    assert_int_equal(chain_metric(c, "warren_zone_invalid_values{zone=\"wg.example.\"}"), 1);
    assert_non_null(strstr(output_take(), "[WARNING] plugin/warren: wg.example.: " PEERS KEY_1
                                          " is ignored: name: is no string"));
    zone_store_put(*state, PEERS KEY_1, "{");
    zone_store_put(*state, "/warren/zones/wg.example.", "[]");
    zone_store_deliver(*state);
    const char *output = output_take();
    assert_null(strstr(output, KEY_1));
    assert_non_null(strstr(output, "/warren/zones/wg.example. is ignored"));
    assert_int_equal(chain_metric(c, "warren_zone_invalid_values{zone=\"wg.example.\"}"), 2);
    /* One that was good and no longer is counts as none: as after a restart. */
    zone_store_put(*state, PEERS KEY_2, "x");
    zone_store_deliver(*state);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "NXDOMAIN");
    zone_store_put(*state, PEERS KEY_1, ALICE);
    zone_store_put(*state, PEERS KEY_2, NULL);
    zone_store_put(*state, "/warren/zones/wg.example.", "{}");
    zone_store_deliver(*state);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1");
    assert_int_equal(chain_metric(c, "warren_zone_invalid_values{zone=\"wg.example.\"}"), 0);
    chain_free(c);
}

static void after_a_compaction_all_is_read_anew_while_it_answers(void **state)
{
    zone_store_put(*state, PEERS KEY_1, ALICE);
    zone_store_put(*state, PEERS KEY_2, "{\"name\":\"bob\",\"allowed_ips\":[\"10.0.0.2\"]}");
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    zone_store_put(*state, PEERS KEY_2, NULL); /* never seen */
    zone_store_put(*state, PEERS KEY_1, "{\"name\":\"alicia\",\"allowed_ips\":[\"10.0.0.1\"]}");
    zone_store_compact(*state);
    zone_store_hold(*state, true);
    zone_store_deliver(*state);
    chain_turn(c);
    assert_int_equal(zone_store_watch_count(*state), 0);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1"); /* meanwhile */
    zone_store_hold(*state, false);
    chain_turn(c);
    assert_answer(c, "alicia.wg.example.", DNS_TYPE_A, "10.0.0.1");
    assert_answer(c, "bob.wg.example.", DNS_TYPE_A, "NXDOMAIN");
    zone_store_put(*state, PEERS KEY_1, ALICE);
    zone_store_deliver(*state);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1");
    chain_free(c);
}

static void a_registry_that_refuses_is_asked_again(void **state)
{
    zone_store_put(*state, PEERS KEY_1, ALICE);
    zone_store_set_verdict(*state, VERDICT_TIMEOUT);
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "SERVFAIL");
    assert_non_null(strstr(output_take(), "the registry cannot be read: "));
    zone_store_set_verdict(*state, VERDICT_OK);
    chain_wait(c, ZONE_FEED_RETRY_MS + 50);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1");
    chain_free(c);
}

static void an_answer_that_comes_after_the_end_is_no_harm(void **state)
{
    zone_store_hold(*state, true);
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    chain_free(c);
    zone_store_hold(*state, false);
}

/* A reload has its answers at once: the feed is the same one. */
static void a_feed_is_shared_and_outlives_its_first_user(void **state)
{
    zone_store_put(*state, PEERS KEY_1, ALICE);
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    struct zone_feed *f;
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, "wg.example.", 11), OK);
    assert_int_equal(
        zone_feed_open(&f, instance_dnsd(chain_site(c, 0)->instance), dns_name_of(&name)), OK);
    assert_true(zone_feed_is_loaded(f));
    assert_string_equal(zone_feed_name(f), "wg.example.");
    assert_int_equal(zone_store_watch_count(*state), 1);
    zone_feed_close(f);
    assert_answer(c, "alice.wg.example.", DNS_TYPE_A, "10.0.0.1");
    chain_free(c);
    assert_int_equal(zone_store_watch_count(*state), 0);
}

static bool has_zone_metrics(struct chain *c, const char *zone)
{
    struct strbuf text = STRBUF_EMPTY;
    metrics_expose(instance_dnsd(chain_site(c, 0)->instance)->metrics, &text);
    bool has = strstr(strbuf_str(&text), zone) != NULL;
    strbuf_fini(&text);
    return has;
}

static void a_zone_that_is_served_no_more_has_no_metrics(void **state UNUSED)
{
    struct chain *c = chain_load(COREFILE);
    chain_turn(c);
    struct zone_feed *f;
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, "gone.example.", 13), OK);
    for (int i = 0; i < 2; i++) { /* the second one comes before the first is quite away */
        assert_int_equal(
            zone_feed_open(&f, instance_dnsd(chain_site(c, 0)->instance), dns_name_of(&name)), OK);
        assert_true(has_zone_metrics(c, "warren_zone_peers{zone=\"gone.example.\"}"));
        zone_feed_close(f);
        assert_false(has_zone_metrics(c, "gone.example."));
    }
    chain_turn(c);
    assert_false(has_zone_metrics(c, "gone.example."));
    assert_true(has_zone_metrics(c, "warren_zone_memory_bytes{zone=\"wg.example.\"}"));
    chain_free(c);
}

/* --- its place in a chain --------------------------------------------------------------------- */

static void the_longest_zone_answers_and_others_names_go_on(void **state)
{
    zone_store_put(*state, "/warren/zones/sub.wg.example./peers/" KEY_1, ALICE);
    struct chain *c = chain_load(".:53 {\nwarren wg.example\nwarren sub.wg.example\n}\n");
    chain_turn(c);
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 300 A 192.0.2.53");
    assert_answer(c, "alice.sub.wg.example.", DNS_TYPE_A, "10.0.0.1");
    assert_answer(c, "sub.wg.example.", DNS_TYPE_SOA, "an sub.wg.example. 60 SOA");
    assert_answer(c, "nobody.wg.example.", DNS_TYPE_A, "NXDOMAIN");
    assert_answer(c, "1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, "alice.sub.wg.example.");
    assert_int_equal(chain_asked(c), 0);
    assert_answer(c, "2.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, "192.0.2.53");
    assert_answer(c, "other.example.", DNS_TYPE_A, "192.0.2.53");
    assert_int_equal(chain_asked(c), 2);
    chain_free(c);
}

static void a_reverse_name_is_of_the_zone_that_has_the_address(void **state)
{
    zone_store_put(*state, PEERS KEY_1, ALICE);
    struct chain *c = chain_load(".:53 {\nwarren .\nwarren wg.example\n}\n");
    chain_turn(c);
    assert_answer(c, "1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, "alice.wg.example.");
    assert_answer(c, "2.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, "NXDOMAIN");
    assert_answer(c, "0.0.10.in-addr.arpa.", DNS_TYPE_PTR, "NOERROR");
    assert_answer(c, "other.example.", DNS_TYPE_A, "NXDOMAIN");
    chain_free(c);
}

/* wgsd-client needs the address as the first additional record. */
static void minimal_and_loadbalance_spare_its_srv(void **state)
{
    zone_store_put(*state, PEERS KEY_1, ALICE);
    struct chain *c = chain_load(".:53 {\nloadbalance\nminimal\nwarren wg.example\n}\n");
    chain_turn(c);
    const char *reply = CHAIN_ASK(c, .name = KEY_1 "====._wireguard._udp.wg.example.",
                                  .type = DNS_TYPE_SRV, .udp_size = 4096);
    const char *a = strstr(reply, " A 192.0.2.1"), *txt = strstr(reply, " TXT ");
    assert_non_null(a);
    assert_non_null(txt);
    assert_true(a < txt);
    chain_free(c);
}

static int register_thread(void **state)
{
    (void)state;
    rcu_register_thread();
    return 0;
}

static int unregister_thread(void **state)
{
    (void)state;
    rcu_unregister_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)
        WITH_STORE(a_registry_is_needed),
        WITH_STORE(one_zone_is_needed),
        WITH_STORE(a_zone_is_a_domain_name_that_keys_can_hold),
        WITH_STORE(a_zone_stands_once_in_a_block),
        WITH_STORE(options_are_checked),
        WITH_STORE(servfail_and_not_ready_until_it_is_loaded),
        WITH_STORE(not_ready_while_the_registry_takes_no_writes_and_yet_answering),
        WITH_STORE(a_zone_without_settings_has_the_default_ones),
        WITH_STORE(a_zone_transfer_is_refused),
        WITH_STORE(changes_are_followed),
        WITH_STORE(other_zones_keys_are_not_ours),
        WITH_STORE(a_large_zone_is_loaded_in_pages),
        WITH_STORE(malformed_values_are_counted_logged_once_and_never_harm),
        WITH_STORE(after_a_compaction_all_is_read_anew_while_it_answers),
        WITH_STORE(a_registry_that_refuses_is_asked_again),
        WITH_STORE(an_answer_that_comes_after_the_end_is_no_harm),
        WITH_STORE(a_feed_is_shared_and_outlives_its_first_user),
        WITH_STORE(a_zone_that_is_served_no_more_has_no_metrics),
        WITH_STORE(the_longest_zone_answers_and_others_names_go_on),
        WITH_STORE(a_reverse_name_is_of_the_zone_that_has_the_address),
        WITH_STORE(minimal_and_loadbalance_spare_its_srv),
    };
    return cmocka_run_group_tests(tests, register_thread, unregister_thread);
}
