#include "tests/sim/raft/machine.h"

#include "tests/sim/raft/random.h"

static uint64_t key_hash(const struct machine *m, unsigned key)
{
    if (m->keys[key].revision == 0)
        return 0;
    return mix2(key, mix2(m->keys[key].value, m->keys[key].revision));
}

static uint64_t session_hash(const struct machine *m, unsigned session)
{
    if (m->sessions[session].sequence == 0)
        return 0;
    return mix2(1000 + session, mix2(m->sessions[session].sequence, m->sessions[session].result));
}

static void set_key(struct machine *m, unsigned key, uint64_t value)
{
    m->content ^= key_hash(m, key);
    m->keys[key].value = value;
    m->keys[key].revision = ++m->revision;
    m->content ^= key_hash(m, key);
}

static uint64_t execute(struct machine *m, const struct command *c)
{
    unsigned key = c->key % MACHINE_KEYS;
    uint64_t before = m->keys[key].value;
    switch (c->kind) {
    case COMMAND_PUT:
        set_key(m, key, c->value);
        break;
    case COMMAND_ADD:
        set_key(m, key, before + c->value);
        break;
    case COMMAND_SWAP:
        if (before != c->expected)
            return UINT64_MAX;
        set_key(m, key, c->value);
        break;
    }
    return m->revision;
}

enum machine_verdict machine_apply(struct machine *m, const struct command *c)
{
    m->applied++;
    if (c == NULL)
        return MACHINE_NOTHING;
    unsigned s = c->client % MACHINE_SESSIONS;
    if (c->sequence == m->sessions[s].sequence)
        return MACHINE_REPEATED;
    if (c->sequence < m->sessions[s].sequence)
        return MACHINE_STALE;
    uint64_t result = execute(m, c);
    m->content ^= session_hash(m, s);
    m->sessions[s].sequence = c->sequence;
    m->sessions[s].result = result;
    m->content ^= session_hash(m, s);
    return MACHINE_DONE;
}

uint64_t machine_content(const struct machine *m)
{
    uint64_t content = 0;
    for (unsigned i = 0; i < MACHINE_KEYS; i++)
        content ^= key_hash(m, i);
    for (unsigned i = 0; i < MACHINE_SESSIONS; i++)
        content ^= session_hash(m, i);
    return content;
}

uint64_t machine_hash(const struct machine *m)
{
    return mix2(m->applied, mix2(m->revision, m->content));
}
