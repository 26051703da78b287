package standin

import (
	"bufio"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peer is one peer of a device, or the device itself.
type peer struct {
	key     []byte
	ip      net.IP // nil without an endpoint
	port    int
	allowed []string
}

type device struct {
	key   []byte // public; nil without a private key
	port  int
	peers []*peer // in the order of the answer
}

// readDevice asks the userspace socket of the device NAME.
func readDevice(name string) (*device, error) {
	dir := os.Getenv("WARREN_WG_SOCKET_DIR")
	if dir == "" {
		dir = "/var/run/wireguard"
	}
	conn, err := net.Dial("unix", filepath.Join(dir, name+".sock"))
	if err != nil {
		return nil, os.ErrNotExist
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("get=1\n\n")); err != nil {
		return nil, err
	}
	d := &device{}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if lines.Text() == "" {
			return d, nil
		}
		if err := d.line(lines.Text()); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("wireguard socket closed early")
}

// line takes one "name=value" of the answer.
func (d *device) line(text string) error {
	name, value, _ := strings.Cut(text, "=")
	var last *peer
	if len(d.peers) > 0 {
		last = d.peers[len(d.peers)-1]
	}
	switch {
	case name == "errno" && value != "0":
		return fmt.Errorf("errno %s", value)
	case name == "private_key":
		return d.setPrivateKey(value)
	case name == "listen_port":
		d.port, _ = strconv.Atoi(value)
	case name == "public_key":
		key, err := hex.DecodeString(value)
		d.peers = append(d.peers, &peer{key: key})
		return err
	case name == "endpoint" && last != nil:
		addr, err := net.ResolveUDPAddr("udp", value)
		if err != nil {
			return err
		}
		last.ip, last.port = addr.IP, addr.Port
	case name == "allowed_ip" && last != nil:
		_, prefix, err := net.ParseCIDR(value)
		if err != nil {
			return err
		}
		last.allowed = append(last.allowed, prefix.String())
	}
	return nil
}

func (d *device) setPrivateKey(text string) error {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return err
	}
	d.key = private.PublicKey().Bytes()
	return nil
}
