#include "tests/unit/dnsd/support.h"

#include <string.h>

static void tells_address_port_and_transport(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n whoami\n}\n");
    assert_string_equal(CHAIN_ASK(c, .name = "X.org", .type = DNS_TYPE_A, .from = "192.0.2.7"),
                        "NOERROR qr,aa,rd|ar X.org. 0 A 192.0.2.7|ar _udp.X.org. 0 SRV 4321 .");
    assert_string_equal(
        CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_MX, .from = "2001:db8::1", .is_tcp = true),
        "NOERROR qr,aa,rd|ar x.org. 0 AAAA 2001:db8::1|ar _tcp.x.org. 0 SRV 4321 .");
    assert_string_equal(CHAIN_ASK(c, .name = ".", .type = DNS_TYPE_A),
                        "NOERROR qr,aa,rd|ar . 0 A 127.0.0.1|ar _udp. 0 SRV 4321 .");
    assert_int_equal(chain_asked(c), 0); /* whoami ends the chain */
    chain_free(c);
}

/* The bug: nothing was sent. CoreDNS sends an SRV record too, under a name longer than a name may
 * be. */
static void a_name_without_room_for_the_label_gets_the_address_alone(void **state)
{
    (void)state;
    char name[256] = "";
    for (int i = 0; i < 4; i++) {
        memset(name + strlen(name), 'a', i < 3 ? 63 : 61);
        strcat(name, ".");
    }
    struct chain *c = chain_load(". {\n whoami\n}\n");
    const char *reply = CHAIN_ASK(c, .name = name, .type = DNS_TYPE_A);
    assert_non_null(strstr(reply, " A 127.0.0.1"));
    assert_null(strstr(reply, "SRV"));
    chain_free(c);
}

static void takes_no_argument(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n whoami x\n}\n"),
                        "plugin/whoami: Corefile:2 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'x'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_address_port_and_transport),
        cmocka_unit_test(a_name_without_room_for_the_label_gets_the_address_alone),
        cmocka_unit_test(takes_no_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
