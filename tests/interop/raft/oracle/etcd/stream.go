package main

import (
	"bufio"
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// The stream to the other side: for each event a frame with the event and one with the state behind it, each behind its
// length in four bytes. Numbers are varints. A state is a list of (tag, number), numbers of 0 left out, so that two of
// them are equal exactly if their bytes are.

type op byte

const (
	opReset op = iota
	opSeed
	opStart
	opTick
	opCampaign
	opPropose
	opChange
	opRead
	opTransfer
	opForget
	opUnreachable
	opSnapshotStatus
	opApplyChange
	opApplyNothing
	opStep
	opReady
	opAdvance
	opStore
	opSnapshot
	opCompact
	opAvailable
	opElectionTimeout
	opRefused
)

var opNames = [...]string{"reset", "seed", "start", "tick", "campaign", "propose", "change", "read", "transfer", "forget",
	"unreachable", "snapshot-status", "apply-change", "apply-nothing", "step", "ready", "advance", "store", "snapshot",
	"compact", "available", "election-timeout", "refused"}

type tag byte

const (
	tResult tag = iota
	tHasReady
	tRole
	tTerm
	tVote
	tLeader
	tTransferee
	tCommit
	tApplied
	tLastIndex
	tLastTerm
	tElectionElapsed
	tHeartbeatElapsed
	tElectionTimeout
	tIsLearner
	tUncommitted
	tPendingReads
	tVoter
	tOutgoing
	tLearner
	tLearnerNext
	tAutoLeave
	tPeer
	tMatch
	tNext
	tProgress
	tSentCommit
	tPendingSnapshot
	tRecentActive
	tFlowPaused
	tPaused
	tPeerLearner
	tInflight
	tInflightBytes
	tInflightFull
	tSoft
	tSoftLeader
	tSoftRole
	tHard
	tHardTerm
	tHardVote
	tHardCommit
	tMustSync
	tRead
	tReadIndex
	tMessage
	tTo
	tFrom
	tMessageTerm
	tLogTerm
	tIndex
	tMessageCommit
	tMessageVote
	tReject
	tRejectHint
	tContext
	tContextHash
	tEntry
	tEntryTerm
	tEntryIndex
	tEntryType
	tPayload
	tPayloadHash
	tResponses
	tSnapshot
	tSnapshotTerm
	tEntries
	tCommitted
	tagCount
)

// As the other side calls them; it refuses a stream with others.
var tagNames = [tagCount]string{"result", "has_ready", "role", "term", "vote", "leader", "transferee", "commit", "applied",
	"last_index", "last_term", "election_elapsed", "heartbeat_elapsed", "election_timeout", "is_learner",
	"uncommitted_size", "pending_reads", "voter", "outgoing", "learner", "learner_next", "auto_leave", "peer", "match",
	"next", "progress", "sent_commit", "pending_snapshot", "recent_active", "flow_paused", "paused", "peer_learner",
	"inflight", "inflight_bytes", "inflight_full", "soft_state", "soft_leader", "soft_role", "hard_state", "hard_term",
	"hard_vote", "hard_commit", "must_sync", "read", "read_index", "message", "to", "from", "message_term", "log_term",
	"index", "message_commit", "message_vote", "reject", "reject_hint", "context", "context_hash", "entry", "entry_term",
	"entry_index", "entry_type", "payload", "payload_hash", "responses", "snapshot", "snapshot_term", "entries",
	"committed"}

type encoder struct{ b []byte }

func (e *encoder) u(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) flag(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

// Nil and empty are not the same.
func (e *encoder) bytes(v []byte) {
	if v == nil {
		e.u(0)
		return
	}
	e.u(uint64(len(v)) + 1)
	e.b = append(e.b, v...)
}

func (e *encoder) ids(ids []uint64) {
	e.u(uint64(len(ids)))
	for _, id := range ids {
		e.u(id)
	}
}

func (e *encoder) conf(c *pb.ConfState) {
	for _, ids := range [][]uint64{c.GetVoters(), c.GetVotersOutgoing(), c.GetLearners(), c.GetLearnersNext()} {
		sorted := slices.Clone(ids)
		slices.Sort(sorted)
		e.ids(sorted)
	}
	e.flag(c.GetAutoLeave())
}

func (e *encoder) snapshot(s *pb.Snapshot) {
	m := s.GetMetadata()
	e.u(m.GetIndex())
	e.u(m.GetTerm())
	e.conf(m.GetConfState())
}

// The other side has a type of its own for the entry in place of a refused change, which is a normal one that says so.
func entryType(e *pb.Entry) uint64 {
	switch {
	case e.GetType() == pb.EntryConfChange:
		return 1
	case e.GetType() == pb.EntryConfChangeV2:
		return 2
	case e.Type != nil:
		return 3
	}
	return 0
}

func (e *encoder) entries(entries []*pb.Entry) {
	e.u(uint64(len(entries)))
	for _, entry := range entries {
		e.u(entry.GetTerm())
		e.u(entry.GetIndex())
		e.u(entryType(entry))
		e.bytes(entry.Data)
	}
}

func (e *encoder) message(m *pb.Message) {
	e.u(uint64(m.GetType()))
	e.flag(m.GetReject())
	for _, v := range []uint64{m.GetTo(), m.GetFrom(), m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetVote(),
		m.GetRejectHint()} {
		e.u(v)
	}
	e.bytes(m.Context)
	e.entries(m.GetEntries())
	e.flag(m.GetSnapshot() != nil)
	if m.GetSnapshot() != nil {
		e.snapshot(m.GetSnapshot())
	}
}

// --- states -----------------------------------------------------------------------------------------------------------

type dump struct{ encoder }

func (d *dump) put(t tag, v uint64) {
	if v != 0 {
		d.b = binary.AppendUvarint(append(d.b, byte(t)), v)
	}
}

func (d *dump) putFlag(t tag, v bool) {
	if v {
		d.b = append(d.b, byte(t), 1)
	}
}

func hash(data []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range data {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

func (d *dump) putBytes(size, content tag, data []byte) {
	if data != nil {
		d.put(size, uint64(len(data))+1)
		d.put(content, hash(data))
	}
}

func (d *dump) putConf(c *pb.ConfState) {
	for i, ids := range [][]uint64{c.GetVoters(), c.GetVotersOutgoing(), c.GetLearners(), c.GetLearnersNext()} {
		sorted := ids
		if !slices.IsSorted(ids) {
			sorted = slices.Clone(ids)
			slices.Sort(sorted)
		}
		for _, id := range sorted {
			d.put(tVoter+tag(i), id)
		}
	}
	d.putFlag(tAutoLeave, c.GetAutoLeave())
}

func (d *dump) putSnapshot(s *pb.Snapshot) {
	if s == nil {
		return
	}
	m := s.GetMetadata()
	d.put(tSnapshot, m.GetIndex()+1)
	d.put(tSnapshotTerm, m.GetTerm())
	d.putConf(m.GetConfState())
}

func (d *dump) putEntries(t tag, entries []*pb.Entry) {
	d.put(t, uint64(len(entries)))
	for _, e := range entries {
		d.put(tEntryTerm, e.GetTerm())
		d.put(tEntryIndex, e.GetIndex())
		d.put(tEntryType, entryType(e))
		d.putBytes(tPayload, tPayloadHash, e.Data)
	}
}

func (d *dump) putMessage(m *pb.Message) {
	d.put(tMessage, uint64(m.GetType())+1)
	d.put(tTo, m.GetTo())
	d.put(tFrom, m.GetFrom())
	d.put(tMessageTerm, m.GetTerm())
	d.put(tLogTerm, m.GetLogTerm())
	d.put(tIndex, m.GetIndex())
	d.put(tMessageCommit, m.GetCommit())
	d.put(tMessageVote, m.GetVote())
	d.putFlag(tReject, m.GetReject())
	d.put(tRejectHint, m.GetRejectHint())
	d.putBytes(tContext, tContextHash, m.Context)
	d.putEntries(tEntry, m.GetEntries())
	d.putSnapshot(m.GetSnapshot())
	d.put(tResponses, uint64(len(m.GetResponses())))
	for _, r := range m.GetResponses() {
		d.putMessage(r)
	}
}

// Everything of a node that the other side knows, too. Which of its members a node without leadership knows what of is
// compared as well: the two start their leaders from it.
func (d *dump) putState(n *node, result uint64) {
	in := n.in
	d.put(tResult, result)
	d.putFlag(tHasReady, n.rn.HasReady())
	d.put(tRole, uint64(in.state()))
	d.put(tTerm, in.term())
	d.put(tVote, in.vote())
	d.put(tLeader, in.lead())
	d.put(tTransferee, in.transferee())
	d.put(tCommit, in.committed())
	d.put(tApplied, in.applied())
	index, term := in.last(n.storage)
	d.put(tLastIndex, index)
	d.put(tLastTerm, term)
	d.put(tElectionElapsed, uint64(in.electionElapsed()))
	d.put(tHeartbeatElapsed, uint64(in.heartbeatElapsed()))
	d.put(tElectionTimeout, uint64(in.electionTimeout()))
	d.putFlag(tIsLearner, in.isLearner())
	d.put(tUncommitted, in.uncommitted())
	d.put(tPendingReads, uint64(in.pendingReads()))
	t := in.tracker()
	d.putConf(t.ConfState())
	var ids [maxNodes + 8]uint64
	peers := ids[:0]
	for id := range t.Progress {
		peers = append(peers, id)
	}
	slices.Sort(peers)
	for _, id := range peers {
		p := t.Progress[id]
		d.put(tPeer, id)
		d.put(tMatch, p.Match)
		d.put(tNext, p.Next)
		d.put(tProgress, uint64(p.State))
		d.put(tSentCommit, sentCommit(p))
		d.put(tPendingSnapshot, p.PendingSnapshot)
		d.putFlag(tRecentActive, p.RecentActive)
		d.putFlag(tFlowPaused, p.MsgAppFlowPaused)
		d.putFlag(tPaused, p.IsPaused())
		d.putFlag(tPeerLearner, p.IsLearner)
		d.put(tInflight, uint64(inflightCount(p)))
		d.put(tInflightBytes, inflightBytes(p))
		d.putFlag(tInflightFull, p.Inflights.Full())
	}
}

func (d *dump) putReady(rd *raft.Ready) {
	if rd.SoftState != nil {
		d.put(tSoft, 1)
		d.put(tSoftLeader, rd.SoftState.Lead)
		d.put(tSoftRole, uint64(rd.SoftState.RaftState))
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		d.put(tHard, 1)
		d.put(tHardTerm, rd.HardState.GetTerm())
		d.put(tHardVote, rd.HardState.GetVote())
		d.put(tHardCommit, rd.HardState.GetCommit())
	}
	d.putFlag(tMustSync, rd.MustSync)
	for _, r := range rd.ReadStates {
		d.put(tRead, 1)
		d.put(tReadIndex, r.Index)
		d.putBytes(tContext, tContextHash, r.RequestCtx)
	}
	for _, m := range rd.Messages {
		d.putMessage(m)
	}
	d.putEntries(tEntries, rd.Entries)
	d.putEntries(tCommitted, rd.CommittedEntries)
	if !raft.IsEmptySnap(rd.Snapshot) {
		d.putSnapshot(rd.Snapshot)
	}
}

// --- frames -----------------------------------------------------------------------------------------------------------

type stream struct {
	w      *bufio.Writer
	broken bool // the reader is gone: it has found a difference, or died
}

func (s *stream) frame(b []byte) {
	var size [4]byte
	binary.LittleEndian.PutUint32(size[:], uint32(len(b)))
	if _, err := s.w.Write(size[:]); err != nil {
		s.broken = true
	}
	if _, err := s.w.Write(b); err != nil {
		s.broken = true
	}
}

func (s *stream) hello() {
	var e encoder
	for _, name := range tagNames {
		e.bytes([]byte(name))
	}
	s.frame(e.b)
}
