package main

import (
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// The events: one episode is a cluster from its start, for some thousand steps. What a step does depends on the seed, its
// number, and the state; a step that is left out (to make a failing episode smaller) does not shift the others' luck.
//
// Intended differences, which are therefore never made an event of both (doRefused has our side refuse each). The core
// refuses with ERR_MALFORMED, and changes nothing, where etcd-io/raft panics or relies on the good will of its members:
//   - a proposal without entries, a read without exactly one, a snapshot that is missing, empty or has an impossible
//     configuration: etcd-io/raft panics, or answers as if it were an old one;
//   - a heartbeat whose commit index is behind the log, a read token that was never given, an acknowledgement of entries
//     that the leader does not have: a panic, now or at the next conflict;
//   - a message that has a term where its type has none, or none where it has one: etcd-io/raft takes term 0 for a
//     message of its own, and panics when it hands on a transfer that already has a term;
//   - terms and indexes above 2^63 - 2, whose sums wrap there;
//   - entries with gaps, falling terms or undecodable changes: stored there as they are;
//   - messages from nobody, to another, or from a node itself that it does not send to itself: handled there as others.
//
// And differences by design: the only voter answers no read before an entry of its own term is committed, for after a
// restart its commit index may be lower than what it answered before; a change that is applied while a snapshot waits to be
// installed is part of that, and does nothing; a change that contradicts the configuration when it is applied is a verdict, not a panic
// (the events compare the verdicts); without any limit on what is applied at once there is one entry, not a panic
// (MaxSizePerMsg 0 needs a MaxCommittedSizePerReady here); the number of reads that wait is bounded, far above what is
// asked here.

// How likely what is, for a whole episode.
type style struct {
	weights      [kindCount]int
	reorder      int // percent of deliveries that are not the oldest message
	duplicate    int
	drop         int
	ownerRefuses int
	lazy         int  // which of the storage's four queues is slow,
	lag          int  // and percent of its work that is put off
	leases       bool // nobody reads, and nobody forgets a leader
	eager        int  // percent of steps behind which a node does all it can at once
}

type kind int

const (
	kindTick kind = iota
	kindReady
	kindStorage
	kindDeliver
	kindPropose
	kindChange
	kindRead
	kindTransfer
	kindForget
	kindUnreachable
	kindSnapshotStatus
	kindCampaign
	kindCompact
	kindRestart
	kindOdd
	kindAvailable
	kindPartition
	kindElapse
	kindDivide
	kindFallBehind
	kindElectionTimeout
	kindRefused
	kindCount
)

func newStyle(r *random) style {
	w := [kindCount]int{kindTick: 22, kindReady: 350, kindStorage: 350, kindDeliver: 400, kindPropose: 60, kindChange: 12,
		kindRead: 10, kindTransfer: 5, kindForget: 2, kindUnreachable: 4, kindSnapshotStatus: 10, kindCampaign: 3,
		kindCompact: 20, kindRestart: 4, kindOdd: 6, kindAvailable: 3, kindPartition: 6, kindElapse: 2,
		kindDivide: 8, kindFallBehind: 4, kindElectionTimeout: 1, kindRefused: 5}
	// Each episode has its own temper: some things often, others not at all.
	for k := range w {
		switch r.below(6) {
		case 0:
			w[k] = w[k] * 3
		case 1:
			w[k] = (w[k] + 2) / 3
		case 2:
			if k > int(kindPropose) {
				w[k] = 0
			}
		}
	}
	leases := r.chance(5)
	if leases {
		w[kindRead] = 0
	}
	st := style{weights: w, lazy: r.below(4), lag: pick(r, []int{0, 0, 70, 97}), leases: leases,
		ownerRefuses: pick(r, []int{0, 0, 20})}
	if r.chance(65) { // a network and a pace with which things get far
		st.reorder, st.duplicate, st.drop = pick(r, []int{0, 5, 30}), pick(r, []int{0, 2}), pick(r, []int{0, 1, 3})
		st.eager = pick(r, []int{40, 80, 100})
	} else {
		st.reorder, st.duplicate, st.drop = pick(r, []int{5, 30, 100}), pick(r, []int{0, 2, 15}), pick(r, []int{0, 1, 10, 30})
		st.eager = pick(r, []int{0, 0, 20})
	}
	return st
}

func (c *cluster) newConfig(r *random) raft.Config {
	config := raft.Config{
		ElectionTick:  c.election,
		HeartbeatTick: 1 + r.below(min(3, c.election-1)),
		MaxSizePerMsg: pick(r, []uint64{0, 30, 100, 300, 4096, unlimited}),
		// In bytes of entries, of payload, and messages.
		MaxCommittedSizePerReady:  pick(r, []uint64{0, 1, 8, 64, 500, unlimited}),
		MaxUncommittedEntriesSize: pick(r, []uint64{0, 0, 100, 1000}),
		MaxInflightMsgs:           pick(r, []int{1, 2, 3, 7, 256}),
		CheckQuorum:               r.chance(50),
		PreVote:                   r.chance(50),
		AsyncStorageWrites:        r.chance(50),
		DisableProposalForwarding: r.chance(15),
		StepDownOnRemoval:         r.chance(50),
		// Rarely, for contradicting changes come often then.
		DisableConfChangeValidation: r.chance(8),
	}
	if c.style.leases {
		config.CheckQuorum, config.ReadOnlyOption = true, raft.ReadOnlyLeaseBased
	}
	if config.MaxSizePerMsg == 0 && config.MaxCommittedSizePerReady == 0 {
		config.MaxCommittedSizePerReady = 200
	}
	if config.MaxSizePerMsg < unlimited && r.chance(50) {
		config.MaxInflightBytes = max(config.MaxSizePerMsg, pick(r, []uint64{1, 100, 1000}))
	}
	return config
}

func (c *cluster) setUp() {
	r := &random{c.seed}
	c.election = 3 + r.below(14)
	c.style = newStyle(r)
	count := pick(r, []int{1, 2, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7})
	e := &encoder{[]byte{byte(opReset), 0, 0}}
	e.u(c.seed)
	c.out.frame(e.b)
	c.out.frame(nil)

	conf := pb.EnsureConfState(nil)
	for id := uint64(1); id <= uint64(count); id++ {
		switch luck := r.below(10); {
		case luck < 7 || len(conf.Voters) == 0:
			conf.Voters = append(conf.Voters, id)
		case luck < 9:
			conf.Learners = append(conf.Learners, id)
		}
	}
	index, term := uint64(2+r.below(9)), uint64(1+r.below(3))
	config := c.newConfig(r)
	for id := uint64(1); id <= uint64(count); id++ {
		n := &node{id: id, config: config}
		// Members can be of different minds for a while.
		if r.chance(10) {
			n.config = c.newConfig(r)
		}
		c.nodes = append(c.nodes, n)
		isMember := false
		for _, member := range append(append([]uint64{}, conf.Voters...), conf.Learners...) {
			isMember = isMember || member == id
		}
		var snapshot *pb.Snapshot
		if isMember {
			snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{ConfState: conf, Index: new(index), Term: new(term)}}
		}
		c.create(n, snapshot)
	}
}

