package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"warren.test/etcd/server"
)

const prefix = "w/"

func watchKilled(ctx context.Context, s *server.Server) error {
	client, err := connect(s.Address)
	if err != nil {
		return err
	}
	defer client.Close()
	r := startReader(ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithRev(1))
	w, err := startWriter(ctx, s.Address, prefix)
	if err != nil {
		return err
	}
	defer w.stop()
	for range killCount {
		time.Sleep(2 * watchPause)
		s.Kill()
		time.Sleep(watchPause)
		if err = s.Start(); err != nil {
			return err
		}
		// Clients wait up to some seconds before they try again: see that they are there.
		before := w.last.Load()
		for deadline := time.Now().Add(15 * time.Second); w.last.Load() == before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				return errors.New("no put is acknowledged any more after the restart")
			}
		}
	}
	w.stop()
	return r.exactly(ctx, s.Address, prefix, w)
}

func watchCut(ctx context.Context, s *server.Server) error {
	p, err := newProxy(s.Address)
	if err != nil {
		return err
	}
	defer p.close()
	client, err := connect(p.address)
	if err != nil {
		return err
	}
	defer client.Close()
	r := startReader(ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithRev(1))
	w, err := startWriter(ctx, s.Address, prefix)
	if err != nil {
		return err
	}
	defer w.stop()
	for i := range cutCount {
		time.Sleep(watchPause)
		p.cut()
		if i%3 == 0 {
			p.refuse(true)
			time.Sleep(watchPause)
			p.refuse(false)
		}
	}
	w.stop()
	return r.exactly(ctx, s.Address, prefix, w)
}

// watchCatchUp has a long history, and cuts the connection in the middle of its replay.
func watchCatchUp(ctx context.Context, s *server.Server) error {
	direct, err := connect(s.Address)
	if err != nil {
		return err
	}
	defer direct.Close()
	w := &writer{acked: map[int]int64{}}
	value := make([]byte, 2000)
	for i := range value {
		value[i] = 'x'
	}
	for n := range 1500 {
		text := fmt.Sprintf("%d %s", n, value)
		if _, err := direct.Put(ctx, fmt.Sprintf("%s%d", prefix, n%10), text); err != nil {
			return err
		}
	}
	for n := range 20 {
		a, err := direct.Put(ctx, fmt.Sprintf("%s%d", prefix, n%10), fmt.Sprint(n))
		if err != nil {
			return err
		}
		w.acked[n] = a.Header.Revision
	}
	p, err := newProxy(s.Address)
	if err != nil {
		return err
	}
	defer p.close()
	client, err := connect(p.address)
	if err != nil {
		return err
	}
	defer client.Close()
	p.cutEvery(400000)
	r := startReader(ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithFragment())
	time.Sleep(2 * time.Second)
	p.cutEvery(0)
	return r.exactly(ctx, s.Address, prefix, w)
}

func watchSeveral(ctx context.Context, s *server.Server) error {
	p, err := newProxy(s.Address)
	if err != nil {
		return err
	}
	defer p.close()
	client, err := connect(p.address)
	if err != nil {
		return err
	}
	defer client.Close()
	var readers []*reader
	for range 5 {
		readers = append(readers, startReader(ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV()))
	}
	w, err := startWriter(ctx, s.Address, prefix)
	if err != nil {
		return err
	}
	defer w.stop()
	for range cutCount / 2 {
		time.Sleep(watchPause)
		p.cut()
	}
	w.stop()
	// The last event of one is not the last of the next: each check adds an event.
	return readers[len(readers)-1].exactly(ctx, s.Address, prefix, w)
}

// watchCompacted: what a watch missed was compacted meanwhile, and it is told.
func watchCompacted(ctx context.Context, s *server.Server) error {
	p, err := newProxy(s.Address)
	if err != nil {
		return err
	}
	defer p.close()
	client, err := connect(p.address)
	if err != nil {
		return err
	}
	defer client.Close()
	direct, err := connect(s.Address)
	if err != nil {
		return err
	}
	defer direct.Close()
	in := client.Watch(ctx, "a", clientv3.WithRev(1))
	if _, err = direct.Put(ctx, "a", "1"); err != nil {
		return err
	}
	if a := <-in; a.Err() != nil || len(a.Events) != 1 {
		return fmt.Errorf("the first event: %v %v", a.Events, a.Err())
	}
	p.refuse(true)
	p.cut()
	var last int64
	for n := range 5 {
		a, err := direct.Put(ctx, "a", fmt.Sprint(n))
		if err != nil {
			return err
		}
		last = a.Header.Revision
	}
	if _, err = direct.Compact(ctx, last); err != nil {
		return err
	}
	p.refuse(false)
	a := <-in
	if !errors.Is(a.Err(), rpctypes.ErrCompacted) || a.CompactRevision != last {
		return fmt.Errorf("after a compaction at %d: %v, compact revision %d", last, a.Err(), a.CompactRevision)
	}
	return nil
}

// watchProgress: after a cut, a progress notification promises no more than what had come.
func watchProgress(ctx context.Context, s *server.Server) error {
	p, err := newProxy(s.Address)
	if err != nil {
		return err
	}
	defer p.close()
	client, err := connect(p.address)
	if err != nil {
		return err
	}
	defer client.Close()
	w, err := startWriter(ctx, s.Address, prefix)
	if err != nil {
		return err
	}
	defer w.stop()
	in := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1))
	var seen, promised, notifications int64
	cut := time.NewTicker(watchPause)
	defer cut.Stop()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for end := time.After(4 * time.Second); ; {
		select {
		case a, open := <-in:
			if !open || a.Err() != nil {
				return fmt.Errorf("the watch ended: %v", a.Err())
			}
			if a.IsProgressNotify() {
				notifications++
				promised = max(promised, a.Header.Revision)
			}
			for _, e := range a.Events {
				if e.Kv.ModRevision <= promised || e.Kv.ModRevision <= seen {
					return fmt.Errorf("event of revision %d after progress %d and revision %d", e.Kv.ModRevision, promised, seen)
				}
				if seen != 0 && e.Kv.ModRevision != seen+1 {
					return fmt.Errorf("revision %d after %d", e.Kv.ModRevision, seen)
				}
				seen = e.Kv.ModRevision
			}
		case <-ask.C:
			_ = client.RequestProgress(ctx)
		case <-cut.C:
			p.cut()
		case <-end:
			if notifications == 0 || seen < 10 {
				return fmt.Errorf("%d notifications, revision %d", notifications, seen)
			}
			return nil
		}
	}
}
