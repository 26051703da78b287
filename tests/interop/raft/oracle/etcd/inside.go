package main

import (
	"fmt"
	"reflect"
	"unsafe"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// What etcd-io/raft does not export, read where it lies. go.mod pins the version; that each field is
// there, and of the kind that is read, is checked at the start (a missing one ends the program).
type offsets struct {
	raft                         uintptr // in RawNode
	term, vote, lead, transferee uintptr // in raft
	state, learner, uncommitted  uintptr
	electionElapsed              uintptr
	heartbeatElapsed             uintptr
	electionTimeout              uintptr
	postponedReads, readOnly     uintptr
	tracker, log                 uintptr
	unconfirmedReads             uintptr // in readOnly
	committed, applied           uintptr // in raftLog
	unstable                     uintptr
	snapshot, entries, offset    uintptr // in unstable
	sentCommit                   uintptr // in tracker.Progress
	inflightCount, inflightBytes uintptr // in tracker.Inflights
}

var at offsets

func field(t reflect.Type, name string, kind reflect.Kind) reflect.StructField {
	f, ok := t.FieldByName(name)
	if !ok || f.Type.Kind() != kind {
		fatal("etcd-io/raft is not the version that this test knows: %v has no field %s of kind %v", t, name, kind)
	}
	return f
}

func findOffsets() {
	node := field(reflect.TypeFor[raft.RawNode](), "raft", reflect.Pointer)
	r := node.Type.Elem()
	of := func(name string, kind reflect.Kind) uintptr { return field(r, name, kind).Offset }
	at.raft = node.Offset
	at.term = of("Term", reflect.Uint64)
	at.vote = of("Vote", reflect.Uint64)
	at.lead = of("lead", reflect.Uint64)
	at.transferee = of("leadTransferee", reflect.Uint64)
	at.state = of("state", reflect.Uint64)
	at.learner = of("isLearner", reflect.Bool)
	at.uncommitted = of("uncommittedSize", reflect.Uint64)
	at.electionElapsed = of("electionElapsed", reflect.Int)
	at.heartbeatElapsed = of("heartbeatElapsed", reflect.Int)
	at.electionTimeout = of("randomizedElectionTimeout", reflect.Int)
	at.postponedReads = of("pendingReadIndexMessages", reflect.Slice)
	at.readOnly = of("readOnly", reflect.Pointer)
	at.tracker = of("trk", reflect.Struct)
	if t := field(r, "trk", reflect.Struct).Type; t != reflect.TypeFor[tracker.ProgressTracker]() {
		fatal("etcd-io/raft is not the version that this test knows: trk is a %v", t)
	}
	at.log = of("raftLog", reflect.Pointer)
	at.unconfirmedReads = field(field(r, "readOnly", reflect.Pointer).Type.Elem(), "unconfirmedReads", reflect.Slice).Offset
	log := field(r, "raftLog", reflect.Pointer).Type.Elem()
	at.committed = field(log, "committed", reflect.Uint64).Offset
	at.applied = field(log, "applied", reflect.Uint64).Offset
	unstable := field(log, "unstable", reflect.Struct)
	at.unstable = unstable.Offset
	at.snapshot = field(unstable.Type, "snapshot", reflect.Pointer).Offset
	at.entries = field(unstable.Type, "entries", reflect.Slice).Offset
	at.offset = field(unstable.Type, "offset", reflect.Uint64).Offset
	at.sentCommit = field(reflect.TypeFor[tracker.Progress](), "sentCommit", reflect.Uint64).Offset
	at.inflightCount = field(reflect.TypeFor[tracker.Inflights](), "count", reflect.Int).Offset
	at.inflightBytes = field(reflect.TypeFor[tracker.Inflights](), "bytes", reflect.Uint64).Offset
}

func read[T any](base unsafe.Pointer, offset uintptr) T { return *(*T)(unsafe.Add(base, offset)) }

// A view of one node's insides. Valid as long as the node is.
type inside struct {
	raft unsafe.Pointer
	log  unsafe.Pointer
}

func look(rn *raft.RawNode) inside {
	r := read[unsafe.Pointer](unsafe.Pointer(rn), at.raft)
	return inside{raft: r, log: read[unsafe.Pointer](r, at.log)}
}

func (in inside) term() uint64                      { return read[uint64](in.raft, at.term) }
func (in inside) vote() uint64                      { return read[uint64](in.raft, at.vote) }
func (in inside) lead() uint64                      { return read[uint64](in.raft, at.lead) }
func (in inside) transferee() uint64                { return read[uint64](in.raft, at.transferee) }
func (in inside) state() raft.StateType             { return raft.StateType(read[uint64](in.raft, at.state)) }
func (in inside) isLearner() bool                   { return read[bool](in.raft, at.learner) }
func (in inside) uncommitted() uint64               { return read[uint64](in.raft, at.uncommitted) }
func (in inside) electionElapsed() int              { return read[int](in.raft, at.electionElapsed) }
func (in inside) heartbeatElapsed() int             { return read[int](in.raft, at.heartbeatElapsed) }
func (in inside) electionTimeout() int              { return read[int](in.raft, at.electionTimeout) }
func (in inside) setElectionTimeout(v int)          { *(*int)(unsafe.Add(in.raft, at.electionTimeout)) = v }
func (in inside) committed() uint64                 { return read[uint64](in.log, at.committed) }
func (in inside) applied() uint64                   { return read[uint64](in.log, at.applied) }
func (in inside) unstable(o uintptr) unsafe.Pointer { return unsafe.Add(in.log, at.unstable+o) }
func (in inside) tracker() *tracker.ProgressTracker {
	return (*tracker.ProgressTracker)(unsafe.Add(in.raft, at.tracker))
}

func (in inside) unstableSnapshot() *pb.Snapshot { return *(**pb.Snapshot)(in.unstable(at.snapshot)) }
func (in inside) unstableEntries() []*pb.Entry   { return *(*[]*pb.Entry)(in.unstable(at.entries)) }

// Those that wait for an entry of the leader's own term, and those that wait for a heartbeat's answers.
func (in inside) pendingReads() int {
	readOnly := read[unsafe.Pointer](in.raft, at.readOnly)
	return len(read[[]unsafe.Pointer](in.raft, at.postponedReads)) + len(read[[]unsafe.Pointer](readOnly, at.unconfirmedReads))
}

// A leader, the only voter, that has not committed an entry of its own term.
func (in inside) leadsAloneAnew(s *storage) bool {
	if in.state() != raft.StateLeader || !in.tracker().IsSingleton() {
		return false
	}
	committed := in.committed()
	for _, e := range in.unstableEntries() {
		if e.GetIndex() == committed {
			return e.GetTerm() != in.term()
		}
	}
	term, err := s.Term(committed)
	return err != nil || term != in.term()
}

func (in inside) last(s *storage) (index, term uint64) {
	if entries := in.unstableEntries(); len(entries) > 0 {
		e := entries[len(entries)-1]
		return e.GetIndex(), e.GetTerm()
	}
	if snap := in.unstableSnapshot(); snap != nil {
		return snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm()
	}
	index, _ = s.LastIndex()
	term, err := s.Term(index)
	if err != nil {
		panic(fmt.Sprintf("no term of the last index %d: %v", index, err))
	}
	return index, term
}

func sentCommit(p *tracker.Progress) uint64 { return read[uint64](unsafe.Pointer(p), at.sentCommit) }
func inflightCount(p *tracker.Progress) int {
	return read[int](unsafe.Pointer(p.Inflights), at.inflightCount)
}
func inflightBytes(p *tracker.Progress) uint64 {
	return read[uint64](unsafe.Pointer(p.Inflights), at.inflightBytes)
}
