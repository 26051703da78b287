/* Fuzz target: a server's bytes to warrenctl's gRPC session, in pieces, with a call open. */
#include "registry/cli/grpc.h"

#include "rpc.pb-c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_REPLY = 1 << 20,
    PIECE = 97,
};

static void drain(struct grpc_session *session)
{
    struct bytes out = BYTES_EMPTY;
    while (grpc_pending(session, &out) == OK && out.size > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grpc_session *session;
    struct grpc_stream *stream;
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    uint8_t *message;
    size_t message_size;
    if (grpc_session_create(&session, "localhost:1", MAX_REPLY) != OK)
        return 0;
    if (grpc_stream_create(&stream, session, "/etcdserverpb.KV/Range", 1000) == OK) {
        if (grpc_stream_send(stream, &request.base) != OK)
            abort();
        drain(session);
        for (size_t at = 0; at < size; at += PIECE) {
            size_t part = size - at < PIECE ? size - at : PIECE;
            if (grpc_feed(session, data + at, part) != OK)
                break;
            drain(session);
            while (grpc_stream_take(stream, &message, &message_size)) {
                if (message_size > MAX_REPLY)
                    abort();
                Etcdserverpb__RangeResponse *r =
                    etcdserverpb__range_response__unpack(NULL, message_size, message);
                if (r != NULL)
                    etcdserverpb__range_response__free_unpacked(r, NULL);
                free(message);
            }
        }
        grpc_stream_destroy(stream);
    }
    grpc_session_destroy(session);
    return 0;
}
