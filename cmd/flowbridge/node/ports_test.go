package node

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"flowbridge/config"
)

func TestPortsOfOthers(t *testing.T) {
	own := portsInUse{Process: os.Getpid(), Engine: config.EngineKernel, Addr: netip.MustParseAddr("127.0.19.1"), Low: 10000, High: 10999}
	for name, test := range map[string]struct {
		change func(*portsInUse)
		want   bool
	}{
		"the same":             {func(*portsInUse) {}, true},
		"only the last port":   {func(p *portsInUse) { p.Low, p.High = 10999, 12000 }, true},
		"ports above":          {func(p *portsInUse) { p.Low, p.High = 11000, 12000 }, false},
		"another address":      {func(p *portsInUse) { p.Addr = netip.MustParseAddr("127.0.19.2") }, false},
		"every address":        {func(p *portsInUse) { p.Addr = netip.IPv4Unspecified() }, true},
		"every IPv6 address":   {func(p *portsInUse) { p.Addr = netip.IPv6Unspecified() }, false},
		"one of them binds":    {func(p *portsInUse) { p.Engine = config.EngineUserspace }, true},
		"this process's other": {func(p *portsInUse) { p.Process = os.Getpid() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			other := own
			other.Process = 1 << 22 // above what Linux gives
			test.change(&other)
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: other.name()})
			must(t, err)
			defer c.Close()
			found := slices.DeleteFunc(portsOfOthers(own), func(p portsInUse) bool { return p.Process < 1<<22 && p.Process != os.Getpid() }) // processes beside the test
			if (len(found) == 1) != test.want || (test.want && found[0] != other) {
				t.Errorf("found %v", found)
			}
		})
	}
	both := own
	both.Engine, own.Engine = config.EngineUserspace, config.EngineUserspace
	both.Process++
	if both.clashes(own) {
		t.Error("two processes with sockets of their own clash")
	}
}
