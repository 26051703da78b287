/* What a sync would do to a device, as `wg set` lines: `warrenctl sync --dry-run`. */
#ifndef WARREN_WGCTL_DRY_RUN_H
#define WARREN_WGCTL_DRY_RUN_H

#include "base/err.h"
#include "base/strbuf.h"
#include "wgctl/plan.h"

struct wgctl_dry_run {
    const char *device;
    const char *socket_dir; /* as for wgctl_create */
    const struct plan_peer *peers;
    size_t peer_count;
    bool adopt;
    /* As in plan_input; NULL: nothing was adopted before, so no removal is shown. */
    bool (*owned)(void *context, const uint8_t *key);
    void *context;
};

/* Reads the device and appends to OUT a line per change (wgctl_change_format) and, behind them, one
 * per refusal, a comment for a shell. Changes nothing. Errors as wgctl_read, with one line in WHY
 * for a user. */
enum err wgctl_dry_run(struct strbuf *out, const struct wgctl_dry_run *input,
                       struct strbuf *why) MUST_CHECK;

#endif