// --- one step ---------------------------------------------------------------------------------------------------------

func (c *cluster) doStep(number uint64) {
	r := &random{c.seed*0x9e3779b97f4a7c15 + number*0xd1342543de82ef95}
	total := 0
	for _, w := range c.style.weights {
		total += w
	}
	luck := r.below(total)
	k := kind(0)
	for ; luck >= c.style.weights[k]; k++ {
		luck -= c.style.weights[k]
	}
	n := pick(r, c.nodes)
	if k >= kindReady && k <= kindDeliver && c.isIdle() {
		k = kindTick // nothing happens but that time passes
	}
	switch k {
	case kindTick:
		c.doTick(r, n)
	case kindReady:
		c.anyNode(r, func(n *node) bool {
			if n.ready == nil && n.rn.HasReady() {
				c.takeReady(n)
				return true
			}
			return false
		})
	case kindStorage:
		c.anyNode(r, func(n *node) bool {
			return c.hasStorageWork(n) && c.storageWork(n, r)
		})
	case kindDeliver:
		c.doDeliver(r)
	case kindPropose:
		c.doPropose(r, n)
	case kindChange:
		c.doChange(r, n)
	case kindRead:
		n = c.orLeader(r, n)
		for range pick(r, []int{1, 1, 1, 1, 1, 2, 20}) {
			if context := []byte(fmt.Sprintf("%0*d", r.below(5), r.below(6))); !n.in.leadsAloneAnew(n.storage) {
				c.readIndex(n, context)
			}
		}
	case kindTransfer:
		c.transfer(c.orLeader(r, n), uint64(1+r.below(len(c.nodes)+1)))
	case kindForget:
		c.forgetLeader(n)
	case kindUnreachable:
		c.doUnreachable(r)
	case kindSnapshotStatus:
		c.doSnapshotStatus(r)
	case kindCampaign:
		c.campaign(n)
	case kindCompact:
		n = c.orLeader(r, n)
		luck := r.below(3)
		if luck != 0 {
			c.takeSnapshot(n)
		}
		if luck != 1 {
			c.compact(n, r)
		}
	case kindRestart:
		c.doRestart(r, n)
	case kindOdd:
		c.doOdd(r)
	case kindAvailable:
		c.setAvailable(n, n.storage.unavailable || r.chance(50))
	case kindPartition:
		c.doPartition(r)
	case kindElapse:
		for range c.election {
			c.tick(n)
		}
	case kindDivide:
		c.doDivide(r)
	case kindFallBehind:
		c.doFallBehind(r)
	case kindElectionTimeout:
		c.setElectionTimeout(n, c.election+r.below(c.election))
	case kindRefused:
		c.doRefused(r, n)
	}
	if r.chance(c.style.eager) {
		c.settle(r, pick(r, c.nodes))
		c.settle(r, n)
	}
}

