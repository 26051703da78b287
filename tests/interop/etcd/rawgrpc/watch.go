package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
	"warren.test/etcd/server"
)

var (
	answerLimit = server.Slowly(10 * time.Second)
	quietTime   = server.Slowly(400 * time.Millisecond) // for what should not come
)

type received struct {
	m   *pb.WatchResponse
	err error
}

// A stream is one Watch stream, read in the background.
type stream struct {
	r      *run
	client pb.Watch_WatchClient
	cancel context.CancelFunc
	in     chan received
}

func (r *run) stream(pairs ...string) *stream {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), pairs...))
	client, err := r.watch.Watch(ctx)
	if err != nil {
		cancel()
		panic(err)
	}
	s := &stream{r, client, cancel, make(chan received, 100000)}
	go func() {
		for {
			m, err := client.Recv()
			s.in <- received{m, err}
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *stream) close() { s.cancel() }

func (s *stream) send(m *pb.WatchRequest) {
	s.r.note("send "+s.r.text(m), "")
	if err := s.client.Send(m); err != nil {
		s.r.note("send failed", err.Error())
	}
}

func (s *stream) create(q *pb.WatchCreateRequest) {
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: q}})
}

func (s *stream) cancelID(id int64) {
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

func (s *stream) progress() {
	s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

func (s *stream) next(limit time.Duration) (received, bool) {
	select {
	case one := <-s.in:
		return one, true
	case <-time.After(limit):
		return received{}, false
	}
}

func (s *stream) noteOne(one received) {
	switch {
	case one.err == io.EOF:
		s.r.note("received", "end of stream")
	case one.err != nil:
		s.r.note("received", s.r.failure(one.err))
	default:
		s.r.note("received", s.r.text(one.m))
	}
}

// expect notes the next COUNT answers, or that they do not come.
func (s *stream) expect(count int) {
	for range count {
		one, came := s.next(answerLimit)
		if !came {
			s.r.note("received", "nothing")
			return
		}
		s.noteOne(one)
		if one.err != nil {
			return
		}
	}
}

// expectAnyOrder does the same where the order of the watchers is open.
func (s *stream) expectAnyOrder(count int) {
	before := len(s.r.notes)
	s.expect(count)
	slices.SortFunc(s.r.notes[before:], func(a, b note) int { return strings.Compare(a.text, b.text) })
}

// silence notes whatever comes in a short while.
func (s *stream) silence() {
	for {
		one, came := s.next(quietTime)
		if !came {
			s.r.note("silence", "")
			return
		}
		s.noteOne(one)
		if one.err != nil {
			return
		}
	}
}

// events notes the events up to the one of revision LAST, whatever answers they come in; that no revision is split
// between answers is noted too.
func (s *stream) events(last int64) {
	text, previous := "", int64(0)
	for {
		one, came := s.next(answerLimit)
		if !came || one.err != nil || one.m.Canceled {
			s.r.note("events", text)
			if came {
				s.noteOne(one)
			} else {
				s.r.note("received", "nothing more")
			}
			return
		}
		if one.m.Created {
			continue
		}
		for i, e := range one.m.Events {
			if i == 0 && e.Kv.ModRevision <= previous {
				text += "A REVISION IS SPLIT\n"
			}
			text += fmt.Sprintf("%d: %v\n", one.m.WatchId, e)
		}
		if n := len(one.m.Events); n > 0 {
			if previous = one.m.Events[n-1].Kv.ModRevision; previous > one.m.Header.Revision {
				text += "AN EVENT FROM THE FUTURE\n"
			}
		}
		if previous >= last {
			s.r.note("events", text)
			return
		}
	}
}

func whole() *pb.WatchCreateRequest {
	return &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}}
}

