package main

import (
	"net"
	"sync"
)

// A proxy forwards TCP, and cuts its connections when told to.
type proxy struct {
	address, target string
	listener        net.Listener
	lock            sync.Mutex
	connections     map[net.Conn]bool
	refusing        bool
	budget          int // bytes from the server after which a connection is cut; 0: never
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{address: listener.Addr().String(), target: target, listener: listener, connections: map[net.Conn]bool{}}
	go p.accept()
	return p, nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.lock.Lock()
		refusing := p.refusing
		p.lock.Unlock()
		if refusing {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.lock.Lock()
		p.connections[client], p.connections[server] = true, true
		p.lock.Unlock()
		go p.forward(client, server, false)
		go p.forward(server, client, true)
	}
}

func (p *proxy) forward(from, to net.Conn, counted bool) {
	defer p.end(from)
	defer p.end(to)
	buffer, total := make([]byte, 32768), 0
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if _, err = to.Write(buffer[:n]); err != nil {
			return
		}
		if total += n; counted {
			p.lock.Lock()
			over := p.budget > 0 && total > p.budget
			p.lock.Unlock()
			if over {
				return
			}
		}
	}
}

func (p *proxy) end(c net.Conn) {
	c.Close()
	p.lock.Lock()
	delete(p.connections, c)
	p.lock.Unlock()
}

// cut ends every connection at once, in the middle of whatever they send, with a reset.
func (p *proxy) cut() {
	p.lock.Lock()
	defer p.lock.Unlock()
	for c := range p.connections {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

func (p *proxy) cutEvery(size int) {
	p.lock.Lock()
	p.budget = size
	p.lock.Unlock()
}

func (p *proxy) refuse(yes bool) {
	p.lock.Lock()
	p.refusing = yes
	p.lock.Unlock()
}

func (p *proxy) close() {
	p.listener.Close()
	p.cut()
}