func (c *cluster) isIdle() bool {
	for _, n := range c.nodes {
		if c.hasStorageWork(n) || n.rn.HasReady() {
			return false
		}
	}
	return len(c.net) == 0
}

// Everything that a node can do without the network; it is not much, but for the limits below.
func (c *cluster) settle(r *random, n *node) {
	for range 50 {
		if n == c.frozen {
			return
		}
		if n.ready == nil && n.rn.HasReady() {
			c.takeReady(n)
		} else if !c.hasStorageWork(n) || !c.storageWork(n, r) {
			return
		}
	}
}

func (c *cluster) anyNode(r *random, f func(*node) bool) {
	start := r.below(len(c.nodes))
	for i := range c.nodes {
		if f(c.nodes[(start+i)%len(c.nodes)]) {
			return
		}
	}
}

func (c *cluster) orLeader(r *random, n *node) *node {
	if r.chance(60) {
		c.anyNode(r, func(other *node) bool {
			if other.in.state() == raft.StateLeader {
				n = other
				return true
			}
			return false
		})
	}
	return n
}

func (c *cluster) doTick(r *random, n *node) {
	if r.chance(50) {
		c.tick(n)
		return
	}
	for _, n := range c.nodes {
		c.tick(n)
	}
}

func (c *cluster) doDeliver(r *random) {
	if len(c.net) == 0 {
		return
	}
	at := 0
	if r.chance(c.style.reorder) {
		at = r.below(len(c.net))
	}
	m := c.net[at]
	isLost := r.chance(c.style.drop) || (m.GetFrom() <= maxNodes && c.cut[m.GetFrom()][m.GetTo()])
	if isLost || !r.chance(c.style.duplicate) {
		c.net = append(c.net[:at], c.net[at+1:]...)
	}
	if isLost {
		return
	}
	if r.chance(5) {
		if len(c.old) == maxOld {
			c.old[r.below(maxOld)] = m
		} else {
			c.old = append(c.old, m)
		}
	}
	c.arrive(m)
}

// As the network's end would: nothing that a node sent to itself (handed on by a follower that had lost its leadership)
// comes through but what may.
func (c *cluster) arrive(m *pb.Message) {
	n := c.node(m.GetTo())
	if n == nil {
		return
	}
	if m.GetType() == pb.MsgReadIndex && n.in.leadsAloneAnew(n.storage) {
		return
	}
	// etcd-io/raft panics when it hands on a transfer a second time.
	if m.GetType() == pb.MsgTransferLeader && n.in.state() == raft.StateFollower && n.in.lead() != 0 &&
		m.GetTerm() == n.in.term() {
		return
	}
	// Where changes are not looked at before they are appended, two configurations without a common majority may decide
	// different things. What comes of that is one of the intended differences.
	last, _ := n.in.last(n.storage)
	switch m.GetType() {
	case pb.MsgAppResp:
		if !m.GetReject() && m.GetIndex() > last && m.GetTerm() == n.in.term() && n.in.state() == raft.StateLeader &&
			n.in.tracker().Progress[m.GetFrom()] != nil {
			c.cover.hit("impossible acknowledgement")
			c.refused(n, m)
			return
		}
	case pb.MsgHeartbeat:
		if m.GetCommit() > last && m.GetTerm() >= n.in.term() {
			c.cover.hit("impossible commit index")
			c.refused(n, m)
			return
		}
	}
	c.deliver(n, m)
}

