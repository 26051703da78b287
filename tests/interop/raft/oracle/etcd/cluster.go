package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const maxNodes = 7

// splitmix64: the same on every machine and in every version of Go.
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) below(n int) int         { return int(r.next() % uint64(n)) }
func (r *random) chance(percent int) bool { return r.below(100) < percent }
func pick[T any](r *random, from []T) T   { return from[r.below(len(from))] }

// etcd-io/raft draws its election time-outs from crypto/rand.Reader, a variable: this one stands in its place, and says
// what the event in progress is to draw. However often it draws in one event, it is the same number, and below any limit
// that is asked for here (rand.Int masks and rejects, and the number is below all election ticks).
type drawer struct{ value byte }

func (d *drawer) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = d.value
	}
	return len(p), nil
}

var draws drawer

// What is durable on one node: what the program behind the node keeps.
type storage struct {
	*raft.MemoryStorage
	hard        *pb.HardState
	conf        *pb.ConfState // as of applied
	applied     uint64
	unavailable bool // no snapshot can be had just now
}

func (s *storage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	hard := &pb.HardState{Term: new(s.hard.GetTerm()), Vote: new(s.hard.GetVote()), Commit: new(s.hard.GetCommit())}
	// Entries may be durably applied before the commit index that allows it is: whoever restarts knows better.
	if *hard.Commit < s.applied {
		hard.Commit = new(s.applied)
	}
	return hard, s.conf, nil
}

