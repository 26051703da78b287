/* raft-sim: runs seeds of the simulated cluster until something is wrong, or all were run. */
#include "tests/sim/raft/sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int raft_sim_mutant;

struct arguments {
    struct options options;
    uint64_t seed, seeds;
    double seconds; /* 0: no bound */
    unsigned repeat_every;
    bool list, requires_coverage, is_verbose;
};

static const char *const usage =
    "Usage: raft-sim [OPTION...]\n"
    "  --seed N        the first seed (1)\n"
    "  --seeds N       how many seeds (100)\n"
    "  --events N      events before the faults end, of each seed (20000)\n"
    "  --nodes N       voters at the start; otherwise by the seed\n"
    "  --profile NAME  what goes wrong; otherwise by the seed\n"
    "  --seconds N     stops before the next seed after that time\n"
    "  --repeat N      runs every Nth seed twice and compares the traces (16; 0: never)\n"
    "  --require       fails if a required rare state was never reached\n"
    "  --mutant N      plants a bug: see --list\n"
    "  --trace         prints every event\n"
    "  --quiet         no last events at a failure\n"
    "  --verbose       says how often each rare state was reached\n"
    "  --list          lists profiles, mutants of the owner and rare states\n"
    "Exit code: 0 all held; 1 an invariant was violated; 2 usage; 3 a rare state was not reached\n";

static void list(void)
{
    printf("profiles:");
    for (unsigned i = 0; profile_name(i) != NULL; i++)
        printf(" %s", profile_name(i));
    printf("\n");
#define X(name, number, text) printf("mutant %d: %s\n", number, text);
    OWNER_MUTANT_LIST(X)
#undef X
    for (int c = 0; c < COVERAGE_COUNT; c++)
        printf("state%s: %s\n", coverage_required((enum coverage)c) ? " (required)" : "",
               coverage_text((enum coverage)c));
}

/* An assertion of the core is a finding, too. */
static void on_abort(int signal_number)
{
    struct world *w = trace_world;
    if (w != NULL)
        violated(w, signal_number == SIGABRT ? "assertion" : "memory", "signal %d", signal_number);
    _exit(1);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "raft-sim: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static void parse(struct arguments *a, int argc, char **argv)
{
    enum {
        SEED = 1000,
        SEEDS,
        EVENTS,
        NODES,
        PROFILE,
        SECONDS,
        REPEAT,
        REQUIRE,
        MUTANT_NUMBER,
        TRACE,
        QUIET,
        VERBOSE,
        LIST
    };
    static const struct option options[] = {{"seed", required_argument, NULL, SEED},
                                            {"seeds", required_argument, NULL, SEEDS},
                                            {"events", required_argument, NULL, EVENTS},
                                            {"nodes", required_argument, NULL, NODES},
                                            {"profile", required_argument, NULL, PROFILE},
                                            {"seconds", required_argument, NULL, SECONDS},
                                            {"repeat", required_argument, NULL, REPEAT},
                                            {"require", no_argument, NULL, REQUIRE},
                                            {"mutant", required_argument, NULL, MUTANT_NUMBER},
                                            {"trace", no_argument, NULL, TRACE},
                                            {"quiet", no_argument, NULL, QUIET},
                                            {"verbose", no_argument, NULL, VERBOSE},
                                            {"list", no_argument, NULL, LIST},
                                            {0}};
    *a = (struct arguments){
        .seed = 1, .seeds = 100, .repeat_every = 16, .options = {.events = 20000}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case SEED:
            a->seed = number(optarg);
            break;
        case SEEDS:
            a->seeds = number(optarg);
            break;
        case EVENTS:
            a->options.events = number(optarg);
            break;
        case NODES:
            a->options.voters = (unsigned)number(optarg);
            break;
        case PROFILE:
            a->options.profile = optarg;
            break;
        case SECONDS:
            a->seconds = (double)number(optarg);
            break;
        case REPEAT:
            a->repeat_every = (unsigned)number(optarg);
            break;
        case REQUIRE:
            a->requires_coverage = true;
            break;
        case MUTANT_NUMBER:
            raft_sim_mutant = (int)number(optarg);
            break;
        case TRACE:
            a->options.trace = true;
            break;
        case QUIET:
            a->options.quiet = true;
            break;
        case VERBOSE:
            a->is_verbose = true;
            break;
        case LIST:
            a->list = true;
            break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    struct profile p;
    struct random_source r = {0};
    if (optind < argc || a->options.voters > 9 ||
        !profile_draw(&p, &r, a->options.profile, a->options.voters, 0)) {
        fputs(usage, stderr);
        exit(2);
    }
}

static double seconds_now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How many states were reached; MISSING is told by name. */
static unsigned reached(const struct coverage_counts *c, const struct arguments *a, bool *missing)
{
    unsigned count = 0;
    for (int i = 0; i < COVERAGE_COUNT; i++) {
        count += c->of[i] > 0;
        if (a->is_verbose)
            printf("%10" PRIu64 "  %s\n", c->of[i], coverage_text((enum coverage)i));
        if (c->of[i] == 0 && coverage_required((enum coverage)i)) {
            *missing = true;
            if (a->requires_coverage)
                printf("never: %s\n", coverage_text((enum coverage)i));
        }
    }
    return count;
}

int main(int argc, char **argv)
{
    struct arguments a;
    uint64_t events = 0, seeds = 0;
    bool missing = false;
    parse(&a, argc, argv);
    if (a.list) {
        list();
        return 0;
    }
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    struct world *w = world_create();
    double start = seconds_now(CLOCK_MONOTONIC);
    for (uint64_t seed = a.seed; seeds < a.seeds; seed++, seeds++) {
        if (a.seconds > 0 && seconds_now(CLOCK_MONOTONIC) - start >= a.seconds)
            break;
        world_run(w, seed, &a.options);
        events += w->number;
        if (a.repeat_every == 0 || seed % a.repeat_every != 0)
            continue;
        uint64_t hash = w->trace_hash, count = w->number;
        world_run(w, seed, &a.options);
        events += w->number;
        if (hash != w->trace_hash || count != w->number)
            violated(w, "I12", "the same seed gives another trace");
    }
    double took = seconds_now(CLOCK_PROCESS_CPUTIME_ID); /* whatever else the machine does */
    unsigned states = reached(&w->coverage, &a, &missing);
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64
           " events, %.0f events per CPU second, %u of %d rare "
           "states reached: all invariants hold\n",
           seeds, a.seed, events, (double)events / took, states, COVERAGE_COUNT);
    if (a.requires_coverage && missing)
        printf("does not count: a required state was never reached\n");
    trace_world = NULL;
    world_destroy(w);
    return a.requires_coverage && missing ? 3 : 0;
}
