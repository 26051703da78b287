/* Command line flags as etcdctl reads them: --name value, --name=value, -w json, -wjson, bools
 * alone or =true/false, anywhere among the arguments, until "--". Error texts are those of Go's
 * pflag. */
#ifndef WARREN_CLI_FLAGS_H
#define WARREN_CLI_FLAGS_H

#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLAG_MAX_LIST = 128,
};

enum flag_type {
    FLAG_BOOL,     /* bool */
    FLAG_STRING,   /* const char * */
    FLAG_INT64,    /* int64_t */
    FLAG_DURATION, /* int64_t, milliseconds */
    FLAG_LIST,     /* struct flag_list: repeatable, and split at commas */
};

struct flag_list {
    char *items[FLAG_MAX_LIST]; /* owned */
    size_t count;
};

struct flag {
    const char *name;
    char short_name; /* 0 without */
    enum flag_type type;
    void *value; /* holds the default until set */
    const char *help;
    bool is_set;
};

/* A verb's own flags and those of every verb; both end with a nameless entry. */
struct flag_set {
    struct flag *own;
    struct flag *global;
};

/* Takes the flags out of COUNT arguments; what is left, up to and beyond "--" (itself left out),
 * goes to REST (room for COUNT) and *REST_COUNT. ERR_INVALID with a line in WHY; ERR_NOT_FOUND:
 * help is wanted; ERR_NO_MEMORY. Values point into the arguments. */
enum err flags_parse(const struct flag_set *set, char **arguments, size_t count, char **rest,
                     size_t *rest_count, struct strbuf *why) MUST_CHECK;
/* Sets one flag from TEXT, as the environment does. */
enum err flag_set_value(struct flag *flag, const char *text, struct strbuf *why) MUST_CHECK;
void flag_list_fini(struct flag_list *list);
/* Go's time.ParseDuration, rounded to milliseconds. */
enum err duration_parse(int64_t *out_ms, const char *text) MUST_CHECK;
/* Go's strconv.ParseInt of BASE 10 or 16; WHY gets strconv's words. */
enum err int64_parse(int64_t *out, const char *text, int base, struct strbuf *why) MUST_CHECK;
/* One line a flag, for help. */
void flags_describe(struct strbuf *out, const struct flag *flags);

#endif
