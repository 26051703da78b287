package main

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	keysPerWriter   = 30
	peersPerWriter  = 4
	leasesPerWriter = 4
	sharedKeys      = 4
)

type loadRequest struct {
	Writers   int     `json:"writers"`
	Seed      int64   `json:"seed"`
	Round     int     `json:"round"`
	Zone      string  `json:"zone"`
	Compact   bool    `json:"compact"`
	Count     int     `json:"count"` // writes of each writer; 0: until the join
	MaxSize   int     `json:"max_size"`
	Puts      bool    `json:"puts"`       // nothing but plain puts of own keys
	KeepGoing bool    `json:"keep_going"` // a refused write is counted, and the writer goes on
	Pause     float64 `json:"pause_ms"`
	Readers   int     `json:"readers"`
}

// load is one run of concurrent writers, a watcher, readers and a compactor.
type load struct {
	h        *history
	c        *clientv3.Client
	req      loadRequest
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	writers  sync.WaitGroup
	acks     atomic.Int64
	first    chan struct{}
	once     sync.Once
	mu       sync.Mutex
	faults   []string         // what no server may do
	refusals map[string]int64 // definite errors by text
	errors   map[string]int64 // errors that leave the outcome open
	reads    int64
	events   int64
}

func (l *load) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// openNoSpace: etcd answers the write that meets its quota with "database space exceeded", and has done it.
var openNoSpace = slices.Contains(os.Args[1:], "--open-no-space")

// definite tells whether ERR says for certain that the write did not happen.
func definite(err error) bool {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return !openNoSpace
	case codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.OutOfRange,
		codes.PermissionDenied, codes.Unimplemented:
		return true
	}
	return false
}

func plainError(err error) error {
	if e, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return e.GRPCStatus().Err()
	}
	if e, ok := err.(interface{ Code() codes.Code }); ok { // clientv3's EtcdError
		return status.Error(e.Code(), err.Error())
	}
	return err
}

type writer struct {
	l      *load
	id     int
	rng    *rand.Rand
	own    state // this writer's keys as it knows them
	leases []int64
	n      int
}

func (w *writer) unique() string { return fmt.Sprintf("r%d.w%d.n%d", w.l.req.Round, w.id, w.n) }

// value is a unique text; most are short, a few long.
func (w *writer) value() string {
	size := 16 + w.rng.Intn(240)
	if w.rng.Intn(50) == 0 {
		size = 4096 + w.rng.Intn(28000)
	}
	if w.l.req.MaxSize > 0 {
		size = w.l.req.MaxSize
	}
	v := w.unique() + "|"
	if len(v) < size {
		v += strings.Repeat(v, size/len(v)+1)[:size-len(v)]
	}
	return v
}

func (w *writer) prefix() string { return fmt.Sprintf("w%02d/", w.id) }
func (w *writer) key() string    { return fmt.Sprintf("%sk%02d", w.prefix(), w.rng.Intn(keysPerWriter)) }

