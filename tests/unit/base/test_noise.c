/* base/noise: the published vectors of every pattern it has, and what must be refused. */
#include "base/noise.h"

#include "base/encoding.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    MAX_SIZE = 256, /* of messages here */
};

static uint8_t random_keys[5][NOISE_KEY_SIZE]; /* statics, ephemerals, PSK */

/* Two sides of one handshake. */
struct pair {
    struct noise_handshake *side[2]; /* initiator, responder */
};

static enum err pair_create(struct pair *p, enum noise_pattern pattern, const uint8_t *remote,
                            const uint8_t *other_psk, const char *other_prologue)
{
    uint8_t responder[NOISE_KEY_SIZE];
    (void)crypto_scalarmult_base(responder, random_keys[1]);
    struct noise_config c = {
        .pattern = pattern,
        .is_initiator = true,
        .prologue = bytes_of_str("cluster 1"),
        .static_private = random_keys[0],
        .ephemeral_private = random_keys[2],
        .remote_static = remote != NULL ? remote : responder,
        .psk = random_keys[4],
    };
    assert_int_equal(noise_handshake_create(&p->side[0], &c), OK);
    c.is_initiator = false;
    c.static_private = random_keys[1];
    c.ephemeral_private = random_keys[3];
    c.remote_static = NULL;
    c.psk = other_psk != NULL ? other_psk : c.psk;
    c.prologue = bytes_of_str(other_prologue != NULL ? other_prologue : "cluster 1");
    return noise_handshake_create(&p->side[1], &c);
}

static void pair_destroy(struct pair *p)
{
    noise_handshake_destroy(p->side[0]);
    noise_handshake_destroy(p->side[1]);
}

static void pair_make(struct pair *p, enum noise_pattern pattern)
{
    assert_int_equal(pair_create(p, pattern, NULL, NULL, NULL), OK);
}

/* One message from side FROM, of which byte FLIP is changed (none: SIZE_MAX). */
static enum err step(struct pair *p, int from, size_t flip, uint8_t mask)
{
    uint8_t message[MAX_SIZE], payload[MAX_SIZE];
    size_t size, payload_size;
    enum err e = noise_handshake_write(p->side[from], bytes_of_str("payload"), message,
                                       sizeof(message), &size);
    if (e != OK)
        return e;
    if (flip < size)
        message[flip] ^= mask;
    e = noise_handshake_read(p->side[1 - from], bytes_of(message, size), payload, sizeof(payload),
                             &payload_size);
    if (e == OK && flip >= size) {
        assert_int_equal(payload_size, 7);
        assert_memory_equal(payload, "payload", 7);
    }
    return e;
}

/* Runs it to its end or its first failure; gives the failure. */
static enum err run(struct pair *p, int from_message)
{
    enum err e = OK;
    for (int i = from_message; e == OK && !noise_handshake_is_done(p->side[0]); i++)
        e = step(p, i % 2, SIZE_MAX, 0);
    return e;
}

static void split(struct pair *p, struct noise_session *sessions[2])
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(noise_handshake_split(p->side[i], &sessions[i]), OK);
    assert_memory_equal(noise_session_hash(sessions[0]), noise_session_hash(sessions[1]),
                        NOISE_KEY_SIZE);
}

static void sessions_make(struct noise_session *sessions[2])
{
    struct pair p;
    pair_make(&p, NOISE_IK);
    assert_int_equal(run(&p, 0), OK);
    split(&p, sessions);
    pair_destroy(&p);
}

static void sessions_destroy(struct noise_session *sessions[2])
{
    noise_session_destroy(sessions[0]);
    noise_session_destroy(sessions[1]);
}

/* --- the published vectors -------------------------------------------------------------------- */

struct hex {
    uint8_t data[MAX_SIZE];
    size_t size;
};

static const uint8_t *hex_of(struct hex *out, const json_t *text)
{
    if (text == NULL)
        return NULL;
    size_t size = json_string_length(text);
    assert_true(size / 2 <= sizeof(out->data));
    out->size = size / 2;
    assert_int_equal(hex_decode(out->data, json_string_value(text), size), OK);
    return out->data;
}

