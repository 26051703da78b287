// corefile-dump parses Corefiles with CoreDNS's own parser and says what it understood, so that
// ../../corefiles/grammar can hold Warren's parser against it. Its twin is tests/support/corefile-dump.c.
//
// Standard input: one Corefile a line, in hexadecimal. Standard output: one report a line, in
// hexadecimal: the error, or the blocks with their keys, zones, directives and tokens.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strings"

	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/parse"
	"github.com/coredns/coredns/plugin/pkg/transport"
	"github.com/miekg/dns"
)

var directives = []string{"errors", "log", "whoami", "acl", "cache"}

var defaultPorts = map[string]string{transport.TLS: transport.TLSPort, transport.QUIC: transport.QUICPort,
	transport.GRPC: transport.GRPCPort, transport.HTTPS: transport.HTTPSPort}

// zones does what dnsserver does with a key before any directive is set up.
func zones(key string) string {
	scheme, rest := parse.Transport(key)
	if scheme == transport.UNIX {
		return "no server"
	}
	hosts, port, err := plugin.SplitHostPort(rest)
	for _, h := range hosts {
		if _, _, err := plugin.SplitHostPort(dns.Fqdn(h)); err != nil {
			return err.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	if port == "" {
		port = defaultPorts[scheme]
	}
	out := scheme
	for _, h := range hosts {
		out += " " + dns.Fqdn(h) + "|" + port
	}
	return out + " / " + strings.Join(plugin.Host(key).NormalizeExact(), " ")
}

func report(out io.Writer, blocks []caddyfile.ServerBlock) {
	for _, b := range blocks {
		fmt.Fprintln(out, "BLOCK")
		for _, k := range b.Keys {
			fmt.Fprintf(out, "KEY %s\n%s\n", k, zones(k))
		}
		var names []string
		for name := range b.Tokens {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(out, "DIRECTIVE %s\n", name)
			for _, t := range b.Tokens[name] {
				file := t.File
				if file == "" {
					file = "Corefile"
				}
				fmt.Fprintf(out, "%s:%d %s\n", file, t.Line, t.Text)
			}
		}
	}
}

func main() {
	log.SetOutput(io.Discard)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		text, err := hex.DecodeString(in.Text())
		if err != nil {
			panic(err)
		}
		var r bytes.Buffer
		if blocks, err := caddyfile.Parse("Corefile", bytes.NewReader(text), directives); err != nil {
			fmt.Fprintf(&r, "ERROR %s\n", err)
		} else {
			report(&r, blocks)
		}
		fmt.Fprintln(out, hex.EncodeToString(r.Bytes()))
	}
}