// done notes the answer to one write. EVENTS are what it must have done at REVISION; none: it took no revision.
// False: this writer does not know its own state any more and has to stop.
func (w *writer) done(err error, revision int64, what string, events []event, alternatives ...[]event) bool {
	l := w.l
	if err == nil {
		if len(events) > 0 {
			if e := l.h.acked(revision, what, events); e != nil {
				l.fault("%v", e)
			}
			w.own.apply(revision, events)
		}
		l.acks.Add(1)
		l.once.Do(func() { close(l.first) })
		return true
	}
	err = plainError(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if definite(err) {
		l.refusals[err.Error()]++
		return l.req.KeepGoing
	}
	if status.Code(err) == codes.ResourceExhausted {
		l.refusals[err.Error()]++
	} else {
		l.errors[err.Error()]++
	}
	var real [][]event
	for _, a := range append([][]event{events}, alternatives...) {
		if len(a) > 0 {
			real = append(real, a)
		}
	}
	l.h.unanswered(op{What: what, Alternatives: real})
	return false
}

func (w *writer) lease() int64 {
	if len(w.leases) == 0 || w.rng.Intn(4) != 0 {
		return 0
	}
	return w.leases[w.rng.Intn(len(w.leases))]
}

func (w *writer) put(key, value string, lease int64) bool {
	r, err := w.l.c.Put(w.l.ctx, key, value, clientv3.WithLease(clientv3.LeaseID(lease)))
	var revision int64
	if err == nil {
		revision = r.Header.Revision
	}
	return w.done(err, revision, "put "+w.unique(), []event{{Key: key, Value: value, Lease: lease}})
}

// remove deletes KEY, or with RANGE all with that prefix.
func (w *writer) remove(key string, prefix bool) bool {
	var options []clientv3.OpOption
	var events []event
	if prefix {
		options = append(options, clientv3.WithPrefix())
		for _, k := range keysOf(w.own, key) {
			events = append(events, event{Delete: true, Key: k})
		}
	} else if _, there := w.own[key]; there {
		events = []event{{Delete: true, Key: key}}
	}
	r, err := w.l.c.Delete(w.l.ctx, key, options...)
	var revision int64
	if err == nil {
		revision = r.Header.Revision
		if r.Deleted != int64(len(events)) {
			w.l.fault("delete of %s removed %d keys, not %d", key, r.Deleted, len(events))
		}
	}
	return w.done(err, revision, "delete "+w.unique(), events)
}

// batch is a transaction of several puts and a delete.
func (w *writer) batch() bool {
	value := w.value()
	var ops []clientv3.Op
	var events []event
	start := w.rng.Intn(keysPerWriter)
	for i := range 2 + w.rng.Intn(4) {
		key := fmt.Sprintf("%sk%02d", w.prefix(), (start+i*5)%keysPerWriter)
		if i == 1 && w.rng.Intn(2) == 0 {
			ops = append(ops, clientv3.OpDelete(key))
			if _, there := w.own[key]; there {
				events = append(events, event{Delete: true, Key: key})
			}
			continue
		}
		lease := w.lease()
		ops = append(ops, clientv3.OpPut(key, value, clientv3.WithLease(clientv3.LeaseID(lease))))
		events = append(events, event{Key: key, Value: value, Lease: lease})
	}
	r, err := w.l.c.Txn(w.l.ctx).Then(ops...).Commit()
	var revision int64
	if err == nil {
		revision = r.Header.Revision
	}
	return w.done(err, revision, "txn "+w.unique(), events)
}

// contend compares and swaps a key that all writers want.
func (w *writer) contend() bool {
	shared := fmt.Sprintf("shared/%d", w.rng.Intn(sharedKeys))
	g, err := w.l.c.Get(w.l.ctx, shared)
	if err != nil {
		return w.l.ctx.Err() == nil && w.l.req.KeepGoing
	}
	var mod int64
	if len(g.Kvs) > 0 {
		mod = g.Kvs[0].ModRevision
	}
	own, value := w.key(), w.value()
	won := []event{{Key: shared, Value: value}, {Key: own, Value: value}}
	lost := []event{{Key: own, Value: "lost " + value}}
	r, err := w.l.c.Txn(w.l.ctx).If(clientv3.Compare(clientv3.ModRevision(shared), "=", mod)).
		Then(clientv3.OpPut(shared, value), clientv3.OpPut(own, value)).
		Else(clientv3.OpPut(own, "lost "+value)).Commit()
	if err == nil && !r.Succeeded {
		return w.done(nil, r.Header.Revision, "txn "+w.unique(), lost)
	}
	var revision int64
	if err == nil {
		revision = r.Header.Revision
	}
	return w.done(err, revision, "txn "+w.unique(), won, lost)
}

func (w *writer) grant() bool {
	l, ttl := w.l, 100000+w.rng.Int63n(900000)
	id := int64(w.l.req.Round)<<40 | int64(w.id)<<32 | int64(w.n) + 1
	r, err := clientv3.RetryLeaseClient(l.c).LeaseGrant(l.ctx, leaseGrant(id, ttl))
	if err != nil {
		// Anything but a lack of space may follow a first try that went well.
		if status.Code(plainError(err)) != codes.ResourceExhausted || openNoSpace {
			l.h.mu.Lock()
			l.h.maybe[id] = ttl
			l.h.mu.Unlock()
		}
		return w.done(err, 0, "grant", nil)
	}
	if r.ID != id || r.TTL != ttl {
		l.fault("grant of %x for %d s gave %x for %d s", id, ttl, r.ID, r.TTL)
	}
	l.h.mu.Lock()
	l.h.leases[id] = ttl
	l.h.mu.Unlock()
	w.leases = append(w.leases, id)
	return w.done(nil, 0, "grant", nil)
}

func (w *writer) revoke() bool {
	i := w.rng.Intn(len(w.leases))
	id := w.leases[i]
	var events []event
	for k, v := range w.own {
		if v.Lease == id {
			events = append(events, event{Delete: true, Key: k})
		}
	}
	sort.Slice(events, func(a, b int) bool { return events[a].Key < events[b].Key })
	r, err := w.l.c.Revoke(w.l.ctx, clientv3.LeaseID(id))
	if err != nil {
		if definite(plainError(err)) {
			return w.done(err, 0, "revoke", nil)
		}
		var alternatives [][]event
		if len(events) > 0 {
			alternatives = [][]event{events}
		}
		w.l.h.unanswered(op{What: "revoke " + w.unique(), Alternatives: alternatives, Revoke: id})
		return false
	}
	w.l.h.mu.Lock()
	delete(w.l.h.leases, id)
	w.l.h.mu.Unlock()
	w.leases = append(w.leases[:i], w.leases[i+1:]...)
	return w.done(nil, r.Header.Revision, "revoke "+w.unique(), events)
}

func peerKey(writer, index int) [32]byte {
	return sha256.Sum256([]byte(fmt.Sprintf("warren crash peer %d %d", writer, index)))
}

func keyText(key [32]byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key[:]))
}

