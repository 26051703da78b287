/* warrenctl: the admin CLI. Finds the verb, reads its flags and the environment, runs it. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct cli cli = {
    .write_out = "simple", .dial_timeout_ms = 2000, .command_timeout_ms = 5000};
static bool wants_version;
static int64_t keepalive_ms; /* of etcdctl's connections; ours ask the kernel alone */

static struct flag global_flags[] = {
    {"command-timeout", 0, FLAG_DURATION, &cli.command_timeout_ms,
     "timeout for short running command (5s by default)", false},
    {"dial-timeout", 0, FLAG_DURATION, &cli.dial_timeout_ms,
     "timeout for each attempt to connect (2s by default)", false},
    {"endpoints", 0, FLAG_LIST, &cli.endpoints, "endpoints, 127.0.0.1:2379 by default", false},
    {"hex", 0, FLAG_BOOL, &cli.is_hex, "print byte strings as hex encoded strings", false},
    {"keepalive-time", 0, FLAG_DURATION, &keepalive_ms, "accepted, without effect", false},
    {"keepalive-timeout", 0, FLAG_DURATION, &keepalive_ms, "accepted, without effect", false},
    {"max-recv-bytes", 0, FLAG_INT64, &cli.max_receive_bytes,
     "largest reply that is read (2 GiB by default)", false},
    {"max-request-bytes", 0, FLAG_INT64, &cli.max_request_bytes,
     "largest request that is sent (2 MiB by default)", false},
    {"version", 0, FLAG_BOOL, &wants_version, "print the version", false},
    {"write-out", 'w', FLAG_STRING, &cli.write_out,
     "output format: fields, json, protobuf, simple, table", false},
    {0},
};

static void describe_verbs(struct strbuf *out, const struct verb *verbs)
{
    for (; verbs->name != NULL; verbs++)
        strbuf_add_format(out, "  %-12s %s\n", verbs->name, verbs->summary);
}

/* VERB NULL: the program's own. */
static void print_help(FILE *to, const char *path, const struct verb *verb)
{
    struct strbuf out = STRBUF_EMPTY;
    if (verb == NULL)
        strbuf_add_str(&out, "warrenctl - the admin CLI of Warren's registry\n\n"
                             "Usage: warrenctl [options] <command>\n\nCommands:\n");
    else
        strbuf_add_format(&out, "%s - %s\n\nUsage: warrenctl %s%s%s\n", path, verb->summary, path,
                          verb->arguments[0] != '\0' ? " " : "", verb->arguments);
    if (verb == NULL) {
        describe_verbs(&out, cli_verbs);
        strbuf_add_format(&out, "  %-12s %s\n", "version", "Prints the version of warrenctl");
    } else if (verb->subverbs != NULL) {
        strbuf_add_str(&out, "\nCommands:\n");
        describe_verbs(&out, verb->subverbs);
    }
    if (verb != NULL && verb->details != NULL)
        strbuf_add_format(&out, "\n%s", verb->details);
    if (verb != NULL && verb->flags != NULL) {
        strbuf_add_str(&out, "\nOptions:\n");
        flags_describe(&out, verb->flags);
    }
    strbuf_add_str(&out,
                   "\nGlobal options (also as WARRENCTL_* or ETCDCTL_* in the environment):\n");
    flags_describe(&out, global_flags);
    fputs(strbuf_str(&out), to);
    strbuf_fini(&out);
}

/* WARRENCTL_WRITE_OUT, else ETCDCTL_WRITE_OUT, for what the command line left open. */
static void read_environment(void)
{
    static const char *const prefixes[] = {"WARRENCTL_", "ETCDCTL_"};
    for (struct flag *f = global_flags; f->name != NULL; f++) {
        for (size_t i = 0; i < ARRAY_COUNT(prefixes) && !f->is_set; i++) {
            char name[64];
            struct strbuf why = STRBUF_EMPTY;
            snprintf(name, sizeof(name), "%s%s", prefixes[i], f->name);
            for (char *c = name; *c != '\0'; c++)
                *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
            const char *value = getenv(name);
            if (value != NULL && value[0] != '\0' && flag_set_value(f, value, &why) != OK)
                cli_exit(CLI_BAD_ARGUMENTS, "%s: %s", name, strbuf_str(&why));
            strbuf_fini(&why);
        }
    }
}

