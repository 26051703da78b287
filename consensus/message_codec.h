/* Raft's messages as bytes, for the link between members.
 *
 *     version u8 = 1 | type u8 (core/message.h's number) | flags u8 (1: reject, 2: context)
 *     | to, from, term, log term, index, commit, reject hint: u64 each
 *     | context: size u32, bytes (if flagged)
 *     | count u32 | entries: type u8, flags u8 (1: payload), term u64, index u64,
 *                            and if flagged size u32, bytes
 *     | for a snapshot's: index u64, term u64, auto leave u8,
 *                         4 sets (voters, outgoing, learners, learners next): count u8, ids u64
 *
 * The term of a proposal that is handed on is the one in which its receiver leads. Integers are
 * big-endian. There is one encoding of a message. Only types that may cross the
 * network have one. Bytes are hostile: no count sizes an allocation before as many bytes are seen;
 * what the fields say is for the core to judge. */
#ifndef WARREN_CONSENSUS_MESSAGE_CODEC_H
#define WARREN_CONSENSUS_MESSAGE_CODEC_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "core/message.h"

enum {
    MESSAGE_CODEC_VERSION = 1,
    MESSAGE_CODEC_OVERHEAD = 96, /* bytes at most besides payloads, entries, ids of a snapshot */
};

/* Appends M, whose type may cross the network; OUT may have failed for lack of memory. */
void message_encode(struct strbuf *out, const struct raft_message *m);
/* ERR_MALFORMED; ERR_UNSUPPORTED: another version; ERR_NO_MEMORY. OUT owns what it holds. */
enum err message_decode(struct raft_message *out, struct bytes bytes) MUST_CHECK;

#endif
