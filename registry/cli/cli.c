#include "cli.h"

#include "gotext.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DEFAULT_MAX_REQUEST = 2 << 20,
    DEFAULT_MAX_REPLY = INT32_MAX,
    MAX_STDIN = 64 << 20,
};

static void say(const char *prefix, const char *format, va_list args) PRINTF_LIKE(2, 0);
static void say(const char *prefix, const char *format, va_list args)
{
    struct strbuf text = STRBUF_EMPTY, shown = STRBUF_EMPTY;
    strbuf_add_format_args(&text, format, args);
    visible_add(&shown, bytes_of_str(strbuf_str(&text)));
    fprintf(stderr, "%s%s\n", prefix,
            text.failed || shown.failed ? err_text(ERR_NO_MEMORY) : strbuf_str(&shown));
    strbuf_fini(&text);
    strbuf_fini(&shown);
}

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

void cli_exit(int code, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    va_start(args, format);
    say("Error: ", format, args);
    va_end(args);
    exit(code);
}

void *cli_memory(void *p)
{
    if (p == NULL)
        cli_exit(CLI_ERROR, "%s", err_text(ERR_NO_MEMORY));
    return p;
}

char *cli_text(struct strbuf *s)
{
    return cli_memory(strbuf_take(s));
}

static enum cli_format read_format(const char *text)
{
    static const char *const names[] = {"simple", "fields", "json", "protobuf", "table"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0)
            return (enum cli_format)i;
    }
    cli_exit(CLI_BAD_FEATURE, "unsupported output format");
}

static struct channel *open_channel(const struct cli *cli, const char *const *addresses,
                                    size_t count)
{
    struct channel *channel;
    struct channel_options options = {
        .endpoints = addresses,
        .endpoint_count = count,
        .dial_timeout_ms = cli->dial_timeout_ms,
        .max_request_size = cli->max_request_bytes > 0 ? (size_t)cli->max_request_bytes
                                                       : (size_t)DEFAULT_MAX_REQUEST,
        .max_reply_size =
            cli->max_receive_bytes > 0 ? (size_t)cli->max_receive_bytes : (size_t)DEFAULT_MAX_REPLY,
    };
    enum err error = channel_create(&channel, &options);
    if (error != OK)
        cli_exit(CLI_ERROR, "%s", err_text(error));
    return channel;
}

void cli_start(struct cli *cli)
{
    cli->format = read_format(cli->write_out);
    if (cli->endpoints.count == 0 || cli->endpoints.count > CHANNEL_MAX_ENDPOINTS)
        cli_exit(CLI_BAD_ARGUMENTS, "between 1 and %d endpoints are needed", CHANNEL_MAX_ENDPOINTS);
    for (size_t i = 0; i < cli->endpoints.count; i++) {
        struct strbuf address = STRBUF_EMPTY, why = STRBUF_EMPTY;
        if (endpoint_address(&address, cli->endpoints.items[i], &why) != OK)
            cli_exit(CLI_BAD_ARGUMENTS, "%s", strbuf_str(&why));
        cli->addresses[i] = cli_text(&address);
        strbuf_fini(&why);
    }
    cli->address_count = cli->endpoints.count;
    cli->channel = open_channel(cli, cli->addresses, cli->address_count);
}

struct channel *cli_channel_to(struct cli *cli, const char *address)
{
    const char **one = cli_memory(malloc(sizeof(*one)));
    *one = address;
    return open_channel(cli, one, 1);
}

int64_t cli_deadline(const struct cli *cli)
{
    int64_t timeout = cli->command_timeout_ms > 0 ? cli->command_timeout_ms : 1;
    return channel_now_ms() + timeout;
}

void *cli_try(struct cli *cli, const char *method, const void *request,
              const ProtobufCMessageDescriptor *reply_type, bool is_read,
              struct call_status *status)
{
    ProtobufCMessage *reply = NULL;
    enum err error = channel_call(cli->channel, method, request, reply_type, cli_deadline(cli),
                                  is_read, &reply, status);
    if (error == OK)
        return reply;
    if (error != ERR_REFUSED)
        cli_exit(CLI_ERROR, "%s", err_text(error));
    if (status->code == GRPC_DEADLINE_EXCEEDED && channel_trouble(cli->channel)[0] != '\0')
        cli_say("warrenctl: no answer: %s", channel_trouble(cli->channel));
    return NULL;
}

void *cli_call(struct cli *cli, const char *method, const void *request,
               const ProtobufCMessageDescriptor *reply_type, bool is_read, int code)
{
    struct call_status status = {0};
    void *reply = cli_try(cli, method, request, reply_type, is_read, &status);
    if (reply == NULL)
        cli_exit(code, "%s", status_text(&status));
    return reply;
}

const char *status_text(struct call_status *status)
{
    static const char *const names[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    const char *message = strbuf_str(&status->message);
    if (status->code == GRPC_DEADLINE_EXCEEDED)
        return "context deadline exceeded";
    if (strncmp(message, "etcdserver: ", 12) == 0 || strncmp(message, "rpc error: ", 11) == 0)
        return message;
    struct strbuf text = STRBUF_EMPTY;
    if (status->code >= 0 && (size_t)status->code < ARRAY_COUNT(names))
        strbuf_add_format(&text, "rpc error: code = %s desc = %s", names[status->code], message);
    else
        strbuf_add_format(&text, "rpc error: code = Code(%d) desc = %s", status->code, message);
    return cli_text(&text);
}

void cli_read_stdin(struct strbuf *out)
{
    char buffer[16 << 10];
    for (;;) {
        ssize_t size = read(STDIN_FILENO, buffer, sizeof(buffer));
        if (size <= 0)
            return;
        if (out->size + (size_t)size > MAX_STDIN)
            cli_exit(CLI_BAD_ARGUMENTS, "standard input is larger than %d bytes", MAX_STDIN);
        strbuf_add(out, buffer, (size_t)size);
    }
}

void cli_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        cli_exit(CLI_ERROR, "cannot write to standard output");
}

int64_t cli_lease_id(const char *text)
{
    struct strbuf why = STRBUF_EMPTY;
    int64_t id;
    if (int64_parse(&id, text, 16, &why) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "bad lease ID arg (%s), expecting ID in Hex", strbuf_str(&why));
    return id;
}

ProtobufCBinaryData cli_bytes(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}
