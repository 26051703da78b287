// dnspack answers, with miekg/dns, the cases that tests/interop/dnspack.c makes up and answers with
// our own reader and writer. One case per line on stdin, one answer per line on stdout:
//
//	R HEX        a request as it came: "ignore", "reject HEX", or "accept SIZE HEX", where HEX is
//	             the SetReply with the request's OPT put back and SIZE its Len ("-" if records
//	             other than OPT are in it: Len counts some types by their text)
//	B SIZE HEX   a reply, uncompressed, to be sent in SIZE octets:
//	             "LEN | COMPRESSED-LEN HEX | COMPRESS TC HEX" whole, compressed, truncated
//	M NUMBER     mnemonics: type, class, RCODE
//	N HEX        a name at the start of a message: its text
//	T HEX        a name's text: its wire form
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxOptions   = 32 // of which our reader keeps track
	clientSubnet = 8  // kept as it came, so not compared
)

func header(b []byte) dns.Header {
	u := func(i int) uint16 { return binary.BigEndian.Uint16(b[2*i:]) }
	return dns.Header{Id: u(0), Bits: u(1), Qdcount: u(2), Ancount: u(3), Nscount: u(4), Arcount: u(5)}
}

// reject builds the reply that dns.Server sends for a request that it does not hand on.
func reject(req *dns.Msg, notImplemented bool) string {
	opcode := req.Opcode
	req.SetRcodeFormatError(req)
	req.Zero = false
	if notImplemented {
		req.Opcode = opcode
		req.Rcode = dns.RcodeNotImplemented
	}
	req.Ns, req.Answer, req.Extra = nil, nil, nil
	return "reject " + pack(req)
}

func pack(m *dns.Msg) string {
	b, err := m.Pack()
	if err != nil || len(b) > dns.MaxMsgSize {
		return "error"
	}
	return hex.EncodeToString(b)
}

func request(b []byte) string {
	if len(b) < 12 {
		return "ignore"
	}
	req := new(dns.Msg)
	action := dns.DefaultMsgAcceptFunc(header(b))
	switch action {
	case dns.MsgIgnore:
		return "ignore"
	case dns.MsgReject, dns.MsgRejectNotImplemented:
		_ = req.Unpack(b[:12])
		return reject(req, action == dns.MsgRejectNotImplemented)
	}
	if req.Unpack(b) != nil {
		return reject(req, false)
	}
	opt := req.IsEdns0()
	if opt != nil {
		opt.Hdr.Name = "." // as CoreDNS does before anybody asks for the request's Len
	}
	size := "-"
	if len(req.Answer)+len(req.Ns) == 0 && (len(req.Extra) == 0 || len(req.Extra) == 1 && opt != nil) {
		if opt == nil || keepOptions(opt, false) {
			size = strconv.Itoa(req.Len())
		}
	}
	reply := new(dns.Msg).SetReply(req)
	if opt != nil {
		keepOptions(opt, true)
		reply.Extra = append(reply.Extra, opt)
		reply.Rcode = req.Rcode
	}
	return "accept " + size + " " + pack(reply)
}

// keepOptions drops what is not compared; with drop false it only says whether that is nothing.
func keepOptions(opt *dns.OPT, drop bool) bool {
	var kept []dns.EDNS0
	for i, o := range opt.Option {
		if i < maxOptions && o.Option() != clientSubnet {
			kept = append(kept, o)
		}
	}
	all := len(kept) == len(opt.Option)
	if drop {
		opt.Option = kept
	}
	return all
}

func reply(size int, b []byte) string {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return "bad case: " + err.Error()
	}
	answer := strconv.Itoa(m.Len())
	whole := m.Copy()
	whole.Compress = true
	answer += fmt.Sprintf(" | %d %s", whole.Len(), pack(whole))
	m.Truncate(size)
	return answer + fmt.Sprintf(" | %t %t %s", m.Compress, m.Truncated, pack(m))
}

func mnemonics(n int) string {
	rcode, ok := dns.RcodeToString[n]
	if !ok {
		rcode = strconv.Itoa(n)
	}
	return dns.Type(n).String() + " " + dns.Class(n).String() + " " + rcode
}

func nameText(b []byte) string {
	s, off, err := dns.UnpackDomainName(b, 0)
	if err != nil {
		return "error"
	}
	return strconv.Itoa(off) + " " + s
}

func nameWire(text string) string {
	b := make([]byte, 2000)
	n, err := dns.PackDomainName(dns.Fqdn(text), b, 0, nil, false)
	if err != nil || n > 255 {
		return "error"
	}
	return hex.EncodeToString(b[:n])
}

func answer(fields []string) string {
	data, err := hex.DecodeString(fields[len(fields)-1])
	switch fields[0] {
	case "M":
		n, err := strconv.Atoi(fields[1])
		if err == nil {
			return mnemonics(n)
		}
	case "R":
		if err == nil {
			return request(data)
		}
	case "N":
		if err == nil {
			return nameText(data)
		}
	case "T":
		if err == nil {
			return nameWire(string(data))
		}
	case "B":
		size, err1 := strconv.Atoi(fields[1])
		if err == nil && err1 == nil {
			return reply(size, data)
		}
	}
	return "bad line"
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		fields := strings.Split(in.Text(), " ")
		fmt.Fprintln(out, answer(fields))
	}
}