static struct noise_handshake *vector_side(const json_t *v, const char *prefix,
                                           enum noise_pattern pattern)
{
    struct hex static_key, ephemeral, remote, prologue, psk;
    char name[32];
#define FIELD(out, field)                                                                          \
    ((void)snprintf(name, sizeof(name), "%s_%s", prefix, field),                                   \
     hex_of(out, json_object_get(v, name)))
    struct noise_config c = {
        .pattern = pattern,
        .is_initiator = strcmp(prefix, "init") == 0,
        .static_private = FIELD(&static_key, "static"),
        .ephemeral_private = FIELD(&ephemeral, "ephemeral"),
        .remote_static = FIELD(&remote, "remote_static"),
    };
    c.prologue.data = FIELD(&prologue, "prologue");
    c.prologue.size = prologue.size;
    (void)snprintf(name, sizeof(name), "%s_psks", prefix);
    c.psk = hex_of(&psk, json_array_get(json_object_get(v, name), 0));
#undef FIELD
    struct noise_handshake *h;
    assert_int_equal(noise_handshake_create(&h, &c), OK);
    return h;
}

static void vector_message(struct pair *p, struct noise_session *sessions[2], size_t index,
                           const json_t *message)
{
    struct hex plain, cipher;
    uint8_t out[MAX_SIZE], back[MAX_SIZE];
    size_t size, back_size;
    (void)hex_of(&plain, json_object_get(message, "payload"));
    (void)hex_of(&cipher, json_object_get(message, "ciphertext"));
    struct bytes payload = bytes_of(plain.data, plain.size);
    size_t from = index % 2;
    if (sessions[0] == NULL) {
        assert_int_equal(noise_handshake_write(p->side[from], payload, out, sizeof(out), &size),
                         OK);
        assert_int_equal(noise_handshake_read(p->side[1 - from], bytes_of(out, size), back,
                                              sizeof(back), &back_size),
                         OK);
    } else {
        size = plain.size + NOISE_TAG_SIZE;
        back_size = plain.size;
        assert_int_equal(noise_encrypt(sessions[from], BYTES_EMPTY, payload, out), OK);
        assert_int_equal(noise_decrypt(sessions[1 - from], BYTES_EMPTY, bytes_of(out, size), back),
                         OK);
    }
    assert_int_equal(size, cipher.size);
    assert_memory_equal(out, cipher.data, size);
    assert_int_equal(back_size, plain.size);
    assert_memory_equal(back, plain.data, plain.size);
}

static void run_vector(const json_t *v, enum noise_pattern pattern)
{
    struct pair p = {{vector_side(v, "init", pattern), vector_side(v, "resp", pattern)}};
    struct noise_session *sessions[2] = {NULL, NULL};
    const json_t *messages = json_object_get(v, "messages");
    assert_true(json_array_size(messages) > 3);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        if (sessions[0] == NULL && noise_handshake_is_done(p.side[0]))
            split(&p, sessions);
        /* After a handshake of two messages the initiator goes on, as everywhere. */
        vector_message(&p, sessions, i, json_array_get(messages, i));
    }
    struct hex hash;
    if (hex_of(&hash, json_object_get(v, "handshake_hash")) != NULL)
        assert_memory_equal(noise_session_hash(sessions[0]), hash.data, NOISE_KEY_SIZE);
    sessions_destroy(sessions);
    pair_destroy(&p);
}

static json_t *load_vectors(void)
{
    const char *shared = getenv("WARREN_SHARED");
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/vectors/noise/chachapoly-blake2s.json",
                   shared != NULL ? shared : WARREN_SHARED);
    return json_load_file(path, 0, NULL);
}

