// The client of the crash suites: it loads a server with writes, keeps in memory what was acknowledged, and says
// afterwards whether the server still has exactly that. Commands come on standard input as JSON, one a line; each is
// answered with one line.
//
//	{"cmd":"load","url":...,"writers":8,...}  starts writers; answered once the first write was acknowledged
//	{"cmd":"join","wait":false}               ends them (or waits for the end of a load with a count)
//	{"cmd":"verify","url":...}                compares
//	{"cmd":"zone","zone":...}                 the zone's peers and observations, by what is known
//	{"cmd":"put"|"get"|"delete"|"compact"|"grant"|"alarm"|"watch"} one request, and its code and text
//	{"cmd":"puts","url":...,"count":N}        many puts of distinct keys, for the benchmark
//	{"cmd":"peers","url":...,"zone":...,"count":N}  many peers of a zone, likewise
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/status"
)

func leaseGrant(id, ttl int64) *pb.LeaseGrantRequest { return &pb.LeaseGrantRequest{ID: id, TTL: ttl} }

func dial(url string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{url}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

type session struct {
	h    *history
	load *load
}

type command struct {
	Cmd      string  `json:"cmd"`
	URL      string  `json:"url"`
	Wait     bool    `json:"wait"`
	Zone     string  `json:"zone"`
	Key      string  `json:"key"`
	Value    string  `json:"value"`
	Rev      int64   `json:"rev"`
	TTL      int64   `json:"ttl"`
	Count    int     `json:"count"`
	Size     int     `json:"size"`
	Limit    float64 `json:"limit_s"`
	Physical bool    `json:"physical"`
}

func (s *session) startLoad(line []byte, url string) (any, error) {
	var req loadRequest
	if err := json.Unmarshal(line, &req); err != nil {
		return nil, err
	}
	c, err := dial(url)
	if err != nil {
		return nil, err
	}
	s.load = startLoad(s.h, c, req)
	select {
	case <-s.load.first:
		return map[string]any{"started": true}, nil
	case <-time.After(20 * time.Second):
		return map[string]any{"started": false}, nil
	}
}

func (s *session) join(wait bool) (any, error) {
	l := s.load
	if l == nil {
		return nil, fmt.Errorf("no load")
	}
	if wait {
		l.writers.Wait()
	}
	l.cancel()
	l.wg.Wait()
	l.c.Close()
	s.load = nil
	return map[string]any{"acks": l.acks.Load(), "faults": l.faults, "refusals": l.refusals, "errors": l.errors,
		"reads": l.reads, "events": l.events, "unknown": len(s.h.unknown), "top": s.h.top, "floor": s.h.floor}, nil
}

func (s *session) zone(zone string) any {
	type observation struct {
		Peer, Observer, Value string
		Mod                   int64
	}
	now := s.h.at(s.h.top)
	prefix := "/warren/zones/" + zone + "/"
	peers, seen := map[string]string{}, []observation{}
	for _, k := range keysOf(now, prefix) {
		parts := strings.Split(k[len(prefix):], "/")
		switch parts[0] {
		case "peers":
			peers[parts[1]] = now[k].Value
		case "endpoints":
			seen = append(seen, observation{parts[1], parts[2], now[k].Value, now[k].Mod})
		}
	}
	return map[string]any{"peers": peers, "observations": seen}
}

// one does a single request outside of a load; its outcome is a part of the history like any other.
func (s *session) one(cmd command) (any, error) {
	c, err := dial(cmd.URL)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	limit := cmd.Limit
	if limit == 0 {
		limit = 5
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(limit*float64(time.Second)))
	defer cancel()
	reply := map[string]any{}
	w := &writer{l: &load{h: s.h, first: make(chan struct{}), refusals: map[string]int64{}, errors: map[string]int64{}}, own: state{}}
	switch cmd.Cmd {
	case "put":
		var r *clientv3.PutResponse
		r, err = c.Put(ctx, cmd.Key, cmd.Value)
		if err == nil {
			reply["revision"] = r.Header.Revision
			w.done(nil, r.Header.Revision, "put", []event{{Key: cmd.Key, Value: cmd.Value}})
		} else {
			w.done(err, 0, "put", []event{{Key: cmd.Key, Value: cmd.Value}})
		}
	case "get":
		var r *clientv3.GetResponse
		if r, err = c.Get(ctx, cmd.Key, clientv3.WithRev(cmd.Rev)); err == nil {
			reply["count"], reply["revision"] = r.Count, r.Header.Revision
			if len(r.Kvs) > 0 {
				reply["value"], reply["mod"] = string(r.Kvs[0].Value), r.Kvs[0].ModRevision
			}
		}
	case "delete":
		events := []event{{Delete: true, Key: cmd.Key}}
		s.h.mu.Lock()
		if _, there := s.h.at(s.h.top)[cmd.Key]; !there {
			events = nil
		}
		s.h.mu.Unlock()
		var r *clientv3.DeleteResponse
		if r, err = c.Delete(ctx, cmd.Key); err == nil {
			reply["deleted"], reply["revision"] = r.Deleted, r.Header.Revision
			w.done(nil, r.Header.Revision, "delete", events)
		} else {
			w.done(err, 0, "delete", events)
		}
	case "compact":
		var options []clientv3.CompactOption
		if cmd.Physical {
			options = append(options, clientv3.WithCompactPhysical())
		}
		rev := cmd.Rev
		s.h.mu.Lock()
		defer s.h.mu.Unlock()
		if rev == 0 {
			rev = s.h.contig
		}
		if _, err = c.Compact(ctx, rev, options...); err == nil {
			s.h.raise(rev)
			reply["revision"] = rev
		} else if !definite(plainError(err)) {
			s.h.compacts = append(s.h.compacts, rev)
		}
	case "grant":
		var r *clientv3.LeaseGrantResponse
		if r, err = c.Grant(ctx, cmd.TTL); err == nil {
			s.h.leases[int64(r.ID)] = r.TTL
		}
	case "alarms":
		var r *clientv3.AlarmResponse
		if r, err = c.AlarmList(ctx); err == nil {
			names := []string{}
			for _, a := range r.Alarms {
				names = append(names, a.Alarm.String())
			}
			reply["alarms"] = names
		}
	case "disarm":
		_, err = c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	case "defrag":
		_, err = c.Defragment(ctx, cmd.URL)
	case "watch": // the events of KEY from REV until COUNT of them came
		got := []string{}
		for r := range c.Watch(ctx, cmd.Key, clientv3.WithRev(cmd.Rev)) {
			if err = r.Err(); err != nil {
				break
			}
			for _, e := range r.Events {
				got = append(got, toEvent(e).String())
			}
			if len(got) >= cmd.Count {
				break
			}
		}
		reply["events"] = got
	default:
		return nil, fmt.Errorf("no such command: %q", cmd.Cmd)
	}
	reply["code"], reply["text"] = "OK", ""
	if err != nil {
		st := status.Convert(plainError(err))
		reply["code"], reply["text"] = st.Code().String(), st.Message()
	}
	return reply, nil
}

// puts writes COUNT distinct keys by 100 clients and keeps no history of them.
func puts(cmd command) (any, error) {
	c, err := dial(cmd.URL)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	value, begin := strings.Repeat("v", cmd.Size), time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				mu.Lock()
				n := next
				next++
				stop := err != nil
				mu.Unlock()
				if stop || n >= cmd.Count {
					return
				}
				if _, e := c.Put(context.Background(), fmt.Sprintf("%s%08d", cmd.Key, n), value); e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
				}
			}
		}()
	}
	wg.Wait()
	return map[string]any{"seconds": time.Since(begin).Seconds()}, err
}