// Some that add up to a limit, or whose entries do.
var sizes = []int{0, 0, 1, 2, 5, 8, 20, 25, 50, 50, 75, 100, 127, 128, 300, 1500}

func payload(r *random) []byte {
	data := make([]byte, pick(r, sizes))
	for i := range data {
		data[i] = byte(r.next())
	}
	return data
}

func (c *cluster) doPropose(r *random, n *node) {
	n = c.orLeader(r, n)
	if r.chance(70) {
		c.propose(n, payload(r))
		return
	}
	// Several at once, as from a member that hands them on.
	m := &pb.Message{Type: pb.MsgProp.Enum(), From: new(uint64(1 + r.below(maxNodes+1))), To: new(n.id)}
	if m.GetFrom() == n.id {
		return
	}
	for range 1 + r.below(5) {
		e := &pb.Entry{Data: payload(r)}
		if r.chance(5) {
			e.Data = nil
		}
		if r.chance(10) {
			kind, data, err := pb.MarshalConfChange(c.newChange(r))
			must(err)
			e = &pb.Entry{Type: kind.Enum(), Data: data}
		}
		m.Entries = append(m.Entries, e)
	}
	c.cover.hit("several entries in one proposal")
	c.deliver(n, m)
}

func (c *cluster) newItem(r *random) *pb.ConfChangeSingle {
	types := []pb.ConfChangeType{pb.ConfChangeAddNode, pb.ConfChangeAddNode, pb.ConfChangeAddLearnerNode,
		pb.ConfChangeAddLearnerNode, pb.ConfChangeRemoveNode, pb.ConfChangeUpdateNode}
	id := uint64(1 + r.below(len(c.nodes)))
	switch r.below(20) {
	case 0:
		id = 0
	case 1:
		if r.chance(40) {
			id = maxNodes + 1 // who never starts
		}
	}
	return &pb.ConfChangeSingle{Type: pick(r, types).Enum(), NodeId: new(id)}
}

// Nil: leave.
func (c *cluster) newChange(r *random) pb.ConfChangeI {
	var context []byte
	if r.chance(30) {
		context = payload(r)[:0:0]
		context = append(context, []byte("context")[:r.below(8)]...)
	}
	switch luck := r.below(100); {
	case luck < 15:
		return nil
	case luck < 45:
		item := c.newItem(r)
		if len(context) == 0 {
			context = nil
		}
		return &pb.ConfChange{Type: item.Type, NodeId: item.NodeId, Context: context}
	default:
		transitions := []pb.ConfChangeTransition{pb.ConfChangeTransitionAuto, pb.ConfChangeTransitionAuto,
			pb.ConfChangeTransitionJointImplicit, pb.ConfChangeTransitionJointExplicit}
		if len(context) == 0 {
			context = nil
		}
		cc := &pb.ConfChangeV2{Transition: pick(r, transitions).Enum(), Context: context}
		for range r.below(5) {
			cc.Changes = append(cc.Changes, c.newItem(r))
		}
		return cc
	}
}

func (c *cluster) doChange(r *random, n *node) { c.change(c.orLeader(r, n), c.newChange(r)) }

func (c *cluster) doUnreachable(r *random) {
	n := c.orLeader(r, pick(r, c.nodes))
	if id := uint64(1 + r.below(len(c.nodes)+1)); id != n.id {
		c.unreachable(n, id)
	}
}

func (c *cluster) doSnapshotStatus(r *random) {
	n := c.orLeader(r, pick(r, c.nodes))
	id := uint64(1 + r.below(len(c.nodes)))
	for other := uint64(1); other <= uint64(len(c.nodes)); other++ {
		if p := n.in.tracker().Progress[other]; p != nil && p.State == tracker.StateSnapshot {
			id = other
		}
	}
	if id != n.id {
		c.snapshotStatus(n, id, r.chance(50))
	}
}

func (c *cluster) doRestart(r *random, n *node) {
	c.cover.hit("node restarted")
	if c.hasStorageWork(n) || n.rn.HasReady() {
		c.cover.hit("node restarted with work undone")
	}
	// A new version of the program may want other things.
	if r.chance(20) {
		n.config = c.newConfig(r)
	}
	c.start(n)
}

// Healed; one node alone, often the leader; one that hears and is not heard, or the other way round; any links.
func (c *cluster) doPartition(r *random) {
	pattern := r.below(11)
	alone := int(c.orLeader(r, pick(r, c.nodes)).id)
	for from := range c.cut {
		for to := range c.cut[from] {
			isCut := false
			switch pattern {
			case 4:
				isCut = from == alone || to == alone
			case 5:
				isCut = from == alone
			case 6:
				isCut = to == alone
			case 7:
				isCut = r.chance(30)
			}
			c.cut[from][to] = isCut && from != to
		}
	}
}

