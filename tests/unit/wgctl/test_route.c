/* The kernel's answers about routes, made by hand; and, where there is a kernel to ask (there is),
 * what it says of the loopback interface. */
#include "wgctl/route.h"
#include "wgctl/route_answer.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SEQUENCE = 7
};

struct route_bytes {
    struct nlmsghdr header;
    struct rtmsg route;
    struct nlattr attribute;
    uint32_t oif;
};

static struct route_bytes route_of(uint8_t type, uint8_t length)
{
    return (struct route_bytes){
        .header = {.nlmsg_len = sizeof(struct route_bytes),
                   .nlmsg_type = RTM_NEWROUTE,
                   .nlmsg_seq = SEQUENCE},
        .route = {.rtm_family = AF_INET, .rtm_dst_len = length, .rtm_type = type},
        .attribute = {.nla_len = sizeof(struct nlattr) + sizeof(uint32_t), .nla_type = RTA_OIF},
        .oif = 3,
    };
}

static void a_route_names_its_interface(void **state)
{
    (void)state;
    struct route_bytes b = route_of(RTN_UNICAST, 24);
    struct route_answer answer;
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), OK);
    assert_true(answer.done && answer.has_route);
    assert_int_equal(answer.oif, 3);
    b = route_of(RTN_LOCAL, 32);
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), OK);
    assert_true(answer.has_route);
}

static void a_default_route_and_one_that_refuses_do_not_count(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, length;
    } routes[] = {{RTN_UNICAST, 0}, {RTN_UNREACHABLE, 24}, {RTN_PROHIBIT, 24}, {RTN_BLACKHOLE, 24}};
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        struct route_bytes b = route_of(routes[i].type, routes[i].length);
        struct route_answer answer;
        assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), OK);
        assert_true(answer.done && !answer.has_route);
    }
}

static void no_route_is_an_answer_and_other_errors_are_not(void **state)
{
    (void)state;
    struct {
        struct nlmsghdr header;
        int32_t status;
    } b = {.header = {.nlmsg_len = sizeof(b), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = SEQUENCE}};
    struct route_answer answer;
    b.status = -ENETUNREACH;
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), OK);
    assert_true(answer.done && !answer.has_route);
    b.status = -EPERM;
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), ERR_PERMISSION);
    b.status = INT32_MIN;
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), ERR_MALFORMED);
}

static void answers_to_others_are_skipped_and_cut_ones_malformed(void **state)
{
    (void)state;
    struct route_bytes b = route_of(RTN_UNICAST, 24);
    struct route_answer answer;
    assert_int_equal(route_answer_parse(&answer, SEQUENCE + 1, &b, sizeof(b)), OK);
    assert_false(answer.done);
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, 0), OK);
    assert_false(answer.done);
    for (size_t size = 1; size < sizeof(b); size++) {
        void *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, &b, size);
        assert_int_equal(route_answer_parse(&answer, SEQUENCE, copy, size), ERR_MALFORMED);
        free(copy);
    }
    for (uint32_t size = 16; size < sizeof(b); size++) {
        b.header.nlmsg_len = size;
        enum err error = route_answer_parse(&answer, SEQUENCE, &b, size);
        assert_int_equal(error, size == NLMSG_HDRLEN + sizeof(struct rtmsg) ? OK : ERR_MALFORMED);
    }
    b = route_of(RTN_UNICAST, 24);
    b.attribute.nla_len = 6;
    assert_int_equal(route_answer_parse(&answer, SEQUENCE, &b, sizeof(b)), ERR_MALFORMED);
}

static void the_kernel_knows_the_addresses_of_this_machine(void **state)
{
    (void)state;
    struct wgctl_routes *r;
    struct ip_prefix p;
    assert_int_equal(wgctl_routes_create(&r), OK);
    assert_int_equal(ip_prefix_parse(&p, "127.0.0.1/32", 12), OK);
    assert_true(wgctl_routes_elsewhere(r, "lo", &p));
    assert_true(wgctl_routes_elsewhere(r, "nodev0", &p));
    assert_int_equal(ip_prefix_parse(&p, "127.0.0.0/8", 11), OK);
    assert_false(wgctl_routes_elsewhere(r, "lo", &p));
    assert_true(wgctl_routes_elsewhere(r, "nodev0", &p));
    wgctl_routes_destroy(r);
}

static void many_are_asked_together_and_answered_as_each_by_itself(void **state)
{
    (void)state;
    enum {
        COUNT = 1000
    };
    struct wgctl_routes *r, *one;
    struct ip_prefix *prefixes = calloc(COUNT, sizeof(*prefixes));
    assert_non_null(prefixes);
    assert_int_equal(wgctl_routes_create(&r), OK);
    assert_int_equal(wgctl_routes_create(&one), OK);
    for (size_t i = 0; i < COUNT; i++) {
        char text[IP_PREFIX_TEXT_SIZE];
        int size = i % 3 == 0   ? snprintf(text, sizeof(text), "127.0.%zu.%zu/32", i / 256, i % 256)
                   : i % 3 == 1 ? snprintf(text, sizeof(text), "2001:db8:%zx::/64", i)
                                : snprintf(text, sizeof(text), "192.0.2.%zu/32", i % 256);
        assert_int_equal(ip_prefix_parse(&prefixes[i], text, (size_t)size), OK);
    }
    wgctl_routes_expect(r, "nodev0", prefixes, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        bool elsewhere = wgctl_routes_elsewhere(r, "nodev0", &prefixes[i]);
        assert_true(elsewhere || i % 3 != 0);
        assert_int_equal(elsewhere, wgctl_routes_elsewhere(one, "nodev0", &prefixes[i]));
    }
    wgctl_routes_expect(r, "lo", NULL, 0); /* forgets */
    assert_true(wgctl_routes_elsewhere(r, "lo", &prefixes[0]));
    free(prefixes);
    wgctl_routes_destroy(r);
    wgctl_routes_destroy(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_names_its_interface),
        cmocka_unit_test(a_default_route_and_one_that_refuses_do_not_count),
        cmocka_unit_test(no_route_is_an_answer_and_other_errors_are_not),
        cmocka_unit_test(answers_to_others_are_skipped_and_cut_ones_malformed),
        cmocka_unit_test(the_kernel_knows_the_addresses_of_this_machine),
        cmocka_unit_test(many_are_asked_together_and_answered_as_each_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
