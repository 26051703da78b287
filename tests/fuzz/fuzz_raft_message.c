/* Fuzz target: a message of another member. What is read is written back to the same bytes:
 * there is one encoding of a message. */
#include "consensus/message_codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_message m;
    if (message_decode(&m, bytes_of(data, size)) != OK)
        return 0;
    struct strbuf again = STRBUF_EMPTY;
    message_encode(&again, &m);
    if (again.failed || !bytes_equal(bytes_of(again.data, again.size), bytes_of(data, size)))
        abort();
    strbuf_fini(&again);
    message_fini(&m);
    return 0;
}
