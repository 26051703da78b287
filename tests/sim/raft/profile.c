#include "tests/sim/raft/sim.h"

#include <string.h>

/* Drawn for every profile; each then turns some of it up. */
static void draw_common(struct profile *p, struct random_source *r)
{
    static const unsigned voters[] = {3, 3, 3, 5, 5, 4, 1, 2};
    *p = (struct profile){
        .voters = voters[random_below(r, ARRAY_COUNT(voters))],
        .learners = random_chance(r, 200) ? 1 : 0,
        .async_storage = random_chance(r, 750),
        .check_quorum = random_chance(r, 850),
        .pre_vote = random_chance(r, 750),
        .no_forwarding = random_chance(r, 100),
        .fifo = random_chance(r, 400),
        .loss = random_chance(r, 500) ? (unsigned)random_below(r, 100) : 0,
        .duplication = random_chance(r, 500) ? (unsigned)random_below(r, 100) : 0,
        .poor_hints = random_chance(r, 400) ? 500 : 0,
        .delay_min = random_below(r, 100),
        .delay_spread = random_between(r, 10, 1500),
        .long_delay = 20 * TICK,
        .long_delay_chance = random_chance(r, 500) ? (unsigned)random_below(r, 40) : 0,
        .disk_min = 10,
        .disk_spread = random_between(r, 10, 2000),
        .slow_disk = 30 * TICK,
        .slow_disk_chance = random_chance(r, 500) ? (unsigned)random_below(r, 30) : 0,
        .batching = random_chance(r, 400) ? (unsigned)random_below(r, 300) : 0,
        .drift_max = random_chance(r, 200) ? 10 : 2,
        .clients = (unsigned)random_between(r, 1, 8),
        .think = random_between(r, 1, 10) * TICK,
        .reads = 300,
        .fault_interval = random_between(r, 5, 60) * TICK,
        .admin_interval = random_between(r, 100, 600) * TICK,
        .compaction = (unsigned)random_between(r, 0, 100),
        .keep_max = (unsigned)random_between(r, 0, 40),
        .leader_bias = (unsigned)random_between(r, 0, 900),
        .crash = 10,
        .crash_all = 1,
        .partition = 5,
        .isolate = 6,
        .one_way = 3,
        .pause = 4,
        .slow = 4,
        .full = 2,
        .io_error = 2,
        .transfer = 4,
        .campaign = 2,
        .forget = 1,
        .no_ticks = 2,
        .destroy = 2,
        .hostile = 1,
        .unreachable = 2,
        .election_ticks = random_chance(r, 700) ? 10 : (unsigned)random_between(r, 3, 20),
        .max_message_size = random_chance(r, 300) ? 0 : random_between(r, 1, 4000),
        .max_applying_size = random_chance(r, 400) ? 0 : random_between(r, 1, 4000),
        .max_uncommitted_size = random_chance(r, 600) ? 0 : random_between(r, 100, 4000),
        .max_inflight = (size_t)random_between(r, 1, 64),
    };
    if (random_chance(r, 300))
        p->max_inflight_size = p->max_message_size + random_below(r, 4000);
}

/* Few faults, much work. */
static void calm(struct profile *p, struct random_source *r)
{
    p->fault_interval = 2000 * TICK;
    p->admin_interval = 5000 * TICK;
    p->clients = MAX_CLIENTS / 2;
    p->think = random_between(r, 1, 3) * TICK / 4;
    p->no_forwarding = false;
}

/* Only the network is bad. */
static void network(struct profile *p, struct random_source *r)
{
    p->crash = p->crash_all = p->full = p->io_error = p->destroy = p->no_ticks = 0;
    p->loss = (unsigned)random_below(r, 250);
    p->duplication = (unsigned)random_below(r, 250);
    p->long_delay_chance = (unsigned)random_below(r, 100);
    p->fifo = false;
    p->admin_interval = 5000 * TICK;
}

