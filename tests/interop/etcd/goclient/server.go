package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const startLimit = 30 * time.Second

// A server has its ports and its data for as long as the test takes, over several lives.
type server struct {
	folder, address string
	argv            []string
	process         *exec.Cmd
	ended           chan struct{}
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func newServer(command string) (*server, error) {
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
	return &server{folder: folder, address: address, argv: append(strings.Fields(command), "--name", "n1",
		"--data-dir", filepath.Join(folder, "data"), "--listen-client-urls", "http://"+address, "--advertise-client-urls", "http://"+address,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster", "n1=http://"+peer)}, nil
}

func (s *server) start() error {
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
	for deadline := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		reply, err := client.Get("http://" + s.address + "/health")
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return nil
			}
		}
		if !s.running() || time.Now().After(deadline) {
			return fmt.Errorf("%s did not start: %s", s.argv[0], s.said())
		}
	}
}

func (s *server) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func (s *server) said() string {
	text, _ := os.ReadFile(filepath.Join(s.folder, "log"))
	if len(text) > 1500 {
		text = text[len(text)-1500:]
	}
	return string(text)
}

// kill is kill -9 of the server and what it started.
func (s *server) kill() {
	if s.process != nil {
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
}

func (s *server) close() {
	s.kill()
	_ = os.RemoveAll(s.folder)
}
