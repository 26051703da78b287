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

// kept is a key under a lease that the library keeps alive until stop.
type kept struct {
	client  *clientv3.Client
	id      clientv3.LeaseID
	answers <-chan *clientv3.LeaseKeepAliveResponse
	stop    context.CancelFunc
}

func keep(ctx context.Context, address string, ttl int64) (*kept, error) {
	client, err := connect(address)
	if err != nil {
		return nil, err
	}
	lease, err := client.Grant(ctx, ttl)
	if err == nil {
		_, err = client.Put(ctx, "leased", "v", clientv3.WithLease(lease.ID))
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	answers, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		stop()
		client.Close()
		return nil, err
	}
	return &kept{client, lease.ID, answers, stop}, nil
}

func (k *kept) close() {
	k.stop()
	k.client.Close()
}

// during counts the keepalive's answers for a while.
func (k *kept) during(d time.Duration) (count int, err error) {
	for end := time.After(d); ; {
		select {
		case a, open := <-k.answers:
			if !open {
				return count, errors.New("the keepalive ended")
			}
			if a.TTL <= 0 {
				return count, fmt.Errorf("keepalive: TTL %d", a.TTL)
			}
			count++
		case <-end:
			return count, nil
		}
	}
}

func has(ctx context.Context, address, key string) (bool, error) {
	client, err := connect(address)
	if err != nil {
		return false, err
	}
	defer client.Close()
	a, err := client.Get(ctx, key)
	if err != nil {
		return false, err
	}
	return a.Count == 1, nil
}

func mustHave(ctx context.Context, address string, wanted bool) error {
	there, err := has(ctx, address, "leased")
	if err == nil && there != wanted {
		err = fmt.Errorf("the leased key is there: %v", there)
	}
	return err
}

// gone waits for the key's end, and says how long that took.
func gone(ctx context.Context, address string, limit time.Duration) (time.Duration, error) {
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		there, err := has(ctx, address, "leased")
		if err != nil {
			return 0, err
		}
		if !there {
			return time.Since(begin), nil
		}
		if time.Since(begin) > limit {
			return 0, fmt.Errorf("the leased key is still there after %v", limit)
		}
	}
}

func leaseKept(ctx context.Context, s *server.Server) error {
	k, err := keep(ctx, s.Address, leaseTTL)
	if err != nil {
		return err
	}
	defer k.close()
	count, err := k.during(3*leaseTTL*time.Second + time.Second)
	if err != nil {
		return err
	}
	if count < 6 {
		return fmt.Errorf("only %d answers to the keepalive", count)
	}
	if err = mustHave(ctx, s.Address, true); err != nil {
		return err
	}
	k.stop()
	stopped := time.Now()
	if _, err = gone(ctx, s.Address, 4*leaseTTL*time.Second); err != nil {
		return err
	}
	// Kept alive every third of its time: it may not end earlier than the other two.
	if took := time.Since(stopped); took < leaseTTL*time.Second/2 {
		return fmt.Errorf("the lease ended %v after the last keepalive, before its time", took)
	}
	a, err := k.client.TimeToLive(ctx, k.id)
	if err != nil || a.TTL != -1 {
		return fmt.Errorf("time to live of an ended lease: %v, %v", a, err)
	}
	_, err = k.client.Put(ctx, "leased", "again", clientv3.WithLease(k.id))
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("put under an ended lease: %v", err)
	}
	return nil
}

func leaseCut(ctx context.Context, s *server.Server) error {
	p, err := newProxy(s.Address)
	if err != nil {
		return err
	}
	defer p.close()
	k, err := keep(ctx, p.address, 4)
	if err != nil {
		return err
	}
	defer k.close()
	for range 6 {
		if _, err = k.during(1500 * time.Millisecond); err != nil {
			return err
		}
		p.cut()
	}
	if _, err = k.during(time.Second); err != nil {
		return err
	}
	return mustHave(ctx, s.Address, true)
}

func leaseKilled(ctx context.Context, s *server.Server) error {
	k, err := keep(ctx, s.Address, 6)
	if err != nil {
		return err
	}
	defer k.close()
	for range 2 {
		if _, err = k.during(time.Second); err != nil {
			return err
		}
		s.Kill()
		time.Sleep(watchPause)
		if err = s.Start(); err != nil {
			return err
		}
		if err = mustHave(ctx, s.Address, true); err != nil {
			return err
		}
	}
	count, err := k.during(9 * time.Second)
	if err != nil {
		return err
	}
	if count == 0 {
		return errors.New("no answer to a keepalive after the restart")
	}
	if err = mustHave(ctx, s.Address, true); err != nil {
		return err
	}
	k.stop()
	_, err = gone(ctx, s.Address, 20*time.Second)
	return err
}

func leaseRevoked(ctx context.Context, s *server.Server) error {
	k, err := keep(ctx, s.Address, leaseTTL)
	if err != nil {
		return err
	}
	defer k.close()
	if _, err = k.during(time.Second); err != nil {
		return err
	}
	if _, err = k.client.Revoke(ctx, k.id); err != nil {
		return err
	}
	if err = mustHave(ctx, s.Address, false); err != nil {
		return err
	}
	for end := time.After(10 * time.Second); ; {
		select {
		case _, open := <-k.answers:
			if !open {
				return nil
			}
		case <-end:
			return errors.New("the keepalive of a revoked lease goes on")
		}
	}
}

// leaseExclusion: ten clients each increment a number under a lock made of a transaction and a lease.
func leaseExclusion(ctx context.Context, s *server.Server) error {
	const clients, rounds = 5, 8
	failures := make(chan error, clients)
	for range clients {
		go func() { failures <- increments(ctx, s.Address, rounds) }()
	}
	for range clients {
		if err := <-failures; err != nil {
			return err
		}
	}
	client, err := connect(s.Address)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := client.Get(ctx, "number")
	if err != nil {
		return err
	}
	if text := string(a.Kvs[0].Value); text != fmt.Sprint(clients*rounds) {
		return fmt.Errorf("%d increments made %s", clients*rounds, text)
	}
	return nil
}

func increments(ctx context.Context, address string, rounds int) error {
	client, err := connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	lease, err := client.Grant(ctx, 30)
	if err != nil {
		return err
	}
	for done := 0; done < rounds; {
		a, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("lock"), "=", 0)).
			Then(clientv3.OpPut("lock", "", clientv3.WithLease(lease.ID))).Commit()
		if err != nil {
			return err
		}
		if !a.Succeeded {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		number := 0
		g, err := client.Get(ctx, "number")
		if err != nil {
			return err
		}
		if len(g.Kvs) == 1 {
			_, _ = fmt.Sscan(string(g.Kvs[0].Value), &number)
		}
		if _, err = client.Put(ctx, "number", fmt.Sprint(number+1)); err != nil {
			return err
		}
		if _, err = client.Delete(ctx, "lock"); err != nil {
			return err
		}
		done++
	}
	return nil
}

func kvKilled(ctx context.Context, s *server.Server) error {
	client, err := connect(s.Address)
	if err != nil {
		return err
	}
	defer client.Close()
	for round := range 3 {
		key := fmt.Sprint("k", round)
		if _, err = client.Put(ctx, key, "v"); err != nil {
			return err
		}
		s.Kill()
		if err = s.Start(); err != nil {
			return err
		}
		one, cancel := context.WithTimeout(ctx, 15*time.Second)
		a, err := client.Get(one, key)
		cancel()
		if err != nil {
			return fmt.Errorf("get after a restart: %w", err)
		}
		if a.Count != 1 {
			return fmt.Errorf("%s was acknowledged and is lost", key)
		}
	}
	return nil
}