/* Leaders come and go before anything settles: thesis figure 3.7. */
static void elections(struct profile *p, struct random_source *r)
{
    p->voters = random_chance(r, 600) ? 5 : 3;
    p->learners = 0;
    p->election_ticks = (unsigned)random_between(r, 2, 5);
    p->delay_spread = random_between(r, 100, 2500);
    p->fault_interval = random_between(r, 2, 12) * TICK;
    p->check_quorum = random_chance(r, 400);
    p->pre_vote = random_chance(r, 400);
    p->crash = 20;
    p->isolate = 20;
    p->campaign = 10;
    p->transfer = 4;
    p->destroy = p->hostile = 0;
    p->admin_interval = 20000 * TICK;
    p->clients = (unsigned)random_between(r, 1, 4);
    p->think = TICK;
    p->drift_max = 1 + (unsigned)random_below(r, 2);
}

/* Leaders change faster than disks write, so that what is being written is replaced. */
static void overwrites(struct profile *p, struct random_source *r)
{
    elections(p, r);
    p->async_storage = true;
    p->crash = 2;
    p->isolate = 10;
    p->campaign = 40;
    p->slow = 10;
    p->disk_spread = random_between(r, 500, 8000);
    p->delay_spread = random_between(r, 50, 800);
    p->poor_hints = 0;
    p->pre_vote = random_chance(r, 200);
    p->think = TICK / 2;
    p->leader_bias = 200;
}

/* Thesis figure 3.7 again, with tails of old leaders that are found slowly. */
static void tails(struct profile *p, struct random_source *r)
{
    elections(p, r);
    p->fault_interval = random_between(r, 3, 20) * TICK;
    p->check_quorum = random_chance(r, 200);
    p->pre_vote = !p->check_quorum && random_chance(r, 500);
    p->poor_hints = 800;
    p->max_message_size = random_chance(r, 500) ? 0 : random_between(r, 1, 300);
    p->max_inflight = (size_t)random_between(r, 1, 4);
    p->delay_spread = random_between(r, 50, 800);
    p->disk_spread = random_between(r, 50, 800);
    p->leader_bias = 200;
    p->clients = MAX_CLIENTS / 2;
    p->think = TICK / 2;
    p->compaction = 5;
    p->crash = 10;
    p->isolate = 20;
    p->partition = 10;
    p->transfer = p->pause = p->full = p->io_error = p->no_ticks = 0;
}

/* Leaders and candidates crash before their slow disks have what they said. */
static void hasty(struct profile *p, struct random_source *r)
{
    elections(p, r);
    p->async_storage = true;
    p->fault_interval = random_between(r, 2, 8) * TICK;
    p->disk_spread = random_between(r, 10, 500);
    p->slow_disk_chance = 250;
    p->slow_disk = 15 * TICK;
    p->delay_min = 10;
    p->delay_spread = random_between(r, 10, 1000);
    p->long_delay_chance = 0;
    p->loss = 250;
    p->crash = 60;
    p->crash_new = 600;
    p->voters = random_chance(r, 800) ? 3 : 5;
    p->check_quorum = random_chance(r, 200);
    p->pre_vote = random_chance(r, 200);
    p->isolate = p->partition = 3;
    p->campaign = 10;
    p->transfer = p->pause = p->full = p->io_error = p->no_ticks = p->slow = 0;
    p->clients = MAX_CLIENTS / 2;
    p->think = TICK;
    p->batching = 0;
}

/* More writes than answers: something must be committed all the same. */
static void flood(struct profile *p, struct random_source *r)
{
    p->fault_interval = p->admin_interval = 0;
    p->flood = true;
    p->learners = 0;
    p->reads = 0;
    p->leader_bias = 1000;
    p->loss = p->duplication = p->long_delay_chance = p->slow_disk_chance = 0;
    p->clients = MAX_CLIENTS;
    p->think = random_between(r, TICK, 3 * TICK);
    p->delay_min = p->delay_spread = p->disk_spread = TICK / 2;
    p->max_uncommitted_size = p->max_inflight_size = 0;
    p->max_message_size = 64 * 1024;
    p->max_applying_size = 0;
    p->max_inflight = 64;
    p->election_ticks = 10;
    p->drift_max = 1;
}

