#include "internal.h"

#include "base/cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    LINE_SIZE = 512,
    WHAT_SIZE = 64,
};

/* What a line is about: lines about the same are limited together. */
enum subject {
    SUBJECT_FAILURE_IN = 1,
    SUBJECT_FAILURE_OUT,
    SUBJECT_CONNECTED,
    SUBJECT_LOST,
    SUBJECT_UNRESOLVED,
};

static void write_line(struct transport *t, enum log_level level, const char *line)
{
    const struct transport_owner *owner = &t->config.owner;
    if (owner->log != NULL)
        owner->log(owner->context, level, line);
    else
        log_line(level, "%s", line);
}

/* WHAT: the kind of line. */
static void say(struct transport *t, bool is_member, enum log_level level,
                const struct writer *what, const char *format, ...) PRINTF_LIKE(5, 6);
static void say(struct transport *t, bool is_member, enum log_level level,
                const struct writer *what, const char *format, ...)
{
    char text[LINE_SIZE], line[LINE_SIZE + 64];
    uint32_t suppressed;
    va_list args;
    if (!log_limit_pass(is_member ? &t->member_log : &t->stranger_log, now_ms(t), what->data,
                        what->size, &suppressed)) {
        t->counters.log_lines_suppressed++;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (suppressed > 0)
        (void)snprintf(line, sizeof(line), "%s (and %" PRIu32 " times more since the last line)",
                       text, suppressed);
    else
        (void)snprintf(line, sizeof(line), "%s", text);
    write_line(t, level, line);
}

static struct writer kind_of(uint8_t data[static WHAT_SIZE], enum subject subject, unsigned detail,
                             uint64_t member_id)
{
    struct writer w = writer_of(data, WHAT_SIZE);
    write_u8(&w, (uint8_t)subject);
    write_u8(&w, (uint8_t)detail);
    write_u64(&w, member_id);
    return w;
}

static const char *stream_name(enum transport_stream stream)
{
    return stream == TRANSPORT_BULK ? "bulk" : "consensus";
}

static void explain(const struct connection *c, enum transport_reason why,
                    char out[static LINE_SIZE])
{
    const struct transport_config *config = &c->t->config;
    if (why == TRANSPORT_WRONG_CLUSTER && !c->is_dialed)
        (void)snprintf(out, LINE_SIZE, "it is of cluster %" PRIx64 ", this is cluster %" PRIx64,
                       c->cluster_id, config->cluster_id);
    else if (why == TRANSPORT_VERSION && c->state == CONNECTION_HELLO && c->theirs.version_max > 0)
        (void)snprintf(
            out, LINE_SIZE,
            "it speaks the versions %u to %u, this member %u to %u; upgrade the older one",
            (unsigned)c->theirs.version_min, (unsigned)c->theirs.version_max,
            (unsigned)config->version_min, (unsigned)config->version_max);
    else if (why == TRANSPORT_NETWORK && c->network_error != 0)
        (void)snprintf(out, LINE_SIZE, "%s", uv_strerror(c->network_error));
    else if (why == TRANSPORT_UNBOUND && c->is_dialed)
        (void)snprintf(out, LINE_SIZE,
                       "one of the two does not know the other's key yet; give both the same "
                       "--initial-cluster-token");
    else if (why == TRANSPORT_CLOSED && c->is_dialed && c->pattern == NOISE_XXPSK3)
        (void)snprintf(out, LINE_SIZE,
                       "closed within the handshake; is its --initial-cluster-token the same?");
    else
        (void)snprintf(out, LINE_SIZE, "%s", transport_reason_text(why));
}

static void report_in(struct connection *c, enum transport_reason why, const char *text)
{
    uint8_t data[WHAT_SIZE];
    struct writer what = kind_of(data, SUBJECT_FAILURE_IN, why, c->member_id);
    bool is_member = c->peer != NULL;
    if (!is_member) { /* a claim that costs nothing: who sends it counts too */
        write_u64(&what, c->cluster_id);
        write_bytes(&what, c->source.bytes, sizeof(c->source.bytes));
    }
    if (c->state == CONNECTION_PREAMBLE && c->member_id == 0)
        say(c->t, is_member, LOG_WARNING, &what, "refused a connection from %s: %s", c->address,
            text);
    else
        say(c->t, is_member, LOG_WARNING, &what,
            "refused a connection from %s that says it is member %" PRIx64 ": %s", c->address,
            c->member_id, text);
}

static void report_out(struct connection *c, enum transport_reason why, bool is_theirs,
                       const char *text)
{
    uint8_t data[WHAT_SIZE];
    struct writer what = kind_of(data, SUBJECT_FAILURE_OUT, why, c->member_id);
    say(c->t, true, LOG_WARNING, &what, "member %" PRIx64 " at %s %s: %s", c->member_id, c->address,
        is_theirs ? "refuses this member" : "cannot be reached", text);
}

void report_failure(struct connection *c, enum transport_reason why, bool is_theirs)
{
    char text[LINE_SIZE];
    /* Part of how connections settle. */
    if (why == TRANSPORT_DUPLICATE || why == TRANSPORT_STOPPED || why == TRANSPORT_REPLACED)
        return;
    if (c->is_dialed && is_theirs && why == TRANSPORT_UNBOUND && c->t->has_psk &&
        c->pattern == NOISE_IK)
        return; /* the next attempt shows it our key */
    explain(c, why, text);
    if (c->is_dialed)
        report_out(c, why, is_theirs, text);
    else
        report_in(c, why, text);
}

void report_unresolved(struct transport *t, const struct peer *p, const char *host, int error)
{
    uint8_t data[WHAT_SIZE];
    struct writer what = kind_of(data, SUBJECT_UNRESOLVED, 0, p->id);
    say(t, true, LOG_WARNING, &what, "member %" PRIx64 ": cannot resolve %s: %s", p->id, host,
        error != 0 ? uv_strerror(error) : "it has no address");
}

void report_connected(struct connection *c)
{
    uint8_t data[WHAT_SIZE];
    struct writer what = kind_of(data, SUBJECT_CONNECTED, c->stream, c->member_id);
    say(c->t, true, LOG_INFO, &what, "member %" PRIx64 " at %s: connected (%s, version %u)",
        c->member_id, c->address, stream_name(c->stream), (unsigned)c->agreed.version);
}

void report_lost(struct connection *c)
{
    uint8_t data[WHAT_SIZE];
    if (c->why == TRANSPORT_DUPLICATE || c->why == TRANSPORT_REPLACED)
        return;
    struct writer what = kind_of(data, SUBJECT_LOST, c->stream, c->member_id);
    say(c->t, true, LOG_INFO, &what, "member %" PRIx64 " at %s: connection lost (%s): %s",
        c->member_id, c->address, stream_name(c->stream), transport_reason_text(c->why));
}
