package main

import (
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// What was reached. Most of it is what etcd-io/raft itself says in its log: each line is one state of the algorithm. The
// rest is seen in states and messages.
type coverage struct {
	Events   uint64
	Episodes uint64
	Ops      map[string]uint64
	Lines    map[string]uint64
	Seen     map[string]uint64
	MaxTerm  uint64
}

func newCoverage() *coverage {
	return &coverage{Ops: map[string]uint64{}, Lines: map[string]uint64{}, Seen: map[string]uint64{}}
}

func (v *coverage) hit(name string) { v.Seen[name]++ }

func (v *coverage) add(o *coverage) {
	v.Events += o.Events
	v.Episodes += o.Episodes
	v.MaxTerm = max(v.MaxTerm, o.MaxTerm)
	for _, pair := range [][2]map[string]uint64{{v.Ops, o.Ops}, {v.Lines, o.Lines}, {v.Seen, o.Seen}} {
		for name, count := range pair[1] {
			pair[0][name] += count
		}
	}
}

// --- raft.Logger ------------------------------------------------------------------------------------------------------

func (v *coverage) line(format string)               { v.Lines[format]++ }
func (v *coverage) Debug(...any)                     {}
func (v *coverage) Debugf(format string, _ ...any)   { v.line(format) }
func (v *coverage) Error(a ...any)                   { v.line(fmt.Sprint(a...)) }
func (v *coverage) Errorf(format string, _ ...any)   { v.line(format) }
func (v *coverage) Info(...any)                      {}
func (v *coverage) Infof(format string, _ ...any)    { v.line(format) }
func (v *coverage) Warning(...any)                   {}
func (v *coverage) Warningf(format string, _ ...any) { v.line(format) }
func (v *coverage) Fatal(a ...any)                   { panic(fmt.Sprint(a...)) }
func (v *coverage) Fatalf(format string, a ...any)   { panic(fmt.Sprintf(format, a...)) }
func (v *coverage) Panic(a ...any)                   { panic(fmt.Sprint(a...)) }
func (v *coverage) Panicf(format string, a ...any)   { panic(fmt.Sprintf(format, a...)) }

// --- what is seen -----------------------------------------------------------------------------------------------------

var resultNames = []string{"ok", "dropped", "refused as local", "from no member"}

func (v *coverage) after(n *node, o op, result uint64) {
	v.Events++
	v.Ops[opNames[o]]++
	if o != opApplyChange && o != opApplyNothing && result != 0 {
		v.hit(opNames[o] + ": " + resultNames[result])
	}
	in := n.in
	v.MaxTerm = max(v.MaxTerm, in.term())
	t := in.tracker()
	joint := len(t.Voters[1]) > 0
	if joint {
		v.hit("state: joint")
		if len(t.LearnersNext) > 0 {
			v.hit("state: learners_next")
		}
		if !t.AutoLeave {
			v.hit("state: joint, to be left explicitly")
		}
	}
	if in.state() != raft.StateLeader {
		return
	}
	if t.Progress[n.id] == nil {
		v.hit("state: removed and still leading")
	}
	if in.isLearner() {
		v.hit("state: demoted and still leading")
	}
	if in.transferee() != 0 {
		v.hit("state: transfer under way")
		if joint {
			v.hit("state: transfer while joint")
		}
	}
	if in.pendingReads() > 0 {
		v.hit("state: reads pending")
		if joint {
			v.hit("state: reads pending while joint")
		}
	}
	if in.uncommitted() > 0 {
		v.hit("state: uncommitted payload")
	}
	for _, p := range t.Progress {
		if p.Inflights.Full() {
			v.hit("progress: inflight full")
			if n.config.MaxInflightBytes != 0 && inflightBytes(p) >= n.config.MaxInflightBytes {
				v.hit("progress: inflight full by bytes")
			}
		}
		switch p.State {
		case tracker.StateSnapshot:
			v.hit("progress: snapshot")
		case tracker.StateProbe:
			if p.MsgAppFlowPaused {
				v.hit("progress: probe, paused")
			}
		}
	}
}

func (v *coverage) before(n *node, m *pb.Message) {
	in := n.in
	if m.GetTerm() != 0 && m.GetTerm() < in.term() {
		v.hit("lower term: " + m.GetType().String())
	}
	switch m.GetType() {
	case pb.MsgStorageAppendResp:
		if m.GetTerm() < in.term() && m.GetSnapshot() != nil {
			v.hit("snapshot stored in an older term")
		}
	case pb.MsgHeartbeatResp:
		if len(m.GetContext()) > 0 {
			v.hit("read confirmed by heartbeat")
		}
	case pb.MsgSnap:
		if in.state() == raft.StateCandidate || in.state() == raft.StatePreCandidate {
			v.hit("snapshot during election")
		}
	case pb.MsgProp:
		if in.state() == raft.StateLeader {
			v.hit("forwarded proposal at the leader")
		}
	}
}

func (v *coverage) ready(rd *raft.Ready) {
	if len(rd.ReadStates) > 0 {
		v.hit("read answered")
	}
	if len(rd.CommittedEntries) > 1 {
		v.hit("several committed at once")
	}
	if !raft.IsEmptySnap(rd.Snapshot) && len(rd.Entries) > 0 {
		v.hit("snapshot and entries in one ready")
	}
	for _, m := range rd.Messages {
		v.hit("message: " + m.GetType().String())
		if m.GetReject() {
			v.hit("message: " + m.GetType().String() + ", reject")
		}
		if len(m.GetEntries()) > 1 && m.GetType() == pb.MsgApp {
			v.hit("message: MsgApp with several entries")
		}
		for _, response := range m.GetResponses() {
			v.hit("response: " + response.GetType().String())
		}
		for _, e := range m.GetEntries() {
			if entryType(e) == 3 && m.GetType() == pb.MsgApp {
				v.hit("change refused when proposed")
			}
		}
	}
}

// Without these a run says nothing. In the words of etcd-io/raft's log, and ours.
var requiredLines = []string{
	"%x became leader at term %d",
	"%x became pre-candidate at term %d",
	"%x became candidate at term %d",
	"%x stepped down to follower since quorum is not active",
	"found conflict at index %d [existing term: %d, conflicting term: %d]",
	"truncate the unstable entries before index %d",
	"replace the unstable entries from index %d",
	"entry at (index,term)=(%d,%d) mismatched with entry at (%d,%d) in unstable log; ignoring",
	"entry at index %d missing from unstable log; ignoring",
	"ignore sending snapshot to %x since it is not recently active",
	"%x failed to send snapshot to %x because snapshot is temporarily unavailable",
	"%x [firstindex: %d, commit: %d] sent snapshot[index: %d, term: %d] to %x [%s]",
	"%x recovered from needing snapshot, resumed sending replication messages to %x [%s]",
	"%x snapshot succeeded, resumed sending replication messages to %x [%s]",
	"%x snapshot failed, resumed sending replication messages to %x [%s]",
	"%x [commit: %d] restored snapshot [index: %d, term: %d]",
	"%x [commit: %d] ignored snapshot [index: %d, term: %d]",
	"%x [commit: %d, lastindex: %d, lastterm: %d] fast-forwarded commit to snapshot [index: %d, term: %d]",
	"initiating automatic transition out of joint configuration %s",
	"not initiating automatic transition out of joint configuration %s: %v",
	"%x appending new entries to log would exceed uncommitted entry size limit; dropping proposal",
	"%x is unpromotable and can not campaign",
	"%x cannot campaign at term %d since there are still pending configuration changes to apply",
	"%x [logterm: %d, index: %d, vote: %x] ignored %s from %x [logterm: %d, index: %d] at term %d: lease is not expired (remaining ticks: %d)",
	"%x [logterm: %d, index: %d, vote: %x] rejected %s from %x [logterm: %d, index: %d] at term %d",
	"%x [term: %d] ignored entry appends from a %s message with lower term [term: %d]",
	"%x [term %d] transfer leadership to %x is in progress; dropping proposal",
	"%x ignoring conf change %s at config %s: %s",
	"%x no progress available for %x",
	"%x decreased progress of %x to [%s]",
	"%x sent MsgTimeoutNow to %x after received MsgAppResp",
	"%x sends MsgTimeoutNow to %x immediately as %x already has up-to-date log",
	"%x [term %d] abort previous transferring leadership to %x",
	"%x [term %d] transfer leadership to %x is in progress, ignores request to same node %x",
	"%x is learner. Ignored transferring leadership",
	"%x [term %d] received MsgTimeoutNow from %x and starts an election to get leadership.",
	"%x [term %d state %v] ignored MsgTimeoutNow from %x",
	"%x not forwarding to leader %x at term %d; dropping proposal",
	"%x forgetting leader %x at term %d",
	"%x no leader at term %d; dropping index reading msg",
	"%x [logterm: %d, index: %d] rejected MsgApp [logterm: %d, index: %d] from %x",
	"%x failed to send message to %x because it is unreachable [%s]",
}

var requiredSeen = []string{
	"state: joint", "state: learners_next", "state: joint, to be left explicitly", "state: removed and still leading",
	"state: demoted and still leading", "state: transfer under way", "state: transfer while joint", "state: reads pending",
	"state: reads pending while joint", "progress: inflight full", "progress: inflight full by bytes", "progress: snapshot",
	"progress: probe, paused", "snapshot stored in an older term", "snapshot during election",
	"forwarded proposal at the leader", "read answered", "read confirmed by heartbeat", "log compacted",
	"node restarted", "node restarted with work undone", "entry overtaken by a snapshot",
	"snapshot overtaken by another",
	"snapshot and entries in one ready", "several committed at once", "change refused when proposed",
	"change refused when applied: removed all voters", "message: MsgApp with several entries",
	"message: MsgPreVoteResp, reject", "message: MsgVoteResp, reject", "message: MsgAppResp, reject",
	"message: MsgTimeoutNow", "message: MsgReadIndexResp", "message: MsgSnap", "message: MsgTransferLeader",
	"step: refused as local", "refused: refused as local", "altered message delivered", "step: from no member", "step: dropped", "propose: dropped", "change: dropped",
	"old message delivered again", "odd message delivered", "several entries in one proposal",
}

func (v *coverage) missing() (names []string) {
	for _, name := range requiredLines {
		if v.Lines[name] == 0 {
			names = append(names, name)
		}
	}
	for _, name := range requiredSeen {
		if v.Seen[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

func (v *coverage) print() {
	for _, part := range []struct {
		title string
		count map[string]uint64
	}{{"events", v.Ops}, {"reached", v.Seen}, {"lines of etcd-io/raft's log", v.Lines}} {
		fmt.Printf("--- %s\n", part.title)
		for _, name := range slices.Sorted(maps.Keys(part.count)) {
			fmt.Printf("%10d  %s\n", part.count[name], name)
		}
	}
}