static const struct verb *find_verb(const struct verb *verbs, const char *name)
{
    for (; verbs->name != NULL; verbs++) {
        if (strcmp(verbs->name, name) == 0)
            return verbs;
    }
    return NULL;
}

/* Where the next word that is no flag of every verb stands; COUNT if nowhere. */
static size_t next_word(char **arguments, size_t count, size_t from)
{
    for (size_t i = from; i < count; i++) {
        const char *text = arguments[i];
        if (text[0] != '-' || text[1] == '\0')
            return i;
        bool is_long = strncmp(text, "--", 2) == 0;
        for (const struct flag *f = global_flags; f->name != NULL; f++) {
            bool is_this =
                is_long ? strcmp(text + 2, f->name) == 0
                        : f->short_name != '\0' && text[1] == f->short_name && text[2] == '\0';
            if (is_this && f->type != FLAG_BOOL)
                i++; /* its value */
        }
    }
    return count;
}

/* Takes the verb's name (and its subverb's) out of the arguments; NULL without one. */
static const struct verb *take_verb(char **arguments, size_t *count, struct strbuf *path)
{
    const struct verb *verbs = cli_verbs, *found = NULL;
    size_t at = 0;
    while (verbs != NULL && (at = next_word(arguments, *count, at)) < *count) {
        const struct verb *verb = find_verb(verbs, arguments[at]);
        if (verb == NULL && found == NULL) {
            cli_say("Error: unknown command \"%s\" for \"warrenctl\"", arguments[at]);
            cli_say("Run 'warrenctl --help' for usage.");
            exit(CLI_ERROR);
        }
        if (verb == NULL)
            break;
        strbuf_add_format(path, "%s%s", found != NULL ? " " : "", verb->name);
        memmove(arguments + at, arguments + at + 1, (*count - at) * sizeof(*arguments));
        (*count)--;
        found = verb;
        verbs = verb->subverbs;
    }
    return found;
}

#ifdef __SANITIZE_ADDRESS__
/* What is read and printed lives to the end of the run (cli.h): not leaks. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}
#endif

int main(int argc, char **argv)
{
    struct strbuf why = STRBUF_EMPTY, path = STRBUF_EMPTY;
    size_t count = argc > 0 ? (size_t)argc - 1 : 0, rest_count;
    char **arguments = argv + (argc > 0);
    signal(SIGPIPE, SIG_IGN);
    if (count > 0 &&
        (strcmp(arguments[count - 1], "version") == 0 || strcmp(arguments[0], "--version") == 0) &&
        (count == 1 || arguments[0][0] == '-')) {
        printf("warrenctl version: " WARREN_VERSION "\nAPI version: 3.6\n");
        return CLI_OK;
    }
    if (count > 0 && strcmp(arguments[0], "help") == 0) {
        arguments++;
        count--;
        const struct verb *verb = take_verb(arguments, &count, &path);
        print_help(stdout, strbuf_str(&path), verb);
        return CLI_OK;
    }
    const struct verb *verb = take_verb(arguments, &count, &path);
    cli.raw_arguments = cli_memory(calloc(count + 1, sizeof(char *)));
    memcpy(cli.raw_arguments, arguments, count * sizeof(char *));
    cli.raw_count = count;
    char **rest = cli_memory(calloc(count + 1, sizeof(char *)));
    struct flag_set set = {.own = verb != NULL ? verb->flags : NULL, .global = global_flags};
    enum err error = flags_parse(&set, arguments, count, rest, &rest_count, &why);
    if (error == ERR_INVALID || error == ERR_NO_MEMORY) {
        cli_say("Error: %s", error == ERR_INVALID ? strbuf_str(&why) : err_text(error));
        print_help(stdout, strbuf_str(&path), verb); /* where etcdctl prints it, too */
        return CLI_ERROR;
    }
    if (error != OK || verb == NULL || verb->run == NULL) { /* --help, or half a command */
        print_help(stdout, strbuf_str(&path), verb);
        return CLI_OK;
    }
    read_environment();
    if (cli.endpoints.count == 0) {
        struct flag endpoints = {"endpoints", 0, FLAG_LIST, &cli.endpoints, NULL, false};
        if (flag_set_value(&endpoints, "127.0.0.1:2379", &why) != OK)
            cli_memory(NULL);
    }
    return verb->run(&cli, rest, rest_count);
}
