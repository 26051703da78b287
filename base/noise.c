#include "base/noise.h"

#include <assert.h>
#include <blake2.h>
#include <sodium.h>
#include <string.h>

enum {
    HASH_BLOCK_SIZE = 64, /* BLAKE2s, for HMAC */
    MAX_MESSAGES = 3,
    MAX_TOKENS = 5,
    /* What a key agreement or a hash may leave below our frame. */
    STACK_WIPE_SIZE = 4096,
};

/* --- patterns (sections 7 and 9) -------------------------------------------------------------- */

enum token {
    TOKEN_END = 0,
    TOKEN_E,
    TOKEN_S,
    TOKEN_EE,
    TOKEN_ES,
    TOKEN_SE,
    TOKEN_SS,
    TOKEN_PSK,
};

struct pattern {
    char name[40];        /* no pointer: the table is constant also where code is relocated */
    bool knows_responder; /* pre-message "<- s" */
    bool has_psk;
    uint8_t message_count;
    uint8_t messages[MAX_MESSAGES][MAX_TOKENS]; /* enum token */
};

static const struct pattern patterns[NOISE_PATTERN_COUNT] = {
    [NOISE_XX] = {"Noise_XX_25519_ChaChaPoly_BLAKE2s",
                  false,
                  false,
                  3,
                  {{TOKEN_E}, {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES}, {TOKEN_S, TOKEN_SE}}},
    [NOISE_XXPSK3] = {"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s",
                      false,
                      true,
                      3,
                      {{TOKEN_E},
                       {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES},
                       {TOKEN_S, TOKEN_SE, TOKEN_PSK}}},
    [NOISE_IK] = {"Noise_IK_25519_ChaChaPoly_BLAKE2s",
                  true,
                  false,
                  2,
                  {{TOKEN_E, TOKEN_ES, TOKEN_S, TOKEN_SS}, {TOKEN_E, TOKEN_EE, TOKEN_SE}}},
    [NOISE_IKPSK2] = {"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
                      true,
                      true,
                      2,
                      {{TOKEN_E, TOKEN_ES, TOKEN_S, TOKEN_SS},
                       {TOKEN_E, TOKEN_EE, TOKEN_SE, TOKEN_PSK}}},
};

const char *noise_pattern_name(enum noise_pattern pattern)
{
    return patterns[pattern].name;
}

bool noise_pattern_has_psk(enum noise_pattern pattern)
{
    return patterns[pattern].has_psk;
}

/* --- what is in locked memory ----------------------------------------------------------------- */

struct cipher {
    uint8_t key[NOISE_KEY_SIZE];
    uint64_t nonce;
};

/* Intermediate secrets are members, not locals, so that they are wiped with all the rest. */
struct noise_handshake {
    blake2s_state hash_state;
    uint8_t block[HASH_BLOCK_SIZE];
    uint8_t temp_key[NOISE_KEY_SIZE];
    uint8_t outputs[3][NOISE_KEY_SIZE]; /* of HKDF */
    uint8_t shared[NOISE_KEY_SIZE];     /* of a Diffie-Hellman */

    uint8_t chaining_key[NOISE_KEY_SIZE];
    uint8_t hash[NOISE_KEY_SIZE];
    struct cipher cipher;
    bool has_key;

    uint8_t static_private[NOISE_KEY_SIZE];
    uint8_t static_public[NOISE_KEY_SIZE];
    uint8_t ephemeral_private[NOISE_KEY_SIZE];
    uint8_t ephemeral_public[NOISE_KEY_SIZE];
    uint8_t remote_static[NOISE_KEY_SIZE];
    uint8_t remote_ephemeral[NOISE_KEY_SIZE];
    uint8_t psk[NOISE_KEY_SIZE];
    bool has_remote_static;

    const struct pattern *pattern;
    bool is_initiator;
    bool is_dead;
    uint8_t message; /* the next one */
};

struct noise_session {
    struct cipher send;
    struct cipher receive;
    uint8_t hash[NOISE_KEY_SIZE];
};

/* Memory from sodium_malloc ends at the end of a page: it is aligned as its size is. */
_Static_assert(sizeof(struct noise_handshake) % _Alignof(struct noise_handshake) == 0 &&
                   sizeof(struct noise_handshake) % 8 == 0 && sizeof(struct noise_session) % 8 == 0,
               "sizes that keep sodium_malloc's memory aligned");

/* --- cipher (section 5.1) --------------------------------------------------------------------- */

