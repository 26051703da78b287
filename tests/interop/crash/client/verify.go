package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const maxComplaints = 20

type verifyRequest struct {
	Seed    int64   `json:"seed"`
	Samples int     `json:"samples"` // old revisions to compare whole
	Keys    int     `json:"keys"`    // revisions whose own keys are read at that revision
	Keep    bool    `json:"keep"`    // take what is found for the truth from now on
	Limit   float64 `json:"limit_s"`
	Settle  bool    `json:"settle"` // the server was not restarted: what nobody waited for may still happen
}

type verifyReply struct {
	Revision   int64    `json:"revision"`
	Floor      int64    `json:"floor"`
	Expected   int64    `json:"expected"`
	Tail       int64    `json:"tail"` // acknowledged revisions missing at the end, all else being right
	Events     int      `json:"events"`
	Happened   int      `json:"happened"` // of the unanswered writes
	Vanished   int      `json:"vanished"`
	Leases     int      `json:"leases"`
	Complaints []string `json:"complaints"`
}

type verifier struct {
	h     *history
	c     *clientv3.Client
	ctx   context.Context
	reply *verifyReply
	mu    sync.Mutex
}

func (v *verifier) complain(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.reply.Complaints) < maxComplaints {
		v.reply.Complaints = append(v.reply.Complaints, fmt.Sprintf(format, args...))
	}
}

func toEvent(e *clientv3.Event) event {
	if e.Type == mvccpb.DELETE {
		return event{Delete: true, Key: string(e.Kv.Key)}
	}
	return event{Key: string(e.Kv.Key), Value: string(e.Kv.Value), Lease: e.Kv.Lease}
}

// compacted asks where history begins: a watch from revision 1 is told.
func (v *verifier) compacted() (int64, error) {
	ctx, cancel := context.WithCancel(v.ctx)
	defer cancel()
	for r := range v.c.Watch(ctx, "no such key", clientv3.WithRev(1), clientv3.WithCreatedNotify()) {
		if r.CompactRevision != 0 {
			return r.CompactRevision, nil
		}
		if err := r.Err(); err != nil {
			return 0, err
		}
		if r.Created {
			// Told at once, if at all: the next thing on the stream is an answer to a progress request.
			time.AfterFunc(100*time.Millisecond, func() { _ = v.c.RequestProgress(ctx) })
			continue
		}
		return 0, nil
	}
	return 0, v.ctx.Err()
}

// observe is all history after FLOOR up to TOP as a watch replays it.
func (v *verifier) observe(floor, top int64) (map[int64][]event, map[int64][]*mvccpb.KeyValue) {
	out, raw := map[int64][]event{}, map[int64][]*mvccpb.KeyValue{}
	if top <= floor {
		return out, raw
	}
	ctx, cancel := context.WithCancel(v.ctx)
	defer cancel()
	last := floor
	for r := range v.c.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(floor+1)) {
		if err := r.Err(); err != nil {
			v.complain("watch from revision %d ended after %d: %v", floor+1, last, err)
			return out, raw
		}
		for _, e := range r.Events {
			m := e.Kv.ModRevision
			if m < last {
				v.complain("watch went back from revision %d to %d", last, m)
			}
			if m > last+1 {
				v.complain("watch jumped from revision %d to %d", last, m)
			}
			last = m
			out[m] = append(out[m], toEvent(e))
			raw[m] = append(raw[m], e.Kv)
			v.reply.Events++
		}
		if last >= top {
			break
		}
	}
	if last < top {
		v.complain("watch from revision %d was silent after %d; the newest revision is %d", floor+1, last, top)
	}
	return out, raw
}

// sameState compares a whole range at REVISION with WANTED.
func (v *verifier) sameState(revision int64, wanted state) {
	r, err := v.c.Get(v.ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(revision))
	if err != nil {
		v.complain("range of all keys at revision %d: %v", revision, err)
		return
	}
	if r.Count != int64(len(wanted)) || len(r.Kvs) != len(wanted) {
		v.complain("at revision %d there are %d keys (count %d), not %d", revision, len(r.Kvs), r.Count, len(wanted))
	}
	for _, k := range r.Kvs {
		got := kv{Value: string(k.Value), Create: k.CreateRevision, Mod: k.ModRevision, Version: k.Version, Lease: k.Lease}
		w, there := wanted[string(k.Key)]
		if !there {
			v.complain("at revision %d: key %s should not be there: %+v", revision, k.Key, got)
		} else if got != w {
			v.complain("at revision %d: key %s is %+.200v, not %+.200v", revision, k.Key, got, w)
		}
	}
}

