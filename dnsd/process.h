/* The process around the instances: the main loop, signals, replacing one instance by another, and
 * the registry member that outlives them all.
 *
 * A member is opened when one of etcd's flags asks for it, when the Corefile names a directive that
 * needs it, or when there is neither an argument nor a Corefile; with a member and no Corefile
 * there is no DNS.
 *
 * Signals as CoreDNS: TERM and INT stop gracefully (a second INT at once, code 2), QUIT at once,
 * USR1 reloads, HUP is ignored. A reload that fails leaves the running instance as it is. */
#ifndef WARREN_DNSD_PROCESS_H
#define WARREN_DNSD_PROCESS_H

#include "base/err.h"
#include "base/strbuf.h"
#include "dnsd/member.h"

#include <stdbool.h>

struct instance;
struct process;

struct process_options {
    const char *conf;         /* -conf; NULL: ./Corefile if there is one, else CoreDNS's default */
    const char *default_port; /* -dns.port */
    bool has_default_port;    /* it was given */
    const char *pid_file;     /* NULL: none */
    bool quiet;
    bool is_bare; /* started without any argument */
    struct member_options member;
};

/* Loads and starts, then serves until a signal ends it. Returns the exit code; what went wrong at
 * the start is printed to standard error as CoreDNS prints it. */
int process_run(const struct process_options *options);

/* The Corefile read anew from where the process got it (a file; else the text it started with).
 * ERROR gets Go's text, such as "open Corefile: no such file or directory". Any thread. */
enum err process_read_source(struct process *p, struct strbuf *text,
                             struct strbuf *error) MUST_CHECK;
/* Opens the registry member, unless it is open: for the setup of a directive that needs
 * dnsd->store. It stays open to the end of the process. ERROR gets lines for a user. Main thread.
 */
enum err process_need_store(struct process *p, struct strbuf *error) MUST_CHECK;
/* What messages call that file. */
const char *process_source_name(const struct process *p);

/* Told, on the main thread, that a reload which process_request_reload asked for failed, and why in
 * one line. The instance that asked serves on. (A reload that succeeds runs its stop hooks.) */
typedef void process_reload_failed_fn(void *context, const char *error);

/* Asks the main thread to replace the running instance by one made of TEXT (copied). Any thread. A
 * request while another is pending is dropped. False if dropped, or without memory. */
bool process_request_reload(struct process *p, const char *text, size_t size,
                            process_reload_failed_fn *failed, void *context);

/* "CoreDNS-1.11.1" and the platform line, as `-version` and a start print them. */
void process_version(struct strbuf *out);
/* `-plugins`: what CoreDNS lists. */
void process_plugins(struct strbuf *out);

#endif