// While a snapshot is being stored, a newer one arrives.
func (c *cluster) doOvertake(r *random, leader, behind *node, heard *pb.Message) {
	for range 3 {
		c.propose(leader, payload(r))
		c.settle(r, leader)
		c.without(r, behind, 30)
	}
	c.takeSnapshot(leader)
	c.compact(leader, r)
	c.snapshotStatus(leader, behind.id, true)
	if leader.in.state() != raft.StateLeader || leader.in.term() != heard.GetTerm() {
		return
	}
	before := behind.in.unstableSnapshot()
	c.arrive(heard)
	c.settle(r, leader)
	c.deliverOne(r, func(m *pb.Message) bool {
		return m.GetFrom() == leader.id && m.GetTo() == behind.id && m.GetType() == pb.MsgSnap
	})
	if now := behind.in.unstableSnapshot(); now != nil && now != before {
		c.cover.hit("snapshot overtaken by another")
	}
}

// Some rounds of everybody but ALONE, who hears nothing and is not heard.
func (c *cluster) without(r *random, alone *node, rounds int) {
	for range rounds {
		if len(c.net) == 0 {
			return
		}
		m := c.net[0]
		c.net = c.net[1:]
		if n := c.node(m.GetTo()); n != alone && m.GetFrom() != alone.id {
			c.arrive(m)
			c.settle(r, n)
		}
	}
}

// The oldest message for which it is true.
func (c *cluster) deliverOne(r *random, is func(*pb.Message) bool) {
	for i, m := range c.net {
		if is(m) {
			c.net = append(c.net[:i], c.net[i+1:]...)
			c.arrive(m)
			return
		}
	}
}

// A leader is cut off and goes on appending, and another may be elected, who appends other entries in their place.
func (c *cluster) doDivide(r *random) {
	leader := c.orLeader(r, pick(r, c.nodes))
	for range 1 + r.below(pick(r, []int{1, 2, 5})) {
		c.propose(leader, payload(r))
		if r.chance(70) {
			c.settle(r, leader)
		}
	}
	next := pick(r, c.nodes)
	if next == leader {
		return
	}
	// One who has taken the leader's entries, and is slow to write them.
	if slow := pick(r, c.nodes); slow != next && slow != leader && r.chance(70) {
		c.frozen = slow
		for range 20 {
			c.deliverOne(r, func(m *pb.Message) bool { return m.GetFrom() == leader.id && m.GetTo() == slow.id })
		}
		if slow.ready == nil && slow.rn.HasReady() && r.chance(60) {
			c.takeReady(slow)
		}
	}
	defer func() { c.frozen = nil }()
	c.without(r, leader, 10)
	switch r.below(4) {
	case 0:
		c.campaign(next)
	case 1:
		for range 2 * c.election {
			c.tick(next)
		}
	default: // whom the others may not refuse for the leader's sake
		c.arrive(&pb.Message{Type: pb.MsgTimeoutNow.Enum(), From: new(leader.id), To: new(next.id),
			Term: new(max(next.in.term(), 1))})
	}
	c.settle(r, next)
	// The slow one's write of the new term says what the end of its log is, which may be replaced before it is done.
	for range 3 {
		c.without(r, leader, r.below(20))
		if slow := c.frozen; slow != nil && slow.ready == nil && slow.rn.HasReady() && r.chance(50) {
			c.takeReady(slow)
		}
	}
	for range r.below(6) {
		c.propose(next, payload(r))
		c.settle(r, next)
	}
	if r.chance(50) {
		c.without(r, leader, r.below(60))
	}
	c.cover.hit("leader left alone")
}

// A member misses so much that it needs a snapshot.
func (c *cluster) doFallBehind(r *random) {
	leader := c.orLeader(r, pick(r, c.nodes))
	behind := pick(r, c.nodes)
	if behind == leader || leader.in.state() != raft.StateLeader {
		return
	}
	for range 1 + r.below(4) {
		c.propose(leader, payload(r))
		c.settle(r, leader)
		c.without(r, behind, 30)
	}
	c.takeSnapshot(leader)
	c.compact(leader, r)
	for range leader.config.HeartbeatTick {
		c.tick(leader)
	}
	c.settle(r, leader)
	c.cover.hit("member left behind")
	if r.chance(50) {
		c.doCatchUp(r, leader, behind)
	}
}