/* Section 12.3: 32 zero bits, then the nonce, little-endian. */
static void nonce_bytes(uint8_t out[static 12], uint64_t nonce)
{
    memset(out, 0, 4);
    for (size_t i = 0; i < 8; i++)
        out[4 + i] = (uint8_t)(nonce >> (8 * i));
}

static enum err cipher_encrypt(struct cipher *c, struct bytes ad, struct bytes plain, uint8_t *out)
{
    if (c->nonce == UINT64_MAX || plain.size > NOISE_MAX_PAYLOAD_SIZE)
        return ERR_LIMIT;
    uint8_t nonce[12];
    nonce_bytes(nonce, c->nonce);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.data, plain.size, ad.data,
                                                    ad.size, NULL, nonce, c->key);
    c->nonce++;
    return OK;
}

static enum err cipher_decrypt(struct cipher *c, struct bytes ad, struct bytes message,
                               uint8_t *out)
{
    if (c->nonce == UINT64_MAX)
        return ERR_LIMIT;
    if (message.size < NOISE_TAG_SIZE || message.size > NOISE_MAX_MESSAGE_SIZE)
        return ERR_MALFORMED;
    uint8_t nonce[12];
    nonce_bytes(nonce, c->nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, message.data, message.size,
                                                  ad.data, ad.size, nonce, c->key) != 0)
        return ERR_MALFORMED;
    c->nonce++;
    return OK;
}

/* The first 32 bytes of the encryption of zeros under the last nonce. */
static void cipher_rekey(struct cipher *c)
{
    uint8_t nonce[12], block[NOISE_KEY_SIZE + NOISE_TAG_SIZE] = {0};
    nonce_bytes(nonce, UINT64_MAX);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(block, NULL, block, NOISE_KEY_SIZE, NULL, 0,
                                                    NULL, nonce, c->key);
    memcpy(c->key, block, NOISE_KEY_SIZE);
    sodium_memzero(block, sizeof(block));
}

/* --- hash, HMAC, HKDF (sections 4.3 and 12.8) ------------------------------------------------- */

static void hash_update(struct noise_handshake *h, const void *data, size_t size)
{
    if (size > 0)
        (void)blake2s_update(&h->hash_state, data, size);
}

static void hash_final(struct noise_handshake *h, uint8_t out[static NOISE_KEY_SIZE])
{
    (void)blake2s_final(&h->hash_state, out, NOISE_KEY_SIZE);
}

static void hash_start(struct noise_handshake *h)
{
    (void)blake2s_init(&h->hash_state, NOISE_KEY_SIZE);
}

static void hmac_pad(struct noise_handshake *h, const uint8_t key[static NOISE_KEY_SIZE],
                     uint8_t pad)
{
    memset(h->block, pad, sizeof(h->block));
    for (size_t i = 0; i < NOISE_KEY_SIZE; i++)
        h->block[i] ^= key[i];
    hash_start(h);
    hash_update(h, h->block, sizeof(h->block));
}

/* OUT = HMAC-BLAKE2s(KEY, A || B); OUT may be A's. */
static void hmac(struct noise_handshake *h, const uint8_t key[static NOISE_KEY_SIZE],
                 struct bytes a, struct bytes b, uint8_t out[static NOISE_KEY_SIZE])
{
    hmac_pad(h, key, 0x36);
    hash_update(h, a.data, a.size);
    hash_update(h, b.data, b.size);
    hash_final(h, out);
    hmac_pad(h, key, 0x5c);
    hash_update(h, out, NOISE_KEY_SIZE);
    hash_final(h, out);
}

/* COUNT outputs into h->outputs. */
static void hkdf(struct noise_handshake *h, struct bytes input, size_t count)
{
    hmac(h, h->chaining_key, input, BYTES_EMPTY, h->temp_key);
    struct bytes previous = BYTES_EMPTY;
    for (size_t i = 0; i < count; i++) {
        uint8_t number = (uint8_t)(i + 1);
        hmac(h, h->temp_key, previous, bytes_of(&number, 1), h->outputs[i]);
        previous = bytes_of(h->outputs[i], NOISE_KEY_SIZE);
    }
}

/* --- symmetric state (section 5.2) ------------------------------------------------------------ */

static void mix_hash(struct noise_handshake *h, const void *data, size_t size)
{
    hash_start(h);
    hash_update(h, h->hash, sizeof(h->hash));
    hash_update(h, data, size);
    hash_final(h, h->hash);
}

