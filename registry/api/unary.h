/* What the unary methods share: decode, submit, and the one message of the answer. */
#ifndef WARREN_REGISTRY_API_UNARY_H
#define WARREN_REGISTRY_API_UNARY_H

#include "call.h"
#include "convert.h"
#include "encode.h"

#include <stddef.h>

/* Decodes MESSAGE and submits it; a message that is none ends the call. */
void unary_submit(struct call *c, struct bytes message, convert_fn *convert, store_done_fn *done);
/* The same for an answer that may come in parts. */
void unary_submit_parts(struct call *c, struct bytes message, convert_fn *convert,
                        store_part_fn *part, store_done_fn *done);
/* The same for requests that go through consensus, which bounds their size. */
void unary_propose(struct call *c, struct bytes message, convert_fn *convert, store_done_fn *done);
/* Ends the call for what a decoder returned. */
void unary_refuse(struct call *c, enum err error, const char *type);

/* Answers with a message that holds nothing but a header, and ends well. */
void unary_answer_header(struct call *c, const struct store_response *response);
/* The header for RESPONSE. */
struct reply_header unary_header(const struct call *c, const struct store_response *response);

#endif
