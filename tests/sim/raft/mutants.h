/* Included in front of every file of the core that goes into raft-sim-mutants: which of the core's
 * planted bugs (consensus/core/mutant.h) is alive is chosen when the program runs, so that one
 * build serves all. */
#ifndef WARREN_TESTS_SIM_RAFT_MUTANTS_H
#define WARREN_TESTS_SIM_RAFT_MUTANTS_H

extern int raft_sim_mutant;
#define RAFT_MUTANT raft_sim_mutant

#endif
