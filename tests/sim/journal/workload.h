/* A log whose every entry and effect follow from its index, so that any state can be told from the
 * index alone. */
#ifndef WARREN_TESTS_SIM_WORKLOAD_H
#define WARREN_TESTS_SIM_WORKLOAD_H

#include "tests/unit/consensus/fixture.h"

/* A fixture in memory, if the machine has such a folder. */
void workload_fixture(struct fixture *f);

/* Submits the entries FIRST..LAST, each made bigger by GROWTH bytes, waits for them, and stages
 * their effects. TRUNCATE_BEFORE as in journal_write. Notes both in the fault VFS. */
void workload_run(struct fixture *f, uint64_t first, uint64_t last, size_t growth,
                  uint64_t truncate_before);
/* Stages the effects of FIRST..LAST, which are durable. */
void workload_stage(struct fixture *f, uint64_t first, uint64_t last, size_t growth);

/* What the tables hold once 1..APPLIED are in them. */
uint32_t workload_model(uint64_t applied, size_t growth);
/* The same of rows, in the order of journal_load: a journal_each_fn with a uint32_t. */
enum err workload_digest(void *digest, const struct journal_effect *row);
/* Fails the test if the log or the tables of the open journal are not those of the workload. */
void workload_verify(struct fixture *f, uint64_t at_least, uint64_t at_most, size_t growth);

enum {
    NOTE_SUBMITTED = 1,
    NOTE_DURABLE = 2,
};

#endif
