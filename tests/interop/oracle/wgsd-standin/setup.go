// Package standin is Warren's own stand-in for the wgsd plugin of CoreDNS, for machines whose module
// proxy does not serve the real one. It is written from the behaviour that was measured and noted
// down, not from wgsd's source, and it is checked against packets captured from the real plugin
// (tests/interop/corefiles/check-standin). It exists for tests only.
//
// It reads the userspace socket NAME.sock in $WARREN_WG_SOCKET_DIR (/var/run/wireguard without it)
// anew for every query, and knows no kernel interface.
package standin

import (
	"fmt"
	"net"
	"strconv"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

func init() { plugin.Register("wgsd", setup) }

// zone is one wgsd line of a server block.
type zone struct {
	name    string
	device  string
	self    bool         // the device itself is published too,
	ip      net.IP       // at this address (nil: the one that was asked)
	port    int          // and port,
	allowed []*net.IPNet // with these allowed IPs
}

func setup(c *caddy.Controller) error {
	zones, err := parse(c)
	if err != nil {
		return plugin.Error("wgsd", err)
	}
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		return handler{next: next, zones: zones}
	})
	return nil
}

func parse(c *caddy.Controller) (map[string]*zone, error) {
	zones := make(map[string]*zone)
	for c.Next() {
		args := c.RemainingArgs()
		if len(args) != 2 {
			return nil, fmt.Errorf("expected 2 args, got %d", len(args))
		}
		z := &zone{name: dns.Fqdn(args[0]), device: args[1]}
		if zones[z.name] != nil {
			return nil, fmt.Errorf("duplicate zone name %s", z.name)
		}
		zones[z.name] = z
		for c.NextBlock() {
			if c.Val() != "self" {
				return nil, c.ArgErr()
			}
			if err := z.parseSelf(c.RemainingArgs()); err != nil {
				return nil, err
			}
		}
	}
	return zones, nil
}

// parseSelf reads "self [IP:PORT] [CIDR...]"; a later line overrides only what it mentions.
func (z *zone) parseSelf(args []string) error {
	z.self = true
	if len(args) > 0 {
		if host, port, err := net.SplitHostPort(args[0]); err == nil {
			if z.port, err = strconv.Atoi(port); err != nil {
				return fmt.Errorf("error converting self endpoint port: %v", err)
			}
			if z.ip = net.ParseIP(host); z.ip == nil {
				return fmt.Errorf("invalid self endpoint IP address: %s", host)
			}
			args = args[1:]
		}
	}
	if len(args) == 0 {
		return nil
	}
	z.allowed = nil
	for _, a := range args {
		_, prefix, err := net.ParseCIDR(a)
		if err != nil {
			return fmt.Errorf("invalid self allowed-ip '%s' err: %v", a, err)
		}
		z.allowed = append(z.allowed, prefix)
	}
	return nil
}