// peer writes or removes a peer of the zone, or what an observer sees of it.
func (w *writer) peer() bool {
	i := w.rng.Intn(peersPerWriter)
	text := keyText(peerKey(w.id, i))
	zone := "/warren/zones/" + w.l.req.Zone + "/"
	switch w.rng.Intn(6) {
	case 0:
		return w.remove(zone+"peers/"+text, false)
	case 1, 2:
		key := zone + "endpoints/" + text + "/" + keyText(peerKey(100+w.id, w.rng.Intn(2)))
		if _, there := w.own[key]; there && w.rng.Intn(3) == 0 {
			return w.remove(key, false)
		}
		idle := ""
		if w.rng.Intn(3) == 0 {
			idle = `,"idle":true`
		}
		return w.put(key, fmt.Sprintf(`{"endpoint":"198.51.100.%d:%d","how":"handshake"%s,"x":"%s"}`,
			1+w.rng.Intn(250), 1024+w.rng.Intn(60000), idle, w.unique()), w.lease())
	}
	endpoint := fmt.Sprintf(`,"endpoint":"192.0.2.%d:%d"`, 1+w.rng.Intn(250), 1024+w.rng.Intn(60000))
	if w.rng.Intn(5) == 0 {
		endpoint = ""
	}
	return w.put(zone+"peers/"+text, fmt.Sprintf(`{"name":"p%d-%d-%d","allowed_ips":["10.%d.%d.%d/32"]%s,"x":"%s"}`,
		w.id, i, w.rng.Intn(3), 1+w.id, i, 1+w.rng.Intn(250), endpoint, w.unique()), 0)
}

func (w *writer) step() bool {
	if w.l.req.Puts {
		return w.put(w.key(), w.value(), 0)
	}
	n := w.rng.Intn(100)
	switch {
	case n < 3:
		if len(w.leases) < leasesPerWriter {
			return w.grant()
		}
		return w.revoke()
	case n < 6:
		return w.remove(fmt.Sprintf("%sk%d", w.prefix(), w.rng.Intn(3)), true)
	case n < 16:
		return w.remove(w.key(), false)
	case n < 30:
		return w.batch()
	case n < 42:
		return w.contend()
	case n < 60 && w.l.req.Zone != "":
		return w.peer()
	}
	return w.put(w.key(), w.value(), w.lease())
}

func (w *writer) run() {
	defer w.l.wg.Done()
	defer w.l.writers.Done()
	for w.l.ctx.Err() == nil && (w.l.req.Count == 0 || w.n < w.l.req.Count) {
		w.n++
		if !w.step() {
			return
		}
		if w.l.req.Pause > 0 {
			time.Sleep(time.Duration(w.l.req.Pause * float64(time.Millisecond)))
		}
	}
}

