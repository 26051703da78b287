#include "gotext.h"
#include "kv.h"
#include "output.h"
#include "txn_text.h"
#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_WATCHES = 1024, /* of one interactive run */
    MAX_LINE = 1 << 20,
};

static int64_t revision;
static bool is_prefix, is_interactive, with_previous, progress_notify;

struct flag watch_flags[] = {
    {"interactive", 'i', FLAG_BOOL, &is_interactive, "Interactive mode", false},
    {"prefix", 0, FLAG_BOOL, &is_prefix, "Watch on a prefix if prefix is set", false},
    {"prev-kv", 0, FLAG_BOOL, &with_previous,
     "get the previous key-value pair before the event happens", false},
    {"progress-notify", 0, FLAG_BOOL, &progress_notify,
     "get periodic watch progress notification from server", false},
    {"rev", 0, FLAG_INT64, &revision, "Revision to start watching", false},
    {0},
};

/* One watch: what was asked, and where it is. */
struct watch {
    Etcdserverpb__WatchCreateRequest request; /* start_revision moves as events arrive */
    int64_t id;
    bool is_created; /* the server answered on the present stream */
    bool is_over;
    char **command; /* NULL-terminated; NULL without */
};

struct watcher {
    struct cli *cli;
    struct grpc_stream *stream;
    struct watch *watches[MAX_WATCHES];
    size_t count;
    struct strbuf input; /* of the interactive mode, up to the last line's end */
};

static void send_create(struct watcher *w, struct watch *watch)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &watch->request;
    watch->is_created = false;
    enum err error = grpc_stream_send(w->stream, &request.base);
    if (error != OK && error != ERR_CLOSED) /* a lost stream is opened again later */
        cli_exit(CLI_ERROR, "%s", err_text(error));
}

static void open_stream(struct watcher *w)
{
    grpc_stream_destroy(w->stream);
    w->stream = NULL;
    enum err error =
        channel_open_stream(w->cli->channel, "/etcdserverpb.Watch/Watch", 0, &w->stream);
    if (error != OK)
        cli_exit(CLI_BAD_CONNECTION, "%s", err_text(error));
    for (size_t i = 0; i < w->count; i++) {
        if (!w->watches[i]->is_over)
            send_create(w, w->watches[i]);
    }
}

static void add_watch(struct watcher *w, char **arguments, size_t count, char **command)
{
    struct watch *watch = cli_memory(calloc(1, sizeof(*watch)));
    if (w->count == MAX_WATCHES)
        cli_exit(CLI_BAD_ARGUMENTS, "more than %d watches", MAX_WATCHES);
    etcdserverpb__watch_create_request__init(&watch->request);
    watch->request.key = cli_bytes(arguments[0]);
    if (count == 2)
        watch->request.range_end = cli_bytes(arguments[1]);
    if (is_prefix)
        key_range(arguments[0], true, &watch->request.key, &watch->request.range_end);
    watch->request.start_revision = revision;
    watch->request.prev_kv = with_previous;
    watch->request.progress_notify = progress_notify;
    watch->command = command;
    w->watches[w->count++] = watch;
    if (w->stream != NULL)
        send_create(w, watch);
}

/* Running a command for each event. */

static void set_quoted(const char *name, ProtobufCBinaryData value)
{
    struct strbuf text = STRBUF_EMPTY;
    go_quote(&text, bytes_of(value.data, value.len));
    setenv(name, strbuf_str(&text), 1);
    strbuf_fini(&text);
}

