package standin

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"net"
	"strings"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

const (
	service = "_wireguard._udp."
	keySize = 56 // of a key in padded base32
)

type handler struct {
	next  plugin.Handler
	zones map[string]*zone
}

func (h handler) Name() string { return "wgsd" }

func (h handler) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	state := request.Request{W: w, Req: r}
	z := h.match(state.Name())
	if z == nil {
		return plugin.NextOrFailure(h.Name(), h.next, ctx, w, r)
	}
	reply := new(dns.Msg)
	reply.SetReply(r)
	reply.Authoritative = true
	// An upper-case letter in the zone keeps it from ever being cut off the lower-case name.
	relative := strings.TrimSuffix(state.Name(), z.name)
	list := relative == service && state.QType() == dns.TypePTR
	if !list && !(len(relative) == keySize+1+len(service) && isPeerType(state.QType())) {
		return notFound(w, reply, z)
	}
	d, err := readDevice(z.device)
	if err != nil {
		return dns.RcodeServerFailure, err
	}
	if list {
		for _, p := range z.published(d, state) {
			reply.Answer = append(reply.Answer, &dns.PTR{
				Hdr: header(state.Name(), dns.TypePTR),
				Ptr: base32Key(p.key) + "." + service + z.name,
			})
		}
		return send(w, reply)
	}
	for _, p := range z.published(d, state) {
		if strings.EqualFold(relative[:keySize], base32Key(p.key)) {
			p.answer(reply, state.Name(), state.QType())
			return send(w, reply)
		}
	}
	return notFound(w, reply, z)
}

// match is the longest zone that NAME is in.
func (h handler) match(name string) *zone {
	var best *zone
	for _, z := range h.zones {
		if dns.IsSubDomain(z.name, name) && (best == nil || len(z.name) > len(best.name)) {
			best = z
		}
	}
	return best
}

func isPeerType(t uint16) bool {
	return t == dns.TypeSRV || t == dns.TypeA || t == dns.TypeAAAA || t == dns.TypeTXT
}

// published gives the peers with an endpoint and, last, the device itself if it is to be seen.
func (z *zone) published(d *device, state request.Request) []*peer {
	var peers []*peer
	for _, p := range d.peers {
		if p.ip != nil && !(z.self && bytes.Equal(p.key, d.key)) {
			peers = append(peers, p)
		}
	}
	if !z.self || d.key == nil {
		return peers
	}
	self := &peer{key: d.key, ip: z.ip, port: z.port}
	if self.ip == nil {
		self.port = d.port
		switch addr := state.W.LocalAddr().(type) {
		case *net.UDPAddr:
			self.ip = addr.IP
		case *net.TCPAddr:
			self.ip = addr.IP
		}
	}
	for _, prefix := range z.allowed {
		self.allowed = append(self.allowed, prefix.String())
	}
	return append(peers, self)
}

func base32Key(key []byte) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(key))
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET}
}

// address is an A or an AAAA record, whichever the endpoint is.
func (p *peer) address(name string) dns.RR {
	if v4 := p.ip.To4(); v4 != nil {
		return &dns.A{Hdr: header(name, dns.TypeA), A: v4}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: p.ip}
}

func (p *peer) text(name string) dns.RR {
	return &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{
		"txtvers=1",
		"pub=" + base64.StdEncoding.EncodeToString(p.key),
		"allowed=" + strings.Join(p.allowed, ","),
	}}
}

func (p *peer) answer(reply *dns.Msg, name string, qtype uint16) {
	switch qtype {
	case dns.TypeSRV:
		reply.Answer = []dns.RR{&dns.SRV{
			Hdr: header(name, dns.TypeSRV), Port: uint16(p.port), Target: name}}
		reply.Extra = []dns.RR{p.address(name), p.text(name)}
	case dns.TypeTXT:
		reply.Answer = []dns.RR{p.text(name)}
	default:
		reply.Answer = []dns.RR{p.address(name)}
	}
}

func notFound(w dns.ResponseWriter, reply *dns.Msg, z *zone) (int, error) {
	reply.Rcode = dns.RcodeNameError
	soa := &dns.SOA{Hdr: header(z.name, dns.TypeSOA), Ns: "ns1." + z.name,
		Mbox: "postmaster." + z.name, Serial: 1, Refresh: 86400, Retry: 7200,
		Expire: 3600000, Minttl: 60}
	soa.Hdr.Ttl = 60
	reply.Ns = []dns.RR{soa}
	return send(w, reply)
}

func send(w dns.ResponseWriter, reply *dns.Msg) (int, error) {
	_ = w.WriteMsg(reply)
	return reply.Rcode, nil
}