static void set_key(struct noise_handshake *h, const uint8_t key[static NOISE_KEY_SIZE])
{
    memcpy(h->cipher.key, key, NOISE_KEY_SIZE);
    h->cipher.nonce = 0;
    h->has_key = true;
}

static void mix_key(struct noise_handshake *h, struct bytes input)
{
    hkdf(h, input, 2);
    memcpy(h->chaining_key, h->outputs[0], NOISE_KEY_SIZE);
    set_key(h, h->outputs[1]);
}

static void mix_key_and_hash(struct noise_handshake *h, struct bytes input)
{
    hkdf(h, input, 3);
    memcpy(h->chaining_key, h->outputs[0], NOISE_KEY_SIZE);
    mix_hash(h, h->outputs[1], NOISE_KEY_SIZE);
    set_key(h, h->outputs[2]);
}

/* Gives how many bytes it wrote. The cipher's nonce is far from its end within a handshake. */
static size_t encrypt_and_hash(struct noise_handshake *h, struct bytes plain, uint8_t *out)
{
    size_t size = plain.size;
    if (h->has_key) {
        enum err e = cipher_encrypt(&h->cipher, bytes_of(h->hash, sizeof(h->hash)), plain, out);
        assert(e == OK);
        size += NOISE_TAG_SIZE;
    } else if (size > 0)
        memcpy(out, plain.data, size);
    mix_hash(h, out, size);
    return size;
}

static enum err decrypt_and_hash(struct noise_handshake *h, struct bytes message, uint8_t *out)
{
    if (h->has_key) {
        enum err e = cipher_decrypt(&h->cipher, bytes_of(h->hash, sizeof(h->hash)), message, out);
        if (e != OK)
            return ERR_MALFORMED;
    } else if (message.size > 0)
        memcpy(out, message.data, message.size);
    mix_hash(h, message.data, message.size);
    return OK;
}

/* --- the handshake (section 5.3) -------------------------------------------------------------- */

static const uint8_t *tokens(const struct noise_handshake *h)
{
    return h->pattern->messages[h->message];
}

bool noise_handshake_is_done(const struct noise_handshake *h)
{
    return !h->is_dead && h->message == h->pattern->message_count;
}

bool noise_handshake_writes_next(const struct noise_handshake *h)
{
    return !h->is_dead && h->message < h->pattern->message_count &&
           (h->message % 2 == 0) == h->is_initiator;
}

size_t noise_handshake_overhead(const struct noise_handshake *h)
{
    if (h->is_dead || h->message == h->pattern->message_count)
        return 0;
    bool has_key = h->has_key;
    size_t size = 0;
    for (size_t i = 0; i < MAX_TOKENS && tokens(h)[i] != TOKEN_END; i++) {
        switch ((enum token)tokens(h)[i]) {
        case TOKEN_E:
            size += NOISE_KEY_SIZE;
            has_key = has_key || h->pattern->has_psk;
            break;
        case TOKEN_S:
            size += NOISE_KEY_SIZE + (has_key ? NOISE_TAG_SIZE : 0U);
            break;
        case TOKEN_EE:
        case TOKEN_ES:
        case TOKEN_SE:
        case TOKEN_SS:
        case TOKEN_PSK:
            has_key = true;
            break;
        case TOKEN_END:
            break;
        }
    }
    return size + (has_key ? NOISE_TAG_SIZE : 0U);
}

const uint8_t *noise_handshake_remote_static(const struct noise_handshake *h)
{
    return h->has_remote_static ? h->remote_static : NULL;
}

/* A result of zero is what a point of low order gives, whatever our key: refused. */
static enum err agree(struct noise_handshake *h, const uint8_t private_key[static NOISE_KEY_SIZE],
                      const uint8_t public_key[static NOISE_KEY_SIZE])
{
    if (crypto_scalarmult(h->shared, private_key, public_key) != 0)
        return ERR_MALFORMED;
    mix_key(h, bytes_of(h->shared, sizeof(h->shared)));
    return OK;
}

static enum err mix_token(struct noise_handshake *h, enum token token)
{
    bool ours = h->is_initiator;
    switch (token) {
    case TOKEN_EE:
        return agree(h, h->ephemeral_private, h->remote_ephemeral);
    case TOKEN_ES:
        return ours ? agree(h, h->ephemeral_private, h->remote_static)
                    : agree(h, h->static_private, h->remote_ephemeral);
    case TOKEN_SE:
        return ours ? agree(h, h->static_private, h->remote_ephemeral)
                    : agree(h, h->ephemeral_private, h->remote_static);
    case TOKEN_SS:
        return agree(h, h->static_private, h->remote_static);
    case TOKEN_PSK:
        mix_key_and_hash(h, bytes_of(h->psk, sizeof(h->psk)));
        return OK;
    case TOKEN_END:
    case TOKEN_E:
    case TOKEN_S:
        break;
    }
    assert(false); /* a token that is no key agreement */
    return ERR_INVALID;
}