// A snapshot arrives, and before it is stored, entries behind it, or a later term.
func (c *cluster) doCatchUp(r *random, leader, behind *node) {
	if leader.in.state() != raft.StateLeader {
		return
	}
	isTo := func(t pb.MessageType) func(*pb.Message) bool {
		return func(m *pb.Message) bool {
			return m.GetFrom() == leader.id && m.GetTo() == behind.id && m.GetType() == t
		}
	}
	heard := &pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(behind.id), To: new(leader.id),
		Term: new(leader.in.term())}
	c.arrive(heard) // so that it is active, and probed
	c.settle(r, leader)
	c.deliverOne(r, isTo(pb.MsgSnap))
	if behind.in.unstableSnapshot() == nil {
		return
	}
	if r.chance(50) {
		c.propose(leader, payload(r))
		c.snapshotStatus(leader, behind.id, false)
		c.arrive(heard)
		c.settle(r, leader)
		c.deliverOne(r, isTo(pb.MsgApp))
		return
	}
	if behind.ready == nil && behind.rn.HasReady() {
		c.takeReady(behind)
	}
	if r.chance(50) {
		c.doOvertake(r, leader, behind, heard)
		return
	}
	// From one who never starts: nobody is misled for long.
	c.arrive(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(maxNodes + 1)), To: new(behind.id),
		Term: new(behind.in.term() + 1)})
}

// --- odd messages -----------------------------------------------------------------------------------------------------

// What no correct member sends in this situation, but both sides define: it can cost progress, never safety.
func (c *cluster) doOdd(r *random) {
	if len(c.old) > 0 && r.chance(40) {
		m := pick(r, c.old)
		c.cover.hit("old message delivered again")
		c.arrive(m)
		return
	}
	if len(c.net) > 0 && r.chance(60) {
		c.doAltered(r, pick(r, c.net))
		return
	}
	n := c.orLeader(r, pick(r, c.nodes))
	if n.in.state() == raft.StateLeader && r.chance(30) {
		c.doUnaskedSnapshot(r, n)
		return
	}
	from := uint64(1 + r.below(maxNodes+1))
	if from == n.id {
		return
	}
	in := n.in
	last, lastTerm := in.last(n.storage)
	term := in.term() + uint64(r.below(3)) // also of the future
	if term > 1 && r.chance(30) {
		term -= 1
	}
	if term == 0 {
		term = 1
	}
	m := &pb.Message{To: new(n.id), From: new(from), Term: new(term)}
	near := func(v uint64) *uint64 { return new(max(v+uint64(r.below(5)), 2) - 2) }
	switch r.below(11) {
	case 0: // of one who never starts: nobody is elected by what was said for him
		m.Type, m.From = pb.MsgVote.Enum(), new(uint64(maxNodes+1))
		m.Index, m.LogTerm = near(last), near(lastTerm)
		if r.chance(20) {
			m.Context = []byte("CampaignTransfer")
		}
	case 1:
		m.Type = pb.MsgPreVote.Enum()
		m.Index, m.LogTerm = near(last), near(lastTerm)
	case 2: // a refusal only: a vote that was never given elects two leaders
		m.Type, m.Reject = pb.MsgVoteResp.Enum(), new(true)
	case 3:
		m.Type, m.Reject = pb.MsgPreVoteResp.Enum(), new(true)
	case 4: // a rejection of what may be on its way, with any hint
		m.Type, m.Reject = pb.MsgAppResp.Enum(), new(true)
		m.Index, m.RejectHint, m.LogTerm = near(last), near(last), near(lastTerm)
		if p := in.tracker().Progress[from]; p != nil && r.chance(70) {
			m.Index = near(p.Next - 1)
			m.RejectHint = new(uint64(r.below(int(last) + 3)))
			if r.chance(40) {
				m.Index, m.RejectHint = new(p.Next-1), near(p.Next-1)
			}
			if r.chance(30) {
				m.LogTerm = nil
			}
		}
	case 5: // an acknowledgement of less than was acknowledged
		m.Type, m.Index = pb.MsgAppResp.Enum(), new(uint64(0))
		if p := in.tracker().Progress[from]; p != nil && in.state() == raft.StateLeader {
			m.Index = new(p.Match - min(p.Match, uint64(r.below(3))))
		}
	case 6:
		m.Type = pb.MsgHeartbeatResp.Enum()
	case 7: // of a leader that nobody elected, and that has nothing to tell
		m.Type = pb.MsgHeartbeat.Enum()
		m.Term = new(in.term() + 1)
		m.Commit = new(in.committed() - min(in.committed(), uint64(r.below(3))))
	case 8:
		m.Type = pb.MsgTimeoutNow.Enum()
	case 9: // what only a node itself says
		local := []pb.MessageType{pb.MsgHup, pb.MsgBeat, pb.MsgUnreachable, pb.MsgSnapStatus, pb.MsgCheckQuorum,
			pb.MsgStorageAppend, pb.MsgStorageAppendResp, pb.MsgStorageApply, pb.MsgStorageApplyResp}
		m.Type = pick(r, local).Enum()
	case 10:
		m.Type, m.Index = pb.MsgReadIndexResp.Enum(), near(last)
		m.Entries = []*pb.Entry{{Data: []byte("odd")}}
	}
	c.cover.hit("odd message delivered")
	c.arrive(m)
}

