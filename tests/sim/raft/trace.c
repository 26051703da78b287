#include "tests/sim/raft/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct world *trace_world;

static const char *kind_text(enum event_kind kind)
{
    static const char *const texts[EVENT_KIND_COUNT] = {
        "tick",   "message", "disk",       "apply", "pump", "resume", "start",   "report",
        "client", "fault",   "links-heal", "admin", "stop", "crash",  "campaign"};
    return texts[kind];
}

void trace_message(struct trace_line *line, const struct raft_message *m)
{
    line->has_message = true;
    line->type = m->type;
    line->reject = m->reject;
    line->from = m->from;
    line->to = m->to;
    line->term = m->term;
    line->log_term = m->log_term;
    line->index = m->snapshot != NULL ? m->snapshot->index : m->index;
    line->commit = m->commit;
    line->entry_count = m->entries.count;
}

void trace_print(const struct world *w, const struct trace_line *line)
{
    static const char *const roles[] = {"follower", "candidate", "leader", "pre-candidate"};
    printf("#%" PRIu64 " %" PRIu64 ".%03" PRIu64 " %s", line->number, line->time / TICK,
           line->time % TICK, kind_text(line->kind));
    if (line->note != NULL)
        printf(" %s", line->note);
    if (line->has_message) {
        printf(" %s %" PRIu64 "->%" PRIu64 " term %" PRIu64 " at %" PRIu64 "/%" PRIu64,
               message_type_text(line->type), line->from, line->to, line->term, line->log_term,
               line->index);
        printf(" commit %" PRIu64 " entries %zu%s", line->commit, line->entry_count,
               line->reject ? " reject" : "");
    }
    if (line->member > 0 && line->kind != EVENT_CLIENT)
        printf(" | %u: %s term %" PRIu64 " commit %" PRIu64 " last %" PRIu64 " applied %" PRIu64,
               line->member, w->members[line->member].raft == NULL ? "down" : roles[line->role],
               line->after_term, line->after_commit, line->after_last, line->after_applied);
    else if (line->kind == EVENT_CLIENT)
        printf(" %u", line->value);
    putchar('\n');
}

void trace_print_last(const struct world *w)
{
    uint64_t first = w->number >= TRACE_LAST ? w->number - TRACE_LAST + 1 : 1;
    for (uint64_t n = first; n <= w->number; n++)
        trace_print(w, &w->last[n % TRACE_LAST]);
}

void violated(struct world *w, const char *invariant, const char *format, ...)
{
    va_list arguments;
    if (!w->options->quiet)
        trace_print_last(w);
    printf("VIOLATED %s: ", invariant);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\nseed %" PRIu64 ", profile %s, event %" PRIu64 "\n", w->seed, w->profile.name,
           w->number);
    fflush(stdout);
    _exit(1);
}