func init() {
	add("watch/one key", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(&pb.WatchCreateRequest{Key: []byte("a")})
		s.expect(1)
		r.put("b", "0")
		r.put("a", "1")
		s.expect(1)
		r.del("a", "")
		s.expect(1)
		s.silence()
	})
	add("watch/ids", func(r *run) {
		s := r.stream()
		defer s.close()
		for _, id := range []int64{0, 0, 2, 0, 0, 5, 2, 0, 0, 0, -7, -1, 1 << 50, 0} {
			s.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: id})
			s.expect(1)
		}
	})
	add("watch/ids after a cancel", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 9})
		s.expect(1)
		s.cancelID(9)
		s.expect(1)
		s.cancelID(9)
		s.silence()
		s.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 9})
		s.expect(1)
		s.cancelID(1234)
		s.silence()
		r.put("a", "1")
		s.expect(1)
	})
	add("watch/duplicate ids keep the stream", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 3})
		s.create(&pb.WatchCreateRequest{Key: []byte("b"), WatchId: 3})
		s.expect(2)
		r.put("b", "1")
		r.put("a", "1")
		s.expect(1)
		s.silence()
	})
	add("watch/empty ranges", func(r *run) {
		for _, ends := range [][2]string{{"b", "a"}, {"a", "a"}, {"", ""}, {"", "\x00"}, {"a", "\x00"}, {"", "b"}, {"\x00", "\x00"}, {"\xff", "a"}} {
			s := r.stream()
			s.create(&pb.WatchCreateRequest{Key: []byte(ends[0]), RangeEnd: []byte(ends[1])})
			s.expect(1)
			r.put("a", "1")
			r.put("\x00", "1")
			s.silence()
			s.close()
		}
	})
	add("watch/from every revision", func(r *run) {
		fixture(r)
		for revision := int64(1); revision <= 14; revision++ {
			s := r.stream()
			q := whole()
			q.StartRevision, q.PrevKv = revision, revision&1 == 0
			s.create(q)
			s.expect(1)
			if revision <= 12 {
				s.events(12)
			}
			s.silence()
			s.close()
		}
	})
	add("watch/from the future", func(r *run) {
		r.put("a", "1")
		s := r.stream()
		defer s.close()
		q := whole()
		q.StartRevision = 5
		s.create(q)
		s.expect(1)
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
		}
		s.expect(3)
		s.silence()
	})
	add("watch/compacted", func(r *run) {
		fixture(r)
		r.compact(7)
		s := r.stream()
		defer s.close()
		s.create(&pb.WatchCreateRequest{Key: []byte("a")})
		s.expect(1)
		for revision := int64(1); revision < 9; revision++ {
			q := whole()
			q.StartRevision, q.WatchId = revision, revision*10
			s.create(q)
			s.expect(2)
		}
		// The first one lives on.
		r.put("a", "still")
		s.expectAnyOrder(3)
		s.silence()
	})
	add("watch/transactions are whole", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(whole())
		s.expect(1)
		quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opPut("b", "1"), opPut("a", "1"), opDel("d", ""), opPut("c", "1"))})
		s.expect(1)
		quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opDel("a", "z"))})
		s.expect(1)
		quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opDel("a", "z"))})
		quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(nested(nil, ops(opPut("n", "1"), nested(nil, ops(opPut("m", "1")), nil)), nil), opDel("o", ""))})
		s.expect(1)
		s.silence()
	})
	add("watch/filters", func(r *run) {
		fixture(r)
		for _, filters := range [][]pb.WatchCreateRequest_FilterType{nil, {pb.WatchCreateRequest_NOPUT}, {pb.WatchCreateRequest_NODELETE},
			{pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE}, {pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NOPUT}, {7}} {
			s := r.stream()
			q := whole()
			q.Filters = filters
			s.create(q)
			s.expect(1)
			r.put("a", "1")
			quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opPut("b", "1"), opDel("a", ""))})
			s.silence()
			s.close()
		}
		s := r.stream()
		defer s.close()
		q := whole()
		q.StartRevision, q.Filters = 2, []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}
		s.create(q)
		s.silence()
	})
	add("watch/prev-kv", func(r *run) {
		r.put("a", "0")
		s := r.stream()
		defer s.close()
		q := whole()
		q.PrevKv = true
		s.create(q)
		s.expect(1)
		r.put("a", "1")
		r.put("b", "1")
		r.del("a", "z")
		r.put("a", "2")
		quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opPut("a", "3"), opDel("b", ""))})
		s.expect(5)
	})
	add("watch/prev-kv that was compacted", func(r *run) {
		for i := range 6 {
			r.put("a", fmt.Sprint(i))
			r.put("b", fmt.Sprint(i))
		}
		r.compact(8)
		s := r.stream()
		defer s.close()
		q := whole()
		q.PrevKv, q.StartRevision = true, 8
		s.create(q)
		s.events(13)
	})
	add("watch/progress", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(whole())
		s.expect(1)
		s.progress()
		s.expect(1)
		r.put("a", "1")
		s.expect(1)
		s.progress()
		s.expect(1)
		s.create(&pb.WatchCreateRequest{Key: []byte("b"), StartRevision: 2})
		s.expect(1)
		r.put("q", "1")
		s.expect(1)
		s.progress()
		s.expect(1)
		s.silence()
	})
	add("watch/progress without watchers", func(r *run) {
		s := r.stream()
		defer s.close()
		s.progress()
		text := ""
		for {
			one, came := s.next(quietTime)
			if !came || one.err != nil {
				break
			}
			text += r.text(one.m) + "\n"
		}
		r.note("progress without watchers", text)
	})
	add("watch/progress of a future watcher", func(r *run) {
		s := r.stream()
		defer s.close()
		q := whole()
		q.StartRevision = 50
		s.create(q)
		s.expect(1)
		s.progress()
		s.silence()
	})
	add("watch/unknown and empty requests", func(r *run) {
		s := r.stream()
		defer s.close()
		s.send(&pb.WatchRequest{})
		s.silence()
		s.create(&pb.WatchCreateRequest{Key: []byte("a")})
		s.expect(1)
	})
	add("watch/half-close keeps the stream", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(&pb.WatchCreateRequest{Key: []byte("a")})
		s.expect(1)
		_ = s.client.CloseSend()
		time.Sleep(200 * time.Millisecond)
		r.put("a", "1")
		s.expect(1)
		s.silence()
	})
	add("watch/half-close without a watcher", func(r *run) {
		s := r.stream()
		defer s.close()
		_ = s.client.CloseSend()
		s.silence()
	})
	add("watch/hasleader", func(r *run) {
		s := r.stream("hasleader", "true")
		defer s.close()
		s.create(&pb.WatchCreateRequest{Key: []byte("a")})
		s.expect(1)
		r.put("a", "1")
		s.expect(1)
	})
	add("watch/many on one stream", func(r *run) {
		s := r.stream()
		defer s.close()
		for i := range 50 {
			s.create(&pb.WatchCreateRequest{Key: []byte(fmt.Sprintf("k%02d", i))})
		}
		s.expect(50)
		for i := 49; i >= 0; i-- {
			r.put(fmt.Sprintf("k%02d", i), "v")
			s.expect(1)
		}
		s.silence()
	})
	add("watch/many of one key", func(r *run) {
		s := r.stream()
		defer s.close()
		for range 20 {
			s.create(&pb.WatchCreateRequest{Key: []byte("a")})
		}
		s.expect(20)
		r.put("a", "1")
		seen := map[int64]bool{}
		for range 20 {
			if one, came := s.next(answerLimit); came && one.err == nil {
				seen[one.m.WatchId] = len(one.m.Events) == 1 && one.m.Header.Revision == 2
			}
		}
		r.note("seen", fmt.Sprint(seen))
		s.silence()
	})
	add("watch/large events are not split unasked", func(r *run) {
		big := func() []*pb.RequestOp {
			return ops(opPut("a", strings.Repeat("x", 700000)), opPut("b", strings.Repeat("y", 700000)))
		}
		s := r.stream()
		defer s.close()
		for range 4 {
			quiet(r.kv.Txn, &pb.TxnRequest{Success: big()})
		}
		q := whole()
		q.StartRevision = 2
		s.create(q)
		s.events(5)
		s.silence()
	})
	add("watch/fragments", func(r *run) {
		for i := range 3 {
			quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opPut("a", strings.Repeat("x", 700000+i)), opPut("b", strings.Repeat("y", 700000)))})
		}
		s := r.stream()
		defer s.close()
		q := whole()
		q.StartRevision, q.Fragment, q.PrevKv = 2, true, true
		s.create(q)
		s.expect(1)
		events, parts, whole := 0, 0, true
		for {
			one, came := s.next(answerLimit)
			if !came || one.err != nil {
				r.note("fragments", "missing")
				break
			}
			parts++
			whole = whole && one.m.Size() < 3<<20
			for _, e := range one.m.Events {
				r.note("event", r.text(e))
				events++
			}
			if !one.m.Fragment {
				break
			}
		}
		r.note("fragments", fmt.Sprintf("%d events, more than one answer: %v, each small: %v", events, parts > 1, whole))
		s.silence()
	})
	add("watch/one large transaction in fragments", func(r *run) {
		s := r.stream()
		defer s.close()
		q := whole()
		q.Fragment, q.PrevKv = true, true
		s.create(q)
		s.expect(1)
		for range 2 {
			quiet(r.kv.Txn, &pb.TxnRequest{Success: ops(opPut("a", strings.Repeat("x", 700000)), opPut("b", strings.Repeat("y", 700000)))})
		}
		s.expect(3)
		s.silence()
	})
	add("watch/a lease's end", func(r *run) {
		do(r, r.lease.LeaseGrant, &pb.LeaseGrantRequest{ID: 7, TTL: 100})
		for _, key := range []string{"c", "a", "b"} {
			quiet(r.kv.Put, &pb.PutRequest{Key: []byte(key), Lease: 7})
		}
		s := r.stream()
		defer s.close()
		s.create(whole())
		s.expect(1)
		do(r, r.lease.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 7})
		s.expect(1)
		s.silence()
	})
	add("watch/1000 revisions of history and beyond", func(r *run) {
		for i := range 2500 {
			r.put(fmt.Sprintf("k%d", i%7), fmt.Sprint(i))
		}
		for _, revision := range []int64{2, 1000, 1499, 2500} {
			s := r.stream()
			q := whole()
			q.StartRevision = revision
			s.create(q)
			s.events(2501)
			s.silence()
			s.close()
		}
	})
	add("watch/compaction overtakes nobody who is synced", func(r *run) {
		s := r.stream()
		defer s.close()
		s.create(whole())
		s.expect(1)
		for i := range 5 {
			r.put("a", fmt.Sprint(i))
		}
		s.expect(5)
		r.compact(6)
		r.put("a", "on")
		s.expect(1)
		s.progress()
		s.expect(1)
	})
}