// sameKeys reads the keys of one revision at that revision.
func (v *verifier) sameKeys(revision int64, events []event) {
	for i, e := range events {
		later := false
		for _, o := range events[i+1:] {
			later = later || o.Key == e.Key
		}
		if later {
			continue
		}
		r, err := v.c.Get(v.ctx, e.Key, clientv3.WithRev(revision))
		if err != nil {
			v.complain("range of %s at revision %d: %v", e.Key, revision, err)
		} else if e.Delete != (len(r.Kvs) == 0) {
			v.complain("at revision %d: %v, but a range gives %v", revision, e, r.Kvs)
		} else if !e.Delete && (string(r.Kvs[0].Value) != e.Value || r.Kvs[0].ModRevision != revision || r.Kvs[0].Lease != e.Lease) {
			v.complain("at revision %d: %v, but a range gives %.200v", revision, e, r.Kvs[0])
		}
	}
}

// settle finds for every observed revision the write that explains it, and takes the unanswered ones that happened for
// known. Returns the unanswered ones that did not.
func (v *verifier) settle(observed map[int64][]event, floor, top int64) []op {
	left := append([]op(nil), v.h.unknown...)
	for r := floor + 1; r <= top; r++ {
		got := observed[r]
		if wanted, there := v.h.known[r]; there {
			if !same(got, wanted) {
				v.complain("revision %d (%s) was acknowledged as %v, and is now %v", r, v.h.what[r], wanted, got)
			}
			continue
		}
		found := -1
		for i, o := range left {
			for _, a := range o.Alternatives {
				if found < 0 && same(a, got) {
					found = i
				}
			}
		}
		if found < 0 {
			v.complain("revision %d was never acknowledged, and no unanswered write explains it: %v", r, got)
			continue
		}
		o := left[found]
		left = append(left[:found], left[found+1:]...)
		v.reply.Happened++
		if o.Revoke != 0 {
			v.h.revokes[o.Revoke] = false // it is gone for certain
		}
	}
	return left
}

func (v *verifier) leases(now state, left []op) map[int64]int64 {
	kept := map[int64]int64{}
	r, err := v.c.Leases(v.ctx)
	if err != nil {
		v.complain("lease list: %v", err)
		return kept
	}
	there := map[int64]bool{}
	for _, l := range r.Leases {
		there[int64(l.ID)] = true
	}
	mustStay := map[int64]bool{} // an unanswered revoke with keys that did not delete them did not happen
	for _, o := range left {
		if o.Revoke != 0 && len(o.Alternatives) > 0 {
			mustStay[o.Revoke] = true
		}
	}
	for id := range v.h.leases {
		open, unanswered := v.h.revokes[id]
		switch {
		case !there[id] && !unanswered:
			v.complain("lease %x was granted and is gone", id)
		case !there[id] && mustStay[id]:
			v.complain("lease %x is gone, but the keys of its revoke are there", id)
		case there[id] && unanswered && !open:
			v.complain("lease %x is there, but its keys were deleted by its revoke", id)
		}
	}
	attached := map[int64]int{}
	for _, k := range now {
		if k.Lease != 0 {
			attached[k.Lease]++
		}
	}
	for id := range there {
		ttl, granted := v.h.leases[id]
		if maybe, unanswered := v.h.maybe[id]; !granted && unanswered {
			ttl, granted = maybe, true
		}
		if !granted {
			v.complain("lease %x is there, and was never granted or was revoked", id)
			continue
		}
		kept[id] = ttl
		t, err := v.c.TimeToLive(v.ctx, clientv3.LeaseID(id), clientv3.WithAttachedKeys())
		if err != nil {
			v.complain("time to live of lease %x: %v", id, err)
			continue
		}
		if t.GrantedTTL != ttl || t.TTL <= 0 || t.TTL > ttl+10 {
			v.complain("lease %x: granted %d, left %d, but %d was asked", id, t.GrantedTTL, t.TTL, ttl)
		}
		if len(t.Keys) != attached[id] {
			v.complain("lease %x has %d keys, not %d", id, len(t.Keys), attached[id])
		}
		for _, k := range t.Keys {
			if now[string(k)].Lease != id {
				v.complain("lease %x has key %s, which is not its", id, k)
			}
		}
	}
	for id, n := range attached {
		if !there[id] {
			v.complain("%d keys have lease %x, which is not there", n, id)
		}
	}
	v.reply.Leases = len(kept)
	return kept
}

// witnesses: what somebody was shown before the crash must be there.
func (v *verifier) witnesses(observed map[int64][]event, floor, top int64) {
	for r, e := range v.h.seen {
		if r > floor && r <= top && !same(e, observed[r]) {
			v.complain("a watcher saw revision %d as %v, and it is now %v", r, e, observed[r])
		} else if r > top {
			v.complain("a watcher saw revision %d (%v), and the newest is %d", r, e, top)
		}
	}
	for r, e := range v.h.read {
		if r <= floor {
			continue
		}
		found := false
		for _, o := range observed[r] {
			found = found || o == e
		}
		if !found {
			v.complain("a reader got %v of revision %d, which is now %v", e, r, observed[r])
		}
	}
}

