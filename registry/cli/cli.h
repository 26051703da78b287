/* What warrenctl's verbs share: the flags of every verb, the connection, exits as etcdctl's.
 *
 * A verb is a function in a file of its own and one line in verbs.c. It returns the exit code, or
 * leaves by cli_exit. Memory of a run is the process's: verbs do not free what lives to its end. */
#ifndef WARREN_CLI_CLI_H
#define WARREN_CLI_CLI_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/strbuf.h"
#include "channel.h"
#include "flags.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* etcdctl's exit codes. */
enum cli_exit_code {
    CLI_OK = 0,
    CLI_ERROR = 1,
    CLI_BAD_CONNECTION = 2,
    CLI_INVALID_INPUT = 3,
    CLI_BAD_FEATURE = 4,
    CLI_INTERRUPTED = 5,
    CLI_BAD_ARGUMENTS = 128,
};

enum cli_format {
    FORMAT_SIMPLE,
    FORMAT_FIELDS,
    FORMAT_JSON,
    FORMAT_PROTOBUF,
    FORMAT_TABLE,
};

struct cli {
    /* Flags of every verb */
    struct flag_list endpoints; /* as given */
    const char *write_out;
    bool is_hex;
    int64_t dial_timeout_ms;
    int64_t command_timeout_ms;
    int64_t max_request_bytes;
    int64_t max_receive_bytes;
    /* Set by cli_start */
    enum cli_format format;
    bool value_only; /* simple: no keys */
    const char *addresses[CHANNEL_MAX_ENDPOINTS];
    size_t address_count;
    struct channel *channel;
    /* The arguments behind the program's name, unparsed */
    char **raw_arguments;
    size_t raw_count;
};

struct verb {
    const char *name;
    const char *arguments; /* "<key> [range_end]" */
    const char *summary;
    const char *details; /* further help, or NULL */
    struct flag *flags;  /* nameless end; NULL without */
    int (*run)(struct cli *cli, char **arguments, size_t count);
    const struct verb *subverbs; /* nameless end; NULL without */
};

/* A line on standard error. Control bytes in it, which files, arguments and servers may hold, are
 * shown as escapes, not sent to the terminal. */
void cli_say(const char *format, ...) PRINTF_LIKE(1, 2);
/* "Error: ..." as cli_say, and the end. */
_Noreturn void cli_exit(int code, const char *format, ...) PRINTF_LIKE(2, 3);
/* Ends the program if P is NULL. */
void *cli_memory(void *p);
/* The text of S, which must not have failed; moves to the caller. */
char *cli_text(struct strbuf *s);

/* Reads the output format and the endpoints; before the first call of a verb that connects. */
void cli_start(struct cli *cli);
/* When a command that starts now has to be done. */
int64_t cli_deadline(const struct cli *cli);
/* A call's reply, or NULL with STATUS filled. */
void *cli_try(struct cli *cli, const char *method, const void *request,
              const ProtobufCMessageDescriptor *reply_type, bool is_read,
              struct call_status *status) MUST_CHECK;
/* A call's reply; ends the program with CODE if there is none. */
void *cli_call(struct cli *cli, const char *method, const void *request,
               const ProtobufCMessageDescriptor *reply_type, bool is_read, int code);
/* As etcd's client words it: "etcdserver: ..." as it is, else with the code's name. */
const char *status_text(struct call_status *status);

/* All of standard input. */
void cli_read_stdin(struct strbuf *out);
/* Flushes standard output; a failure to write it is the verb's failure. */
void cli_flush(void);
/* "Error: ..." unless TEXT is a lease id in hexadecimal. */
int64_t cli_lease_id(const char *text);
ProtobufCBinaryData cli_bytes(const char *text);

/* Protobuf-c's way of sharing one client for endpoints one by one: see endpoint.c. */
struct channel *cli_channel_to(struct cli *cli, const char *address);

extern const struct verb cli_verbs[];

#endif
