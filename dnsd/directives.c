#include "dnsd/directives.h"

#include <string.h>

/* A name without a setup is CoreDNS's, but not ours yet: it is refused by name. */
const struct directive directives[] = {
    {"metadata", NULL},
    {"geoip", NULL},
    {"cancel", NULL},
    {"tls", NULL},
    {"timeouts", directive_timeouts_setup},
    {"reload", directive_reload_setup},
    {"nsid", directive_nsid_setup},
    {"bufsize", directive_bufsize_setup},
    {"root", NULL},
    {"bind", directive_bind_setup},
    {"debug", directive_debug_setup},
    {"trace", NULL},
    {"ready", directive_ready_setup},
    {"health", directive_health_setup},
    {"pprof", NULL},
    {"prometheus", directive_prometheus_setup},
    {"errors", directive_errors_setup},
    {"log", directive_log_setup},
    {"dnstap", NULL},
    {"local", NULL},
    {"dns64", NULL},
    {"acl", directive_acl_setup},
    {"any", directive_any_setup},
    {"chaos", directive_chaos_setup},
    {"loadbalance", directive_loadbalance_setup},
    {"tsig", NULL},
    {"cache", directive_cache_setup},
    {"rewrite", NULL},
    {"header", NULL},
    {"dnssec", NULL},
    {"autopath", NULL},
    {"minimal", directive_minimal_setup},
    {"template", NULL},
    {"transfer", NULL},
    {"hosts", NULL},
    {"route53", NULL},
    {"azure", NULL},
    {"clouddns", NULL},
    {"k8s_external", NULL},
    {"kubernetes", NULL},
    {"wgsd", directive_wgsd_setup},
    {"warren", directive_warren_setup},
    {"file", NULL},
    {"auto", NULL},
    {"secondary", NULL},
    {"etcd", NULL},
    {"loop", NULL},
    {"forward", NULL},
    {"grpc", NULL},
    {"erratic", NULL},
    {"whoami", directive_whoami_setup},
    {"on", NULL},
    {"sign", NULL},
    {"view", NULL},
};
const size_t directive_count = ARRAY_COUNT(directives);

bool directive_is_known(const char *name)
{
    for (size_t i = 0; i < directive_count; i++)
        if (strcmp(directives[i].name, name) == 0)
            return true;
    return false;
}