static void run_command(const struct watch *watch, const Mvccpb__Event *e, int64_t at)
{
    extern char **environ;
    char number[24];
    pid_t child;
    int status = 0;
    snprintf(number, sizeof(number), "%lld", (long long)at);
    setenv("ETCD_WATCH_REVISION", number, 1);
    setenv("ETCD_WATCH_EVENT_TYPE",
           e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "\"DELETE\"" : "\"PUT\"", 1);
    set_quoted("ETCD_WATCH_KEY", e->kv != NULL ? e->kv->key : (ProtobufCBinaryData){0});
    set_quoted("ETCD_WATCH_VALUE", e->kv != NULL ? e->kv->value : (ProtobufCBinaryData){0});
    cli_flush();
    int failed = posix_spawnp(&child, watch->command[0], NULL, NULL, watch->command, environ);
    while (failed == 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (failed == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    fprintf(stderr, "command [");
    for (char **word = watch->command; *word != NULL; word++) {
        struct strbuf text = STRBUF_EMPTY;
        go_quote(&text, bytes_of_str(*word));
        fprintf(stderr, "%s%s", word == watch->command ? "" : " ", strbuf_str(&text));
        strbuf_fini(&text);
    }
    if (failed == ENOENT)
        cli_say("] error (exec: \"%s\": executable file not found in $PATH)", watch->command[0]);
    else if (failed != 0)
        fprintf(stderr, "] error (%s)\n", strerror(failed));
    else if (WIFEXITED(status))
        fprintf(stderr, "] error (exit status %d)\n", WEXITSTATUS(status));
    else
        fprintf(stderr, "] error (signal: %d)\n", WTERMSIG(status));
    exit(1);
}

/* Replies. */

static struct watch *watch_of(struct watcher *w, const Etcdserverpb__WatchResponse *r)
{
    for (size_t i = 0; i < w->count; i++) {
        struct watch *watch = w->watches[i];
        if (!watch->is_over &&
            (r->created ? !watch->is_created : watch->is_created && watch->id == r->watch_id))
            return watch; /* creations are answered in their order */
    }
    return NULL;
}

static void say_canceled(const Etcdserverpb__WatchResponse *r)
{
    const char *reason = r->cancel_reason;
    if (r->compact_revision != 0)
        reason = "etcdserver: mvcc: required revision has been compacted";
    else if (reason[0] == '\0')
        reason = "etcdserver: mvcc: required revision is a future revision";
    bool is_known =
        strncmp(reason, "etcdserver: ", 12) == 0 || strncmp(reason, "rpc error: ", 11) == 0;
    cli_say("watch was canceled (%s%s)",
            is_known ? "" : "rpc error: code = FailedPrecondition desc = ", reason);
}

static void show_reply(struct watcher *w, struct watch *watch, const Etcdserverpb__WatchResponse *r)
{
    int64_t at = r->header != NULL ? r->header->revision : 0;
    if (r->canceled) {
        watch->is_over = true;
        say_canceled(r);
    }
    if (r->n_events == 0 && !r->canceled && r->compact_revision == 0 && at != 0)
        printf("progress notify: %lld\n", (long long)at);
    output_watch(w->cli, r);
    for (size_t i = 0; i < r->n_events; i++) {
        const Mvccpb__KeyValue *kv = r->events[i]->kv;
        if (kv != NULL && kv->mod_revision >= watch->request.start_revision)
            watch->request.start_revision = kv->mod_revision + 1;
        if (watch->command != NULL)
            run_command(watch, r->events[i], at);
    }
    if (r->n_events == 0 && at >= watch->request.start_revision)
        watch->request.start_revision = at + 1;
}

static void handle_reply(struct watcher *w, const Etcdserverpb__WatchResponse *r)
{
    if (r->watch_id == -1 && !r->created && !r->canceled) { /* progress of all watches */
        for (size_t i = 0; i < w->count; i++) {
            if (!w->watches[i]->is_over)
                show_reply(w, w->watches[i], r);
        }
        return;
    }
    struct watch *watch = watch_of(w, r);
    if (watch == NULL)
        return;
    if (r->created) {
        watch->is_created = true;
        watch->id = r->watch_id;
        /* "From now" must stay that moment if the stream has to be opened again. */
        if (watch->request.start_revision == 0 && r->header != NULL)
            watch->request.start_revision = r->header->revision + 1;
        if (!r->canceled)
            return;
    }
    show_reply(w, watch, r);
}

/* False once no watch is left. */
static bool take_replies(struct watcher *w)
{
    uint8_t *data;
    size_t size, open = 0;
    while (grpc_stream_take(w->stream, &data, &size)) {
        Etcdserverpb__WatchResponse *r = etcdserverpb__watch_response__unpack(NULL, size, data);
        free(data);
        if (r == NULL)
            cli_exit(CLI_ERROR, "the server sent a watch response that cannot be read");
        handle_reply(w, r);
        etcdserverpb__watch_response__free_unpacked(r, NULL);
    }
    for (size_t i = 0; i < w->count; i++)
        open += !w->watches[i]->is_over;
    return open > 0 || is_interactive;
}

static void check_stream(struct watcher *w)
{
    if (!grpc_stream_has_ended(w->stream))
        return;
    struct call_status status = {.code = grpc_stream_code(w->stream)};
    strbuf_add_str(&status.message, grpc_stream_message(w->stream));
    /* etcd's client comes back after what may be temporary, and so do we, where we were. */
    if (status.code != GRPC_UNAVAILABLE && status.code != GRPC_INTERNAL) {
        cli_say("watch was canceled (%s)", status_text(&status));
        cli_exit(CLI_INTERRUPTED, "watch is canceled by the server");
    }
    strbuf_fini(&status.message);
    poll(NULL, 0, 100);
    open_stream(w);
}

/* Interactive mode. */

static void reset_flags(void)
{
    is_prefix = with_previous = progress_notify = false;
    revision = 0;
}

static void request_progress(struct watcher *w)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    if (grpc_stream_send(w->stream, &request.base) == ERR_NO_MEMORY)
        cli_memory(NULL);
}

static void interactive_watch(struct watcher *w, const char *line, struct words *words)
{
    const char *env_key = getenv("ETCDCTL_WATCH_KEY"), *env_end = getenv("ETCDCTL_WATCH_RANGE_END");
    struct strbuf why = STRBUF_EMPTY;
    char *rest[WORDS_MAX + 2], **command = NULL;
    size_t count, size = 1;
    while (size < words->count && strcmp(words->items[size], "--") != 0)
        size++;
    if (size + 1 == words->count)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "bad number of arguments (found separator --, but no commands)");
    if (size < words->count) {
        command = cli_memory(calloc(words->count - size, sizeof(*command)));
        memcpy(command, words->items + size + 1, (words->count - size - 1) * sizeof(*command));
    }
    reset_flags();
    bool mode = is_interactive;
    if (flags_parse(&(struct flag_set){.own = watch_flags}, words->items + 1, size - 1, rest,
                    &count, &why) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "%s", strbuf_str(&why));
    is_interactive = mode;
    if (env_key != NULL && env_key[0] != '\0') {
        if (count > 0)
            cli_exit(CLI_BAD_ARGUMENTS,
                     "bad number of arguments (found conflicting environment key)");
        rest[count++] = (char *)(uintptr_t)env_key;
        if (env_end != NULL && env_end[0] != '\0')
            rest[count++] = (char *)(uintptr_t)env_end;
    }
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS, "bad number of arguments");
    if (count == 2 && is_prefix) {
        cli_say("Invalid command %s (`range_end` and `--prefix` are mutually exclusive)", line);
        return;
    }
    add_watch(w, rest, count, command);
}