static void test_published_vectors(void **state)
{
    (void)state;
    json_t *root = load_vectors();
    if (root == NULL) {
        printf("skipped: vectors/noise is not beside this source tree (set WARREN_SHARED)\n");
        skip();
    }
    size_t seen[NOISE_PATTERN_COUNT] = {0};
    const json_t *vectors = json_object_get(root, "vectors");
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *v = json_array_get(vectors, i);
        const char *name = json_string_value(json_object_get(v, "protocol_name"));
        enum noise_pattern pattern = 0;
        while (pattern < NOISE_PATTERN_COUNT && strcmp(name, noise_pattern_name(pattern)) != 0)
            pattern++;
        if (pattern == NOISE_PATTERN_COUNT)
            fail_msg("a vector of a pattern that is not known: %s", name);
        run_vector(v, pattern);
        seen[pattern]++;
    }
    for (size_t i = 0; i < NOISE_PATTERN_COUNT; i++)
        assert_true(seen[i] > 0);
    json_decref(root);
}

static void test_all_patterns_agree(void **state)
{
    (void)state;
    for (enum noise_pattern pattern = 0; pattern < NOISE_PATTERN_COUNT; pattern++) {
        struct pair p;
        struct noise_session *sessions[2];
        pair_make(&p, pattern);
        assert_true(noise_handshake_writes_next(p.side[0]));
        assert_false(noise_handshake_writes_next(p.side[1]));
        assert_int_equal(run(&p, 0), OK);
        assert_true(noise_handshake_is_done(p.side[0]) && noise_handshake_is_done(p.side[1]));
        assert_false(noise_handshake_writes_next(p.side[0]));
        assert_int_equal(noise_handshake_overhead(p.side[0]), 0);
        for (int i = 0; i < 2; i++) {
            uint8_t key[NOISE_KEY_SIZE];
            (void)crypto_scalarmult_base(key, random_keys[i]);
            assert_memory_equal(noise_handshake_remote_static(p.side[1 - i]), key, sizeof(key));
        }
        split(&p, sessions);
        sessions_destroy(sessions);
        pair_destroy(&p);
    }
}

/* --- refused ---------------------------------------------------------------------------------- */

/* Every byte of every message, with the masks that X25519 ignores among them (the highest bit): at
 * once, or, where it was not yet covered by a tag, by the next message; never accepted. */
static void test_a_changed_byte_is_refused(void **state)
{
    (void)state;
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    for (enum noise_pattern pattern = 0; pattern < NOISE_PATTERN_COUNT; pattern++) {
        for (int message = 0; message < 3; message++) {
            for (size_t at = 0;; at++) {
                struct pair p;
                pair_make(&p, pattern);
                for (int i = 0; i < message; i++)
                    assert_int_equal(step(&p, i % 2, SIZE_MAX, 0), OK);
                bool is_over = noise_handshake_is_done(p.side[0]) ||
                               at >= noise_handshake_overhead(p.side[0]) + 7;
                enum err e = OK;
                if (!is_over) {
                    e = step(&p, message % 2, at, masks[at % 3]);
                    if (e == OK)
                        e = run(&p, message + 1);
                    assert_int_equal(e, ERR_MALFORMED);
                    bool first_dead = noise_handshake_overhead(p.side[0]) == 0;
                    bool second_dead = noise_handshake_overhead(p.side[1]) == 0;
                    assert_true(first_dead || second_dead);
                }
                pair_destroy(&p);
                if (is_over)
                    break;
            }
        }
    }
}

static void test_every_shorter_message_is_refused(void **state)
{
    (void)state;
    for (enum noise_pattern pattern = 0; pattern < NOISE_PATTERN_COUNT; pattern++) {
        for (size_t cut = 0;; cut++) {
            struct pair p;
            uint8_t message[MAX_SIZE], out[MAX_SIZE];
            size_t size, out_size = 99;
            pair_make(&p, pattern);
            assert_int_equal(
                noise_handshake_write(p.side[0], BYTES_EMPTY, message, sizeof(message), &size), OK);
            if (cut < size) {
                assert_int_equal(noise_handshake_read(p.side[1], bytes_of(message, cut), out,
                                                      sizeof(out), &out_size),
                                 ERR_MALFORMED);
                assert_int_equal(out_size, 99);
            }
            pair_destroy(&p);
            if (cut == size)
                break;
        }
    }
}

