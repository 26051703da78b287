/* What the formats of output*.c are made of. */
#ifndef WARREN_CLI_OUTPUT_PARTS_H
#define WARREN_CLI_OUTPUT_PARTS_H

#include "output.h"

typedef Etcdserverpb__ResponseHeader header;

/* Ends the program: "... not supported as output format". */
_Noreturn void output_refuse(const struct cli *cli);
/* To standard output, and frees TEXT. */
void output_text(struct strbuf *text);
/* JSON and protobuf of a message that etcdctl prints as it is; whether it did. Ends the program for
 * a table. */
bool output_whole(const struct cli *cli, const void *message);
struct bytes output_bytes(ProtobufCBinaryData data);

/* Lines of -w fields. */
void fields_header(const struct cli *cli, struct strbuf *out, const header *h);
void fields_quoted(struct strbuf *out, const char *prefix, const char *name, struct bytes text);
void fields_id(const struct cli *cli, struct strbuf *out, const char *name, int64_t id);

#endif
