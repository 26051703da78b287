/* What the log of a cluster begins with. */
#include "internal.h"

#include <stdlib.h>

static enum err add_voter(struct entry *out, uint64_t index, uint64_t id)
{
    struct configuration_change change = {
        .is_v1 = true,
        .item_count = 1,
        .items = {{.type = CHANGE_ADD_VOTER, .id = id}},
    };
    *out = (struct entry){.term = 1, .index = index, .type = ENTRY_CHANGE_V1};
    out->payload = change_encode(&change);
    return out->payload != NULL ? OK : ERR_NO_MEMORY;
}

enum err node_bootstrap(struct journal *journal, uint64_t cluster_id, uint64_t member_id,
                        const struct id_set *voters, struct strbuf *error)
{
    struct entry entries[ID_SET_MAX] = {0};
    struct log_entry rows[ID_SET_MAX];
    struct hard_state hard = {.term = 1, .commit = voters->count};
    enum err e = voters->count > 0 ? OK : ERR_INVALID;
    for (size_t i = 0; i < voters->count && e == OK; i++) {
        e = add_voter(&entries[i], i + 1, voters->ids[i]);
        rows[i] = node_row_of_entry(&entries[i]);
    }
    struct journal_write first = {
        .entries = rows, .entry_count = voters->count, .hard_state = &hard};
    if (e == OK)
        e = journal_bootstrap(journal, cluster_id, member_id, &first, error);
    else
        strbuf_add_format(error, "the log cannot begin: %s\n", err_text(e));
    for (size_t i = 0; i < voters->count; i++)
        payload_release(entries[i].payload);
    return e;
}
