package main

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"warren.test/etcd/server"
)

var callLimit = server.Slowly(20 * time.Second)

type note struct{ step, text string }

// A run is one scenario on one server: its connection, and what was noted.
type run struct {
	server *server.Server
	conn   *grpc.ClientConn
	kv     pb.KVClient
	watch  pb.WatchClient
	lease  pb.LeaseClient
	main   pb.MaintenanceClient
	member pb.ClusterClient
	auth   pb.AuthClient
	notes  []note
	leases []int64 // that the server chose, in order: noted as L1, L2...
}

func newRun(s *server.Server) (*run, error) {
	conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, err
	}
	return &run{server: s, conn: conn, kv: pb.NewKVClient(conn), watch: pb.NewWatchClient(conn), lease: pb.NewLeaseClient(conn),
		main: pb.NewMaintenanceClient(conn), member: pb.NewClusterClient(conn), auth: pb.NewAuthClient(conn)}, nil
}

func (r *run) close() { _ = r.conn.Close() }

func (r *run) note(step, text string) { r.notes = append(r.notes, note{step, text}) }

// normalHeader keeps what matters of a server's own numbers: that they are not zero.
func normalHeader(h *pb.ResponseHeader) {
	if h == nil {
		return
	}
	for _, id := range []*uint64{&h.ClusterId, &h.MemberId, &h.RaftTerm} {
		if *id != 0 {
			*id = 1
		}
	}
}

// shorten writes runs of one letter as its count: some values are megabytes.
func shorten(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		n := 1
		for i+n < len(text) && text[i+n] == text[i] {
			n++
		}
		if n > 40 {
			fmt.Fprintf(&out, "%c*%d", text[i], n)
		} else {
			out.WriteString(text[i : i+n])
		}
		i += n
	}
	return out.String()
}

func (r *run) text(m any) string {
	if h, has := m.(interface{ GetHeader() *pb.ResponseHeader }); has && !reflect.ValueOf(m).IsNil() {
		normalHeader(h.GetHeader())
	}
	text := fmt.Sprintf("%v", m)
	for i, id := range r.leases {
		text = strings.ReplaceAll(text, strconv.FormatInt(id, 10), fmt.Sprintf("L%d", i+1))
	}
	return shorten(text)
}

func (r *run) failure(err error) string {
	s, _ := status.FromError(err)
	return fmt.Sprintf("error %d: %s", s.Code(), strings.ReplaceAll(s.Message(), r.server.Address, "ADDRESS"))
}

func name(f any) string {
	full := fmt.Sprintf("%T", f)
	return full[strings.LastIndex(full, ".")+1:]
}

// do makes one call and notes the answer.
func do[Q, A any](r *run, call func(context.Context, *Q, ...grpc.CallOption) (*A, error), q *Q) *A {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	a, err := call(ctx, q)
	step := name(q) + " " + r.text(any(q))
	if err != nil {
		r.note(step, r.failure(err))
		return nil
	}
	if granted, is := any(a).(*pb.LeaseGrantResponse); is && granted.ID > math.MaxUint32 {
		r.leases = append(r.leases, granted.ID)
	}
	r.note(step, r.text(any(a)))
	return a
}

// quiet makes one call whose answer is not noted; a failure ends the scenario.
func quiet[Q, A any](call func(context.Context, *Q, ...grpc.CallOption) (*A, error), q *Q) *A {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	a, err := call(ctx, q)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name(q), err))
	}
	return a
}

func (r *run) put(key, value string) *pb.PutResponse {
	return quiet(r.kv.Put, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
}

func (r *run) del(key, end string) *pb.DeleteRangeResponse {
	return quiet(r.kv.DeleteRange, &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)})
}

func (r *run) compact(revision int64) {
	quiet(r.kv.Compact, &pb.CompactionRequest{Revision: revision, Physical: true})
}

// Ops of a transaction.

func opPut(key, value string) *pb.RequestOp {
	return asOp(&pb.PutRequest{Key: []byte(key), Value: []byte(value)})
}

func opGet(key, end string) *pb.RequestOp {
	return asOp(&pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)})
}

func opDel(key, end string) *pb.RequestOp {
	return asOp(&pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)})
}

func asOp(m any) *pb.RequestOp {
	switch q := m.(type) {
	case *pb.PutRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: q}}
	case *pb.RangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: q}}
	case *pb.DeleteRangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: q}}
	case *pb.TxnRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: q}}
	}
	panic("not an operation")
}

func ops(list ...*pb.RequestOp) []*pb.RequestOp { return list }

func compares(list ...*pb.Compare) []*pb.Compare { return list }

func ifMod(key string, result pb.Compare_CompareResult, revision int64) *pb.Compare {
	return &pb.Compare{Key: []byte(key), Target: pb.Compare_MOD, Result: result, TargetUnion: &pb.Compare_ModRevision{ModRevision: revision}}
}