// where is the compacted revision, checked against the compactions that were asked for.
func (v *verifier) where() int64 {
	floor, err := v.compacted()
	if err != nil {
		v.complain("watch from revision 1: %v", err)
		return v.h.floor
	}
	good := floor == v.h.floor
	for _, c := range v.h.compacts {
		good = good || (c == floor && c > v.h.floor)
	}
	if !good {
		v.complain("history begins at %d; compacted was %d, unanswered %v", floor, v.h.floor, v.h.compacts)
		return v.h.floor
	}
	return floor
}

func verify(h *history, c *clientv3.Client, req verifyRequest) verifyReply {
	reply := verifyReply{Complaints: []string{}}
	limit := req.Limit
	if limit == 0 {
		limit = 60
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(limit*float64(time.Second)))
	defer cancel()
	v := &verifier{h: h, c: c, ctx: ctx, reply: &reply}
	revokes := map[int64]bool{}
	for id, open := range h.revokes {
		revokes[id] = open
	}

	first, err := c.Get(ctx, "no such key")
	if err != nil {
		v.complain("the first range: %v", err)
		return reply
	}
	top := first.Header.Revision
	for settled := !req.Settle; !settled && ctx.Err() == nil; {
		time.Sleep(300 * time.Millisecond)
		again, err := c.Get(ctx, "no such key")
		if err != nil {
			v.complain("a range: %v", err)
			return reply
		}
		settled, top = again.Header.Revision == top, again.Header.Revision
	}
	floor := v.where()
	reply.Revision, reply.Floor, reply.Expected = top, floor, h.top
	if floor > 1 {
		if _, err := c.Get(ctx, "x", clientv3.WithRev(floor-1)); !errors.Is(err, rpctypes.ErrCompacted) {
			v.complain("range at revision %d, which is compacted: %v", floor-1, err)
		}
	}
	floor = max(floor, 1) // an empty store has revision 1
	if top < h.top {
		reply.Tail = h.top - top
		if req.Keep {
			v.complain("the newest revision is %d; %d was acknowledged", top, h.top)
		}
	}
	observed, raw := v.observe(floor, top)
	left := v.settle(observed, floor, top)
	reply.Vanished = len(left)
	v.witnesses(observed, floor, h.top-reply.Tail)

	// The states: replayed from what was observed, once that was judged, so that one fault gives one line.
	now := h.base.clone()
	for r := h.floor + 1; r <= floor; r++ {
		now.apply(r, h.known[r])
	}
	samples := pick(req.Seed, req.Samples, floor, top)
	if floor > 1 {
		v.sameState(floor, now)
	}
	for r := floor + 1; r <= top; r++ {
		now.apply(r, observed[r])
		for i, e := range observed[r] {
			k := raw[r][i]
			if s := now[e.Key]; !e.Delete && (k.CreateRevision != s.Create || k.Version != s.Version) {
				v.complain("revision %d: %v has create %d version %d, not %d and %d", r, e, k.CreateRevision, k.Version, s.Create, s.Version)
			}
		}
		if samples[r] {
			v.sameState(r, now)
		}
	}
	v.sameState(0, now)
	v.readEach(observed, pick(req.Seed+1, req.Keys, max(floor, top-int64(2*req.Keys)), top))
	kept := v.leases(now, left)

	if !req.Keep || len(reply.Complaints) > 0 {
		h.revokes = revokes
		return reply
	}
	for r, e := range observed {
		if _, there := h.known[r]; !there {
			h.known[r], h.what[r] = e, "observed"
		}
	}
	h.top, h.contig = max(top, floor), max(top, floor)
	h.raise(reply.Floor)
	h.unknown, h.compacts, h.leases = nil, nil, kept
	h.maybe, h.revokes = map[int64]int64{}, map[int64]bool{}
	h.seen, h.read = map[int64][]event{}, map[int64]event{}
	return reply
}

// readEach reads the keys of the revisions of WHICH, several at once.
func (v *verifier) readEach(observed map[int64][]event, which map[int64]bool) {
	work := make(chan int64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for r := range work {
				v.sameKeys(r, observed[r])
			}
		}()
	}
	for r := range which {
		work <- r
	}
	close(work)
	wg.Wait()
}

// pick is at most COUNT revisions between FLOOR and TOP.
func pick(seed int64, count int, floor, top int64) map[int64]bool {
	out := map[int64]bool{}
	if top-floor <= int64(count) {
		for r := floor + 1; r <= top; r++ {
			out[r] = true
		}
		return out
	}
	rng := rand.New(rand.NewSource(seed))
	for range count {
		out[floor+1+rng.Int63n(top-floor)] = true
	}
	return out
}
