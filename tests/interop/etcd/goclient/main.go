// goclient tests a server with etcd's own Go client library: watches across reconnects (the server killed and started
// again on its data, the connection cut by a proxy) give every event exactly once and in order; leases are kept alive over
// several times to live, end when nobody keeps them, and survive a reconnect.
//
// Usage: goclient -server COMMAND [-etcd34] [-only TEXT] [-v]
//
// It ends with "N passed, N failed, N skipped"; exit code 0 or 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"warren.test/etcd/server"
)

const (
	testLimit  = 90 * time.Second
	leaseTTL   = 2 // seconds; etcd's smallest
	killCount  = 4
	cutCount   = 12
	watchPause = 300 * time.Millisecond
)

// overtaking is what etcd 3.4 before 3.4.25 does wrong itself: a progress notification comes before its events.
const overtaking = "watch/progress across a cut"

type test struct {
	name string
	run  func(ctx context.Context, s *server.Server) error
}

var tests = []test{
	{"watch/killed and started again", watchKilled},
	{"watch/cut by a proxy", watchCut},
	{"watch/cut while catching up", watchCatchUp},
	{"watch/several on one stream, cut", watchSeveral},
	{"watch/compacted while away", watchCompacted},
	{overtaking, watchProgress},
	{"lease/kept alive over three times to live, then ends", leaseKept},
	{"lease/keepalive across a cut", leaseCut},
	{"lease/keepalive across a kill", leaseKilled},
	{"lease/revoked: the keepalive ends", leaseRevoked},
	{"lease/session and mutual exclusion by transactions", leaseExclusion},
	{"kv/a client that comes back after a kill", kvKilled},
}

func connect(address string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
}

// A writer puts numbers under a prefix until told to stop, and remembers what was acknowledged. A put whose answer was
// lost may have happened or not.
type writer struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	acked  map[int]int64 // number: revision
	last   atomic.Int64
}

func startWriter(ctx context.Context, address, prefix string) (*writer, error) {
	client, err := connect(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{cancel: cancel, acked: map[int]int64{}}
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		defer client.Close()
		for n := 0; ctx.Err() == nil; n++ {
			one, cancelOne := context.WithTimeout(ctx, time.Second)
			a, err := client.Put(one, fmt.Sprintf("%s%d", prefix, n%10), fmt.Sprint(n))
			cancelOne()
			if err == nil {
				w.acked[n] = a.Header.Revision
				w.last.Store(a.Header.Revision)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return w, nil
}

func (w *writer) stop() {
	w.cancel()
	w.done.Wait()
}

// A reader collects a watch's events and what is wrong with them.
type reader struct {
	lock     sync.Mutex
	events   []*clientv3.Event
	failures []string
	last     atomic.Int64
	done     chan struct{}
}

func startReader(ctx context.Context, client *clientv3.Client, key string, options ...clientv3.OpOption) *reader {
	r := &reader{done: make(chan struct{})}
	in := client.Watch(ctx, key, options...)
	go func() {
		defer close(r.done)
		for a := range in {
			r.lock.Lock()
			if err := a.Err(); err != nil && ctx.Err() == nil {
				r.failures = append(r.failures, err.Error())
			}
			for _, e := range a.Events {
				if n := len(r.events); n > 0 && e.Kv.ModRevision < r.events[n-1].Kv.ModRevision {
					r.failures = append(r.failures, fmt.Sprintf("revision %d after %d", e.Kv.ModRevision, r.events[n-1].Kv.ModRevision))
				}
				r.events = append(r.events, e)
				r.last.Store(e.Kv.ModRevision)
			}
			r.lock.Unlock()
		}
	}()
	return r
}

func (r *reader) waitFor(revision int64) error {
	for deadline := time.Now().Add(server.Slowly(20 * time.Second)); r.last.Load() < revision; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the watch came to revision %d, not to %d; %v", r.last.Load(), revision, r.failures)
		}
	}
	return nil
}

// exactly compares what the reader saw with the whole history in the store, which a new client replays, and with what
// was acknowledged: every event once, in order, with the right content.
func (r *reader) exactly(ctx context.Context, address, prefix string, w *writer) error {
	client, err := connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	end, err := client.Put(ctx, prefix+"end", "")
	if err != nil {
		return err
	}
	if err = r.waitFor(end.Header.Revision); err != nil {
		return err
	}
	fresh, cancel := context.WithCancel(ctx)
	defer cancel()
	again := startReader(fresh, client, prefix, clientv3.WithPrefix(), clientv3.WithRev(1))
	if err = again.waitFor(end.Header.Revision); err != nil {
		return fmt.Errorf("replayed: %w", err)
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	again.lock.Lock()
	defer again.lock.Unlock()
	if len(r.failures) != 0 {
		return fmt.Errorf("%v", r.failures)
	}
	for i := range max(len(r.events), len(again.events)) {
		if i >= len(r.events) || i >= len(again.events) || r.events[i].Kv.String() != again.events[i].Kv.String() {
			return fmt.Errorf("event %d of %d differs from the store's history of %d", i, len(r.events), len(again.events))
		}
	}
	values := map[string]int64{}
	for _, e := range r.events {
		if _, twice := values[string(e.Kv.Value)]; twice {
			return fmt.Errorf("value %q came twice", e.Kv.Value)
		}
		values[string(e.Kv.Value)] = e.Kv.ModRevision
	}
	for n, revision := range w.acked {
		if values[fmt.Sprint(n)] != revision {
			return fmt.Errorf("acknowledged put %d at revision %d came as %d", n, revision, values[fmt.Sprint(n)])
		}
	}
	if len(w.acked) < 10 {
		return fmt.Errorf("only %d puts were acknowledged", len(w.acked))
	}
	return nil
}

func main() {
	var command, only string
	var verbose, etcd34 bool
	flag.StringVar(&command, "server", "", "what to test; it is given etcd's flags")
	flag.StringVar(&only, "only", "", "tests whose name contains this")
	flag.BoolVar(&etcd34, "etcd34", false, "the server is Debian's etcd: skip what it does wrong")
	flag.BoolVar(&verbose, "v", false, "say what passed")
	flag.Parse()
	passed, failed, skipped := 0, 0, 0
	for _, t := range tests {
		if !strings.Contains(t.name, only) {
			continue
		}
		if etcd34 && t.name == overtaking {
			skipped++
			fmt.Printf("skip  %s: etcd 3.4.23 does it wrong\n", t.name)
			continue
		}
		begin := time.Now()
		if err := runOne(command, t); err != nil {
			failed++
			fmt.Printf("FAIL  %s\n      %s\n", t.name, strings.ReplaceAll(err.Error(), "\n", "\n      "))
		} else {
			passed++
			if verbose {
				fmt.Printf("ok    %s (%.1f s)\n", t.name, time.Since(begin).Seconds())
			}
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed != 0 {
		os.Exit(1)
	}
	if passed == 0 {
		os.Exit(77)
	}
}

func runOne(command string, t test) error {
	s, err := server.New(command, "")
	if err != nil {
		return err
	}
	defer s.Close()
	if err = s.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), server.Slowly(testLimit))
	defer cancel()
	if err = t.run(ctx, s); err != nil {
		return err
	}
	if !s.Running() {
		return fmt.Errorf("the server ended by itself: %s", s.Said())
	}
	return nil
}
