// Package server starts a server that takes etcd's flags, for tests.
package server

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const startLimit = 30 * time.Second

// Slowly is a time limit for the build under test: sanitized ones are slower by $WARREN_TEST_SLOWNESS.
func Slowly(d time.Duration) time.Duration {
	slowness, err := strconv.ParseFloat(os.Getenv("WARREN_TEST_SLOWNESS"), 64)
	if err != nil || slowness < 1 {
		return d
	}
	return time.Duration(float64(d) * slowness)
}

// A Server has its ports and its data for as long as the test takes, over several lives.
type Server struct {
	Address string // host:port of its clients
	folder  string
	argv    []string
	process *exec.Cmd
	ended   chan struct{}
}

// freeAddress is a loopback address that nobody listens on, below the range that outgoing connections get their ports
// from; no other call gives it.
func freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		listener.Close()
		if _, given := given.LoadOrStore(address, true); !given {
			return address, nil
		}
	}
	return "", errors.New("no free port")
}

var given sync.Map

// New makes ports and a folder for COMMAND and its further FLAGS, and starts nothing.
func New(command, flags string) (*Server, error) {
	folder, err := os.MkdirTemp("", "warren-goclient.")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	peer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	argv := append(strings.Fields(command), "--name", "n1", "--data-dir", filepath.Join(folder, "data"),
		"--listen-client-urls", "http://"+address, "--advertise-client-urls", "http://"+address,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "n1=http://"+peer)
	return &Server{folder: folder, Address: address, argv: append(argv, strings.Fields(flags)...)}, nil
}

// Start starts it, for the first time or again on the same data, and waits until it says that it is healthy.
func (s *Server) Start() error {
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process := exec.Command(s.argv[0], s.argv[1:]...)
	process.Stdout, process.Stderr = log, log
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err = process.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = process.Wait(); close(ended) }()
	s.process, s.ended = process, ended
	client := http.Client{Timeout: 2 * time.Second}
	for deadline := time.Now().Add(Slowly(startLimit)); ; time.Sleep(20 * time.Millisecond) {
		reply, err := client.Get("http://" + s.Address + "/health")
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return nil
			}
		}
		if !s.Running() || time.Now().After(deadline) {
			return fmt.Errorf("%s did not start: %s", s.argv[0], s.Said())
		}
	}
}

// Running is false once it has ended by itself.
func (s *Server) Running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// Ended is true once it has ended by itself. One that has panicked is given the time to.
func (s *Server) Ended() bool {
	if text, _ := os.ReadFile(filepath.Join(s.folder, "log")); bytes.Contains(text, []byte("panic: ")) {
		select {
		case <-s.ended:
		case <-time.After(5 * time.Second):
		}
	}
	return !s.Running()
}

// Said is the end of its log, or a panic's beginning if there is one.
func (s *Server) Said() string {
	const limit = 1500
	text, _ := os.ReadFile(filepath.Join(s.folder, "log"))
	if at := bytes.LastIndex(text, []byte("panic: ")); at >= 0 {
		text = text[at:]
		return string(text[:min(len(text), limit)])
	}
	return string(text[max(0, len(text)-limit):])
}

// Kill is kill -9 of the server and what it started.
func (s *Server) Kill() {
	if s.process != nil {
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
}

// Close kills it and removes its data.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.folder)
}
