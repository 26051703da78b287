/* dns_message_write_within against its naive twin, truncate and then write, over random messages.
 */
#include "base/dns_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    ROUNDS = 20000,
    MAX_RRS = 24,
    LABEL_CHOICES = 4,
};

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % bound;
}

/* Few distinct labels, so that suffixes are shared; some with letters of either case. */
static struct dns_name random_name(struct arena *arena)
{
    static const char *const labels[LABEL_CHOICES] = {
        "example", "Example", "_udp", "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa===="};
    uint8_t wire[DNS_NAME_MAX_SIZE];
    size_t size = 0;
    for (uint32_t count = random_below(5); count > 0; count--) {
        const char *label = labels[random_below(LABEL_CHOICES)];
        size_t label_size = strlen(label);
        if (size + 1 + label_size + 1 > sizeof(wire))
            break;
        wire[size++] = (uint8_t)label_size;
        memcpy(wire + size, label, label_size);
        size += label_size;
    }
    wire[size++] = 0;
    uint8_t *copy = arena_copy(arena, wire, size);
    assert_non_null(copy);
    return (struct dns_name){.wire = copy, .size = (uint8_t)size};
}

static void random_rr(struct arena *arena, struct dns_rr *rr)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_PTR, DNS_TYPE_SRV, DNS_TYPE_TXT,
                                     DNS_TYPE_DNSKEY};
    *rr = (struct dns_rr){.owner = random_name(arena),
                          .type = types[random_below(5)],
                          .class_number = DNS_CLASS_IN,
                          .ttl = random_below(100)};
    struct dns_name target = random_name(arena);
    size_t fixed = rr->type == DNS_TYPE_SRV ? 6 : 0;
    bool has_name = rr->type == DNS_TYPE_SRV || rr->type == DNS_TYPE_PTR;
    size_t size = has_name                 ? fixed + target.size
                  : rr->type == DNS_TYPE_A ? 4
                                           : 1 + random_below(200);
    uint8_t *rdata = arena_alloc(arena, size);
    assert_non_null(rdata);
    memset(rdata, 3, size);
    if (has_name)
        memcpy(rdata + fixed, target.wire, target.size);
    else if (rr->type == DNS_TYPE_TXT)
        rdata[0] = (uint8_t)(size - 1);
    rr->rdata = rdata;
    rr->rdata_size = (uint16_t)size;
}

static void random_message(struct arena *arena, struct dns_message *m, struct dns_edns *edns)
{
    *m = (struct dns_message){.id = 7, .flags = DNS_FLAG_QR, .has_question = true};
    m->question = (struct dns_question){
        .name = random_name(arena), .type = DNS_TYPE_SRV, .class_number = DNS_CLASS_IN};
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        size_t count = random_below(MAX_RRS / (1u + random_below(8)));
        struct dns_rr *rrs = arena_array(arena, count + 1, sizeof(*rrs));
        assert_non_null(rrs);
        for (size_t i = 0; i < count; i++)
            random_rr(arena, &rrs[i]);
        m->sections[section] = (struct dns_rr_list){.rrs = rrs, .count = count};
    }
    *edns = (struct dns_edns){.udp_size = 1232};
    m->edns = random_below(2) == 0 ? edns : NULL;
}

static void one_pass_equals_truncate_then_write(void **state)
{
    (void)state;
    static uint8_t twin_bytes[DNS_MAX_MESSAGE_SIZE], bytes[DNS_MAX_MESSAGE_SIZE];
    struct arena arena;
    arena_init(&arena, 1 << 22);
    unsigned truncated = 0, compressed = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct dns_message m, twin;
        struct dns_edns edns;
        random_message(&arena, &m, &edns);
        twin = m;
        size_t limit = 300 + random_below(3000);
        size_t twin_size = 0, size = 0;
        dns_message_truncate(&twin, limit);
        enum err wanted = dns_message_write(&twin, twin_bytes, sizeof(twin_bytes), &twin_size);
        enum err got = dns_message_write_within(&m, limit, bytes, sizeof(bytes), &size);
        assert_int_equal(got, wanted);
        assert_int_equal(size, twin_size);
        assert_memory_equal(bytes, twin_bytes, size);
        assert_int_equal(m.compress, twin.compress);
        truncated += (m.flags & DNS_FLAG_TC) != 0;
        compressed += m.compress && (m.flags & DNS_FLAG_TC) == 0;
        arena_reset(&arena);
    }
    /* A run that never met a case says nothing about it. */
    assert_true(truncated > ROUNDS / 100);
    assert_true(compressed > ROUNDS / 100);
    arena_fini(&arena);
}

/* A name like ASKED, the case of some letters turned. */
static struct dns_name respelt(struct arena *arena, struct dns_name asked)
{
    uint8_t *wire = arena_copy(arena, asked.wire, asked.size);
    assert_non_null(wire);
    size_t at = 0;
    while (wire[at] != 0) {
        bool is_turned = random_below(3) == 0;
        for (size_t i = 1; i <= wire[at]; i++)
            if (is_turned && wire[at + i] >= 'a' && wire[at + i] <= 'z')
                wire[at + i] = (uint8_t)(wire[at + i] - 'a' + 'A');
        at += 1u + wire[at];
    }
    return (struct dns_name){.wire = wire, .size = asked.size};
}

/* The short cut knows "the same owner" by its place in memory; with copies of the name the general
 * packer writes the same message. */
static void the_short_cut_for_one_owner_equals_the_general_packer(void **state)
{
    (void)state;
    static uint8_t twin_bytes[DNS_MAX_MESSAGE_SIZE], bytes[DNS_MAX_MESSAGE_SIZE];
    struct arena arena;
    arena_init(&arena, 1 << 22);
    unsigned rounds_with_owner = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct dns_message m, twin;
        struct dns_edns edns;
        random_message(&arena, &m, &edns);
        /* Mostly the name asked, in another spelling; else any, perhaps of the same size. */
        struct dns_name owner =
            random_below(3) > 0 ? respelt(&arena, m.question.name) : random_name(&arena);
        twin = m;
        for (int section = 0; section < DNS_SECTION_COUNT; section++) {
            size_t count = m.sections[section].count;
            struct dns_rr *rrs = arena_array(&arena, count + 1, sizeof(*rrs));
            struct dns_rr *copies = arena_array(&arena, count + 1, sizeof(*copies));
            assert_true(rrs != NULL && copies != NULL);
            for (size_t i = 0; i < count; i++) {
                rrs[i] = m.sections[section].rrs[i];
                if (rrs[i].type == DNS_TYPE_PTR || rrs[i].type == DNS_TYPE_DNSKEY)
                    rrs[i].type = DNS_TYPE_TXT;
                rrs[i].owner = owner;
                copies[i] = rrs[i];
                copies[i].owner.wire = arena_copy(&arena, owner.wire, owner.size);
                assert_non_null(copies[i].owner.wire);
            }
            m.sections[section].rrs = rrs;
            twin.sections[section].rrs = copies;
            rounds_with_owner += count > 1;
        }
        m.compress = twin.compress = true;
        size_t size = 0, twin_size = 0;
        size_t capacity = 400 + random_below(6000);
        enum err got = dns_message_write(&m, bytes, capacity, &size);
        assert_int_equal(got, dns_message_write(&twin, twin_bytes, capacity, &twin_size));
        assert_int_equal(size, twin_size);
        assert_memory_equal(bytes, twin_bytes, size);
        arena_reset(&arena);
    }
    assert_true(rounds_with_owner > ROUNDS / 10);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pass_equals_truncate_then_write),
        cmocka_unit_test(the_short_cut_for_one_owner_equals_the_general_packer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