/* Section 9.2: where there is a PSK, ephemeral keys go into the chaining key too. */
static void mix_ephemeral(struct noise_handshake *h, const uint8_t key[static NOISE_KEY_SIZE])
{
    mix_hash(h, key, NOISE_KEY_SIZE);
    if (h->pattern->has_psk)
        mix_key(h, bytes_of(key, NOISE_KEY_SIZE));
}

static enum err kill_handshake(struct noise_handshake *h)
{
    sodium_memzero(h, sizeof(*h));
    h->is_dead = true;
    return ERR_MALFORMED;
}

static enum err write_tokens(struct noise_handshake *h, uint8_t **out)
{
    enum err e = OK;
    for (size_t i = 0; i < MAX_TOKENS && tokens(h)[i] != TOKEN_END && e == OK; i++) {
        enum token token = tokens(h)[i];
        if (token == TOKEN_E) {
            memcpy(*out, h->ephemeral_public, NOISE_KEY_SIZE);
            mix_ephemeral(h, h->ephemeral_public);
            *out += NOISE_KEY_SIZE;
        } else if (token == TOKEN_S) {
            *out += encrypt_and_hash(h, bytes_of(h->static_public, NOISE_KEY_SIZE), *out);
        } else
            e = mix_token(h, token);
    }
    return e;
}

enum err noise_handshake_write(struct noise_handshake *h, struct bytes payload, uint8_t *out,
                               size_t capacity, size_t *size)
{
    if (h->is_dead)
        return ERR_CLOSED;
    assert(noise_handshake_writes_next(h));
    size_t overhead = noise_handshake_overhead(h);
    if (payload.size > NOISE_MAX_MESSAGE_SIZE - overhead)
        return ERR_LIMIT;
    if (overhead + payload.size > capacity)
        return ERR_NO_SPACE;
    uint8_t *at = out;
    enum err e = write_tokens(h, &at);
    if (e == OK) {
        at += encrypt_and_hash(h, payload, at);
        assert((size_t)(at - out) == overhead + payload.size);
        h->message++;
        *size = overhead + payload.size;
    } else
        e = kill_handshake(h);
    sodium_stackzero(STACK_WIPE_SIZE);
    return e;
}

static enum err read_static(struct noise_handshake *h, const uint8_t **in)
{
    size_t size = NOISE_KEY_SIZE + (h->has_key ? NOISE_TAG_SIZE : 0U);
    enum err e = decrypt_and_hash(h, bytes_of(*in, size), h->remote_static);
    h->has_remote_static = e == OK;
    *in += size;
    return e;
}

static enum err read_tokens(struct noise_handshake *h, const uint8_t **in)
{
    enum err e = OK;
    for (size_t i = 0; i < MAX_TOKENS && tokens(h)[i] != TOKEN_END && e == OK; i++) {
        enum token token = tokens(h)[i];
        if (token == TOKEN_E) {
            memcpy(h->remote_ephemeral, *in, NOISE_KEY_SIZE);
            mix_ephemeral(h, h->remote_ephemeral);
            *in += NOISE_KEY_SIZE;
        } else if (token == TOKEN_S)
            e = read_static(h, in);
        else
            e = mix_token(h, token);
    }
    return e;
}

enum err noise_handshake_read(struct noise_handshake *h, struct bytes message, uint8_t *out,
                              size_t capacity, size_t *size)
{
    if (h->is_dead)
        return ERR_CLOSED;
    assert(h->message < h->pattern->message_count && !noise_handshake_writes_next(h));
    size_t overhead = noise_handshake_overhead(h);
    if (message.size < overhead || message.size > NOISE_MAX_MESSAGE_SIZE)
        return kill_handshake(h);
    if (message.size - overhead > capacity)
        return ERR_NO_SPACE;
    const uint8_t *at = message.data;
    enum err e = read_tokens(h, &at);
    if (e == OK)
        e = decrypt_and_hash(h, bytes_of(at, (size_t)(message.data + message.size - at)), out);
    if (e == OK) {
        h->message++;
        *size = message.size - overhead;
    } else
        e = kill_handshake(h);
    sodium_stackzero(STACK_WIPE_SIZE);
    return e;
}