/* Voters come and go one upon the other, and so do leaders. */
static void changes(struct profile *p, struct random_source *r)
{
    p->voters = random_chance(r, 500) ? 3 : 4;
    p->learners = 0;
    p->simple_changes = true;
    p->admin_interval = random_between(r, 2, 12) * TICK;
    p->fault_interval = random_between(r, 3, 12) * TICK;
    p->election_ticks = (unsigned)random_between(r, 3, 6);
    p->delay_spread = random_between(r, 100, 2000);
    p->partition = 20;
    p->isolate = 20;
    p->crash = 5;
    p->campaign = 5;
    p->destroy = p->hostile = 0;
    p->clients = (unsigned)random_between(r, 1, 3);
    p->drift_max = 1;
}

static void membership(struct profile *p, struct random_source *r)
{
    p->admin_interval = random_between(r, 10, 80) * TICK;
    p->fault_interval = random_between(r, 10, 60) * TICK;
    p->transfer = 6;
}

static void snapshots(struct profile *p, struct random_source *r)
{
    p->compaction = (unsigned)random_between(r, 200, 900);
    p->keep_max = (unsigned)random_between(r, 0, 5);
    p->isolate = 15;
    p->clients = MAX_CLIENTS / 2;
    p->think = TICK;
}

static void disks(struct profile *p, struct random_source *r)
{
    p->disk_spread = random_between(r, 100, 20000);
    p->slow_disk_chance = (unsigned)random_below(r, 200);
    p->crash = 20;
    p->crash_all = 5;
    p->full = 10;
    p->io_error = 10;
    p->slow = 15;
    p->async_storage = random_chance(r, 900);
    p->delay_spread = random_between(r, 10, 500);
}

static void damage(struct profile *p, struct random_source *r)
{
    p->voters = random_chance(r, 600) ? 3 : 5;
    p->destroy = 20;
    p->rollback = random_chance(r, 500);
    p->admin_interval = random_between(r, 50, 200) * TICK;
}

static void transfers(struct profile *p, struct random_source *r)
{
    p->transfer = 30;
    p->voters = random_chance(r, 500) ? 3 : 5;
    p->fault_interval = random_between(r, 4, 25) * TICK;
    p->slow = 10;
}

static void reading(struct profile *p, struct random_source *r)
{
    p->reads = 750;
    p->clients = MAX_CLIENTS;
    p->think = random_between(r, 1, 4) * TICK;
    p->fault_interval = random_between(r, 5, 30) * TICK;
    p->pause = 15;
    p->isolate = 15;
    p->long_delay_chance = 40;
    p->check_quorum = random_chance(r, 500);
}

static void chaos(struct profile *p, struct random_source *r)
{
    p->crash_new = random_chance(r, 300) ? 100 : 0;
}

static const struct {
    const char *name;
    void (*draw)(struct profile *, struct random_source *);
} profiles[] = {
    {"chaos", chaos},
    {"elections", elections},
    {"membership", membership},
    {"snapshots", snapshots},
    {"disks", disks},
    {"network", network},
    {"transfers", transfers},
    {"reading", reading},
    {"damage", damage},
    {"elections", elections},
    {"calm", calm},
    {"flood", flood},
    {"changes", changes},
    {"overwrites", overwrites},
    {"tails", tails},
    {"hasty", hasty},
};

const char *profile_name(unsigned at)
{
    return at < ARRAY_COUNT(profiles) ? profiles[at].name : NULL;
}

bool profile_draw(struct profile *out, struct random_source *r, const char *name, unsigned voters,
                  uint64_t seed)
{
    size_t at = seed % ARRAY_COUNT(profiles);
    for (size_t i = 0; name != NULL; i++) {
        if (i == ARRAY_COUNT(profiles))
            return false;
        at = i;
        if (strcmp(profiles[i].name, name) == 0)
            break;
    }
    draw_common(out, r);
    profiles[at].draw(out, r);
    /* With neither, a learner of a later term than the leader's is lost to it for good. */
    if (!out->check_quorum && !out->pre_vote)
        out->learners = out->destroy = 0, out->admin_interval = 0;
    if (out->max_inflight_size > 0 && out->max_inflight_size < out->max_message_size)
        out->max_inflight_size = out->max_message_size;
    out->name = profiles[at].name;
    if (voters > 0)
        out->voters = voters;
    return true;
}
