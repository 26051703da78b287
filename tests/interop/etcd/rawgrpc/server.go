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

type server struct {
	folder, address, peer string
	process               *exec.Cmd
	ended                 chan struct{}
}

// freeAddress is one that nobody listens on just now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func startServer(command, flags string) (*server, error) {
	folder, err := os.MkdirTemp("", "warren-rawgrpc.")
	if err != nil {
		return nil, err
	}
	s := &server{folder: folder}
	for _, address := range []*string{&s.address, &s.peer} {
		if *address, err = freeAddress(); err != nil {
			s.close()
			return nil, err
		}
	}
	argv := append(strings.Fields(command), "--name", "n1", "--data-dir", filepath.Join(folder, "data"),
		"--listen-client-urls", "http://"+s.address, "--advertise-client-urls", "http://"+s.address,
		"--listen-peer-urls", "http://"+s.peer, "--initial-advertise-peer-urls", "http://"+s.peer,
		"--initial-cluster", "n1=http://"+s.peer)
	argv = append(argv, strings.Fields(flags)...)
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		s.close()
		return nil, err
	}
	defer log.Close()
	s.process = exec.Command(argv[0], argv[1:]...)
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err = s.process.Start(); err != nil {
		s.process = nil
		s.close()
		return nil, err
	}
	s.ended = make(chan struct{})
	go func() { _ = s.process.Wait(); close(s.ended) }()
	client := http.Client{Timeout: 2 * time.Second}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		reply, err := client.Get("http://" + s.address + "/health")
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		if !s.running() || time.Now().After(deadline) {
			said := s.said()
			s.close()
			return nil, fmt.Errorf("%s did not start: %s", argv[0], said)
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

func (s *server) close() {
	if s.process != nil {
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
	_ = os.RemoveAll(s.folder)
}
