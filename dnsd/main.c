/* warrend: CoreDNS's command line and etcd's. Flags as Go's flag package takes them: one dash or
 * two, the value after '=' or as the next argument. */
#include "dnsd/member.h"
#include "dnsd/process.h"

#include "base/log.h"
#include "consensus/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2
};

static const char usage[] = "  -check\n"
                            "    \tRead all of the registry's data, report damage, and exit\n"
                            "  -conf string\n"
                            "    \tCorefile to load (default \"Corefile\")\n"
                            "  -dns.port string\n"
                            "    \tDefault port (default \"53\")\n"
                            "  -p string\n"
                            "    \tDefault port (default \"53\")\n"
                            "  -pidfile string\n"
                            "    \tPath to write pid file\n"
                            "  -plugins\n"
                            "    \tList installed plugins\n"
                            "  -quiet\n"
                            "    \tQuiet mode (no initialization output)\n"
                            "  -version\n"
                            "    \tShow version\n";

struct options {
    struct process_options process;
    bool plugins;
    bool version;
    bool check;
};

struct flag {
    const char *name;
    const char **text; /* one of the two */
    bool *on;
};

static void print_usage(const char *program)
{
    struct strbuf flags = STRBUF_EMPTY;
    member_flags_usage(&flags);
    fprintf(stderr,
            "Usage of %s:\n%s\nThe registry (etcd's flags; each also as WARREN_* in the "
            "environment, --data-dir as WARREN_DATA_DIR):\n%s",
            program, usage, strbuf_str(&flags));
    strbuf_fini(&flags);
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const on[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const off[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
        if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0) {
            *out = strcmp(text, on[i]) == 0;
            return true;
        }
    }
    return false;
}

/* The value of a flag that takes one, from behind its '=' or from the next argument. */
static const char *flag_value(const char *equals, int argc, char **argv, int *index)
{
    if (equals != NULL)
        return equals + 1;
    if (*index + 1 >= argc)
        return NULL;
    return argv[++*index];
}

/* One of etcd's flags. As set_flag; -2: there is no such flag. */
static int set_member_flag(struct member_options *options, const char *name, size_t size,
                           const char *equals, int argc, char **argv, int *index)
{
    struct member_flag flag;
    if (!member_flag_find(options, name, size, &flag))
        return -2;
    if (flag.refused != NULL) {
        fprintf(stderr, "warrend: --%s is not supported: %s\n", flag.name, flag.refused);
        return EXIT_USAGE;
    }
    const char *value = flag_value(equals, argc, argv, index);
    if (value != NULL) {
        *flag.value = value;
        return -1;
    }
    fprintf(stderr, "flag needs an argument: -%s\n", flag.name);
    print_usage(argv[0]);
    return EXIT_USAGE;
}

/* Sets one flag. Returns -1 to go on, else the exit code. */
static int set_flag(const struct flag *flags, size_t count, struct member_options *member, int argc,
                    char **argv, int *index)
{
    const char *argument = argv[*index];
    const char *name = argument + (argument[1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    if (size == 0 || name[0] == '-') {
        fprintf(stderr, "bad flag syntax: %s\n", argument);
        print_usage(argv[0]);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(flags[i].name) != size || memcmp(flags[i].name, name, size) != 0)
            continue;
        if (flags[i].on != NULL) {
            if (equals == NULL) {
                *flags[i].on = true;
                return -1;
            }
            if (parse_bool(equals + 1, flags[i].on))
                return -1;
            fprintf(stderr, "invalid boolean value \"%s\" for -%s: parse error\n", equals + 1,
                    flags[i].name);
            print_usage(argv[0]);
            return EXIT_USAGE;
        }
        const char *value = flag_value(equals, argc, argv, index);
        if (value != NULL) {
            *flags[i].text = value;
            return -1;
        }
        fprintf(stderr, "flag needs an argument: -%s\n", flags[i].name);
        print_usage(argv[0]);
        return EXIT_USAGE;
    }
    int code = set_member_flag(member, name, size, equals, argc, argv, index);
    if (code != -2)
        return code;
    bool is_help = (size == 1 && name[0] == 'h') || (size == 4 && memcmp(name, "help", 4) == 0);
    if (!is_help)
        fprintf(stderr, "flag provided but not defined: -%.*s\n", (int)size, name);
    print_usage(argv[0]);
    return is_help ? EXIT_SUCCESS : EXIT_USAGE;
}

static int refuse_arguments(int argc, char **argv, int first)
{
    /* CoreDNS says this before it has taken the time out of its log lines. */
    char now[sizeof("2006/01/02 15:04:05")];
    time_t seconds = time(NULL);
    struct tm local;
    if (localtime_r(&seconds, &local) == NULL ||
        strftime(now, sizeof(now), "%Y/%m/%d %H:%M:%S", &local) == 0)
        now[0] = '\0';
    fprintf(stderr, "%s extra command line arguments: [", now);
    for (int i = first; i < argc; i++)
        fprintf(stderr, "%s%s", i > first ? " " : "", argv[i]);
    fputs("]\n", stderr);
    return EXIT_FAILURE;
}

static int print_and_exit(void (*text)(struct strbuf *out))
{
    struct strbuf out = STRBUF_EMPTY;
    text(&out);
    fputs(strbuf_str(&out), stdout);
    strbuf_fini(&out);
    return EXIT_SUCCESS;
}

/* --check: the report to standard output, 1 if anything is damaged or unreadable. */
static int check(const struct member_options *options)
{
    struct strbuf report = STRBUF_EMPTY;
    enum err e = journal_check(member_data_dir(options), NULL, &report);
    fputs(strbuf_str(&report), stdout);
    if (e != OK)
        fprintf(stderr, "warrend: %s: %s\n", member_data_dir(options),
                e == ERR_EXISTS ? "in use, nothing was checked" : err_text(e));
    strbuf_fini(&report);
    return e == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A descriptor that was started closed would be the next socket's, and log lines would go there
 * (and libuv aborts when it closes one of these). So each is open, on /dev/null if on nothing else,
 * as Go's runtime does it. False when that fails. */
static bool open_standard_files(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR);
    return fd >= 0 && close(fd) == 0;
}

int main(int argc, char **argv)
{
    if (!open_standard_files())
        return EXIT_FAILURE;
    struct options options = {.process = {.is_bare = argc == 1}};
    const struct flag flags[] = {
        {"check", NULL, &options.check},
        {"conf", &options.process.conf, NULL},
        {"dns.port", &options.process.default_port, NULL},
        {"p", &options.process.default_port, NULL},
        {"pidfile", &options.process.pid_file, NULL},
        {"plugins", NULL, &options.plugins},
        {"quiet", NULL, &options.process.quiet},
        {"version", NULL, &options.version},
    };
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        int code = set_flag(flags, ARRAY_COUNT(flags), &options.process.member, argc, argv, &i);
        if (code >= 0)
            return code;
    }
    if (i < argc)
        return refuse_arguments(argc, argv, i);
    if (options.version)
        return print_and_exit(process_version);
    if (options.plugins)
        return print_and_exit(process_plugins);
    struct strbuf error = STRBUF_EMPTY;
    if (member_options_from_environment(&options.process.member, &error) != OK) {
        fprintf(stderr, "%s\n", strbuf_str(&error));
        strbuf_fini(&error);
        return EXIT_FAILURE;
    }
    if (options.check)
        return check(&options.process.member);
    options.process.has_default_port = options.process.default_port != NULL;
    if (options.process.default_port == NULL)
        options.process.default_port = "53";
    return process_run(&options.process);
}