static void test_a_dead_handshake_stays_dead(void **state)
{
    (void)state;
    struct pair p;
    uint8_t message[MAX_SIZE], out[MAX_SIZE];
    size_t size;
    pair_make(&p, NOISE_IK);
    assert_int_equal(noise_handshake_write(p.side[0], BYTES_EMPTY, message, sizeof(message), &size),
                     OK);
    message[0] ^= 1;
    assert_int_equal(
        noise_handshake_read(p.side[1], bytes_of(message, size), out, sizeof(out), &size),
        ERR_MALFORMED);
    message[0] ^= 1;
    assert_int_equal(
        noise_handshake_read(p.side[1], bytes_of(message, size), out, sizeof(out), &size),
        ERR_CLOSED);
    assert_int_equal(noise_handshake_write(p.side[1], BYTES_EMPTY, out, sizeof(out), &size),
                     ERR_CLOSED);
    assert_false(noise_handshake_is_done(p.side[1]));
    assert_null(noise_handshake_remote_static(p.side[1]));
    pair_destroy(&p);
}

static void test_wrong_psk(void **state)
{
    (void)state;
    static const uint8_t other[NOISE_KEY_SIZE] = {1};
    struct pair p;
    assert_int_equal(pair_create(&p, NOISE_XXPSK3, NULL, other, NULL), OK);
    /* Not before the third message, which has it. */
    assert_int_equal(step(&p, 0, SIZE_MAX, 0), OK);
    assert_int_equal(step(&p, 1, SIZE_MAX, 0), OK);
    assert_int_equal(step(&p, 0, SIZE_MAX, 0), ERR_MALFORMED);
    pair_destroy(&p);
    assert_int_equal(pair_create(&p, NOISE_IKPSK2, NULL, other, NULL), OK);
    assert_int_equal(run(&p, 0), ERR_MALFORMED);
    pair_destroy(&p);
}

static void test_wrong_static_key(void **state)
{
    (void)state;
    uint8_t other[NOISE_KEY_SIZE];
    (void)crypto_scalarmult_base(other, random_keys[4]);
    struct pair p;
    assert_int_equal(pair_create(&p, NOISE_IK, other, NULL, NULL), OK);
    assert_int_equal(step(&p, 0, SIZE_MAX, 0), ERR_MALFORMED);
    pair_destroy(&p);
}

static void test_other_prologue(void **state)
{
    (void)state;
    for (enum noise_pattern pattern = 0; pattern < NOISE_PATTERN_COUNT; pattern++) {
        struct pair p;
        assert_int_equal(pair_create(&p, pattern, NULL, NULL, "cluster 2"), OK);
        assert_int_equal(run(&p, 0), ERR_MALFORMED);
        pair_destroy(&p);
    }
}

/* The points whose multiples are all zero, also in their forms beyond the field's prime. */
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void test_points_of_low_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(low_order); i++) {
        uint8_t point[NOISE_KEY_SIZE], out[MAX_SIZE], message[MAX_SIZE] = {0};
        size_t size;
        struct pair p;
        assert_int_equal(hex_decode(point, low_order[i], 64), OK);
        /* As the responder's static key: our own first message cannot be written. */
        assert_int_equal(pair_create(&p, NOISE_IK, point, NULL, NULL), OK);
        assert_int_equal(noise_handshake_write(p.side[0], BYTES_EMPTY, out, sizeof(out), &size),
                         ERR_MALFORMED);
        /* As an ephemeral key that comes in. */
        memcpy(message, point, sizeof(point));
        assert_int_equal(
            noise_handshake_read(p.side[1], bytes_of(message, 96), out, sizeof(out), &size),
            ERR_MALFORMED);
        pair_destroy(&p);
        /* In XX the first message has no tag: the answer cannot be written. */
        pair_make(&p, NOISE_XX);
        assert_int_equal(
            noise_handshake_read(p.side[1], bytes_of(message, 32), out, sizeof(out), &size), OK);
        assert_int_equal(noise_handshake_write(p.side[1], BYTES_EMPTY, out, sizeof(out), &size),
                         ERR_MALFORMED);
        pair_destroy(&p);
    }
}

