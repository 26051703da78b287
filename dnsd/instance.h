/* An instance: one loaded Corefile, set up and (once started) serving.
 *
 * Life: instance_load parses and runs every directive's setup, in CoreDNS's directive order and
 * inside it block by block, once per block (for its first key: the keys of a block share one chain
 * of handlers); nothing is opened yet. instance_start opens listeners and runs the on_start hooks.
 * A reload loads and starts a new instance while the old one serves, then stops the old; if
 * anything fails the old one goes on and the new one is destroyed.
 *
 * Config values live in the instance's arena; handlers free what they own in `destroy`. */
#ifndef WARREN_DNSD_INSTANCE_H
#define WARREN_DNSD_INSTANCE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/strbuf.h"
#include "dnsd/corefile/corefile.h"
#include "dnsd/corefile/zone_key.h"
#include "dnsd/query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct instance;
struct process;
struct store;
struct tcp_pool;
struct uv_loop_s;

/* What all instances of a process share; outlives them. */
struct dnsd {
    struct tcp_pool *pool;
    struct metrics *metrics;  /* counters survive a reload */
    size_t workers;           /* UDP sockets per address */
    const char *default_port; /* -dns.port */
    struct process *process;  /* NULL in tests without one: nothing can ask for a reload */
    struct store *store;      /* the registry; NULL without one */
    struct uv_loop_s *loop;   /* the main one; with a store */
    const char *data_dir;     /* the registry's; NULL without one: nothing outlives the process */
};

/* One key (zone) of one server block: CoreDNS's dnsserver.Config. What directives set (listen
 * hosts, debug, time-outs, handlers) is set on the block's first site and copied to its others. */
struct site {
    struct instance *instance;
    const char *key; /* "dns://example.org.:53" */
    const char
        *zone; /* presentation text, case kept: an upper-case zone never matches (CoreDNS 1.11.1) */
    struct dns_name_buf zone_name;
    const char *port;
    enum transport transport;
    const char **listen_hosts; /* "" alone is the wildcard; `bind` replaces them */
    size_t listen_host_count;
    const struct core_block *block;
    size_t block_index; /* in the Corefile */
    size_t key_index;   /* in the block */
    bool debug;
    bool stacktrace;
    unsigned read_timeout_ms; /* 0: the default */
    unsigned write_timeout_ms;
    unsigned idle_timeout_ms;
    struct handler **handlers; /* the chain, in order; linked by `next` at start */
    size_t handler_count;
    struct handler *first; /* NULL: no handler, every query is REFUSED */
};

/* What a directive's setup gets. It runs once per block that names the directive, with the first
 * site. */
struct setup {
    struct instance *instance;
    struct site *site;
    struct core_cursor
        cursor;           /* over this directive's tokens; starts before the directive's name */
    struct arena *arena;  /* the instance's */
    struct strbuf *error; /* the one-line message when setup fails */
    const char *const
        *keys; /* the block's keys, normalised and expanded ("dns://example.org.:53") */
    size_t key_count;
};

/* A directive: its name and its setup. On failure setup returns an error and has put CoreDNS's
 * message (with "plugin/NAME: " where CoreDNS puts it) into s->error. */
struct directive {
    const char *name;
    enum err (*setup)(struct setup *s);
};

/* Appends HANDLER to the site's chain; the instance destroys it. On ERR_NO_MEMORY the caller keeps
 * it. */
enum err setup_take_handler(struct setup *s, struct handler *handler) MUST_CHECK;

/* Hooks. START hooks run after every setup and before listeners open, in order of registration; a
 * failing one fails the start with its message. STOP hooks run when this instance stops serving
 * (`restarting` tells that a new one took over), in order of registration. */
typedef enum err instance_start_fn(void *context, struct instance *inst, struct strbuf *error);
typedef void instance_stop_fn(void *context, struct instance *inst, bool restarting);
enum err instance_on_start(struct instance *inst, instance_start_fn *fn, void *context) MUST_CHECK;
/* STARTED hooks run once the instance serves (CoreDNS's InstanceStartupEvent). */
typedef void instance_started_fn(void *context, struct instance *inst);
enum err instance_on_started(struct instance *inst, instance_started_fn *fn,
                             void *context) MUST_CHECK;
enum err instance_on_stop(struct instance *inst, instance_stop_fn *fn, void *context) MUST_CHECK;

/* State shared by the keys and blocks of one instance (and, via `from_old`, handed on by a reload):
 * a slot per directive name. NULL while unset. The instance calls FREE_FN(value) at the end, unless
 * NULL. */
void *instance_slot(struct instance *inst, const char *name);
enum err instance_set_slot(struct instance *inst, const char *name, void *value,
                           void (*free_fn)(void *)) MUST_CHECK;

/* Parses TEXT (called NAME in messages) and runs the set-ups. An empty Corefile stands for
 * CoreDNS's default, "whoami" and "log" on the default port. PREVIOUS is the instance to be
 * replaced, or NULL. On failure ERROR holds the one line that CoreDNS prints. */
enum err instance_load(struct instance **out, struct dnsd *dnsd, const char *name, const char *text,
                       size_t size, struct instance *previous, struct strbuf *error) MUST_CHECK;
/* Runs the start hooks, opens what PREVIOUS has not open already, and takes over from it. On
 * failure PREVIOUS serves on; the caller destroys INST. */
enum err instance_start(struct instance *inst, struct strbuf *error) MUST_CHECK;
/* Whether there is an address to serve at all: `bind X { except X }` leaves none. */
bool instance_listens(const struct instance *inst);
/* Runs the started hooks; the process calls it after its start-up lines. */
void instance_started(struct instance *inst);
/* The end of the process begins: runs the stop hooks, while DNS is answered for as long as they
 * take (that is what lameduck is for). May run on another thread than the loop's, which must go on
 * answering TCP but not touch INST otherwise. Optional: instance_stop does it if it was not done.
 */
void instance_retire(struct instance *inst);
/* Runs the stop hooks (after a reload, where another instance answers already, at the end) and
 * closes what no other instance has taken over. */
void instance_stop(struct instance *inst, bool restarting);
/* Only of an instance that never started or was stopped. */
void instance_destroy(struct instance *inst);
/* CoreDNS's start-up lines: every zone with its port, and the address where it is bound. */
void instance_describe(const struct instance *inst, struct strbuf *out);

struct dnsd *instance_dnsd(struct instance *inst);
struct metrics *instance_metrics(struct instance *inst);
struct arena *instance_arena(struct instance *inst);
const struct core_file *instance_corefile(const struct instance *inst);
struct site *const *instance_sites(const struct instance *inst, size_t *count);
/* The instance this one is to replace, during its load and start; else NULL. */
struct instance *instance_previous(const struct instance *inst);

#endif
