/* Frames: what a record holds once it is decrypted. docs/member-protocol.md. Pure but for the
 * memory in which a message of several frames is put together.
 *
 * A frame comes from a member, which may be broken or hostile: every size is checked before it
 * sizes anything, and memory grows with the bytes that came, not with what was announced. */
#ifndef WARREN_CONSENSUS_TRANSPORT_FRAME_H
#define WARREN_CONSENSUS_TRANSPORT_FRAME_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/noise.h"

#include <stdbool.h>
#include <stdint.h>

enum frame_kind {
    FRAME_HELLO = 1,
    FRAME_MESSAGE = 2, /* the beginning of a message, often all of it */
    FRAME_MORE = 3,    /* of the message that was begun */
    FRAME_PING = 4,
    FRAME_PONG = 5,
    FRAME_CREDIT = 6, /* bulk: so much more may be sent */
    FRAME_CLOSE = 7,  /* the last frame, and why */
    /* From here on: to be ignored by who does not know them. */
    FRAME_FIRST_OPTIONAL = 128,
};

enum {
    FRAME_MAX_SIZE = NOISE_MAX_PAYLOAD_SIZE,
    FRAME_MESSAGE_HEADER_SIZE = 7,
    FRAME_MORE_HEADER_SIZE = 1,
    FRAME_HELLO_SIZE = 21,
    FRAME_MAX_CONTROL_SIZE = FRAME_HELLO_SIZE,
};

/* What each side tells first. */
struct hello {
    uint16_t version_min, version_max;
    uint64_t features;
    uint32_t message_limit; /* bytes of the largest message taken */
    uint32_t window;        /* bulk: the first credit; else 0 */
};

/* The version both use: the lower of the two highest. False: they have none in common. */
bool hello_agree(const struct hello *ours, const struct hello *theirs, uint16_t *version);

struct frame_reader {
    uint32_t message_limit;
    bool is_bulk;
    uint32_t window_left; /* bulk: what the other side may still send */
    bool is_greeted;
    bool is_closed;
    bool in_message;
    uint16_t type;
    uint32_t size;   /* of the message */
    uint32_t filled; /* of it, in `data` */
    uint8_t *data;
    size_t capacity;
};

/* One frame, read. */
struct frame {
    uint8_t kind;         /* enum frame_kind; 0: nothing that the caller has to act on */
    struct hello hello;   /* FRAME_HELLO */
    uint16_t type;        /* FRAME_MESSAGE: the message is complete */
    struct bytes message; /* likewise; borrowed until the next frame_read or frame_reader_fini */
    uint32_t credit;      /* FRAME_CREDIT */
    uint8_t reason;       /* FRAME_CLOSE */
};

/* WINDOW is not used where not IS_BULK. */
void frame_reader_init(struct frame_reader *r, uint32_t message_limit, bool is_bulk,
                       uint32_t window);
void frame_reader_fini(struct frame_reader *r);
/* Reads the frame that is PLAIN. ERR_MALFORMED: it is none, or none that may come now, or more than
 * a bound; the connection is over. ERR_NO_MEMORY. */
enum err frame_read(struct frame_reader *r, struct bytes plain, struct frame *out) MUST_CHECK;
/* The owner took COST bytes: the other side is told that it may send them again. */
void frame_reader_give_credit(struct frame_reader *r, uint32_t cost);

void frame_write_hello(struct writer *w, const struct hello *hello);
/* With as much of BODY as fits into a frame; gives how much. */
size_t frame_write_message(struct writer *w, uint16_t type, struct bytes body);
/* The rest of BODY from OFFSET on, likewise. */
size_t frame_write_more(struct writer *w, struct bytes body, size_t offset);
void frame_write_ping(struct writer *w);
void frame_write_pong(struct writer *w);
void frame_write_credit(struct writer *w, uint32_t credit);
void frame_write_close(struct writer *w, uint8_t reason);

#endif