// owned are the parts of S that writer ID writes.
func owned(s state, id int, zone string) state {
	out := state{}
	prefixes := []string{fmt.Sprintf("w%02d/", id)}
	for i := range peersPerWriter {
		text := keyText(peerKey(id, i))
		prefixes = append(prefixes, "/warren/zones/"+zone+"/peers/"+text, "/warren/zones/"+zone+"/endpoints/"+text+"/")
	}
	for k, v := range s {
		for _, p := range prefixes {
			if strings.HasPrefix(k, p) {
				out[k] = v
			}
		}
	}
	return out
}

// watch takes all changes as they happen: what it saw was committed, and must be there after a crash.
func (l *load) watch(from int64) {
	defer l.wg.Done()
	for r := range l.c.Watch(l.ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(from)) {
		l.h.mu.Lock()
		for _, e := range r.Events {
			l.events++
			l.h.seen[e.Kv.ModRevision] = append(l.h.seen[e.Kv.ModRevision], toEvent(e))
		}
		l.h.mu.Unlock()
	}
}

// readAround takes linearizable reads: what one returned was committed, too.
func (l *load) readAround(seed int64) {
	defer l.wg.Done()
	rng := rand.New(rand.NewSource(seed))
	for l.ctx.Err() == nil {
		r, err := l.c.Get(l.ctx, fmt.Sprintf("w%02d/k%02d", rng.Intn(l.req.Writers), rng.Intn(keysPerWriter)))
		if err == nil {
			l.h.mu.Lock()
			l.reads++
			for _, k := range r.Kvs {
				l.h.read[k.ModRevision] = event{Key: string(k.Key), Value: string(k.Value), Lease: k.Lease}
			}
			l.h.mu.Unlock()
		}
		time.Sleep(time.Duration(1+rng.Intn(4)) * time.Millisecond)
	}
}

// compact now and then drops history, never beyond what is all known.
func (l *load) compact(seed int64) {
	defer l.wg.Done()
	rng := rand.New(rand.NewSource(seed))
	for l.ctx.Err() == nil {
		select {
		case <-time.After(time.Duration(50+rng.Intn(600)) * time.Millisecond):
		case <-l.ctx.Done():
			return
		}
		l.h.mu.Lock()
		low, high := l.h.floor, l.h.contig
		l.h.mu.Unlock()
		if high <= low+2 {
			continue
		}
		revision := low + 1 + rng.Int63n(high-low)
		var options []clientv3.CompactOption
		if rng.Intn(2) == 0 {
			options = append(options, clientv3.WithCompactPhysical())
		}
		_, err := l.c.Compact(l.ctx, revision, options...)
		l.h.mu.Lock()
		if err == nil {
			l.h.raise(revision)
		} else if !definite(plainError(err)) {
			l.h.compacts = append(l.h.compacts, revision)
		} else {
			l.fault("compaction at %d (between %d and %d): %v", revision, low, high, err)
		}
		l.h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func startLoad(h *history, c *clientv3.Client, req loadRequest) *load {
	l := &load{h: h, c: c, req: req, faults: []string{}, first: make(chan struct{}), refusals: map[string]int64{}, errors: map[string]int64{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	now := h.at(h.top)
	leases := make([]int64, 0, len(h.leases))
	for id := range h.leases {
		leases = append(leases, id)
	}
	sort.Slice(leases, func(a, b int) bool { return leases[a] < leases[b] })
	l.wg.Add(1 + req.Readers)
	go l.watch(h.top + 1)
	for i := range req.Readers {
		go l.readAround(req.Seed*31 + int64(i))
	}
	if req.Compact {
		l.wg.Add(1)
		go l.compact(req.Seed)
	}
	for id := range req.Writers {
		w := &writer{l: l, id: id, rng: rand.New(rand.NewSource(req.Seed*1000 + int64(id))), own: owned(now, id, req.Zone)}
		for _, lease := range leases {
			if lease>>32&0xff == int64(id) {
				w.leases = append(w.leases, lease)
			}
		}
		l.wg.Add(1)
		l.writers.Add(1)
		go w.run()
	}
	return l
}
