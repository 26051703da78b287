package main

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

// event is one change as a watch tells it, without what follows from the revisions before it.
type event struct {
	Delete bool
	Key    string
	Value  string
	Lease  int64
}

func (e event) String() string {
	if e.Delete {
		return "delete " + e.Key
	}
	v := e.Value
	if len(v) > 60 {
		v = fmt.Sprintf("%s... (%d bytes)", v[:60], len(v))
	}
	return fmt.Sprintf("put %s=%s lease=%x", e.Key, v, e.Lease)
}

func same(a, b []event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// op is one write whose outcome nobody told us: it happened as one of Alternatives (the events of one revision), or not.
type op struct {
	What         string
	Alternatives [][]event
	Revoke       int64 // the lease that goes with it, else 0
}

// kv is a key in a state.
type kv struct {
	Value                string
	Create, Mod, Version int64
	Lease                int64
}

type state map[string]kv

func (s state) apply(revision int64, events []event) {
	for _, e := range events {
		if e.Delete {
			delete(s, e.Key)
			continue
		}
		old, there := s[e.Key]
		next := kv{Value: e.Value, Create: revision, Mod: revision, Version: 1, Lease: e.Lease}
		if there {
			next.Create, next.Version = old.Create, old.Version+1
		}
		s[e.Key] = next
	}
}

func (s state) clone() state {
	out := make(state, len(s))
	for k, v := range s {
		out[k] = v
	}
	return out
}

// history is all that the server promised us, and what it may have done besides. Nothing of it is on a disk.
type history struct {
	mu       sync.Mutex
	base     state // at floor
	floor    int64 // compacted; 0: never
	known    map[int64][]event
	what     map[int64]string // which request each known revision was
	top      int64            // the highest revision known
	contig   int64            // all revisions up to here are known
	unknown  []op
	seen     map[int64][]event // what a watch delivered while the load ran
	read     map[int64]event   // what a range returned, by modification revision
	compacts []int64           // compactions without an answer
	leases   map[int64]int64   // id -> TTL
	maybe    map[int64]int64   // grants without an answer
	revokes  map[int64]bool    // revokes without an answer
}

func newHistory() *history {
	return &history{base: state{}, known: map[int64][]event{}, what: map[int64]string{}, top: 1, contig: 1,
		seen: map[int64][]event{}, read: map[int64]event{}, leases: map[int64]int64{}, maybe: map[int64]int64{},
		revokes: map[int64]bool{}}
}

// acked records an acknowledged revision. Two requests with the same one are the server's fault.
func (h *history) acked(revision int64, what string, events []event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, there := h.known[revision]; there {
		return fmt.Errorf("revision %d was given to two writes: %s %v and %s %v", revision, h.what[revision], old, what, events)
	}
	if revision <= h.floor {
		return fmt.Errorf("revision %d was given to %s, but %d is compacted", revision, what, h.floor)
	}
	h.known[revision], h.what[revision] = events, what
	h.top = max(h.top, revision)
	for h.known[h.contig+1] != nil {
		h.contig++
	}
	return nil
}

func (h *history) unanswered(o op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unknown = append(h.unknown, o)
	if o.Revoke != 0 {
		h.revokes[o.Revoke] = true
	}
}

// at is the state at REVISION by the known revisions alone.
func (h *history) at(revision int64) state {
	s := h.base.clone()
	for r := h.floor + 1; r <= revision; r++ {
		s.apply(r, h.known[r])
	}
	return s
}

// raise moves the floor after a compaction.
func (h *history) raise(floor int64) {
	if floor <= h.floor {
		return
	}
	for r := h.floor + 1; r <= floor; r++ {
		h.base.apply(r, h.known[r])
		delete(h.known, r)
		delete(h.what, r)
		delete(h.seen, r)
	}
	for r := range h.seen {
		if r <= floor {
			delete(h.seen, r)
		}
	}
	for r := range h.read {
		if r <= floor {
			delete(h.read, r)
		}
	}
	h.floor = floor
	h.contig = max(h.contig, floor)
}

// keysOf are the keys with PREFIX in S in order.
func keysOf(s state, prefix string) []string {
	var out []string
	for k := range s {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}
