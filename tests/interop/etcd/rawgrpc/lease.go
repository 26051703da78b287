package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// left notes a lease's time to live: the remaining seconds only as to whether they are right.
func left(r *run, id int64, keys bool) {
	a := quiet(r.lease.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: id, Keys: keys})
	if a.TTL > 0 {
		// A random history takes its time on a busy machine; its leases are long.
		if a.TTL <= a.GrantedTTL && a.TTL >= a.GrantedTTL-max(5, a.GrantedTTL/20) {
			a.TTL = 1
		}
		slices.SortFunc(a.Keys, func(x, y []byte) int { return slices.Compare(x, y) })
	}
	r.note(fmt.Sprintf("time to live of %d, keys %v", id, keys), r.text(a))
}

func init() {
	add("lease/grants", func(r *run) {
		for _, q := range [][2]int64{{0, 10}, {5, 10}, {5, 20}, {6, 1}, {7, 0}, {8, -1}, {9, -9223372036854775808}, {10, 9000000000}, {11, 9000000001},
			{12, 9223372036854775807}, {-1, 10}, {-5, 10}, {9223372036854775807, 10}, {1 << 62, 2}} {
			do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: q[0], TTL: q[1]})
		}
		all(r)
	})
	add("lease/time to live", func(r *run) {
		for id := int64(1); id < 4; id++ {
			do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: id, TTL: 100 * id})
		}
		for _, key := range []string{"c", "a", "b"} {
			do(r, r.kv.Put, &pb.PutRequest{Key: []byte(key), Lease: 2})
		}
		for _, id := range []int64{0, 1, 2, 3, 4, -1} {
			left(r, id, false)
			left(r, id, true)
		}
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Lease: 3})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("b"), IgnoreLease: true})
		do(r, r.kv.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("c")})
		left(r, 2, true)
		left(r, 3, true)
	})
	add("lease/list", func(r *run) {
		do(r, r.lease.LeaseLeases, &pb.LeaseLeasesRequest{})
		for _, q := range [][2]int64{{5, 300}, {9, 100}, {2, 200}, {7, 50}} {
			do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: q[0], TTL: q[1]})
		}
		do(r, r.lease.LeaseLeases, &pb.LeaseLeasesRequest{})
		do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 9})
		do(r, r.lease.LeaseLeases, &pb.LeaseLeasesRequest{})
	})
	add("lease/revoke", func(r *run) {
		do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{})
		do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 5})
		do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 100})
		for _, key := range []string{"c", "a", "b", "d"} {
			do(r, r.kv.Put, &pb.PutRequest{Key: []byte(key), Lease: 5})
		}
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("d")})
		do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 5})
		all(r)
		do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 100})
		do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 5})
		all(r)
	})
	add("lease/keepalive", func(r *run) {
		do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 100})
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		s, err := r.lease.LeaseKeepAlive(ctx)
		if err != nil {
			panic(err)
		}
		for _, id := range []int64{5, 6, 5, 0, -1, 5} {
			_ = s.Send(&pb.LeaseKeepAliveRequest{ID: id})
			a, err := s.Recv()
			if err != nil {
				r.note("keepalive", r.failure(err))
				return
			}
			r.note(fmt.Sprint("keepalive of ", id), r.text(a))
		}
		_ = s.CloseSend()
		if _, err = s.Recv(); err == io.EOF {
			r.note("half-close", "end of stream")
		} else {
			r.note("half-close", r.failure(err))
		}
	})
	add("lease/expiry and renewal", func(r *run) {
		do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 2})
		do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: 6, TTL: 2})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("b"), Lease: 5})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Lease: 5})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("kept"), Lease: 6})
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		w := r.stream()
		defer w.close()
		w.create(whole())
		w.expect(1)
		s, err := r.lease.LeaseKeepAlive(ctx)
		if err != nil {
			panic(err)
		}
		for range 10 {
			_ = s.Send(&pb.LeaseKeepAliveRequest{ID: 6})
			if _, err := s.Recv(); err != nil {
				panic(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		w.expect(1)
		left(r, 5, true)
		left(r, 6, true)
		all(r)
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("late"), Lease: 5})
		_ = s.Send(&pb.LeaseKeepAliveRequest{ID: 5})
		if a, err := s.Recv(); err == nil {
			r.note("keepalive of an expired one", r.text(a))
		}
	})
}