func (s *storage) Snapshot() (*pb.Snapshot, error) {
	if s.unavailable {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return s.MemoryStorage.Snapshot()
}

type node struct {
	id      uint64
	config  raft.Config
	rn      *raft.RawNode
	in      inside
	storage *storage

	// Without asynchronous storage: the last ready, as far as it was carried out.
	ready     *raft.Ready
	persisted bool
	toApply   []*pb.Entry
	// With it: what the two threads have to do, and the answers that are on their way to the node.
	storeQueue, applyQueue       []*pb.Message
	storeResponses, applyReplies []*pb.Message
}

type cluster struct {
	seed   uint64
	out    *stream
	cover  *coverage
	count  uint64 // events of this episode
	nodes  []*node
	net    []*pb.Message
	old    []*pb.Message // some that were delivered, to be delivered again much later
	cut    [maxNodes + 2][maxNodes + 2]bool
	frozen *node // does nothing but answer
	trace  func(string)
	about  *pb.Message // what is stepped, for the trace
	mutate int64       // the event whose state is told wrongly; -1: none

	election int
	style    style
}

func (c *cluster) node(id uint64) *node {
	if id == 0 || id > uint64(len(c.nodes)) {
		return nil
	}
	return c.nodes[id-1]
}

// --- telling the other side -------------------------------------------------------------------------------------------

// Begins an event of a node: what it draws, should it draw.
func (c *cluster) event(o op, n *node) *encoder {
	r := random{c.seed ^ c.count*0x2545f4914f6cdd1d ^ n.id<<56}
	draws.value = byte(r.below(c.election))
	e := &encoder{make([]byte, 0, 64)}
	e.b = append(e.b, byte(o), byte(n.id), draws.value)
	return e
}

func (c *cluster) sent(e *encoder, n *node, result uint64, rd *raft.Ready) {
	var d dump
	d.b = make([]byte, 0, 512)
	d.putState(n, result)
	if rd != nil {
		d.putReady(rd)
	}
	if c.trace != nil {
		c.trace(c.describe(e.b, n, result, rd))
	}
	if c.mutate == int64(c.count) {
		c.perturb(&d)
	}
	c.out.frame(e.b)
	c.out.frame(d.b)
	c.count++
	c.cover.after(n, op(e.b[0]), result)
}

// Tells one number of the state wrongly, to see that the other side notices.
func (c *cluster) perturb(d *dump) {
	var starts []int
	for i := 0; i < len(d.b); {
		starts = append(starts, i)
		for i++; d.b[i] >= 0x80; i++ {
		}
		i++
	}
	r := random{c.seed + c.count}
	// The lowest bits of the last byte of a number, so that it stays one.
	start := pick(&r, starts)
	d.b[start+1] ^= 1
}

func withoutPayload([]byte) string { return "" }

func (c *cluster) describe(event []byte, n *node, result uint64, rd *raft.Ready) string {
	var b strings.Builder
	in := n.in
	index, term := in.last(n.storage)
	fmt.Fprintf(&b, "%d: %s node %d -> %d; %v term %d vote %d leader %d commit %d applied %d last %d/%d", c.count,
		opNames[event[0]], n.id, result, in.state(), in.term(), in.vote(), in.lead(), in.committed(), in.applied(), index, term)
	if in.state() == raft.StateLeader {
		for _, id := range slices.Sorted(maps.Keys(in.tracker().Progress)) {
			fmt.Fprintf(&b, " [%d %v]", id, in.tracker().Progress[id])
		}
	}
	fmt.Fprintf(&b, " %v", in.tracker().Config)
	if c.about != nil {
		fmt.Fprintf(&b, "\n%s", raft.DescribeMessage(c.about, withoutPayload))
	}
	if rd != nil {
		fmt.Fprintf(&b, "\n%s", strings.TrimRight(raft.DescribeReady(*rd, withoutPayload), "\n"))
	}
	return b.String()
}

// --- life of a node ---------------------------------------------------------------------------------------------------

func (c *cluster) create(n *node, snapshot *pb.Snapshot) {
	n.storage = &storage{MemoryStorage: raft.NewMemoryStorage(), conf: pb.EnsureConfState(nil)}
	e := &encoder{[]byte{byte(opSeed), byte(n.id), 0}}
	e.flag(snapshot != nil)
	if snapshot != nil {
		must(n.storage.ApplySnapshot(snapshot))
		m := snapshot.GetMetadata()
		n.storage.hard = &pb.HardState{Term: new(m.GetTerm()), Commit: new(m.GetIndex())}
		n.storage.conf = m.GetConfState()
		n.storage.applied = m.GetIndex()
		e.snapshot(snapshot)
	}
	c.out.frame(e.b)
	c.out.frame(nil)
	c.start(n)
}

// From what is durable, with nothing else.
func (c *cluster) start(n *node) {
	e := c.event(opStart, n)
	n.ready, n.persisted, n.toApply = nil, false, nil
	n.storeQueue, n.applyQueue, n.storeResponses, n.applyReplies = nil, nil, nil, nil
	config := n.config
	config.ID = n.id
	config.Storage = n.storage
	config.Applied = n.storage.applied
	config.Logger = c.cover
	hard, conf, _ := n.storage.InitialState()
	for _, v := range []uint64{uint64(config.ElectionTick), uint64(config.HeartbeatTick), config.MaxSizePerMsg,
		config.MaxCommittedSizePerReady, config.MaxUncommittedEntriesSize, uint64(config.MaxInflightMsgs),
		config.MaxInflightBytes, hard.GetTerm(), hard.GetVote(), hard.GetCommit(), config.Applied} {
		e.u(v)
	}
	for _, v := range []bool{config.AsyncStorageWrites, config.CheckQuorum, config.PreVote,
		config.DisableProposalForwarding, config.DisableConfChangeValidation, config.StepDownOnRemoval,
		config.ReadOnlyOption == raft.ReadOnlyLeaseBased} {
		e.flag(v)
	}
	e.conf(conf)
	rn, err := raft.NewRawNode(&config)
	must(err)
	n.rn = rn
	n.in = look(rn)
	c.sent(e, n, 0, nil)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

const (
	resultOK = iota
	resultDropped
	resultLocal
	resultNotFound
)

func resultOf(err error) uint64 {
	switch {
	case err == nil:
		return resultOK
	case errors.Is(err, raft.ErrProposalDropped):
		return resultDropped
	case errors.Is(err, raft.ErrStepLocalMsg):
		return resultLocal
	case errors.Is(err, raft.ErrStepPeerNotFound):
		return resultNotFound
	}
	panic(err)
}

// --- inputs -----------------------------------------------------------------------------------------------------------

func (c *cluster) tick(n *node) {
	e := c.event(opTick, n)
	n.rn.Tick()
	c.sent(e, n, 0, nil)
}

func (c *cluster) campaign(n *node) {
	e := c.event(opCampaign, n)
	c.sent(e, n, resultOf(n.rn.Campaign()), nil)
}

func (c *cluster) propose(n *node, data []byte) {
	e := c.event(opPropose, n)
	e.bytes(data)
	c.sent(e, n, resultOf(n.rn.Propose(data)), nil)
}

// Nil leaves the joint configuration. Everything is stated, as the other side does (sizes count).
func (c *cluster) change(n *node, cc pb.ConfChangeI) {
	e := c.event(opChange, n)
	e.flag(cc != nil)
	if cc != nil {
		_, isV1 := cc.AsV1()
		v2 := cc.AsV2()
		e.flag(isV1)
		e.u(uint64(v2.GetTransition()))
		e.u(uint64(len(v2.GetChanges())))
		for _, item := range v2.GetChanges() {
			e.u(uint64(item.GetType()))
			e.u(item.GetNodeId())
		}
		e.bytes(v2.Context)
	}
	c.sent(e, n, resultOf(n.rn.ProposeConfChange(cc)), nil)
}

func (c *cluster) readIndex(n *node, context []byte) {
	e := c.event(opRead, n)
	e.bytes(context)
	n.rn.ReadIndex(context)
	c.sent(e, n, 0, nil)
}

func (c *cluster) transfer(n *node, to uint64) {
	e := c.event(opTransfer, n)
	e.u(to)
	n.rn.TransferLeader(to)
	c.sent(e, n, 0, nil)
}

func (c *cluster) forgetLeader(n *node) {
	e := c.event(opForget, n)
	c.sent(e, n, resultOf(n.rn.ForgetLeader()), nil)
}

func (c *cluster) unreachable(n *node, id uint64) {
	e := c.event(opUnreachable, n)
	e.u(id)
	n.rn.ReportUnreachable(id)
	c.sent(e, n, 0, nil)
}

func (c *cluster) snapshotStatus(n *node, id uint64, failed bool) {
	e := c.event(opSnapshotStatus, n)
	e.u(id)
	e.flag(failed)
	status := raft.SnapshotFinish
	if failed {
		status = raft.SnapshotFailure
	}
	n.rn.ReportSnapshot(id, status)
	c.sent(e, n, 0, nil)
}

func (c *cluster) deliver(n *node, m *pb.Message) {
	e := c.event(opStep, n)
	e.message(m)
	// A copy: etcd-io/raft keeps and changes what it is given.
	copied := &pb.Message{Type: m.Type, To: m.To, From: m.From, Term: m.Term, LogTerm: m.LogTerm, Index: m.Index,
		Entries: slices.Clone(m.Entries), Commit: m.Commit, Vote: m.Vote, Snapshot: m.Snapshot, Reject: m.Reject,
		RejectHint: m.RejectHint, Context: m.Context}
	c.cover.before(n, m)
	c.about = m
	c.sent(e, n, resultOf(n.rn.Step(copied)), nil)
	c.about = nil
}

func (c *cluster) setElectionTimeout(n *node, ticks int) {
	e := c.event(opElectionTimeout, n)
	n.in.setElectionTimeout(ticks)
	e.u(uint64(ticks))
	c.sent(e, n, 0, nil)
}

// A message that only the other side sees: it refuses it, and nothing changes.
func (c *cluster) refused(n *node, m *pb.Message) {
	e := c.event(opRefused, n)
	e.message(m)
	c.about = m
	c.sent(e, n, resultLocal, nil)
	c.about = nil
}

// --- storage ----------------------------------------------------------------------------------------------------------

func (c *cluster) takeReady(n *node) {
	e := c.event(opReady, n)
	rd := n.rn.Ready()
	c.cover.ready(&rd)
	c.sent(e, n, 0, &rd)
	if !n.config.AsyncStorageWrites {
		n.ready, n.persisted, n.toApply = &rd, false, rd.CommittedEntries
		return
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			n.storeQueue = append(n.storeQueue, m)
		case raft.LocalApplyThread:
			n.applyQueue = append(n.applyQueue, m)
		default:
			c.send(m)
		}
	}
}

func (c *cluster) store(n *node, hard *pb.HardState, entries []*pb.Entry, snapshot *pb.Snapshot) {
	e := c.event(opStore, n)
	e.flag(!raft.IsEmptyHardState(hard))
	s := n.storage
	if !raft.IsEmptyHardState(hard) {
		s.hard = hard
		e.u(hard.GetTerm())
		e.u(hard.GetVote())
		e.u(hard.GetCommit())
	}
	e.flag(!raft.IsEmptySnap(snapshot))
	if !raft.IsEmptySnap(snapshot) {
		must(s.ApplySnapshot(snapshot))
		s.applied = snapshot.GetMetadata().GetIndex()
		s.conf = snapshot.GetMetadata().GetConfState()
		e.snapshot(snapshot)
	}
	e.entries(entries)
	must(s.Append(entries))
	c.sent(e, n, 0, nil)
}

// Applies one committed entry; the owner of a node does not apply what a snapshot that is to be installed has already.
func (c *cluster) apply(n *node, entry *pb.Entry) {
	if snap := n.in.unstableSnapshot(); snap != nil && entry.GetIndex() <= snap.GetMetadata().GetIndex() {
		c.cover.hit("entry overtaken by a snapshot")
		return
	}
	if entry.GetIndex() <= n.storage.applied {
		return
	}
	n.storage.applied = entry.GetIndex()
	switch entry.GetType() {
	case pb.EntryConfChange:
		cc := &pb.ConfChange{}
		must(proto.Unmarshal(entry.GetData(), cc))
		c.applyChange(n, entry, cc)
	case pb.EntryConfChangeV2:
		cc := &pb.ConfChangeV2{}
		must(proto.Unmarshal(entry.GetData(), cc))
		c.applyChange(n, entry, cc)
	}
}

var verdicts = []string{"", "config is already joint", "can't leave a non-joint config",
	"can't apply simple config change in joint config", "can't make a zero-voter config joint", "removed all voters",
	"more than one voter changed without entering joint config"}

// What etcd-io/raft would panic with is a verdict of the other side, and changes nothing.
func verdictOf(n *node, cc *pb.ConfChangeV2) uint64 {
	t := n.in.tracker()
	changer := confchange.Changer{Tracker: *t, LastIndex: 1}
	var err error
	if cc.LeaveJoint() {
		_, _, err = changer.LeaveJoint()
	} else if autoLeave, ok := cc.EnterJoint(); ok {
		_, _, err = changer.EnterJoint(autoLeave, cc.Changes...)
	} else {
		_, _, err = changer.Simple(cc.Changes...)
	}
	if err == nil {
		return 0
	}
	verdict := slices.Index(verdicts, err.Error())
	if verdict < 0 {
		panic(err)
	}
	return uint64(verdict)
}

func (c *cluster) applyChange(n *node, entry *pb.Entry, cc pb.ConfChangeI) {
	if n.in.unstableSnapshot() != nil {
		return // an intended difference
	}
	r := random{c.seed ^ entry.GetIndex()<<32 ^ entry.GetTerm()}
	if r.chance(c.style.ownerRefuses) { // every member's owner comes to the same decision
		cc = &pb.ConfChange{Type: pb.ConfChangeAddNode.Enum(), NodeId: new(uint64(0))}
		if r.chance(50) {
			return
		}
		verdict := verdictOf(n, cc.AsV2())
		e := c.event(opApplyNothing, n)
		if verdict == 0 {
			n.storage.conf = n.rn.ApplyConfChange(cc)
		}
		c.sent(e, n, verdict, nil)
		return
	}
	e := c.event(opApplyChange, n)
	e.u(entryType(entry))
	e.bytes(entry.Data)
	verdict := verdictOf(n, cc.AsV2())
	if verdict == 0 {
		n.storage.conf = n.rn.ApplyConfChange(cc)
	} else {
		c.cover.hit("change refused when applied: " + verdicts[verdict])
	}
	c.sent(e, n, verdict, nil)
}

func (c *cluster) hasStorageWork(n *node) bool {
	return n.ready != nil || len(n.storeQueue)+len(n.applyQueue)+len(n.storeResponses)+len(n.applyReplies) > 0
}

// One piece of the work that a node has handed out; false if it is put off.
func (c *cluster) storageWork(n *node, r *random) bool {
	if n.ready != nil {
		c.syncWork(n, r)
		return true
	}
	queues := []*[]*pb.Message{&n.storeQueue, &n.applyQueue, &n.storeResponses, &n.applyReplies}
	work := queues[r.below(4)]
	for len(*work) == 0 {
		work = queues[r.below(4)]
	}
	if work == queues[c.style.lazy] && r.chance(c.style.lag) {
		return false
	}
	m := (*work)[0]
	*work = (*work)[1:]
	switch work {
	case &n.storeQueue:
		c.store(n, &pb.HardState{Term: new(m.GetTerm()), Vote: new(m.GetVote()), Commit: new(m.GetCommit())}, m.GetEntries(),
			m.GetSnapshot())
		for _, response := range m.GetResponses() {
			if response.GetTo() == n.id {
				n.storeResponses = append(n.storeResponses, response)
			} else {
				c.send(response)
			}
		}
	case &n.applyQueue:
		for _, entry := range m.GetEntries() {
			c.apply(n, entry)
		}
		n.applyReplies = append(n.applyReplies, m.GetResponses()...)
	default:
		c.deliver(n, m)
	}
	return true
}

func (c *cluster) syncWork(n *node, r *random) {
	rd := n.ready
	if !n.persisted {
		c.store(n, rd.HardState, rd.Entries, rd.Snapshot)
		for _, m := range rd.Messages {
			c.send(m)
		}
		n.persisted = true
	} else if len(n.toApply) > 0 {
		count := 1 + r.below(len(n.toApply)) // a crash may come between
		for _, entry := range n.toApply[:count] {
			c.apply(n, entry)
		}
		n.toApply = n.toApply[count:]
	} else {
		e := c.event(opAdvance, n)
		n.rn.Advance(*rd)
		n.ready = nil
		c.sent(e, n, 0, nil)
	}
}

func (c *cluster) takeSnapshot(n *node) {
	s := n.storage
	held, _ := s.MemoryStorage.Snapshot()
	last, _ := s.LastIndex()
	if s.applied <= held.GetMetadata().GetIndex() || s.applied > last {
		return
	}
	e := c.event(opSnapshot, n)
	snapshot, err := s.CreateSnapshot(s.applied, s.conf, nil)
	must(err)
	e.snapshot(snapshot)
	c.sent(e, n, 0, nil)
}

// No further than what both the node and its owner have applied, and a snapshot stands for.
func (c *cluster) compact(n *node, r *random) {
	s := n.storage
	held, _ := s.MemoryStorage.Snapshot()
	limit := min(held.GetMetadata().GetIndex(), n.in.applied(), s.applied)
	first, _ := s.FirstIndex()
	if limit < first {
		return
	}
	to := limit - uint64(r.below(int(min(limit-first+1, 4))))
	e := c.event(opCompact, n)
	must(s.Compact(to))
	e.u(to)
	c.sent(e, n, 0, nil)
	c.cover.hit("log compacted")
}

func (c *cluster) setAvailable(n *node, available bool) {
	e := c.event(opAvailable, n)
	n.storage.unavailable = !available
	e.flag(available)
	c.sent(e, n, 0, nil)
}

// --- network ----------------------------------------------------------------------------------------------------------

const (
	maxInFlight = 400
	maxOld      = 64
)

func (c *cluster) send(m *pb.Message) {
	if c.node(m.GetTo()) == nil || len(c.net) >= maxInFlight {
		return
	}
	c.net = append(c.net, m)
}

const unlimited = math.MaxUint64
