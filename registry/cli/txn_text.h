/* The language of etcdctl's txn and interactive watch: lines split into words, and compares. Pure.
 */
#ifndef WARREN_CLI_TXN_TEXT_H
#define WARREN_CLI_TXN_TEXT_H

#include "base/err.h"
#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

enum {
    WORDS_MAX = 256, /* of one line */
};

/* Words of LINE: 'as it is', "with Go's escapes", or bare. Owned; see words_fini. A line that holds
 * more is ERR_LIMIT; a broken escape is ERR_MALFORMED with a line in WHY. */
struct words {
    char *items[WORDS_MAX];
    size_t count;
};
enum err words_split(struct words *out, const char *line, struct strbuf *why) MUST_CHECK;
void words_fini(struct words *words);

enum compare_target {
    COMPARE_VERSION,
    COMPARE_CREATE,
    COMPARE_MOD,
    COMPARE_VALUE,
    COMPARE_LEASE,
};

/* `mod("key") > "0"`, in etcd's numbers for target and result. */
struct compare_text {
    enum compare_target target;
    int result;        /* 0 equal, 1 greater, 2 less, 3 not equal */
    struct strbuf key; /* owned */
    struct strbuf value;
    int64_t number; /* all but COMPARE_VALUE */
};
/* ERR_MALFORMED with etcdctl's line in WHY. */
enum err compare_parse(struct compare_text *out, const char *line, struct strbuf *why) MUST_CHECK;
void compare_fini(struct compare_text *compare);

#endif