// sizePeer is the peer of the size benchmark with that number: its key, and what its record says.
func sizePeer(n int) (string, string) {
	key := sha256.Sum256([]byte(fmt.Sprintf("warren size %d", n)))
	return keyText(key), fmt.Sprintf(`{"name":"n%d","allowed_ips":["10.%d.%d.%d/32"],"endpoint":"198.51.%d.%d:%d"}`,
		n, n>>16&255, n>>8&255, n&255, n>>8&127, n&255, 1024+n%60000)
}

// peers writes COUNT peers of ZONE in transactions of 100.
func peers(cmd command) (any, error) {
	const batch = 100
	c, err := dial(cmd.URL)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	begin, work, failures := time.Now(), make(chan int), make(chan error, 4)
	for range cap(failures) {
		go func() {
			var failed error
			for first := range work {
				var ops []clientv3.Op
				for n := first; n < min(first+batch, cmd.Count); n++ {
					key, value := sizePeer(n)
					ops = append(ops, clientv3.OpPut("/warren/zones/"+cmd.Zone+"/peers/"+key, value))
				}
				if _, e := c.Txn(context.Background()).Then(ops...).Commit(); e != nil {
					failed = e
				}
			}
			failures <- failed
		}()
	}
	for n := 0; n < cmd.Count; n += batch {
		work <- n
	}
	close(work)
	for range cap(failures) {
		if e := <-failures; e != nil {
			err = e
		}
	}
	return map[string]any{"seconds": time.Since(begin).Seconds()}, err
}

func (s *session) do(line []byte) (any, error) {
	var cmd command
	if err := json.Unmarshal(line, &cmd); err != nil {
		return nil, err
	}
	switch cmd.Cmd {
	case "load":
		return s.startLoad(line, cmd.URL)
	case "join":
		return s.join(cmd.Wait)
	case "zone":
		return s.zone(cmd.Zone), nil
	case "puts":
		return puts(cmd)
	case "peers":
		return peers(cmd)
	case "verify":
		var req verifyRequest
		if err := json.Unmarshal(line, &req); err != nil {
			return nil, err
		}
		c, err := dial(cmd.URL)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return verify(s.h, c, req), nil
	}
	return s.one(cmd)
}

func main() {
	s := &session{h: newHistory()}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 4<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		reply, err := s.do(in.Bytes())
		if err != nil {
			reply = map[string]any{"error": err.Error()}
		}
		if err := out.Encode(reply); err != nil {
			os.Exit(1)
		}
	}
}