// A leader's snapshot to who does not need it: most of all to one that has its entries, and others behind, and does not
// know that they are committed.
func (c *cluster) doUnaskedSnapshot(r *random, leader *node) {
	c.takeSnapshot(leader)
	snapshot, err := leader.storage.MemoryStorage.Snapshot()
	must(err)
	to := pick(r, c.nodes)
	for _, n := range c.nodes {
		last, _ := n.in.last(n.storage)
		if n.in.committed() < snapshot.GetMetadata().GetIndex() && snapshot.GetMetadata().GetIndex() < last {
			to = n
		}
	}
	if to == leader || raft.IsEmptySnap(snapshot) {
		return
	}
	c.cover.hit("odd message delivered")
	c.arrive(&pb.Message{Type: pb.MsgSnap.Enum(), From: new(leader.id), To: new(to.id), Term: new(leader.in.term()),
		Snapshot: snapshot})
}

// A real message, changed so that it is still true: it says less.
func (c *cluster) doAltered(r *random, of *pb.Message) {
	m := &pb.Message{Type: of.Type, To: of.To, From: of.From, Term: of.Term, LogTerm: of.LogTerm, Index: of.Index,
		Entries: of.Entries, Commit: of.Commit, Vote: of.Vote, Snapshot: of.Snapshot, Reject: of.Reject,
		RejectHint: of.RejectHint, Context: of.Context}
	count := len(m.Entries)
	switch m.GetType() {
	case pb.MsgApp:
		switch r.below(3) {
		case 0: // without the last entries
			m.Entries = m.Entries[:r.below(count+1)]
		case 1: // without the first ones
			if count > 0 {
				first := m.Entries[0]
				m.Entries, m.Index, m.LogTerm = m.Entries[1:], first.Index, first.Term
			}
		}
		m.Commit = new(m.GetCommit() - min(m.GetCommit(), uint64(r.below(4))))
	case pb.MsgHeartbeat:
		m.Commit = new(m.GetCommit() - min(m.GetCommit(), uint64(r.below(4))))
		if r.chance(30) {
			m.Context = nil
		}
	case pb.MsgHeartbeatResp:
		m.Context = nil
	case pb.MsgAppResp:
		if m.GetReject() {
			m.RejectHint = new(uint64(r.below(int(m.GetIndex()) + 2)))
		} else {
			m.Index = new(m.GetIndex() - min(m.GetIndex(), uint64(r.below(4))))
		}
	case pb.MsgVoteResp, pb.MsgPreVoteResp:
		if m.GetTerm() == 0 || !m.GetReject() && m.GetType() == pb.MsgPreVoteResp {
			return // refused, it would speak of a term that nobody has yet
		}
		m.Reject = new(true)
	case pb.MsgVote, pb.MsgPreVote:
		m.Index = new(m.GetIndex() - min(m.GetIndex(), uint64(r.below(4))))
		if r.chance(30) {
			m.LogTerm = new(m.GetLogTerm() - min(m.GetLogTerm(), 1))
		}
	default:
		return
	}
	c.cover.hit("altered message delivered")
	c.arrive(m)
}

// --- messages that are refused ----------------------------------------------------------------------------------------

