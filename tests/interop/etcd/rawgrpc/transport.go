package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protowire"
)

const putPath = "/etcdserverpb.KV/Put"

// frame is a gRPC message on the wire.
func frame(flags byte, message []byte) []byte {
	out := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message)))
	return append(out, message...)
}

func encoded(m interface{ Marshal() ([]byte, error) }) []byte {
	out, err := m.Marshal()
	if err != nil {
		panic(err)
	}
	return out
}

func onePut() []byte {
	return encoded(&pb.PutRequest{Key: []byte("a"), Value: []byte("1")})
}

// raw sends one HTTP/2 request by hand and notes status, the headers that gRPC defines, and whether there is an answer.
func raw(r *run, what, method, path string, headers map[string]string, body []byte) {
	transport := &http2.Transport{AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, "http://"+r.server.Address+path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	q.Header["User-Agent"] = nil
	all := map[string]string{"content-type": "application/grpc", "te": "trailers"}
	for name, value := range headers {
		all[name] = value
	}
	for name, value := range all {
		if value != "" {
			q.Header.Set(name, value)
		}
	}
	a, err := transport.RoundTrip(q)
	if err != nil {
		r.note(what, strings.ReplaceAll(err.Error(), r.server.Address, "ADDRESS"))
		return
	}
	defer a.Body.Close()
	answer, err := io.ReadAll(a.Body)
	text := fmt.Sprintf("HTTP %d, answer: %v", a.StatusCode, len(answer) != 0)
	if err != nil {
		text += ", then " + err.Error()
	}
	var lines []string
	for _, header := range []http.Header{a.Header, a.Trailer} {
		for name := range header {
			if name == "Grpc-Message" && header.Get(name) == "" {
				continue // says as much as none
			}
			if strings.HasPrefix(name, "Grpc-") && name != "Grpc-Accept-Encoding" || name == "Content-Type" {
				lines = append(lines, fmt.Sprintf("%s: %s", name, header.Get(name)))
			}
		}
	}
	sort.Strings(lines)
	r.note(what, text+"\n"+strings.Join(lines, "\n"))
}

func addRaw(name, method, path string, headers map[string]string, body func() []byte) {
	add("transport/"+name, func(r *run) {
		raw(r, name, method, path, headers, body())
		// Whatever that was, the server serves on; and it is seen whether the put was made.
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a")})
	})
}

func framed() []byte { return frame(0, onePut()) }

func unknownField(m []byte) []byte {
	m = protowire.AppendTag(m, 1000, protowire.BytesType)
	m = protowire.AppendString(m, "unknown")
	m = protowire.AppendTag(m, 1001, protowire.VarintType)
	m = protowire.AppendVarint(m, 1<<63)
	m = protowire.AppendTag(m, 1002, protowire.Fixed64Type)
	m = protowire.AppendFixed64(m, 5)
	m = protowire.AppendTag(m, 1003, protowire.Fixed32Type)
	return protowire.AppendFixed32(m, 5)
}

func init() {
	addRaw("a good put", "POST", putPath, nil, framed)
	for _, kind := range []string{"application/grpc+proto", "application/grpc;charset=utf-8", "application/grpc+json", "application/grpcx", "application/json",
		"text/plain", "", "APPLICATION/GRPC"} {
		value := kind
		if value == "" {
			value = " "
		}
		addRaw("content-type "+kind, "POST", putPath, map[string]string{"content-type": value}, framed)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		addRaw("method "+method, method, putPath, nil, framed)
	}
	for _, path := range []string{"/etcdserverpb.KV/Nothing", "/nothing.KV/Put", "/etcdserverpb.KV", "/", "/etcdserverpb.KV/Put/x", "//Put",
		"/etcdserverpb.kv/put", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/etcdserverpb.KV/"} {
		addRaw("path "+path, "POST", path, nil, framed)
	}
	addRaw("without te", "POST", putPath, map[string]string{"te": ""}, framed)
	addRaw("compressed flag without an encoding", "POST", putPath, nil, func() []byte { return frame(1, onePut()) })
	addRaw("compressed flag with gzip", "POST", putPath, map[string]string{"grpc-encoding": "gzip"}, func() []byte { return frame(1, onePut()) })
	addRaw("gzip named, not compressed", "POST", putPath, map[string]string{"grpc-encoding": "gzip"}, framed)
	addRaw("an unknown encoding", "POST", putPath, map[string]string{"grpc-encoding": "nonsense"}, framed)
	addRaw("compressed flag with identity", "POST", putPath, map[string]string{"grpc-encoding": "identity"}, func() []byte { return frame(1, onePut()) })
	addRaw("a flag that is none", "POST", putPath, nil, func() []byte { return frame(2, onePut()) })
	addRaw("an undecodable message", "POST", putPath, nil, func() []byte { return frame(0, []byte{0x0a, 0xff}) })
	addRaw("a length that overflows", "POST", putPath, nil,
		func() []byte { return frame(0, append([]byte{0x0a}, bytes.Repeat([]byte{0xff}, 11)...)) })
	addRaw("a field number of zero", "POST", putPath, nil, func() []byte { return frame(0, []byte{0x02, 0x01, 'a'}) })
	addRaw("a group that does not end", "POST", putPath, nil, func() []byte { return frame(0, []byte{0x53, 0x01}) })
	addRaw("the wrong wire type of a known field", "POST", putPath, nil, func() []byte { return frame(0, append(onePut(), 0x08, 0x01)) })
	addRaw("no body", "POST", putPath, nil, func() []byte { return nil })
	addRaw("an empty message", "POST", putPath, nil, func() []byte { return frame(0, nil) })
	addRaw("an empty range", "POST", "/etcdserverpb.KV/Range", nil, func() []byte { return frame(0, nil) })
	addRaw("an empty txn", "POST", "/etcdserverpb.KV/Txn", nil, func() []byte { return frame(0, nil) })
	addRaw("half a header", "POST", putPath, nil, func() []byte { return framed()[:3] })
	addRaw("half a message", "POST", putPath, nil, func() []byte { return framed()[:8] })
	addRaw("two messages", "POST", putPath, nil, func() []byte { return append(framed(), framed()...) })
	addRaw("bytes behind the message", "POST", putPath, nil, func() []byte { return append(framed(), 1, 2, 3) })
	addRaw("unknown fields", "POST", putPath, nil, func() []byte { return frame(0, unknownField(onePut())) })
	addRaw("a field twice: the last one counts", "POST", putPath, nil, func() []byte {
		return frame(0, append(encoded(&pb.PutRequest{Key: []byte("z"), Lease: 77}), append(onePut(), 0x18, 0)...))
	})
	addRaw("a varint longer than it need be", "POST", putPath, nil, func() []byte { return frame(0, append(onePut(), 0x18, 0x80, 0x80, 0x00)) })
	addRaw("a bool of 2", "POST", putPath, nil, func() []byte { return frame(0, append(onePut(), 0x20, 0x02)) })
	addRaw("a length prefix of 4 GiB", "POST", putPath, nil, func() []byte { return []byte{0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3} })
	addRaw("a length prefix of 2 MiB and one", "POST", putPath, nil, func() []byte { return []byte{0, 0, 0x20, 0, 1, 1, 2, 3} })
	for _, timeout := range []string{"10S", "99999999H", "1M", "500m", "900000u", "x", "10", "S", "123456789S", "1 S"} {
		addRaw("grpc-timeout "+timeout, "POST", putPath, map[string]string{"grpc-timeout": timeout}, framed)
	}
	addRaw("metadata of all kinds", "POST", putPath, map[string]string{"x-any": "value", "x-any-bin": "AAEC", "authorization": "Bearer x"}, framed)
	addRaw("metadata that is no base64", "POST", putPath, map[string]string{"x-any-bin": "!!!"}, framed)
	addRaw("a large header", "POST", putPath, map[string]string{"x-any": strings.Repeat("x", 10000)}, framed)
	addRaw("hasleader", "POST", putPath, map[string]string{"hasleader": "true"}, framed)
	addRaw("health", "POST", "/grpc.health.v1.Health/Check", nil, func() []byte { return frame(0, nil) })
	addRaw("health of an unknown service", "POST", "/grpc.health.v1.Health/Check", nil,
		func() []byte { return frame(0, protowire.AppendString([]byte{0x0a}, "nothing")) })
	addRaw("unknown fields in a nested message", "POST", "/etcdserverpb.KV/Txn", nil, func() []byte {
		inner := unknownField(encoded(opPut("a", "1")))
		return frame(0, protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), inner))
	})
	addRaw("a packed filter of a watch", "POST", "/etcdserverpb.Watch/Watch", nil, func() []byte {
		return append(frame(0, []byte{0x0a, 0x07, 0x0a, 0x01, 'a', 0x2a, 0x02, 0, 1}), frame(0, []byte{0x12, 0x00})...)
	})
	add("transport/filters packed and not", func(r *run) {
		for _, filters := range [][]byte{{0x2a, 0x01, 0}, {0x28, 0}, {0x2a, 0x02, 0, 1}, {0x28, 0, 0x28, 1}, {0x2a, 0x00}} {
			s := r.stream()
			q := &pb.WatchCreateRequest{}
			if err := q.Unmarshal(append([]byte{0x0a, 0x01, 'a'}, filters...)); err != nil {
				panic(err)
			}
			s.create(q)
			s.expect(1)
			r.put("a", "1")
			r.del("a", "")
			s.silence()
			s.close()
		}
	})
	add("transport/many calls at once", func(r *run) {
		failures := make(chan error, 200)
		for i := range 200 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), callLimit)
				defer cancel()
				_, err := r.kv.Put(ctx, &pb.PutRequest{Key: []byte(fmt.Sprintf("k%d", i)), Value: []byte("v")})
				failures <- err
			}()
		}
		for range 200 {
			if err := <-failures; err != nil {
				r.note("put", r.failure(err))
			}
		}
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), CountOnly: true})
	})
	add("transport/a call given up", func(r *run) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := r.kv.Put(ctx, &pb.PutRequest{Key: []byte("a")})
		r.note("put", r.failure(err))
		do(r, r.kv.Range, &pb.RangeRequest{Key: []byte("a")})
	})
}
