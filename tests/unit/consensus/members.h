/* Members of a cluster in one process, over loopback, for tests of the transport; and a puppet: a
 * member whose every byte the test decides. */
#ifndef WARREN_TESTS_CONSENSUS_MEMBERS_H
#define WARREN_TESTS_CONSENSUS_MEMBERS_H

#include "base/noise.h"
#include "base/strbuf.h"
#include "consensus/transport.h"

#include <uv.h>

enum {
    MAX_MEMBERS = 4,
    CLUSTER_ID = 0xc1,
};

struct world;

struct member {
    struct world *world;
    uint64_t id;
    struct transport *t;
    struct member_key *key;
    struct transport_config config; /* for the next start */
    struct ip_endpoint listen;      /* the port stays over restarts */
    struct transport_address address;

    /* What it heard. */
    size_t received, received_size;
    uint64_t from;
    uint16_t type;
    uint8_t first_byte;
    size_t bulk_received, bulk_received_size;
    size_t drained;
    size_t connects[TRANSPORT_STREAM_COUNT], losts[TRANSPORT_STREAM_COUNT];
    bool is_connected[TRANSPORT_STREAM_COUNT];
    enum transport_reason lost_why, refused_why;
    size_t refusals;
    struct transport_agreed agreed;
    size_t keys_shown;
    uint8_t shown[MEMBER_KEY_SIZE];
    struct strbuf log;
    size_t log_lines;

    /* What it does. */
    bool refuses_keys;
    enum err bulk_answer;
    uint64_t removed_id;
    void (*on_received)(struct member *m, uint16_t type, struct bytes bytes);
    void (*on_bulk)(struct member *m, uint16_t type, struct bytes bytes);
};

struct world {
    uv_loop_t loop;
    struct member members[MAX_MEMBERS];
    size_t count;
    uint8_t psk[MEMBER_KEY_SIZE];
};

/* COUNT members with ids 1, 2, ... that listen and know nobody yet. */
void world_init(struct world *w, size_t count);
void world_fini(struct world *w);
void member_start(struct member *m);
void member_stop(struct member *m);

/* A table for transport_set_members(). */
struct table {
    struct transport_member rows[MAX_MEMBERS + 1];
    size_t count;
};
/* All members; their keys bound if IS_BOUND. */
struct table world_table(struct world *w, bool is_bound);
struct transport_member *table_row(struct table *t, uint64_t id);
void table_remove(struct table *t, uint64_t id);
void member_set(struct member *m, const struct table *t);
/* All members get the table of all, bound. */
void world_join(struct world *w, bool is_bound);

/* Runs the loop until DONE, or fails the test after twenty seconds. */
#define run_until(w, done)                                                                         \
    do {                                                                                           \
        uint64_t began_at = uv_hrtime();                                                           \
        while (!(done)) {                                                                          \
            world_turn(w);                                                                         \
            if (uv_hrtime() - began_at > 20000000000U)                                             \
                fail_msg("still not so after 20 s: %s", #done);                                    \
        }                                                                                          \
    } while (0)
void world_turn(struct world *w);
void world_run_ms(struct world *w, unsigned ms);
bool world_is_connected(const struct world *w);

/* --- a puppet --------------------------------------------------------------------------------- */

struct puppet {
    struct world *world;
    int fd;
    struct noise_session *session;
    uint8_t in[1 << 17];
    size_t in_size;
    bool is_over; /* the other side closed */
};

/* TCP to M. */
void puppet_connect(struct puppet *p, struct member *m);
void puppet_close(struct puppet *p);
void puppet_send(struct puppet *p, const void *data, size_t size);
/* Reads until SIZE bytes are there, or the other side closed. */
void puppet_read(struct puppet *p, size_t size);
void puppet_skip(struct puppet *p, size_t size);
/* Preamble and handshake (IK) as member AS, which is not started; and a hello if SAYS_HELLO. */
void puppet_handshake(struct puppet *p, struct member *as, struct member *to,
                      enum transport_stream stream, bool says_hello);
/* One record with this frame. */
void puppet_send_frame(struct puppet *p, const void *frame, size_t size);
/* The next frame from the other side into OUT; gives its size, 0: it closed. */
size_t puppet_read_frame(struct puppet *p, uint8_t out[static NOISE_MAX_MESSAGE_SIZE]);

#endif
