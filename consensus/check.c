/* `warrend --check`. */
#include "consensus/journal.h"

#include "database.h"

#include <inttypes.h>

static enum err count_row(void *context, const struct journal_effect *row)
{
    uint64_t *counts = context;
    counts[row->table]++;
    return OK;
}

static void report_read(struct strbuf *report, const struct folder *f,
                        const struct database_look *look, const struct tables_state *state,
                        const uint64_t *counts)
{
    strbuf_add_format(report, "%s: format %d, %" PRIu64 " transactions, term %" PRIu64 "\n",
                      f->database, TABLES_FORMAT, state->transaction, state->hard.term);
    strbuf_add_format(
        report, "  log: %" PRIu64 " entries, %" PRIu64 " to %" PRIu64 ", applied %" PRIu64 "\n",
        state->log_last + 1 - state->log_first, state->log_first, state->log_last, state->applied);
    strbuf_add_format(report,
                      "  revisions: %" PRIu64 ", leases: %" PRIu64 ", alarms: %" PRIu64 "\n",
                      counts[JOURNAL_REVISIONS], counts[JOURNAL_LEASES], counts[JOURNAL_ALARMS]);
    if (look->wal.verdict == WAL_SOUND)
        strbuf_add_format(report,
                          "%s: %" PRIu64 " transactions in %" PRIu64 " frames, %" PRIu64
                          " frames of an unfinished one\n",
                          f->wal, look->wal.commit_count, look->wal.frame_count,
                          look->wal.unfinished);
    if (look->mark_is_damaged)
        strbuf_add_format(report, "%s: is damaged; it will be written anew at the next start\n",
                          f->mark);
}

static void report_members(struct strbuf *report, const struct tables_membership *us)
{
    const struct configuration_state *c = &us->configuration;
    if (us->member_id == 0)
        return;
    strbuf_add_format(report, "  member %" PRIx64 " of cluster %" PRIx64 ": %zu voters",
                      us->member_id, us->cluster_id, c->voters.count);
    if (configuration_is_joint(c))
        strbuf_add_format(report, " in place of %zu", c->outgoing.count);
    strbuf_add_format(report, ", %zu learners\n", c->learners.count + c->learners_next.count);
}

static enum err check_tables(const struct folder *f, const char *vfs,
                             const struct database_look *look, struct strbuf *report)
{
    struct tables t;
    enum err e = database_open(&t, f, vfs, DATABASE_CHECK, report);
    if (e != OK)
        return e;
    struct tables_state state;
    uint64_t counts[JOURNAL_REVISIONS + 1] = {0};
    struct tables_membership us = {0};
    e = database_verify(&t, f, look, &state, report);
    if (e == OK) {
        e = tables_get_membership(&t, &state, &us);
        if (e == OK || e == ERR_NOT_FOUND)
            e = tables_read_all(&t, &state, count_row, counts);
        if (e != OK)
            database_explain(&t, f, e, report);
    }
    if (e == OK)
        report_read(report, f, look, &state, counts);
    if (e == OK)
        report_members(report, &us);
    tables_close(&t);
    return e;
}

enum err journal_check(const char *data_dir, const char *vfs, struct strbuf *report)
{
    struct folder f;
    enum err e = folder_open(&f, data_dir, false, report);
    if (e != OK)
        return e;
    struct database_look look;
    e = database_inspect(&look, &f, report);
    if (e == OK && look.is_new) {
        strbuf_add_format(report, "%s: is not there: the data directory is new\n", f.database);
        e = ERR_NOT_FOUND;
    }
    if (e == OK)
        e = check_tables(&f, vfs, &look, report);
    folder_close(&f);
    return e;
}
