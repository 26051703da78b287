/* The table of directives, in CoreDNS 1.11.1's order (plugin.cfg plus wgsd before `file`): the
 * order decides the order of setup and of handlers, not the order of lines in a Corefile. */
#ifndef WARREN_DNSD_DIRECTIVES_H
#define WARREN_DNSD_DIRECTIVES_H

#include "dnsd/instance.h"

/* One function per directive, in dnsd/directive/NAME.c. */
enum err directive_acl_setup(struct setup *s);
enum err directive_any_setup(struct setup *s);
enum err directive_bind_setup(struct setup *s);
enum err directive_bufsize_setup(struct setup *s);
enum err directive_cache_setup(struct setup *s);
enum err directive_chaos_setup(struct setup *s);
enum err directive_debug_setup(struct setup *s);
enum err directive_errors_setup(struct setup *s);
enum err directive_health_setup(struct setup *s);
enum err directive_loadbalance_setup(struct setup *s);
enum err directive_log_setup(struct setup *s);
enum err directive_minimal_setup(struct setup *s);
enum err directive_nsid_setup(struct setup *s);
enum err directive_prometheus_setup(struct setup *s);
enum err directive_ready_setup(struct setup *s);
enum err directive_reload_setup(struct setup *s);
enum err directive_timeouts_setup(struct setup *s);
enum err directive_warren_setup(struct setup *s);
enum err directive_wgsd_setup(struct setup *s);
enum err directive_whoami_setup(struct setup *s);

/* All names CoreDNS (with wgsd) knows, in order, and `warren` behind wgsd. `setup` is NULL for
 * those we do not have yet. */
extern const struct directive directives[];
extern const size_t directive_count;

/* For core_file_parse. */
bool directive_is_known(const char *name);

#endif
