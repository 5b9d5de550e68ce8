package transport

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// floodConfig has trunks with different rates for each address.
const floodConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: standard, sources: ["192.0.2.0/28", "2001:db8::/32"], max_calls: 0, max_cps: 0}
  - {name: more, sources: ["192.0.2.8/32"], max_calls: 0, max_cps: 2500}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
routes:
  - {targets: [agent]}
`

// leastFlood is one more than the number of requests that an address of the trunk
// standard may send in a second.
const leastFlood = 4001

// Each address of a trunk has its own rate of new requests. Requests above the rate are
// refused before they are parsed. Requests within a call are always accepted.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, floodConfig, Network{}, Unplugged)
		sc := h.stack.newScreen(config.TransportUDP, nil)
		other := h.stack.newScreen(config.TransportTCP, nil)
		invite := newCall("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101"))
		another := bytes.Replace(invite, []byte("branch="), []byte("branch=z9hG4bKanother"), 1)
		options := newCall("OPTIONS", "")
		inDialog := []byte(strings.Replace(string(newCall("BYE", "")), "To: <sip:+15075785607@198.51.100.1>", "To: <sip:+15075785607@198.51.100.1>;tag=x", 1))
		admitted := func(sc *screen, text []byte, from string) (n int) {
			t.Helper()
			at := netip.AddrPortFrom(netip.MustParseAddr(from), 5060)
			for range 6000 {
				switch v := sc.judge(text, at); {
				case v.admitted:
					n++
				case !strings.HasPrefix(v.status, "503 ") || !strings.Contains(v.headers, "Retry-After: "):
					t.Errorf("%s: refused with %q", from, v.status)
				}
			}
			return n
		}
		for _, tt := range []struct {
			text  []byte
			from  string
			later time.Duration
			want  int
		}{
			{invite, "192.0.2.1", 0, 4000},
			{options, "192.0.2.1", 0, 0},   // counts together with INVITEs
			{invite, "192.0.2.2", 0, 4000}, // another address of the same trunk
			{invite, "192.0.2.8", 0, 5000}, // twice the max_cps of this trunk
			{invite, "2001:db8::1", 0, 4000},
			{invite, "2001:db8::ffff:0:0:1", 0, 0}, // an address in the same /64
			{invite, "2001:db8:0:1::1", 0, 4000},
			{invite, "192.0.2.1", 250 * time.Microsecond, 0}, // a copy of a refused INVITE
			{another, "192.0.2.1", 250 * time.Microsecond, 1},
		} {
			time.Sleep(tt.later)
			if got := admitted(sc, tt.text, tt.from); got != tt.want {
				t.Errorf("%s: %d of 6000 admitted; want %d", tt.from, got, tt.want)
			}
		}
		if got := admitted(other, invite, "192.0.2.1"); got != 0 {
			t.Errorf("%d admitted by another transport", got)
		}
		if n := h.stack.Rejections().Flood.Load(); n == 0 {
			t.Error("nothing was counted")
		}
		before := h.stack.Rejections().Flood.Load()
		sc.judge(inDialog, netip.MustParseAddrPort("192.0.2.1:5060"))
		if n := h.stack.Rejections().Flood.Load(); n != before {
			t.Error("a request within a dialog counts")
		}
	})
}

// If an address floods the server, its trunk's pending calls are not affected: CANCEL still
// passes, and a repeated INVITE is not refused.
func TestFloodSparesPendingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, floodConfig, Network{}, Unplugged)
		sc := h.stack.newScreen(config.TransportUDP, nil)
		from := netip.MustParseAddrPort("192.0.2.1:5060")
		for i := range leastFlood {
			text := strings.Replace(string(newCall("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0"))), "Call-ID: carrier-1", fmt.Sprintf("Call-ID: flood-%d", i), 1)
			sc.judge([]byte(text), from)
		}
		h.pending = true
		if v := sc.judge(newCall("CANCEL", ""), from); !v.admitted {
			t.Errorf("the CANCEL of a pending INVITE: %q", v.status)
		}
		if v := sc.judge(newCall("INVITE", ""), from); v.admitted || v.status != "" {
			t.Errorf("a pending INVITE that comes again: %q, admitted %v", v.status, v.admitted)
		}
		h.pending = false
		if v := sc.judge(newCall("CANCEL", ""), from); v.admitted {
			t.Error("the CANCEL of no INVITE passes")
		}
	})
}