// The intended differences above, one after the other.
func (c *cluster) doRefused(r *random, n *node) {
	n = c.orLeader(r, n)
	from := uint64(1 + r.below(maxNodes+1))
	if from == n.id {
		from = maxNodes + 1
	}
	in := n.in
	last, _ := in.last(n.storage)
	term := max(in.term(), 1)
	m := &pb.Message{To: new(n.id), From: new(from), Term: new(term)}
	entry := func(index, term uint64) *pb.Entry {
		return &pb.Entry{Index: new(index), Term: new(term), Data: []byte("x")}
	}
	is := func(t pb.MessageType) { m.Type = t.Enum() }
	isLeader := in.state() == raft.StateLeader
	isMember := in.tracker().Progress[from] != nil
	switch r.below(24) {
	case 0: // nothing proposed
		is(pb.MsgProp)
		m.Term = nil
	case 1: // a proposal of a term
		is(pb.MsgProp)
		m.Entries = []*pb.Entry{{Data: []byte("x")}}
	case 2: // a change that nobody can read
		is(pb.MsgProp)
		m.Term = nil
		m.Entries = []*pb.Entry{{Type: pick(r, []pb.EntryType{pb.EntryConfChange, pb.EntryConfChangeV2}).Enum(), Data: []byte("x")}}
	case 3:
		is(pb.MsgReadIndex)
		m.Term = nil
	case 4:
		is(pb.MsgReadIndex)
		m.Term = nil
		m.Entries = []*pb.Entry{{}, {}}
	case 5:
		is(pb.MsgSnap)
	case 6:
		is(pb.MsgSnap)
		m.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Term: new(term), ConfState: &pb.ConfState{Voters: []uint64{n.id}}}}
	case 7: // a voter and a learner at once
		is(pb.MsgSnap)
		m.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(last + 5), Term: new(term),
			ConfState: &pb.ConfState{Voters: []uint64{n.id}, Learners: []uint64{n.id}}}}
	case 8: // learners_next without a joint configuration
		is(pb.MsgSnap)
		m.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(last + 5), Term: new(term),
			ConfState: &pb.ConfState{Voters: []uint64{n.id}, LearnersNext: []uint64{from}}}}
	case 9: // of a future term
		is(pb.MsgSnap)
		m.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(last + 5), Term: new(term + 1),
			ConfState: &pb.ConfState{Voters: []uint64{n.id}}}}
	case 10: // a commit index that we have not
		is(pb.MsgHeartbeat)
		m.Commit = new(last + 1 + uint64(r.below(3)))
	case 11: // a token that was not given
		is(pb.MsgHeartbeatResp)
		if !isLeader || !isMember {
			return
		}
		m.Context = []byte{255, 255, 0, 0, 0, 0, 0, 0}
	case 12:
		is(pb.MsgHeartbeatResp)
		if !isMember {
			return
		}
		m.Context = []byte("odd")
	case 13: // entries that the leader has not
		is(pb.MsgAppResp)
		if !isLeader || !isMember {
			return
		}
		m.Index = new(last + 1 + uint64(r.below(3)))
	case 14: // without a term
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgPreVote, pb.MsgHeartbeat, pb.MsgTimeoutNow}).Enum()
		m.Term = nil
	case 15:
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgPreVote, pb.MsgHeartbeat, pb.MsgTimeoutNow}).Enum()
		m.Term = new(uint64(math.MaxInt64) + uint64(r.below(2)))
	case 16:
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgPreVote}).Enum()
		m.Index = new(uint64(math.MaxUint64) - uint64(r.below(2)))
	case 17: // a gap
		is(pb.MsgApp)
		m.Index, m.Entries = new(uint64(1)), []*pb.Entry{entry(3, term)}
	case 18: // falling terms
		is(pb.MsgApp)
		m.Term, m.Index, m.Entries = new(term+2), new(uint64(1)), []*pb.Entry{entry(2, term+1), entry(3, term)}
	case 19: // an entry of a later term than its leader's
		is(pb.MsgApp)
		m.Index, m.Entries = new(uint64(1)), []*pb.Entry{entry(2, term), entry(3, term+1)}
	case 20: // from itself
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgHeartbeat, pb.MsgTimeoutNow, pb.MsgHeartbeatResp}).Enum()
		m.From = m.To
	case 21: // from nobody
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgHeartbeat, pb.MsgTimeoutNow}).Enum()
		m.From = nil
	case 22: // to another
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgHeartbeat, pb.MsgTimeoutNow}).Enum()
		m.To = new(n.id + 1)
	case 23: // from a thread that says something else
		m.Type = pick(r, []pb.MessageType{pb.MsgApp, pb.MsgVote, pb.MsgAppResp}).Enum()
		m.From = new(pick(r, []uint64{raft.LocalAppendThread, raft.LocalApplyThread}))
	}
	c.refused(n, m)
}
