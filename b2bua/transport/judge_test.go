package transport

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// newCall returns a request that belongs to no existing call.
func newCall(method, body string) []byte {
	body = string(siptest.CRLF(strings.ReplaceAll(body, "\r\n", "\n")))
	return append(siptest.CRLF(fmt.Sprintf(`%[1]s sip:+15075785607@198.51.100.1:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKcarrier%[1]s;rport
Max-Forwards: 70
From: "Ann Smith" <sip:+15075550100@192.0.2.10>;tag=ann
To: <sip:+15075785607@198.51.100.1>
Call-ID: carrier-1
CSeq: 1 %[1]s
Contact: <sip:ann@192.0.2.10:5060>
Content-Type: application/sdp
Content-Length: %d

`, method, len(body))), body...)
}

// judgeConfig has a trunk that may send from any address.
const judgeConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: pbx, auth: {username: acme, password_env: P}}
  - {name: both, sources: ["192.0.2.10"], auth: {username: carrier, password_env: P}}
  - {name: plain, sources: ["192.0.2.11"], max_calls: 1}
  - {name: busy, sources: ["192.0.2.12"]}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
routes:
  - {targets: [agent]}
`

type judgedCase struct {
	screen  *screen
	from    netip.AddrPort
	message []byte
	status  string
}

// judged returns messages that the screen must refuse, by name.
func judged(t testing.TB) map[string]judgedCase {
	t.Helper()
	h := newHost(t, judgeConfig, Network{}, Unplugged)
	roaming := netip.MustParseAddrPort("203.0.113.77:6060")
	invite, bye := newCall("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101")), newCall("BYE", "")
	// A stranger sends an answer with a branch that looks like ours.
	answer := siptest.CRLF("SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK" + strings.Repeat("0", len(message.Minted{})) + "\n\n")
	known := newHost(t, strings.Replace(judgeConfig, "  - {name: pbx, auth: {username: acme, password_env: P}}\n", "", 1), Network{}, Unplugged)
	if why := known.Enter(known.Peers().Trunks[1]); why != peers.CapacityFree {
		t.Fatal("the trunk is full before its first call")
	}
	sc, busy := h.stack.newScreen(config.TransportUDP, nil), netip.MustParseAddrPort("192.0.2.12:5060")
	for range leastFlood {
		sc.judge(invite, busy)
	}
	nonce := minter.Challenge(netip.MustParseAddr("203.0.113.78"), nil, time.Now())
	moved := bytes.Replace(invite, []byte("Contact:"), fmt.Appendf(nil, "Authorization: Digest realm=\"flowbridge\", nonce=\"%s\"\r\nContact:", nonce[:]), 1)
	return map[string]judgedCase{
		"a flood":             {sc, busy, invite, "503"},
		"a stranger's BYE":    {sc, roaming, bye, ""},
		"a stranger's answer": {sc, roaming, answer, ""},
		"not SIP":             {sc, roaming, []byte("GET / HTTP/1.1\r\n\r\n"), ""},
		"full":                {known.stack.newScreen(config.TransportUDP, nil), netip.MustParseAddrPort("192.0.2.11:5060"), invite, "503"},
		"challenged":          {sc, roaming, invite, "401"},
		"given to another":    {sc, netip.MustParseAddrPort("203.0.114.77:6060"), moved, "401"},
	}
}

func BenchmarkJudge(b *testing.B) {
	out := make([]byte, 0, 4096)
	for name, c := range judged(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := c.screen.judge(c.message, c.from); v.status != "" {
					out = v.appendRefusal(out[:0], c.message, c.from)
				}
			}
		})
	}
}
