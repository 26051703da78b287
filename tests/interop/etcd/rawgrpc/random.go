package main

import (
	"fmt"
	"math/rand"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	historyLength = 400
	watchCount    = 12
	keyCount      = 9
	leaseCount    = 5
	endKey        = "k~end" // the last event of a history, behind every other key
)

// A maker makes the same random requests for both servers: it looks at no answer.
type maker struct{ *rand.Rand }

func (m maker) key() string { return fmt.Sprintf("k%d", m.Intn(keyCount)) }

func (m maker) end(key string) string {
	switch m.Intn(6) {
	case 0:
		return fmt.Sprintf("k%d", m.Intn(keyCount))
	case 1:
		return "\x00"
	case 2:
		return "l"
	}
	return ""
}

func (m maker) flag() bool { return m.Intn(4) == 0 }

func (m maker) value() string { return fmt.Sprintf("%c%d", 'a'+m.Intn(26), m.Intn(1000)) }

func (m maker) put() *pb.PutRequest {
	q := &pb.PutRequest{Key: []byte(m.key()), Value: []byte(m.value()), PrevKv: m.flag()}
	if m.flag() {
		q.Lease = int64(m.Intn(leaseCount + 1))
	}
	if m.Intn(12) == 0 {
		q.IgnoreValue, q.Value = true, nil
	}
	if m.Intn(12) == 0 {
		q.IgnoreLease, q.Lease = true, 0
	}
	return q
}

func (m maker) get(around int) *pb.RangeRequest {
	key := m.key()
	q := &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(m.end(key)), KeysOnly: m.flag(), CountOnly: m.Intn(9) == 0, Serializable: m.flag()}
	if m.flag() {
		q.Limit = int64(m.Intn(5))
	}
	if m.flag() {
		q.Revision = int64(m.Intn(around + 5))
	}
	// Targets with ties leave the order open: only those that have none.
	if m.flag() {
		q.SortOrder = pb.RangeRequest_SortOrder(m.Intn(3))
		q.SortTarget = pb.RangeRequest_KEY
	}
	if m.Intn(8) == 0 {
		q.MinModRevision = int64(m.Intn(around + 1))
	}
	if m.Intn(8) == 0 {
		q.MaxCreateRevision = int64(m.Intn(around + 1))
	}
	return q
}

func (m maker) del() *pb.DeleteRangeRequest {
	key := m.key()
	return &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(m.end(key)), PrevKv: m.flag()}
}

func (m maker) compare(around int) *pb.Compare {
	c := &pb.Compare{Key: []byte(m.key()), Result: pb.Compare_CompareResult(m.Intn(4)), Target: pb.Compare_CompareTarget(m.Intn(5))}
	number := int64(m.Intn(around + 1))
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: int64(m.Intn(4))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: number}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: number}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: []byte(m.value())}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: int64(m.Intn(leaseCount))}
	}
	if m.flag() {
		c.RangeEnd = []byte(m.end(string(c.Key)))
	}
	return c
}

func (m maker) list(around, depth int) (list []*pb.RequestOp) {
	for range m.Intn(5) {
		switch m.Intn(8) {
		case 0, 1, 2:
			list = append(list, asOp(m.put()))
		case 3, 4:
			list = append(list, asOp(m.get(around)))
		case 5, 6:
			list = append(list, asOp(m.del()))
		case 7:
			if depth < 3 {
				list = append(list, asOp(m.txn(around, depth+1)))
			}
		}
	}
	return list
}

func (m maker) txn(around, depth int) *pb.TxnRequest {
	q := &pb.TxnRequest{Success: m.list(around, depth), Failure: m.list(around, depth)}
	for range m.Intn(3) {
		q.Compare = append(q.Compare, m.compare(around))
	}
	return q
}

// history makes one random request after the other; AROUND is about the current revision.
func history(r *run, m maker) {
	for i := range historyLength {
		around := i*2/3 + 2
		switch n := m.Intn(100); {
		case n < 35:
			do(r, r.kv.Put, m.put())
		case n < 50:
			do(r, r.kv.Range, m.get(around))
		case n < 60:
			do(r, r.kv.DeleteRange, m.del())
		case n < 85:
			do(r, r.kv.Txn, m.txn(around, 0))
		case n < 90:
			do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: int64(1 + m.Intn(leaseCount)), TTL: 1000 + int64(m.Intn(1000))})
		case n < 94:
			do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{ID: int64(1 + m.Intn(leaseCount))})
		case n < 97:
			left(r, int64(1+m.Intn(leaseCount)), true)
		default:
			do(r, r.kv.Compact, &pb.CompactionRequest{Revision: int64(m.Intn(around/2 + 1)), Physical: true})
		}
	}
}

// watches asks for the history from random revisions, and compares event for event.
func watches(r *run, m maker, revision int64) {
	for range watchCount {
		s := r.stream()
		key := m.key()
		q := &pb.WatchCreateRequest{Key: []byte(key), RangeEnd: []byte("l"), PrevKv: m.flag(), Fragment: m.flag(), StartRevision: 1 + m.Int63n(revision)}
		if m.flag() {
			q.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}
		}
		s.create(q)
		s.events(revision)
		s.close()
	}
}

func addRandom(seeds int) {
	for seed := 1; seed <= seeds; seed++ {
		add(fmt.Sprintf("random/history %d", seed), func(r *run) {
			m := maker{rand.New(rand.NewSource(int64(seed)))}
			live := r.stream()
			defer live.close()
			q := whole()
			q.PrevKv = seed&1 == 0
			live.create(q)
			live.expect(1)
			history(r, m)
			revision := r.put(endKey, "").Header.Revision
			r.note("the last revision", fmt.Sprint(revision))
			live.events(revision)
			watches(r, m, revision)
			for range 30 {
				do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Revision: 1 + m.Int63n(revision)})
			}
		})
	}
}
