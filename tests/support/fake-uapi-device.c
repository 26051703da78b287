/* fake-uapi-device: userspace WireGuard devices out of text files, for interop tests and benches.
 *
 * A state file holds the lines of a get answer; it is read again whenever it changed. Runs until
 * SIGTERM or SIGINT, then removes its sockets. */
#include "fake_uapi.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MAX_DEVICES = 64
};

struct device {
    struct fake_uapi *fake;
    const char *path; /* of the state file; NULL for made-up peers */
    struct stat seen; /* the file when `text` was read */
    char *text;       /* with its end */
    size_t size;
};

static void usage(void)
{
    fputs("usage: fake-uapi-device [OPTION...] DIR NAME=STATEFILE... [NAME...]\n"
          "Serves DIR/NAME.sock as a userspace WireGuard device.\n"
          "  --peers N         a NAME without state file has peers 1..N (0)\n"
          "  --extra-ips N     and N more allowed IPs for each (0)\n"
          "  --split N         write 1 to N bytes at a time, at random\n"
          "  --seed N          of these sizes\n"
          "  --gap MS          pause between two writes\n"
          "  --delay MS        before each answer\n"
          "  --truncate N      close after N bytes of an answer\n"
          "  --errno N         answer errno=N and nothing else\n",
          stderr);
}

/* --- States. --- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_size == b->st_size && a->st_ino == b->st_ino;
}

static void add_end(struct device *d)
{
    static const char end[] = "errno=0\n\n";
    d->text[d->size] = '\0';
    if (strncmp(d->text, "errno=", 6) == 0 || strstr(d->text, "\nerrno=") != NULL)
        return;
    if (d->size > 0 && d->text[d->size - 1] != '\n')
        d->text[d->size++] = '\n';
    memcpy(d->text + d->size, end, sizeof(end) - 1);
    d->size += sizeof(end) - 1;
}

static bool load(struct device *d, const struct stat *st)
{
    size_t room = (size_t)st->st_size + 64; /* and its end */
    char *text = malloc(room);
    FILE *f = fopen(d->path, "rb");
    bool read = text != NULL && f != NULL;
    if (read) {
        free(d->text);
        d->text = text;
        d->size = fread(text, 1, (size_t)st->st_size, f);
        d->seen = *st;
        add_end(d);
    } else {
        free(text);
    }
    if (f != NULL)
        (void)fclose(f);
    return read;
}

static bool state_source(void *context, const char **text, size_t *size, bool *changed)
{
    struct device *d = context;
    struct stat st;
    *changed = false;
    if (d->path != NULL) {
        if (stat(d->path, &st) != 0)
            return false;
        *changed = d->text == NULL || !same_file(&st, &d->seen);
        if (*changed && !load(d, &st))
            return false;
    }
    *text = d->text;
    *size = d->size;
    return true;
}

/* --- Arguments. --- */

struct arguments {
    struct fake_uapi_options options;
    size_t peers;
    size_t extra;
};

static bool number(const char *text, long long *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_options(struct arguments *a, int argc, char **argv)
{
    static const struct option known[] = {
        {"peers", required_argument, NULL, 'p'},
        {"extra-ips", required_argument, NULL, 'x'},
        {"split", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'r'},
        {"gap", required_argument, NULL, 'g'},
        {"delay", required_argument, NULL, 'd'},
        {"truncate", required_argument, NULL, 't'},
        {"errno", required_argument, NULL, 'e'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        long long value;
        if (c == '?' || !number(optarg, &value) || (c != 'e' && value < 0))
            return false;
        switch (c) {
        case 'p':
            a->peers = (size_t)value;
            break;
        case 'x':
            a->extra = (size_t)value;
            break;
        case 's':
            a->options.split_max = (size_t)value;
            break;
        case 'r':
            a->options.split_seed = (uint64_t)value;
            break;
        case 'g':
            a->options.write_gap_ms = (unsigned)value;
            break;
        case 'd':
            a->options.delay_ms = (unsigned)value;
            break;
        case 't':
            a->options.truncate = true;
            a->options.truncate_at = (size_t)value;
            break;
        default:
            a->options.answer_errno = (int)value;
            break;
        }
    }
    return true;
}

static bool start(struct device *d, const char *directory, const char *argument,
                  const struct arguments *a)
{
    char name[64];
    size_t name_size = strcspn(argument, "=");
    if (name_size == 0 || name_size >= sizeof(name)) {
        fprintf(stderr, "fake-uapi-device: bad name in \"%s\"\n", argument);
        return false;
    }
    memcpy(name, argument, name_size);
    name[name_size] = '\0';
    if (argument[name_size] == '=') {
        d->path = argument + name_size + 1;
    } else {
        d->text = fake_uapi_make_peers(a->peers, a->extra, &d->size);
        char *larger = d->text != NULL ? realloc(d->text, d->size + 64) : NULL;
        if (larger == NULL)
            return false;
        d->text = larger;
        add_end(d);
    }
    enum err error = fake_uapi_create(&d->fake, directory, name);
    if (error != OK) {
        fprintf(stderr, "fake-uapi-device: %s/%s.sock: %s\n", directory, name, err_text(error));
        return false;
    }
    fake_uapi_set_source(d->fake, state_source, d);
    fake_uapi_set_options(d->fake, &a->options);
    return true;
}

int main(int argc, char **argv)
{
    static struct device devices[MAX_DEVICES];
    struct arguments arguments = {0};
    if (!parse_options(&arguments, argc, argv) || argc - optind < 2 ||
        argc - optind - 1 > MAX_DEVICES) {
        usage();
        return 2;
    }
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    const char *directory = argv[optind];
    size_t count = (size_t)(argc - optind - 1);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        if (!start(&devices[i], directory, argv[(size_t)optind + 1 + i], &arguments))
            status = 1;
    if (status == 0) {
        puts("ready");
        (void)fflush(stdout);
        int number_of_signal;
        (void)sigwait(&stop, &number_of_signal);
    }
    for (size_t i = 0; i < count; i++) {
        fake_uapi_destroy(devices[i].fake);
        free(devices[i].text);
    }
    return status;
}
