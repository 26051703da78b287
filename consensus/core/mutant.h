/* Bugs that a test harness must find, each planted by building with -Dmutant=N. A normal build
 * (0) compiles nothing of them. The numbers are fixed: harnesses name them. */
#ifndef WARREN_CORE_MUTANT_H
#define WARREN_CORE_MUTANT_H

#ifndef RAFT_MUTANT
#define RAFT_MUTANT 0
#endif

enum mutant {
    /* An entry of an old term is committed by counting who has it (thesis figure 3.7). */
    MUTANT_COMMIT_BY_COUNTING = 1,
    /* An append is answered with the log's last index, not with what the append proved. */
    MUTANT_ACK_STALE_TAIL = 2,
    /* A follower commits up to its last index, not up to what the append proved. */
    MUTANT_COMMIT_STALE_TAIL = 3,
    /* The quorum is looked at only at the leader's last index: no commit under steady load. */
    MUTANT_COMMIT_AT_LAST_ONLY = 6,
    /* A vote is sent before it is durable. */
    MUTANT_VOTE_BEFORE_DURABLE = 8,
    /* The target of a transfer gets a second vote of one term. */
    MUTANT_TRANSFER_VOTES_TWICE = 9,
    /* A new leader changes the configuration, and a member campaigns, before what is in the log of
     * changes is applied. */
    MUTANT_CHANGE_OVER_PENDING = 15,
    /* An installed snapshot does not replace the configuration. */
    MUTANT_SNAPSHOT_KEEPS_CONFIGURATION = 16,
    /* A new leader answers reads before it has committed an entry of its own term. */
    MUTANT_READ_BEFORE_OWN_COMMIT = 21,
    /* Any heartbeat's answer confirms the newest read, also one that was sent before it. */
    MUTANT_READ_TOKEN_IGNORED = 22,
    /* A leader counts its own entries before they are durable: a failed append was acknowledged. */
    MUTANT_SELF_ACK_BEFORE_DURABLE = 23,
    /* A completed write marks entries stable that have replaced those it wrote. */
    MUTANT_STABLE_ABA = 24,
};

#define MUTANT(name) (RAFT_MUTANT == MUTANT_##name)

#endif
