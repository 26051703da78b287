// The oracle of the interop tests: CoreDNS 1.11.1 with the plugins that Warren has as directives.
//
// Only the plugins named here are built in, because the full set needs many more modules. What
// stands behind "wgsd" is chosen by a build tag: see wgsd_real.go and wgsd_standin.go.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/any"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/chaos"
	_ "github.com/coredns/coredns/plugin/debug"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/nsid"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/template"
	_ "github.com/coredns/coredns/plugin/timeouts"
	_ "github.com/coredns/coredns/plugin/whoami"
)

// wgsd stands before file, as in its own build of CoreDNS.
func init() {
	for i, name := range dnsserver.Directives {
		if name == "file" {
			rest := append([]string{"wgsd"}, dnsserver.Directives[i:]...)
			dnsserver.Directives = append(dnsserver.Directives[:i:i], rest...)
			return
		}
	}
}

func main() { coremain.Run() }