static void interactive_line(struct watcher *w, const char *line)
{
    struct words *words = cli_memory(calloc(1, sizeof(*words))); /* the watch points into it */
    struct strbuf why = STRBUF_EMPTY;
    const char *env_key = getenv("ETCDCTL_WATCH_KEY");
    if (words_split(words, line, &why) != OK)
        cli_exit(CLI_INVALID_INPUT, "%s", strbuf_str(&why));
    if (words->count == 0)
        cli_say("Invalid command: %s (watch and progress supported)", line);
    else if (strcmp(words->items[0], "progress") == 0)
        request_progress(w);
    else if (strcmp(words->items[0], "watch") != 0)
        cli_say("Invalid command %s (only support watch)", line);
    else if (words->count < 2 && (env_key == NULL || env_key[0] == '\0'))
        cli_say("Invalid command %s (command type or key is not provided)", line);
    else
        interactive_watch(w, line, words);
}

static void read_lines(struct watcher *w)
{
    char buffer[4096], *end;
    ssize_t size = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (size <= 0)
        cli_exit(CLI_INVALID_INPUT, "error reading watch request line: %s",
                 size == 0 ? "EOF" : strerror(errno));
    if (memchr(buffer, '\0', (size_t)size) != NULL)
        cli_exit(CLI_INVALID_INPUT, "error reading watch request line: a NUL byte");
    strbuf_add(&w->input, buffer, (size_t)size);
    if (w->input.size > MAX_LINE)
        cli_exit(CLI_INVALID_INPUT, "error reading watch request line: too long");
    while ((end = strchr(strbuf_str(&w->input), '\n')) != NULL) {
        struct strbuf left = STRBUF_EMPTY;
        *end = '\0';
        strbuf_add_str(&left, end + 1);
        interactive_line(w, strbuf_str(&w->input));
        strbuf_fini(&w->input);
        w->input = left;
    }
}