/* Section 5.2, InitializeSymmetric: a name of more than 32 bytes is hashed. */
static void start_symmetric(struct noise_handshake *h, struct bytes prologue)
{
    hash_start(h);
    hash_update(h, h->pattern->name, strlen(h->pattern->name));
    hash_final(h, h->hash);
    memcpy(h->chaining_key, h->hash, sizeof(h->hash));
    mix_hash(h, prologue.data, prologue.size);
    if (h->pattern->knows_responder)
        mix_hash(h, h->is_initiator ? h->remote_static : h->static_public, NOISE_KEY_SIZE);
}

enum err noise_handshake_create(struct noise_handshake **out, const struct noise_config *config)
{
    const struct pattern *pattern = &patterns[config->pattern];
    bool needs_remote = pattern->knows_responder && config->is_initiator;
    if (config->static_private == NULL || config->ephemeral_private == NULL ||
        (needs_remote && config->remote_static == NULL) ||
        (pattern->has_psk && config->psk == NULL))
        return ERR_INVALID;
    if (sodium_init() < 0)
        return ERR_UNSUPPORTED;
    struct noise_handshake *h = sodium_malloc(sizeof(*h));
    if (h == NULL)
        return ERR_NO_MEMORY;
    sodium_memzero(h, sizeof(*h));
    h->pattern = pattern;
    h->is_initiator = config->is_initiator;
    memcpy(h->static_private, config->static_private, NOISE_KEY_SIZE);
    memcpy(h->ephemeral_private, config->ephemeral_private, NOISE_KEY_SIZE);
    (void)crypto_scalarmult_base(h->static_public, h->static_private);
    (void)crypto_scalarmult_base(h->ephemeral_public, h->ephemeral_private);
    if (needs_remote) {
        memcpy(h->remote_static, config->remote_static, NOISE_KEY_SIZE);
        h->has_remote_static = true;
    }
    if (pattern->has_psk)
        memcpy(h->psk, config->psk, NOISE_KEY_SIZE);
    start_symmetric(h, config->prologue);
    sodium_stackzero(STACK_WIPE_SIZE);
    *out = h;
    return OK;
}

void noise_handshake_destroy(struct noise_handshake *h)
{
    sodium_free(h); /* wipes */
}

/* --- the session ------------------------------------------------------------------------------ */

enum err noise_handshake_split(const struct noise_handshake *done, struct noise_session **out)
{
    assert(noise_handshake_is_done(done));
    struct noise_session *s = sodium_malloc(sizeof(*s));
    struct noise_handshake *h = sodium_malloc(sizeof(*h)); /* to compute in */
    if (s == NULL || h == NULL) {
        sodium_free(s);
        sodium_free(h);
        return ERR_NO_MEMORY;
    }
    memcpy(h, done, sizeof(*h));
    hkdf(h, BYTES_EMPTY, 2);
    memcpy(s->send.key, h->outputs[h->is_initiator ? 0 : 1], NOISE_KEY_SIZE);
    memcpy(s->receive.key, h->outputs[h->is_initiator ? 1 : 0], NOISE_KEY_SIZE);
    s->send.nonce = s->receive.nonce = 0;
    memcpy(s->hash, h->hash, sizeof(s->hash));
    sodium_free(h);
    sodium_stackzero(STACK_WIPE_SIZE);
    *out = s;
    return OK;
}

void noise_session_destroy(struct noise_session *s)
{
    sodium_free(s);
}

const uint8_t *noise_session_hash(const struct noise_session *s)
{
    return s->hash;
}

enum err noise_encrypt(struct noise_session *s, struct bytes ad, struct bytes plain, uint8_t *out)
{
    return cipher_encrypt(&s->send, ad, plain, out);
}

enum err noise_decrypt(struct noise_session *s, struct bytes ad, struct bytes message, uint8_t *out)
{
    return cipher_decrypt(&s->receive, ad, message, out);
}

void noise_rekey_send(struct noise_session *s)
{
    cipher_rekey(&s->send);
}

void noise_rekey_receive(struct noise_session *s)
{
    cipher_rekey(&s->receive);
}

void noise_set_send_nonce(struct noise_session *s, uint64_t nonce)
{
    s->send.nonce = nonce;
}

void noise_set_receive_nonce(struct noise_session *s, uint64_t nonce)
{
    s->receive.nonce = nonce;
}
