/* A data directory of its own for each test, and journals in it. */
#ifndef WARREN_TESTS_CONSENSUS_FIXTURE_H
#define WARREN_TESTS_CONSENSUS_FIXTURE_H

#include "consensus/journal.h"

#include <uv.h>

struct fixture {
    char dir[64];
    uv_loop_t loop;
    struct journal *journal;
    struct strbuf error;
    uint64_t free_space_floor; /* of journals opened; 1 */
    const char *vfs;
};

void fixture_init(struct fixture *f);
/* The same below BASE. */
void fixture_init_in(struct fixture *f, const char *base);
/* Closes the journal, if one is open, and removes the folder. */
void fixture_fini(struct fixture *f);
/* `journal` and `error` have what came of it. */
enum err fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
/* NAME in the folder, in a buffer of the fixture's. */
const char *fixture_path(struct fixture *f, const char *name);
/* Runs the loop until *FLAG, or fails the test after ten seconds. */
void fixture_run_until(struct fixture *f, const bool *flag);

/* Submits COUNT entries from FIRST with SIZE bytes each, waits, and gives the outcome. */
enum err fixture_append(struct fixture *f, uint64_t first, size_t count, size_t size);
/* A revision's put, whose value is SIZE bytes that follow from MAIN. */
struct journal_effect fixture_put(int64_t main, int64_t sub, size_t size);

#endif