static void test_missing_keys(void **state)
{
    (void)state;
    struct noise_handshake *h;
    struct noise_config c = {.pattern = NOISE_IK, .is_initiator = true};
    assert_int_equal(noise_handshake_create(&h, &c), ERR_INVALID);
    c.static_private = c.ephemeral_private = random_keys[0];
    assert_int_equal(noise_handshake_create(&h, &c), ERR_INVALID); /* no remote key */
    c.pattern = NOISE_XXPSK3;
    assert_int_equal(noise_handshake_create(&h, &c), ERR_INVALID); /* no PSK */
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void test_handshake_message_bounds(void **state)
{
    (void)state;
    static uint8_t big[NOISE_MAX_MESSAGE_SIZE + 1], out[NOISE_MAX_MESSAGE_SIZE + 1];
    static uint8_t back[NOISE_MAX_MESSAGE_SIZE];
    size_t size = 0, overhead;
    struct pair p;
    pair_make(&p, NOISE_IK);
    overhead = noise_handshake_overhead(p.side[0]);
    assert_int_equal(overhead, 96);
    assert_int_equal(noise_handshake_write(p.side[0],
                                           bytes_of(big, NOISE_MAX_MESSAGE_SIZE - overhead + 1),
                                           out, sizeof(out), &size),
                     ERR_LIMIT);
    struct bytes largest = bytes_of(big, NOISE_MAX_MESSAGE_SIZE - overhead);
    assert_int_equal(
        noise_handshake_write(p.side[0], largest, out, NOISE_MAX_MESSAGE_SIZE - 1, &size),
        ERR_NO_SPACE);
    assert_int_equal(noise_handshake_write(p.side[0], largest, out, sizeof(out), &size), OK);
    assert_int_equal(size, NOISE_MAX_MESSAGE_SIZE);
    assert_int_equal(noise_handshake_read(p.side[1], bytes_of(out, size), back, 10, &size),
                     ERR_NO_SPACE);
    assert_int_equal(
        noise_handshake_read(p.side[1], bytes_of(out, size), back, sizeof(back), &size), OK);
    assert_int_equal(size, largest.size);
    pair_destroy(&p);
    pair_make(&p, NOISE_IK);
    assert_int_equal(noise_handshake_read(p.side[1], bytes_of(out, NOISE_MAX_MESSAGE_SIZE + 1),
                                          back, sizeof(back), &size),
                     ERR_MALFORMED);
    pair_destroy(&p);
}

static void test_session_message_bounds(void **state)
{
    (void)state;
    static uint8_t data[NOISE_MAX_MESSAGE_SIZE + 1];
    struct noise_session *s[2];
    sessions_make(s);
    assert_int_equal(
        noise_encrypt(s[0], BYTES_EMPTY, bytes_of(data, NOISE_MAX_PAYLOAD_SIZE + 1), data),
        ERR_LIMIT);
    assert_int_equal(noise_encrypt(s[0], BYTES_EMPTY, bytes_of(data, NOISE_MAX_PAYLOAD_SIZE), data),
                     OK);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(data, NOISE_MAX_MESSAGE_SIZE), data),
                     OK);
    for (size_t i = 0; i < NOISE_MAX_PAYLOAD_SIZE; i++)
        assert_int_equal(data[i], 0);
    for (size_t size = 0; size < NOISE_TAG_SIZE; size++)
        assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(data, size), data),
                         ERR_MALFORMED);
    assert_int_equal(
        noise_decrypt(s[1], BYTES_EMPTY, bytes_of(data, NOISE_MAX_MESSAGE_SIZE + 1), data),
        ERR_MALFORMED);
    sessions_destroy(s);
}