/* The command behind "--" of the command line; *COUNT positional arguments stand before it. */
static char **command_of(const struct cli *cli, size_t *count)
{
    size_t i = 0;
    while (i < cli->raw_count && strcmp(cli->raw_arguments[i], "--") != 0)
        i++;
    if (i == cli->raw_count)
        return NULL;
    if (i + 1 == cli->raw_count)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "bad number of arguments (found separator --, but no commands)");
    *count -= cli->raw_count - i - 1;
    return cli->raw_arguments + i + 1; /* main's argv ends with NULL */
}

static void first_watch(struct watcher *w, char **arguments, size_t count)
{
    const char *env_key = getenv("ETCDCTL_WATCH_KEY"), *env_end = getenv("ETCDCTL_WATCH_RANGE_END");
    char *from_env[2] = {(char *)(uintptr_t)env_key, (char *)(uintptr_t)env_end};
    bool has_env = env_key != NULL && env_key[0] != '\0';
    char **command = command_of(w->cli, &count);
    if (has_env && count > 0)
        cli_exit(CLI_BAD_ARGUMENTS, "bad number of arguments (found conflicting environment key)");
    if (has_env) {
        arguments = from_env;
        count = env_end != NULL && env_end[0] != '\0' ? 2 : 1;
    }
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS, "bad number of arguments");
    if (count == 2 && is_prefix)
        cli_exit(CLI_BAD_ARGUMENTS, "`range_end` and `--prefix` are mutually exclusive");
    add_watch(w, arguments, count, command);
}

int verb_watch(struct cli *cli, char **arguments, size_t count)
{
    const char *env_key = getenv("ETCDCTL_WATCH_KEY"), *env_end = getenv("ETCDCTL_WATCH_RANGE_END");
    static struct watcher w;
    bool other;
    if ((env_key == NULL || env_key[0] == '\0') && env_end != NULL && env_end[0] != '\0')
        cli_exit(CLI_BAD_ARGUMENTS,
                 "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=\"%s\"", env_end);
    w.cli = cli;
    if (!is_interactive)
        first_watch(&w, arguments, count);
    cli_start(cli);
    open_stream(&w);
    for (;;) {
        enum err error =
            channel_wait(cli->channel, w.stream, is_interactive ? STDIN_FILENO : -1, 0, &other);
        if (error != OK)
            cli_exit(CLI_BAD_CONNECTION, "%s", err_text(error));
        if (!take_replies(&w))
            cli_exit(CLI_INTERRUPTED, "watch is canceled by the server");
        check_stream(&w);
        if (other)
            read_lines(&w);
    }
}
