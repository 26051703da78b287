package main

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// fixture is a store with different versions, revisions and values: current revision 12.
func fixture(r *run) {
	for _, kv := range []string{"b=2", "a=1", "c=3", "c=33", "d=", "e=9", "a=11", "f=z", "x/1=1", "x/2=2"} {
		key, value, _ := strings.Cut(kv, "=")
		r.put(key, value)
	}
	r.del("e", "")
}

func init() {
	add("put/what it answers", func(r *run) {
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Value: []byte("value-1")})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Value: []byte("value-2"), PrevKv: true})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a")})
	})
	add("put/flags and errors", func(r *run) {
		do(r, r.kv.Put, &pb.PutRequest{})
		do(r, r.kv.Put, &pb.PutRequest{Value: []byte("v")})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), IgnoreValue: true})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), IgnoreLease: true})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Value: []byte("v"), IgnoreValue: true})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Lease: 7, IgnoreLease: true})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Value: []byte("v"), Lease: 7, IgnoreLease: true, IgnoreValue: true})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Lease: 7})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Lease: -7})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a")})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a")})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), IgnoreValue: true, IgnoreLease: true, PrevKv: true})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte{0}, Value: []byte{0}})
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte{0xff, 0xff}, Value: []byte{0xff}})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	})
	add("put/sizes at the limits", func(r *run) {
		for _, size := range []int{1024, 1 << 20, 1536*1024 - 200, 1536 * 1024, 1536*1024 + 1, 2 << 20, 2<<20 + 1, 3 << 20} {
			do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a"), Value: []byte(strings.Repeat("x", size))})
		}
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), KeysOnly: true})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte(strings.Repeat("k", 2<<20))})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte(strings.Repeat("k", 1800*1024))})
		do(r, r.kv.DeleteRange, &pb.DeleteRangeRequest{Key: []byte(strings.Repeat("k", 1800*1024))})
	})
	add("range/answers of many megabytes", func(r *run) {
		for i := range 6 {
			r.put(fmt.Sprintf("k%d", i), strings.Repeat(string(rune('a'+i)), 1<<20))
		}
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Limit: 3})
	})
	for order := int32(0); order < 3; order++ {
		for target := int32(0); target < 5; target++ {
			o, t := pb.RangeRequest_SortOrder(order), pb.RangeRequest_SortTarget(target)
			add(fmt.Sprintf("range/sorted %v by %v", o, t), func(r *run) {
				fixture(r)
				r.put("g", "10")
				// No two alike in any target, so that no order is left open.
				quiet(r.kv.Put, &pb.PutRequest{Key: []byte("h"), Value: []byte("11a")})
				keys := [][2]string{{"b", "d"}, {"c", "f"}, {"a", "a\x00"}, {"f", "g"}}
				if t != pb.RangeRequest_VERSION {
					keys = append(keys, [2]string{"a", "x"})
				}
				for _, k := range keys {
					for _, limit := range []int64{0, 1, 2, 3, -1, 100} {
						do(r, r.kv.Range, &pb.RangeRequest{Key: []byte(k[0]), RangeEnd: []byte(k[1]), SortOrder: o, SortTarget: t, Limit: limit})
					}
				}
				do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("d"), SortOrder: o, SortTarget: t, KeysOnly: true,
					Revision: 5})
			})
		}
	}
	add("range/limits", func(r *run) {
		fixture(r)
		for _, limit := range []int64{-5, 0, 1, 2, 6, 7, 8, 1 << 40} {
			for _, flags := range []int{0, 1, 2, 3} {
				do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}, Limit: limit, KeysOnly: flags&1 != 0, CountOnly: flags&2 != 0})
			}
		}
	})
	add("range/minimal and maximal revisions", func(r *run) {
		fixture(r)
		for _, bound := range []int64{-1, 0, 1, 3, 5, 8, 12, 13} {
			q := func() *pb.RangeRequest { return &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z")} }
			for _, set := range []func(*pb.RangeRequest){
				func(q *pb.RangeRequest) { q.MinModRevision = bound }, func(q *pb.RangeRequest) { q.MaxModRevision = bound },
				func(q *pb.RangeRequest) { q.MinCreateRevision = bound }, func(q *pb.RangeRequest) { q.MaxCreateRevision = bound },
				func(q *pb.RangeRequest) { q.MinModRevision = bound; q.Limit = 2 },
				func(q *pb.RangeRequest) { q.MaxModRevision = bound; q.Limit = 1; q.SortOrder = pb.RangeRequest_DESCEND },
				func(q *pb.RangeRequest) { q.MinModRevision = bound; q.CountOnly = true },
				func(q *pb.RangeRequest) { q.MinModRevision, q.MaxCreateRevision, q.KeysOnly = bound, 6, true },
			} {
				one := q()
				set(one)
				do(r, r.kv.Range, one)
			}
		}
	})
	add("range/ends", func(r *run) {
		fixture(r)
		r.put("\x00", "nul")
		r.put("\xff", "ff")
		for _, key := range []string{"", "\x00", "a", "a\x00", "c", "zz", "\xff", "\xff\xff"} {
			for _, end := range []string{"", "\x00", "a", "b", "c\x00", "\x00\x00", "\xff", "\xff\xff"} {
				do(r, r.kv.Range, &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end), KeysOnly: true})
			}
		}
	})
	add("range/revisions", func(r *run) {
		fixture(r)
		for _, revision := range []int64{-9223372036854775808, -1, 0, 1, 2, 3, 5, 6, 7, 11, 12, 13, 1 << 62} {
			do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), Revision: revision})
			do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("e"), Revision: revision, Serializable: true})
			do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), Revision: revision, CountOnly: true})
		}
		r.compact(6)
		for revision := int64(1); revision < 14; revision++ {
			do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), Revision: revision})
		}
	})
	add("range/pages at one revision", func(r *run) {
		for i := range 25 {
			r.put(fmt.Sprintf("k%02d", i), fmt.Sprint(i))
		}
		const revision = 26
		key := "k"
		for page := 0; ; page++ {
			r.put(fmt.Sprintf("k%02d", page*3), "changed")
			r.put(fmt.Sprintf("k%02dx", page), "new")
			r.del(fmt.Sprintf("k%02d", page*2+1), "")
			a := do(r, r.kv.Range, &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte("l"), Limit: 7, Revision: revision})
			if a == nil || !a.More || page > 10 {
				break
			}
			key = string(a.Kvs[len(a.Kvs)-1].Key) + "\x00"
		}
	})
	addExpect("range/unknown sort order and target", `error 3: etcdserver: invalid sort option
error 3: etcdserver: invalid sort option
error 3: etcdserver: invalid sort option`, func(r *run) {
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), SortOrder: 9})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), SortTarget: 9})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), SortOrder: -1, SortTarget: -1})
	})
	add("delete/ends", func(r *run) {
		for _, key := range []string{"", "\x00", "a", "c", "zz", "\xff"} {
			for _, end := range []string{"", "\x00", "a", "b", "d", "\xff\xff"} {
				fixture(r)
				do(r, r.kv.DeleteRange, &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end), PrevKv: len(end) == 1})
			}
		}
		do(r, r.kv.DeleteRange, &pb.DeleteRangeRequest{})
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	})
	add("compact/bounds", func(r *run) {
		do(r, r.kv.Compact, &pb.CompactionRequest{Revision: 2})
		do(r, r.kv.Compact, &pb.CompactionRequest{Revision: 0})
		do(r, r.kv.Compact, &pb.CompactionRequest{Revision: -1})
		fixture(r)
		for _, revision := range []int64{-5, 0, 13, 1 << 62, 5, 5, 4, 6, 12, 12, 13} {
			do(r, r.kv.Compact, &pb.CompactionRequest{Revision: revision, Physical: revision&1 == 0})
			do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), Revision: revision})
		}
	})
	add("compact/every revision in turn", func(r *run) {
		fixture(r)
		r.put("e", "again")
		r.del("a", "c")
		r.put("b", "again")
		for compacted := int64(2); compacted <= 15; compacted++ {
			do(r, r.kv.Compact, &pb.CompactionRequest{Revision: compacted, Physical: true})
			for revision := compacted - 1; revision <= 16; revision++ {
				do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), Revision: revision})
			}
		}
	})
	add("maintenance/status, hash, alarms, members", func(r *run) {
		r.put("a", "1")
		s := quiet(r.main.Status, &pb.StatusRequest{})
		r.note("status", fmt.Sprintf("leader %v, index %v, applied %v, term %v, size %v, in use %v, learner %v, errors %v, revision %d",
			s.Leader == s.Header.MemberId, s.RaftIndex > 0, s.RaftAppliedIndex > 0, s.RaftTerm > 0, s.DbSize > 0, s.DbSizeInUse > 0,
			s.IsLearner, s.Errors, s.Header.Revision))
		h := quiet(r.main.HashKV, &pb.HashKVRequest{})
		r.note("hash", fmt.Sprintf("%d %d", h.CompactRevision, h.Header.Revision))
		again := quiet(r.main.HashKV, &pb.HashKVRequest{Revision: 2})
		r.note("hash at the revision", fmt.Sprint(again.Hash == h.Hash))
		r.put("a", "2")
		again = quiet(r.main.HashKV, &pb.HashKVRequest{Revision: 2})
		r.note("hash of the past", fmt.Sprint(again.Hash == h.Hash))
		again = quiet(r.main.HashKV, &pb.HashKVRequest{})
		r.note("hash of now", fmt.Sprint(again.Hash == h.Hash))
		do(r, r.main.HashKV, &pb.HashKVRequest{Revision: 99})
		r.compact(3)
		do(r, r.main.HashKV, &pb.HashKVRequest{Revision: 2})
		h = quiet(r.main.HashKV, &pb.HashKVRequest{})
		r.note("hash after a compaction", fmt.Sprintf("%d %d", h.CompactRevision, h.Header.Revision))
		do(r, r.main.Alarm, &pb.AlarmRequest{})
		m := quiet(r.member.MemberList, &pb.MemberListRequest{})
		r.note("members", fmt.Sprintf("%d %s %v %d", len(m.Members), m.Members[0].Name, m.Members[0].ID == m.Header.MemberId, m.Header.Revision))
		do(r, r.member.MemberRemove, &pb.MemberRemoveRequest{ID: 77})
		do(r, r.member.MemberUpdate, &pb.MemberUpdateRequest{ID: 77, PeerURLs: []string{"http://127.0.0.1:1"}})
		do(r, r.member.MemberPromote, &pb.MemberPromoteRequest{ID: 77})
		do(r, r.main.MoveLeader, &pb.MoveLeaderRequest{TargetID: 77})
	})
	add("auth/lists and what is missing", func(r *run) {
		do(r, r.auth.UserList, &pb.AuthUserListRequest{})
		do(r, r.auth.RoleList, &pb.AuthRoleListRequest{})
		do(r, r.auth.UserGet, &pb.AuthUserGetRequest{Name: "nobody"})
		do(r, r.auth.RoleGet, &pb.AuthRoleGetRequest{Role: "nobody"})
		do(r, r.auth.UserDelete, &pb.AuthUserDeleteRequest{Name: "nobody"})
		do(r, r.auth.RoleDelete, &pb.AuthRoleDeleteRequest{Role: "nobody"})
		do(r, r.auth.Authenticate, &pb.AuthenticateRequest{Name: "nobody", Password: "x"})
	})
}