static void test_session_refuses_changed_replayed_and_reordered(void **state)
{
    (void)state;
    struct noise_session *s[2];
    uint8_t first[20], second[20], out[20];
    sessions_make(s);
    assert_int_equal(noise_encrypt(s[0], bytes_of("ad", 2), bytes_of("1234", 4), first), OK);
    assert_int_equal(noise_encrypt(s[0], BYTES_EMPTY, bytes_of("5678", 4), second), OK);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(second, 20), out), ERR_MALFORMED);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(first, 20), out), ERR_MALFORMED);
    for (size_t i = 0; i < sizeof(first); i++) {
        first[i] ^= 1;
        assert_int_equal(noise_decrypt(s[1], bytes_of("ad", 2), bytes_of(first, 20), out),
                         ERR_MALFORMED);
        first[i] ^= 1;
    }
    assert_int_equal(noise_decrypt(s[1], bytes_of("ad", 2), bytes_of(first, 20), out), OK);
    assert_int_equal(noise_decrypt(s[1], bytes_of("ad", 2), bytes_of(first, 20), out),
                     ERR_MALFORMED);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(second, 20), out), OK);
    /* A side does not read what it wrote. */
    assert_int_equal(noise_encrypt(s[0], BYTES_EMPTY, bytes_of("1234", 4), first), OK);
    assert_int_equal(noise_decrypt(s[0], BYTES_EMPTY, bytes_of(first, 20), out), ERR_MALFORMED);
    sessions_destroy(s);
}

static void test_nonces_run_out(void **state)
{
    (void)state;
    struct noise_session *s[2];
    uint8_t message[20], out[20];
    sessions_make(s);
    noise_set_send_nonce(s[0], UINT64_MAX - 1);
    noise_set_receive_nonce(s[1], UINT64_MAX - 1);
    assert_int_equal(noise_encrypt(s[0], BYTES_EMPTY, bytes_of("last", 4), message), OK);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(message, 20), out), OK);
    assert_int_equal(noise_encrypt(s[0], BYTES_EMPTY, bytes_of("more", 4), message), ERR_LIMIT);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(message, 20), out), ERR_LIMIT);
    sessions_destroy(s);
}

static void test_rekey(void **state)
{
    (void)state;
    struct noise_session *s[2];
    uint8_t message[20], out[20];
    sessions_make(s);
    noise_rekey_send(s[0]);
    assert_int_equal(noise_encrypt(s[0], BYTES_EMPTY, bytes_of("1234", 4), message), OK);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(message, 20), out), ERR_MALFORMED);
    noise_rekey_receive(s[1]);
    assert_int_equal(noise_decrypt(s[1], BYTES_EMPTY, bytes_of(message, 20), out), OK);
    /* The other direction has its own key. */
    assert_int_equal(noise_encrypt(s[1], BYTES_EMPTY, bytes_of("1234", 4), message), OK);
    assert_int_equal(noise_decrypt(s[0], BYTES_EMPTY, bytes_of(message, 20), out), OK);
    sessions_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_all_patterns_agree),
        cmocka_unit_test(test_a_changed_byte_is_refused),
        cmocka_unit_test(test_every_shorter_message_is_refused),
        cmocka_unit_test(test_a_dead_handshake_stays_dead),
        cmocka_unit_test(test_wrong_psk),
        cmocka_unit_test(test_wrong_static_key),
        cmocka_unit_test(test_other_prologue),
        cmocka_unit_test(test_points_of_low_order),
        cmocka_unit_test(test_missing_keys),
        cmocka_unit_test(test_handshake_message_bounds),
        cmocka_unit_test(test_session_message_bounds),
        cmocka_unit_test(test_session_refuses_changed_replayed_and_reordered),
        cmocka_unit_test(test_nonces_run_out),
        cmocka_unit_test(test_rekey),
    };
    for (size_t i = 0; i < ARRAY_COUNT(random_keys); i++)
        memset(random_keys[i], (int)i + 1, NOISE_KEY_SIZE);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
