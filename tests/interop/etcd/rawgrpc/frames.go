package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
)

// frames speaks HTTP/2 frame by frame: after the preface it sends what SEND does, and notes how the server ends it.
func frames(r *run, what string, send func(f *http2.Framer) error) {
	conn, err := net.Dial("tcp", r.server.Address)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err = conn.Write([]byte(http2.ClientPreface)); err != nil {
		panic(err)
	}
	f := http2.NewFramer(conn, conn)
	if err = f.WriteSettings(); err != nil {
		panic(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- send(f) }()
	for {
		one, err := f.ReadFrame()
		if err != nil {
			how := "the connection ends"
			if strings.Contains(err.Error(), "timeout") {
				how = "nothing"
			}
			r.note(what, how)
			return
		}
		if away, is := one.(*http2.GoAwayFrame); is {
			r.note(what, fmt.Sprintf("GOAWAY %v %q", away.ErrCode, away.DebugData()))
			return
		}
	}
}

func pings(count int, pause time.Duration) func(f *http2.Framer) error {
	return func(f *http2.Framer) error {
		for i := range count {
			if err := f.WritePing(false, [8]byte{byte(i)}); err != nil {
				return err
			}
			time.Sleep(pause)
		}
		return nil
	}
}

func init() {
	add("frames/two pings", func(r *run) { frames(r, "pings", pings(2, 10*time.Millisecond)) })
	add("frames/too many pings", func(r *run) {
		frames(r, "pings", pings(50, 10*time.Millisecond))
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a")})
	})
	add("frames/a thousand streams of one connection", func(r *run) {
		var streams []*stream
		for range 1000 {
			s := r.stream()
			defer s.close()
			_ = s.client.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("a")}}})
			streams = append(streams, s)
		}
		created, events := 0, 0
		for _, s := range streams {
			if one, came := s.next(answerLimit); came && one.err == nil && one.m.Created {
				created++
			}
		}
		r.put("a", "1")
		for _, s := range streams {
			if one, came := s.next(answerLimit); came && one.err == nil && len(one.m.Events) == 1 {
				events++
			}
		}
		r.note("streams", fmt.Sprintf("%d created, %d events", created, events))
	})
	add("frames/a preface that is none", func(r *run) {
		conn, err := net.Dial("tcp", r.server.Address)
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Write([]byte("\x16\x03\x01\x02\x00nonsense\r\n\r\n"))
		_, _ = conn.Read(make([]byte, 100))
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a")})
	})
	add("frames/calls that are given up in the middle", func(r *run) {
		for range 200 {
			s := r.stream()
			_ = s.client.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: whole()}})
			s.close()
		}
		do(r, r.kv.Put, &pb.PutRequest{Key: []byte("a")})
		s := r.stream()
		defer s.close()
		s.create(whole())
		s.expect(1)
		r.put("a", "1")
		s.expect(1)
	})
}
