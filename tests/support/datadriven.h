/* Reads data-driven test files: blocks of a command line, optional input, a line "----" and the
 * output that is expected, up to an empty line (or, behind "----" twice, up to "----" twice).
 * Lines that begin with # between blocks are comments. Aborts on a file that is not like that. */
#ifndef WARREN_TESTS_DATADRIVEN_H
#define WARREN_TESTS_DATADRIVEN_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* key, key=value or key=(value, value). */
struct dd_arg {
    const char *key;
    const char **values;
    size_t value_count;
};

struct dd_block {
    unsigned line; /* of the command, from 1 */
    const char *command;
    struct dd_arg *args;
    size_t arg_count;
    const char *input;
    const char *expected; /* each line ends with a newline */
};

struct dd_file {
    struct arena arena;
    struct dd_block *blocks;
    size_t block_count;
};

/* False if PATH cannot be read. */
bool dd_load(struct dd_file *out, const char *path);
void dd_fini(struct dd_file *f);
/* NULL if there is no such argument. */
const struct dd_arg *dd_arg(const struct dd_block *b, const char *key);
/* The folder with the shared vectors (WARREN_SHARED, or ../shared beside the source tree SOURCE)
 * joined with NAME, in OUT. False if it is not there. */
bool dd_shared_path(const char *source, const char *name, char *out, size_t size);

#endif
